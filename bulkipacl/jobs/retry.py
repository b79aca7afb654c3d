"""The rows of a run that did not end well, as rows of a new run.

retry             read them from the run directory, and carry them out
drafts_to_retry   pure: records to rows

They keep their source, line and input record, so that the new report reads like the old one. A
row that was invalid stays so: mend it in `rejects.csv` instead. What an undo left alone stays so
too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from bulkipacl.engine.apply import apply_drafts
from bulkipacl.engine.job import Job, Observer
from bulkipacl.errors import LockedError, UsageError
from bulkipacl.jobs.back import CHANGED_SINCE, refusal
from bulkipacl.model import GOOD_OUTCOMES, Draft, Outcome, Problem, RowRecord, Summary
from bulkipacl.report import check_store, counted
from bulkipacl.store import views
from bulkipacl.store.rundir import RunDirectory


def retry(source: Path, job: Job, observer: Observer) -> Summary:
    """Carry out the rows of the run at `source` that did not end well, as a run of its own.

    Raises:
        UsageError: there are none, or some of them are unknown.
        LockedError: the run at `source` is under way.
        StoreError: the run at `source` cannot be read, or is damaged.
    """
    with RunDirectory.open(source, is_writable=False) as old:
        # What is read here is sent: nothing of it may be made up by a broken disk.
        check_store(old)
        summary = views.summary(old)
        if summary.ending == "running":
            raise LockedError(f"{source} is still under way", hint="wait until it ends")
        unknown = summary.outcomes.get(Outcome.UNKNOWN, 0)
        if unknown:
            # Sent again as new rows they could be done twice; a resume knows what was there.
            raise UsageError(
                f"{counted(unknown, 'row')} of {source} {'is' if unknown == 1 else 'are'} unknown",
                hint=f"`bulkipacl resume {source}`",
            )
        if not any(cause.outcome is not Outcome.INVALID for cause in summary.causes):
            raise UsageError(f"no row of {source} is left to be tried again")
        drafts = drafts_to_retry(views.records(old))
        is_generated = views.get_meta(old, "is_generated") == "yes"
        return apply_drafts(
            job,
            views.sources(old),
            drafts,
            observer,
            command="retry",
            is_generated=is_generated,
        )


def drafts_to_retry(records: Iterable[RowRecord]) -> Iterator[tuple[int, Draft]]:
    """(source number, draft) of every row that did not end well, in row order."""
    for record in records:
        result = record.result
        if result.outcome in GOOD_OUTCOMES:
            continue
        problems: tuple[Problem, ...] = ()
        if result.outcome is Outcome.REFUSED and result.reason == CHANGED_SINCE:
            # Sent by themselves they would take back what somebody else has done.
            problems = (refusal(result.message, result.suggestion),)
        elif result.outcome is Outcome.INVALID:
            problems = (Problem("", "", result.reason, result.message, result.suggestion),)
        yield (
            record.source_id,
            Draft(
                record.line,
                record.operation,
                record.account_sid,
                record.list_sid,
                "" if record.list_sid else record.list_name,
                record.sid,
                record.address,
                record.prefix,
                record.name,
                record.match_address,
                record.match_prefix,
                record.raw,
                problems,
            ),
        )
