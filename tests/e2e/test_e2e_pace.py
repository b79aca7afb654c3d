"""How fast and in which order: --rate, --max-in-flight, --no-gap, limits, and faults."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest
from e2e_tools import Cli, Place, creates, csv_text, ip


class Stalls:
    """How late the machine itself is while something runs: short sleeps, and what they take longer.

    Attributes:
        worst_s: the longest delay of one.
        total_s: all delays.
    """

    STEP_S = 0.005

    def __init__(self) -> None:
        self.worst_s = 0.0
        self.total_s = 0.0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Stalls":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        began = time.monotonic()
        while not self._is_over.wait(self.STEP_S):
            now = time.monotonic()
            late_s = max(0.0, now - began - self.STEP_S)
            self.worst_s = max(self.worst_s, late_s)
            self.total_s += late_s
            began = now


def test_rate(cli: Cli, place: Place) -> None:
    """`--rate` is never passed: no window holds more than rate x width + burst."""
    rate, count = 20.0, 40
    began = time.monotonic()
    with Stalls() as stalls:
        ended = cli.apply(cli.file("in.csv", creates(place, count)), "--rate", "20")
    assert ended.code == 0, ended.err
    assert time.monotonic() - began >= 1.8
    times = [one["at_s"] for one in place.effects()]
    assert len(times) == count
    # Jitter can push two sendings together: a tenth of a second of it, or what the machine had.
    jitter_s = max(0.1, stalls.worst_s)
    for first in range(count):
        for last in range(first, count):
            width = times[last] - times[first]
            assert last - first + 1 <= rate * (width + jitter_s) + 1.0 + 1e-6
    assert times[-1] - times[0] <= (count / rate) * 1.5 + stalls.total_s


def test_rates_of_accounts_are_their_own(cli: Cli) -> None:
    """`--rate` is per account: three accounts take as long as one."""
    places = [cli.box.place() for _ in range(3)]
    rows = [
        ("create", place.account, place.acl, ip(number)) for number in range(30) for place in places
    ]
    file = cli.file("in.csv", csv_text("operation,account,list,ip", rows))
    assert cli.apply(file, "--rate", "20").code == 0
    times = [one["at_s"] for place in places for one in place.effects()]
    assert len(times) == 90
    # One pace for all three would take 4.4 s.
    assert 1.3 <= max(times) - min(times) <= 3.0


@pytest.mark.parametrize(("flag", "peak"), [("--max-in-flight", 1), ("--account-max-in-flight", 3)])
def test_in_flight(boxed: Callable[..., Cli], flag: str, peak: int) -> None:
    """No more are in flight than allowed, and as many as that are."""
    cli = boxed("--accounts", "2", "--lists", "2", "--latency", "0.01")
    rows = [
        ("create", account, acl, ip(number))
        for account, lists in cli.box.lists.items()
        for acl in lists
        for number in range(10)
    ]
    file = cli.file("in.csv", csv_text("operation,account,list,ip", rows))
    assert cli.apply(file, flag, str(peak)).code == 0
    assert set(cli.box.stats()["peak_in_flight"].values()) == {peak}
    if flag == "--max-in-flight":
        times = sorted(one["at_s"] for one in cli.box.ledger())
        assert min(b - a for a, b in pairwise(times)) >= 0.009


def swap(cli: Cli, place: Place, count: int, bad: bool = False) -> None:
    """An input that replaces a list: its deletes come first."""
    rows = [("delete", entry[0]) for entry in place.held()]
    rows += [("create", ip(number)) for number in range(count)]
    text = csv_text("operation,ip", rows)
    cli.file("in.csv", text + ("create,62.0.0.999\n" if bad else ""))


def test_no_gap(cli: Cli, place: Place) -> None:
    """With `--no-gap` every create of a list lands before its first delete."""
    swap(cli, place, 30)
    flags = ["--account", place.account, "--list", place.acl, "--no-gap"]
    ended = cli.apply("in.csv", *flags)
    assert ended.code == 0, ended.err
    assert [one["op"] for one in place.effects()] == ["create"] * 30 + ["delete"] * 3
    assert cli.outcomes() == ["deleted"] * 3 + ["created"] * 30
    cli.verify()


def test_no_gap_with_a_failed_create(cli: Cli, place: Place) -> None:
    """Where a create did not succeed, `--no-gap` refuses the list's deletes: exit 5."""
    before = place.held()
    swap(cli, place, 98)
    flags = ["--account", place.account, "--list", place.acl, "--no-gap", "--allow-full"]
    ended = cli.apply("in.csv", *flags)
    outcomes = Counter(cli.outcomes())
    assert outcomes["created"] == 97
    assert outcomes["failed"] == 1
    assert outcomes["refused"] == 3
    assert set(before) <= set(place.held())
    assert {one["op"] for one in place.effects()} == {"create"}
    assert ended.code == 5, ended.err
    cli.verify()


