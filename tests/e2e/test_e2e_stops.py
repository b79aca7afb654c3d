"""Every ending of a run: signals, kill -9, and reports made anew afterwards."""

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from e2e_box import Box, Part
from e2e_tools import (
    PROGRAM,
    Cli,
    Place,
    Running,
    clean_environment,
    creates,
    csv_text,
    ip,
    until,
)

ROWS = 300
LATENCY = ("--latency", "0.2")


@pytest.fixture(scope="module")
def slow_box() -> Iterator[Box]:
    """A sandbox that takes its time, of which each test has two accounts."""
    with closing(Box("--accounts", "41", "--lists", "4", "--entries", "3", *LATENCY)) as box:
        yield box


@pytest.fixture
def slow(tmp_path: Path, slow_box: Box) -> Iterator[Cli]:
    """Against a sandbox that takes its time, with an input of some seconds."""
    with closing(Cli(tmp_path, Part(slow_box, 2))) as cli:
        write_input(cli)
        yield cli


def write_input(cli: Cli) -> None:
    """300 creates over all lists."""
    rows = [
        ("create", account, acl, ip(number))
        for number in range(ROWS // 8 + 1)
        for account, lists in cli.box.lists.items()
        for acl in lists
    ]
    cli.file("in.csv", csv_text("operation,account,list,ip", rows[:ROWS]))


def check_against_ledger(cli: Cli) -> None:
    """Every row is answered; a created one has its effect, and no effect is another's."""
    report = cli.report()
    assert len(report) == ROWS
    effects = {one["sid"]: one for one in cli.box.ledger()}
    created = [line for line in report if line["outcome"] == "created"]
    assert len({line["sid"] for line in created}) == len(created)
    for line in created:
        effect = effects.pop(line["sid"])
        assert (effect["ip_after"], effect["list_sid"]) == (line["ip_address"], line["list_sid"])
    unknown = {
        (line["ip_address"], line["list_sid"]) for line in report if line["outcome"] == "unknown"
    }
    left = {(one["ip_after"], one["list_sid"]) for one in effects.values()}
    assert left <= unknown
    outcomes = {line["outcome"] for line in report}
    assert outcomes <= {"created", "unknown", "not_attempted"}


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_first_signal(slow: Cli, signum: signal.Signals) -> None:
    """What is in flight is finished, the report is written, the exit code is 130."""
    running = slow.start_apply("in.csv", "--account-max-in-flight", "4", "--json")
    until(lambda: len(slow.box.ledger()) > 20)
    running.signal(signum)
    ended = running.end()
    assert ended.code == 130, ended.err
    assert (ended.json["ending"], ended.json["exit_code"]) == ("interrupted", 130)
    outcomes = ended.json["outcomes"]
    assert outcomes["unknown"] == 0
    assert outcomes["created"] == len(slow.box.ledger()) < ROWS
    assert outcomes["created"] + outcomes["not_attempted"] == ROWS
    assert "resume" in ended.err
    check_against_ledger(slow)
    assert len(slow.rejects()) == outcomes["not_attempted"]
    slow.verify()
    assert slow.run_inside("verify", "run", environment={}).code == 0


def test_signal_before_anything_was_sent(boxed: Callable[..., Cli]) -> None:
    """While the lists are still being read, one signal ends a run at once; no row is lost."""
    cli = boxed("--lists", "4", "--latency", "30")
    lists = cli.box.lists[cli.box.parent]
    rows = [("create", lists[number % 4], ip(number)) for number in range(40)]
    cli.file("in.csv", csv_text("operation,list,ip", rows))
    running = cli.start_apply("in.csv")
    until(lambda: sum(cli.box.stats()["in_flight"].values()))
    began = time.monotonic()
    running.signal(signal.SIGINT)
    ended = running.end(limit_s=10)
    assert time.monotonic() - began < 3
    assert ended.code == 130, ended.err
    assert len(cli.report()) == 40
    assert set(cli.outcomes()) == {"not_attempted"}
    cli.verify()


def test_second_signal_with_writes_in_flight(slow: Cli) -> None:
    """Cut writes are unknown, never guessed, and what was answered stays answered."""
    slow.box.get("stats")
    running = slow.start_apply("in.csv", "--account-max-in-flight", "4")
    until(lambda: len(slow.box.ledger()) > 20)
    running.signal(signal.SIGINT)
    running.signal(signal.SIGTERM)
    ended = running.end(limit_s=10)
    assert ended.code == 130, ended.err
    check_against_ledger(slow)
    assert slow.outcomes().count("created") >= 15
    slow.verify()


def test_kill(slow: Cli) -> None:
    """After kill -9 `report` answers every row, and is true; nothing is guessed."""
    running = slow.start_apply("in.csv", "--account-max-in-flight", "4")
    until(lambda: len(slow.box.ledger()) > 40)
    running.process.kill()
    running.process.communicate()
    assert not (slow.cwd / "run/report.csv").exists()
    slow.box.get("stats")
    ended = slow.run_inside("report", "run", environment={})
    assert ended.code in (7, 8), ended.err
    until(lambda: not sum(slow.box.stats()["in_flight"].values()))
    check_against_ledger(slow)
    outcomes = slow.outcomes()
    assert 0 < outcomes.count("created") <= len(slow.box.ledger())
    assert len(slow.rejects()) == ROWS - outcomes.count("created")
    slow.verify()
    again = slow.run_inside(
        *("resume", "run", "--base-url", slow.box.url, "--settle", "0.5", "--progress", "none"),
        *("--account-max-in-flight", "100"),
    )
    assert again.code == 0, again.err
    assert slow.outcomes() == ["created"] * ROWS
    check_against_ledger(slow)
    assert len(slow.box.ledger()) == ROWS
    slow.verify()


def test_kill_while_taking_in(slow: Cli) -> None:
    """After a kill before anything was sent, `report` and `verify` still answer."""
    running = slow.start_apply("in.csv")
    until(lambda: (slow.cwd / "run/run.sqlite").exists())
    running.process.kill()
    running.process.communicate()
    ended = slow.run_inside("report", "run", environment={})
    assert ended.code in (2, 7, 8), ended.err
    if ended.code != 2:
        slow.verify()


def test_report_again(slow: Cli) -> None:
    """`report` makes report.csv and rejects.csv anew, byte for byte, with the run's exit code."""
    running = slow.start_apply("in.csv")
    until(lambda: len(slow.box.ledger()) > 5)
    running.signal(signal.SIGINT)
    assert running.end().code == 130
    files = [slow.cwd / "run" / name for name in ("report.csv", "rejects.csv")]
    before = [path.read_bytes() for path in files]
    for path in files:
        path.unlink()
    missing = slow.run_inside("verify", "run", environment={})
    assert (missing.code, missing.out) == (1, "")
    assert "report.csv is missing" in missing.err
    assert slow.run_inside("report", "run", environment={}).code == 130
    assert [path.read_bytes() for path in files] == before
    slow.verify()


def test_verify_finds_a_changed_report(slow: Cli) -> None:
    """A report with a line changed, doubled or left out does not pass."""
    lines = (slow.cwd / "in.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    slow.file("in.csv", "".join(lines[:5]))
    assert slow.apply_inside("in.csv").code == 0
    path = slow.cwd / "run/report.csv"
    whole = path.read_bytes()
    header, *rest = whole.splitlines(keepends=True)
    for wrong in (
        whole.replace(b",created,", b",unchanged,", 1),
        whole + rest[-1],
        b"".join([header, *rest[:-1]]),
        b"".join([header, rest[1], rest[0], *rest[2:]]),
    ):
        path.write_bytes(wrong)
        ended = slow.run_inside("verify", "run", environment={})
        assert (ended.code, ended.out) == (1, "")
        assert "report.csv" in ended.err


# --- while the reports are written, and a terminal that is closed ---------------------------------


@pytest.fixture
def hangup() -> Iterator[Callable[[signal.Handlers], object]]:
    """Says what SIGHUP does in processes that are started from now on; by default it is heard."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield lambda handler: signal.signal(signal.SIGHUP, handler)
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def pipe(cli: Cli) -> Path:
    """A report that is not written before somebody reads it."""
    (cli.cwd / "run").mkdir()
    path = cli.cwd / "run/report.csv"
    os.mkfifo(path)
    return path


def ending(cli: Cli) -> str:
    """How the run has ended, as it says itself."""
    with suppress(sqlite3.OperationalError):  # It is just being made.
        uri = f"file:{cli.cwd / 'run/run.sqlite'}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as db:
            found = db.execute("SELECT value FROM meta WHERE key = 'ending'").fetchone()
            return str(found[0]) if found else ""
    return ""


def told(running: Running) -> str:
    """The next line that a command says."""
    assert running.process.stderr is not None
    line: bytes = running.process.stderr.readline()
    return line.decode()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signal_while_the_reports_are_written(
    cli: Cli, place: Place, pipe: Path, signum: signal.Signals
) -> None:
    """They are finished first, and the exit code is that of the rows, which all have ended."""
    running = cli.start_apply(cli.file("in.csv", creates(place, 5)))
    until(lambda: ending(cli) == "finished")
    running.signal(signum)
    assert told(running).startswith("the reports are being written; Ctrl-C again")
    report = pipe.read_bytes()
    ended = running.end()
    assert ended.code == 0, ended.err
    assert report.count(b",created,") == 5


@pytest.mark.usefixtures("hangup")
def test_second_signal_while_the_reports_are_written(cli: Cli, place: Place, pipe: Path) -> None:
    """They are left unfinished: 130, and a line with the command that writes them."""
    running = cli.start_apply(cli.file("in.csv", creates(place, 5)))
    until(lambda: ending(cli) == "finished")
    running.signal(signal.SIGHUP)
    assert told(running).startswith("the reports are being written; Ctrl-C again")
    running.signal(signal.SIGTERM)
    ended = running.end()
    assert (ended.code, ended.out) == (130, "")
    assert ended.err == (
        "bulkipacl: interrupted before the reports of run were finished\n"
        "  every outcome is recorded, and this writes them: bulkipacl report run\n"
    )
    pipe.unlink()
    assert cli.run_inside("report", "run", environment={}).code == 0
    assert cli.outcomes() == ["created"] * 5
    cli.verify()


def test_signal_while_an_interrupted_run_is_reported(cli: Cli, place: Place, pipe: Path) -> None:
    """The second Ctrl-C of a run is one, in whichever part of it: 130, and both commands."""
    running = cli.start_apply("-", "--skip-invalid", stdin=subprocess.PIPE)
    running.write(creates(place, 5).encode())
    until(lambda: len(place.effects()) == 5)
    running.signal(signal.SIGINT)
    until(lambda: ending(cli) == "interrupted")
    running.signal(signal.SIGINT)
    ended = running.end()
    assert ended.code == 130, ended.err
    assert "this writes them: bulkipacl report run; then: bulkipacl resume run --b" in ended.err


def test_hangup_that_is_ignored(
    cli: Cli, place: Place, pipe: Path, hangup: Callable[[signal.Handlers], object]
) -> None:
    """Under `nohup` the end of a terminal is nothing to a run."""
    hangup(signal.SIG_IGN)
    running = cli.start_apply(cli.file("in.csv", creates(place, 5)))
    until(lambda: ending(cli) == "finished")
    running.signal(signal.SIGHUP)
    assert pipe.read_bytes().count(b",created,") == 5
    ended = running.end()
    assert ended.code == 0, ended.err
    assert "being written" not in ended.err


@pytest.mark.usefixtures("hangup")
def test_hangups(slow: Cli) -> None:
    """SIGHUP is a first Ctrl-C, but never a second one: a closed terminal sends it twice."""
    running = slow.start_apply("in.csv", "--account-max-in-flight", "4", "--json")
    until(lambda: len(slow.box.ledger()) > 20)
    running.signal(signal.SIGHUP)
    assert told(running).startswith("stopping: what is in flight is finished")
    running.signal(signal.SIGHUP)
    ended = running.end()
    assert ended.code == 130, ended.err
    assert "stopping now" not in ended.err
    assert ended.json["outcomes"]["unknown"] == 0
    check_against_ledger(slow)
    slow.verify()


@pytest.mark.usefixtures("hangup")
def test_terminal_that_is_closed(slow: Cli) -> None:
    """A run whose terminal goes ends as after Ctrl-C, though nothing can be said any more."""
    terminal, end = os.openpty()
    arguments = slow.applying("in.csv", "--run", "run", "--progress", "plain")
    process = subprocess.Popen(
        # What opens a terminal first in a session of its own is controlled by it.
        ["sh", "-c", 'exec "$@" <"$TTY" >"$TTY" 2>&1', "sh", *PROGRAM, *map(str, arguments)],
        cwd=slow.cwd,
        env={**clean_environment(), **slow.box.token_environment, "TTY": os.ttyname(end)},
        start_new_session=True,
    )
    try:
        until(lambda: len(slow.box.ledger()) > 20)
        os.close(end)
        os.close(terminal)
        assert process.wait(20) == 130
    finally:
        process.kill()
        process.wait()
    check_against_ledger(slow)
    assert "unknown" not in slow.outcomes()
    slow.verify()


# --- an input that is still arriving --------------------------------------------------------------


def test_stop_with_a_pipe_open(cli: Cli, place: Place) -> None:
    """What was not taken in is told, with what to do about it: by the run, and by its resume."""
    other = cli.file("other.csv", creates(place, 5, 100))
    flags = ("--skip-invalid", "--max-failures", "0", "--json")
    running = cli.start_apply("-", other.name, *flags, stdin=subprocess.PIPE)
    running.write(creates(place, 10).encode())
    until(lambda: len(place.effects()) == 10)
    sending = ("--base-url", cli.box.url, "--progress", "none")
    assert cli.run_inside("retry", "run", *sending).code == 9, "it is under way"
    running.write(f"delete,{place.account},{place.acl},,no such row\n".encode())
    running.write(f"update,{place.account},{place.acl},{ip(77)},x\n".encode())
    until(lambda: running.process.poll() is not None)
    ended = running.end()
    assert (ended.code, ended.json["ending"]) == (7, "max_failures"), ended.err
    (note,) = ended.json["notes"]
    assert note.startswith(
        "The input was not read to its end. Not taken in: what comes after line 13 of standard"
        " input (row 12) and all of other.csv. A resume cannot know it: apply the rest"
    )
    resumed = cli.run_inside("resume", "run", *sending, "--json")
    assert (resumed.code, resumed.json["ending"]) == (7, "input_unfinished"), resumed.err
    assert resumed.json["notes"] == [note]
    assert note[:60] in " ".join(resumed.err.split())
    assert len(place.effects()) == 10
    cli.verify()


def test_resume_after_a_kill_with_a_pipe_open(cli: Cli, place: Place) -> None:
    """A run that could not say it any more says with its resume what was not taken in."""
    running = cli.start_apply("-", "--skip-invalid", stdin=subprocess.PIPE)
    running.write(creates(place, 5).encode())
    until(lambda: len(place.effects()) == 5)
    running.process.kill()
    running.process.communicate()
    resume = ("--base-url", cli.box.url, "--progress", "none", "--settle", "0.1", "--json")
    ended = cli.run_inside("resume", "run", *resume)
    assert (ended.code, ended.json["ending"]) == (7, "input_unfinished"), ended.err
    assert "after line 6 of standard input (row 5)." in ended.json["notes"][0]
    assert cli.outcomes() == ["created"] * 5
    cli.verify()
