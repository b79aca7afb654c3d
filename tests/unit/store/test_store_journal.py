"""Batches: all of one or nothing of it, also on a full disk and under kill -9."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from store_tools import AC1, AC2, AL2, BAD, SOURCE, draft, ended, make, record, sid_of, snapshot

from bulkipacl.errors import StoreError
from bulkipacl.model import Entry, Evidence, Outcome, RowResult
from bulkipacl.store import views
from bulkipacl.store.intake import Intake
from bulkipacl.store.journal import Batch, commit, pack, reopen, unpack
from bulkipacl.store.rundir import RunDirectory


def everything(run: RunDirectory) -> list[list[tuple[object, ...]]]:
    """All that a batch can write."""
    return [
        run.reader.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - five literals
        for table in ("outcome", "snapshot", "note", "account", "list")
    ]


def test_a_batch(tmp_path: Path) -> None:
    """All that a batch holds is there afterwards."""
    entries = (Entry(sid_of(1), 7, 32, "a \"name\" 'é' ☎"),)
    result = RowResult(
        1, Outcome.CREATED, Evidence.READ_BACK, "why", 201, 5, "said", "https://x", 2, "RQ1",
        1.25, 7.5, "do", sid_of(1), 7, 32, "a",
    )  # fmt: skip
    with make(tmp_path, [draft(7), draft(8)]) as run:
        batch = Batch(
            snapshots=[snapshot(1, 0, 2, entries)],
            results=[result],
            stopped=[(AC1, '{"reason":"blocked"}')],
            notes=[("kind", "a text")],
        )
        assert batch
        commit(run, batch)
        assert next(iter(views.records(run))).result == result
        assert views.open_snapshot(run, 1) == snapshot(1, 0, 2, entries)
        assert views.summary(run).notes == ("a text",)
        assert views.summary(run).accounts_stopped == (AC1,)
        commit(run, Batch(closed=[(1, 0)]))
        assert views.open_snapshot(run, 1) is None
        assert views.first_snapshot(run, 1) == entries
    assert not Batch()


def test_a_new_round_closes_the_one_before(tmp_path: Path) -> None:
    """A list has at most one open round, and its first one is kept for ever."""
    first, second = (Entry(sid_of(1), 1, 32, "a"),), (Entry(sid_of(2), 2, 32, "b"),)
    with make(tmp_path, [draft(1), draft(2, acl=AL2)]) as run:
        assert views.list_info(run, 1).rounds == 0
        commit(run, Batch(snapshots=[snapshot(1, 0, 1, first), snapshot(2, 0, 2, first)]))
        assert views.list_info(run, 1).rounds == 1
        commit(run, Batch(snapshots=[snapshot(1, 1, 1, second)]))
        opened = views.open_snapshot(run, 1)
        assert opened is not None
        assert opened.entries == second
        assert views.open_snapshot(run, 2) is not None
        assert views.first_snapshot(run, 1) == first
        commit(run, Batch(closed=[(1, 0)]))  # That one is closed already.
        assert views.open_snapshot(run, 1) is not None


def test_an_outcome_stands(tmp_path: Path) -> None:
    """What a row ended with is not overwritten, unless it had not truly ended."""
    with make(tmp_path, [draft(n) for n in range(1, 5)]) as run:
        record(run, 1, outcome=Outcome.CREATED)
        record(run, 2, outcome=Outcome.UNKNOWN)
        record(run, 3, outcome=Outcome.NOT_ATTEMPTED)
        record(run, 4, outcome=Outcome.INVALID)
        commit(run, Batch(results=ended(1, 2, 3, 4, outcome=Outcome.FAILED)))
        found = [one.result.outcome for one in views.records(run)]
    assert found == [Outcome.CREATED, Outcome.FAILED, Outcome.FAILED, Outcome.INVALID]


def test_the_later_word_counts(tmp_path: Path) -> None:
    """Two outcomes of one row in one batch: the one that was truly an end is kept."""
    with make(tmp_path, [draft(1)]) as run:
        results = ended(1, outcome=Outcome.UNKNOWN) + ended(1, outcome=Outcome.CREATED)
        commit(run, Batch(results=results + ended(1, outcome=Outcome.UNKNOWN)))
        assert [one.result.outcome for one in views.records(run)] == [Outcome.CREATED]


def test_entries_survive() -> None:
    """A snapshot's entries come back as they were."""
    entries = tuple(
        Entry(sid_of(n), n * 40_000_000, n % 33, name)
        for n, name in enumerate(["", "é", "☎\U0001f600", '"', "'", "\x00", "\u2028", "x" * 300])
    )
    assert unpack(pack(entries)) == entries


