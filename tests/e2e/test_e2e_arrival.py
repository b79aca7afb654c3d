"""Rows that are sent while the input still arrives."""

import signal
import subprocess
import time

import pytest
from e2e_tools import Cli, Place, creates, ip, until


def addresses(place: Place) -> set[str]:
    """What was created so far."""
    return {one["ip_after"] for one in place.effects()}


def lines(place: Place, count: int, start: int) -> bytes:
    """Rows without their header."""
    return creates(place, count, start).split("\n", 1)[1].encode()


def test_rows_are_sent_while_more_arrive(cli: Cli, place: Place) -> None:
    """What a pipe has brought is carried out while it stays open, and then the rest."""
    stream = ("--stream", "-", "--settle", "1")
    running = cli.start_apply("-", "--skip-invalid", *stream, stdin=subprocess.PIPE)
    running.write(creates(place, 10).encode())
    until(lambda: addresses(place) == {ip(n) for n in range(10)})
    running.write(b"bogus,,,,\n" + lines(place, 10, 10))
    until(lambda: addresses(place) == {ip(n) for n in range(20)})
    ended = running.end(lines(place, 5, 20))
    assert ended.code == 1, ended.err
    assert addresses(place) == {ip(n) for n in range(25)}
    assert cli.outcomes() == ["created"] * 10 + ["invalid"] + ["created"] * 15
    numbers = [line["row"] for line in ended.lines if line["outcome"] == "created"]
    assert sorted(numbers) == [number for number in range(1, 27) if number != 11]
    cli.verify()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signal_while_the_pipe_is_open(cli: Cli, place: Place, signum: signal.Signals) -> None:
    """A signal ends a run whose input never ends: 130, at once, every row taken in answered."""
    running = cli.start_apply("-", "--skip-invalid", stdin=subprocess.PIPE)
    running.write(creates(place, 10).encode())
    until(lambda: len(addresses(place)) == 10)
    began = time.monotonic()
    running.signal(signum)
    until(lambda: running.process.poll() is not None, 5.0)
    assert time.monotonic() - began < 5
    ended = running.end()
    assert ended.code == 130, ended.err
    assert cli.outcomes() == ["created"] * 10
    cli.verify()


def test_signal_while_taking_in(cli: Cli, place: Place) -> None:
    """A signal before the input is whole: 130, nothing sent, a report that says so."""
    running = cli.start_apply("-", stdin=subprocess.PIPE)
    running.write(creates(place, 10).encode())
    until(lambda: (cli.cwd / "run/run.sqlite").exists())
    time.sleep(0.2)
    running.signal(signal.SIGINT)
    until(lambda: running.process.poll() is not None, 5.0)
    ended = running.end()
    assert ended.code == 130, ended.err
    assert not place.effects()
    assert set(cli.outcomes()) <= {"not_attempted"}
    cli.verify()


def test_a_pipe_without_rows(cli: Cli, place: Place) -> None:
    """A header alone, or nothing at all, is no input."""
    for number, data in enumerate([creates(place, 0).encode(), b""]):
        ended = cli.apply_inside("-", "--skip-invalid", "--run", f"run{number}", stdin=data)
        assert ended.code == 3, ended.err
        assert ended.err.startswith("bulkipacl: ")
