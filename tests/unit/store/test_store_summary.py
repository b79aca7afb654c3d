"""The run in figures: counts, causes, all of one instant; and kept values that are damaged."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from store_tools import AC1, AC2, AL1, AL2, draft, ended, make, record, snapshot

from bulkipacl.errors import StoreError
from bulkipacl.model import Outcome, RowResult
from bulkipacl.store import views
from bulkipacl.store.crosscheck import index_rows
from bulkipacl.store.journal import Batch, commit
from bulkipacl.store.rundir import RunDirectory


def test_causes(tmp_path: Path) -> None:
    """Rows that did not end well are counted by cause, with the first of each, most first."""
    with make(tmp_path, [draft(n, line=n + 10) for n in range(1, 8)]) as run:
        full = [RowResult(n, Outcome.FAILED, None, "rejected", 400, 21237, "full") for n in (5, 3)]
        gone = [RowResult(2, Outcome.FAILED, None, "list_not_found", 404, 20404, "gone")]
        commit(run, Batch(results=full + gone + ended(1, 4, 6, 7)))
        causes = views.summary(run).causes
    assert [(c.reason, c.status, c.code, c.rows) for c in causes] == [
        ("rejected", 400, 21237, 2),
        ("list_not_found", 404, 20404, 1),
    ]
    assert (causes[0].first_row, causes[0].first_source, causes[0].first_line) == (
        3,
        "rows.csv",
        13,
    )
    assert not causes[0].is_missing


def test_recorded_and_derived_are_one_cause(tmp_path: Path) -> None:
    """Rows not attempted for one reason are one cause, whether that was recorded or not."""
    suggestion = "`bulkipacl resume` the run to carry it out"
    kept = RowResult(4, Outcome.NOT_ATTEMPTED, reason="interrupted", suggestion=suggestion)
    with make(tmp_path, [draft(n, line=n + 10) for n in range(1, 7)]) as run:
        commit(run, Batch(results=[kept, *ended(1)]))
        views.set_meta(run, {"ending": "interrupted"})
        summary = views.summary(run)
        (cause,) = summary.causes
    assert (cause.outcome, cause.reason, cause.rows) == (kept.outcome, "interrupted", 5)
    assert (cause.first_row, cause.first_line, cause.suggestion) == (2, 12, suggestion)
    assert summary.outcomes[Outcome.NOT_ATTEMPTED] == 5
    assert sum(summary.outcomes.values()) == summary.rows


def test_what_is_missing_counts_as_it_is_told(tmp_path: Path) -> None:
    """Of lists and accounts in any state, the causes count what each row is told to be."""
    rows = [
        draft(n, account=a, acl=acl) for n in range(4) for a in (AC1, AC2) for acl in (AL1, AL2)
    ]
    with make(tmp_path, rows) as run:
        index_rows(run)
        stop = {"status": 401, "code": 20003, "message": "no", "more_info": "", "suggestion": "x"}
        commit(
            run,
            Batch(
                # Two lists of one account, of which a part may have been sent; one of the other.
                snapshots=[snapshot(1, 0, 1), snapshot(2, 0, 10), snapshot(3, 0, 11)],
                results=ended(10, 12),
                stopped=[(AC2, json.dumps({"reason": "credentials_refused", **stop}))],
            ),
        )
        told = Counter(
            (r.outcome, r.reason, r.code) for r in (x.result for x in views.records(run))
        )
        causes = views.summary(run).causes
    del told[Outcome.CREATED, "", 0]
    assert {(c.outcome, c.reason, c.code): c.rows for c in causes} == told
    assert len(told) == 3
    assert sorted(cause.first_row for cause in causes) == [1, 4, 5]


def test_a_summary_is_of_one_instant(tmp_path: Path) -> None:
    """While rows end and rows come in between any two of its questions, its counts add up."""
    with make(tmp_path, [draft(n) for n in range(1, 100)]) as run:
        views.set_meta(run, {"ending": ""})
        numbers = iter(range(1, 100))
        with RunDirectory.open(tmp_path, is_writable=False) as other:
            other.reader.set_trace_callback(
                lambda _: record(run, next(numbers), outcome=Outcome.FAILED)
            )
            for _ in range(3):
                summary = views.summary(other)
                assert sum(summary.outcomes.values()) == summary.rows == 99
                failed = [c.rows for c in summary.causes if c.outcome is Outcome.FAILED]
                assert sum(failed) == summary.outcomes[Outcome.FAILED]
        assert next(numbers) > 20


def test_who_held_it_is_of_that_instant_too(tmp_path: Path) -> None:
    """A run that ends while it is read was running when the reading began, and never killed."""
    run = make(tmp_path, [draft()])
    with RunDirectory.open(tmp_path, is_writable=False) as other:
        with other.reading():
            assert views.row_count(other) == 1
            views.set_meta(run, {"ending": "finished"})
            run.close()
            assert views.summary(other).ending == "running"
        assert views.summary(other).ending == "finished"


KEPT_VALUES: list[tuple[str, Callable[[RunDirectory], object]]] = [
    ("UPDATE source SET columns = '[1'", views.sources),
    ("UPDATE snapshot SET entries = x'5b'", lambda run: views.open_snapshot(run, 1)),
    ("UPDATE snapshot SET entries = x'5b315d'", lambda run: views.first_snapshot(run, 1)),
    ("UPDATE account SET stopped = '{'", views.Missing),
    ("UPDATE row SET operation = 9", lambda run: views.rows_to_do(run, 1, 9)),
    ("UPDATE outcome SET outcome = 'creatad'", lambda run: list(views.records(run))),
    ("UPDATE outcome SET evidence = 'hearsay'", lambda run: list(views.records(run, [1]))),
    ("UPDATE outcome SET outcome = 'creatad'", views.summary),
    ("INSERT INTO meta VALUES ('requests', 'many')", views.summary),
]


@pytest.mark.parametrize(("change", "ask"), KEPT_VALUES)
def test_kept_values_that_were_never_written(
    tmp_path: Path, change: str, ask: Callable[[RunDirectory], object]
) -> None:
    """A kept value that can be none of ours is damage of the store, told with what to do."""
    with make(tmp_path, [draft(1), draft(2)]) as run:
        commit(run, Batch(results=ended(1), snapshots=[snapshot(1, 0, 2)]))
        ask(run)
        with run.transaction() as db:
            db.execute(change)
        with pytest.raises(StoreError, match="is damaged") as caught:
            ask(run)
    assert caught.value.hint


def test_figures_add_up_over_sessions(tmp_path: Path) -> None:
    """What each session did is added to what the ones before it left."""
    with make(tmp_path, [draft()]) as run:
        commit(run, Batch(figures=[("requests", 3), ("throttled", 1), ("elapsed_s", 0.5)]))
        commit(run, Batch(figures=[("requests", 4), ("throttled", 0), ("elapsed_s", 0.25)]))
        summary = views.summary(run)
    assert (summary.requests, summary.throttled, summary.elapsed_s) == (7, 1, 0.75)
