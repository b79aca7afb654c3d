"""A worker process: an ordinary engine over some accounts, which writes through the parent.

It is started by `process.Worker` and knows nothing but what it is told over its standard input. It
prints nothing, hears no signal, and is gone at once when its parent is.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any

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
from bulkipacl.cluster.pipe import Pipe
from bulkipacl.cluster.process import NOT_FOR_WORKERS
from bulkipacl.credentials import Credential, CredentialMap
from bulkipacl.engine.files import with_files_for
from bulkipacl.engine.loop import run_in_loop
from bulkipacl.engine.run import Engine, first_error
from bulkipacl.errors import BulkError, CredentialError
from bulkipacl.model import Attempt, Learnt, Request
from bulkipacl.settings import FIGURES_EVERY_S, Settings
from bulkipacl.store.journal import Batch, plain
from bulkipacl.store.rundir import RunDirectory
from bulkipacl.twilio.hosts import BaseUrl
from bulkipacl.twilio.transport import Transport, open_transport


class Given(CredentialMap):
    """Credentials, and what is known of limits, as the parent has told them."""

    def __init__(self) -> None:
        super().__init__(())
        self.learnt: dict[str, Learnt] = {}
        self._given: dict[str, Credential | str] = {}

    def take(self, accounts: Sequence[AccountFields]) -> list[tuple[int, str]]:
        """Keep what was told of accounts; returns the number and sid of each."""
        for _, sid, credential, learnt in accounts:
            self._given[sid] = (
                credential if isinstance(credential, str) else Credential(*credential)
            )
            if learnt is not None:
                self.learnt[sid] = Learnt(*learnt)
        return [(number, sid) for number, sid, _, _ in accounts]

    def for_account(self, account_sid: str) -> Credential:
        """The credential of an account.

        Raises:
            CredentialError: the parent has none for it.
        """
        found = self._given[account_sid]
        if isinstance(found, str):
            raise CredentialError(found)
        return found


class Orphanless:
    """A transport that sends nothing once the parent is gone.

    The pipe tells of that, too; but a process that was halted would first send what it has ready,
    long after a resume has read the list.
    """

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self._parent = os.getppid()

    def send(self, request: Request) -> Coroutine[Any, Any, Attempt]:
        """Send a request; about 0.1 us more."""
        if os.getppid() != self._parent:
            vanish()
        return self._inner.send(request)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()


def vanish() -> None:
    """End without a trace: what this process knew is for a resume to find out."""
    os._exit(1)


class Conversation:
    """What a worker says to its parent, and hears.

    Attributes:
        begin: done with the first message.
    """

    def __init__(self) -> None:
        self.begin: asyncio.Future[Begin] = asyncio.get_running_loop().create_future()
        self.given = Given()
        self.is_over = False
        self._pipe = Pipe(self._hear, self._end)
        self._engine: Engine | None = None
        self._unheard: list[Message] = []
        self._committed: asyncio.Future[None]

    async def open(self, down: int, up: int) -> None:
        """Begin."""
        await self._pipe.open(open(down, "rb", buffering=0), open(up, "wb", buffering=0))  # noqa: ASYNC230, SIM115

    def steer(self, engine: Engine) -> None:
        """From now on what is heard goes to the engine."""
        self._engine = engine
        for message in self._unheard:
            self._steer(engine, message)
        self._tell_figures(engine)

    def _hear(self, message: Message) -> None:
        if isinstance(message, Begin):
            self.begin.set_result(message)
        elif self._engine is None:
            self._unheard.append(message)
        else:
            self._steer(self._engine, message)

    def _steer(self, engine: Engine, message: Message) -> None:
        if isinstance(message, Committed):
            self._committed.set_result(None)
        elif isinstance(message, Arrived):
            self.given.take(message.accounts)
            engine.arrived(message.pairs, message.last_row)
        elif isinstance(message, InputEnded):
            engine.input_ended()
        elif isinstance(message, Stop):
            engine.stop(message.reason)
        elif isinstance(message, StopNow):
            engine.stop_now(message.reason)

    def _end(self) -> None:
        if not self.is_over:
            vanish()

    async def write(self, batch: Batch) -> None:
        """Have a batch made durable by the parent."""
        self._committed = asyncio.get_running_loop().create_future()
        self._pipe.say(Wrote(tuple(plain(batch))))
        await self._committed

    def _tell_figures(self, engine: Engine) -> None:
        if self.is_over:
            return
        accounts = [
            (
                one.number,
                one.in_flight,
                one.ended,
                str(one.binding),
                one.governor.window,
                one.governor.pace_per_s,
                one.governor.throttled,
            )
            for one in engine.accounts.values()
        ]
        totals = (engine.in_flight, engine.requests, engine.throttled, engine.open_lists)
        self._pipe.say(Figures(*totals, accounts))
        asyncio.get_running_loop().call_later(FIGURES_EVERY_S, self._tell_figures, engine)

    async def end(self, last: Message) -> None:
        """Say the last word."""
        self.is_over = True
        self._pipe.say(last)
        await self._pipe.aclose()


async def work(down: int, up: int) -> None:
    """Carry out what the parent says, and tell it how that ended."""
    talk = Conversation()
    await talk.open(down, up)
    begin = await talk.begin
    os.environ.update(begin.proxies)
    try:
        last: Message = await _carry_out(talk, begin)
    except BulkError as exc:
        last = Failed(type(exc).__name__, exc.message, exc.hint)
    except Exception as exc:
        # The text of an unexpected exception can hold anything, a secret included.
        last = Failed("", f"{type(exc).__name__} in {_place(exc)}", None)
    await talk.end(last)


async def _carry_out(talk: Conversation, begin: Begin) -> Done:
    settings = with_files_for(Settings(**begin.settings))
    accounts = talk.given.take(begin.accounts)
    with RunDirectory.open(Path(begin.run_path), is_writable=False) as run:
        transport = Orphanless(open_transport(settings, BaseUrl(*begin.base), talk.given))
        engine = Engine(
            run,
            settings,
            transport,
            write=talk.write,
            reach=talk.given.for_account,
            learnt=talk.given.learnt,
        )
        asyncio.get_running_loop().call_soon(talk.steer, engine)
        try:
            await engine.execute(accounts, is_input_open=begin.is_input_open)
        except BaseExceptionGroup as group:
            raise first_error(group) from None
        finally:
            await transport.aclose()
    learnt = [
        (sid, one.window, one.pace_per_s, one.round_trip_s) for sid, one in engine.learnt.items()
    ]
    return Done(engine.ending, engine.requests, engine.throttled, learnt)


def _place(exc: BaseException) -> str:
    where = exc.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    return f"{where.tb_frame.f_code.co_qualname}:{where.tb_lineno}" if where else "?"


def main() -> None:
    """Be a worker."""
    for signum in NOT_FOR_WORKERS:
        signal.signal(signum, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, NOT_FOR_WORKERS)
    down, up = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)  # What anything prints must not get between the messages.
    os.dup2(nowhere, 1)
    run_in_loop(partial(work, down, up))


if __name__ == "__main__":
    main()
