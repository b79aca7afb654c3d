"""CSV records as Drafts: exactly one for each record that is not blank.

Not here: opening and recognising (`streams`, `formats`), judging a record (`checks`).

    recognise_delimiter   which delimiter makes most of a header's names known
    CsvReader             the records of one file, its header first
"""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from operator import itemgetter
from typing import Any, cast

import orjson

from bulkipacl.intake.checks import Checker, Texts
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

_HELD_BLOCKS = 8
"""Blocks kept so that a record that could not be parsed can be quoted."""


def recognise_delimiter(header: str) -> str:
    """The delimiter that makes most of the header's names known; a comma where none does."""

    def known(delimiter: str) -> int:
        try:
            cells = next(csv.reader([header], delimiter=delimiter), [])
        except csv.Error:
            return 0
        return sum(field_of(cell) is not None for cell in cells)

    return max(DELIMITERS, key=known)  # the first of equals: the comma


class _EndlessRecordError(Exception):
    """A record that goes on for megabytes."""


class _TextBlocks:
    """Blocks of whole lines as iterators of lines; remembers the last ones it handed out."""

    def __init__(self, blocks: LineBlocks) -> None:
        self.blocks = blocks
        self._held: deque[io.StringIO] = deque(maxlen=_HELD_BLOCKS)

    def __iter__(self) -> _TextBlocks:
        return self

    def __next__(self) -> Iterator[str]:
        block = self.blocks.next_block()
        if not block:
            raise StopIteration
        if self.blocks.unanswered_bytes > _MAX_RECORD_BYTES:
            raise _EndlessRecordError
        # newline="" ends a line at CR, LF or CR LF, and keeps which it was: it may be in a cell.
        lines = io.StringIO(block.decode("utf-8", "surrogateescape"), newline="")
        self._held.append(lines)
        return lines

    def last_lines(self, count: int) -> str:
        """The last lines read, as far as they are still held."""
        found: list[str] = []
        for held in reversed(self._held):
            if len(found) >= count:
                break
            found = [*io.StringIO(held.getvalue()[: held.tell()], newline=""), *found]
        return "".join(found[-count:])


class CsvReader:
    """The records of one CSV file.

    Args:
        lines_before: lines that were already taken off the source.
    """

    def __init__(self, source: Peekable, delimiter: str, lines_before: int = 0) -> None:
        self._blocks = LineBlocks(source, is_cr_an_end=True)
        self._texts = _TextBlocks(self._blocks)
        self._delimiter = delimiter
        self._lines_before = lines_before
        self._restart()

    def _restart(self) -> None:
        """A parser at the beginning of a line: an iterator that has raised is of no more use."""
        lines = chain.from_iterable(self._texts)
        self._parser = csv.reader(lines, delimiter=self._delimiter, strict=True)

    def header(self) -> list[str]:
        """The first record that is not blank, [] where there is none.

        Raises:
            csv.Error, CorruptError, LongLineError: it cannot be read.
        """
        for cells in self._parser:
            if "".join(cells).strip():
                return cells
        return []

    def drafts(self, mapping: Mapping, width: int, checker: Checker, row: int) -> Iterator[Draft]:
        """One Draft for each record that is not blank; about 4 us each.

        Args:
            width: the header's number of cells.
            row: the number of the first row.
        """
        pick = _picker(mapping, width)
        blocks, dumps, check = self._blocks, orjson.dumps, checker.draft
        while True:
            parser, before = self._parser, self._lines_before
            begin = before + parser.line_num + 1
            try:
                for cells in parser:
                    line, begin = begin, before + parser.line_num + 1
                    blocks.unanswered_bytes = 0
                    if not cells or not (cells[0].strip() or "".join(cells).strip()):
                        continue
                    try:
                        raw = dumps(cells)
                    except TypeError:
                        raw = dump(cells)
                    if len(cells) == width:
                        cells.append("")
                        yield check(line, row, pick(cells), raw)
                    else:
                        cells, found = _fitted(cells, width)
                        if found:
                            yield checker.explain(line, row, pick(cells), raw, found)
                        else:
                            yield check(line, row, pick(cells), raw)
                    row += 1
                return
            except csv.Error as exc:
                yield self._unparsed(begin, exc)
            except LongLineError as exc:
                yield long_line(begin, exc.start)
                self._lines_before = before + parser.line_num + 1
                self._restart()
            except CorruptError as exc:
                yield cut_off(begin, self._blocks.rest, exc)
                return
            except _EndlessRecordError:
                why = f"a record that begins at line {begin} does not end; the rest is not read"
                yield broken(
                    begin, "", "unclosed_quote", why, "look for a quote that is not closed"
                )
                return
            row += 1

    def _unparsed(self, begin: int, exc: csv.Error) -> Draft:
        """The Draft of a record whose quoting is broken."""
        end = self._lines_before + self._parser.line_num
        text = self._texts.last_lines(max(1, end - begin + 1))
        cause = str(exc)
        if end > begin or "unexpected end" in cause:
            why = f"a quote that opens at line {begin} is not closed"
            hint = "close it, or write a quote that is part of the text twice"
            return broken(begin, text, "unclosed_quote", why, hint)
        if "field larger" in cause:
            why = f"a cell is longer than {csv.field_size_limit() // 1024} KiB"
            return broken(begin, text, "cell_too_long", why, "shorten it")
        hint = "put the whole cell into quotes, and write a quote that is part of it twice"
        return broken(begin, text, "bad_quoting", "the quotes of this line do not match", hint)


def _picker(mapping: Mapping, width: int) -> Callable[[list[str]], Texts]:
    """Takes a record's texts out of its cells, to which one empty cell was added at `width`."""
    places = (width if place is None else place for place in mapping.places)
    return cast("Callable[[Any], Texts]", itemgetter(*places))


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
