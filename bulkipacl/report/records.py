"""A kept input record, read back: its values by column, and what stands beyond them.

The store keeps every record as JSON: an array of cells (CSV), an object (JSON), or one text where
the record could not be read at all. `read_record` makes the same of all three: one value per
column of the source. `has_surplus` finds out whether a report needs a column for more.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from bulkipacl.model import SourceInfo
from bulkipacl.store import views
from bulkipacl.store.rundir import RunDirectory

CSV = "csv"
"""The format whose records are cells."""

# orjson reads an integer past 64 bits as a float; an id in somebody's column must not change.
_LONG_NUMBER = re.compile(rb"\d{19}")


def read_record(raw: bytes, source: SourceInfo) -> tuple[list[Any], list[Any]]:
    """The record's values, one per column of its source and then a None, and the surplus ones.

    A column that the record does not have is None. The None behind the last is what `ABSENT`
    points at. A record that is neither cells nor an object is one text in the first column.
    About 0.6 us for a CSV record.
    """
    is_csv = source.format == CSV
    value = parse(raw, has_numbers=not is_csv)
    columns = source.columns
    if isinstance(value, dict):
        return [*map(value.get, columns), None], []
    if not isinstance(value, list):
        value = [value if isinstance(value, str) else json_text(value)]
    elif not is_csv and not (len(value) == 1 and isinstance(value[0], str)):
        # An array where an object was due: no column names fit its values.
        value = [json_text(value)]
    width = len(columns)
    if len(value) <= width:
        value += [None] * (width + 1 - len(value))
        return value, []
    return [*value[:width], None], value[width:]


def parse(raw: bytes, *, has_numbers: bool = True) -> Any:
    """The kept JSON as a value; as a text where it is none.

    Args:
        has_numbers: whether there can be numbers in it, not only texts.
    """
    try:
        if not has_numbers or not _LONG_NUMBER.search(raw):
            return orjson.loads(raw)
    except orjson.JSONDecodeError:
        pass  # A lone surrogate, which stands for a byte that was not UTF-8, is no JSON to it.
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode("utf-8", "surrogateescape")


def json_text(value: object) -> str:
    """Compact JSON of any value."""
    try:
        return orjson.dumps(value).decode()
    except (orjson.JSONEncodeError, UnicodeDecodeError):
        return json.dumps(value, separators=(",", ":"))


def cell_text(value: object) -> str:
    """A value as one cell: a string as it is, nothing as an empty cell, others as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json_text(value)


def has_surplus(run: RunDirectory) -> bool:
    """Whether a record of the run has more cells than columns, and says something in them.

    Only invalid rows are looked at: a record with such cells is one.
    """
    by_id = {source.id: source for source in views.sources(run)}
    found = run.reader.execute("SELECT source_id, raw FROM row WHERE list_id IS NULL")
    return any(
        cell_text(value).strip()
        for source_id, raw in found
        if source_id in by_id
        for value in read_record(raw, by_id[source_id])[1]
    )
