"""CSV records as Drafts: exactly one for each record that is not blank.

Not here: opening and recognising (`streams`, `formats`), judging a record (`checks`).

    recognise_delimiter   which delimiter makes most of a header's names known
    CsvReader             the records of one file, its header first
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice
from operator import itemgetter
from typing import Any, cast

import orjson

from bulkipacl.intake.checks import Checker
from bulkipacl.intake.columns import Mapping, field_of
from bulkipacl.intake.problems import broken, cut_off, dump, long_line, make
from bulkipacl.intake.streams import (
    MAX_LINE_BYTES,
    CorruptError,
    LineBlocks,
    LongLineError,
    Peekable,
)
from bulkipacl.model import Draft, Problem

DELIMITERS = ",;\t|"

_MAX_RECORD_BYTES = 4 * MAX_LINE_BYTES
"""Read without completing one record, before the rest of a file is given up."""

_GROUP = 100
"""Lines judged at once: past it a line gets no cheaper, and one odd line makes its group dear."""


def recognise_delimiter(header: str) -> str:
    """The delimiter that makes most of the header's names known; a comma where none does."""

    def known(delimiter: str) -> int:
        try:
            cells = next(csv.reader([header], delimiter=delimiter), [])
        except csv.Error:
            return 0
        return sum(field_of(cell) is not None for cell in cells)

    return max(DELIMITERS, key=known)  # the first of equals: the comma


class _EndlessRecordError(ValueError):
    """A record that goes on for megabytes."""


class _Lines:
    """The physical lines of a source: many at once where each is a record, else one by one.

    Attributes:
        number: of the last line that was handed out.
        record: the lines that were handed out one by one, since it was last emptied.
    """

    def __init__(self, blocks: LineBlocks, delimiter: str, number: int) -> None:
        self.number = number
        self.record: list[str] = []
        self._blocks = blocks
        self._delimiter = delimiter
        self._lines: list[str] = []
        self._at = 0
        self._is_plain = False

    def parser(self) -> Iterator[list[str]]:
        """A parser that takes them one by one; one that has raised a line's error is of no use."""
        return csv.reader(self, delimiter=self._delimiter, strict=True)

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        """The next line, its end included.

        Raises:
            CorruptError, LongLineError, InputError: those of `LineBlocks.next_block`.
            _EndlessRecordError: the record that it belongs to has no end.
        """
        if self._at == len(self._lines):
            self._load(self._next_text())
            if not self._lines:
                raise StopIteration
            if self._blocks.unanswered_bytes > _MAX_RECORD_BYTES:
                raise _EndlessRecordError("its first record does not end")
        line = self._lines[self._at]
        self._at += 1
        self.number += 1
        self.record.append(line)
        return line

    def records(self) -> list[list[str]] | None:
        """The cells of the next lines, up to `_GROUP` of those that are there; [] at the end.

        To be called where a record has ended. None, and nothing is taken, where a line is more or
        less than a record.

        Raises:
            CorruptError, LongLineError, InputError: those of `LineBlocks.next_block`.
        """
        if self._at == len(self._lines):
            text = self._next_text()
            if not self._load_plain(text):
                self._load(text)
        lines = self._lines[self._at : self._at + _GROUP]
        if self._is_plain:
            delimiter = self._delimiter
            records = [line.split(delimiter) for line in lines]
        else:
            try:
                records = list(csv.reader(lines, delimiter=self._delimiter, strict=True))
            except csv.Error:
                return None
            if len(records) != len(lines):
                return None
        self._at += len(lines)
        self.number += len(lines)
        return records

    def _next_text(self) -> str:
        return self._blocks.next_block().decode("utf-8", "surrogateescape")

    def _load(self, text: str) -> None:
        # newline="" ends a line at CR, LF or CR LF, and keeps which it was: it may be in a cell.
        self._lines, self._at = list(io.StringIO(text, newline="")), 0
        self._is_plain = False

    def _load_plain(self, text: str) -> bool:
        """Where nothing is quoted, delimiters alone make the cells: a third of a parser's time."""
        text = text.replace("\r\n", "\n")
        if '"' in text or "\r" in text:
            return False
        lines = text.split("\n")
        if not lines[-1]:
            lines.pop()  # what follows the last line's end
        if max(map(len, lines), default=0) > csv.field_size_limit():
            return False  # an over-long cell is the parser's to refuse
        self._lines, self._at = lines, 0
        self._is_plain = True
        return True


