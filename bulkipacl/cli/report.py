"""`bulkipacl report`: a run's reports, made anew."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bulkipacl.cli import options as o

if TYPE_CHECKING:
    from bulkipacl.model import Summary


def report(
    run: o.RunPath,
    report: o.Reports = None,
    as_json: o.AsJson = False,
) -> int:
    """Write a run's report.csv and rejects.csv again, or only the reports named by --report.

    Works on a run that is under way, too, and on one in a place that cannot be written, if
    --report names another. The exit code is that of the run.
    """
    from bulkipacl.cli.terminal import end
    from bulkipacl.report import (
        check_report_path,
        explaining_damage,
        write_report,
        write_run_reports,
    )
    from bulkipacl.store import views
    from bulkipacl.store.rundir import RunDirectory

    for path in report or []:
        check_report_path(path)
    # All of it is of one instant, so that reports and summary of a run under way agree.
    with RunDirectory.open(run, is_writable=False) as directory, explaining_damage(directory):
        if report:
            for path in report:
                write_report(directory, path, stdout=sys.stdout.buffer)
        else:
            write_run_reports(directory)
        summary = views.summary(directory)
        sent_to = views.get_meta(directory, "base_url")
    return end(summary, as_json=as_json, resume=_resume_line(run, summary, sent_to))


def _resume_line(run: Path, summary: Summary, sent_to: str) -> str | None:
    """The command that carries the run on; it cannot know of a file of credentials."""
    from bulkipacl.model import Outcome

    if summary.ending == "running" or not (
        summary.outcomes.get(Outcome.UNKNOWN) or summary.outcomes.get(Outcome.NOT_ATTEMPTED)
    ):
        return None
    # Only here, because it brings the network's parts along, which take their time to import.
    from bulkipacl.credentials import CredentialMap
    from bulkipacl.engine.apply import resume_line
    from bulkipacl.engine.job import Job
    from bulkipacl.errors import TransportError
    from bulkipacl.settings import Settings
    from bulkipacl.twilio.hosts import resolve_base_url

    try:
        base = resolve_base_url(sent_to or None, {})
    except TransportError:  # A run directory may say anything.
        return None
    return resume_line(Job(run, Settings(), CredentialMap(()), base), summary)
