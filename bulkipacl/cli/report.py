"""`bulkipacl report`: a run's reports, made anew."""

from __future__ import annotations

import sys

from bulkipacl.cli import options as o


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
    return end(summary, as_json=as_json)