class _Records:
    """Cells to Drafts.

    Args:
        width: the header's number of cells.
    """

    def __init__(self, mapping: Mapping, width: int, checker: Checker) -> None:
        self._width = width
        self._checker = checker
        # Beyond the last column there is an empty one, for the fields that have none.
        places = (width if place is None else place for place in mapping.places)
        self._pick = cast("Callable[[Any], Any]", itemgetter(*places))

    def drafts(self, line: int, row: int, records: list[list[str]]) -> list[Draft]:
        """One Draft for each that is not blank.

        Args:
            line: that of the first; several stand on a line each.
            row: the number of the first.
        """
        return self._plain(line, row, records) or self._each(line, row, records)

    def _plain(self, line: int, row: int, records: list[list[str]]) -> list[Draft] | None:
        count = len(records)
        if count == 1 or set(map(len, records)) != {self._width}:
            return None
        try:
            raws = list(map(orjson.dumps, records))
        except TypeError:
            return None
        columns = self._pick([*zip(*records, strict=True), ("",) * count])
        return self._checker.plain(range(line, line + count), row, columns, raws)

    def _each(self, line: int, row: int, records: list[list[str]]) -> list[Draft]:
        drafts: list[Draft] = []
        for number, cells in enumerate(records, line):
            if not "".join(cells).strip():
                continue
            raw = dump(cells)
            cells, found = _fitted(cells, self._width)
            check = partial(self._checker.explain, found=found) if found else self._checker.draft
            drafts.append(check(number, row + len(drafts), self._pick(cells), raw))
        return drafts


class CsvReader:
    """The records of one CSV file.

    Args:
        lines_before: lines that were already taken off the source.
    """

    def __init__(self, source: Peekable, delimiter: str, lines_before: int = 0) -> None:
        self._blocks = LineBlocks(source, is_cr_an_end=True)
        self._lines = _Lines(self._blocks, delimiter, lines_before)

    def header(self) -> list[str]:
        """The first record that is not blank, [] where there is none.

        Raises:
            ValueError, csv.Error, CorruptError, LongLineError: it cannot be read.
        """
        for cells in self._lines.parser():
            if "".join(cells).strip():
                return cells
        return []

    def drafts(self, mapping: Mapping, width: int, checker: Checker, row: int) -> Iterator[Draft]:
        """One Draft for each record that is not blank; about 2 us each.

        Args:
            width: the header's number of cells.
            row: the number of the first row.
        """
        return chain.from_iterable(self._groups(_Records(mapping, width, checker), row))

    def _groups(self, records: _Records, row: int) -> Iterator[list[Draft]]:
        """The Drafts, some at once; none of them waits for what has not arrived yet."""
        lines, parser, parse_to = self._lines, self._lines.parser(), 0
        while True:
            begin = lines.number + 1
            lines.record.clear()
            self._blocks.unanswered_bytes = 0
            try:
                if lines.number < parse_to:
                    cells = list(islice(parser, 1))
                elif (found := lines.records()) is None:
                    parser, parse_to = lines.parser(), lines.number + _GROUP
                    continue
                else:
                    cells = found
                if not cells:
                    return
                drafts = records.drafts(begin, row, cells)
            except csv.Error as exc:
                drafts = [self._unparsed(begin, exc)]
            except LongLineError as exc:
                drafts = [long_line(begin, exc.start)]
                lines.number += 1
                parser = lines.parser()
            except CorruptError as exc:
                yield [cut_off(begin, self._blocks.rest, exc)]
                return
            except _EndlessRecordError:
                why = f"a record that begins at line {begin} does not end; the rest is not read"
                hint = "look for a quote that is not closed"
                yield [broken(begin, "", "unclosed_quote", why, hint)]
                return
            row += len(drafts)
            yield drafts

    def _unparsed(self, begin: int, exc: csv.Error) -> Draft:
        """The Draft of a record whose quoting is broken."""
        text = "".join(self._lines.record)
        cause = str(exc)
        if self._lines.number > begin or "unexpected end" in cause:
            why = f"a quote that opens at line {begin} is not closed"
            hint = "close it, or write a quote that is part of the text twice"
            return broken(begin, text, "unclosed_quote", why, hint)
        if "field larger" in cause:
            why = f"a cell is longer than {csv.field_size_limit() // 1024} KiB"
            return broken(begin, text, "cell_too_long", why, "shorten it")
        hint = "put the whole cell into quotes, and write a quote that is part of it twice"
        return broken(begin, text, "bad_quoting", "the quotes of this line do not match", hint)


def _fitted(cells: list[str], width: int) -> tuple[list[str], tuple[Problem, ...]]:
    """Cells as many as the header has, and one empty one; too few count as empty."""
    found: tuple[Problem, ...] = ()
    # Spreadsheets like to end a line with empty cells; they say nothing.
    if len(cells) > width and "".join(cells[width:]).strip():
        why = f"the row has {len(cells)} cells, the header {width}"
        hint = "put a cell that holds the delimiter into quotes"
        found = (make("", cells[width], "too_many_cells", why, hint),)
    fitted = cells[:width]
    fitted.extend([""] * (width + 1 - len(fitted)))
    return fitted, found
