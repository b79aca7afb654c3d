"""What is asked of a run directory: rows to do, rows as they ended, counts and causes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from store_tools import (
    AC1,
    AC2,
    AL1,
    AL2,
    BAD,
    SOURCE,
    draft,
    ended,
    make,
    record,
    sid_of,
    snapshot,
    take,
)

from bulkipacl.model import (
    Draft,
    Entry,
    Evidence,
    Operation,
    Outcome,
    Problem,
    Row,
    RowResult,
    SourceInfo,
)
from bulkipacl.store import views
from bulkipacl.store.intake import Intake
from bulkipacl.store.journal import Batch, commit
from bulkipacl.store.rundir import RunDirectory

STOP = {
    "reason": "credentials_refused",
    "status": 401,
    "code": 20003,
    "message": "no",
    "more_info": "https://x",
    "suggestion": "check it",
}


# --- taking in ----------------------------------------------------------------------------


def test_numbers_go_on_over_sources(tmp_path: Path) -> None:
    """Rows are numbered once for the whole run, in the order of their sources."""
    with RunDirectory.create(tmp_path) as run:
        intake = Intake(run)
        other = SourceInfo(2, "more.jsonl", "jsonl", ())
        for source, count in ((SOURCE, 3), (other, 2)):
            drafts = [draft(n, line=n * 7) for n in range(1, count + 1)]
            for _ in intake.take(source, drafts):
                pass
        found = [(r.result.number, r.source_id, r.line) for r in views.records(run)]
        assert found == [(1, 1, 7), (2, 1, 14), (3, 1, 21), (4, 2, 7), (5, 2, 14)]
        assert views.sources(run) == [SOURCE, other]
        assert intake.rows == 5


def test_columns_may_grow(tmp_path: Path) -> None:
    """A source is described again when more columns were seen, and rows stay its own."""
    with RunDirectory.create(tmp_path) as run:
        intake = take(run, [draft()])
        more = SourceInfo(1, "rows.csv", "csv", ("ip", "name", "é\ud800", ""))
        intake.describe(more)
        assert views.sources(run) == [more]


def test_source_names_that_are_no_text(tmp_path: Path) -> None:
    """A file's name can be any bytes: it is kept as near as text can come to it."""
    with RunDirectory.create(tmp_path) as run:
        take(run, [draft()], SourceInfo(1, "caf\udce9.csv", "csv", ()))
        (source,) = views.sources(run)
        assert source.name.startswith("caf")
        source.name.encode()


def test_invalid_rows_are_kept(tmp_path: Path) -> None:
    """A row that was not understood is a row with an outcome that says why."""
    warning = Problem("ip_address", "x", "private", "private", is_warning=True)
    second = Problem("", "", "no_list", "the row names no list", "give --list")
    drafts = [
        draft(None, acl="", account="", problems=(warning, BAD, second)),
        draft(2, problems=(warning,)),
        draft(3, problems=(BAD,)),
    ]
    with RunDirectory.create(tmp_path) as run:
        intake = take(run, drafts)
        assert (intake.rows, intake.invalid, intake.last_invalid) == (3, 2, [1, 3])
        assert list(views.invalid_rows(run)) == [1, 3]
        assert list(views.open_rows(run)) == [2]
        first = next(iter(views.records(run)))
        assert first.result.outcome is Outcome.INVALID
        assert first.result.reason == "bad_address"
        assert first.result.message == "ip_address: this is no address; the row names no list"
        assert first.result.suggestion == "write 198.51.100.1; give --list"
        assert [row.number for row in views.rows_to_do(run, 1, 10)] == [2]


def test_touched_lists(tmp_path: Path) -> None:
    """Taking in says which lists have new rows to send, those of invalid rows left out."""
    with RunDirectory.create(tmp_path) as run:
        intake = Intake(run)
        intake.describe(SOURCE)
        first = intake.insert(1, [draft(), draft(2), draft(acl=AL2), draft(account=AC2)])
        assert len(first) == 3
        accounts = dict(views.accounts(run))
        lists = {(accounts[a], views.list_info(run, n).sid) for a, n in first}
        assert lists == {(AC1, AL1), (AC1, AL2), (AC2, AL1)}
        assert intake.insert(1, [draft(3)]) <= first
        assert intake.insert(1, [draft(3, problems=(BAD,))]) == set()


