"""`rejects.csv`: the input's own lines of every row that did not end well, to mend and feed back.

Header and cells are the input's, untouched: the file is input again, so nothing in it is
neutralised, a cell that begins with `=` included. `report.csv` is the one made for spreadsheets.
Three columns stand behind them and say what happened; a rejects file that was fed back has them
already, and its next one has them once, with what happened last.

    reject_lines   header and lines of a run's rejects
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bulkipacl.intake import field_of
from bulkipacl.model import GOOD_OUTCOMES, RowRecord, SourceInfo
from bulkipacl.report.columns import with_repeats
from bulkipacl.report.records import cell_text, read_record
from bulkipacl.store import views
from bulkipacl.store.rundir import RunDirectory

REJECTS_NAME = "rejects.csv"
REJECT_COLUMNS = ("reject_outcome", "reject_reason", "reject_suggestion")

_NUMBERS = f"""
SELECT r.number FROM row r LEFT JOIN outcome o ON o.number = r.number
WHERE o.outcome IS NULL OR o.outcome NOT IN ({",".join("?" * len(GOOD_OUTCOMES))})
ORDER BY r.number
"""  # noqa: S608 - placeholders only


@dataclass(frozen=True, slots=True)
class _Columns:
    """The input's columns as the rejects file has them.

    Attributes:
        names: in order of first sight over all sources.
        indices: per source and name, the indices of its columns. One, or none; several only
            where the objects of a JSON source spell a field in several ways.
    """

    names: tuple[str, ...]
    indices: dict[int, tuple[tuple[int, ...], ...]]


def reject_lines(run: RunDirectory) -> tuple[list[str], Iterator[tuple[RowRecord, list[str]]]]:
    """The header of the run's rejects, and each of them with its cells, in row order.

    Constant memory; about 10 us a reject, and 0.3 us a row that is none.
    """
    sources = {source.id: source for source in views.sources(run)}
    columns = _columns_of(list(sources.values()))
    numbers = run.reader.execute(_NUMBERS, sorted(GOOD_OUTCOMES))
    records = views.records(run, (int(row[0]) for row in numbers))
    lines = (
        (record, _cells(record, sources[record.source_id], columns.indices[record.source_id]))
        for record in records
    )
    return [*columns.names, *REJECT_COLUMNS], lines


def _cells(record: RowRecord, source: SourceInfo, places: tuple[tuple[int, ...], ...]) -> list[str]:
    values, surplus = read_record(record.raw, source)
    result = record.result
    cells: list[str] = []
    for indices in places:
        if len(indices) == 1:
            cells.append(cell_text(values[indices[0]]))
            continue
        first, *others = [v for i in indices if (v := values[i]) is not None] or [None]
        cells.append(cell_text(first))
        surplus += others
    cells += (result.outcome.value, result.reason, result.suggestion)
    # Cells beyond the header stay beyond it: a column of their own would make a whole record of
    # a broken one, and it would be taken in unmended.
    cells += [cell_text(value) for value in surplus]
    return cells


def _columns_of(sources: list[SourceInfo]) -> _Columns:
    """Columns of one field share a place, whatever each source, or each JSON object, calls it.

    Two columns that mean one field would make the file unfit to be fed back.
    """
    places: dict[tuple[str, int], int] = {}
    names: list[str] = []
    by_source: dict[int, dict[tuple[str, int], list[int]]] = {}
    for source in sources:
        found = by_source.setdefault(source.id, {})
        for index, (name, repeat) in enumerate(with_repeats(source.columns)):
            if name in REJECT_COLUMNS:
                continue
            field = field_of(name)
            key = (name, repeat) if field is None else (field, 0)
            found.setdefault(key, []).append(index)
            if key not in places:
                places[key] = len(names)
                names.append(name)
    return _Columns(
        tuple(names),
        {
            source_id: tuple(tuple(found.get(key, ())) for key in places)
            for source_id, found in by_source.items()
        },
    )
