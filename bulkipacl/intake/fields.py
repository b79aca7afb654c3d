"""One field at a time, the patient way: what is wrong with it, and what to write instead.

Every reader takes the text as it stood and a list that it adds its problems to; it returns the
value, or an empty one where it could not be understood. `checks` comes here only when its quick
way found something unusual, so clarity counts for more than speed.
"""

from __future__ import annotations

import difflib
import ipaddress
import re

from bulkipacl.intake.addresses import PREFIXES, read_block
from bulkipacl.intake.problems import make
from bulkipacl.model import Operation, Problem

MAX_NAME_CHARS = 255
"""Characters of a FriendlyName (vendor documentation)."""

OPERATIONS = {operation.word: operation for operation in Operation}

_OTHER_WORDS = {
    "add": "create",
    "insert": "create",
    "new": "create",
    "post": "create",
    "remove": "delete",
    "del": "delete",
    "drop": "delete",
    "destroy": "delete",
    "change": "update",
    "modify": "update",
    "edit": "update",
    "rename": "update",
    "put": "upsert",
    "set": "upsert",
    "sync": "upsert",
}

_SID_PREFIXES = {"account_sid": "AC", "ip_access_control_list_sid": "AL", "sid": "IP"}
_SID_KINDS = {
    "AC": "an account",
    "AL": "an IP access control list",
    "IP": "an IP address entry",
    "SD": "a SIP domain",
    "CL": "a credential list",
    "SK": "an API key",
    "TK": "a trunk",
}
SID_PATTERNS = {
    field: re.compile(f"{prefix}[0-9a-fA-F]{{32}}") for field, prefix in _SID_PREFIXES.items()
}
"""The vendor's own patterns; they also keep a sid from bending the path it becomes part of."""

_OUTER = " \t\r\n\v\f\u00a0\u200b\ufeff'\"`“”‘’"  # noqa: RUF001 - the quotes that editors put
_BAD_CHARS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NOT_UTF8 = re.compile("[\ud800-\udfff]")


def bare(text: str) -> str:
    """A value without the spaces and quotes that spreadsheets and editors leave around it."""
    return text.strip().strip(_OUTER)


def read_operation(text: str, problems: list[Problem]) -> int:
    """An operation's number, 0 where it is empty or not understood."""
    word = bare(text).lower()
    if not word:
        return 0
    known = OPERATIONS.get(word)
    if known is not None:
        return known.value
    near = difflib.get_close_matches(word[:40], OPERATIONS, n=1, cutoff=0.6)
    meant = _OTHER_WORDS.get(word) or (near[0] if near else "")
    problems.append(
        make(
            "operation",
            text,
            "bad_operation",
            "this is not an operation",
            f"write {meant}" if meant else "write create, update, delete or upsert",
        )
    )
    return 0


def read_sid(field: str, text: str, problems: list[Problem]) -> str:
    """A sid of the field's kind, or ""."""
    sid = bare(text)
    if not sid or SID_PATTERNS[field].fullmatch(sid):
        return sid
    wanted = _SID_PREFIXES[field]
    kind = sid[:2].upper()
    suggestion = f"write {wanted} and 32 characters of 0-9 and a-f"
    if kind in _SID_KINDS and kind != wanted:
        why = f"this is the sid of {_SID_KINDS[kind]}, not of {_SID_KINDS[wanted]}"
        suggestion = f"write the sid that starts with {wanted}"
    elif SID_PATTERNS[field].fullmatch(kind + sid[2:]):
        why = f"a sid starts with {wanted} in capitals"
        suggestion = f"write {kind + sid[2:]}"
    elif kind != wanted:
        why = f"a sid of {_SID_KINDS[wanted]} starts with {wanted}"
        if field == "ip_access_control_list_sid":
            suggestion = "for a list by its name, call the column list_name"
    elif len(sid) != 34:
        why = f"a sid has 34 characters, this one has {len(sid)}"
    else:
        why = f"after {wanted}, a sid holds 0-9 and a-f only"
    problems.append(make(field, text, "bad_sid", why, suggestion))
    return ""