def test_more_lists_than_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows keep their lists where more of these come at once than are remembered."""
    monkeypatch.setattr("bulkipacl.store.intake.KNOWN_LISTS", 3)
    lists = [f"AL{number % 7:032x}" for number in range(20)]
    with RunDirectory.create(tmp_path) as run:
        intake = Intake(run)
        intake.describe(SOURCE)
        for start in (0, 10):
            intake.insert(1, [draft(acl=acl) for acl in lists[start : start + 10]])
        assert [one.list_sid for one in views.records(run)] == lists


def test_accounts_in_order_of_first_sight(tmp_path: Path) -> None:
    """Accounts are listed as the input names them, not as their sids sort."""
    sids = ["AC" + c * 32 for c in "9f0a5"]
    with make(tmp_path, [draft(account=sid) for sid in sids]) as run:
        assert [sid for _, sid in views.accounts(run)] == sids


# --- what is to be done -------------------------------------------------------------------


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    """A row to do has every field of its draft, and nothing of its neighbour's."""
    drafts = [
        draft(2**32 - 1, prefix=1, name="é"),
        draft(7, operation=Operation.UPDATE, prefix=None, name=None, match=9),
        draft(None, operation=Operation.DELETE, prefix=None, name=None, sid=sid_of(3)),
        draft(0, operation=Operation.UPSERT, name=None),
    ]
    with make(tmp_path, drafts) as run:
        assert views.rows_to_do(run, 1, 10) == [
            Row(1, Operation.CREATE, None, 2**32 - 1, 1, "é"),
            Row(2, Operation.UPDATE, None, 7, None, None, 9, 32),
            Row(3, Operation.DELETE, sid_of(3)),
            Row(4, Operation.UPSERT, None, 0, 32),
        ]


def test_rows_to_do(tmp_path: Path) -> None:
    """The rows of a list without an outcome come in row order, as many as were asked for."""
    drafts = [draft(n, acl=AL1 if n % 2 else AL2) for n in range(1, 11)]
    with make(tmp_path, drafts) as run:
        record(run, 3, 7)

        def numbers(list_id: int, limit: int) -> list[int]:
            return [row.number for row in views.rows_to_do(run, list_id, limit)]

        assert numbers(1, 10) == [1, 5, 9]
        assert numbers(1, 2) == [1, 5]
        assert numbers(1, 0) == []
        assert numbers(2, -1) == [2, 4, 6, 8, 10]
        assert numbers(3, -1) == []
        assert [row.number for row in views.rows_of_list(run, 1)] == [1, 5, 9]
        assert list(views.open_rows(run)) == [1, 2, 4, 5, 6, 8, 9, 10]
        assert views.rows_left(run) == 8


def test_lists_to_do(tmp_path: Path) -> None:
    """A list has something to do while a row of it is open, or its round is."""
    drafts = [draft(1), draft(2, acl=AL2), draft(3, account=AC2), draft(4, acl="", list_name="n")]
    with make(tmp_path, drafts) as run:
        assert list(views.lists_to_do(run, 1)) == [1, 2, 4]
        assert list(views.lists_to_do(run, 2)) == [3]
        assert list(views.lists_to_do(run, 3)) == []
        record(run, 1, 2, 3)
        assert list(views.lists_to_do(run, 1)) == [4]
        assert list(views.lists_to_do(run, 2)) == []
        commit(run, Batch(snapshots=[snapshot(3, 0, 3)]))
        assert list(views.lists_to_do(run, 2)) == [3]
        commit(run, Batch(closed=[(3, 0)]))
        assert list(views.lists_to_do(run, 2)) == []


def test_what_is_recorded_since(tmp_path: Path) -> None:
    """A snapshot with what its rows wrote since, and which sids are of this run's making."""
    before = [Entry(sid_of(n), n, 32, "old") for n in (1, 2, 3)]
    results = [
        RowResult(1, Outcome.CREATED, sid=sid_of(9), address=9, prefix=24, name="new"),
        RowResult(2, Outcome.UPDATED, sid=sid_of(1), address=5, prefix=32, name="moved"),
        RowResult(3, Outcome.DELETED, sid=sid_of(2), address=2, prefix=32, name="old"),
        RowResult(4, Outcome.UNCHANGED, sid=sid_of(7), address=7, prefix=32, name="theirs"),
        RowResult(5, Outcome.FAILED, sid=sid_of(8), address=8, prefix=32, name="echo"),
        RowResult(6, Outcome.DELETED, sid=sid_of(77), address=6, prefix=32, name="gone"),
        RowResult(7, Outcome.CREATED, Evidence.READ_BACK, sid=None, address=6, prefix=32, name="a"),
        RowResult(8, Outcome.CREATED, sid=sid_of(10), address=1, prefix=32, name="elsewhere"),
    ]
    drafts = [draft(n, acl=AL1 if n < 8 else AL2) for n in range(1, 9)]
    with make(tmp_path, drafts) as run:
        commit(run, Batch(results=results))
        held, made = views.with_recorded(run, 1, before)
    assert list(held.values()) == [
        Entry(sid_of(1), 5, 32, "moved"),
        Entry(sid_of(3), 3, 32, "old"),
        Entry(sid_of(9), 9, 24, "new"),
    ]
    assert made == {sid_of(9)}


