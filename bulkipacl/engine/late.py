"""Writes of a list that may land late, and the outcomes held back for them.

A row whose write was ambiguous has its outcome held back until the list's last reading, and with
it every later row on the same entry: until then nothing of them is recorded, so that a crash finds
them open and settles them together.
"""

from __future__ import annotations

from bulkipacl.engine.decide import ListState
from bulkipacl.engine.repair import Found, LateWrite, find_repairs
from bulkipacl.engine.row import RowWork
from bulkipacl.model import Entry, Evidence, Operation, Outcome, RowResult, cidr_text


def is_plain_no(result: RowResult) -> bool:
    """Whether the API was asked and refused: what no later reading of the list can show."""
    return result.outcome is Outcome.FAILED and result.attempts > 0


class Late:
    """What may still land in one list.

    Attributes:
        at: when the last such write was given up (loop time).
    """

    def __init__(self) -> None:
        self.at = 0.0
        self._works: dict[int, RowWork] = {}
        self._held: dict[int, RowResult] = {}

    def __bool__(self) -> bool:
        """Whether a last reading is needed."""
        return bool(self._works)

    def add(self, work: RowWork, now: float) -> None:
        """A write of this row may have had its effect, or may yet."""
        self._works[work.row.number] = work
        self.at = now

    def has(self, work: RowWork) -> bool:
        """Whether a write of this row may land late."""
        return work.row.number in self._works

    def holds(self, work: RowWork, result: RowResult) -> bool:
        """Whether this row's outcome is to be held back.

        A plain no of the API is not: it leaves no trace in the list by which a resume could tell.
        """
        if work.row.number in self._works:
            return result.outcome is not Outcome.UNKNOWN
        return work.follows_held and not is_plain_no(result)

    def hold(self, result: RowResult) -> None:
        """Hold an outcome back."""
        self._held[result.number] = result

    def release(self) -> list[RowResult]:
        """The outcomes that were held back."""
        held, self._held = self._held, {}
        return list(held.values())

    def drop(self) -> None:
        """The last reading failed: their outcomes stay open."""
        self._works, self._held = {}, {}

    def settle(self, now: tuple[Entry, ...], state: ListState, known: set[str]) -> list[Found]:
        """The last reading: rows recognised by it end, and what is left to put right is returned.

        A row that was stopped on its way has no outcome yet; where its effect can be seen it ends
        well. A create that was given up as failed gets the entry that turned up after all.
        """
        works, self._works = self._works, {}
        for number, work in works.items():
            if number not in self._held:
                work.recognise(now)
        writes = [LateWrite(n, w.write, self._may_adopt(w)) for n, w in works.items()]
        repairs = []
        for found in find_repairs(writes, state, known, now):
            if found.write is None:
                self._held.pop(found.number, None)
                works[found.number].done(found.entry, Evidence.READ_BACK)
            else:
                repairs.append(found)
        return repairs

    def _may_adopt(self, work: RowWork) -> bool:
        """Whether an entry that turns up is the row's own: it had none, and nothing followed."""
        held = self._held.get(work.row.number)
        return held is None or (held.outcome is Outcome.FAILED and not work.lane)

    def repaired(self, found: Found, *, is_done: bool, list_sid: str) -> tuple[str, str]:
        """What to note of a repair, as (kind, text); the row's outcome says so too."""
        what = f"row {found.number}: {cidr_text(*found.entry.key)} ({found.entry.sid}) of list "
        what += f"{list_sid} landed late"
        if not is_done:
            self.drop()  # A later row may rest on what is not so: they are settled together.
            return "late_left", f"{what} and is still so: `bulkipacl resume` the run"
        is_removal = found.write is not None and found.write.operation is Operation.DELETE
        kind = "late_duplicate_removed" if is_removal else "late_update_undone"
        held = self._held.get(found.number)
        if held is not None:
            self._held[found.number] = held._replace(reason=kind)
        return kind, f"{what} and was {'removed' if is_removal else 'set right'}"
