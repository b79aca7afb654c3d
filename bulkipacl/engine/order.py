"""Who waits for whom inside a list, besides rows on the same entry. Pure bookkeeping.

A create waits for earlier deletes while the list has no room, and it leaves a place for each
earlier create that has not been sent: so rows that fit one after the other fit in any order. With
`--no-gap`, a delete waits for the creates of the list instead: for those that no delete in their
own lane stands before, since waiting for the others would be waiting in a circle. Until these have
ended, no create waits. All waits are well-founded, so something in a list is always under way
until all of it has ended.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable

from bulkipacl.engine.decide import Settled
from bulkipacl.model import Operation, Outcome, Row

NO_GAP = Settled(
    Outcome.REFUSED,
    "no_gap",
    None,
    "a create of this list did not succeed: mend it and retry, or leave out --no-gap",
)
"""How a delete ends that waited for creates (`--no-gap`), one of which did not end well."""
AFTER_UNKNOWN = Settled(
    Outcome.NOT_ATTEMPTED,
    "after_unknown",
    None,
    "an earlier row on the same entry is unknown or may yet land: `bulkipacl resume` the run",
)
"""How the rows behind one end of which nobody knows whether it was done, or will be."""

CREATES = (Operation.CREATE, Operation.UPSERT)
_DELETE = Operation.DELETE


class Order:
    """What of a list's rows has not ended yet, as far as others wait for it.

    Attributes:
        unsent: creates that have not been sent, and have not ended without: as many places may yet
            be needed.
        is_gap: a create that deletes wait for did not end well, or was invalid.
    """

    __slots__ = ("_awaited", "_deletes", "_ended", "_sorted", "is_gap", "unsent")

    def __init__(
        self, lanes: Iterable[Iterable[Row]], *, no_gap: bool, is_gap: bool = False
    ) -> None:
        self.is_gap = is_gap
        self._ended: set[int] = set()
        self._awaited: set[int] = set()
        deletes: list[int] = []
        creates: list[int] = []
        for lane in lanes:
            is_free = True
            for row in lane:
                if row.operation is Operation.DELETE:
                    deletes.append(row.number)
                    is_free = False
                elif row.operation in CREATES:
                    creates.append(row.number)
                    if no_gap and is_free:
                        self._awaited.add(row.number)
        self._deletes = deque(sorted(deletes))
        self.unsent = set(creates)
        # Only a list that is short of room asks for their order.
        self._sorted: list[int] | None = None

    def has_earlier_delete(self, row: Row) -> bool:
        """Whether a create may wait for room: a delete before it has not ended."""
        while self._deletes and self._deletes[0] in self._ended:
            self._ended.discard(self._deletes.popleft())
        return not self._awaited and bool(self._deletes) and self._deletes[0] < row.number

    def creates_before(self, row: Row) -> int:
        """Earlier creates that may yet need a place each: not sent, and not ended without."""
        if self._awaited:
            return 0
        if self._sorted is None:
            self._sorted = sorted(self.unsent)
        return bisect_left(self._sorted, row.number)

    def waits_for_creates(self, row: Row) -> bool:
        """Whether a delete has to wait for creates (`--no-gap`)."""
        return row.operation is Operation.DELETE and bool(self._awaited)

    def sent(self, row: Row) -> None:
        """A row is being sent: if it is a create, its place is taken."""
        number = row.number
        if number in self.unsent:
            self.unsent.remove(number)
            if self._sorted is not None:
                del self._sorted[bisect_left(self._sorted, number)]

    def ended(self, row: Row, *, is_good: bool) -> None:
        """A row has its outcome."""
        number = row.number
        if number in self.unsent:
            self.sent(row)
        if row.operation is _DELETE:
            self._ended.add(number)
        elif number in self._awaited:
            self._awaited.discard(number)
            self.is_gap = self.is_gap or not is_good
