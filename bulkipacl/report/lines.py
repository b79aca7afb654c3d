"""Rows with their outcomes as the values of report lines.

    CsvLines    cells for people: texts, neutralised against spreadsheets
    JsonLines   the same keys, typed and unchanged

Both are made once per report from its `Layout`, and say by `needs_raw` whether they need the kept
records of all rows. They are called for some hundred rows at once, which are made ready column by
column: about 2 us a row, and 1.5 us more where the input has other columns. Most columns hold few
different values, and each of these is written once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from operator import itemgetter
from socket import inet_ntoa
from typing import Any, TypeVar

import orjson

from bulkipacl.model import Operation, Outcome
from bulkipacl.report.cells import LOOK_CLOSER, Stamps, neutralise
from bulkipacl.report.columns import REPORT_COLUMNS, SURPLUS_COLUMN, Layout, SourceLayout
from bulkipacl.report.records import json_text, read_record
from bulkipacl.report.words import STANDARD_INPUT
from bulkipacl.store.records import Columns

_OPERATION_WORDS = {0: "", **{int(operation): operation.word for operation in Operation}}

T = TypeVar("T")
S = TypeVar("S")


class CsvLines:
    """Cells of report lines."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.needs_raw = bool(layout.others) or layout.has_surplus
        self._stamp = Stamps().text
        # A sign alone is no formula, and it is what standard input is called everywhere.
        self._names = {
            i: s.source.name if s.source.name == STANDARD_INPUT else neutralise(s.source.name)
            for i, s in layout.sources.items()
        }

    def cells(self, rows: Columns) -> Sequence[Sequence[str]]:
        """The cells of these rows, as many of each as the layout's header has columns."""
        columns = (
            map(str, rows.number),
            map(self._names.__getitem__, rows.source_id),
            map(str, rows.line),
            map(_OPERATION_WORDS.__getitem__, rows.operation),
            rows.account_sid,
            rows.list_sid,
            _for_people(rows.sid),
            _ip_texts(rows.address, ""),
            _each_once(_number_text, rows.prefix),
            _for_people(rows.name),
            rows.outcome,
            _each_once(_text, rows.evidence),
            _each_once(neutralise, rows.reason),
            _each_once(_code_text, rows.status),
            _each_once(_code_text, rows.code),
            _each_once(neutralise, rows.message),
            _each_once(neutralise, rows.more_info),
            _each_once(str, rows.attempts),
            _for_people(rows.request_id),
            map(self._stamp, rows.finished_at),
            map("{:.1f}".format, rows.duration_ms),
            _each_once(neutralise, rows.suggestion),
        )
        lines = list(zip(*columns, strict=True))
        if self.needs_raw or Outcome.INVALID in rows.outcome:
            return list(self._with_input(lines, rows))
        return lines

    def _with_input(
        self, lines: Sequence[tuple[str, ...]], rows: Columns
    ) -> Iterator[Sequence[str]]:
        """Add what only the kept records know: other columns, and what was not understood."""
        has_surplus = self._layout.has_surplus
        for line, source, is_understood, raw in _with_sources(lines, rows, self._layout):
            if raw is None:
                yield line
                continue
            cells = list(line)
            values, surplus = read_record(raw, source.source)
            if not is_understood:
                for place, index in source.given:
                    cells[place] = _cell(values[index]) or cells[place]
            cells += [_cell(values[index]) for index in source.others]
            if has_surplus:
                cells.append(neutralise(json_text(surplus)) if surplus else "")
            yield cells