def test_a_batch_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    """Where the last of a batch cannot be written, nothing of it was."""
    with make(tmp_path, [draft(1), draft(2)]) as run:
        commit(run, Batch(snapshots=[snapshot(1, 0, 2)]))
        before = everything(run)
        same_round = Batch(
            snapshots=[snapshot(1, 0, 2)], results=ended(1), notes=[("kind", "text")]
        )
        with pytest.raises(StoreError):
            commit(run, same_round)
        assert everything(run) == before
        commit(run, Batch(results=ended(1)))
        assert len(everything(run)[0]) == 1


def test_a_full_disk(tmp_path: Path) -> None:
    """No room in the middle of a batch: nothing of it is there, and it goes in once there is."""
    drafts = [draft(n) for n in range(1, 3_001)]
    with make(tmp_path, drafts) as run:
        commit(run, Batch(snapshots=[snapshot(1, 0, 3_000)], results=ended(1, 2, 3)))
        before = everything(run)
        (pages,) = run.writer.execute("PRAGMA page_count").fetchone()
        run.writer.execute(f"PRAGMA max_page_count={pages + 3}")
        results = [RowResult(n, Outcome.FAILED, message="m" * 200) for n in range(4, 3_001)]
        batch = Batch(closed=[(1, 0)], results=results, notes=[("kind", "text")])
        with pytest.raises(StoreError) as caught:
            commit(run, batch)
        assert "full" in caught.value.message
        assert caught.value.hint
        assert everything(run) == before
        assert views.open_snapshot(run, 1) is not None
        run.writer.execute("PRAGMA max_page_count=1000000")
        commit(run, batch)
        assert views.summary(run).outcomes[Outcome.FAILED] == 2_997
        assert views.open_snapshot(run, 1) is None
    with RunDirectory.open(tmp_path, is_writable=False) as run:
        assert views.rows_left(run) == 0


def test_a_full_disk_while_taking_in(tmp_path: Path) -> None:
    """A batch of rows that finds no room can be put in again, and its lists are all there."""
    with RunDirectory.create(tmp_path) as run:
        intake = Intake(run)
        (pages,) = run.writer.execute("PRAGMA page_count").fetchone()
        run.writer.execute(f"PRAGMA max_page_count={pages + 1}")
        drafts = [draft(n, acl=f"AL{n % 9:032x}") for n in range(1, 1_001)]
        with pytest.raises(StoreError):
            intake.insert(1, drafts)
        assert views.row_count(run) == 0
        run.writer.execute("PRAGMA max_page_count=1000000")
        intake.describe(SOURCE)
        touched = intake.insert(1, drafts)
        assert intake.rows == 1_000
        assert len(touched) == 9
        found = list(views.records(run))
        assert [one.list_sid for one in found] == [one.list_sid for one in drafts]
        assert [one.result.number for one in found] == list(range(1, 1_001))


def test_reopen(tmp_path: Path) -> None:
    """A run that goes on has again to do what had not truly ended, and no account is stopped."""
    outcomes = list(Outcome)
    drafts = [draft(n, account=AC2 if n % 2 else AC1) for n in range(1, len(outcomes) + 1)]
    with make(tmp_path, drafts) as run:
        for number, outcome in enumerate(outcomes, start=1):
            record(run, number, outcome=outcome)
        stopped = '{"reason":"r","status":401,"code":0,"message":"","more_info":"","suggestion":""}'
        commit(run, Batch(stopped=[(AC1, stopped)], snapshots=[snapshot(1, 0, 9)]))
        assert views.rows_left(run) == 1  # What was not attempted is still to be done.
        reopen(run)
        summary = views.summary(run)
        assert views.rows_left(run) == 2
        assert summary.accounts_stopped == ()
        assert sum(summary.outcomes.values()) == len(outcomes)
        assert views.open_snapshot(run, 1) is not None
        for outcome in set(outcomes) - {Outcome.UNKNOWN, Outcome.NOT_ATTEMPTED}:
            assert summary.outcomes[outcome] == 1
        reopen(run)  # Once is enough; twice changes nothing.
        assert views.rows_left(run) == 2


