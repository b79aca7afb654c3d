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

import anyio
import orjson

from bulkipacl.engine.account import BLOCKED
from bulkipacl.engine.admission import Admission
from bulkipacl.engine.committer import Committer, Offload, Write, in_thread, to_journal
from bulkipacl.engine.opening import Opening
from bulkipacl.engine.recording import hint_for
from bulkipacl.engine.sampling import Sampler
from bulkipacl.engine.scheduler import Scheduler
from bulkipacl.errors import BulkError
from bulkipacl.model import ApiError, Learnt, RowResult
from bulkipacl.settings import (
    Settings,
)
from bulkipacl.store import views
from bulkipacl.store.rundir import RunDirectory
from bulkipacl.twilio.transport import Transport

MAX_FAILURES = "max_failures"
DEADLINE = "deadline"
ELAPSED_S = "elapsed_s"


class Engine(Opening):
    """Carries out all rows of a run directory that have no outcome.

    Args:
        offload: runs a commit, which blocks.
        write: makes batches durable, where another process does that.
        on_ended: told of rows whose outcome has just become durable.
        reach: raises CredentialError where an account has no credential.
        learnt: what earlier runs found out about the limits of accounts, by sid.
    """

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

    def input_ended(self) -> None:
        """No more rows arrive."""
        self._is_input_open = False
        self._check_done()

    # --- what accounts and lists ask ------------------------------------------------------

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


def first_error(error: BaseException) -> BaseException:
    """The error inside nested groups: ours before anything else."""
    while isinstance(error, BaseExceptionGroup):
        ours = error.subgroup(BulkError)
        error = (ours or error).exceptions[0]
    return error
