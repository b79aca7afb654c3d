"""What a row costs apart from the wire: a whole `apply` over a transport that answers by itself.

Everything is real but the sending: intake, checks, SQLite, snapshots, governor, verdicts, echo
check, outcomes, report.csv. The answer to a create is made from its request, without a socket; it
costs some two microseconds, which are counted too. Rows have 50 to a list.

    python benchmarks/machinery.py                       the table and the plot: rows and accounts
                                                         by tens, up to a million rows
    python benchmarks/machinery.py --full                up to ten million rows, once each
    python benchmarks/machinery.py --rows 100000         one size, three times
    python benchmarks/machinery.py --rows 50000 --profile benchmarks/PROFILE.txt

Each run is a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import gc
import io
import os
import pstats
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import orjson
from plot import draw

from bulkipacl.credentials import load_credentials
from bulkipacl.engine import apply as library
from bulkipacl.engine import session
from bulkipacl.engine.job import Inputs, Job
from bulkipacl.engine.sender import Sender
from bulkipacl.errors import BulkError
from bulkipacl.intake import Defaults
from bulkipacl.model import Attempt, Operation, Problem, Reach, Request, make
from bulkipacl.settings import Settings
from bulkipacl.twilio.hosts import resolve_base_url

ROWS_PER_LIST = 50
PARENT = f"AC{0:032x}"
_EMPTY = Attempt(
    Reach.ANSWERED, 200, b'{"ip_addresses":[],"next_page_uri":null}', finished_at=1_700_000_000.0
)
_CREATED = (
    b'{"sid":"IP%032x","friendly_name":"%b","ip_address":"%b","cidr_prefix_length":%b,'
    b'"ip_access_control_list_sid":"%b"}'
)
_ANSWERED = Reach.ANSWERED


class _Turn:
    """One turn of the event loop."""

    def __await__(self) -> Generator[None, None, None]:
        yield


_TURN = _Turn()


class NullTransport:
    """Answers every request at the next turn of the event loop, as the API would."""

    def __init__(self) -> None:
        self._made = 0

    async def send(self, request: Request) -> Attempt:
        """The answer to a reading or a create; nothing else is asked here."""
        await _TURN
        if request.method == "GET":
            return _EMPTY
        self._made = number = self._made + 1
        _, name, _, address, _, prefix = request.body.replace(b"&", b"=").split(b"=")
        body = _CREATED % (number, name, address, prefix, request.path[-51:-17].encode())
        return make(Attempt, (_ANSWERED, 201, body, "", None, None, "RQ0", 0.0, 1_700_000_000.0))

    async def aclose(self) -> None:
        """Nothing is open."""


class Silent:
    """The observer of a benchmark: counts the phases' ends."""

    def __init__(self) -> None:
        self.marks: list[tuple[str, float]] = []

    def _mark(self, name: str) -> None:
        self.marks.append((name, time.process_time()))

    def taken_in(self, rows: int) -> None:
        """Not shown."""

    def problem(self, source: str, line: int, problem: Problem) -> None:
        """There is none."""
        raise AssertionError(problem.why)

    def checked(self, rows: int, invalid: int) -> None:
        """Intake has ended."""
        self._mark("intake")

    def sending(self, engine: Sender, rows: int | None) -> None:
        """Sending begins."""

    def stopping(self, signals: int) -> None:
        """There are no signals."""

    def cut_off(self, error: BulkError) -> None:
        """No input breaks off."""

    def ended(self) -> None:
        """Sending has ended."""
        self._mark("sending")


