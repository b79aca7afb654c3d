"""Reading a list again: for writes whose answers were lost, and once more at its end.

One reading serves all rows that wait for one, so that a burst of lost answers costs one GET. A
list that had any is read once more at its end, one or two settle times after the last of them was
given up: what landed late is recognised then, or put right. And where the API says that a list is
not there, it is read at once: only that tells a list that is gone from a passing fault.

    ReadBack   when a list is read again, and what its rows and the list are told of it
    Host       the list, seen from here
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from bulkipacl.engine.decide import ListState
from bulkipacl.engine.late import LANDED_LATE, LATE_LEFT, Late
from bulkipacl.engine.ports import AccountPort, RunPort
from bulkipacl.engine.reading import Reading
from bulkipacl.engine.repair import Found, Repair
from bulkipacl.engine.row import RESUME_TO_SETTLE, RowWork
from bulkipacl.model import ApiError, Entry, Outcome, RowResult
from bulkipacl.twilio import contract
from bulkipacl.twilio.contract import LIST_NOT_FOUND


class Host(Protocol):
    """The list, seen from here.

    Attributes:
        moving: rows that are on their way, and not waiting for a reading.
        gone: what the API said of a list that is not there any more.
    """

    sid: str
    state: ListState
    known: set[str]
    settle_s: float
    moving: set[RowWork]
    gone: ApiError | None

    @property
    def account(self) -> AccountPort:
        """Its account."""

    def at_once(self) -> AbstractContextManager[None]:
        """What happens inside it is one step: rows that it lets go begin after it."""

    def fail_gone(self, work: RowWork) -> None:
        """A row ends because its list is not there any more."""

    def go_on(self) -> None:
        """Begin what was let go, or close."""


class ReadBack:
    """What of one list only another reading can tell.

    Attributes:
        late: writes that may land late, and the outcomes held back for them.
        is_unsettled: a reading or a repair failed, so that the round stays open for a resume.
        is_doubted: whether the list is there at all is being asked; rows are parked meanwhile.
    """

    def __init__(self, host: Host, run: RunPort) -> None:
        self.late = Late(host.settle_s)
        self.is_unsettled = False
        self._host = host
        self._run = run
        self._waiting: list[RowWork] = []
        self._is_reading = False
        self._repairs = 0
        self._doubted: list[RowWork] = []
        self._parked: list[RowWork] = []
        self.is_doubted = False

    @property
    def is_busy(self) -> bool:
        """Whether a reading or a repair is due or under way."""
        is_reading = self._is_reading or self.is_doubted
        return is_reading or bool(self._waiting) or self._repairs > 0

    # --- rows that wait for a reading -----------------------------------------------------

    def wait(self, work: RowWork, after_s: float) -> None:
        """The row goes on when the list was read, `after_s` from now or later."""
        work.read_after = self._host.account.now() + after_s
        self._waiting.append(work)
        self._schedule()

    def _schedule(self) -> None:
        if self._is_reading or not self._waiting:
            return
        times = [work.read_after for work in self._waiting]
        due = min(max(times), min(times) + self._host.settle_s)
        self._read_at(due, self._on_reading)

    def _read_at(self, due: float, then: Callable[[Reading], None]) -> None:
        """Read the list when it is time (of the loop)."""
        self._is_reading = True
        self._run.call_later(due - self._host.account.now(), self._reading(then).start)

    def _reading(self, then: Callable[[Reading], None]) -> Reading:
        account = self._host.account
        request = contract.read_list(account.sid, self._host.sid)
        return Reading(account, request, "ip_addresses", then)

    def _on_reading(self, reading: Reading) -> None:
        self._is_reading = False
        waiting, self._waiting = self._waiting, []
        with self._host.at_once():
            self._waiting += self._tell(waiting, reading)
        self._schedule()
        self._host.go_on()

    def _tell(self, works: list[RowWork], reading: Reading) -> list[RowWork]:
        """What a reading means for rows that waited; returns those for which it came too early."""
        host = self._host
        entries = reading.entries(host.sid)
        if reading.reason == LIST_NOT_FOUND:
            host.gone = reading.error
        early = []
        for work in works:
            if entries is not None and work.read_after > reading.started_at:
                early.append(work)
                continue
            host.moving.add(work)
            if entries is not None:
                work.settle(entries)
                if work in host.moving:
                    # It is sent again, and what was given up may land yet: so the last reading
                    # comes a settle time after this one.
                    self.late.at = host.account.now()
            elif host.gone is not None:
                host.fail_gone(work)
            else:
                self.is_unsettled = True
                work.unknown(reading.reason, reading.error or ApiError(0))
        return early

    # --- a list that may be gone ----------------------------------------------------------

    def doubt(self, work: RowWork) -> None:
        """The API said to this row that its list is not there: ask at once whether that is so."""
        work.read_after = self._host.account.now()
        self._doubted.append(work)
        self._ask()

    def park(self, work: RowWork) -> None:
        """The row is not sent before that is known."""
        self._parked.append(work)

    def _ask(self) -> None:
        if self._doubted and not self.is_doubted:
            self.is_doubted = True
            self._reading(self._on_asked).start()

    def _on_asked(self, reading: Reading) -> None:
        host = self._host
        self.is_doubted = False
        doubted, self._doubted = self._doubted, []
        parked, self._parked = self._parked, []
        with host.at_once():
            self._doubted += self._tell(doubted, reading)
            for work in parked:
                if host.gone is not None:
                    host.fail_gone(work)
                else:
                    host.account.push(work)
        self._ask()
        host.go_on()

    # --- the last reading -----------------------------------------------------------------

    def read_last(self) -> None:
        """Read the list once more, when what was given up has landed or will not."""
        self._read_at(self.late.at + self._host.settle_s, self._on_last)

    def _on_last(self, reading: Reading) -> None:
        """What landed late is found, and put right where it is too much."""
        host = self._host
        self._is_reading = False
        entries = reading.entries(host.sid)
        with host.at_once():
            if reading.reason == LIST_NOT_FOUND:
                host.gone = reading.error
                self.late.settle_gone()
            elif entries is None:
                self._leave_open(self.late.drop(), reading.reason, reading.error)
            else:
                self._settle_last(entries, reading.started_at)
        host.go_on()

    def _settle_last(self, entries: tuple[Entry, ...], read_at: float) -> None:
        host = self._host
        repairs, misled = self.late.settle(entries, host.state, host.known, read_at)
        if misled:
            self._leave_open(misled, LANDED_LATE, None)
        for found in repairs:
            self._repairs += 1
            Repair(host.account, host.sid, found, self._on_repaired).start()

    def _on_repaired(self, found: Found, error: ApiError | None) -> None:
        self._repairs -= 1
        is_done = error is None
        self._run.note(*self.late.repaired(found, is_done=is_done, list_sid=self._host.sid))
        if error is not None:
            # A later row may rest on what is not so: they are settled together.
            self._leave_open(self.late.drop(), LATE_LEFT, error)
        self._host.go_on()

    def _leave_open(self, numbers: list[int], reason: str, error: ApiError | None) -> None:
        """What cannot be settled stays open, and so does the round: a resume will settle it."""
        self.is_unsettled = True
        for number in numbers:
            self._run.record(
                RowResult.of_error(
                    number,
                    Outcome.UNKNOWN,
                    reason,
                    error or ApiError(0),
                    finished_at=self._run.wall_clock(),
                    suggestion=RESUME_TO_SETTLE,
                )
            )
