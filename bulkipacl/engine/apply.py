"""The main job, from files to report: what `bulkipacl apply` calls.

    apply          take in, check, send, report -> Summary
    apply_drafts   the same for rows that a job made
    resume         carry a run on from wherever it stopped
    validate       the checks alone
    take_in        every row in the store, every problem told

The order is the promise: the whole input is checked before the first request, unless invalid rows
are to be skipped; then rows are sent while they still arrive.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson

from bulkipacl import __version__
from bulkipacl.engine.job import Inputs, Job, Observer, info_of, open_input, tell, warn_of_columns
from bulkipacl.engine.session import INTERRUPTED, Stage, carry_out, terminable
from bulkipacl.errors import BulkError, InputError, StoreError, UsageError
from bulkipacl.intake import open_source
from bulkipacl.model import Draft, SourceInfo, Summary
from bulkipacl.report import StreamLines, check_report_path, write_report, write_run_reports
from bulkipacl.store import journal, views
from bulkipacl.store.crosscheck import cross_check, index_rows
from bulkipacl.store.intake import Intake
from bulkipacl.store.rundir import RunDirectory

FINISHED = "finished"
Work = Callable[[Stage], str]
"""Does a job; returns how it ended."""

INVALID_INPUT = "invalid_input"


def apply(job: Job, inputs: Inputs, observer: Observer) -> Summary:
    """Do the whole job; returns how it ended, with report.csv and rejects.csv written.

    Raises:
        BulkError: it could not begin (nothing was sent), or the run directory failed under it.
    """
    _check_reports(job)
    _check_inputs(inputs)
    streams = job.settings.skip_invalid and not job.settings.no_gap
    work = _apply_as_it_comes if streams else _apply_whole
    with RunDirectory.create(job.run_path) as run:
        _describe_run(run, job, "apply", is_streamed=streams)
        return _run(run, job, observer, lambda stage: work(stage, inputs))


def apply_drafts(
    job: Job,
    sources: Sequence[SourceInfo],
    drafts: Iterable[tuple[int, Draft]],
    observer: Observer,
    *,
    command: str,
) -> Summary:
    """The same for rows that something else than an input made; invalid ones are not sent.

    Args:
        drafts: (source number, draft), those of one source together.
        command: the verb that made them.
    """
    _check_reports(job)
    with RunDirectory.create(job.run_path) as run:
        _describe_run(run, job, command, is_streamed=False)
        return _run(
            run,
            job,
            observer,
            lambda stage: _apply_made(stage, sources, drafts),
        )


def resume(job: Job, observer: Observer) -> Summary:
    """Carry a run on from wherever it stopped; rows that ended are not touched.

    Raises:
        UsageError: nothing of the run may be sent, or it was sent to another host.
        LockedError: another process is at it.
    """
    _check_reports(job)
    with RunDirectory.open(job.run_path, is_writable=True) as run:
        _check_resumable(run, job)
        return _run(run, job, observer, _carry_on)


def saved_settings(path: Path) -> dict[str, Any]:
    """The settings that a run was begun with."""
    with RunDirectory.open(path, is_writable=False) as run:
        found: dict[str, Any] = orjson.loads(views.get_meta(run, "settings", "{}"))
    return found


def _run(run: RunDirectory, job: Job, observer: Observer, work: Work) -> Summary:
    """Do the work, and answer for every row, however it ends."""
    stream = StreamLines(run, job.stream) if job.stream is not None else None
    with terminable():
        try:
            ending = work(Stage(run, job, observer, stream))
        except KeyboardInterrupt:
            ending = INTERRUPTED
        except BulkError:
            _try_to_note_failure(run)
            raise
        views.set_meta(run, {"ending": ending})
        if stream is not None:
            stream.emit_open()
        write_run_reports(run)
        for path in job.reports:
            write_report(run, path, stdout=job.stdout)
        return views.summary(run)


def _resolve_credentials(stage: Stage) -> None:
    """Find out now, and not in the middle, that an account has no credential."""
    stage.job.credentials.resolve(sid for _, sid in views.accounts(stage.run))


def _try_to_note_failure(run: RunDirectory) -> None:
    """Say in the store that the run failed, unless it is the store that failed."""
    with suppress(StoreError):
        views.set_meta(run, {"ending": "failed"})


def _carry_on(stage: Stage) -> str:
    run = stage.run
    index_rows(run)
    _resolve_credentials(stage)
    journal.reopen(run)
    views.set_meta(run, {"ending": ""})
    ending = carry_out(stage, rows=views.rows_left(run))
    if ending == FINISHED and views.get_meta(run, "taken_in") != "yes":
        return "input_unfinished"
    return ending


def _check_resumable(run: RunDirectory, job: Job) -> None:
    is_whole = views.get_meta(run, "taken_in") == "yes"
    if views.get_meta(run, "ending") == INVALID_INPUT:
        raise UsageError(
            "nothing of this run was sent, because its input has invalid rows",
            hint="mend the input and apply it again, or apply it with --skip-invalid",
        )
    if not is_whole and views.get_meta(run, "is_streamed") != "yes":
        raise UsageError(
            "this run was stopped before its input was taken in; nothing of it was sent",
            hint="apply the input again",
        )
    sent_to = views.get_meta(run, "base_url")
    if sent_to != job.base.origin:
        # The credential goes where the person at the keyboard says, not where a file does.
        raise UsageError(
            f"this run was sent to {sent_to}, and not to {job.base.origin}",
            hint=f"give --base-url {sent_to}, if you trust that host with your credential",
        )


def _apply_made(
    stage: Stage, sources: Sequence[SourceInfo], drafts: Iterable[tuple[int, Draft]]
) -> str:
    run, observer = stage.run, stage.observer
    intake = Intake(run)
    by_id = {source.id: source for source in sources}
    for source_id, group in groupby(drafts, key=itemgetter(0)):
        for _ in intake.take(by_id[source_id], (draft for _, draft in group)):
            observer.taken_in(intake.rows)
    index_rows(run)
    views.set_meta(run, {"taken_in": "yes"})
    observer.checked(intake.rows, intake.invalid)
    if stage.stream is not None:
        stage.stream.emit_invalid()
    _resolve_credentials(stage)
    return carry_out(stage, rows=intake.rows)


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


def _apply_whole(stage: Stage, inputs: Inputs) -> str:
    rows, invalid = take_in(stage.run, inputs, stage.observer)
    if stage.stream is not None:
        stage.stream.emit_invalid()
    if invalid and not stage.job.settings.skip_invalid:
        return INVALID_INPUT
    _resolve_credentials(stage)
    return carry_out(stage, rows=rows)


def _apply_as_it_comes(stage: Stage, inputs: Inputs) -> str:
    """Send while the input still arrives."""
    index_rows(stage.run)
    ending = carry_out(stage, inputs=inputs)
    if not views.row_count(stage.run) and ending == FINISHED:
        raise InputError("there is no row in the input", hint="a header alone is no row")
    return ending


def _check_reports(job: Job) -> None:
    """Refuse reports that could not be written, before a run directory is made for them."""
    for path in job.reports:
        check_report_path(path)


def _check_inputs(inputs: Inputs) -> None:
    """Refuse inputs that cannot be opened, before a run directory is made for them."""
    for path in inputs.files:
        if path != "-":
            open_source(path, inputs.defaults, format=inputs.format).close()


def _describe_run(run: RunDirectory, job: Job, command: str, *, is_streamed: bool) -> None:
    views.set_meta(
        run,
        {
            "id": uuid.uuid4().hex,
            "command": command,
            "is_streamed": "yes" if is_streamed else "no",
            "version": __version__,
            "created_at": repr(time.time()),
            "settings": orjson.dumps(job.settings.as_dict()).decode(),
            "base_url": job.base.origin,
        },
    )
