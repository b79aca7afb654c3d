"""Opening an input: which format it is, and what reads it.

Not here: the bytes (`streams`), the records (`csv_records`, `json_records`, `json_arrays`).

    FORMATS       csv, jsonl (one object a line), json (an array), page (the API's own body)
    open_source   opens and recognises
    Source        one opened input, and its Drafts
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import orjson

from bulkipacl.errors import InputError, UsageError
from bulkipacl.intake.checks import Checker
from bulkipacl.intake.columns import check_header
from bulkipacl.intake.csv_records import CsvReader, recognise_delimiter
from bulkipacl.intake.defaults import Defaults
from bulkipacl.intake.json_arrays import read_array
from bulkipacl.intake.json_records import ObjectReader, read_lines
from bulkipacl.intake.streams import CorruptError, LongLineError, Peekable, open_bytes
from bulkipacl.model import Draft

FORMATS = ("csv", "jsonl", "json", "page")

_ENDINGS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_PEEK_BYTES = 64 * 1024
"""Looked at to tell a page from other JSON; its address key stands within the first lines."""

_PAGE_KEY = re.compile(rb'"ip_addresses"\s*:\s*\[')
_SEPARATOR_LINE = re.compile(rb"sep=(.)\r?\n", re.IGNORECASE)

# Workbooks are the likeliest wrong file: say so instead of showing their bytes as a header.
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


class Source:
    """One opened input.

    Attributes:
        name: as given; "-" is standard input.
        format: one of `FORMATS`.
        columns: the header of a CSV; the keys of JSON objects seen so far, at most 1,000.
    """

    def __init__(
        self,
        name: str,
        format: str,  # noqa: A002 - the word of the field
        columns: list[str],
        drafts: Iterator[Draft],
        close: Callable[[], None],
    ) -> None:
        self.name = name
        self.format = format
        self.columns = columns
        self._drafts = drafts
        self._close = close

    def drafts(self) -> Iterator[Draft]:
        """One Draft for each record that is not blank, in order; may be walked once.

        Raises:
            InputError: the input cannot be read any further (a disk or network error). Broken or
                cut-off content is no error here but an invalid Draft.
        """
        return self._drafts

    def close(self) -> None:
        """Closes the file; standard input is left open."""
        self._close()


def open_source(
    path: str,
    defaults: Defaults,
    *,
    format: str | None = None,  # noqa: A002 - the word of the field
    stdin: BinaryIO | None = None,
    first_row: int = 1,
) -> Source:
    """Opens an input and recognises its format, by its ending and else by its content.

    Args:
        path: a path, or "-" for standard input; `.gz` and `.zst` are decompressed.
        format: one of `FORMATS`, where it is not to be recognised.
        first_row: the number of its first row in the whole run.

    Raises:
        InputError: it cannot be opened, is empty, or has no usable header.
        UsageError: there is no such format.
    """
    if format is not None and format not in FORMATS:
        hint = "the formats are " + ", ".join(FORMATS)
        raise UsageError(f"{format!a} is not an input format", hint=hint)
    try:
        data, close = open_bytes(path, stdin)
    except CorruptError as exc:
        raise _no_archive(path, exc) from exc
    try:
        start = data.peek(lambda ahead: b"\n" in ahead.lstrip())
        if not start.strip():
            raise InputError(f"{path}: the input is empty", hint="give a file with rows in it")
        if start.startswith(_WORKBOOKS):
            hint = "save it as CSV (UTF-8) and give that file"
            raise InputError(f"{path}: this is a workbook or an archive, not text", hint=hint)
        kind = format or _recognise(path, data)
        checker = Checker(defaults)
        if kind == "csv":
            return _open_csv(path, data, close, checker, first_row)
        columns: list[str] = []
        objects = ObjectReader(checker, columns, first_row)
        if kind == "jsonl":
            drafts = read_lines(data, objects)
        else:
            drafts = read_array(data, objects, is_page=kind == "page")
        return Source(path, kind, columns, drafts, close)
    except CorruptError as exc:
        close()
        raise _no_archive(path, exc) from exc
    except BaseException:
        close()
        raise


def _no_archive(path: str, exc: CorruptError) -> InputError:
    hint = "the ending says how a file is compressed: .gz or .zst"
    return InputError(f"{path}: {exc}", hint=hint)


def _recognise(path: str, data: Peekable) -> str:
    """The format by ending, else by content."""
    plain = path.lower().removesuffix(".gz").removesuffix(".zst")
    known = _ENDINGS.get(Path(plain).suffix)
    start = data.peek(lambda _: True).lstrip()
    if known == "csv" or start[:1] not in (b"[", b"{"):
        return known or "csv"
    if start[:1] == b"[":
        return known or "json"
    first_line = start.split(b"\n", 1)[0].strip()
    try:
        value = orjson.loads(first_line)
    except orjson.JSONDecodeError:
        start = data.peek(lambda ahead: len(ahead) >= _PEEK_BYTES)
        if _PAGE_KEY.search(start[: 2 * _PEEK_BYTES]):
            return "page"
        # An object that goes on over several lines, or the broken first line of many.
        return known or ("jsonl" if first_line.endswith(b"}") else "json")
    return "page" if isinstance(value.get("ip_addresses"), list) else known or "jsonl"


def _open_csv(
    path: str, data: Peekable, close: Callable[[], None], checker: Checker, first_row: int
) -> Source:
    start = data.peek(lambda _: True)
    delimiter, lines_before = "", 0
    named = _SEPARATOR_LINE.match(start)
    if named:
        # The line with which a spreadsheet tells its own kind which delimiter it used.
        delimiter, lines_before = named[1].decode("latin-1"), 1
        data.skip(named.end())
    else:
        lines = start.decode("utf-8", "replace").strip().splitlines()
        delimiter = recognise_delimiter(lines[0])
    try:
        reader = CsvReader(data, delimiter, lines_before)
        header = reader.header()
    except (csv.Error, TypeError, ValueError, LongLineError, CorruptError) as exc:
        hint = "the first line names the columns; check its quotes"
        raise InputError(f"{path}: the header cannot be read: {exc}", hint=hint) from exc
    if not header:
        raise InputError(f"{path}: the input is empty", hint="give a file with rows in it")
    defaults = checker.defaults
    mapping = check_header(
        path,
        header,
        has_operation=defaults.operation is not None,
        has_account=defaults.account_sid is not None,
        has_list=bool(defaults.list_sid or defaults.list_name),
    )
    drafts = reader.drafts(mapping, len(header), checker, first_row)
    return Source(path, "csv", header, drafts, close)
