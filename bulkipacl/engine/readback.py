"""Reading a list again: for writes whose answers were lost, and once more at its end.

One reading serves all rows that wait for one, so that a burst of lost answers costs one GET. A
list that had any is read once more at its end, a settle time after the last of them was given up:
what landed late is recognised then, or put right.

    ReadBack   when a list is read again, and what its rows and the list are told of it
    Host       the list, seen from here
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from bulkipacl.engine.decide import ListState
from bulkipacl.engine.late import Late
from bulkipacl.engine.ports import AccountPort, RunPort
from bulkipacl.engine.reading import LIST_NOT_FOUND, Reading
from bulkipacl.engine.repair import Found, Repair
from bulkipacl.engine.row import RowWork
from bulkipacl.model import ApiError
from bulkipacl.twilio import contract


class Host(Protocol):
    """The list, seen from here.

    Attributes:
        moving: rows that are on their way, and not waiting for a reading.
        gone: what the API said of a list that is not there any more.
    """

    account: AccountPort
    sid: str
    state: ListState
    known: set[str]
    settle_s: float
    moving: set[RowWork]
    gone: ApiError | None

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
    """

    def __init__(self, host: Host, run: RunPort) -> None:
        self.late = Late()
        self.is_unsettled = False
        self._host = host
        self._run = run
        self._waiting: list[RowWork] = []
        self._is_reading = False
        self._repairs = 0

    @property
    def is_busy(self) -> bool:
        """Whether a reading or a repair is due or under way."""
        return self._is_reading or bool(self._waiting) or self._repairs > 0

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
        account = self._host.account
        request = contract.read_list(account.sid, self._host.sid)
        reading = Reading(account, request, "ip_addresses", then)
        self._is_reading = True
        self._run.call_later(due - account.now(), reading.start)

    def _on_reading(self, reading: Reading) -> None:
        host = self._host
        self._is_reading = False
        entries = reading.entries(host.sid)
        if reading.reason == LIST_NOT_FOUND:
            host.gone = reading.error
        waiting, self._waiting = self._waiting, []
        with host.at_once():
            for work in waiting:
                if entries is not None and work.read_after > reading.started_at:
                    self._waiting.append(work)
                    continue
                host.moving.add(work)
                if entries is not None:
                    work.settle(entries)
                    if work in host.moving:
                        # It is sent again, and what was given up may land yet: so the last
                        # reading comes a settle time after this one.
                        self.late.at = host.account.now()
                elif host.gone is not None:
                    host.fail_gone(work)
                else:
                    self.is_unsettled = True
                    work.unknown(reading.reason, reading.error or ApiError(0))
        self._schedule()
        host.go_on()

    # --- the last reading -----------------------------------------------------------------

    def read_last(self) -> None:
        """Read the list once more, a settle time after the last write that may land late."""
        self._read_at(self.late.at + self._host.settle_s, self._on_last)

    def _on_last(self, reading: Reading) -> None:
        """What landed late is found, and put right where it is too much."""
        host = self._host
        self._is_reading = False
        entries = reading.entries(host.sid)
        if reading.reason == LIST_NOT_FOUND:
            host.gone = reading.error
            entries = ()
        if entries is None:
            # Their outcome stays open, and so does the round: a resume will settle them.
            self.is_unsettled = True
            self.late.drop()
        else:
            with host.at_once():
                for found in self.late.settle(entries, host.state, host.known):
                    self._repairs += 1
                    Repair(host.account, host.sid, found, self._on_repaired).start()
        host.go_on()

    def _on_repaired(self, found: Found, error: ApiError | None) -> None:
        self._repairs -= 1
        self.is_unsettled = self.is_unsettled or error is not None
        is_done = error is None
        self._run.note(*self.late.repaired(found, is_done=is_done, list_sid=self._host.sid))
        self._host.go_on()
