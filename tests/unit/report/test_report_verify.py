"""verify: a good run has no discrepancy, and each kind of damage is found and named."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from report_runs import COLUMNS, invalid, make_run, plain_run, source, valid

from bulkipacl.model import Entry, Outcome, RowResult
from bulkipacl.report import verify, write_run_reports
from bulkipacl.report.verification import MAX_DIFFERENCES
from bulkipacl.store.journal import Batch, KeptSnapshot, commit
from bulkipacl.store.rundir import RunDirectory

ROWS = 30
Lines = list[str]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunDirectory]:
    """A finished run with four rejects, reported."""
    with plain_run(tmp_path / "run", ROWS, failed=frozenset({3, 4, 10, 30})) as made:
        write_run_reports(made)
        yield made


def damage(path: Path, change: Callable[[Lines], object]) -> None:
    """Change the lines of a file."""
    lines = path.read_text().splitlines(keepends=True)
    change(lines)
    path.write_text("".join(lines))


def swap(lines: Lines, a: int, b: int) -> None:
    """Exchange two lines."""
    lines[a], lines[b] = lines[b], lines[a]


def edit(line: int, old: str, new: str) -> Callable[[Lines], None]:
    """A change of one line, given by its index."""

    def change(lines: Lines) -> None:
        assert old in lines[line]
        lines[line] = lines[line].replace(old, new)

    return change


def test_good_run(run: RunDirectory) -> None:
    """A run as it was written has no discrepancy, and the limit of cell lengths is restored."""
    limit = csv.field_size_limit()
    assert verify(run) == []
    assert csv.field_size_limit() == limit
    assert not run.reader.in_transaction


def test_equal_cells_otherwise_quoted(run: RunDirectory) -> None:
    """What a spreadsheet saved again with other quotes and line ends is still the same."""
    path = run.path / "report.csv"
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    with path.open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows)
    assert verify(run) == []


REPORT_DAMAGE = {
    "removed": (lambda x: x.pop(5), ["before line 6, row 5 (orders.csv:6) is missing"]),
    "block removed": (lambda x: x.__delitem__(slice(5, 9)), ["rows 5 to 8 are missing"]),
    "last removed": (lambda x: x.pop(), ["at its end, row 30 (orders.csv:31) is missing"]),
    "cut off": (lambda x: x.__delitem__(slice(20, None)), ["at its end, rows 20 to 30"]),
    "doubled": (lambda x: x.insert(5, x[5]), ["report.csv:7: a line (row 5) that does not"]),
    "altered": (
        edit(5, "created", "deleted"),
        ["report.csv:6: row 5: outcome is 'deleted', the store says 'created'"],
    ),
    "other column altered": (edit(5, "c5", "c6"), ["report.csv:6: row 5: customer is 'c6'"]),
    "number altered": (edit(5, "5,", "900,"), ["report.csv:6: row 5: row is '900'"]),
    "cell added": (edit(5, "c5", "c5,more"), ["report.csv:6: row 5: 24 cells, the store says 23"]),
    "neighbours exchanged": (
        lambda x: swap(x, 5, 6),
        ["before line 6, row 5", "report.csv:7: a line (row 5)"],
    ),
    "far lines exchanged": (
        lambda x: swap(x, 5, 20),
        ["report.csv:6: row 5: row is '20'", "report.csv:21: row 20: row is '5'"],
    ),
    "moved": (
        lambda x: x.insert(2, x.pop(20)),
        ["report.csv:3: a line (row 20)", "before line 22, row 20"],
    ),
    "foreign line": (lambda x: x.insert(5, "hello\n"), ["report.csv:6: a line (row hello)"]),
    "empty line": (lambda x: x.insert(5, "\n"), ["report.csv:6: an empty line"]),
    "header altered": (edit(0, "outcome", "result"), ["report.csv:1: this is not the header"]),
    "header removed": (lambda x: x.pop(0), ["report.csv:1: this is not the header", "row 1 "]),
    "emptied": (lambda x: x.clear(), ["it is empty", "rows 1 to 30 are missing"]),
    "line end cut": (edit(30, "\n", ""), ["the last line is cut"]),
    "cut inside a line": (
        lambda x: x.__setitem__(30, x[30][:100]),
        ["report.csv:31: row 30: ", "the last line is cut"],
    ),
}


@pytest.mark.parametrize("kind", REPORT_DAMAGE)
def test_damaged_report(run: RunDirectory, kind: str) -> None:
    """Each kind of damage to report.csv is found, named, and told in as few lines as it needs."""
    change, told = REPORT_DAMAGE[kind]
    damage(run.path / "report.csv", change)
    found = verify(run)
    assert len(found) == len(told), found
    for line, words in zip(found, told, strict=True):
        assert words in line


REJECTS_DAMAGE = {
    "removed": (lambda x: x.pop(2), ["before line 3, missing is that of row 4 (orders.csv:5)"]),
    "cut off": (lambda x: x.__delitem__(slice(2, None)), ["3 lines are missing, the first is"]),
    "doubled": (lambda x: x.insert(2, x[2]), ["rejects.csv:4: a line that does not belong here"]),
    "altered": (
        edit(2, "site 4", "site 5"),
        ["friendly_name is 'site 5', the store says 'site 4'"],
    ),
}


@pytest.mark.parametrize("kind", REJECTS_DAMAGE)
def test_damaged_rejects(run: RunDirectory, kind: str) -> None:
    """rejects.csv has exactly the rows that did not end well."""
    change, told = REJECTS_DAMAGE[kind]
    damage(run.path / "rejects.csv", change)
    found = verify(run)
    assert len(found) == len(told), found
    for line, words in zip(found, told, strict=True):
        assert words in line


def test_missing_files(run: RunDirectory) -> None:
    """A report that is not there is a discrepancy, and so are rejects that should be."""
    (run.path / "report.csv").unlink()
    (run.path / "rejects.csv").unlink()
    found = verify(run)
    assert found == [
        "report.csv is missing",
        "rejects.csv is missing, but rows did not end well",
    ]


def test_rejects_without_a_reject(tmp_path: Path) -> None:
    """A rejects.csv where every row ended well is a discrepancy."""
    with plain_run(tmp_path / "run", 2) as run:
        write_run_reports(run)
        (run.path / "rejects.csv").write_text("ip\n")
        assert verify(run) == ["rejects.csv is there, but every row ended well"]


STORE_DAMAGE = {
    "row removed": ("DELETE FROM row WHERE number = 5", "row 5 has an outcome, but is no row"),
    "rows removed": (
        "DELETE FROM row WHERE number IN (5, 6); DELETE FROM outcome WHERE number IN (5, 6)",
        "run.sqlite: rows 5 to 6 are missing",
    ),
    "outcome removed": ("DELETE FROM outcome WHERE number = 5", "report.csv:6: row 5: outcome"),
    "outcome altered": (
        "UPDATE outcome SET outcome = 'deleted' WHERE number = 5",
        "report.csv:6: row 5: outcome is 'created', the store says 'deleted'",
    ),
    "no outcome": ("UPDATE outcome SET outcome = 'fine' WHERE number = 5", "none of the ten"),
    "no evidence": ("UPDATE outcome SET evidence = 'hearsay' WHERE number = 5", "has evidence"),
    "no source": ("UPDATE row SET source_id = 9 WHERE number = 5", "row 5 is of no source"),
    "no list": ("UPDATE row SET list_id = 9 WHERE number = 5", "row 5 is of no list"),
    "no operation": ("UPDATE row SET operation = 9 WHERE number = 5", "row 5 has no operation"),
    "many": ("UPDATE row SET operation = 9", "the same of 10 more"),
    "invalid and unanswered": (
        "UPDATE row SET list_id = NULL WHERE number = 5; DELETE FROM outcome WHERE number = 5",
        "row 5 is invalid, but has no outcome",
    ),
}


@pytest.mark.parametrize("kind", STORE_DAMAGE)
def test_damaged_store(run: RunDirectory, kind: str) -> None:
    """The conservation law is proved from the store too, not only from the report."""
    script, words = STORE_DAMAGE[kind]
    run.writer.executescript(script)
    found = verify(run)
    assert any(words in line for line in found), found


def test_damaged_database_file(run: RunDirectory) -> None:
    """A database with a torn page is found out, and is no crash."""
    path = run.path
    run.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    run.close()
    data = bytearray((path / "run.sqlite").read_bytes())
    data[8_192:] = re.sub(rb"created", b"cre\0ted", bytes(data[8_192:]))
    data[-4_096:] = b"\xff" * 4_096
    (path / "run.sqlite").write_bytes(data)
    with RunDirectory.open(path, is_writable=False) as damaged:
        found = verify(damaged)
    assert found
    assert found[0].startswith("run.sqlite")


def test_gap_beyond_the_window(tmp_path: Path) -> None:
    """A block of any size that was removed is one discrepancy."""
    with plain_run(tmp_path / "run", 3_000) as run:
        write_run_reports(run)
        damage(run.path / "report.csv", lambda x: x.__delitem__(slice(100, 2_500)))
        found = verify(run)
    assert found == ["report.csv: before line 101, rows 100 to 2499 are missing"]


def test_discrepancies_have_an_end(tmp_path: Path) -> None:
    """A report that is another file altogether does not fill the memory with words."""
    with plain_run(tmp_path / "run", 1_500) as run:
        write_run_reports(run)
        path = run.path / "report.csv"
        path.write_text(path.read_text().replace("created", "deleted"))
        found = verify(run)
    assert len(found) == MAX_DIFFERENCES + 1
    assert "more differences" in found[-1]


def test_unfinished_run(tmp_path: Path) -> None:
    """A run that was killed has its rows answered by what the store implies, and verifies."""
    info = source(*COLUMNS)
    drafts = [valid(["create"], line=i, address=i) for i in range(2, 8)]
    with make_run(
        tmp_path / "run",
        [(info, [*drafts, invalid(["x"])])],
        [RowResult(1, Outcome.CREATED)],
        ending="killed",
    ) as run:
        (list_id,) = run.reader.execute("SELECT id FROM list").fetchone()
        kept = KeptSnapshot(list_id, 0, 1.0, 3, (Entry("IP" + "0" * 32, 1, 32, "a"),))
        commit(run, Batch(snapshots=[kept]))
        write_run_reports(run)
        assert verify(run) == []
        lines = (run.path / "report.csv").read_text().splitlines()[1:]
    outcomes = [line.split(",")[10] for line in lines]
    assert outcomes == ["created", *["unknown"] * 2, *["not_attempted"] * 3, "invalid"]


def test_long_cells(tmp_path: Path) -> None:
    """A cell longer than the standard library's limit is written and read back."""
    raw = ["1.2.3.4", "x" * 300_000]
    with make_run(tmp_path / "run", [(source("ip", "note"), [valid(raw)])]) as run:
        write_run_reports(run)
        assert verify(run) == []


def test_unreadable_database(run: RunDirectory) -> None:
    """A database that SQLite gives up on is a discrepancy, not a traceback."""
    (page,) = run.reader.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'row'").fetchone()
    run.close()
    path = run.path / "run.sqlite"
    data = bytearray(path.read_bytes())
    data[(page - 1) * 4_096 : page * 4_096] = b"\xff" * 4_096
    path.write_bytes(data)
    with RunDirectory.open(run.path, is_writable=False) as damaged:
        assert verify(damaged) == ["run.sqlite cannot be read: database disk image is malformed"]


def test_rows_of_standard_input_are_called_so(tmp_path: Path) -> None:
    """A discrepancy in a row of standard input names it in words."""
    info = source(*COLUMNS, name="-")
    rows = [valid(["create"], line=i, address=i) for i in (2, 3)]
    with make_run(tmp_path / "run", [(info, rows)]) as run:
        write_run_reports(run)
        damage(run.path / "report.csv", lambda x: x.pop(1))
        found = verify(run)
    assert found == ["report.csv: before line 2, row 1 (standard input:2) is missing"]
