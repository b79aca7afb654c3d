"""Writes of a list that may land late, and the outcomes held back for them.

A row whose write was ambiguous has its outcome held back until the list's last reading, and with
it every later row on the same entry: until then nothing of them is recorded, so that a crash finds
them open and settles them together.
"""

from __future__ import annotations

from bulkipacl.engine.decide import Key, ListState
from bulkipacl.engine.repair import Found, LateWrite, find_repairs
from bulkipacl.engine.row import RowWork
from bulkipacl.model import Entry, Evidence, Operation, Outcome, RowResult, cidr_text

LANDED_LATE = "landed_late"
"""Why a row is unknown: it was decided on what a late write has made otherwise."""
LATE_LEFT = "late_left"
"""Why a row is unknown: what landed late could not be put right."""


def is_plain_no(result: RowResult) -> bool:
    """Whether the API was asked and refused: what no later reading of the list can show."""
    return result.outcome is Outcome.FAILED and result.attempts > 0


class Late:
    """What may still land in one list.

    Attributes:
        works: rows of which a write may have had its effect, or may yet, by number.
        at: a settle time before the list is to be read for the last time (loop time).

    Args:
        settle_s: the settle time; what lands within two of them is found.
    """

    def __init__(self, settle_s: float) -> None:
        self.at = 0.0
        self._settle_s = settle_s
        self.works: dict[int, RowWork] = {}
        self._held: dict[int, RowResult] = {}
        self._told: set[int] = set()
        # Lanes go by the identity of their rows' deque, which a row in `works` keeps alive.
        self._lanes: dict[int, int] = {}
        self._given_up: dict[int, float] = {}

    def __bool__(self) -> bool:
        """Whether a last reading is needed."""
        return bool(self.works)

    def add(self, work: RowWork, now: float) -> None:
        """A write of this row may have had its effect, or may yet."""
        self.works[work.row.number] = work
        self._given_up[id(work.lane)] = self.at = now

    def has(self, work: RowWork) -> bool:
        """Whether a write of this row may land late."""
        return work.row.number in self.works

    def holds_back(self, work: RowWork, result: RowResult) -> bool:
        """Hold this row's outcome back, if a late write can still change what it says.

        A plain no of the API is not held: it leaves no trace in the list by which a resume could
        tell.
        """
        number, lane = result.number, id(work.lane)
        is_late = number in self.works
        if result.outcome is Outcome.UNKNOWN:
            self._told.add(number)
            return False
        if not is_late and (not work.follows_held or is_plain_no(result)):
            return False
        self._held[number] = result
        self._lanes[number] = lane
        if work.follows_held or work.landings > 1 or result.outcome is Outcome.FAILED:
            # More may land than the reading showed that settled it, up to two settle times after.
            self.at = max(self.at, self._given_up.get(lane, 0.0) + self._settle_s)
        return True

    def release(self) -> list[RowResult]:
        """The outcomes that were held back."""
        held, self._held = self._held, {}
        return list(held.values())

    def drop(self) -> list[int]:
        """They cannot be settled: their outcomes stay open. Returns the rows that this is about."""
        numbers = sorted((self.works.keys() | self._held.keys()) - self._told)
        self.works, self._held = {}, {}
        return numbers

    # --- the last reading -----------------------------------------------------------------

    def settle(
        self, now: tuple[Entry, ...], state: ListState, known: set[str], read_at: float
    ) -> tuple[list[Found], list[int]]:
        """The last reading: what is left to put right, and rows that stay open.

        A row that was stopped on its way has no outcome yet; where its effect can be seen it ends
        well, and where it cannot be seen yet a later reading is waited for. So does a row that was
        given up as failed, if nothing was decided on that: a create gets the entry that turned up.
        Where a later row was decided on what has come otherwise, all of their lane stays open.
        """
        works, self.works = self.works, {}
        alone = self._failed_alone()
        for number, work in works.items():
            if number not in self._held:
                if not work.recognise(now) and number not in self._told:
                    self._wait_longer(work, read_at)
            elif number in alone and work.may_be_recognised:
                held = self._held.pop(number)
                if not work.recognise(now):
                    self._held[number] = held
        lanes = self._misled(works, now, state, known)
        writes = [
            LateWrite(number, work.write, number in alone or number not in self._held)
            for number, work in works.items()
            if id(work.lane) not in lanes
        ]
        repairs = []
        for found in find_repairs(writes, state, known, now):
            if found.write is None:
                self._held.pop(found.number, None)
                works[found.number].done(found.entry, Evidence.READ_BACK)
            else:
                repairs.append(found)
        misled = [number for number in self._held if self._lanes[number] in lanes]
        for number in misled:
            del self._held[number]
        return repairs, misled

    def settle_gone(self) -> None:
        """The list is not there any more: nothing of it is either."""
        works, self.works = self.works, {}
        for number, work in works.items():
            if number not in self._held:
                work.recognise(())

    def _wait_longer(self, work: RowWork, read_at: float) -> None:
        at = self._given_up[id(work.lane)] + self._settle_s
        if read_at < at + self._settle_s / 2:  # The reading at `at`, and not the one after it.
            self.works[work.row.number] = work
            self.at = at

    def _failed_alone(self) -> set[int]:
        """Rows that were given up as failed, and nothing that is held was decided on that."""
        last: dict[int, int] = {}
        for number in self._held:
            lane = self._lanes[number]
            last[lane] = max(number, last.get(lane, 0))
        return {n for n in last.values() if self._held[n].outcome is Outcome.FAILED}

    def _misled(
        self, works: dict[int, RowWork], now: tuple[Entry, ...], state: ListState, known: set[str]
    ) -> set[int]:
        """Lanes in which a row was decided on what a late write has made otherwise for good.

        A delete that was given up has removed what a later row found there; or a later row found
        there what a create of its own lane has made.
        """
        sids = {entry.sid for entry in now}
        found: set[tuple[int, Key, str]] = set()
        for number, held in self._held.items():
            if held.outcome is Outcome.UNCHANGED and held.sid not in known:
                key = (held.address or 0, held.prefix or 0)
                found.add((self._lanes[number], key, held.name or ""))
        lanes = set()
        for number, work in works.items():
            wanted, lane = work.write.wanted, id(work.lane)
            if work.write.operation is Operation.CREATE:
                is_misled = (lane, wanted.key, wanted.name) in found
            else:
                is_removed = wanted.sid in state.entries and wanted.sid not in sids
                is_misled = work.write.operation is Operation.DELETE and is_removed
            if is_misled and number in self._held:
                lanes.add(lane)
        return lanes

    def repaired(self, found: Found, *, is_done: bool, list_sid: str) -> tuple[str, str]:
        """What to note of a repair, as (kind, text); the row's outcome says so too."""
        what = f"row {found.number}: {cidr_text(*found.entry.key)} ({found.entry.sid}) of list "
        what += f"{list_sid} landed late"
        if not is_done:
            return LATE_LEFT, f"{what} and is still so: `bulkipacl resume` the run"
        is_removal = found.write is not None and found.write.operation is Operation.DELETE
        kind = "late_duplicate_removed" if is_removal else "late_update_undone"
        held = self._held.get(found.number)
        if held is not None:
            self._held[found.number] = held._replace(reason=kind)
        return kind, f"{what} and was {'removed' if is_removal else 'set right'}"
