"""Proof, from the files of a run directory alone, that every row has exactly one outcome.

    verify              the database in itself, then report.csv and rejects.csv against the database
    check_store         refuse a database that is damaged
    explaining_damage   an error while it is read, told as the damage that it comes from

It repairs nothing and asks nobody: neither the input nor the API is needed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from bulkipacl.errors import StoreError
from bulkipacl.model import Evidence, Operation, Outcome
from bulkipacl.report.cells import encode, printable, shorten
from bulkipacl.report.compare import Comparison, Found, Wanted, csv_lines
from bulkipacl.report.rejects import REJECTS_NAME, reject_lines
from bulkipacl.report.words import counted, source_name
from bulkipacl.report.writers import REPORT_NAME, csv_layout, report_header, report_lines
from bulkipacl.store import views
from bulkipacl.store.connection import RESTORE
from bulkipacl.store.rundir import DATABASE, RunDirectory

MAX_DIFFERENCES = 1_000
"""Told per file. A file with more is another file, and a list without end helps nobody."""

_MAX_NUMBERS = 20
_MAX_DAMAGE = 120


def _words(words: Iterable[str | int]) -> str:
    return ", ".join(f"'{word}'" if isinstance(word, str) else str(int(word)) for word in words)


_NO_ROW = """
SELECT number FROM outcome o WHERE NOT EXISTS (SELECT 1 FROM row r WHERE r.number = o.number)
"""
_NO_OUTCOME = """
SELECT number FROM row r WHERE list_id IS NULL
AND NOT EXISTS (SELECT 1 FROM outcome o WHERE o.number = r.number)
"""
_NO_SOURCE = """
SELECT number FROM row r WHERE NOT EXISTS (SELECT 1 FROM source s WHERE s.id = r.source_id)
"""
_NO_LIST = """
SELECT number FROM row r WHERE list_id IS NOT NULL AND NOT EXISTS
(SELECT 1 FROM list l JOIN account a ON a.id = l.account_id WHERE l.id = r.list_id)
"""
_NO_OPERATION = f"""
SELECT number FROM row WHERE operation NOT IN ({_words(Operation)})
AND (operation <> 0 OR NOT EXISTS
(SELECT 1 FROM outcome o WHERE o.number = row.number AND o.outcome = '{Outcome.INVALID}'))
"""  # noqa: S608 - numbers of our own


def _not_of_kind(table: str, kinds: dict[str, str]) -> str:
    """Rows of a table one of whose columns holds another kind of value than is ever written."""
    wrong = " OR ".join(
        f"typeof({column}) NOT IN ({_words(kind.split())})"
        for kind, columns in kinds.items()
        for column in columns.split()
    )
    return f"SELECT number FROM {table} WHERE {wrong}"  # noqa: S608 - our own words


_WRONG_ROW = _not_of_kind(
    "row",
    {
        "integer": "source_id line operation",
        "integer null": "list_id address prefix match_address match_prefix",
        "text null": "sid name",
        "blob": "raw",
    },
)
_WRONG_OUTCOME = _not_of_kind(
    "outcome",
    {
        "text": "outcome reason message more_info request_id suggestion",
        "integer": "status code attempts",
        "real": "finished_at duration_ms",
        "integer null": "address prefix",
        "text null": "evidence sid name",
    },
)
# The years that a time can be shown in.
_WRONG_TIME = "SELECT number FROM outcome WHERE finished_at NOT BETWEEN 0 AND 253402300799"

# Each with the rows that it holds for. Past one of these the store cannot be read as rows with
# outcomes, so nothing is compared with it. A row with a list and no outcome is in order: what it
# means is derived.
_CHECKS = (
    ("has an outcome, but is no row", _NO_ROW),
    (
        "has an outcome that is none of the ten",
        f"SELECT number FROM outcome WHERE outcome NOT IN ({_words(Outcome)})",  # noqa: S608 - our own words
    ),
    (
        "has evidence that is none",
        f"SELECT number FROM outcome WHERE evidence NOT IN ({_words(Evidence)})",  # noqa: S608 - our own words
    ),
    ("is invalid, but has no outcome", _NO_OUTCOME),
    ("is of no source", _NO_SOURCE),
    ("is of no list of an account", _NO_LIST),
    ("has no operation", _NO_OPERATION),
    ("holds a value of another kind", _WRONG_ROW),
    ("has an outcome with a value of another kind", _WRONG_OUTCOME),
    ("ended at no time", _WRONG_TIME),
)

# A row before which a number is left out, with the number from which on.
_GAPS = """
SELECT before + 1, number - 1 FROM
    (SELECT number, LAG(number, 1, 0) OVER (ORDER BY number) AS before FROM row)
