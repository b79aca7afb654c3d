"""What is worth a second look in the rows of each list, over a whole input.

The lints themselves are `bulkipacl.intake.lint_rows`, pure and per list. Only the first rows of a
list are looked at: it cannot hold more entries than a hundred of them make.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, islice
from operator import itemgetter

from bulkipacl.intake import lint_rows
from bulkipacl.model import Operation, Problem, Row, SourceInfo
from bulkipacl.store import views
from bulkipacl.store.facts import sound
from bulkipacl.store.rundir import RunDirectory

LINTED_ROWS = 10_000
"""Rows of one list that are looked at: what bounds the memory."""

_MAKING = f"""
SELECT r.list_id, r.number, r.operation, r.address, r.prefix, r.name, r.source_id, r.line
FROM row r LEFT JOIN outcome o ON o.number = r.number
WHERE r.list_id IS NOT NULL AND r.address IS NOT NULL AND o.number IS NULL
AND r.operation IN ({int(Operation.CREATE)}, {int(Operation.UPSERT)})
ORDER BY r.list_id, r.number
"""  # noqa: S608 - two numbers of ours


def lint(run: RunDirectory) -> Iterator[tuple[SourceInfo, int, Problem]]:
    """The warnings about all lists, list by list, as (source, line, problem); about 9 us a row."""
    inputs = {source.id: source for source in views.sources(run)}
    found = run.reader.execute(_MAKING)
    with sound(run):
        for _, group in groupby(found, key=itemgetter(0)):
            kept = list(islice(group, LINTED_ROWS))
            places = {number: (source, line) for _, number, *_, source, line in kept}
            rows = [
                Row(number, Operation(operation), None, address, prefix, name)
                for _, number, operation, address, prefix, name, _, _ in kept
            ]
            for number, problem in lint_rows(rows):
                source_id, line = places[number]
                yield inputs[source_id], line, problem
