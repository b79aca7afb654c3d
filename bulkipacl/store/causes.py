"""Why rows did not end well: counted by outcome, reason, status and code.

causes_of   those of a run, recorded and derived alike
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from bulkipacl.model import GOOD_OUTCOMES, Cause, Outcome, RowResult
from bulkipacl.store.missing import Missing
from bulkipacl.store.rundir import RunDirectory


def causes_of(run: RunDirectory, missing: Missing) -> tuple[dict[Outcome, int], list[Cause]]:
    """How many rows have each outcome that only is derived, and all causes, most rows first.

    What was recorded and what is derived are one cause where they are the same to a person.
    """
    derived = _missing_causes(run, missing)
    counts: dict[Outcome, int] = {}
    for cause in derived:
        counts[cause.outcome] = counts.get(cause.outcome, 0) + cause.rows
    causes = _merged([*_recorded_causes(run), *derived])
    return counts, sorted(causes, key=lambda cause: (-cause.rows, cause.first_row))


def _merged(causes: Iterable[Cause]) -> Iterable[Cause]:
    merged: dict[tuple[str, str, int, int], Cause] = {}
    for cause in causes:
        key = (cause.outcome, cause.reason, cause.status, cause.code)
        known = merged.get(key)
        if known is None:
            merged[key] = cause
            continue
        first, second = sorted((known, cause), key=lambda one: one.first_row)
        merged[key] = replace(
            first,
            rows=first.rows + second.rows,
            message=first.message or second.message,
            suggestion=first.suggestion or second.suggestion,
            is_missing=first.is_missing and second.is_missing,
        )
    return merged.values()


def _recorded_causes(run: RunDirectory) -> list[Cause]:
    found = run.reader.execute(
        f"""SELECT o.outcome, o.reason, o.status, o.code, o.message, o.suggestion, COUNT(*),
                   MIN(o.number) FROM outcome o
            WHERE o.outcome NOT IN ({",".join("?" * len(GOOD_OUTCOMES))})
            GROUP BY o.outcome, o.reason, o.status, o.code""",  # noqa: S608 - placeholders only
        sorted(GOOD_OUTCOMES),
    )
    return [
        Cause(
            outcome=Outcome(outcome),
            reason=reason,
            status=status,
            code=code,
            message=message,
            suggestion=suggestion,
            rows=rows,
            first_row=first,
            **_place(run, first),
        )
        for outcome, reason, status, code, message, suggestion, rows, first in found
    ]


# What such a row means follows from its account and from whether its list's open snapshot covers
# it. By list first, which is the order of the index; then by account, so that of millions of lists
# no more lines come here than there are accounts.
_MISSING = """
SELECT list_id, a.sid, SUM(rows), MIN(first) FROM (
    SELECT r.list_id, l.account_id, r.number <= COALESCE(s.last_row, 0) AS is_covered,
           COUNT(*) AS rows, MIN(r.number) AS first
    FROM row r JOIN list l ON l.id = r.list_id
    LEFT JOIN snapshot s ON s.list_id = r.list_id AND s.is_open = 1
    WHERE NOT EXISTS (SELECT 1 FROM outcome o WHERE o.number = r.number)
    GROUP BY r.list_id, is_covered)
JOIN account a ON a.id = account_id GROUP BY account_id, is_covered
"""


def _missing_causes(run: RunDirectory, missing: Missing) -> list[Cause]:
    """Rows without an outcome, counted by what that means. About 2 us for each of them."""
    causes = (
        _missing_cause(missing.result(first, list_id, account_sid), rows)
        for list_id, account_sid, rows, first in run.reader.execute(_MISSING)
    )
    return [replace(cause, **_place(run, cause.first_row)) for cause in _merged(causes)]


def _missing_cause(result: RowResult, rows: int) -> Cause:
    return Cause(
        outcome=result.outcome,
        reason=result.reason,
        status=result.status,
        code=result.code,
        message=result.message,
        suggestion=result.suggestion,
        rows=rows,
        first_row=result.number,
        first_source="",
        first_line=0,
        is_missing=True,
    )


def _place(run: RunDirectory, number: int) -> dict[str, Any]:
    source, line = run.reader.execute(
        "SELECT s.name, r.line FROM row r JOIN source s ON s.id = r.source_id WHERE r.number = ?",
        (number,),
    ).fetchone()
    return {"first_source": str(source), "first_line": int(line)}
