"""What no person would mean: guards over what the rows of a list would do. Pure.

    findings   what of a preview a guard stands against -> Finding
    Caps       how many deletes are allowed

Each guard has a word of its own, which is the `reason` of the rows that it refuses, and an override
of its own, which opens no other guard:

    left_empty           the list would hold no entry any more                  --allow-empty
    wide_block           a row opens a block wider than --min-prefix            --allow-wide CIDR
    wide_union           the list would cover far more addresses than it does   --allow-wide CIDR
    max_deletes_of_list  more deletes than a share of the list                  --max-deletes P%
    max_deletes          more rows of the run ask for a delete than allowed     --max-deletes N
    list_full            more entries than a list can hold                      --allow-full

A finding whose override was given is open: it refuses nothing, and is told of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from bulkipacl.engine.order import CREATES
from bulkipacl.engine.preview import LIST_FULL, NO_ROOM, Preview
from bulkipacl.model import LIST_CAPACITY, Entry, Operation, Row, cidr_text
from bulkipacl.settings import (
    GENERATED_MAX_DELETES,
    GENERATED_MAX_DELETES_PERCENT,
    MIN_PREFIX,
    UNION_FACTOR,
    UNION_FROM,
    Settings,
)

LEFT_EMPTY = "left_empty"
WIDE_BLOCK = "wide_block"
WIDE_UNION = "wide_union"
MAX_DELETES_OF_LIST = "max_deletes_of_list"
MAX_DELETES = "max_deletes"

NAMED_BLOCKS = 8
"""So many blocks are named in an override; the rest are counted."""

Block = tuple[int, int]
"""The first address of a network, and its prefix."""


class Finding(NamedTuple):
    """What a guard stands against.

    Attributes:
        guard: its word.
        why: what would happen, as a sentence without a full stop.
        override: the flag that allows just this.
        is_open: the flag was given.
    """

    guard: str
    why: str
    override: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class Caps:
    """How many deletes are allowed.

    Attributes:
        asked: rows of the whole run that ask for a delete.
        is_generated: no person asked for them one by one, so that there are defaults.
    """

    asked: int = 0
    is_generated: bool = False


def findings(seen: Preview, settings: Settings, caps: Caps) -> list[Finding]:
    """What guards have to say of what a list's rows would do; nothing where all is well."""
    found = [
        _left_empty(seen, settings),
        _wide_block(seen, settings),
        _wide_union(seen, settings),
        *_max_deletes(seen, settings, caps),
        _list_full(seen, settings),
    ]
    return [one for one in found if one is not None]


def are_harmless(rows: Iterable[Row], settings: Settings) -> bool:
    """Whether rows say by themselves that they can only add small blocks; about 0.2 us a row.

    Where a list has room for all of them they pass every guard: a hundred /24 are fewer addresses
    than any guard minds.
    """
    least = max(24, settings.min_prefix)
    return all(row.operation in CREATES and (row.prefix or 32) >= least for row in rows)


def union_size(entries: Iterable[Entry]) -> int:
    """How many addresses the entries cover together, each counted once."""
    covered = end = 0
    for first, prefix in sorted({block_of(entry) for entry in entries}):
        last = first + (1 << (32 - prefix))
        if last > end:
            covered += last - max(first, end)
            end = last
    return covered


def block_of(entry: Entry) -> Block:
    """The network of an entry, whatever its host bits."""
    return entry.address >> (32 - entry.prefix) << (32 - entry.prefix), entry.prefix


def allowed_of_list(entries: int, percent: float) -> int:
    """How many deletes a share of a list allows: whole entries, and one at least (but for 0 %)."""
    return max(1 if percent > 0 else 0, int(entries * percent / 100 + 1e-9))


def _left_empty(seen: Preview, settings: Settings) -> Finding | None:
    if not seen.before or seen.after:
        return None
    return Finding(
        LEFT_EMPTY, "the list would be left empty", "--allow-empty", settings.allow_empty
    )


def _opened(seen: Preview) -> list[Block]:
    """The blocks that rows open and the list did not hold, the widest first."""
    held = {block_of(entry) for entry in seen.before}
    writes = seen.writes(Operation.CREATE, Operation.UPDATE)
    return sorted({block_of(one.wanted) for one in writes} - held, key=lambda block: block[::-1])