def test_made_and_changed_since(tmp_path: Path) -> None:
    """Several rows on one entry are recorded in row order, whatever order they were written in."""
    results = [
        RowResult(2, Outcome.UPDATED, sid=sid_of(9), address=1, prefix=32, name="second"),
        RowResult(3, Outcome.DELETED, sid=sid_of(9), address=1, prefix=32, name="second"),
        RowResult(1, Outcome.CREATED, sid=sid_of(9), address=1, prefix=32, name="first"),
    ]
    with make(tmp_path, [draft(), draft(), draft()]) as run:
        commit(run, Batch(results=[results[2], results[0]]))
        held, _ = views.with_recorded(run, 1, [])
        assert held[sid_of(9)].name == "second"
        commit(run, Batch(results=[results[1]]))
        assert views.with_recorded(run, 1, []) == ({}, {sid_of(9)})


@pytest.mark.parametrize(
    ("bad", "of_list", "unknown"),
    [
        pytest.param(draft(problems=(BAD,)), True, False, id="create"),
        pytest.param(draft(operation=Operation.UPSERT, problems=(BAD,)), True, False, id="upsert"),
        pytest.param(draft(operation=Operation.DELETE, problems=(BAD,)), False, False, id="delete"),
        pytest.param(draft(operation=Operation.UPDATE, problems=(BAD,)), False, False, id="update"),
        pytest.param(draft(problems=(BAD,))._replace(operation=0), True, False, id="no operation"),
        pytest.param(draft(acl="", problems=(BAD,)), False, True, id="no list"),
        pytest.param(draft(account="", problems=(BAD,)), False, True, id="no account"),
        pytest.param(draft(acl=AL2, problems=(BAD,)), False, False, id="another list"),
        pytest.param(draft(), False, False, id="nothing wrong"),
    ],
)
def test_invalid_creates(tmp_path: Path, bad: Draft, of_list: bool, unknown: bool) -> None:
    """Whether a row that was not understood may have meant to make an entry in a list."""
    with make(tmp_path, [draft(1), bad]) as run:
        assert views.has_invalid_creates(run, 1) is of_list
        assert views.has_invalid_creates(run, None) is unknown


# --- lists by name ------------------------------------------------------------------------


def named(run: RunDirectory, sids: dict[int, str]) -> list[int]:
    """Give lists of the first account their sids, by number; returns which lists these are then."""
    commit(run, Batch(names=[(1, list_id, sid) for list_id, sid in sids.items()]))
    return [views.list_of_sid(run, 1, sid) for sid in sids.values()]


def test_named_lists(tmp_path: Path) -> None:
    """A list by name gets its sid; its rows stay its own."""
    drafts = [draft(1, acl="", list_name="office"), draft(2, acl="", list_name="home")]
    with make(tmp_path, drafts) as run:
        assert views.list_info(run, 1) == views.ListInfo(1, 1, "", "office")
        assert named(run, {1: AL1, 2: AL2}) == [1, 2]
        assert views.list_info(run, 1) == views.ListInfo(1, 1, AL1, "office")
        found = [(r.list_sid, r.list_name) for r in views.records(run)]
        assert found == [(AL1, "office"), (AL2, "home")]
        assert named(run, {1: AL1}) == [1]  # Again after a crash: nothing to do.
        assert [r.number for r in views.rows_to_do(run, 1, 9)] == [1]