def write_rows(path: Path, rows: int, accounts: int) -> None:
    """Creates, sorted by account and list, as an export would have them."""
    lists = -(-rows // ROWS_PER_LIST)
    with path.open("w", encoding="ascii") as file:
        file.write("account_sid,list_sid,ip_address,cidr_prefix_length,friendly_name\n")
        for number in range(rows):
            place = number // ROWS_PER_LIST
            account = place * accounts // lists
            ip = number % ROWS_PER_LIST
            file.write(
                f"AC{account:032x},AL{place:032x},44.{place % 251}.{place // 251 % 251}.{ip},32,"
                f"Office-{number}\n"
            )


@contextlib.contextmanager
def _no_wire() -> Iterator[None]:
    before = vars(session)["open_transport"]
    vars(session)["open_transport"] = lambda *_, **__: NullTransport()
    try:
        yield
    finally:
        vars(session)["open_transport"] = before


def run_once(folder: Path, rows: int, accounts: int, profile: str | None = None) -> dict[str, Any]:
    """One whole apply; returns CPU us a row by phase, and the peak memory."""
    path = folder / "rows.csv"
    write_rows(path, rows, accounts)
    settings = Settings(base_url="http://127.0.0.1:1")
    credentials = load_credentials({"TWILIO_ACCOUNT_SID": PARENT, "TWILIO_AUTH_TOKEN": "0" * 32})
    job = Job(folder / "run", settings, credentials, resolve_base_url("http://127.0.0.1:1", {}))
    observer = Silent()
    gc.collect()
    profiler = cProfile.Profile() if profile else None
    began = time.process_time()
    began_s = time.perf_counter()
    with _no_wire():
        if profiler is not None:
            summary = profiler.runcall(
                library.apply,
                job,
                Inputs([str(path)], Defaults(operation=Operation.CREATE)),
                observer,
            )
        else:
            summary = library.apply(
                job, Inputs([str(path)], Defaults(operation=Operation.CREATE)), observer
            )
    ended = time.process_time()
    took_s = time.perf_counter() - began_s
    assert summary.outcomes["created"] == rows, summary  # type: ignore[index]
    if profiler is not None and profile is not None:
        Path(profile).write_text(_by_room(profiler, rows), encoding="utf-8")
    marks = dict(observer.marks)
    per_row = 1e6 / rows
    return {
        "rows": rows,
        "accounts": accounts,
        "intake_us": (marks["intake"] - began) * per_row,
        "sending_us": (marks["sending"] - marks["intake"]) * per_row,
        "report_us": (ended - marks["sending"]) * per_row,
        "total_us": (ended - began) * per_row,
        "elapsed_us": took_s * per_row,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _by_room(profiler: cProfile.Profile, rows: int) -> str:
    """Where each microsecond of a row goes, by room and by function; profiled, so all is slower."""
    text = io.StringIO()
    stats = pstats.Stats(profiler, stream=text)
    rooms: dict[str, float] = {}
    for (name, _, function), (_, _, own_s, _, _) in stats.stats.items():  # type: ignore[attr-defined]
        parts = Path(name).parts
        room = "/".join(parts[parts.index("bulkipacl") + 1 :][:2]) if "bulkipacl" in parts else name
        if "site-packages" in parts:
            room = parts[parts.index("site-packages") + 1]
        elif name.startswith("~"):
            room = f"built in: {function}"
        elif "bulkipacl" not in parts:
            room = f"python: {Path(name).name}"
        rooms[room] = rooms.get(room, 0.0) + own_s
    for room, own_s in sorted(rooms.items(), key=lambda pair: -pair[1])[:40]:
        text.write(f"{own_s / rows * 1e6:8.2f} us  {room}\n")
    stats.sort_stats("tottime").print_stats(40)
    return text.getvalue()


def _in_a_process(rows: int, accounts: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", str(rows), str(accounts)]
    ended = subprocess.run(command, capture_output=True, check=True)
    found: dict[str, Any] = orjson.loads(ended.stdout)
    return found


BY_ROWS = ((10_000, 1), (100_000, 1), (1_000_000, 1))
BY_ACCOUNTS = ((500_000, 1), (500_000, 10), (500_000, 100), (500_000, 1_000), (500_000, 10_000))
"""Sizes as (rows, accounts): with ten thousand accounts, each has one list of 50 rows."""
FULL = (10_000_000, 1)
PLOT = Path(__file__).with_name("machinery.svg")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--accounts", type=int, default=1)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--profile")
    parser.add_argument("--child", nargs=2, type=int)
    given = parser.parse_args()
    if given.child or given.profile:
        rows, accounts = given.child or (given.rows or 50_000, given.accounts)
        with tempfile.TemporaryDirectory() as folder:
            found = run_once(Path(folder), rows, accounts, given.profile)
        sys.stdout.buffer.write(orjson.dumps(found) + b"\n")
        return
    sizes = [*BY_ROWS, *([FULL] if given.full else []), *BY_ACCOUNTS]
    if given.rows is not None:
        sizes = [(given.rows, given.accounts)]
    print(f"# python {sys.version.split()[0]}, {os.cpu_count()} cores; medians of {given.times}")
    print("| rows | accounts | intake | sending | report | CPU us a row | elapsed | peak MB |")
    print("|---|---|---|---|---|---|---|---|")
    totals = {}
    for rows, accounts in sizes:
        times = 1 if rows == FULL[0] else given.times
        runs = [_in_a_process(rows, accounts) for _ in range(times)]
        totals[rows, accounts] = statistics.median(run["total_us"] for run in runs)
        names = ("intake_us", "sending_us", "report_us", "total_us", "elapsed_us", "peak_mb")
        cells = [f"{statistics.median(run[name] for run in runs):.1f}" for name in names]
        print(f"| {rows:,} | {accounts:,} | {' | '.join(cells)} |", flush=True)
    if given.rows is None:
        by_rows = [(rows, us) for (rows, accounts), us in totals.items() if accounts == 1]
        by_accounts = [(n, us) for (rows, n), us in totals.items() if rows == BY_ACCOUNTS[0][0]]
        series = {"by rows, one account": by_rows, "by accounts, 500,000 rows": by_accounts}
        title = "CPU of a whole apply but for the wire"
        PLOT.write_text(draw(title, "rows, or accounts", "us a row", series), encoding="utf-8")


if __name__ == "__main__":
    main()
