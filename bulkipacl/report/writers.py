"""Reports of a run in their formats: CSV, JSON Lines, a JSON array; each also as `.gz`.

    write_report        one report to a path or to standard output
    check_report_path   whether that will be possible, asked before the run
    write_run_reports   `report.csv` and `rejects.csv` of the run directory
    StreamLines         JSON Lines of rows as they end
    csv_chunks          lines of cells as the bytes of a CSV file

What stands in a line is decided in `lines.py`, and which rows are rejects in `rejects.py`.
"""

from __future__ import annotations

import contextlib
import gzip
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, cast

from bulkipacl.errors import UsageError
from bulkipacl.model import Outcome, RowResult
from bulkipacl.report.cells import encode, neutralise
from bulkipacl.report.columns import Layout, layout_of
from bulkipacl.report.files import check_destination, remove, replacing
from bulkipacl.report.lines import CsvLines, JsonLines
from bulkipacl.report.records import has_surplus
from bulkipacl.report.rejects import REJECTS_NAME, reject_lines
from bulkipacl.store import views
from bulkipacl.store.records import Columns, report_columns
from bulkipacl.store.rundir import RunDirectory

REPORT_NAME = "report.csv"
STANDARD_OUTPUT = "-"

_CHUNK_ROWS = 1_000
_OPEN_OUTCOMES = (Outcome.UNKNOWN, Outcome.NOT_ATTEMPTED)
_GZIP_LEVEL = 6
_SPECIAL = re.compile('[",\\r\\n]')


def write_report(run: RunDirectory, path: str | Path, *, stdout: BinaryIO | None = None) -> None:
    """Write one report; its format follows from the path's ending, `-` is JSON Lines on stdout.

    A file is there whole or not at all. About 6 us a row, half of it for reading the store.

    Args:
        stdout: where `-` goes; never closed.

    Raises:
        UsageError: an ending that is no format.
        StoreError: it cannot be written, or the run cannot be read.
    """
    with run.reading():
        chunks = _format_of(path)(run)
        if str(path) == STANDARD_OUTPUT:
            out = stdout or sys.stdout.buffer
            for chunk in chunks:
                out.write(chunk)
            out.flush()
            return
        with replacing(Path(path)) as file, _packed(file, path) as out:
            for chunk in chunks:
                out.write(chunk)


def check_report_path(path: str | Path) -> None:
    """Refuse a path that `write_report` could not write, before a run of an hour.

    Raises:
        UsageError: an ending that is no format, a directory that is missing or not writable.
    """
    _format_of(path)
    if str(path) != STANDARD_OUTPUT:
        check_destination(Path(path))


def write_run_reports(run: RunDirectory) -> list[Path]:
    """Write `report.csv`, and `rejects.csv` where a row did not end well; returns their paths.

    A `rejects.csv` of an earlier session is removed when nothing is left in it.

    Raises:
        StoreError: one of them cannot be written, or the run cannot be read.
    """
    report = run.path / REPORT_NAME
    rejects = run.path / REJECTS_NAME
    with run.reading():
        write_report(run, report)
        header, lines = reject_lines(run)
        first = next(lines, None)
        if first is None:
            remove(rejects)
            return [report]
        with replacing(rejects) as file:
            for chunk in csv_chunks(header, (cells for _, cells in chain([first], lines))):
                file.write(chunk)
    return [report, rejects]


class StreamLines:
    """JSON Lines of rows as they end, in the order in which they do; one line for every row.

    What has not truly ended (unknown, not_attempted) may still end otherwise, so its line comes
    from `emit_open`, when nothing more is sent.

    Args:
        write: takes the bytes of whole lines; called once per `emit`.
    """

    def __init__(self, run: RunDirectory, write: Callable[[bytes], object]) -> None:
        self._run = run
        self._write = write
        self._sources = views.sources(run)
        self._lines = JsonLines(layout_of(self._sources))

    def ended(self, results: Iterable[RowResult]) -> None:
        """Write the lines of those of these rows that have truly ended."""
        self.emit([r.number for r in results if r.outcome not in _OPEN_OUTCOMES])

    def emit_invalid(self) -> None:
        """Write the lines of all rows that are invalid."""
        for numbers in _in_chunks(views.invalid_rows(self._run)):
            self.emit(numbers)

    def emit_open(self) -> None:
        """Write the lines of all rows that have not truly ended."""
        for numbers in _in_chunks(views.open_rows(self._run)):
            self.emit(numbers)

    def emit(self, numbers: Sequence[int]) -> None:
        """Write the lines of these rows; about 10 us a row, most of it finding them."""
        # While input is still arriving, sources and columns can be new since the last time.
        sources = views.sources(self._run)
        if sources != self._sources:
            self._sources = sources
            self._lines = JsonLines(layout_of(sources))
        rows = report_columns(self._run, numbers, with_raw=self._lines.needs_raw)
        lines = b"".join(self._lines.encode(some, b"\n") + b"\n" for some in rows)
        if lines:
            self._write(lines)