WHERE number <> before + 1
"""


def verify(run: RunDirectory) -> list[str]:
    """Every discrepancy in one line; nothing where the counts add up and the reports are true.

    Constant memory. About 20 us a row.
    """
    try:
        # One reading for all questions, also while another process is writing.
        with run.reading():
            found = list(_store(run))
            if found:
                return [*found, f"{REPORT_NAME} and {REJECTS_NAME} were not compared with it"]
            return [*_report(run), *_rejects(run)]
    except StoreError as exc:
        return [f"{DATABASE} cannot be read: {printable(str(exc.__cause__ or exc))}"]


def check_store(run: RunDirectory) -> None:
    """Look for damage before something is done with what the store says. About 5 us a row.

    Raises:
        StoreError: there is some.
    """
    with run.reading():
        for found in _store(run):
            # SQLite tells much, and in many lines, of a page that is damaged.
            what = shorten(found.removeprefix(f"{DATABASE}: "), _MAX_DAMAGE)
            raise StoreError(f"{run.path / DATABASE} is damaged: {what}", hint=RESTORE)


@contextmanager
def explaining_damage(run: RunDirectory) -> Iterator[None]:
    """One reading of a run, in which damage that SQLite does not see is told as such.

    Raises:
        StoreError: it cannot be read.
    """
    with run.reading():
        try:
            yield
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError):
            # Either the store holds what was never written, or this is a defect of our own.
            check_store(run)
            raise


def _store(run: RunDirectory) -> Iterator[str]:
    db = run.reader
    for (line,) in db.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield f"{DATABASE}: {printable(str(line))}"
    for first, last in islice(db.execute(_GAPS), _MAX_NUMBERS):
        which = f"row {first} is" if first == last else f"rows {first} to {last} are"
        yield f"{DATABASE}: {which} missing"
    is_readable = True
    for what, query in _CHECKS:
        numbers = db.execute(query)
        for (number,) in islice(numbers, _MAX_NUMBERS):
            is_readable = False
            yield f"{DATABASE}: row {number} {what}"
        if rest := sum(1 for _ in numbers):
            yield f"{DATABASE}: the same of {rest:,} more"
    if is_readable:
        summary = views.summary(run)
        total = sum(summary.outcomes.values())
        if total != summary.rows:
            yield f"{DATABASE}: {counted(summary.rows, 'row')}, but {counted(total, 'outcome')}"


def _report(run: RunDirectory) -> Iterator[str]:
    layout = csv_layout(run)
    wanted = (Wanted(_as_read(cells), int(cells[0])) for cells in report_lines(run, layout))
    path = run.path / REPORT_NAME
    if not path.is_file():
        yield f"{REPORT_NAME} is missing"
        return
    yield from _compared(run, path, report_header(layout), wanted, is_numbered=True)


def _rejects(run: RunDirectory) -> Iterator[str]:
    header, lines = reject_lines(run)
    wanted = (Wanted(_as_read(cells), record.result.number) for record, cells in lines)
    path = run.path / REJECTS_NAME
    has_rejects = _has_rejects(run)
    if not path.is_file():
        if has_rejects:
            yield f"{REJECTS_NAME} is missing, but rows did not end well"
        return
    if not has_rejects:
        yield f"{REJECTS_NAME} is there, but every row ended well"
        return
    yield from _compared(run, path, header, wanted, is_numbered=False)


def _has_rejects(run: RunDirectory) -> bool:
    return next(reject_lines(run)[1], None) is not None


def _compared(
    run: RunDirectory, path: Path, header: list[str], wanted: Iterator[Wanted], *, is_numbered: bool
) -> Iterator[str]:
    comparison = Comparison(path.name, header, is_numbered=is_numbered, place=_places(run))
    try:
        with csv_lines(path) as found:
            yield from _header_differences(path.name, next(found, None), header)
            differences = comparison.differences(found, wanted)
            yield from islice(differences, MAX_DIFFERENCES)
            if next(differences, None) is not None:
                yield f"{path.name}: there are more differences, which were not looked for"
                return
        if not _ends_a_line(path):
            yield f"{path.name}: the last line is cut: it has no line end"
    except OSError as exc:
        yield f"{path.name} cannot be read: {exc.strerror or exc}"


def _header_differences(name: str, found: Found | None, header: list[str]) -> Iterator[str]:
    if found is None:
        yield f"{name}: it is empty"
    elif found.cells != _as_read(header):
        yield f"{name}:1: this is not the header that this run's file has"


def _as_read(cells: Sequence[str]) -> list[str]:
    """Cells as they are once they were written and read."""
    if "".join(cells).isascii():
        return list(cells)
    return [encode(text).decode("utf-8", "surrogateescape") for text in cells]


def _places(run: RunDirectory) -> Callable[[int], str]:
    def place(number: int) -> str:
        found = run.reader.execute(
            "SELECT s.name, r.line FROM row r JOIN source s ON s.id = r.source_id"
            " WHERE r.number = ?",
            (number,),
        ).fetchone()
        return f"{source_name(found[0])}:{found[1]}"

    return place


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return True
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"
