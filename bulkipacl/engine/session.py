"""One session of sending: an event loop, a transport, an engine, and the signals that stop it.

Stage         where a job is done, and who is told
carry_out     send what has no outcome yet, until it is done or told to stop
terminable    SIGTERM as Ctrl-C, for the parts that do not send
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import anyio
import anyio.abc

from bulkipacl.engine.arrival import Arrival
from bulkipacl.engine.job import Inputs, Job, Observer
from bulkipacl.engine.run import Engine, first_error
from bulkipacl.report import StreamLines
from bulkipacl.store.rundir import RunDirectory
from bulkipacl.twilio.transport import open_transport

INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a job is done: its run directory, and who is told.

    Attributes:
        stream: is told of rows as they end, or None.
    """

    run: RunDirectory
    job: Job
    observer: Observer
    stream: StreamLines | None


def carry_out(stage: Stage, *, rows: int | None = None, inputs: Inputs | None = None) -> str:
    """Send what has no outcome yet; returns how it ended.

    Args:
        rows: how many there are, where that is known.
        inputs: what is still to be taken in while it is sent.
    """
    return anyio.run(partial(_carry_out, stage, rows, inputs), backend_options=_backend())


def _backend() -> dict[str, bool]:
    try:
        import uvloop  # noqa: F401
    except ImportError:
        return {}
    return {"use_uvloop": True}


async def _carry_out(stage: Stage, rows: int | None, inputs: Inputs | None) -> str:
    job, observer, stream = stage.job, stage.observer, stage.stream
    transport = open_transport(job.settings, job.base, job.credentials)
    engine = Engine(
        stage.run,
        job.settings,
        transport,
        on_ended=stream.ended if stream is not None else None,
        reach=job.credentials.for_account,
    )
    arrival = None if inputs is None else Arrival(stage.run, inputs, observer, engine, stream)
    try:
        async with anyio.create_task_group() as group:
            await group.start(_watch_signals, engine, observer)
            observer.sending(engine, rows)
            if arrival is not None:
                group.start_soon(arrival.work)
            await engine.execute(is_input_open=arrival is not None)
            group.cancel_scope.cancel()
    except BaseExceptionGroup as error:
        raise first_error(error) from None
    finally:
        observer.ended()
        await transport.aclose()
    return engine.ending


async def _watch_signals(
    engine: Engine, observer: Observer, *, task_status: anyio.abc.TaskStatus[None]
) -> None:
    """First Ctrl-C or SIGTERM: finish what is in flight. Second: stop now."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        count = 0
        async for _ in signals:
            count += 1
            observer.stopping(count)
            if count == 1:
                engine.stop(INTERRUPTED)
            else:
                engine.stop_now(INTERRUPTED)


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM ends the parts that do not send like Ctrl-C does, with a report."""

    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
