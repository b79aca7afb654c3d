"""The main job, from files to report: what `bulkipacl apply` calls.

    apply          take in, check, send, report -> Summary
    apply_drafts   the same for rows that a job made
    resume         carry a run on from wherever it stopped;  resume_line   the command that does
    validate       the checks alone
    take_in        every row in the store, every problem told

The order is the promise: the whole input is checked before the first request, unless invalid rows
are to be skipped; then rows are sent while they still arrive.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson

from bulkipacl.engine.arrival import unread
from bulkipacl.engine.beginning import (
    check_host,
    check_inputs,
    check_reports,
    describe_run,
    resolve_credentials,
)
from bulkipacl.engine.checkfirst import check_first
from bulkipacl.engine.job import (
    Inputs,
    Job,
    Observer,
    info_of,
    open_input,
    resume_command,
    tell,
    warn_of_columns,
)
from bulkipacl.engine.linting import Warnings
from bulkipacl.engine.loop import rare_collections
from bulkipacl.engine.planning import MADE, MAKING
from bulkipacl.engine.session import (
    INPUT_UNFINISHED,
    INTERRUPTED,
    Signals,
    Stage,
    StoppedError,
    UnreportedError,
    carry_out,
    finished_first,
    stopped,
)
from bulkipacl.errors import BulkError, CredentialError, InputError, StoreError, UsageError
from bulkipacl.model import Draft, Outcome, SourceInfo, Summary
from bulkipacl.report import StreamLines, write_report, write_run_reports
from bulkipacl.settings import Settings
from bulkipacl.store import journal, views
from bulkipacl.store.crosscheck import cross_check, index_rows
from bulkipacl.store.intake import Intake
from bulkipacl.store.lints import lint
from bulkipacl.store.rundir import RunDirectory
from bulkipacl.store.unread import keep_note

FINISHED = "finished"
Work = Callable[[Stage], str]
"""Does a job; returns how it ended."""

INVALID_INPUT = "invalid_input"
NO_CREDENTIAL = "no_credential"
FAILED = "failed"
"""Endings of a run that could not begin: nothing of it was sent."""


def apply(job: Job, inputs: Inputs, observer: Observer) -> Summary:
    """Do the whole job; returns how it ended, with report.csv and rejects.csv written.

    Raises:
        BulkError: it could not begin (nothing was sent), or the run directory failed under it.
    """
    check_reports(job)
    check_inputs(inputs)
    streams = _may_stream(job.settings)
    work = _apply_as_it_comes if streams else _apply_whole
    with RunDirectory.create(job.run_path) as run:
        describe_run(run, job, "apply", inputs.files if streams else ())
        return run_stage(run, job, observer, lambda stage: work(stage, inputs))


def _may_stream(settings: Settings) -> bool:
    """Whether rows may be sent before all of them are known."""
    needs_all = settings.no_gap or settings.check_first or settings.max_deletes is not None
    return settings.skip_invalid and not needs_all


def apply_drafts(
    job: Job,
    sources: Sequence[SourceInfo],
    drafts: Iterable[tuple[int, Draft]],
    observer: Observer,
    *,
    command: str,
    is_generated: bool = False,
) -> Summary:
    """The same for rows that something else than an input made; invalid ones are not sent.

    Args:
        drafts: (source number, draft), those of one source together.
        command: the verb that made them.
        is_generated: no person asked for the deletes one by one, so that their caps hold.
    """
    check_reports(job)
    facts = {"is_generated": "yes" if is_generated else "no"}
    with RunDirectory.create(job.run_path) as run:
        describe_run(run, job, command, facts=facts)
        return run_stage(run, job, observer, lambda stage: _apply_made(stage, sources, drafts))


def resume(job: Job, observer: Observer) -> Summary:
    """Carry a run on from wherever it stopped; rows that ended are not touched.

    Raises:
        UsageError: nothing of the run may be sent, or it was sent to another host.
        LockedError: another process is at it.
    """
    check_reports(job)
    with RunDirectory.open(job.run_path, is_writable=True) as run:
        _check_resumable(run, job)
        # Before anything is touched: what the last session said of the rows stays true.
        resolve_credentials(job, run)
        return run_stage(run, job, observer, carry_on)


def saved_settings(path: Path) -> dict[str, Any]:
    """The settings that a run was begun with."""
    with RunDirectory.open(path, is_writable=False) as run:
        found: dict[str, Any] = orjson.loads(views.get_meta(run, "settings", "{}"))
    return found


def run_stage(run: RunDirectory, job: Job, observer: Observer, work: Work) -> Summary:
    """Do the work, and answer for every row, however it ends."""
    stream = StreamLines(run, job.stream) if job.stream is not None else None
    with Signals() as signals, rare_collections():
        stage = Stage(run, job, observer, stream, signals)
        try:
            with signals.interrupting():
                ending = work(stage)
        except KeyboardInterrupt:
            ending = INTERRUPTED
        except BulkError as exc:
            # This error says more than another one on the way to the reports could.
            with suppress(BulkError, sqlite3.Error, OSError, KeyboardInterrupt):
                _answer(stage, _ending_after(exc))
            raise
        try:
            return _answer(stage, ending)
        except KeyboardInterrupt:
            raise UnreportedError(job, is_resumable=_is_resumable(run, ending)) from None
        except StoreError as exc:
            if ending == INVALID_INPUT:
                raise
            # A resume has nothing to send, perhaps, and writes what could not be written now.
            so_far = "every outcome is recorded"
            raise stopped(run, job, exc, ending, so_far=so_far) from exc


def _is_resumable(run: RunDirectory, ending: str) -> bool:
    return ending != FINISHED and _why_not_resumable(run) is None


def _answer(stage: Stage, ending: str) -> Summary:
    """Keep how the run ended, and write what it has to say of each row.

    Raises:
        KeyboardInterrupt: signals do not want to wait for that.
    """
    run, job = stage.run, stage.job
    views.set_meta(run, {"ending": ending})
    _note_unread(run, ending)
    with finished_first(stage):
        if stage.stream is not None:
            stage.stream.emit_open()
        write_run_reports(run)
        for path in job.reports:
            write_report(run, path, stdout=job.stdout)
        return views.summary(run)


def _note_unread(run: RunDirectory, ending: str) -> None:
    """Say where the taking in of an input stopped that was sent while it arrived."""
    is_streamed = views.get_meta(run, "is_streamed") == "yes"
    if is_streamed and views.get_meta(run, "taken_in") != "yes" and ending != INVALID_INPUT:
        keep_note(run, unread(run))


def _ending_after(error: BulkError) -> str:
    """How a run ended that could not go on."""
    if isinstance(error, StoppedError):
        return error.ending
    if isinstance(error, CredentialError):
        return NO_CREDENTIAL
    return INVALID_INPUT if isinstance(error, InputError) else FAILED


@contextmanager
def _not_begun() -> Iterator[None]:
    """Around the taking in of a whole input: what fails there leaves nothing to be resumed."""
    try:
        yield
    except StoreError as exc:
        hint = "nothing was sent; make room there, and apply the input again"
        raise StoreError(exc.message, hint=hint) from exc


def carry_on(stage: Stage) -> str:
    """Carry out all that has not ended; returns how that ended."""
    run = stage.run
    index_rows(run)
    journal.reopen(run)
    views.set_meta(run, {"ending": ""})
    ending = carry_out(stage, rows=views.rows_left(run))
    if ending == FINISHED and views.get_meta(run, "taken_in") != "yes":
        return INPUT_UNFINISHED
    return ending


def resume_line(job: Job, summary: Summary) -> str | None:
    """The command that carries on what a run left open; None where nothing is, or none can."""
    outcomes = summary.outcomes
    if not outcomes.get(Outcome.UNKNOWN) and not outcomes.get(Outcome.NOT_ATTEMPTED):
        return None
    with RunDirectory.open(job.run_path, is_writable=False) as run:
        return None if _why_not_resumable(run) else resume_command(job)


def _why_not_resumable(run: RunDirectory) -> UsageError | None:
    if views.get_meta(run, "plan") == MADE:
        return UsageError(
            "this run is a plan that was not applied yet",
            hint=f"`bulkipacl apply {run.path}` carries it out",
        )
    if views.get_meta(run, "plan") == MAKING:
        return UsageError(
            "the making of this plan was stopped; nothing of it was sent", hint="plan it again"
        )
    if views.get_meta(run, "ending") == INVALID_INPUT:
        return UsageError(
            "nothing of this run was sent, because its input was refused",
            hint="mend the input and apply it again, or apply it with --skip-invalid",
        )
    if views.get_meta(run, "taken_in") != "yes" and views.get_meta(run, "is_streamed") != "yes":
        return UsageError(
            "this run was stopped before its input was taken in; nothing of it was sent",
            hint="apply the input again",
        )
    return None


def _check_resumable(run: RunDirectory, job: Job) -> None:
    why_not = _why_not_resumable(run)
    if why_not is not None:
        raise why_not
    check_host(run, job)


def _apply_made(
    stage: Stage, sources: Sequence[SourceInfo], drafts: Iterable[tuple[int, Draft]]
) -> str:
    rows = take_in_made(stage, sources, drafts)
    return _checked_and_carried_out(stage, rows)


def take_in_made(
    stage: Stage, sources: Sequence[SourceInfo], drafts: Iterable[tuple[int, Draft]]
) -> int:
    """Rows that a job made, in the store; returns how many. Its credentials are there."""
    run, observer = stage.run, stage.observer
    intake = Intake(run)
    by_id = {source.id: source for source in sources}
    with _not_begun():
        for source_id, group in groupby(drafts, key=itemgetter(0)):
            for _ in intake.take(by_id[source_id], (draft for _, draft in group)):
                observer.taken_in(intake.rows)
        index_rows(run)
        views.set_meta(run, {"taken_in": "yes"})
    observer.checked(intake.rows, intake.invalid)
    if stage.stream is not None:
        stage.stream.emit_invalid()
    resolve_credentials(stage.job, stage.run)
    return intake.rows


def _checked_and_carried_out(stage: Stage, rows: int) -> str:
    if stage.job.settings.check_first:
        ending = check_first(stage)
        if ending:
            return ending
    return carry_out(stage, rows=rows)


def take_in(
    run: RunDirectory, inputs: Inputs, observer: Observer, *, is_linted: bool = False
) -> tuple[int, int]:
    """Take the whole input in and check it; returns rows, and how many of them are invalid.

    Args:
        is_linted: tell of what only deserves a second look, too.

    Raises:
        InputError: an input as a whole cannot be taken in.
    """
    intake, warnings = Intake(run), Warnings()
    for source_id, path in enumerate(inputs.files, start=1):
        source = open_input(inputs, path, intake.rows + 1)
        try:
            for batch in intake.take(info_of(source_id, source), source.drafts()):
                tell(observer, source.name, batch)
                warnings.add_all(source.name, batch)
                observer.taken_in(intake.rows)
            intake.describe(info_of(source_id, source))
            warn_of_columns(observer, source)
        finally:
            source.close()
    if not intake.rows:
        raise InputError("there is no row in the input", hint="a header alone is no row")
    index_rows(run)
    contradicted: set[tuple[int, int]] = set()
    for info, line, problem in chain(cross_check(run), lint(run) if is_linted else ()):
        observer.problem(info.name, line, problem)
        warnings.add(info.name, line, problem)
        if not problem.is_warning:
            contradicted.add((info.id, line))
    notes = warnings.notes()
    if notes:
        with run.transaction() as db:
            journal.add_notes(db, notes)
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
        return take_in(run, inputs, observer, is_linted=True)


def _apply_whole(stage: Stage, inputs: Inputs) -> str:
    rows = take_in_whole(stage, inputs)
    return INVALID_INPUT if rows is None else _checked_and_carried_out(stage, rows)


def take_in_whole(stage: Stage, inputs: Inputs, *, is_linted: bool = False) -> int | None:
    """The whole input in the store, and its credentials there; returns how many rows.

    None: some are invalid, and are not to be skipped.
    """
    with _not_begun():
        rows, invalid = take_in(stage.run, inputs, stage.observer, is_linted=is_linted)
    if stage.stream is not None:
        stage.stream.emit_invalid()
    if invalid and not stage.job.settings.skip_invalid:
        return None
    resolve_credentials(stage.job, stage.run)
    return rows


def _apply_as_it_comes(stage: Stage, inputs: Inputs) -> str:
    """Send while the input still arrives."""
    index_rows(stage.run)
    ending = carry_out(stage, inputs=inputs)
    if not views.row_count(stage.run) and ending == FINISHED:
        raise InputError("there is no row in the input", hint="a header alone is no row")
    return ending