def read_name(field: str, text: str, problems: list[Problem]) -> str:
    """A FriendlyName, of an entry or of a list; "" where it is absent or cannot be sent."""
    name = text.strip()
    found = len(problems)
    if _NOT_UTF8.search(name):
        why = "the text is not valid UTF-8"
        problems.append(make(field, text, "not_utf8", why, "save the file as UTF-8"))
    elif _BAD_CHARS.search(name):
        cleaned = " ".join(_BAD_CHARS.sub(" ", name).split())[:MAX_NAME_CHARS]
        suggestion = f"write {cleaned}" if cleaned else "leave it empty or write a name"
        why = "a name holds no control characters"
        problems.append(make(field, text, "control_character", why, suggestion))
    if len(name) > MAX_NAME_CHARS:
        why = f"a name has at most {MAX_NAME_CHARS} characters, this one has {len(name)}"
        suggestion = f"write {_BAD_CHARS.sub(' ', name)[:MAX_NAME_CHARS].rstrip()}"
        problems.append(make(field, text, "name_too_long", why, suggestion))
    return name if len(problems) == found else ""


def read_prefix(field: str, text: str, problems: list[Problem], *, shown: str = "") -> int | None:
    """A prefix length, None where it is absent or not one; `shown` is the value to quote."""
    bits = bare(text).removeprefix("/").strip()
    if not bits or bits in PREFIXES:
        return PREFIXES.get(bits)
    reason, why = "bad_prefix", "a prefix is a number from 1 to 32"
    suggestion = "write 32 for one address, 24 for 256 of them"
    mask = _mask_prefix(bits)
    whole = re.fullmatch(r"0*([0-9]{1,3})(?:[.,]0*)?", bits)
    if mask is not None:
        reason, why = "netmask", "this is a netmask, the API takes a prefix length"
        suggestion = f"write {mask}" if mask else ""
    elif whole and int(whole[1]) == 0:
        reason = "prefix_zero"
        why = (
            "the API stores a prefix of 0 silently as /32, and taken at its word it would open "
            "the list to the whole internet"
        )
        suggestion = "write the prefix that is meant, 1 to 32"
    elif whole and whole[1] in PREFIXES:
        why = "a prefix is a whole number, written plainly"
        suggestion = f"write {whole[1]}"
    problems.append(make(field, shown or text, reason, why, suggestion))
    return None


def _mask_prefix(text: str) -> int | None:
    """The prefix of a netmask (or of its inverse), 0 for a broken one, None for no mask at all."""
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", text):
        return None
    try:
        return ipaddress.IPv4Network(f"0.0.0.0/{text}").prefixlen
    except ValueError:
        return 0


def read_place(
    fields: tuple[str, str], texts: tuple[str, str], problems: list[Problem]
) -> tuple[int | None, int | None]:
    """Address and prefix from their two columns; `a.b.c.d/len` may stand in the first one."""
    field, prefix_field = fields
    text, prefix_text = bare(texts[0]), texts[1]
    if text:
        quick = read_block(text, prefix_text)
        if quick is not None:
            return quick
    host, slash, bits = text.partition("/")
    address = _read_host(field, host.strip(), texts[0], problems) if text else None
    found = len(problems)
    column_prefix = read_prefix(prefix_field, prefix_text, problems)
    if not slash:
        return address, column_prefix
    if not bits.strip():
        problems.append(
            make(field, texts[0], "bad_prefix", "nothing follows the slash", "write /1 to /32")
        )
        return address, None
    prefix = read_prefix(field, bits, problems, shown=texts[0])
    if len(problems) == found and column_prefix is not None and prefix != column_prefix:
        why = f"the prefix column says {column_prefix}, the address says /{prefix}"
        problems.append(
            make(prefix_field, prefix_text, "prefix_disagrees", why, "keep one of the two")
        )
    return address, prefix