def test_named_and_by_sid_become_one(tmp_path: Path) -> None:
    """A list that the input names both ways has the rows of both, in row order."""
    drafts = [
        draft(1, acl="", list_name="office"),
        draft(2, acl=AL1),
        draft(3, acl="", list_name="office"),
        draft(4, account=AC2),
        draft(5, acl="", list_name="branch"),
    ]
    with make(tmp_path, drafts) as run:
        by_sid = list(views.lists_to_do(run, 1))[1]
        assert named(run, {1: AL1}) == [by_sid]
        assert [r.number for r in views.rows_to_do(run, by_sid, 9)] == [1, 2, 3]
        assert list(views.lists_to_do(run, 1)) == [by_sid, 4]
        assert {r.list_sid for r in views.records(run, [1, 2, 3])} == {AL1}
        # Another account's list of the same sid is another list.
        assert [r.number for r in views.rows_to_do(run, 3, 9)] == [4]
        # Two names of one list, one after the other: both lead to it.
        assert named(run, {4: AL1}) == [by_sid]
        assert [r.number for r in views.rows_to_do(run, by_sid, 9)] == [1, 2, 3, 5]


# --- rows with their outcomes -------------------------------------------------------------


def test_records_of_numbers(tmp_path: Path) -> None:
    """Some rows, in the order they were asked for; numbers that are no row are left out."""
    with make(tmp_path, [draft(n) for n in range(1, 6)]) as run:
        found = [one.result.number for one in views.records(run, [5, 2, 99, 0, 3])]
    assert found == [5, 2, 3]


# Each line: a word | an open round up to | the account stopped | the ending | outcome and reason.
RULE = [
    ("not begun", None, False, "", Outcome.NOT_ATTEMPTED, "running"),
    ("interrupted before", None, False, "interrupted", Outcome.NOT_ATTEMPTED, "interrupted"),
    ("in an open round", 2, False, "", Outcome.UNKNOWN, "running"),
    ("in an open round of a stopped account", 2, True, "", Outcome.UNKNOWN, "running"),
    ("in an open round, interrupted", 2, False, "interrupted", Outcome.UNKNOWN, "interrupted"),
    ("past an open round", 1, False, "", Outcome.NOT_ATTEMPTED, "running"),
    ("stopped account", None, True, "breaker", Outcome.NOT_ATTEMPTED, "credentials_refused"),
    ("past an open round of a stopped account", 1, True, "", Outcome.NOT_ATTEMPTED,
     "credentials_refused"),
    ("invalid input", None, False, "invalid_input", Outcome.NOT_ATTEMPTED, "invalid_input"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("last_row", "is_stopped", "ending", "outcome", "reason"),
    [case[1:] for case in RULE],
    ids=[case[0] for case in RULE],
)
def test_rule_of_missing_outcomes(
    tmp_path: Path,
    last_row: int | None,
    is_stopped: bool,
    ending: str,
    outcome: Outcome,
    reason: str,
) -> None:
    """What a row without an outcome is follows from its list's round, account and ending."""
    with make(tmp_path, [draft(1), draft(2), draft(3, acl=AL2)]) as run:
        batch = Batch(results=ended(1))
        if last_row is not None:
            batch.snapshots.append(snapshot(1, 0, last_row))
        if is_stopped:
            batch.stopped.append((AC1, json.dumps(STOP)))
        commit(run, batch)
        if ending:
            views.set_meta(run, {"ending": ending})
        second, third = list(views.records(run))[1:]
        assert (second.result.outcome, second.result.reason) == (outcome, reason)
        assert second.result.suggestion
        assert third.result.outcome is Outcome.NOT_ATTEMPTED
        if second.result.reason == STOP["reason"]:
            assert (second.result.status, second.result.code) == (401, 20003)
        summary = views.summary(run)
        assert summary.outcomes[Outcome.CREATED] == 1
        assert sum(summary.outcomes.values()) == summary.rows == 3
        missing = [cause for cause in summary.causes if cause.is_missing]
        assert sum(cause.rows for cause in missing) == 2
        assert {cause.outcome for cause in missing} == {outcome, Outcome.NOT_ATTEMPTED}


def test_an_empty_run(tmp_path: Path) -> None:
    """A run of no rows has nothing to say, and says it."""
    with make(tmp_path, []) as run:
        assert list(views.records(run)) == []
        summary = views.summary(run)
        assert summary.rows == sum(summary.outcomes.values()) == 0
        assert summary.causes == ()
        assert views.accounts(run) == []
        assert views.open_snapshot(run, 1) is None
        assert views.first_snapshot(run, 1) is None
