"""What the rows of one list say against each other, over a whole input.

The checks themselves are `bulkipacl.intake.check_rows`, pure and per list. This finds the lists
that can have something to say with one sorted pass inside SQLite, so that an input of any size
is checked in constant memory, and most lists are never loaded.
"""

from __future__ import annotations

from collections.abc import Iterator

from bulkipacl.intake import check_rows
from bulkipacl.model import LIST_CAPACITY, Operation, Problem, SourceInfo
from bulkipacl.store import views
from bulkipacl.store.intake import invalid_result
from bulkipacl.store.journal import insert_outcomes
from bulkipacl.store.rundir import RunDirectory
from bulkipacl.store.schema import ROW_INDEX

# Sorted by list and address, a row that begins before the end of an earlier block repeats,
# contradicts or overlaps it. The repeats of rows that name their entry by sid or match are looked
# for by that.
_SUSPECTS = f"""
SELECT DISTINCT list_id FROM (
    SELECT list_id, start,
           MAX(start + (1 << (32 - prefix))) OVER (
               PARTITION BY list_id ORDER BY start, prefix
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS covered_to
    FROM (SELECT list_id, prefix, (address >> (32 - prefix)) << (32 - prefix) AS start
          FROM row WHERE list_id IS NOT NULL AND address IS NOT NULL AND prefix IS NOT NULL))
WHERE start < covered_to
UNION
SELECT list_id FROM row WHERE list_id IS NOT NULL
AND operation IN ({int(Operation.CREATE)}, {int(Operation.UPSERT)})
GROUP BY list_id HAVING COUNT(*) > {LIST_CAPACITY}
UNION
SELECT list_id FROM row WHERE list_id IS NOT NULL AND sid IS NOT NULL
GROUP BY list_id, sid HAVING COUNT(*) > 1
UNION
SELECT list_id FROM row WHERE list_id IS NOT NULL AND match_address IS NOT NULL
GROUP BY list_id, match_address HAVING COUNT(*) > 1
ORDER BY 1
"""  # noqa: S608 - two numbers of ours


def index_rows(run: RunDirectory) -> None:
    """Make the index by list, if it is not there yet. About 1 us a row."""
    with run.transaction() as db:
        db.execute(ROW_INDEX)


def cross_check(run: RunDirectory) -> Iterator[tuple[SourceInfo, int, Problem]]:
    """Check the rows of every list against each other; yields (source, line, problem).

    A row with a problem that is not a warning is kept as `invalid` when the generator ends.
    """
    inputs = {source.id: source for source in views.sources(run)}
    suspects = [int(row[0]) for row in run.reader.execute(_SUSPECTS)]
    errors: dict[int, list[Problem]] = {}
    for list_id in suspects:
        for number, problem in check_rows(views.rows_of_list(run, list_id)):
            if not problem.is_warning:
                errors.setdefault(number, []).append(problem)
            source_id, line = run.reader.execute(
                "SELECT source_id, line FROM row WHERE number = ?", (number,)
            ).fetchone()
            yield inputs[source_id], line, problem
    if errors:
        with run.transaction() as db:
            insert_outcomes(db, [invalid_result(n, found) for n, found in errors.items()])
