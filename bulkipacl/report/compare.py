"""Two streams of lines that should be the same: where they are not, in constant memory.

`differences` walks a CSV file and what it should hold side by side. A line that was removed,
doubled, moved or changed is named once and the walk goes on behind it, as long as the other side
is found again within `WINDOW` lines.

It knows nothing of runs: who calls it says how a wanted line is named.
"""

from __future__ import annotations

import csv
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from bulkipacl.report.cells import printable, shorten
from bulkipacl.report.words import counted

WINDOW = 1_000
_MAX_CELL = 60

T = TypeVar("T", bound="Found | Wanted")


class Found(NamedTuple):
    """A line of the file: where it begins, and its cells as read."""

    cells: list[str]
    line: int


class Wanted(NamedTuple):
    """A line that should be there, and the row that it is about."""

    cells: list[str]
    row: int


class _Ahead(Generic[T]):
    """An iterator that can be looked into, `WINDOW` lines deep."""

    def __init__(self, lines: Iterator[T]) -> None:
        self._lines = lines
        self._held: deque[T] = deque()

    def first(self) -> T | None:
        """The next line, left where it is."""
        if not self._held:
            line = next(self._lines, None)
            if line is None:
                return None
            self._held.append(line)
        return self._held[0]

    def second(self) -> T | None:
        """The line behind it, left where it is."""
        self._fill(2)
        return self._held[1] if len(self._held) > 1 else None

    def drop(self) -> None:
        """Go on behind the next line."""
        self._held.popleft()

    def find(self, cells: list[str]) -> int:
        """How many lines stand before one with these cells; 0 where none is near."""
        self._fill(WINDOW)
        return next((i for i, line in enumerate(self._held) if line.cells == cells), 0)

    def _fill(self, count: int) -> None:
        while len(self._held) < count:
            line = next(self._lines, None)
            if line is None:
                return
            self._held.append(line)


class Comparison:
    """A file against what it should hold.

    Args:
        name: the file's name in messages.
        header: names the cells.
        is_numbered: the first cell is the row's number, so that a gap of any size is seen as one.
        place: says where a row came from.
    """

    def __init__(
        self, name: str, header: Sequence[str], *, is_numbered: bool, place: Callable[[int], str]
    ) -> None:
        self._name = name
        self._header = header
        self._is_numbered = is_numbered
        self._place = place

    def differences(self, found: Iterator[Found], wanted: Iterator[Wanted]) -> Iterator[str]:
        """One sentence for each difference, in the order of the file."""
        lines, rows = _Ahead(found), _Ahead(wanted)
        while (line := lines.first()) is not None and (row := rows.first()) is not None:
            if line.cells == row.cells:
                lines.drop()
                rows.drop()
                continue
            gap, surplus = self._resynchronise(lines, rows, line, row)
            if gap:
                yield self._missing(row, gap, f"before line {line.line}")
                for _ in range(gap):
                    rows.first()
                    rows.drop()
            elif surplus:
                for _ in range(surplus):
                    yield self._surplus(lines)
            else:
                yield self._altered(line, row)
                lines.drop()
                rows.drop()
        while lines.first() is not None:
            yield self._surplus(lines)
        row = rows.first()
        if row is not None:
            count = 0
            while rows.first() is not None:
                rows.drop()
                count += 1
            yield self._missing(row, count, "at its end")

    def _resynchronise(
        self, lines: _Ahead[Found], rows: _Ahead[Wanted], line: Found, row: Wanted
    ) -> tuple[int, int]:
        """(rows left out, lines too many) before both go on alike; one of them is 0, or both.

        Both are 0 where this line stands in the place of this row.
        """
        next_line, next_row = lines.second(), rows.second()
        if next_line is not None and next_row is not None and next_line.cells == next_row.cells:
            return 0, 0
        gap, surplus = rows.find(line.cells), lines.find(row.cells)
        if gap and surplus:
            return (gap, 0) if gap <= surplus else (0, surplus)
        if gap or surplus or not self._is_numbered:
            return gap, surplus
        # Beyond the window, a line from which the numbers go on tells how many were left out.
        number = _number(line)
        goes_on = next_line is None or _number(next_line) == number + 1
        return (number - row.row if goes_on and number > row.row else 0), 0

    def _missing(self, row: Wanted, count: int, where: str) -> str:
        if not self._is_numbered:
            what = f"{count:,} lines are missing, the first is" if count > 1 else "missing is"
            return f"{self._name}: {where}, {what} that of row {row.row} ({self._place(row.row)})"
        if count == 1:
            return f"{self._name}: {where}, row {row.row} ({self._place(row.row)}) is missing"
        return f"{self._name}: {where}, rows {row.row} to {row.row + count - 1} are missing"

    def _surplus(self, lines: _Ahead[Found]) -> str:
        line = lines.first()
        assert line is not None  # noqa: S101 - the caller has just seen it
        lines.drop()
        what = "an empty line" if not line.cells else "a line"
        row = f" (row {_shown(line.cells[0])})" if self._is_numbered and line.cells else ""
        return f"{self._name}:{line.line}: {what}{row} that does not belong here"

    def _altered(self, line: Found, row: Wanted) -> str:
        where = f"{self._name}:{line.line}: row {row.row}"
        for index, (has, should) in enumerate(zip(line.cells, row.cells, strict=False)):
            if has != should:
                column = self._header[index] if index < len(self._header) else f"{index + 1}"
                return (
                    f"{where}: {_shown(column)} is '{_shown(has)}', "
                    f"the store says '{_shown(should)}'"
                )
        return f"{where}: {counted(len(line.cells), 'cell')}, the store says {len(row.cells)}"


@contextmanager
def csv_lines(path: Path) -> Iterator[Iterator[Found]]:
    """The lines of a CSV file with the number at which each begins; any bytes, any length.

    Raises:
        OSError: it cannot be read.
    """
    # A cell of any length may come in, so one of any length must be read back.
    limit = csv.field_size_limit(sys.maxsize)
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            yield _numbered(file)
    finally:
        csv.field_size_limit(limit)


def _numbered(file: Iterator[str]) -> Iterator[Found]:
    reader = csv.reader(file)
    begins = 1
    for cells in reader:
        yield Found(cells, begins)
        begins = reader.line_num + 1


def _number(line: Found) -> int:
    first = line.cells[0] if line.cells else ""
    return int(first) if first.isdecimal() and len(first) < 20 else -1


def _shown(text: str) -> str:
    return shorten(printable(text), _MAX_CELL)
