"""`bulkipacl undo`: the way back from a run, as a plan that is shown first."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bulkipacl.cli import options as o
from bulkipacl.errors import UsageError
from bulkipacl.model import Operation

if TYPE_CHECKING:
    from bulkipacl.engine.job import Job
    from bulkipacl.model import Summary

_OVERRIDES = ("allow_", "max_deletes", "min_prefix", "accept_", "skip_invalid")
"""How the settings begin that were said for another run's rows, and hold for no other's."""


def undo(
    source: o.RunPath,
    run: o.NewRun = None,
    is_agreed: Annotated[
        bool, typer.Option("--yes", help="Carry it out once it was shown, without asking.")
    ] = False,
    no_gap: o.NoGap = None,
    allow_empty: o.AllowEmpty = None,
    allow_full: o.AllowFull = None,
    allow_wide: o.AllowWide = None,
    min_prefix: o.MinPrefix = None,
    max_deletes: o.MaxDeletes = None,
    report: o.Reports = None,
    stream: o.Stream = None,
    credentials: o.Credentials = None,
    base_url: o.BaseUrl = None,
    ca_file: o.CaFile = None,
    max_in_flight: o.MaxInFlight = None,
    account_max_in_flight: o.AccountMaxInFlight = None,
    rate: o.Rate = None,
    headroom: o.Headroom = None,
    retries: o.Retries = None,
    timeout: o.Timeout = None,
    settle: o.Settle = None,
    patience: o.Patience = None,
    max_failures: o.MaxFailures = None,
    deadline: o.Deadline = None,
    changes: o.Changes = False,
    progress: o.Progress = o.ProgressMode.AUTO,
    as_json: o.AsJson = False,
    as_markdown: o.AsMarkdown = False,
) -> int:
    """Plan the way back from RUN: delete what it created, make again what it deleted, restore what
    it updated.

    What was deleted comes back under new sids. What somebody else has changed since is left alone,
    and its row refused. RUN may have been stopped or killed; it need not be resumed first. Without
    --yes nothing is sent, and `bulkipacl apply` carries the plan out.
    """
    flags = o.settings_of(locals())
    from bulkipacl.cli.sending import make_job, make_settings
    from bulkipacl.cli.terminal import Terminal, end
    from bulkipacl.credentials import load_credentials
    from bulkipacl.engine import apply as library
    from bulkipacl.engine.job import check_outputs
    from bulkipacl.engine.plan import apply_plan
    from bulkipacl.engine.planning import PLANNED
    from bulkipacl.jobs.undo import plan_undo
    from bulkipacl.store.rundir import default_run_path

    if not is_agreed and (report or stream):
        hint = "give it to the `bulkipacl apply` that carries the plan out"
        raise UsageError("--report and --stream belong to --yes", hint=hint)
    path = run or default_run_path(f"{source.resolve().name}-undo")
    check_outputs([*(report or []), stream], [], path)
    settings = make_settings(_of_any_run(library.saved_settings(source)), flags)
    known = load_credentials(os.environ, credentials)
    shown = {"as_json": as_json and not is_agreed, "as_markdown": as_markdown}
    with Terminal(progress) as terminal:
        job = make_job(path, known, base_url, settings, **terminal.outputs)
        summary = plan_undo(source, job, terminal)
    code = _show(job, summary, shown, with_changes=changes, is_quiet=is_agreed and as_json)
    if not is_agreed or summary.ending != PLANNED:
        return code
    with Terminal(progress, stream=stream, reports=report or [], as_json=as_json) as terminal:
        job = make_job(path, known, base_url, settings, **terminal.outputs)
        summary = apply_plan(job, terminal)
    return end(summary, as_json=as_json, resume=library.resume_line(job, summary))


def _of_any_run(saved: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in saved.items() if not name.startswith(_OVERRIDES)}


def _show(
    job: Job, summary: Summary, shown: dict[str, bool], *, with_changes: bool, is_quiet: bool
) -> int:
    """Show the plan, and on stderr what is left alone; returns the exit code of the plan alone."""
    from bulkipacl.cli.planned import show
    from bulkipacl.jobs.undo import SHOWN_LEFT, left_alone
    from bulkipacl.report import counted, printable

    left, count = left_alone(job.run_path)
    for record in left:
        result = record.result
        what = " ".join(part for part in (Operation(record.operation).word, record.sid) if part)
        where = f"{record.account_sid} {record.list_sid}"
        sys.stderr.write(printable(f"row {result.number}: {what} in {where}: {result.message}"))
        sys.stderr.write("\n")
    if count > SHOWN_LEFT:
        sys.stderr.write(f"and {counted(count - SHOWN_LEFT, 'row')} more are left alone\n")
    if is_quiet:  # stdout is for what comes of carrying it out.
        return 0
    return show(job, summary, with_changes=with_changes, **shown)
