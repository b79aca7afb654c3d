"""The rows of one list against each other; pure, and at worst O(n log n).

Not here: one row by itself (`checks`), rows against what the list holds (the engine's decision).

    check_rows       all of it, in row order
    _Order           contradictions and repeats: what came last on each entry
    _Room            more creates than a list can hold
    _overlaps        blocks inside blocks
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bulkipacl.intake.addresses import HOST_MASKS
from bulkipacl.intake.problems import make, warn
from bulkipacl.model import LIST_CAPACITY, Operation, Problem, Row, cidr_text

_Key = str | tuple[int, int]
"""An entry as a row names it: its sid, or its address and prefix."""


def check_rows(rows: Sequence[Row]) -> list[tuple[int, Problem]]:
    """The cross-row problems of one list's rows, as (row number, problem) in row order.

    About 3 us a row. A sid and an address may mean the same entry: only the API knows, so they
    are never compared here.
    """
    found: list[tuple[int, Problem]] = []
    order, room = _Order(), _Room()
    for row in rows:
        problems = (order.check(row), room.check(row))
        found.extend((row.number, problem) for problem in problems if problem is not None)
    found.extend(_overlaps(rows))
    found.sort(key=lambda pair: pair[0])
    return found


def _makes(row: Row) -> bool:
    return row.operation in (Operation.CREATE, Operation.UPSERT) and row.address is not None


def _block(row: Row) -> tuple[int, int] | None:
    """The address and prefix that a row gives; no prefix means /32."""
    if row.address is None:
        return None
    return row.address, row.prefix or 32


def _named(row: Row) -> _Key | None:
    """The entry that a row is about."""
    if not _makes(row):
        if row.sid is not None:
            return row.sid
        if row.match_address is not None:
            return row.match_address, row.match_prefix or 32
    return _block(row)


class _Order:
    """What was last asked of each entry, so that the next row on it can be compared."""

    def __init__(self) -> None:
        self._last: dict[_Key, Row] = {}

    def check(self, row: Row) -> Problem | None:
        key = _named(row)
        if key is None:
            return None
        earlier = self._last.get(key)
        if earlier is None or earlier.operation is not row.operation:
            self._last[key] = row
            return None
        if _asks_the_same(earlier, row):
            end = "already_gone" if row.operation is Operation.DELETE else "unchanged"
            why = f"row {earlier.number} asks the same; this row will end {end}"
            return warn("", _value(row), "repeat", why, "remove one of the two rows")
        if row.operation is Operation.CREATE:
            # The first row stays the measure: a third one may repeat it.
            why = (
                f"row {earlier.number} creates the same address under another name, "
                f"{_quoted(earlier.name)}"
            )
            hint = "keep one of the two rows, or make this one an update"
            return make("friendly_name", row.name or "", "contradiction", why, hint)
        self._last[key] = row
        return None


def _asks_the_same(one: Row, other: Row) -> bool:
    """Whether two rows of one operation on one entry differ in nothing."""
    is_by_address = _named(one) == _block(one)
    return (
        one.address == other.address
        # No prefix is /32 where the address names the entry, and "keep it" elsewhere.
        and (is_by_address or one.prefix == other.prefix)
        and one.name == other.name
        and one.sid == other.sid
        and one.match_address == other.match_address
    )


class _Room:
    """Counts the creates that no later delete made room for.

    Only what is sure to be too many is refused: a create may find its entry there already, and
    then needs no room twice, but 101 different addresses never fit into one list. Deletes that
    come before any create make no more room than the capacity.
    """

    def __init__(self) -> None:
        self._made: set[tuple[int, int]] = set()
        self._count = 0

    def check(self, row: Row) -> Problem | None:
        block = _block(row)
        if row.operation is Operation.DELETE:
            self._count = max(0, self._count - 1)
            if row.sid is None and block is not None:
                self._made.discard(block)
            return None
        if not _makes(row) or block is None or block in self._made:
            return None
        if self._count >= LIST_CAPACITY:
            why = f"a list holds at most {LIST_CAPACITY} addresses, and the rows before fill it"
            hint = "delete others first, or use a second list"
            return make("", cidr_text(*block), "too_many_creates", why, hint)
        self._made.add(block)
        self._count += 1
        return None


def _overlaps(rows: Sequence[Row]) -> Iterator[tuple[int, Problem]]:
    """Blocks that lie inside another created block of the list, each said once.

    Sorted by first address, the wider block first, a block's surroundings are a stack.
    """
    made: dict[tuple[int, int], int] = {}
    for row in rows:
        block = _block(row)
        if block is not None and _makes(row):
            made.setdefault(block, row.number)
    spans = sorted(
        (address & ~HOST_MASKS[prefix], prefix, number, address)
        for (address, prefix), number in made.items()
    )
    around: list[tuple[int, int, int]] = []
    for first, prefix, number, address in spans:
        last = first | HOST_MASKS[prefix]
        while around and around[-1][0] < first:
            around.pop()
        if around:
            _, outer, outer_number = around[-1]
            wide = cidr_text(first & ~HOST_MASKS[outer], outer)
            why = f"the block lies inside {wide} of row {outer_number}"
            hint = "leave it out, unless the wider one is to go"
            yield number, warn("ip_address", cidr_text(address, prefix), "overlap", why, hint)
        around.append((last, prefix, number))


def _value(row: Row) -> str:
    block = _named(row)
    if block is None or isinstance(block, str):
        return block or ""
    return cidr_text(*block)


def _quoted(name: str | None) -> str:
    return f"'{(name or '')[:60]}'"
