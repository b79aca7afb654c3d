"""Which columns a report has, and where each of them comes from in each source.

    REPORT_COLUMNS  the fixed columns, in order
    Layout          all columns of one run's report, and a SourceLayout per source
    SourceLayout    how the records of one source fill them
    layout_of       makes a Layout once per report, so that nothing of it is paid per row

It reads no record and writes no line: `records.py` and `lines.py` do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bulkipacl.intake import field_of
from bulkipacl.model import SourceInfo

ROW_COLUMNS = (
    "operation",
    "account_sid",
    "list_sid",
    "sid",
    "ip_address",
    "cidr_prefix_length",
    "friendly_name",
)
"""What a row asks: in a report, and in every input that this tool makes."""

REPORT_COLUMNS = (
    "row",
    "source",
    "line",
    *ROW_COLUMNS,
    "outcome",
    "evidence",
    "reason",
    "http_status",
    "error_code",
    "error_message",
    "more_info",
    "attempts",
    "request_id",
    "finished_at",
    "duration_ms",
    "suggestion",
)

SURPLUS_COLUMN = "input_extra_cells"
"""Holds the cells of a record that has more of them than its header has columns."""

# The fields that have a place among the fixed columns; all others travel as they came.
_FIELD_PLACES = {
    "operation": "operation",
    "account_sid": "account_sid",
    "ip_access_control_list_sid": "list_sid",
    "sid": "sid",
    "ip_address": "ip_address",
    "cidr_prefix_length": "cidr_prefix_length",
    "friendly_name": "friendly_name",
}

ABSENT = -1
"""The index of a column that a source does not have: the padding behind a record's values."""


@dataclass(frozen=True, slots=True)
class SourceLayout:
    """How the records of one source fill the report.

    Attributes:
        given: (index of a fixed column, index of the source's column): where the text of a row
            that was not understood is taken from.
        others: for each of the report's other columns, the index of the source's column.
    """

    source: SourceInfo
    given: tuple[tuple[int, int], ...]
    others: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """All columns of a report: the fixed ones, the input's others, and perhaps the surplus."""

    others: tuple[str, ...]
    sources: dict[int, SourceLayout]
    has_surplus: bool = False

    @property
    def header(self) -> tuple[str, ...]:
        """The names of all columns, each of them once."""
        surplus = (SURPLUS_COLUMN,) if self.has_surplus else ()
        return (*REPORT_COLUMNS, *self.others, *surplus)


def layout_of(sources: Sequence[SourceInfo], *, has_surplus: bool = False) -> Layout:
    """The layout of a report over these sources: their other columns in order of first sight."""
    places: dict[tuple[str, int], int] = {}
    names: list[str] = []
    taken = {*REPORT_COLUMNS, SURPLUS_COLUMN}
    for source in sources:
        for _, (name, repeat) in _other_columns(source):
            if (name, repeat) not in places:
                places[name, repeat] = len(names)
                names.append(_free_name(name, taken))
                taken.add(names[-1])
    layouts: dict[int, SourceLayout] = {}
    for source in sources:
        others = [ABSENT] * len(names)
        for index, key in _other_columns(source):
            others[places[key]] = index
        layouts[source.id] = SourceLayout(source, tuple(_given(source)), tuple(others))
    return Layout(tuple(names), layouts, has_surplus)


def with_repeats(names: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Each name with how often it came before: what tells columns of one name apart."""
    seen: Counter[str] = Counter()
    for name in names:
        yield name, seen[name]
        seen[name] += 1


def _other_columns(source: SourceInfo) -> Iterator[tuple[int, tuple[str, int]]]:
    for index, key in enumerate(with_repeats(source.columns)):
        if field_of(key[0]) not in _FIELD_PLACES:
            yield index, key


def _given(source: SourceInfo) -> Iterator[tuple[int, int]]:
    for index, name in enumerate(source.columns):
        place = _FIELD_PLACES.get(field_of(name) or "")
        if place is not None:
            yield REPORT_COLUMNS.index(place), index


def _free_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name = f"input_{name}"
    return name
