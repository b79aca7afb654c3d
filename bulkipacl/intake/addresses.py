"""IPv4 addresses as integers: prefixes, and the ranges that no public caller comes from.

Not here: what to say about an address that cannot be read (`fields`).

    read_block     address and prefix of a well-formed pair of texts
    read_plain     those of many such pairs, where none gives cause for a warning; the hot path
    host_bits      the part of an address that its prefix leaves over
    special_range  what a block touches that the public Internet does not route
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Sequence
from itertools import repeat
from socket import AF_INET, inet_pton
from typing import cast

PREFIXES = {str(prefix): prefix for prefix in range(1, 33)}
"""Prefix texts; 0 is not one: the API stores it silently as /32 (one report)."""

_PREFIX_OR_32 = {**PREFIXES, "": 32}

HOST_MASKS = tuple((1 << (32 - prefix)) - 1 for prefix in range(33))
"""Per prefix, the bits of an address that it leaves open."""

_from_bytes = int.from_bytes


def read_block(text: str, prefix_text: str) -> tuple[int, int | None] | None:
    """Address and prefix, or None where anything is unusual; about 0.5 us.

    `fields.read_block` then finds out what, and reads the forms that only look odd.
    """
    host, slash, bits = text.partition("/")
    try:
        address = _from_bytes(inet_pton(AF_INET, host), "big")
        if slash:
            return None if prefix_text else (address, PREFIXES[bits])
        return (address, PREFIXES[prefix_text] if prefix_text else None)
    except (OSError, ValueError, KeyError):
        return None


def read_plain(
    texts: Sequence[str], prefix_texts: Sequence[str]
) -> tuple[Sequence[int], Sequence[int]] | None:
    """Addresses and prefixes of many texts, no prefix meaning /32; about 0.4 us each.

    None where one of them is unusual in any way, a prefix behind a slash included, or gives cause
    for a warning.
    """
    try:
        packed = b"".join(map(inet_pton, repeat(AF_INET), texts))
    except (OSError, ValueError):
        return None
    addresses = struct.unpack(f">{len(texts)}I", packed)
    if not any(prefix_texts):
        prefixes = [32] * len(texts)
    elif None in (found := list(map(_PREFIX_OR_32.get, prefix_texts))):
        return None
    else:
        prefixes = cast("list[int]", found)
    if prefixes.count(32) == len(prefixes):
        # The blocks of one address: what `is_plain` asks of each.
        is_fine = _INSIDE.isdisjoint(map(bisect_right, repeat(_BOUNDS), addresses))
    else:
        is_fine = all(map(is_plain, addresses, prefixes))
    return (addresses, prefixes) if is_fine else None


def host_bits(address: int, prefix: int) -> int:
    """The bits of `address` that are not part of its network; 0 in a proper block."""
    return address & HOST_MASKS[prefix]


def _block(cidr: str) -> tuple[int, int]:
    host, _, bits = cidr.partition("/")
    first = _from_bytes(inet_pton(AF_INET, host), "big")
    return first, first + HOST_MASKS[int(bits)] + 1


# IANA's special-purpose address registry (RFC 6890 and its updates), in ascending order.
_SPECIAL = (
    ("0.0.0.0/8", "reserved_range", "this network"),
    ("10.0.0.0/8", "private", "private use"),
    ("100.64.0.0/10", "reserved_range", "a carrier's shared address space"),
    ("127.0.0.0/8", "reserved_range", "loopback"),
    ("169.254.0.0/16", "reserved_range", "link-local addresses"),
    ("172.16.0.0/12", "private", "private use"),
    ("192.0.0.0/24", "reserved_range", "IETF protocol assignments"),
    ("192.0.2.0/24", "reserved_range", "documentation"),
    ("192.168.0.0/16", "private", "private use"),
    ("198.18.0.0/15", "reserved_range", "benchmark tests"),
    ("198.51.100.0/24", "reserved_range", "documentation"),
    ("203.0.113.0/24", "reserved_range", "documentation"),
    ("224.0.0.0/4", "reserved_range", "multicast"),
    ("240.0.0.0/4", "reserved_range", "future use and broadcast"),
)

_BOUNDS = tuple(bound for cidr, _, _ in _SPECIAL for bound in _block(cidr))
"""First address and the one after the last, range by range: an odd place is inside a range."""
_INSIDE = frozenset(range(1, len(_BOUNDS), 2))


def is_plain(address: int, prefix: int) -> bool:
    """Whether a block gives no cause for a warning; about 0.2 us."""
    place = bisect_right(_BOUNDS, address)
    if prefix == 32:
        return not place & 1
    mask = HOST_MASKS[prefix]
    return not (place & 1 or address & mask or bisect_right(_BOUNDS, address | mask) != place)


def special_range(address: int, prefix: int) -> tuple[str, str, str] | None:
    """The first special range that a block touches: (cidr, reason, what it is for)."""
    mask = HOST_MASKS[prefix]
    place = bisect_right(_BOUNDS, address & ~mask)
    if not place & 1:
        if bisect_right(_BOUNDS, address | mask) == place:
            return None
        place += 1
    return _SPECIAL[place // 2]
