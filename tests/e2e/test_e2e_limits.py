"""What a person sees of limits: found, shown, kept, forgotten; and the last words of verbs."""

import os
import pty
import re
import signal
import sqlite3
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from e2e_tools import PROGRAM, Box, Cli, Place, clean_environment, csv_text, ip, until

STATE = "BULKIPACL_STATE_DIR"
COLUMNS = ["at", "account_sid", "window", "pace_per_s", "binding", "in_flight", "throttled"]


@pytest.fixture(scope="module")
def limited() -> Iterator[Box]:
    """A sandbox that lets eight requests of each account be in flight."""
    box = Box(
        *("--accounts", "8", "--lists", "3", "--latency", "0.05"),
        *("--limit", "concurrent=8", "--retry-after", "0.05"),
    )
    yield box
    box.close()


@pytest.fixture
def near(tmp_path: Path, limited: Box) -> Iterator[Cli]:
    """The command line against the limited sandbox."""
    cli = Cli(tmp_path, limited)
    yield cli
    cli.close()


def rows(place: Place, count: int, start: int = 0) -> str:
    """Creates for each of the account's lists in turn, so many in all."""
    lists = len(place.lists)
    return csv_text(
        "operation,account,list,ip",
        (
            ("create", place.account, place.lists[number % lists], ip(start + number))
            for number in range(count)
        ),
    )


def apply(cli: Cli, text: str, run: str, *flags: str, state: Path | None = None) -> Any:
    """Apply rows that all end well; returns the summary as JSON."""
    environment = dict(cli.box.token_environment)
    if state is not None:
        environment[STATE] = str(state)
    file = cli.file(f"{run}.csv", text)
    ended = cli.apply(file, "--run", run, "--json", *flags, environment=environment)
    assert ended.code == 0, ended.err
    (cli.cwd / f"{run}.err").write_text(ended.err)
    return ended.json


def remember(cli: Cli, state: Path, account: str, window: float) -> None:
    """Write a memory as an earlier run would have left it."""
    found = {"window": window, "pace_per_s": None, "round_trip_s": 0.05}
    found_at = cli.cwd.stat().st_mtime - 60.0
    record = {"host": cli.box.url, "account_sid": account, **found, "found_at": found_at}
    state.mkdir(exist_ok=True)
    (state / "limits.json").write_bytes(orjson.dumps([record]))


def test_found_shown_and_used(near: Cli) -> None:
    """A run's limit is shown, of the run and with its age; the next meets fewer refusals."""
    place = near.box.place()
    cold = apply(near, rows(place, 90), "cold")
    (found,) = cold["limits"]
    assert found["account_sid"] == place.account
    assert found["throttled"] == cold["throttled"] > 0
    assert 4 <= found["window"] <= 16
    told = (near.cwd / "cold.err").read_text()
    assert f"\nLimits met:\n  {place.account}: " in told
    samples = near.run("limits", "cold", "--samples", "-", environment={})
    assert (samples.code, samples.err) == (0, "")
    heading, *lines = [line.split(",") for line in samples.out.splitlines()]
    assert heading == [*COLUMNS, "rows_ended"]
    assert [line[1] for line in lines] == [place.account] * len(lines)
    assert lines[-1][-2:] == [str(found["throttled"]), "90"]
    shown = near.run("limits", environment={})
    assert (shown.code, shown.err) == (0, "")
    assert re.search(rf"^{place.account} .* \d+ s  {near.box.url}$", shown.out, re.MULTILINE)
    (file,) = near.cwd.rglob("limits.json")
    (kept,) = orjson.loads(file.read_bytes())
    assert 4 <= kept["window"] <= 16
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not any(secret in file.read_text() for secret in near.box.secrets)
    warm = apply(near, rows(place, 90, start=90), "warm")
    assert warm["throttled"] < cold["throttled"]
    gone = near.run("limits", "--forget", "--json", environment={})
    assert gone.json == {"path": str(file), "forgotten": 1}
    assert gone.err == "forgot the limits of 1 account\n"
    assert not file.exists()


def test_headroom(near: Cli) -> None:
    """With `--headroom 30%` an account that allows eight is used up to five."""
    found = apply(near, rows(near.box.place(), 100), "run", "--headroom", "30%")
    (one,) = found["limits"]
    assert one["throttled"] > 0
    assert 3 <= one["window"] <= 6


def test_what_is_remembered_and_what_is_allowed(boxed: Callable[..., Cli], tmp_path: Path) -> None:
    """A run starts near what is remembered, and never above what the user allows."""
    cli = boxed("--accounts", "2", "--lists", "3", "--latency", "0.15")
    state = tmp_path / "state"
    peaks: list[int] = []
    for flags in ([], ["--account-max-in-flight", "3"]):
        place = cli.box.place()
        remember(cli, state, place.account, 40.0)
        apply(cli, rows(place, 24), f"run{len(peaks)}", *flags, state=state)
        peaks.append(cli.box.stats()["peak_in_flight"][place.account])
    # From two on, with one more for each answer, it would not come to more than twelve.
    assert peaks[0] >= 16
    assert peaks[1] == 3


