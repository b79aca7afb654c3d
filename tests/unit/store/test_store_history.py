"""What a run did to its lists, as an undo finds it in the run directory."""

from __future__ import annotations

from pathlib import Path

from store_tools import AC1, AL2, draft, make, sid_of

from bulkipacl.model import Entry, Operation, Outcome, RowResult
from bulkipacl.store.crosscheck import index_rows
from bulkipacl.store.history import Done, has_unsettled, history_of, written_lists
from bulkipacl.store.journal import Batch, KeptSnapshot, commit
from bulkipacl.store.rundir import RunDirectory

OLD, NEW, THEIRS = (Entry(sid_of(n), n, 32, "a") for n in (1, 2, 3))


def run_of(place: Path) -> RunDirectory:
    """Four rows for one list and one for another."""
    drafts = [draft(n) for n in range(1, 5)]
    run = make(place, [*drafts, draft(9, acl=AL2)])
    index_rows(run)
    return run


def kept(number: int, last_row: int, *entries: Entry, list_id: int = 1) -> KeptSnapshot:
    """A snapshot of a round."""
    return KeptSnapshot(list_id, number, 0.0, last_row, entries)


def ended(number: int, outcome: Outcome, entry: Entry | None = None, reason: str = "") -> RowResult:
    """How a row ended."""
    of = (None, None, None, None) if entry is None else (entry.sid, *entry.key, entry.name)
    result = RowResult(number, outcome, reason=reason)
    return result._replace(sid=of[0], address=of[1], prefix=of[2], name=of[3])


def test_lists_that_were_written_to(tmp_path: Path) -> None:
    """A list whose rows all ended without a write, or were not begun, is none of them."""
    with run_of(tmp_path) as run:
        assert list(written_lists(run)) == []
        snapshots = [kept(0, 4, OLD), kept(0, 5, list_id=2)]
        results = [ended(n, Outcome.UNCHANGED, OLD) for n in (1, 2)]
        results += [ended(3, Outcome.FAILED, OLD, "rejected"), ended(4, Outcome.REFUSED)]
        commit(run, Batch(snapshots=snapshots, results=results, closed=[(1, 0)]))
        assert [sid for _, _, sid in written_lists(run)] == [AL2]
        assert has_unsettled(run)
        commit(run, Batch(results=[ended(5, Outcome.CREATED, NEW)], closed=[(2, 0)]))
        assert list(written_lists(run)) == [(2, AC1, AL2)]
        assert not has_unsettled(run)


def test_before_over_rounds(tmp_path: Path) -> None:
    """What others had added between two rounds was there before as well; what the run had made in
    the first of them was not."""
    with run_of(tmp_path) as run:
        made = [ended(1, Outcome.CREATED, NEW)]
        commit(run, Batch(snapshots=[kept(0, 2, OLD)], results=made, closed=[(1, 0)]))
        renamed = Entry(THEIRS.sid, *THEIRS.key, "b")
        changed = [ended(3, Outcome.UPDATED, renamed), ended(4, Outcome.DELETED, OLD)]
        second = kept(1, 4, OLD, NEW, THEIRS)
        commit(run, Batch(snapshots=[second], results=changed, closed=[(1, 1)]))
        history = history_of(run, 1)
        assert history.before == (OLD, THEIRS)
        assert history.done == (
            Done(1, NEW.sid, NEW, is_new=True),
            Done(3, THEIRS.sid, renamed, is_new=False),
            Done(4, OLD.sid, None, is_new=False),
        )
        assert history.unsettled == ()


def test_what_the_api_did_otherwise(tmp_path: Path) -> None:
    """A create that failed because its echo differed has made an entry."""
    with run_of(tmp_path) as run:
        results = [ended(1, Outcome.FAILED, NEW, "echo_mismatch"), ended(2, Outcome.FAILED, OLD)]
        commit(run, Batch(snapshots=[kept(0, 4, OLD)], results=results))
        assert history_of(run, 1).done == (Done(1, NEW.sid, NEW, is_new=True),)


def test_unsettled_rows(tmp_path: Path) -> None:
    """Rows of an open round without an outcome, and unknown ones; not those surely not sent."""
    with run_of(tmp_path) as run:
        results = [
            ended(1, Outcome.CREATED, NEW),
            ended(2, Outcome.UNKNOWN),
            ended(4, Outcome.NOT_ATTEMPTED),
        ]
        commit(run, Batch(snapshots=[kept(0, 4, OLD)], results=results))
        history = history_of(run, 1)
        assert [row.number for row in history.unsettled] == [2, 3]
        assert history.unsettled[0].operation is Operation.CREATE
        assert history.base == (OLD, NEW)
        assert history.known == {OLD.sid, NEW.sid}
