"""The main job, from files to report: what `bulkipacl apply` calls.

    apply       take in, check, send, report -> Summary
    take_in     the first half alone: every row in the store, every problem told
    carry_out   send what has no outcome yet
    conclude    keep how a run ended, and write its reports

The order is the promise: the whole input is checked before the first request, unless invalid rows
are to be skipped; then rows are sent while they still arrive.
"""

from __future__ import annotations

import signal
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import anyio
import anyio.abc
import orjson

from bulkipacl import __version__
from bulkipacl.engine.arrival import Arrival
from bulkipacl.engine.job import Inputs, Job, Observer, info_of, open_input, tell, warn_of_columns
from bulkipacl.engine.run import Engine, first_error
from bulkipacl.errors import BulkError, InputError
from bulkipacl.intake import open_source
from bulkipacl.model import RowResult, Summary
from bulkipacl.report import StreamLines, check_report_path, write_report, write_run_reports
from bulkipacl.store import views
from bulkipacl.store.crosscheck import cross_check, index_rows
from bulkipacl.store.intake import Intake
from bulkipacl.store.rundir import RunDirectory
from bulkipacl.twilio.transport import open_transport

INTERRUPTED = "interrupted"
FINISHED = "finished"
INVALID_INPUT = "invalid_input"


def apply(job: Job, observer: Observer) -> Summary:
    """Do the whole job; returns how it ended, with report.csv and rejects.csv written.

    Raises:
        BulkError: it could not begin (nothing was sent), or the run directory failed under it.
    """
    for path in job.reports:
        check_report_path(path)
    _check_inputs(job.inputs)
    with RunDirectory.create(job.run_path) as run, _terminable():
        _describe_run(run, job)
        try:
            if job.settings.skip_invalid and not job.settings.no_gap:
                ending = _apply_as_it_comes(run, job, observer)
            else:
                ending = _apply_whole(run, job, observer)
        except KeyboardInterrupt:
            ending = INTERRUPTED
        except BulkError:
            views.set_meta(run, {"ending": "failed"})
            raise
        return conclude(run, ending, job.reports, job.stdout)


def conclude(
    run: RunDirectory, ending: str, reports: Sequence[str] = (), stdout: BinaryIO | None = None
) -> Summary:
    """Keep how a run ended, and write its reports."""
    views.set_meta(run, {"ending": ending})
    write_run_reports(run)
    for path in reports:
        write_report(run, path, stdout=stdout)
    return views.summary(run)


def take_in(run: RunDirectory, inputs: Inputs, observer: Observer) -> tuple[int, int]:
    """Take the whole input in and check it; returns rows, and how many of them are invalid.

    Raises:
        InputError: an input as a whole cannot be taken in.
    """
    intake = Intake(run)
    for source_id, path in enumerate(inputs.files, start=1):
        source = open_input(inputs, path, intake.rows + 1)
        try:
            for batch in intake.take(info_of(source_id, source), source.drafts()):
                tell(observer, source.name, batch)
                observer.taken_in(intake.rows)
            intake.describe(info_of(source_id, source))
            warn_of_columns(observer, source)
        finally:
            source.close()
    if not intake.rows:
        raise InputError("there is no row in the input", hint="a header alone is no row")
    index_rows(run)
    contradicted: set[tuple[int, int]] = set()
    for info, line, problem in cross_check(run):
        observer.problem(info.name, line, problem)
        if not problem.is_warning:
            contradicted.add((info.id, line))
    views.set_meta(run, {"taken_in": "yes"})
    invalid = intake.invalid + len(contradicted)
    observer.checked(intake.rows, invalid)
    return intake.rows, invalid


def validate(place: Path, inputs: Inputs, observer: Observer) -> tuple[int, int]:
    """The checks alone, in a run directory that is made at `place`; returns rows and invalid ones.

    Raises:
        InputError: an input as a whole cannot be taken in.
    """
    with RunDirectory.create(place) as run:
        return take_in(run, inputs, observer)


def _apply_whole(run: RunDirectory, job: Job, observer: Observer) -> str:
    rows, invalid = take_in(run, job.inputs, observer)
    if invalid and not job.settings.skip_invalid:
        return INVALID_INPUT
    job.credentials.resolve(sid for _, sid in views.accounts(run))
    return carry_out(run, job, observer, rows=rows)


def _apply_as_it_comes(run: RunDirectory, job: Job, observer: Observer) -> str:
    """Send while the input still arrives."""
    index_rows(run)
    ending = carry_out(run, job, observer, rows=None)
    if not views.row_count(run) and ending == FINISHED:
        raise InputError("there is no row in the input", hint="a header alone is no row")
    return ending


def carry_out(run: RunDirectory, job: Job, observer: Observer, *, rows: int | None) -> str:
    """Send what has no outcome yet; returns how it ended.

    Args:
        rows: rows in the store; None: they arrive while they are sent.
    """
    return anyio.run(_carry_out, run, job, observer, rows, backend_options=_backend())


def _backend() -> dict[str, bool]:
    try:
        import uvloop  # noqa: F401
    except ImportError:
        return {}
    return {"use_uvloop": True}


async def _carry_out(run: RunDirectory, job: Job, observer: Observer, rows: int | None) -> str:
    transport = open_transport(job.settings, job.base, job.credentials)
    stream = StreamLines(run, job.stream) if job.stream is not None else None

    def on_ended(results: Sequence[RowResult]) -> None:
        if stream is not None:
            stream.emit([result.number for result in results])

    engine = Engine(
        run, job.settings, transport, on_ended=on_ended, reach=job.credentials.for_account
    )
    arrival = None if rows is not None else Arrival(run, job.inputs, observer, engine)
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


def _check_inputs(inputs: Inputs) -> None:
    """Refuse inputs that cannot be opened, before a run directory is made for them."""
    for path in inputs.files:
        if path != "-":
            open_source(path, inputs.defaults, format=inputs.format).close()


def _describe_run(run: RunDirectory, job: Job) -> None:
    views.set_meta(
        run,
        {
            "id": uuid.uuid4().hex,
            "command": "apply",
            "version": __version__,
            "created_at": repr(time.time()),
            "settings": orjson.dumps(job.settings.as_dict()).decode(),
            "base_url": job.base.origin,
        },
    )


@contextmanager
def _terminable() -> Iterator[None]:
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