def test_no_gap_with_an_invalid_create(cli: Cli, place: Place) -> None:
    """An invalid create of a list is one that did not succeed: its deletes are refused too."""
    before = place.held()
    swap(cli, place, 5, bad=True)
    flags = ["--account", place.account, "--list", place.acl, "--no-gap", "--skip-invalid"]
    ended = cli.apply("in.csv", *flags)
    assert set(before) <= set(place.held())
    assert cli.outcomes() == ["refused"] * 3 + ["created"] * 5 + ["invalid"]
    assert ended.code == 5, ended.err


def test_full_list_is_swapped(boxed: Callable[..., Cli]) -> None:
    """A list of a hundred is replaced whole: creates wait for the deletes before them."""
    cli = boxed("--entries", "100")
    account, (acl,) = cli.box.parent, cli.box.lists[cli.box.parent]
    place = Place(cli.box, account, [acl])
    swap(cli, place, 100)
    ended = cli.apply("in.csv", "--list", acl)
    assert ended.code == 0, ended.err
    assert [entry[0] for entry in place.held()] == sorted(ip(n) for n in range(100))
    cli.verify()


@pytest.mark.parametrize("seed", [1, 2])
def test_limits_and_faults(boxed: Callable[..., Cli], seed: int) -> None:
    """Under limits and every kind of lost answer: nothing twice, nothing lost, all answered."""
    faults = {
        **{"429": 0.05, "500": 0.03, "503": 0.03, "reset": 0.05, "garbage": 0.02},
        **{"truncated_after": 0.02, "close_after": 0.05, "html_503_before": 0.02},
    }
    switches = [text for kind, p in faults.items() for text in ("--fault", f"{kind}={p}")]
    cli = boxed(
        *("--accounts", "3", "--lists", "4", "--entries", "5", "--seed", str(seed)),
        *("--limit", "concurrent=8", "--late", "0.3", *switches),
    )
    box = cli.box
    rows: list[tuple[str, ...]] = []
    before = box.state()
    for account, lists in box.lists.items():
        for acl in lists:
            sids = list(before[account][acl])
            rows += [("create", account, acl, "", ip(number), "n") for number in range(12)]
            rows += [("delete", account, acl, sids[0], "", "")]
            rows += [("update", account, acl, sids[1], "", "renamed")]
    file = cli.file("in.csv", csv_text("operation,account,list,sid,ip,name", rows))
    ended = cli.apply(file, "--settle", "0.5", "--retries", "30")
    assert ended.code == 0, ended.err
    box.get("stats")
    for account, now in box.state().items():
        for acl, entries in now.items():
            sids = list(before[account][acl])
            made = [entry[0] for sid, entry in entries.items() if sid not in sids]
            assert sorted(made) == sorted(ip(number) for number in range(12))
            assert sids[0] not in entries
            assert entries[sids[1]][2] == "renamed"
    for line in cli.report():
        if line["outcome"] == "created":
            assert line["sid"] in box.state()[line["account_sid"]][line["list_sid"]]
    cli.verify()