def _wide_block(seen: Preview, settings: Settings) -> Finding | None:
    least = settings.min_prefix
    widest = max(MIN_PREFIX, least)
    writes = seen.writes(Operation.CREATE, Operation.UPDATE)
    if all(write.wanted.prefix >= widest for write in writes):
        return None
    wide = [block for block in _opened(seen) if block[1] < widest]
    if not wide:
        return None
    shut = [one for one in wide if one[1] < least and not _is_allowed(one, settings)]
    if shut:
        why = f"{_named(shut)} would be opened, wider than /{least}"
        return Finding(WIDE_BLOCK, why, _allow_wide(shut), False)
    by_name = [block for block in wide if _is_allowed(block, settings)]
    override = _allow_wide(by_name) if by_name else f"--min-prefix {least}"
    return Finding(WIDE_BLOCK, f"{_named(wide)} would be opened", override, True)


def _wide_union(seen: Preview, settings: Settings) -> Finding | None:
    """The union of what is not named one by one: wider blocks are `_wide_block`'s."""
    if sum(1 << (32 - entry.prefix) for entry in seen.after) <= UNION_FROM:
        return None
    opened = _opened(seen)
    named = {one for one in opened if one[1] < settings.min_prefix}
    before = union_size(seen.before)
    most = max(UNION_FACTOR * before, UNION_FROM, 1 << (32 - settings.min_prefix))
    after = _union_without(seen, named)
    if after <= most:
        return None
    why = f"the list would cover {after:,} addresses, and covers {before:,}"
    allowed = [block for block in opened if _is_allowed(block, settings)]
    if _union_without(seen, named.union(allowed)) <= most:
        return Finding(WIDE_UNION, why, _allow_wide(allowed), True)
    asked: list[Block] = []
    for block in opened:
        # As many as are needed, the widest first: each opens no more than itself.
        if block not in allowed and block not in named:
            asked.append(block)
            if _union_without(seen, named.union(allowed, asked)) <= most:
                break
    return Finding(WIDE_UNION, why, _allow_wide(asked), False)


def _union_without(seen: Preview, blocks: Collection[Block]) -> int:
    return union_size(entry for entry in seen.after if block_of(entry) not in blocks)


def _max_deletes(seen: Preview, settings: Settings, caps: Caps) -> Iterable[Finding]:
    deletes, held = len(seen.writes(Operation.DELETE)), len(seen.before)
    if not deletes:
        return
    default = GENERATED_MAX_DELETES_PERCENT if caps.is_generated else None
    percent = settings.max_deletes_percent
    least = _least(default, percent)
    if least is not None and deletes > allowed_of_list(held, least):
        is_open = percent is not None and deletes <= allowed_of_list(held, percent)
        why = f"{deletes:,} of the list's {held:,} entries would be deleted, over {least:g} %"
        needed = f"--max-deletes {_percent_for(deletes, held)}%"
        yield Finding(MAX_DELETES_OF_LIST, why, needed, is_open)
    default_count = GENERATED_MAX_DELETES if caps.is_generated else None
    count = settings.max_deletes
    fewest = _least(default_count, count)
    if fewest is not None and caps.asked > fewest:
        why = f"{caps.asked:,} rows of the run ask for a delete, more than {fewest:,.0f}"
        is_open = count is not None and caps.asked <= count
        yield Finding(MAX_DELETES, why, f"--max-deletes {caps.asked}", is_open)


def _least(*caps: float | None) -> float | None:
    return min((cap for cap in caps if cap is not None), default=None)


def _percent_for(deletes: int, held: int) -> int:
    """The smallest whole share that allows so many deletes."""
    return -(-100 * deletes // max(held, 1))


def _list_full(seen: Preview, settings: Settings) -> Finding | None:
    over = sum(step.decision is NO_ROOM for step in seen.steps)
    if not over:
        return None
    why = f"the list would hold more than {LIST_CAPACITY} entries: there is no room for {over:,}"
    return Finding(LIST_FULL, why, "--allow-full", settings.allow_full)


def _is_allowed(block: Block, settings: Settings) -> bool:
    return cidr_text(*block) in settings.allow_wide


def _named(blocks: list[Block]) -> str:
    rest = f" and {len(blocks) - NAMED_BLOCKS} more" if len(blocks) > NAMED_BLOCKS else ""
    return ", ".join(cidr_text(*block) for block in blocks[:NAMED_BLOCKS]) + rest


def _allow_wide(blocks: list[Block]) -> str:
    flags = " ".join(f"--allow-wide {cidr_text(*block)}" for block in blocks[:NAMED_BLOCKS])
    rest = len(blocks) - NAMED_BLOCKS
    return f"{flags} and so on for {rest} more" if rest > 0 else flags
