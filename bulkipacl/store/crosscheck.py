"""What the rows of one list say against each other, over a whole input.

The checks themselves are `bulkipacl.intake.check_rows`, pure and per list. This finds the lists
that can have something to say with one sorted pass inside SQLite, so that an input of any size
is checked in constant memory, and most lists are never loaded.
"""

from __future__ import annotations

from collections.abc import Iterator

from bulkipacl.intake import check_rows
from bulkipacl.model import LIST_CAPACITY, Operation, Problem, RowResult, SourceInfo
from bulkipacl.settings import INTAKE_BATCH
from bulkipacl.store import views
from bulkipacl.store.intake import invalid_result
from bulkipacl.store.journal import insert_outcomes
from bulkipacl.store.rundir import RunDirectory
from bulkipacl.store.schema import ROW_INDEX

# The lists in which something is named twice or too often, and those that hold whole blocks. One
# pass over the rows as they lie, sorted on disk where need be: by the index, an input that is not
# sorted by list would cost a page read for every row.
_SUSPECTS = f"""
SELECT list_id,
       COUNT(DISTINCT address) < COUNT(address) OR COUNT(DISTINCT sid) < COUNT(sid)
       OR COUNT(DISTINCT match_address) < COUNT(match_address)
       OR SUM(operation IN ({int(Operation.CREATE)}, {int(Operation.UPSERT)})) > {LIST_CAPACITY}
       AS is_suspect
FROM row NOT INDEXED WHERE list_id IS NOT NULL
GROUP BY list_id HAVING is_suspect OR MIN(prefix) < 32 ORDER BY list_id
"""  # noqa: S608 - three numbers of ours

# Sorted by address, a block that begins before the end of an earlier one overlaps it.
_OVERLAP = """
SELECT 1 FROM (
    SELECT start, MAX(start + (1 << (32 - prefix))) OVER (
               ORDER BY start, prefix ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
           ) AS covered_to
    FROM (SELECT prefix, (address >> (32 - prefix)) << (32 - prefix) AS start
          FROM row WHERE list_id = ? AND address IS NOT NULL AND prefix IS NOT NULL))
WHERE start < covered_to LIMIT 1
"""


def index_rows(run: RunDirectory) -> None:
    """Make the index by list, if it is not there yet. About 1 us a row."""
    with run.transaction() as db:
        db.execute(ROW_INDEX)


def cross_check(run: RunDirectory) -> Iterator[tuple[SourceInfo, int, Problem]]:
    """Check the rows of every list against each other; yields (source, line, problem).

    A row with a problem that is not a warning is kept as `invalid` by the time the generator ends.
    About 1 us a row where nothing is found.
    """
    inputs = {source.id: source for source in views.sources(run)}
    invalid: list[RowResult] = []
    for list_id in _suspects(run):
        errors: dict[int, list[Problem]] = {}
        for number, problem in check_rows(views.rows_of_list(run, list_id)):
            if not problem.is_warning:
                errors.setdefault(number, []).append(problem)
            source_id, line = run.reader.execute(
                "SELECT source_id, line FROM row WHERE number = ?", (number,)
            ).fetchone()
            yield inputs[source_id], line, problem
        invalid += [invalid_result(number, found) for number, found in errors.items()]
        if len(invalid) >= INTAKE_BATCH:
            _keep(run, invalid)
    _keep(run, invalid)


def _suspects(run: RunDirectory) -> Iterator[int]:
    """The lists whose rows have something to say about each other, or may have."""
    for list_id, is_suspect in run.reader.execute(_SUSPECTS):
        if is_suspect or run.reader.execute(_OVERLAP, (list_id,)).fetchone():
            yield list_id


def _keep(run: RunDirectory, invalid: list[RowResult]) -> None:
    if invalid:
        with run.transaction() as db:
            insert_outcomes(db, invalid)
        invalid.clear()
