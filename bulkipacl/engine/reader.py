"""Accounts that only read: the engine's accounts, scheduler and readings, without a run directory.

Link          whom to ask, and how
Reader        runs what only reads in an event loop;  read   does, until it ends or a signal comes
Forbearing    an account for readings that may be forbidden to a credential which is good
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import anyio
from anyio.abc import TaskGroup

from bulkipacl.credentials import CredentialMap
from bulkipacl.engine.account import Account
from bulkipacl.engine.files import with_files_for
from bulkipacl.engine.loop import run_in_loop
from bulkipacl.engine.ports import AccountPort, Sendable
from bulkipacl.engine.run import first_error
from bulkipacl.engine.scheduler import Lane, Scheduler
from bulkipacl.engine.session import Signals
from bulkipacl.model import ApiError, Attempt, Learnt
from bulkipacl.settings import Settings
from bulkipacl.store.limits import LimitsMemory
from bulkipacl.twilio.hosts import BaseUrl
from bulkipacl.twilio.transport import Transport, open_transport

READS_AT_ONCE = 500
"""Requests in flight of all accounts together: a full list is 50 kB on its way."""

FORBIDDEN = "forbidden"
"""The reason of a reading that the credential may not make, though it is a good one."""


@dataclass(frozen=True, slots=True)
class Link:
    """Whom to ask, and how; `memory` is where what is found out about limits is kept, or None."""

    settings: Settings
    credentials: CredentialMap
    base: BaseUrl
    memory: LimitsMemory | None = None


class Reader:
    """What only reads. Heirs say in `begin` what, and call `finish` when all of it has ended.

    Attributes:
        learnt: what was found out about the limits of accounts, by sid, as far as they are done.
        requests: requests sent so far.

    Args:
        learnt: what earlier runs found out about them.
    """

    def __init__(
        self,
        settings: Settings,
        transport: Transport,
        learnt: Mapping[str, Learnt] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.settings = settings
        self.is_stopping = False
        self.uniform = (rng or random.SystemRandom()).uniform
        self.learnt: dict[str, Learnt] = {}
        self._learnt_before = learnt or {}
        self._scheduler = Scheduler(transport, settings.max_in_flight)
        self._done = anyio.Event()
        self._open: dict[int, Account] = {}
        self._loop: asyncio.AbstractEventLoop
        self._group: TaskGroup

    async def execute(self) -> None:
        """Read until `finish`."""
        self._loop = asyncio.get_running_loop()
        try:
            async with anyio.create_task_group() as self._group:
                self._scheduler.start(self._group)
                self.begin()
                await self._done.wait()
                self._scheduler.close()
        except BaseExceptionGroup as group:
            raise first_error(group) from None
        finally:
            self._scheduler.close()  # Timers of accounts and readings may still come.

    def begin(self) -> None:
        """Queue the first readings."""
        raise NotImplementedError

    def finish(self) -> None:
        """Nothing is left to be read."""
        self._done.set()

    @property
    def requests(self) -> int:
        """Requests sent so far."""
        return self._scheduler.sent

    def open_account(self, number: int, sid: str) -> Account:
        """An account that is to be read."""
        known = self.learnt.get(sid) or self._learnt_before.get(sid)
        account = self._open[number] = Account(self, number, sid, known)
        if self.settings.rate_per_s is not None:
            self._group.start_soon(account.keep_pace)
        return account

    def close_account(self, account: Account) -> None:
        """Nothing of it is left to be read."""
        account.retire()
        del self._open[account.number]
        found = account.governor.learnt()
        if found is not None:
            self.learnt[account.sid] = found

    # --- what accounts ask ----------------------------------------------------------------

    def now(self) -> float:
        """The event loop's time, in seconds."""
        return self._loop.time()

    def call_later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call it from the event loop after so long."""
        self._loop.call_later(max(delay_s, 0.0), call)

    def wake(self, lane: Lane) -> None:
        """An account may have become able to send."""
        self._scheduler.wake(lane)

    def hungry(self, account: Account) -> None:
        """An account could do with more to read."""

    def account_stopped(self, number: int, sid: str, reason: str, error: ApiError) -> None:
        """Nothing more is sent for an account: its readings are told so themselves."""


R = TypeVar("R", bound=Reader)


class Forbearing:
    """The account as a reading sees it that may be forbidden, without the account being so."""

    def __init__(self, inner: AccountPort) -> None:
        self._inner = inner
        self.sid = inner.sid
        self.retries = inner.retries

    @property
    def is_in_trouble(self) -> bool:
        """Whether the account as a whole gets nothing but trouble."""
        return self._inner.is_in_trouble

    def now(self) -> float:
        """The event loop's time, in seconds."""
        return self._inner.now()

    def push(self, sendable: Sendable) -> None:
        """Queue it."""
        self._inner.push(sendable)

    def again(self, sendable: Sendable, failures: int, attempt: Attempt | None) -> None:
        """Queue it after a back-off."""
        self._inner.again(sendable, failures, attempt)

    def throttled(self, sendable: Sendable, attempt: Attempt) -> None:
        """It was answered 429."""
        self._inner.throttled(sendable, attempt)

    def refused(self, sendable: Sendable, error: ApiError) -> None:
        """This is not for the credential to see: the account goes on without it."""
        sendable.dropped(FORBIDDEN, error)


def read(link: Link, make: Callable[[Settings, Transport, Mapping[str, Learnt]], R]) -> R:
    """Run a reader to its end.

    Raises:
        KeyboardInterrupt: a signal to stop came; nothing is left under way.
        BulkError: what the reader hands its findings to could not go on.
    """
    with Signals() as signals:
        reader = run_in_loop(partial(_read, link, make, signals))
    if signals.count:
        raise KeyboardInterrupt
    return reader


async def _read(
    link: Link,
    make: Callable[[Settings, Transport, Mapping[str, Learnt]], R],
    signals: Signals,
) -> R:
    at_once = min(link.settings.max_in_flight, READS_AT_ONCE)
    settings, memory = with_files_for(replace(link.settings, max_in_flight=at_once)), link.memory
    transport = open_transport(settings, link.base, link.credentials)
    learnt = {} if memory is None else memory.of_host(link.base.origin, time.time())
    reader = make(settings, transport, learnt)
    loop = asyncio.get_running_loop()
    try:
        with anyio.CancelScope() as scope:

            def stop(count: int) -> None:
                loop.call_soon_threadsafe(scope.cancel)

            with signals.hearing(stop):
                if signals.count:  # It came while the loop was being made.
                    scope.cancel()
                await reader.execute()
    finally:
        await transport.aclose()
        if memory is not None:
            with suppress(OSError):  # It is never worse off for not being able to.
                memory.keep(link.base.origin, reader.learnt, time.time())
    return reader
