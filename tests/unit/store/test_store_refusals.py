"""Rows that a guard refused when they were made: answered so, and not as invalid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from store_tools import BAD, draft, take

from bulkipacl.model import Outcome
from bulkipacl.store import views
from bulkipacl.store.rundir import RunDirectory

GUARD = replace(BAD, reason="changed_since", is_refusal=True)


def test_refused_rows(tmp_path: Path) -> None:
    """A row is refused where a guard alone stands against it; invalid where anything else does."""
    drafts = [draft(1, problems=(GUARD,)), draft(2, problems=(GUARD, BAD)), draft(3)]
    with RunDirectory.create(tmp_path) as run:
        assert take(run, drafts).invalid == 1
        results = [record.result for record in views.records(run)]
        assert [result.outcome for result in results] == [
            Outcome.REFUSED,
            Outcome.INVALID,
            Outcome.NOT_ATTEMPTED,
        ]
        assert (results[0].reason, results[0].suggestion) == ("changed_since", BAD.suggestion)
        assert [row.number for row in views.rows_to_do(run, 1, 9)] == [3]
        assert views.settled_rows(run) == {Outcome.REFUSED: 1, Outcome.INVALID: 1}