def _in_chunks(numbers: Iterator[int]) -> Iterator[list[int]]:
    while chunk := list(islice(numbers, _CHUNK_ROWS)):
        yield chunk


def csv_chunks(header: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterator[bytes]:
    """The bytes of a CSV file: commas, UTF-8 without a mark, RFC 4180 quoting, `\n` line ends."""
    stream = chain([header], lines)
    while chunk := list(islice(stream, _CHUNK_ROWS)):
        yield encode(_csv_text(chunk))


def _csv_text(lines: Sequence[Sequence[str]]) -> str:
    """Lines of CSV; what needs no quotes is found out for all of them at once."""
    text = "\n".join(map(",".join, lines))
    commas = sum(map(len, lines)) - len(lines)
    is_plain = '"' not in text and "\r" not in text and text.count("\n") == len(lines) - 1
    if is_plain and text.count(",") == commas:
        return f"{text}\n"
    return "\n".join([*map(csv_line, lines), ""])


def csv_line(cells: Sequence[str]) -> str:
    """Two or more cells as a line of CSV, without its end.

    Most lines need no quotes, and finding that out for the whole line at once costs 0.5 us;
    `csv.writer` looks at each character: 3 us. It would also leave a lone carriage return
    unquoted, which ends the line for every reader.
    """
    line = ",".join(cells)
    if '"' in line or "\n" in line or "\r" in line:
        return ",".join([_quoted(cell) if _SPECIAL.search(cell) else cell for cell in cells])
    if line.count(",") == len(cells) - 1:
        return line
    return ",".join([f'"{cell}"' if "," in cell else cell for cell in cells])


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def report_header(layout: Layout) -> list[str]:
    """The header of report.csv: the columns, names from the input neutralised like cells."""
    return [neutralise(name) for name in layout.header]


def csv_layout(run: RunDirectory) -> Layout:
    """The columns of the run's report.csv."""
    return layout_of(views.sources(run), has_surplus=has_surplus(run))


def _csv_report(run: RunDirectory) -> Iterator[bytes]:
    layout = csv_layout(run)
    return csv_chunks(report_header(layout), report_lines(run, layout))


def report_lines(run: RunDirectory, layout: Layout) -> Iterator[Sequence[str]]:
    """The cells of all rows, in row order."""
    lines = CsvLines(layout)
    rows = report_columns(run, with_raw=lines.needs_raw)
    return chain.from_iterable(map(lines.cells, rows))


def _json_lines_report(run: RunDirectory) -> Iterator[bytes]:
    lines, rows = _json(run)
    for some in rows:
        yield lines.encode(some, b"\n") + b"\n"


def _json_report(run: RunDirectory) -> Iterator[bytes]:
    lines, rows = _json(run)
    before = b"[\n"
    for some in rows:
        yield before + lines.encode(some, b",\n")
        before = b",\n"
    yield b"\n]\n" if before == b",\n" else b"[]\n"


def _json(run: RunDirectory) -> tuple[JsonLines, Iterator[Columns]]:
    lines = JsonLines(layout_of(views.sources(run)))
    return lines, report_columns(run, with_raw=lines.needs_raw)


_FORMATS: dict[str, Callable[[RunDirectory], Iterator[bytes]]] = {
    ".csv": _csv_report,
    ".jsonl": _json_lines_report,
    ".ndjson": _json_lines_report,
    ".json": _json_report,
}


def _format_of(path: str | Path) -> Callable[[RunDirectory], Iterator[bytes]]:
    if str(path) == STANDARD_OUTPUT:
        return _json_lines_report
    name = Path(path).name.lower().removesuffix(".gz")
    found = _FORMATS.get(Path(name).suffix)
    if found is None:
        raise UsageError(
            f"{path}: the ending of a report says its format, and this is none",
            hint=f"use one of {', '.join(_FORMATS)}, each also with .gz, or - for JSON Lines",
        )
    return found


@contextlib.contextmanager
def _packed(file: BinaryIO, path: str | Path) -> Iterator[BinaryIO]:
    if not Path(path).name.lower().endswith(".gz"):
        yield file
        return
    # Without a name and a time in it, equal reports are equal files.
    with gzip.GzipFile("", "wb", _GZIP_LEVEL, fileobj=file, mtime=0) as packed:
        yield cast(BinaryIO, packed)