class JsonLines:
    """Report lines as JSON objects."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.needs_raw = bool(layout.others)
        self._stamp = Stamps().text
        self._names = {i: s.source.name for i, s in layout.sources.items()}

    def encode(self, rows: Columns, between: bytes) -> bytes:
        """Lines of compact JSON with this between them.

        What UTF-8 cannot hold, a byte that was not UTF-8 in the input, is an escape: `\\udcff`.
        """
        values = self.values(rows)
        try:
            lines = orjson.dumps(values)[1:-1]
        except TypeError:
            pass
        else:
            # All at once costs half; where this stands nowhere else, these are the lines' ends.
            if lines.count(b"},{") == len(values) - 1:
                return lines.replace(b"},{", b"}%b{" % between)
        return between.join(map(_dump, values))

    def values(self, rows: Columns) -> Sequence[dict[str, Any]]:
        """The values of these rows by column, None where there is nothing to say.

        A record with surplus cells has one key more for them, `SURPLUS_COLUMN`.
        """
        columns: tuple[Sequence[Any] | Iterator[Any], ...] = (
            rows.number,
            map(self._names.__getitem__, rows.source_id),
            rows.line,
            [_OPERATION_WORDS[operation] or None for operation in rows.operation],
            _each_once(_or_none, rows.account_sid),
            _each_once(_or_none, rows.list_sid),
            rows.sid,
            _ip_texts(rows.address, None),
            rows.prefix,
            rows.name,
            rows.outcome,
            rows.evidence,
            _each_once(_or_none, rows.reason),
            _each_once(_or_none, rows.status),
            _each_once(_or_none, rows.code),
            _each_once(_or_none, rows.message),
            _each_once(_or_none, rows.more_info),
            rows.attempts,
            [text or None for text in rows.request_id],
            [stamp or None for stamp in map(self._stamp, rows.finished_at)],
            map(round, rows.duration_ms, repeat(1)),
            _each_once(_or_none, rows.suggestion),
        )
        keyed = map(zip, repeat(REPORT_COLUMNS), zip(*columns, strict=True))
        lines: list[dict[str, Any]] = list(map(dict, keyed))
        if self.needs_raw or Outcome.INVALID in rows.outcome:
            self._add_input(lines, rows)
        return lines

    def _add_input(self, lines: Sequence[dict[str, Any]], rows: Columns) -> None:
        for values, source, is_understood, raw in _with_sources(lines, rows, self._layout):
            if raw is None:
                continue
            given, surplus = read_record(raw, source.source)
            if not is_understood:
                for place, index in source.given:
                    if given[index] not in (None, ""):
                        values[REPORT_COLUMNS[place]] = given[index]
            for key, index in zip(self._layout.others, source.others, strict=True):
                values[key] = given[index]
            if surplus:
                values[SURPLUS_COLUMN] = surplus


def _with_sources(
    lines: Sequence[T], rows: Columns, layout: Layout
) -> Iterator[tuple[T, SourceLayout, bool, bytes | None]]:
    """Each line with its source, whether its row was understood, and its record where needed."""
    sources = map(layout.sources.__getitem__, rows.source_id)
    is_understood = map(Outcome.INVALID.__ne__, rows.outcome)
    return zip(lines, sources, is_understood, rows.raw, strict=True)


def _each_once(make: Callable[[T], S], values: Sequence[T]) -> Iterator[S]:
    """What is made of each value, where many are the same."""
    made = {value: make(value) for value in set(values)}
    return map(made.__getitem__, values)


def _ip_texts(addresses: Sequence[int | None], nothing: T) -> Iterator[str | T]:
    """Dotted decimals."""
    return (
        nothing if address is None else inet_ntoa(address.to_bytes(4, "big"))
        for address in addresses
    )


_first_char = itemgetter(slice(1))


def _for_people(values: Sequence[str | None]) -> Sequence[str]:
    """Texts as cells of a file that a spreadsheet may open."""
    texts = [value or "" for value in values]
    if LOOK_CLOSER.isdisjoint(map(_first_char, texts)):
        return texts
    return list(map(neutralise, texts))


def _cell(value: object) -> str:
    """Any value as a cell of a file that a spreadsheet may open."""
    if type(value) is str:
        return value if not value or value[0] not in LOOK_CLOSER else neutralise(value)
    return "" if value is None else neutralise(json_text(value))


def _text(value: str | None) -> str:
    return value or ""


def _number_text(number: int | None) -> str:
    return "" if number is None else str(number)


def _code_text(code: int) -> str:
    return str(code) if code else ""


def _or_none(value: T) -> T | None:
    return value or None


def _dump(values: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(values)
    except TypeError:
        return json.dumps(values, separators=(",", ":")).encode()
