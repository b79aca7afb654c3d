"""The run: every account with work, what is open of it, and how it comes to its end.

`Engine` opens lists, one per account in turn, so that no account waits for another's; it has
them carried out by the scheduler's workers, written by the committer, and ends when nothing is
left, or when it is told to stop and all that was in flight has ended.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import anyio
import orjson
from anyio.abc import TaskGroup

from bulkipacl.engine.account import BLOCKED, CREDENTIALS_REFUSED, Account, Share
from bulkipacl.engine.acl import OpenList
from bulkipacl.engine.admission import Admission
from bulkipacl.engine.committer import Committer, Offload, Write, in_thread, to_journal
from bulkipacl.engine.feed import Feed
from bulkipacl.engine.naming import Naming
from bulkipacl.engine.ports import AccountPort, OpenedList
from bulkipacl.engine.recording import Recorder, hint_for
from bulkipacl.engine.sampling import Sampler
from bulkipacl.engine.scheduler import Lane, Scheduler
from bulkipacl.errors import BulkError, CredentialError
from bulkipacl.intake import check_rows
from bulkipacl.model import ApiError, Learnt, Problem, Row, RowResult
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
from bulkipacl.twilio.transport import Transport

MAX_FAILURES = "max_failures"
DEADLINE = "deadline"
ELAPSED_S = "elapsed_s"


class _Open(NamedTuple):
    """A list that is open: whose it is, its place in the queue, and itself."""

    account: Account
    share: Share
    acl: OpenedList


class Engine(Recorder):
    """Carries out all rows of a run directory that have no outcome.

    Args:
        offload: runs a commit, which blocks.
        write: makes batches durable, where another process does that.
        on_ended: told of rows whose outcome has just become durable.
        reach: raises CredentialError where an account has no credential.
        learnt: what earlier runs found out about the limits of accounts, by sid.
    """

    round_rows = ROUND_ROWS

    def __init__(
        self,
        directory: RunDirectory,
        settings: Settings,
        transport: Transport,
        *,
        offload: Offload = in_thread,
        write: Write | None = None,
        on_ended: Callable[[Sequence[RowResult]], None] | None = None,
        reach: Callable[[str], object] | None = None,
        learnt: Mapping[str, Learnt] | None = None,
        rng: random.Random | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        committer = Committer(write or to_journal(directory, offload), on_ended)
        super().__init__(directory, settings, committer, wall_clock)
        self.admission = Admission(directory, settings, self.note)
        self.uniform = (rng or random.SystemRandom()).uniform
        self._scheduler = Scheduler(transport, settings.max_in_flight)
        self._reach = reach
        self._learnt_before = learnt or {}
        self._is_blocked = False
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
        self._loop: asyncio.AbstractEventLoop
        self._group: TaskGroup

    # --- the whole ------------------------------------------------------------------------

    async def execute(
        self, accounts: Iterable[tuple[int, str]] | None = None, *, is_input_open: bool = False
    ) -> None:
        """Carry everything out. Returns when every row ended, or after `stop`.

        Args:
            accounts: (number, sid) of those to carry out; None: all of the run.
            is_input_open: rows still arrive; they are told of by `arrived` and `input_ended`.

        Raises:
            StoreError: the run directory cannot be written; nothing unrecorded was sent.
        """
        self._loop = asyncio.get_running_loop()
        if self.settings.no_gap:
            self._has_stray_gap = views.has_invalid_creates(self.directory, None)
        self._is_input_open = self._checks_rounds = is_input_open
        started_at = self.now()
        if not is_input_open:
            self._feed.begin(views.accounts(self.directory) if accounts is None else accounts)
        try:
            async with anyio.create_task_group() as self._group:
                self._scheduler.start(self._group)
                if self.settings.deadline_s is not None:
                    self._loop.call_later(self.settings.deadline_s, self.stop, DEADLINE)
                self._group.start_soon(self._commit_all)
                self._sample(Sampler(self.accounts, started_at))
                self.go_on()
                await self._done.wait()
                self._scheduler.close()
                self._committer.close()
        except BaseExceptionGroup as group:
            raise first_error(group) from None
        finally:
            self._scheduler.close()  # Timers of accounts and rows may still come.
            for account in self.accounts.values():
                self.take_leave(account)
            elapsed_s = self.now() - started_at
            self._committer.batch.figures += [
                ("requests", self.requests), ("throttled", self.throttled), (ELAPSED_S, elapsed_s)
            ]  # fmt: skip
            await self._committer.flush()

    def _sample(self, sampler: Sampler) -> None:
        if not self._scheduler.is_closed:
            self.add_samples(sampler.take(self.wall_clock()))
            self._loop.call_later(sampler.next_in_s(self.now()), self._sample, sampler)

    async def _commit_all(self) -> None:
        await self._committer.work()
        self._group.cancel_scope.cancel()

    def stop(self, reason: str) -> None:
        """Begin nothing new; what is in flight ends, what is ambiguous is read back."""
        if self.stopping:
            # A person's word stands above the run's own limits: 130 is the first of the exit codes.
            if reason not in (DEADLINE, MAX_FAILURES):
                self.stopping = reason
            return
        self.stopping = reason
        self._feed.clear()
        for _, _, one in list(self._open.values()):
            one.halt()
        self._check_done()

    def stop_now(self, reason: str) -> None:
        """Cut what is in flight. Its rows are unknown until a resume settles them."""
        self.stopping = reason
        self._scheduler.close()
        for account, _, one in self._open.values():
            self.leave(account, one.never_sent())
        self._group.cancel_scope.cancel()

    @property
    def ending(self) -> str:
        """How the run ended, once it has."""
        return self.stopping or ("breaker" if self._is_blocked else "finished")

    @property
    def is_stopping(self) -> bool:
        """Nothing new is begun any more."""
        return bool(self.stopping)

    @property
    def in_flight(self) -> int:
        """Requests sent and unanswered."""
        return self._scheduler.in_flight

    @property
    def requests(self) -> int:
        """Requests sent in this session."""
        return self._scheduler.sent

    @property
    def open_lists(self) -> int:
        """Lists under way."""
        return len(self._open)

    # --- input that arrives while it is sent ------------------------------------------------

    def arrived(self, pairs: Iterable[tuple[int, int]], last_row: int | None = None) -> None:
        """Lists, as (account, list) numbers, have new rows in the store.

        Args:
            last_row: up to which number; None: whatever is there.
        """
        self._arrived_to = last_row
        lists_of: dict[int, list[int]] = {}
        for account_id, list_id in pairs:
            lists_of.setdefault(account_id, []).append(list_id)
        for account_id, lists in lists_of.items():
            account = self.accounts.get(account_id)
            if account is None:
                sid = views.account_sid(self.directory, account_id)
                account = self.accounts[account_id] = self._start_account(account_id, sid)
            names, known = self._split_by_name(lists)
            if names or self._naming.is_busy(account):
                self._naming.look_up(account, names, known)
            else:
                for list_id in known:
                    self.queue_list(account, list_id)
        self.go_on()

    def _split_by_name(self, lists: Iterable[int]) -> tuple[dict[int, str], list[int]]:
        """Lists that are still to be looked up by their names, and the others."""
        infos = [views.list_info(self.directory, list_id) for list_id in lists]
        names = {info.id: info.name for info in infos if not info.sid}
        return names, [info.id for info in infos if info.sid]

    def input_ended(self) -> None:
        """No more rows arrive."""
        self._is_input_open = False
        self._check_done()

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

    def took_rows(self, share: AccountPort, count: int) -> None:
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

    # --- what accounts and lists ask ------------------------------------------------------

    @property
    def now(self) -> Callable[[], float]:
        """The event loop's clock, in seconds."""
        return self._loop.time

    def call_later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call it from the event loop after so long."""
        self._loop.call_later(max(delay_s, 0.0), call)

    def hungry(self, account: Account) -> None:
        """An account could do with more rows to send."""
        if self._feed.hungry(account):
            self._loop.call_soon(self._open_lists)

    def wake(self, lane: Lane) -> None:
        """An account may have become able to send."""
        self._scheduler.wake(lane)

    def too_many_failures(self) -> None:
        """More rows than `--max-failures` did not end well."""
        # Not from inside a list that is just taking its turns.
        self._loop.call_soon(self.stop, MAX_FAILURES)

    def account_stopped(self, number: int, sid: str, reason: str, error: ApiError) -> None:
        """Nothing more is sent for an account: its rows are not_attempted."""
        self._is_blocked = self._is_blocked or reason == BLOCKED
        why = {
            "reason": reason,
            "status": error.status,
            "code": error.code,
            "message": error.message,
            "more_info": error.more_info,
            "suggestion": hint_for(reason),
        }
        self._committer.batch.stopped.append((sid, orjson.dumps(why).decode()))
        self._committer.soon()
        if number in self.accounts:
            self._feed.forget(self.accounts[number])
        for account, _, one in list(self._open.values()):
            if account.number == number:
                one.halt()

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


def first_error(error: BaseException) -> BaseException:
    """The error inside nested groups: ours before anything else."""
    while isinstance(error, BaseExceptionGroup):
        ours = error.subgroup(BulkError)
        error = (ours or error).exceptions[0]
    return error
