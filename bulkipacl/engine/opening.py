"""Which lists are open, how many rows of them are loaded, and what is left to be opened.

Opening   the half of the run that has to do with its lists
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import NamedTuple

import anyio
from anyio.abc import TaskGroup

from bulkipacl.engine.account import CREDENTIALS_REFUSED, Account, Share
from bulkipacl.engine.acl import OpenList
from bulkipacl.engine.admission import Admission
from bulkipacl.engine.committer import Committer
from bulkipacl.engine.feed import Feed
from bulkipacl.engine.naming import Naming
from bulkipacl.engine.ports import OpenedList, SharePort
from bulkipacl.engine.recording import Recorder
from bulkipacl.engine.scheduler import Lane, Scheduler
from bulkipacl.errors import CredentialError
from bulkipacl.intake import check_rows
from bulkipacl.model import ApiError, Learnt, Problem, Row
from bulkipacl.settings import (
    OPEN_LISTS,
    OPEN_MORE,
    OPEN_MORE_S,
    OPEN_ROWS,
    ROUND_ROWS,
    UNREAD_ROWS,
    Settings,
)
from bulkipacl.store import views
from bulkipacl.store.intake import invalid_result
from bulkipacl.store.rundir import RunDirectory
from bulkipacl.store.views import ListInfo


class _Open(NamedTuple):
    """A list that is open: whose it is, its place in the queue, and itself."""

    account: Account
    share: Share
    acl: OpenedList


class Opening(Recorder):
    """Opens lists, in the order of the feed, while there is room for their rows."""

    round_rows = ROUND_ROWS

    admission: Admission
    uniform: Callable[[float, float], float]
    _scheduler: Scheduler
    _reach: Callable[[str], object] | None
    _learnt_before: Mapping[str, Learnt]
    _loop: asyncio.AbstractEventLoop
    _group: TaskGroup

    def __init__(
        self,
        directory: RunDirectory,
        settings: Settings,
        committer: Committer,
        wall_clock: Callable[[], float],
    ) -> None:
        super().__init__(directory, settings, committer, wall_clock)
        self._feed = Feed(self._start, lambda: self._open_rows < OPEN_ROWS)
        self._open_rows = 0
        self._loaded_lists = 0
        self._is_open_later = False
        self._open: dict[int, _Open] = {}
        self._unsettled: set[int] = set()
        self._naming = Naming(self)
        self._is_input_open = False
        self._arrived_to: int | None = None
        self._checks_rounds = False
        self._has_stray_gap = False
        self._is_feeding = False
        self._done = anyio.Event()

    # --- what the run says ----------------------------------------------------------------

    @property
    def is_stopping(self) -> bool:
        """Nothing new is begun any more."""
        return bool(self.stopping)

    @property
    def now(self) -> Callable[[], float]:
        """The event loop's clock, in seconds."""
        return self._loop.time

    def call_later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call it from the event loop after so long."""
        self._loop.call_later(max(delay_s, 0.0), call)

    def wake(self, lane: Lane) -> None:
        """An account may have become able to send."""
        self._scheduler.wake(lane)

    def account_stopped(self, number: int, sid: str, reason: str, error: ApiError) -> None:
        """Nothing more is sent for an account."""
        raise NotImplementedError

    # --- opening lists --------------------------------------------------------------------

    def _start_account(self, number: int, sid: str) -> Account:
        account = Account(self, number, sid, self.learnt.get(sid) or self._learnt_before.get(sid))
        if self._reach is not None:
            try:
                self._reach(sid)
            except CredentialError as exc:
                account.stop(CREDENTIALS_REFUSED, ApiError(0, 0, exc.message))
        if self.settings.rate_per_s is not None:
            self._group.start_soon(account.keep_pace)
        return account

    def _start(self, number: int, sid: str) -> tuple[Account, Iterable[int]] | None:
        """Begin with an account, if it has anything to do; returns the lists to open."""
        lists = views.lists_to_do(self.directory, number)
        first = next(lists, None)
        if first is None:
            return None
        account = self.accounts[number] = self._start_account(number, sid)
        if account.stopped is not None:
            return None
        names = views.unnamed_lists_to_do(self.directory, number)
        if not names:
            return account, chain((first,), lists)
        # A name may turn out to be one of the lists named by sid; then the rows of both are one
        # list's, in row order: so none is opened before.
        known = [one for one in (first, *lists) if one not in names]
        self._naming.look_up(account, names, known)
        return None

    def queue_list(self, account: Account, list_id: int) -> None:
        """A list has rows to carry out: open it when its turn comes."""
        is_over = account.stopped is not None or self.is_stopping
        # What a list could not settle in this session is for a resume: its round stays open.
        if not is_over and list_id not in self._unsettled:
            self._feed.queue(account, list_id)

    def _open_lists(self, *, beyond: int = 0) -> None:
        """Open lists while there is room.

        Args:
            beyond: so many even if there are rows enough.
        """
        if self._is_feeding:
            return
        self._is_feeding = True
        while not self.is_stopping and len(self._open) < OPEN_LISTS:
            rows = self._open_rows + UNREAD_ROWS * (len(self._open) - self._loaded_lists)
            if rows >= OPEN_ROWS and not beyond:
                self._open_later()
                break
            beyond = max(0, beyond - 1)
            taken = self._feed.take()
            if taken is None:
                break
            self._open_list(*taken)
        self._is_feeding = False

    def _open_later(self) -> None:
        """Where accounts are dead or crawl, their rows do not keep others from being opened."""
        if not self._is_open_later:
            self._is_open_later = True
            self._loop.call_later(OPEN_MORE_S, self._open_more, self.now() + OPEN_MORE_S)

    def _open_more(self, due: float) -> None:
        self._is_open_later = False
        # A loop that comes too late to this has more to do than it can, whoever waits for it.
        is_late = self.now() - due > OPEN_MORE_S / 4
        is_busy = is_late or self._scheduler.is_full or self._scheduler.waiting
        self._open_lists(beyond=0 if is_busy else OPEN_MORE)

    def _open_list(self, account: Account, list_id: int) -> None:
        info = views.list_info(self.directory, list_id)
        if not info.sid or self._naming.is_busy(account):
            # A name that is being looked up may turn out to be this list: its rows come in between.
            self._feed.put_back(list_id)
            names = {} if info.sid else {info.id: info.name}
            self._naming.look_up(account, names, [info.id] if info.sid else [])
            return
        is_gap = self.settings.no_gap and (
            self._has_stray_gap or views.has_invalid_creates(self.directory, list_id)
        )
        share = account.share()
        one = self.open_list(share, info, is_gap=is_gap)
        self._open[list_id] = _Open(account, share, one)
        one.start()

    def rows_of_round(self, list_id: int) -> tuple[list[Row], bool]:
        """The rows of a list's next round, and whether it may have more."""
        rows = views.rows_to_do(self.directory, list_id, self.round_rows)
        has_more = len(rows) == self.round_rows
        if self._is_input_open and self._arrived_to is not None:
            # What has just come into the store, and was not told of, can belong between these.
            rows = [row for row in rows if row.number <= self._arrived_to]
        if self._checks_rounds:
            rows = self._without_invalid(rows)
        return rows, has_more

    def took_rows(self, share: SharePort, count: int) -> None:
        """A list has loaded so many rows."""
        self._open_rows += count
        self._loaded_lists += 1
        share.expect(count)

    def open_list(self, share: Share, info: ListInfo, *, is_gap: bool) -> OpenedList:
        """A round of a list."""
        return OpenList(self, share, info, is_gap=is_gap)

    def _without_invalid(self, rows: list[Row]) -> list[Row]:
        """Rows of one list checked against each other, where the whole input could not be."""
        errors: dict[int, list[Problem]] = {}
        for number, problem in check_rows(rows):
            if not problem.is_warning:
                errors.setdefault(number, []).append(problem)
        for number, problems in errors.items():
            self.record(invalid_result(number, problems))
        return [row for row in rows if row.number not in errors]

    def list_closed(
        self, list_id: int, round_number: int | None, *, has_more: bool, is_unsettled: bool
    ) -> None:
        """A list is done with; its open round, if a number is given, is closed."""
        if is_unsettled:
            self._unsettled.add(list_id)
        account, share, one = self._open.pop(list_id)
        if one.has_rows:
            self._loaded_lists -= 1
            self._open_rows -= one.rows_count
        account.closed(share, is_ended=round_number is not None)
        if round_number is not None:
            self._committer.batch.closed.append((list_id, round_number))
        self._feed.closed(list_id, has_more=has_more)
        # A next round asks the store what is left to do: after the commit that says so.
        self._committer.batch.after.append(lambda: self._closed(account, list_id))
        self._committer.soon(is_urgent=has_more)
        self._open_lists()
        self._retire(account)
        self._check_done()

    def _closed(self, account: Account, list_id: int) -> None:
        """All that a round had to say is in the store."""
        if self._feed.committed(list_id):
            self.queue_list(account, list_id)
            self.go_on()

    def _retire(self, account: Account) -> None:
        """Forget an account that has nothing left, so that 10,000 of them cost no memory."""
        if self._is_input_open or self._naming.pending or account.stopped is not None:
            return
        if account.in_flight or self._feed.has_left(account):
            return
        if self.accounts.pop(account.number, None) is not None:
            account.retire()
            self._throttled_before += account.governor.throttled
            self.take_leave(account)
            self._feed.forget(account)

    def _split_by_name(self, lists: Iterable[int]) -> tuple[dict[int, str], list[int]]:
        """Lists that are still to be looked up by their names, and the others."""
        infos = [views.list_info(self.directory, list_id) for list_id in lists]
        names = {info.id: info.name for info in infos if not info.sid}
        return names, [info.id for info in infos if info.sid]

    def hungry(self, account: Account) -> None:
        """An account could do with more rows to send."""
        if self._feed.hungry(account):
            self._loop.call_soon(self._open_lists)

    def go_on(self) -> None:
        """Open what can be opened, and see whether anything is left."""
        self._open_lists()
        self._check_done()

    def _check_done(self) -> None:
        if self._open:
            return
        is_waiting = self._naming.pending or self._is_input_open or not self._feed.is_empty
        if self.is_stopping or not is_waiting:
            self._done.set()
