"""What a row costs in intake alone and in the report alone, with nothing sent in between.

Intake is everything from the bytes of the file to the end of the checks: read, checked, stored,
indexed, the rows of one list compared. The report is everything after the last outcome is stored:
the lines of one format, the file made durable. Rows have 50 to a list; every row ended `created`.

    python benchmarks/rooms.py                     10 thousand, 100 thousand and a million rows
    python benchmarks/rooms.py --rows 50000 --times 5
    python benchmarks/rooms.py --rows 1000000 --accounts 10000 --times 1

Each measurement is a process of its own, so that its peak memory is its own. It is CPU time, not
wall time: us a row.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import orjson

from bulkipacl.engine.apply import take_in
from bulkipacl.engine.job import Inputs
from bulkipacl.engine.sender import Sender
from bulkipacl.errors import BulkError
from bulkipacl.intake import Defaults
from bulkipacl.model import Evidence, Operation, Outcome, Problem, RowResult
from bulkipacl.report import write_report
from bulkipacl.store import views
from bulkipacl.store.journal import Batch, commit
from bulkipacl.store.rundir import RunDirectory

ROWS_PER_LIST = 50
SIZES = (10_000, 100_000, 1_000_000)
FORMATS = ("csv", "jsonl")
_AT_ONCE = 5_000
_BEGAN_AT_S = 1_767_225_600.0
_KEYS = ("account_sid", "list_sid", "ip_address", "cidr_prefix_length", "friendly_name")


class Silent:
    """Who is told, and says nothing."""

    def taken_in(self, rows: int) -> None:
        """Not shown."""

    def problem(self, source: str, line: int, problem: Problem) -> None:
        """There is none."""
        raise AssertionError(problem.why)

    def cut_off(self, error: BulkError) -> None:
        """No input breaks off."""

    def checked(self, rows: int, invalid: int) -> None:
        """Not shown."""

    def sending(self, engine: Sender, rows: int | None) -> None:
        """Nothing is sent."""

    def stopping(self, signals: int) -> None:
        """There are no signals."""

    def ended(self) -> None:
        """Nothing is sent."""


def write_rows(path: Path, rows: int, accounts: int) -> None:
    """Creates, sorted by account and list, as an export would have them."""
    lists = -(-rows // ROWS_PER_LIST)
    with path.open("wb") as file:
        if path.suffix == ".csv":
            file.write(",".join(_KEYS).encode() + b"\n")
        for number in range(rows):
            place, ip = divmod(number, ROWS_PER_LIST)
            values = (
                f"AC{place * accounts // lists:032x}",
                f"AL{place:032x}",
                f"44.{place % 251}.{place // 251 % 251}.{ip}",
                32,
                f"Office-{number}",
            )
            if path.suffix == ".csv":
                file.write(",".join(map(str, values)).encode() + b"\n")
            else:
                file.write(orjson.dumps(dict(zip(_KEYS, values, strict=True))) + b"\n")


def end_rows(run: RunDirectory) -> None:
    """Every row ended well, some thousands of them to a second."""
    rows = iter(range(1, views.row_count(run) + 1))
    while numbers := list(islice(rows, _AT_ONCE)):
        results = [
            RowResult(
                number, Outcome.CREATED, Evidence.RESPONSE, status=201, attempts=1,
                request_id=f"RQ{number:032x}", finished_at=_BEGAN_AT_S + number / 10_000,
                duration_ms=41.5, sid=f"IP{number:032x}", address=0x2C000000 + number, prefix=32,
                name=f"Office-{number}",
            )
            for number in numbers
        ]  # fmt: skip
        commit(run, Batch(results=results))


def measured(work: Callable[[], object]) -> dict[str, float]:
    """CPU seconds of the work, and the peak memory of this process in MB."""
    gc.collect()
    began = time.process_time()
    work()
    took = time.process_time() - began
    return {
        "cpu_s": took,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure_intake(folder: Path, kind: str) -> dict[str, float]:
    """Take `rows.KIND` of the folder into the run directory `run` of it."""
    inputs = Inputs([str(folder / f"rows.{kind}")], Defaults(operation=Operation.CREATE))
    with RunDirectory.create(folder / "run") as run:
        return measured(lambda: take_in(run, inputs, Silent()))


def measure_report(folder: Path, kind: str) -> dict[str, float]:
    """Write the report of the run in a folder."""
    with RunDirectory.open(folder / "run", is_writable=False) as run:
        return measured(lambda: write_report(run, folder / f"report.{kind}"))


def _child(room: str, folder: Path, kind: str) -> None:
    found = {"intake": measure_intake, "report": measure_report}[room](folder, kind)
    sys.stdout.buffer.write(orjson.dumps(found))


def _in_a_process(room: str, folder: Path, kind: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", room, str(folder), kind]
    ended = subprocess.run(command, capture_output=True, check=True)
    found: dict[str, float] = orjson.loads(ended.stdout)
    return found


def measure(rows: int, accounts: int, times: int) -> dict[str, list[dict[str, float]]]:
    """By room and format: what each of the times cost."""
    found: dict[str, list[dict[str, float]]] = {}
    for kind in FORMATS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_rows(folder / f"rows.{kind}", rows, accounts)
            for _ in range(times):
                for file in (folder / "run").glob("*"):
                    file.unlink()
                found.setdefault(f"intake {kind}", []).append(_in_a_process("intake", folder, kind))
            with RunDirectory.open(folder / "run", is_writable=True) as run:
                end_rows(run)
            for _ in range(times):
                found.setdefault(f"report {kind}", []).append(_in_a_process("report", folder, kind))
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--accounts", type=int, default=1)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--child", nargs=3)
    given = parser.parse_args()
    if given.child:
        room, folder, kind = given.child
        _child(room, Path(folder), kind)
        return
    print(f"# python {sys.version.split()[0]}, {os.cpu_count()} cores; medians of {given.times}")
    print("| rows | accounts | what | CPU us a row | peak MB |")
    print("|---|---|---|---|---|")
    for rows in SIZES if given.rows is None else (given.rows,):
        for what, runs in measure(rows, given.accounts, given.times).items():
            us = statistics.median(run["cpu_s"] for run in runs) / rows * 1e6
            peak = statistics.median(run["peak_mb"] for run in runs)
            print(f"| {rows:,} | {given.accounts:,} | {what} | {us:.2f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
