"""Samples of what accounts allow: bounded, whatever the number of accounts and the time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest

from bulkipacl.engine.account import Account
from bulkipacl.engine.sampling import Sampler, sample
from bulkipacl.engine.scheduler import Lane
from bulkipacl.model import ApiError, Learnt, LimitSample
from bulkipacl.settings import SAMPLE_EVERY_S, SAMPLES_AT_ONCE, Settings

AT = 1_700_000_000.0


class Host:
    """A run that does nothing."""

    settings = Settings(account_max_in_flight=100)
    is_stopping = False

    def now(self) -> float:
        """Always the beginning."""
        return 0.0

    def uniform(self, low: float, high: float) -> float:
        """No chance."""
        return low

    def call_later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Never."""

    def wake(self, lane: Lane) -> None:
        """Nobody sleeps."""

    def hungry(self, account: Account) -> None:
        """Nobody feeds."""

    def account_stopped(self, number: int, sid: str, reason: str, error: ApiError) -> None:
        """Nobody is told."""


def accounts(count: int) -> dict[int, Account]:
    """So many accounts under way, numbered from 1."""
    return {number: Account(Host(), number, f"AC{number:032x}") for number in range(1, count + 1)}


def numbers(samples: list[LimitSample]) -> list[int]:
    """Of which accounts these are."""
    return [one.account for one in samples]


def test_a_sample_says_how_the_account_stands() -> None:
    """Window, pace, what binds and the counts, as they are at that moment."""
    account = Account(Host(), 7, "AC", Learnt(40.0, 10.0, 0.1))
    assert sample(account, AT) == LimitSample(AT, 7, 30.0, 7.5, "demand", 0, 0, 0)
    account.in_flight = 3
    ticket = account.governor.on_send(0.0, 1)
    account.governor.on_throttled(0.02, ticket, None, None)
    assert sample(account, AT)[5:7] == (3, 1)


def test_few_accounts_are_sampled_each_time() -> None:
    """While they are few, every look sees all of them."""
    sampler = Sampler(accounts(5), 0.0)
    for _ in range(3):
        assert numbers(sampler.take(AT)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("count", [50, 51, 120, 1_000])
def test_many_accounts_take_turns(count: int) -> None:
    """A look sees a bounded number, and no account is seen twice before all were seen once."""
    sampler = Sampler(accounts(count), 0.0)
    looks = -(-count // SAMPLES_AT_ONCE)
    for _ in range(2):
        found = [sampler.take(AT) for _ in range(looks)]
        assert max(map(len, found)) <= SAMPLES_AT_ONCE
        assert Counter(n for look in found for n in numbers(look)) == Counter(range(1, count + 1))


def test_accounts_come_and_go() -> None:
    """One that is done is passed over, and one that began is seen in the next turn."""
    under_way: dict[int, Account] = {}
    sampler = Sampler(under_way, 0.0)
    assert sampler.take(AT) == []
    under_way |= accounts(60)
    assert len(sampler.take(AT)) == 50
    del under_way[55]
    under_way[99] = Account(Host(), 99, "AC")
    assert numbers(sampler.take(AT)) == [51, 52, 53, 54, 56, 57, 58, 59, 60]
    assert 99 in numbers([*sampler.take(AT), *sampler.take(AT)])
    under_way.clear()
    assert [sampler.take(AT) for _ in range(3)] == [[], [], []]


def looks(of_s: float, began_s: float = 1_000.0) -> list[float]:
    """When a run of so many seconds is looked at."""
    sampler = Sampler({}, began_s)
    times = [began_s]
    while times[-1] - began_s < of_s:
        times.append(times[-1] + sampler.next_in_s(times[-1]))
    return times


def test_the_interval_grows() -> None:
    """Every second for ten minutes, and then ever less often."""
    times = looks(4 * 3_600.0)
    steps = [after - before for before, after in pairwise(times)]
    assert steps[:600] == pytest.approx([SAMPLE_EVERY_S] * 600)
    assert steps == sorted(steps)
    assert steps[-1] == pytest.approx(24.0, rel=0.02)


@pytest.mark.parametrize(("hours", "most"), [(1, 1_700), (24, 3_600), (24 * 30, 5_700)])
def test_a_run_of_any_length_keeps_few_moments(hours: int, most: int) -> None:
    """A month has not twice as many as a day."""
    assert most * 0.9 <= len(looks(hours * 3_600.0)) <= most
