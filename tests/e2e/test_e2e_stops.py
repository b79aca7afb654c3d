"""Every ending of a run: signals, kill -9, and reports made anew afterwards."""

import signal
import time
from collections.abc import Callable

import pytest
from e2e_tools import Cli, csv_text, ip, until

ROWS = 300


@pytest.fixture
def slow(boxed: Callable[..., Cli]) -> Cli:
    """Against a sandbox that takes its time, with an input of some seconds."""
    cli = boxed("--accounts", "2", "--lists", "4", "--entries", "3", "--latency", "0.2")
    rows = [
        ("create", account, acl, ip(number))
        for number in range(ROWS // 8 + 1)
        for account, lists in cli.box.lists.items()
        for acl in lists
    ]
    cli.file("in.csv", csv_text("operation,account,list,ip", rows[:ROWS]))
    return cli


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
    assert slow.run("verify", "run", environment={}).code == 0


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
    ended = slow.run("report", "run", environment={})
    assert ended.code in (7, 8), ended.err
    until(lambda: not sum(slow.box.stats()["in_flight"].values()))
    check_against_ledger(slow)
    outcomes = slow.outcomes()
    assert 0 < outcomes.count("created") <= len(slow.box.ledger())
    assert len(slow.rejects()) == ROWS - outcomes.count("created")
    slow.verify()
    again = slow.run(
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
    ended = slow.run("report", "run", environment={})
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
    missing = slow.run("verify", "run", environment={})
    assert (missing.code, missing.out) == (1, "")
    assert "report.csv is missing" in missing.err
    assert slow.run("report", "run", environment={}).code == 130
    assert [path.read_bytes() for path in files] == before
    slow.verify()


def test_verify_finds_a_changed_report(slow: Cli) -> None:
    """A report with a line changed, doubled or left out does not pass."""
    lines = (slow.cwd / "in.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    slow.file("in.csv", "".join(lines[:5]))
    assert slow.apply("in.csv").code == 0
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
        ended = slow.run("verify", "run", environment={})
        assert (ended.code, ended.out) == (1, "")
        assert "report.csv" in ended.err
