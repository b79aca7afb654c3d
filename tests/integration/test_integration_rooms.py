"""The benchmark of intake and report runs, with a hundred rows and without looking at a time."""

from __future__ import annotations

import csv
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from bulkipacl.store.rundir import RunDirectory

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
rooms: Any = import_module("rooms")


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_measures(tmp_path: Path, kind: str) -> None:
    """What it measures is the intake of all rows, and a report of all of them."""
    rooms.write_rows(tmp_path / f"rows.{kind}", 120, 2)
    taken_in = rooms.measure_intake(tmp_path, kind)
    with RunDirectory.open(tmp_path / "run", is_writable=True) as run:
        rooms.end_rows(run)
    reported = rooms.measure_report(tmp_path, kind)
    assert all(found["cpu_s"] > 0 and found["peak_mb"] > 1 for found in (taken_in, reported))
    text = (tmp_path / f"report.{kind}").read_text(encoding="utf-8")
    if kind == "csv":
        lines: list[dict[str, str]] = list(csv.DictReader(text.splitlines()))
    else:
        lines = [json.loads(line) for line in text.splitlines()]
    assert [line["outcome"] for line in lines] == ["created"] * 120
    assert len({line["account_sid"] for line in lines}) == 2
    assert len({line["list_sid"] for line in lines}) == 3
