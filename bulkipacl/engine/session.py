"""One session of sending: an event loop, a transport, an engine, and the signals that stop it.

Stage          where a job is done, and who is told
carry_out      send what has no outcome yet, until it is done or told to stop
StoppedError   the run directory failed in the middle of it;  stopped   what makes one
Signals        who hears of Ctrl-C, SIGTERM and SIGHUP, from a run's beginning to its last report
finished_first, UnreportedError
               what they mean while the reports are written
"""

from __future__ import annotations

import asyncio
import shlex
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import anyio

from bulkipacl.engine.arrival import Arrival
from bulkipacl.engine.files import with_files_for
from bulkipacl.engine.job import Inputs, Job, Observer, resume_command
from bulkipacl.engine.loop import run_in_loop
from bulkipacl.engine.run import Engine, first_error
from bulkipacl.engine.sender import Sender
from bulkipacl.errors import BulkError, InputError, StoreError
from bulkipacl.report import StreamLines
from bulkipacl.store import views
from bulkipacl.store.rundir import DATABASE, RunDirectory
from bulkipacl.twilio.transport import open_transport

INTERRUPTED = "interrupted"
INPUT_UNFINISHED = "input_unfinished"
STORE_FAILED = "store_failed"


class StoppedError(StoreError):
    """The run directory failed in mid-run; it is there, and the run can be resumed: exit 7 or 130.

    Attributes:
        ending: how the run ended, for the run directory, should it take that.
    """

    def __init__(self, message: str, *, ending: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.ending = ending
        self.exit_code = 130 if ending == INTERRUPTED else 7


class UnreportedError(BulkError):
    """A run that was interrupted a second time, while its reports were written."""

    exit_code = 130

    def __init__(self, job: Job, *, is_resumable: bool) -> None:
        then = f"; then: {resume_command(job)}" if is_resumable else ""
        report = shlex.join(["bulkipacl", "report", str(job.run_path)])
        super().__init__(
            f"interrupted before the reports of {job.run_path} were finished",
            hint=f"every outcome is recorded, and this writes them: {report}{then}",
        )


class Signals:
    """What a signal to stop means, which is another thing in each part of a run.

    Outside of `hearing` it is counted and nothing else. The handlers stay the same from the first
    row to the last report, so that no signal falls between two parts. A SIGHUP that was ignored
    from the start (`nohup`) stays so.

    Attributes:
        count: how many have come.
        heard: how many of them have had an effect; the others came between two parts.
    """

    def __init__(self) -> None:
        self.count = 0
        self.heard = 0
        self._hear: Callable[[int], object] = _count
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signum != signal.SIGHUP or signal.getsignal(signum) is not signal.SIG_IGN:
                    self._before[signum] = signal.signal(signum, self._came)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for signum, before in self._before.items():
            signal.signal(signum, before)

    @contextmanager
    def hearing(self, hear: Callable[[int], object]) -> Iterator[None]:
        """Inside, `hear` is called with the number of each signal instead."""
        before, self._hear = self._hear, hear
        try:
            yield
        finally:
            self._hear = before

    def held(self) -> AbstractContextManager[None]:
        """Inside, signals are counted and nothing else."""
        return self.hearing(_count)

    def interrupting(self) -> AbstractContextManager[None]:
        """Inside, signals end what is being done with a KeyboardInterrupt, like Ctrl-C."""
        return self.hearing(self._interrupt)

    def _interrupt(self, count: int) -> None:
        self.heard = count
        raise KeyboardInterrupt

    def _came(self, signum: int, frame: object) -> None:
        # A terminal that is closed sends it twice, by the system and by the shell: that is no
        # person who cannot wait.
        if signum == signal.SIGHUP and self.count:
            return
        self.count += 1
        self._hear(self.count)


def _count(count: int) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a job is done: its run directory, and who is told.

    Attributes:
        stream: is told of rows as they end, or None.
        signals: what stops it.
    """

    run: RunDirectory
    job: Job
    observer: Observer
    stream: StreamLines | None
    signals: Signals = field(default_factory=Signals)


def carry_out(
    stage: Stage,
    *,
    rows: int | None = None,
    inputs: Inputs | None = None,
    make: type[Engine] = Engine,
) -> str:
    """Send what has no outcome yet; returns how it ended.

    Args:
        rows: how many there are, where that is known.
        inputs: what is still to be taken in while it is sent.
        make: what carries it out.

    Raises:
        StoppedError: the run directory cannot be written any more; nothing unrecorded was sent.
        StoreError: the same, and it is not there any more either.
        InputError: what was to be taken in could not be read, and not one row came of it.
    """
    with stage.signals.held():
        return run_in_loop(partial(_carry_out, stage, rows, inputs, make))


async def _carry_out(
    stage: Stage, rows: int | None, inputs: Inputs | None, make: type[Engine]
) -> str:
    async with _opened(stage, make, is_input_open=inputs is not None) as engine:
        return await _send(stage, engine, rows, inputs)


@asynccontextmanager
async def _opened(
    stage: Stage, make: type[Engine], *, is_input_open: bool
) -> AsyncIterator[Sender]:
    """What carries the run out: an engine, or one in each of several processes."""
    job, stream = stage.job, stage.stream
    on_ended = stream.ended if stream is not None else None
    learnt = {} if job.memory is None else job.memory.of_host(job.base.origin, time.time())
    if job.spread is not None and make is Engine:
        spread = job.spread(stage.run, job, learnt, on_ended, is_input_open=is_input_open)
        if spread is not None:
            yield spread
            return
    settings = with_files_for(job.settings)
    transport = open_transport(settings, job.base, job.credentials)
    reach = job.credentials.for_account
    try:
        yield make(stage.run, settings, transport, on_ended=on_ended, reach=reach, learnt=learnt)
    finally:
        await transport.aclose()


async def _send(stage: Stage, engine: Sender, rows: int | None, inputs: Inputs | None) -> str:
    observer, stream = stage.observer, stage.stream
    arrival = None if inputs is None else Arrival(stage.run, inputs, observer, engine, stream)
    cut_off: list[InputError] = []
    try:
        async with anyio.create_task_group() as group:
            with _stopped_by(stage.signals, engine, observer):
                observer.sending(engine, rows)
                if arrival is not None:
                    group.start_soon(_take_in, arrival, stage, engine, cut_off)
                await engine.execute(is_input_open=arrival is not None)
            group.cancel_scope.cancel()
    except BaseExceptionGroup as group_error:
        error = first_error(group_error)
        if isinstance(error, StoreError):
            ending = engine.stopping if engine.stopping == INTERRUPTED else STORE_FAILED
            raise stopped(stage.run, stage.job, error, ending) from error
        raise error from None
    finally:
        observer.ended()
        _remember(stage, engine)
    if cut_off and not engine.is_stopping:
        return INPUT_UNFINISHED
    return engine.ending


def _remember(stage: Stage, engine: Sender) -> None:
    """Keep what was found out about limits. A run is never worse off for not being able to."""
    if stage.job.memory is not None:
        with suppress(OSError):
            stage.job.memory.keep(stage.job.base.origin, engine.learnt, time.time())


async def _take_in(
    arrival: Arrival, stage: Stage, engine: Sender, cut_off: list[InputError]
) -> None:
    """Take in until the inputs end; where one cannot be read on, what came before is carried out.

    Rows of it may be on their way or done already, so that leaving the others would help nobody.
    """
    try:
        await arrival.work()
    except InputError as error:
        if not views.row_count(stage.run):
            raise
        cut_off.append(error)
        stage.observer.cut_off(error)
        engine.input_ended()


def stopped(
    run: RunDirectory,
    job: Job,
    error: StoreError,
    ending: str,
    *,
    so_far: str = "nothing unrecorded was sent",
) -> StoreError:
    """The error as it is told to people: a run directory that is still there can be resumed."""
    if not (run.path / DATABASE).exists():
        return error
    hint = f"{so_far}; make room there, and then: {resume_command(job)}"
    return StoppedError(error.message, ending=ending, hint=hint)


@contextmanager
def _stopped_by(signals: Signals, engine: Sender, observer: Observer) -> Iterator[None]:
    """The first signal: finish what is in flight. The second: stop now."""
    loop = asyncio.get_running_loop()

    def stop(count: int) -> None:
        signals.heard = count
        observer.stopping(count)
        if count == 1:
            engine.stop(INTERRUPTED)
        else:
            engine.stop_now(INTERRUPTED)

    with signals.hearing(lambda count: loop.call_soon_threadsafe(stop, count)):
        for count in range(1, signals.count + 1):  # What came while the loop was being made.
            loop.call_soon(stop, count)
        yield


@contextmanager
def finished_first(stage: Stage) -> Iterator[None]:
    """The reports are finished after a first signal, and left after a second."""
    signals = stage.signals

    def came(count: int) -> None:
        signals.heard = count
        if count > 1:
            raise KeyboardInterrupt
        stage.observer.ended()
        stage.observer.stopping(count)

    with signals.hearing(came):
        if signals.count > signals.heard:  # One came after the last row, or just now.
            came(signals.count)
        yield