def test_reopen_keeps_what_an_open_round_did_not_attempt(tmp_path: Path) -> None:
    """Such a row is still to be done, and says so until its round goes on; the others say nothing.

    From then on it may have been sent, so that a death right after it leaves it unknown.
    """
    with make(tmp_path, [draft(n) for n in range(1, 5)]) as run:
        commit(run, Batch(snapshots=[snapshot(1, 0, 3)]))
        for number in (2, 3, 4):
            record(run, number, outcome=Outcome.NOT_ATTEMPTED)
        for _ in range(2):  # A resume that is cut before it has read the list changes nothing.
            reopen(run)
            assert [row.number for row in views.rows_to_do(run, 1, 9)] == [1, 2, 3, 4]
            assert list(views.lists_to_do(run, 1)) == [1]
            assert views.rows_left(run) == 4
            assert views.rows_left_of_accounts(run) == {1: 4}
            told = [str(one.result.outcome) for one in views.records(run)]
            assert told == ["unknown", *["not_attempted"] * 3]
        kept = views.open_snapshot(run, 1)
        assert kept is not None
        assert kept.untried == {2, 3}
        commit(run, Batch(snapshots=[kept]))
        assert [str(one.result.outcome) for one in views.records(run)] == [
            *["unknown"] * 3,
            "not_attempted",
        ]
        again = views.open_snapshot(run, 1)
        assert again is not None
        assert (again.round, again.entries, again.untried) == (0, kept.entries, frozenset())


def test_reopen_keeps_invalid_rows(tmp_path: Path) -> None:
    """A row that was not understood is not tried again."""
    with make(tmp_path, [draft(1), draft(2, problems=(BAD,))]) as run:
        reopen(run)
        assert list(views.lists_to_do(run, 1)) == [1]
        assert [row.number for row in views.rows_to_do(run, 1, 10)] == [1]


# --- kill -9 ------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from bulkipacl.model import Outcome, RowResult
from bulkipacl.store.intake import Intake
from bulkipacl.store.journal import Batch, KeptSnapshot, commit
from bulkipacl.store.rundir import RunDirectory

run = RunDirectory.open(Path(sys.argv[1]), is_writable=True)
left = int(sys.argv[2])

def count(statement):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

run.writer.execute("PRAGMA cache_size=4")
run.writer.set_trace_callback(count)
for batch in range(20):
    first = batch * 10 + 1
    results = [RowResult(n, Outcome.FAILED, message="m" * 900) for n in range(first, first + 10)]
    kept = KeptSnapshot(1, batch, 1.0, first + 9, ())
    commit(run, Batch(snapshots=[kept], results=results, notes=[("batch", str(batch))]))
    print(batch, flush=True)
"""


@pytest.mark.parametrize("statements", [1, 2, 3, 7, 15, 16, 17, 18, 50, 133])
def test_killed_in_the_middle(tmp_path: Path, statements: int) -> None:
    """A process killed at any statement leaves whole batches, all that it had reported too."""
    make(tmp_path, [draft(n) for n in range(1, 201)]).close()
    done = subprocess.run(
        [sys.executable, "-B", "-c", KILLED, str(tmp_path), str(statements)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    reported = len(done.stdout.split())
    with RunDirectory.open(tmp_path, is_writable=True) as run:
        assert run.reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        outcomes, snapshots, notes = everything(run)[:3]
        batches = len(notes)
        assert reported <= batches <= reported + 1
        assert sorted(int(str(row[0])) for row in outcomes) == list(range(1, batches * 10 + 1))
        assert [row[1] for row in snapshots] == list(range(batches))
        opened = [row for row in snapshots if row[4]]
        assert len(opened) == min(1, batches)
        summary = views.summary(run)
        assert sum(summary.outcomes.values()) == summary.rows == 200
        assert summary.ending == "running"  # It is we who hold it now.
        record(run, 200)
    with RunDirectory.open(tmp_path, is_writable=False) as run:
        assert views.summary(run).ending == "killed"
