"""The way back from a run, as rows of a new run.

    plan_undo      reads what its lists hold now, makes the rows, and plans them
    left_alone     what of it is not done
    drafts_from    the same from readings;  drafts_of   pure: the steps of one list as drafts

The rows are an ordinary plan: they are shown, guarded and carried out like those of any input. What
somebody else has changed since is a row of it too, `refused`, so that it is answered for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from bulkipacl.engine.beginning import check_host
from bulkipacl.engine.gather import Found, Wanted, gather, pack, unpack
from bulkipacl.engine.incomplete import IncompleteError, Unread
from bulkipacl.engine.job import Job, Observer
from bulkipacl.engine.plan import plan_drafts
from bulkipacl.engine.reader import Link
from bulkipacl.errors import LockedError, UsageError
from bulkipacl.intake.problems import dump
from bulkipacl.jobs.back import CHANGED_SINCE, Step, refusal, way_back
from bulkipacl.model import Draft, Operation, Outcome, RowRecord, SourceInfo, Summary, ip_text
from bulkipacl.report import check_store
from bulkipacl.report.columns import ROW_COLUMNS
from bulkipacl.store import views
from bulkipacl.store.history import has_unsettled, history_of, written_lists
from bulkipacl.store.holding import hold_to
from bulkipacl.store.rundir import RunDirectory
from bulkipacl.twilio.contract import LIST_NOT_FOUND

COLUMNS = (*ROW_COLUMNS, "undoes")
_LEFT = "it is left alone: change it by hand, if it is to go back"
_LENGTH_BYTES = 8
SHOWN_LEFT = 20
"""Rows that are left alone, as far as they are shown; the report has all of them."""


def plan_undo(
    path: Path, job: Job, observer: Observer, *, wait: Callable[[float], None] = time.sleep
) -> Summary:
    """Plan the way back from the run at `path`, in a run directory of its own. Flat memory.

    What its lists hold now is read, and nothing else is sent. Where something of the run may still
    land, it waits a settle time first.

    Args:
        wait: sleeps so many seconds.

    Raises:
        UsageError: the run was sent elsewhere, or nothing of it is left to be undone.
        LockedError: it is under way.
        IncompleteError: a list could not be read: the way back is known whole or not at all.
        StoreError: the run cannot be read, or is damaged.
    """
    link = Link(job.settings, job.credentials, job.base, job.memory)
    with RunDirectory.open(path, is_writable=False) as run, TemporaryFile() as readings:
        _check(run, job)
        link.credentials.resolve(dict.fromkeys(account for _, account, _ in written_lists(run)))
        if has_unsettled(run):
            wait(link.settings.settle_s)
        _gather(link, written_lists(run), readings)
        drafts = drafts_from(run, written_lists(run), _kept(readings))
        first = next(drafts, None)
        if first is None:
            raise UsageError(
                f"nothing of {path} is left to be undone",
                hint="its lists are as they were, as far as it has changed them",
            )
        source = SourceInfo(1, f"undo of {path}", "csv", COLUMNS)
        summary = plan_drafts(job, [source], chain([first], drafts), observer, command="undo")
        readings.seek(0)
        _hold(job.run_path, _kept(readings))
        return summary


def _hold(path: Path, readings: Iterator[Found]) -> None:
    with RunDirectory.open(path, is_writable=True) as run:
        hold_to(run, ((one.account_sid, one.list_sid, one.entries) for one in readings))


def left_alone(path: Path) -> tuple[list[RowRecord], int]:
    """What the undo in a run directory leaves to somebody else: the first rows, and how many."""
    with RunDirectory.open(path, is_writable=False) as run:
        found = run.reader.execute(
            "SELECT number FROM outcome WHERE outcome = ? AND reason = ? ORDER BY number",
            (Outcome.REFUSED, CHANGED_SINCE),
        )
        numbers = [int(row[0]) for row in found]
        return list(views.records(run, numbers[:SHOWN_LEFT])), len(numbers)


def _check(run: RunDirectory, job: Job) -> None:
    check_store(run)
    if views.summary(run).ending == "running":
        raise LockedError(f"{run.path} is still under way", hint="wait until it ends")
    check_host(run, job)


def _gather(link: Link, lists: Iterable[tuple[int, str, str]], readings: IO[bytes]) -> None:
    unread = Unread()

    def keep(found: Found) -> None:
        if found.reason and found.reason != LIST_NOT_FOUND:
            unread.add(found)
        chunk = pack(found)
        readings.write(len(chunk).to_bytes(_LENGTH_BYTES) + chunk)

    wanted = (
        Wanted(account, tuple(sid for _, _, sid in group))
        for account, group in groupby(lists, key=itemgetter(1))
    )
    gather(link, wanted, keep)
    if unread:
        raise IncompleteError("nothing is undone", unread)
    readings.seek(0)


def _kept(readings: IO[bytes]) -> Iterator[Found]:
    while size := readings.read(_LENGTH_BYTES):
        yield unpack(readings.read(int.from_bytes(size)))


def drafts_from(
    run: RunDirectory, lists: Iterable[tuple[int, str, str]], readings: Iterator[Found]
) -> Iterator[tuple[int, Draft]]:
    """The drafts of all lists, as (source number, draft); `lists` and `readings` go together."""
    line = 1
    for (list_id, account, sid), found in zip(lists, readings, strict=True):
        now = None if found.reason == LIST_NOT_FOUND else found.entries
        for draft in drafts_of(account, sid, way_back(history_of(run, list_id), now)):
            line += 1
            yield 1, draft._replace(line=line)


def drafts_of(account: str, list_sid: str, steps: Iterable[Step]) -> Iterator[Draft]:
    """The steps of one list as drafts, in order; their lines are still to be given."""
    for step in steps:
        entry, operation = step.entry, step.operation
        sid = None if operation is Operation.CREATE else entry.sid
        # A delete goes by the sid alone: an entry that has moved meanwhile is still the one meant.
        is_delete = operation is Operation.DELETE
        cells = [
            operation.word,
            account,
            list_sid,
            sid or "",
            ip_text(entry.address),
            str(entry.prefix),
            entry.name,
            step.undoes,
        ]
        problems = (refusal(step.conflict, _LEFT),) if step.conflict else ()
        yield Draft(
            0,
            operation,
            account,
            list_sid,
            "",
            sid,
            None if is_delete else entry.address,
            None if is_delete else entry.prefix,
            None if is_delete else entry.name,
            None,
            None,
            dump(cells),
            problems,
        )