def _read_host(field: str, host: str, shown: str, problems: list[Problem]) -> int | None:
    plain = read_block(host, "") if "/" not in host else None
    if plain is not None:
        return plain[0]
    reason, why, suggestion = _explain_host(host)
    problems.append(make(field, shown, reason, why, suggestion))
    return None


_V4 = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
_RANGE = re.compile(rf"({_V4})\s*(?:-|–|—|to)\s*({_V4}|[0-9]{{1,3}})")  # noqa: RUF001 - dashes
_WILDCARD = re.compile(r"((?:[0-9]{1,3}\.){1,3})[*xX](?:\.[*xX]){0,2}")
_PORT = re.compile(rf"({_V4}):[0-9]+")
_NOT_AN_ADDRESS = "not_an_address"


def _explain_host(host: str) -> tuple[str, str, str]:
    """(reason, why, suggestion) for a text that is no IPv4 address."""
    host = host[:100]
    if found := _PORT.fullmatch(host):
        return "port", "an address takes no port here", f"write {found[1]}"
    if host.count(":") >= 2 or host.startswith("["):
        return "ipv6", "the API takes IPv4 only today", "write the caller's IPv4 address"
    if found := _WILDCARD.fullmatch(host):
        octets = found[1].rstrip(".").split(".")
        block = ".".join([*octets, *["0"] * (4 - len(octets))]) + f"/{8 * len(octets)}"
        suggestion = f"write {block}" if read_block(block, "") else ""
        return "wildcard", "the API takes no wildcards, only a complete address", suggestion
    if "*" in host:
        return (
            "wildcard",
            "the API takes no wildcards, only a complete address",
            "write a CIDR block",
        )
    if found := _RANGE.fullmatch(host):
        why = "a range is not one address; a block of addresses is written with a prefix"
        return "range", why, _range_blocks(found[1], found[2])
    if re.fullmatch(r"[0-9]+(\.[0-9]+){3}", host) and len(host) <= 60:
        return _explain_octets([int(octet) for octet in host.split(".")])
    return _explain_other(host)


def _explain_octets(octets: list[int]) -> tuple[str, str, str]:
    if max(octets) > 255:
        return "bad_octet", "an octet is over 255", "write four numbers from 0 to 255"
    plain = ".".join(map(str, octets))
    why = "leading zeros mean octal to some programs and decimal to others"
    return "leading_zeros", why, f"write {plain}"


def _explain_other(host: str) -> tuple[str, str, str]:
    if re.fullmatch(r"[0-9]+(\.[0-9]*)*", host):
        why = "an IPv4 address has four numbers between dots"
        return _NOT_AN_ADDRESS, why, "write it like 203.0.113.7"
    if re.search(r"[0-9][\s,;|]+[0-9]", host):
        return _NOT_AN_ADDRESS, "more than one address stands here", "write one row for each"
    if re.search("[A-Za-z]", host):
        why = "this is not an IPv4 address; the API takes no host names"
        return _NOT_AN_ADDRESS, why, "write the address that the name resolves to"
    return _NOT_AN_ADDRESS, "this is not an IPv4 address", "write it like 203.0.113.7"


def _range_blocks(first: str, last: str) -> str:
    """The blocks that a range consists of, where they are few enough to write down."""
    if "." not in last:
        last = first[: first.rindex(".") + 1] + last
    try:
        blocks = ipaddress.summarize_address_range(
            ipaddress.IPv4Address(first), ipaddress.IPv4Address(last)
        )
        texts = [str(block) for block in blocks]
    except ValueError:
        return "write one row for each address or block"
    if len(texts) > 6:
        return f"write one row for each address or block ({len(texts)} blocks cover it)"
    if len(texts) == 1:
        return f"write {texts[0]}"
    return "write one row for each of " + ", ".join(texts)
