"""What `report`, `verify` and `retry` say, run in this process as `cli.main` runs them."""

from __future__ import annotations

import csv
from pathlib import Path

import orjson
import pytest
from report_runs import ACCOUNT, COLUMNS, make_run, plain_run, source, valid

from bulkipacl.cli.main import run as command
from bulkipacl.model import Outcome, RowResult
from bulkipacl.report import write_report, write_run_reports
from bulkipacl.store.journal import Batch, KeptSnapshot, commit
from bulkipacl.store.rundir import DATABASE, RunDirectory

Captured = pytest.CaptureFixture[str]


def test_one_row_is_one_row(tmp_path: Path, capfd: Captured) -> None:
    """One row and one discrepancy are told in the singular."""
    with plain_run(tmp_path / "run", 1) as run:
        write_run_reports(run)
    assert command(["verify", str(tmp_path / "run")]) == 0
    told = capfd.readouterr().err
    assert told == "1 row, with exactly one outcome; the reports agree\n"
    (tmp_path / "run" / "report.csv").unlink()
    assert command(["verify", str(tmp_path / "run")]) == 1
    assert capfd.readouterr().err == "report.csv is missing\n1 discrepancy in 1 row\n"


def test_more_are_more(tmp_path: Path, capfd: Captured) -> None:
    """Several are told in the plural, with how many are not shown."""
    with plain_run(tmp_path / "run", 30) as run:
        write_run_reports(run)
        path = run.path / "report.csv"
        path.write_text(path.read_text().replace("created", "deleted"))
    assert command(["verify", str(tmp_path / "run")]) == 1
    assert capfd.readouterr().err.splitlines()[-2:] == [
        "and 10 more",
        "30 discrepancies in 30 rows",
    ]


def test_a_store_that_cannot_count(tmp_path: Path, capfd: Captured) -> None:
    """Where the store cannot even say how many rows there are, its damage is told all the same."""
    with plain_run(tmp_path / "run", 30) as run:
        question = "SELECT rootpage FROM sqlite_schema WHERE name = 'row'"
        (page,) = run.reader.execute(question).fetchone()
    path = tmp_path / "run" / DATABASE
    data = bytearray(path.read_bytes())
    data[(page - 1) * 4_096 : page * 4_096] = b"\xff" * 4_096
    path.write_bytes(data)
    assert command(["verify", str(tmp_path / "run")]) == 1
    assert capfd.readouterr().err.endswith("\n1 discrepancy\n")
    assert command(["verify", str(tmp_path / "run"), "--json"]) == 1
    found = orjson.loads(capfd.readouterr().out)
    assert found["rows"] is None
    assert len(found["discrepancies"]) == 1


def test_retry_of_an_unknown_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Captured
) -> None:
    """A run with one unknown row is not retried, and the row is told in the singular."""
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", ACCOUNT)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "0" * 32)
    rows = [valid(["create"], line=i, address=i) for i in (2, 3)]
    with make_run(tmp_path / "run", [(source(*COLUMNS), rows)]) as run:
        commit(run, Batch(snapshots=[KeptSnapshot(1, 0, 1.0, 1, ())]))
    assert command(["retry", str(tmp_path / "run")]) == 2
    assert f"1 row of {tmp_path / 'run'} is unknown\n" in capfd.readouterr().err


def test_standard_input_in_reports(tmp_path: Path) -> None:
    """The column `source` names standard input as it was given, in every format."""
    rows = [valid(["create"]), valid(["create"], line=3, address=9)]
    infos = [source("op", name="-"), source("op", number=2, name="-x.csv")]
    results = [RowResult(n, Outcome.CREATED) for n in (1, 2)]
    with make_run(
        tmp_path / "run", list(zip(infos, ([r] for r in rows), strict=True)), results
    ) as run:
        write_report(run, tmp_path / "a.csv")
        write_report(run, tmp_path / "a.jsonl")
    with (tmp_path / "a.csv").open(newline="") as file:
        assert [line["source"] for line in csv.DictReader(file)] == ["-", "'-x.csv"]
    lines = (tmp_path / "a.jsonl").read_bytes().splitlines()
    assert [orjson.loads(line)["source"] for line in lines] == ["-", "-x.csv"]


def test_reports_are_of_one_instant(tmp_path: Path) -> None:
    """While rows end between any two questions, report.csv and rejects.csv agree."""
    info = source(*COLUMNS)
    rows = [valid(["create"], line=i, address=i) for i in range(2, 62)]
    with make_run(tmp_path / "run", [(info, rows)], ending="") as run:
        left = iter(range(1, 61))

        def end_another(_: str) -> None:
            number = next(left, None)
            if number is not None:
                commit(run, Batch(results=[RowResult(number, Outcome.CREATED)]))

        with RunDirectory.open(tmp_path / "run", is_writable=False) as other:
            other.reader.set_trace_callback(end_another)
            write_run_reports(other)
    assert next(left, 61) > 5
    with (tmp_path / "run" / "report.csv").open(newline="") as file:
        open_rows = [line for line in csv.DictReader(file) if line["outcome"] == "not_attempted"]
    with (tmp_path / "run" / "rejects.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(open_rows) > 0