def test_a_memory_that_cannot_be_kept(near: Cli) -> None:
    """A state directory that cannot be written costs a run nothing, not even a word."""
    state = near.file("a file", "") / "state"
    summary = apply(near, rows(near.box.place(), 30), "run", state=state)
    assert summary["throttled"] > 0
    assert "a file" not in (near.cwd / "run.err").read_text()
    ended = near.run("limits", environment={STATE: str(state)})
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"bulkipacl: {state}")


def test_a_fifo_in_the_place_of_the_memory(near: Cli) -> None:
    """A FIFO under the name of the memory holds no run up, and `limits` says what is wrong."""
    state = near.cwd / "state"
    state.mkdir()
    os.mkfifo(state / "limits.json")
    apply(near, rows(near.box.place(), 3), "run", state=state)
    ended = near.run("limits", environment={STATE: str(state)})
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"bulkipacl: {state / 'limits.json'}: Not a regular file\n")


def test_the_live_display(near: Cli) -> None:
    """On a terminal each account has its line: rows, window, the limit that holds it, refusals."""
    places = [near.box.place(), near.box.place()]
    first, second = (rows(place, 60) for place in places)
    near.file("in.csv", first + second.split("\n", 1)[1])
    ours, theirs = pty.openpty()
    environment = clean_environment() | {"HOME": str(near.cwd), "TERM": "xterm", "COLUMNS": "150"}
    process = subprocess.Popen(
        [*PROGRAM, "apply", "in.csv", "--run", "run", "--base-url", near.box.url],
        env=environment | near.box.token_environment,
        cwd=near.cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen = b""
    try:
        while piece := os.read(ours, 65_536):
            seen += piece
    except OSError:  # So a terminal says that nobody has it open any more.
        pass
    finally:
        os.close(ours)
        assert process.wait(30) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    for place in places:
        short = f"{place.account[:6]}…{place.account[-4:]}"
        line = rf"{short} +\d+ of 60 +\d+ of \d+ in flight.* limit: in flight +\d+ throttled +\d+ s"
        assert re.search(line, text), text


# --- last words ---------------------------------------------------------------------------------


def test_what_is_left_can_be_resumed(near: Cli) -> None:
    """`report` and `retry` print the command that carries on, as `apply` does, and it works."""
    place = near.box.place()
    file = near.file("in.csv", rows(place, 100))
    ended = near.apply(file, "--deadline", "0.4s")
    line = f"\nresume   bulkipacl resume run --base-url {near.box.url}\n"
    assert ended.code == 7, ended.err
    assert line in ended.err
    assert line in near.run("report", "run", environment={}).err
    retry = ["retry", "run", "--run", "again", "--base-url", near.box.url, "--progress", "none"]
    ended = near.run(*retry, "--deadline", "0.1s")
    assert ended.code == 7, ended.err
    line = line.replace("resume run", "resume again")
    assert line in ended.err
    ended = near.run(*line.split()[2:], "--progress", "none")
    assert ended.code == 0, ended.err
    assert "\nresume " not in ended.err


def is_sending(database: Path) -> bool:
    """Whether a list has been read, so that writes are on their way."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
            return db.execute("SELECT 1 FROM snapshot LIMIT 1").fetchone() is not None
    except sqlite3.OperationalError:  # It is just being made.
        return False


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_demo_that_is_interrupted(cli: Cli, signum: signal.Signals) -> None:
    """Ctrl-C, which a terminal sends to all, or SIGTERM, which comes to one: 130, and no praise."""
    flags = ["--progress", "none", "--rows", "400", "--run", "demo"]
    running = cli.start("demo", *flags, environment={})
    until(lambda: is_sending(cli.cwd / "demo" / "run.sqlite"))
    if signum == signal.SIGINT:
        os.killpg(running.process.pid, signum)
    else:
        running.signal(signum)
    ended = running.end()
    assert (ended.code, ended.out) == (130, ""), ended.err
    assert "on purpose" not in ended.err
    assert ended.err.endswith("so this run cannot be resumed.\n")


def test_one_row_is_told_as_one(cli: Cli, place: Place) -> None:
    """Counts are told in the singular where they are one; standard input has a name."""
    flags = ["--operation", "create", "--account", place.account, "--list", place.acl]
    ended = cli.run("validate", "-", *flags, environment={}, stdin=b"ip\n62.0.0.1\n")
    assert (ended.code, ended.err) == (0, "1 row taken in, none invalid\n")
    body = b"ip\n62.0.0.1\n62.0.0.999\n"
    ended = cli.run("validate", "-", *flags, environment={}, stdin=body)
    assert ended.code == 3
    assert ended.err.startswith("standard input:3: column ip_address, value '62.0.0.999': ")
    assert ended.err.endswith("\n1 of 2 rows is invalid\n")
