"""The parent's side: worker processes in the place of one engine.

    Cluster        starts them, commits what they write, stops them, counts
    open_cluster   one, where a run is worth it

All that is written passes through here, and only here: `Committed` goes back to a worker once its
batch is durable. If a worker is lost, the others finish what is in flight and the run ends early;
what the lost one had on its way is unknown by the rules of the store, and a resume settles it.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import anyio

from bulkipacl import errors
from bulkipacl.cluster.messages import (
    AccountFields,
    Arrived,
    Begin,
    Committed,
    Done,
    Failed,
    Figures,
    InputEnded,
    Message,
    Stop,
    StopNow,
    Wrote,
)
from bulkipacl.cluster.process import Worker
from bulkipacl.cluster.shares import cores, divide, how_many, share_out
from bulkipacl.cluster.standing import AccountShown, Standing
from bulkipacl.engine.committer import in_thread
from bulkipacl.engine.job import Job
from bulkipacl.engine.recording import are_too_many
from bulkipacl.engine.run import DEADLINE, ELAPSED_S, MAX_FAILURES
from bulkipacl.engine.sender import OnEnded
from bulkipacl.errors import BulkError, CredentialError, StoreError
from bulkipacl.model import GOOD_OUTCOMES, Evidence, Learnt, Outcome, RowResult
from bulkipacl.settings import STOP_NOW_S
from bulkipacl.store import journal, views
from bulkipacl.store.journal import Batch, Writes
from bulkipacl.store.rundir import RunDirectory

PROCESS_LOST = "process_lost"
"""How a run ends of which a process has ended by itself."""

_OUTCOMES = {str(outcome.value): outcome for outcome in Outcome}
_EVIDENCE: dict[str | None, Evidence | None] = {str(each.value): each for each in Evidence}
_EVIDENCE[None] = None


class _Home(NamedTuple):
    """Where an account lives."""

    sid: str
    worker: Worker


def open_cluster(
    directory: RunDirectory,
    job: Job,
    learnt: Mapping[str, Learnt],
    on_ended: OnEnded | None,
    *,
    is_input_open: bool,
) -> Cluster | None:
    """A cluster for what is left of a run; None where one process does as well."""
    rows = {} if is_input_open else views.rows_left_of_accounts(directory)
    busy = None if is_input_open else len(rows)
    settings = job.settings
    count = how_many(settings.processes, busy, settings.max_in_flight, cores())
    return None if count == 1 else Cluster(directory, job, learnt, on_ended, (count, rows))


class Cluster:
    """Carries out all rows of a run directory that have no outcome, in worker processes.

    Attributes:
        outcomes: rows that ended in this session, by outcome.
        failures: how many of them did not end well.
        stopping: why nothing new is begun any more, or "".
        learnt: what was found out about the limits of accounts, by sid, of workers that are done.

    Args:
        learnt: what earlier runs found out, by sid.
        on_ended: told of rows whose outcome has just become durable.
        shares: how many processes, at most, and the rows left of each account by number.
    """

    def __init__(
        self,
        directory: RunDirectory,
        job: Job,
        learnt: Mapping[str, Learnt],
        on_ended: OnEnded | None,
        shares: tuple[int, Mapping[int, int]],
    ) -> None:
        self.directory = directory
        self.settings = job.settings
        self.outcomes: Counter[Outcome] = Counter()
        self.failures = 0
        self.stopping = ""
        self.learnt: dict[str, Learnt] = {}
        self._job = job
        self._learnt_before = learnt
        self._on_ended = on_ended
        count, self._rows = shares
        self._in_flight = divide(self.settings.max_in_flight, count)
        self._workers: list[Worker] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._homes: dict[int, _Home] = {}
        self._standing = Standing(lambda number: self._homes[number].sid)
        self._waiting: list[tuple[Worker, Writes]] = []
        self._told = anyio.Event()
        self._is_input_open = False
        self._arrived_to = 0
        self._error: BulkError | None = None
        self._defects: list[str] = []

    # --- the whole ------------------------------------------------------------------------

    async def execute(self, *, is_input_open: bool = False) -> None:
        """Carry everything out. Returns when every row ended, or after `stop`.

        Raises:
            StoreError: the run directory cannot be written; nothing unrecorded was sent.
            BulkError: a worker cannot go on for a reason that is the run's.
        """
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        self._is_input_open = is_input_open
        if self.settings.deadline_s is not None:
            loop.call_later(self.settings.deadline_s, self.stop, DEADLINE)
        is_broken = True
        try:
            if not is_input_open:
                self._begin()
            await self._commit_all()
            is_broken = False
        except BulkError as exc:
            is_broken = isinstance(exc, StoreError)
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await self._end(loop.time() - started_at, is_broken=is_broken)

    def _begin(self) -> None:
        """Start all workers, and give each its accounts."""
        sids = dict(views.accounts(self.directory))
        shares = share_out(list(sids), self._rows, len(self._in_flight))
        # All of them before the first has anything to do: where one cannot, nothing was sent.
        for worker, share in zip([self._start() for _ in shares], shares, strict=True):
            for number in share:
                self._homes[number] = _Home(sids[number], worker)
            self._tell_begin(worker, [self._fields(number, sids[number]) for number in share])

    def _start(self) -> Worker:
        worker = Worker(self._hear, self._ended)
        self._workers.append(worker)
        opening = asyncio.get_running_loop().create_task(worker.open())
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)
        return worker

    def _tell_begin(self, worker: Worker, accounts: list[AccountFields]) -> None:
        settings = replace(
            self.settings,
            max_in_flight=self._in_flight[self._workers.index(worker)],
            # A share is of all rows, and the deadline is one timer: both are the parent's.
            max_failures_percent=None,
            deadline_s=None,
        )
        base = self._job.base
        worker.tell(
            Begin(
                str(self.directory.path),
                settings.as_dict(),
                (base.scheme, base.host, base.port),
                {name: value for name, value in os.environ.items() if "proxy" in name.lower()},
                accounts,
                self._is_input_open,
            )
        )

    def _fields(self, number: int, sid: str) -> AccountFields:
        """What a worker is told of an account."""
        learnt = self._learnt_before.get(sid)
        limits = None if learnt is None else (learnt.window, learnt.pace_per_s, learnt.round_trip_s)
        try:
            found = self._job.credentials.for_account(sid)
        except CredentialError as exc:
            return (number, sid, exc.message, limits)
        return (number, sid, (found.username, found.secret), limits)

    async def _commit_all(self) -> None:
        """Commit what the workers write until all of them have ended."""
        while self._waiting or not self._is_over:
            if not self._waiting:
                await self._told.wait()
                self._told = anyio.Event()
                continue
            some, self._waiting = self._waiting, []
            writes = [one for _, one in some]
            with anyio.CancelScope(shield=True):
                await in_thread(partial(journal.write, self.directory, writes))
            for worker, _ in some:
                worker.tell(Committed())
            if self._on_ended is not None:
                for one in writes:
                    self._on_ended([_result(row) for row in one.results])
        if self._error is not None:
            raise self._error

    @property
    def _is_over(self) -> bool:
        if self._error is not None:
            return True
        is_open = self._is_input_open and not self.stopping
        return not is_open and all(worker.is_over for worker in self._workers)

    async def _end(self, elapsed_s: float, *, is_broken: bool) -> None:
        """End every process, and keep the figures; what a batch says of them is of one process."""
        await asyncio.gather(*self._opening)
        for worker in self._workers:
            await worker.close()
        if is_broken:
            return
        batch = Batch(
            figures=[
                ("requests", self.requests), ("throttled", self.throttled), (ELAPSED_S, elapsed_s)
            ]
        )  # fmt: skip
        batch.notes = [(PROCESS_LOST, text) for text in self._notes()]
        await in_thread(partial(journal.commit, self.directory, batch))

    def _notes(self) -> list[str]:
        found = [worker.how for worker in self._workers if worker.is_lost] + self._defects
        return [
            f"One of the {len(self._workers)} processes of the run ended before its rows did"
            f" ({how}). The others finished what was in flight; a resume carries the rest out."
            for how in found
        ]

    # --- what workers say -----------------------------------------------------------------

    def _hear(self, worker: Worker, message: Message) -> None:
        if isinstance(message, Wrote):
            writes = Writes(*message.writes)._replace(figures=())
            self._waiting.append((worker, writes))
            self._told.set()
            self._count(writes)
        elif isinstance(message, Figures):
            self._standing.told(worker, message)
        elif isinstance(message, Done):
            worker.ending = message.ending
            self._standing.ended(worker, message.requests, message.throttled)
            for sid, window, pace_per_s, round_trip_s in message.learnt:
                self.learnt[sid] = Learnt(window, pace_per_s, round_trip_s)
        elif isinstance(message, Failed):
            self._failed(worker, message)

    def _count(self, writes: Writes) -> None:
        for word, rows in Counter(row[1] for row in writes.results).items():
            outcome = _OUTCOMES[word]
            self.outcomes[outcome] += rows
            if outcome not in GOOD_OUTCOMES and outcome is not Outcome.NOT_ATTEMPTED:
                self.failures += rows
        if are_too_many(self.settings, self.failures, self.outcomes.total()):
            self.stop(MAX_FAILURES)

    def _failed(self, worker: Worker, message: Failed) -> None:
        """A worker cannot go on. What is no defect is as it would be in one process."""
        worker.ending = message.kind
        kind = getattr(errors, message.kind, None)
        if kind is None:
            self._defects.append(message.message)
            self._lose()
        elif self._error is None:
            self._error = kind(message.message, hint=message.hint)
            self._told.set()

    def _ended(self, worker: Worker) -> None:
        if worker.is_lost:
            self._standing.ended(worker)
            self._lose()
        self._told.set()

    def _lose(self) -> None:
        if not self.stopping:
            self.stop(PROCESS_LOST)

    # --- what the session asks ------------------------------------------------------------

    def stop(self, reason: str) -> None:
        """Begin nothing new; what is in flight ends, what is ambiguous is read back."""
        if self.stopping and reason in (DEADLINE, MAX_FAILURES):
            return  # A person's word stands above the run's own limits.
        self.stopping = reason
        for worker in self._workers:
            worker.tell(Stop(reason))
        self._told.set()

    def stop_now(self, reason: str) -> None:
        """Cut what is in flight. Its rows are unknown until a resume settles them."""
        self.stopping = reason
        for worker in self._workers:
            worker.tell(StopNow(reason))
        self._told.set()
        asyncio.get_running_loop().call_later(STOP_NOW_S, self._kill_all)

    def _kill_all(self) -> None:
        for worker in self._workers:
            if not worker.is_over:
                worker.kill()

    def arrived(self, pairs: Iterable[tuple[int, int]], last_row: int | None = None) -> None:
        """Lists, as (account, list) numbers, have new rows in the store; see `Engine.arrived`."""
        if self.stopping:
            return
        rows = views.rows_left_of_accounts(self.directory, self._arrived_to)
        self._arrived_to = last_row or self._arrived_to
        new: dict[Worker, list[AccountFields]] = {}
        of_workers: dict[Worker, list[tuple[int, int]]] = {}
        for account, list_id in sorted(pairs):
            if account not in self._homes:
                sid = views.account_sid(self.directory, account)
                worker = self._roomiest()
                self._homes[account] = _Home(sid, worker)
                new.setdefault(worker, []).append(self._fields(account, sid))
            worker = self._homes[account].worker
            worker.rows += rows.pop(account, 0)
            of_workers.setdefault(worker, []).append((account, list_id))
        for worker, some in of_workers.items():
            worker.tell(Arrived(new.get(worker, []), some, last_row))

    def _roomiest(self) -> Worker:
        """Where an account goes that is new: a process of its own, or that with the fewest rows."""
        if len(self._workers) < len(self._in_flight):
            worker = self._start()
            self._tell_begin(worker, [])
            return worker
        return min(self._workers, key=lambda one: one.rows)

    def input_ended(self) -> None:
        """No more rows arrive."""
        self._is_input_open = False
        for worker in self._workers:
            worker.tell(InputEnded())
        self._told.set()

    @property
    def ending(self) -> str:
        """How the run ended, once it has."""
        is_blocked = any(worker.ending == "breaker" for worker in self._workers)
        return self.stopping or ("breaker" if is_blocked else "finished")

    @property
    def is_stopping(self) -> bool:
        """Nothing new is begun any more."""
        return bool(self.stopping)

    @property
    def in_flight(self) -> int:
        """Requests sent and unanswered, as the workers last told."""
        return self._standing.in_flight

    @property
    def requests(self) -> int:
        """Requests sent in this session."""
        return self._standing.requests

    @property
    def throttled(self) -> int:
        """Answers of 429 in this session."""
        return self._standing.throttled

    @property
    def open_lists(self) -> int:
        """Lists under way."""
        return self._standing.open_lists

    @property
    def accounts(self) -> Mapping[int, AccountShown]:
        """Those under way, by number, as the workers last told."""
        return self._standing.accounts


def _result(row: tuple[Any, ...]) -> RowResult:
    """A row's outcome from its plain values."""
    return RowResult._make((row[0], _OUTCOMES[row[1]], _EVIDENCE[row[2]], *row[3:]))
