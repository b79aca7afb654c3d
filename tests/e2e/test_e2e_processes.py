"""`--processes`: the accounts of a run in several processes, with all that holds for one."""

import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from e2e_box import Box, Part
from e2e_tools import Cli, Place, Running, csv_text, ip, until

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="processes are found by /proc"
)

TWO = ("--processes", "2")
HEADER = "operation,account,list,list_name,ip,sid"
OF_THIS_TIME = {"sid", "attempts", "request_id", "finished_at", "duration_ms", "more_info"}
OF_THIS_TIME |= {"account_sid", "list_sid", "input_list_name", "source", "error_message"}


def workers(running: Running) -> list[int]:
    """The worker processes of a command under way."""
    found = []
    for place in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == running.process.pid and fields[0] != "Z":
                found.append(int(place.name))
    return found


def is_there(pid: int) -> bool:
    """Whether a process runs."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def line(place: Place, number: int, **cells: str) -> tuple[str, ...]:
    """A row of this account; by default it creates the n-th address in its first list."""
    acl = "" if "list_name" in cells else place.acl
    row = {"operation": "create", "account": place.account, "list": acl, "ip": ip(number)} | cells
    return tuple(row.get(name, "") for name in HEADER.split(","))


def names(place: Place) -> dict[str, str]:
    """What the lists of this account are called, by sid."""
    accounts = {account["sid"]: account for account in place.box.get("state")["accounts"]}
    return {acl["sid"]: acl["friendly_name"] for acl in accounts[place.account]["lists"]}


def mixed(places: list[Place]) -> str:
    """Rows of all kinds for each of these accounts: lists by sid and by name, ends of all sorts."""
    rows = []
    for number, place in enumerate(places):
        named = names(place)[place.lists[2]]
        some = [line(place, n, list=place.lists[n % 2]) for n in range(3 + number)]
        some.append(line(place, 50, list_name=named))
        some.append(line(place, 51, list_name="no such list"))
        some.append(line(place, 52, operation="delete"))
        some.append(line(place, 0, operation="update", sid="IP" + "0" * 32))
        some.append(line(place, 1, list="AL" + "0" * 32))
        some.append(line(place, 0))
        rows += some
    return csv_text(HEADER, rows)


def test_same_report_as_one_process(cli: Cli) -> None:
    """Eight accounts end the same row by row, and in the same figures; the display shows them."""
    reports, figures = [], []
    for run, flags in (("one", ()), ("two", TWO)):
        places = [cli.box.place() for _ in range(8)]
        cli.file("in.csv", mixed(places))
        shown = ("--base-url", cli.box.url, "--progress", "rich", "--json")
        ended = cli.run_inside("apply", "in.csv", "--run", run, *shown, *flags)
        assert ended.code == 1, ended.err
        assert "100 requests · 0 in flight" in " ".join(ended.err.split())
        reports.append(
            [{k: v for k, v in row.items() if k not in OF_THIS_TIME} for row in cli.report(run)]
        )
        keys = ("outcomes", "requests", "throttled", "notes", "exit_code", "ending")
        figures.append({key: ended.json[key] for key in keys})
        assert [row["account_sid"] for row in cli.report(run)] == [
            row.split(",")[1] for row in (cli.cwd / "in.csv").read_text().splitlines()[1:]
        ]
        assert len([one for place in places for one in place.effects()]) == 60
        cli.verify(run)
    assert {row["outcome"] for row in reports[0]} == {
        "created",
        "unchanged",
        "already_gone",
        "failed",
    }
    assert reports[1] == reports[0]
    assert figures[1] == figures[0]


def test_rows_that_arrive(cli: Cli) -> None:
    """New accounts begin a process each, and then join one; what a worker is given holds no secret.

    A signal to all processes, as a terminal sends it, is the parent's alone.
    """
    places = [cli.box.place() for _ in range(3)]
    running = cli.start_apply(
        "-", "--skip-invalid", *TWO, "--json", "--stream", "out", stdin=subprocess.PIPE
    )
    running.write(csv_text(HEADER, [line(places[0], 1), line(places[0], 2)]).encode())
    until(lambda: len(places[0].effects()) == 2)
    assert len(workers(running)) == 1
    more = [line(place, 3) for place in places]
    named = line(places[2], 4, list_name=names(places[2])[places[2].lists[1]])
    body = csv_text(HEADER, [*more, named, line(places[1], 0, ip="no address")])
    running.write(body.partition("\n")[2].encode())
    until(lambda: all(len(place.effects()) >= 1 for place in places))
    until(lambda: len(places[2].effects()) == 2)
    pids = workers(running)
    assert len(pids) == 2
    for pid in pids:
        for name in ("cmdline", "environ"):
            given = Path(f"/proc/{pid}/{name}").read_bytes()
            assert b"bulkipacl" in given or b"PYTHONPATH" in given
            assert not any(secret.encode() in given for secret in cli.secrets)
    os.killpg(running.process.pid, signal.SIGINT)
    until(lambda: running.process.poll() is not None)
    ended = running.end()
    assert (ended.code, ended.json["ending"]) == (130, "interrupted"), ended.err
    assert cli.outcomes() == ["created"] * 6 + ["invalid"]
    assert (cli.cwd / "out").read_bytes().count(b'"created"') == 6
    cli.verify()


def test_too_many_failures(cli: Cli) -> None:
    """They are counted over all processes, and stop them all, also those that have none."""
    places = [cli.box.place() for _ in range(2)]
    flags = ("--skip-invalid", *TWO, "--max-failures", "1", "--json")
    running = cli.start_apply("-", *flags, stdin=subprocess.PIPE)
    bad = [line(place, 0, operation="update", sid="IP" + "0" * 32) for place in places]
    running.write(csv_text(HEADER, [line(places[0], 1), bad[0], bad[1]]).encode())
    until(lambda: running.process.poll() is not None)
    ended = running.end()
    assert (ended.code, ended.json["ending"]) == (7, "max_failures"), ended.err
    assert cli.outcomes() == ["created", "failed", "failed"]


# --- in the middle of everything ------------------------------------------------------------------

ROWS = 80


@pytest.fixture(scope="module")
def slow_box() -> Iterator[Box]:
    """A sandbox that takes its time, of which each test has two accounts."""
    with closing(Box("--accounts", "15", "--lists", "2", "--latency", "0.2")) as box:
        yield box


@pytest.fixture
def slow(tmp_path: Path, slow_box: Box) -> Iterator[Cli]:
    """Against a sandbox that takes its time, with an input of some seconds."""
    with closing(Cli(tmp_path, Part(slow_box, 2))) as cli:
        write_input(cli)
        yield cli


def write_input(cli: Cli) -> None:
    """Creates over all lists of two accounts."""
    places = [(account, acl) for account, lists in cli.box.lists.items() for acl in lists]
    rows = [("create", *places[number % len(places)], ip(number)) for number in range(ROWS)]
    cli.file("in.csv", csv_text("operation,account,list,ip", rows))


def begin(cli: Cli, effects: int, *flags: str) -> Running:
    """Start the run in two processes, and wait for so many effects."""
    running = cli.start_apply("in.csv", *TWO, *(flags or ("--account-max-in-flight", "5")))
    until(lambda: len(cli.box.ledger()) >= effects)
    return running


def finish(cli: Cli, *flags: str) -> None:
    """A resume: every row has its one effect then."""
    more = ("--base-url", cli.box.url, "--settle", "0.5", "--account-max-in-flight", "40")
    ended = cli.run_inside("resume", "run", "--progress", "none", *more, *flags)
    assert ended.code == 0, ended.err
    assert cli.outcomes() == ["created"] * ROWS
    effects = [(one["list_sid"], one["ip_after"]) for one in cli.box.ledger()]
    assert len(effects) == len(set(effects)) == ROWS
    cli.verify()


def test_first_signal(slow: Cli) -> None:
    """What is in flight in all processes is finished, and nothing more is begun.

    They share what may be in flight: their peaks add up to it, and to no more.
    """
    running = begin(slow, 30, "--json", "--max-in-flight", "7")
    os.killpg(running.process.pid, signal.SIGINT)
    ended = running.end()
    assert ended.code == 130, ended.err
    outcomes = ended.json["outcomes"]
    assert outcomes["unknown"] == 0
    assert outcomes["created"] == len(slow.box.ledger()) < ROWS
    assert outcomes["created"] + outcomes["not_attempted"] == ROWS
    peaks = slow.box.stats()["peak_in_flight"]
    assert sorted(peaks[account] for account in slow.box.lists) == [3, 4]
    slow.verify()


def test_second_signal(slow: Cli) -> None:
    """What is in flight in all processes is cut, and unknown until a resume settles it."""
    running = begin(slow, 12)
    os.killpg(running.process.pid, signal.SIGINT)
    os.killpg(running.process.pid, signal.SIGTERM)
    ended = running.end(limit_s=20)
    assert ended.code == 130, ended.err
    counts = {word: slow.outcomes().count(word) for word in ("created", "unknown")}
    assert counts["unknown"] > 0
    assert counts["created"] <= len(slow.box.ledger()) <= sum(counts.values())
    slow.verify()
    finish(slow)


def test_worker_that_is_killed(slow: Cli) -> None:
    """The others finish what is in flight, the run says what has happened, a resume settles it."""
    running = begin(slow, 12, "--json", "--account-max-in-flight", "5")
    os.kill(workers(running)[0], signal.SIGKILL)
    ended = running.end()
    assert (ended.code, ended.json["ending"]) == (7, "process_lost"), ended.err
    (note,) = ended.json["notes"]
    assert note.startswith("One of the 2 processes of the run ended before its rows did (SIGKILL")
    assert "bulkipacl resume run" in ended.err
    assert 0 < ended.json["outcomes"]["unknown"] <= ROWS // 2, "the rounds of one account"
    slow.verify()
    finish(slow)


def test_parent_that_is_killed(slow: Cli) -> None:
    """Its workers are gone at once and without a word; a resume settles what was in flight.

    One that was halted just then sends nothing more when it goes on.
    """
    running = begin(slow, 12)
    halted, other = workers(running)
    os.kill(halted, signal.SIGSTOP)
    try:
        # The answers lie there before the end of the pipe does.
        until(lambda: 0 in slow.box.stats()["in_flight"].values())
        running.process.kill()
        until(lambda: not is_there(other))
        until(lambda: not sum(slow.box.stats()["in_flight"].values()))
        asked = slow.box.stats()["total"]
    finally:
        os.kill(halted, signal.SIGCONT)
    until(lambda: not is_there(halted))
    assert running.process.communicate()[1] == b""
    assert slow.box.stats()["total"] == asked
    finish(slow, *TWO)


def test_nothing_is_sent_before_it_is_written(boxed: Callable[..., Cli]) -> None:
    """As long as the parent does not write what was read of a list, no worker writes to it.

    They wait for it as long as it is there, and no longer.
    """
    cli = boxed("--accounts", "2", "--fault", "503_before=1")
    write_input(cli)
    running = cli.start_apply("in.csv", *TWO, "--retries", "100")
    until(lambda: len(cli.box.stats()["peak_in_flight"]) == 2)
    running.signal(signal.SIGSTOP)
    request = urllib.request.Request(f"{cli.box.url}/sandbox/faults", b"{}", method="POST")  # noqa: S310 - ours
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - ours
    until(lambda: cli.box.stats()["requests"].get("GET", {}).get("200", 0) >= 2)
    time.sleep(0.2)
    assert "POST" not in cli.box.requests()
    pids = workers(running)
    assert len(pids) == 2
    running.process.kill()
    until(lambda: not any(map(is_there, pids)))
    assert running.process.communicate()[1] == b""
    finish(cli)


def test_process_that_cannot_begin(slow: Cli) -> None:
    """What is wrong for all of them ends the run as in one process."""
    authorities = slow.file("ca.pem", "none")
    flags = ("--ca-file", authorities.name, "--base-url", "https://127.0.0.1:9", *TWO)
    ended = slow.run_inside("apply", "in.csv", "--run", "run", "--progress", "none", *flags)
    assert ended.code == 2
    assert ended.err == (
        "bulkipacl: the CA bundle ca.pem cannot be used: it holds no certificate\n"
        "  give a PEM file\n"
    )
