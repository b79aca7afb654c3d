"""The governor in simulated accounts: it finds each limit, whatever it is, and stays under it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from bulkipacl.engine.governor import Governor, Ticket
from bulkipacl.model import Learnt

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))
scenarios: Any = import_module("limits_scenarios")
world: Any = import_module("limits_world")

A, B, C, D = scenarios.A, scenarios.B, scenarios.C, scenarios.D
SEEDS = pytest.mark.parametrize("seed", [1, 2])
CAP = 2_000
UPTIME_S = 2.0**20
"""Twelve days: the loop's clock does not begin with the run."""


@dataclass(slots=True)
class Part:
    """What came of a scenario from some second on.

    Attributes:
        share: of the ideal throughput, in percent.
        per_1000: refusals per thousand rows let in.
    """

    share: float
    per_1000: float


def play(scenario: Any, seed: int, governor: Governor | None = None, clock_s: float = 0.0) -> Any:
    """What comes of a scenario, by a clock that shows so much at its beginning."""
    return world.simulate(scenario, Clock(governor or Governor(cap=CAP), clock_s), seed)


def play_from(scenario: Any, seed: int, governor: Governor, from_s: float) -> Part:
    """The part of a scenario from this second on."""
    before: list[tuple[int, int]] = []
    last = (0, 0)

    def watch(now_s: float, far: Any) -> None:
        nonlocal last
        if now_s >= from_s and not before:
            before.append(last)
        last = (far.let_in, governor.throttled)

    world.simulate(scenario, governor, seed, watch)
    let_in, throttled = (now - then for now, then in zip(last, before[0], strict=True))
    ideal = scenario.ideal_rows(from_s, scenario.seconds)
    return Part(100.0 * let_in / ideal, 1000.0 * throttled / max(let_in, 1))


class Clock:
    """Shows the governor another time than the simulation's."""

    def __init__(self, governor: Governor, ahead_s: float) -> None:
        self._governor = governor
        self._ahead_s = ahead_s

    def may_send(self, now_s: float, in_flight: int) -> bool:
        """As the governor says."""
        return self._governor.may_send(now_s + self._ahead_s, in_flight)

    def wake_at_s(self, now_s: float) -> float | None:
        """As the governor says."""
        at_s = self._governor.wake_at_s(now_s + self._ahead_s)
        return None if at_s is None else at_s - self._ahead_s

    def on_send(self, now_s: float, in_flight: int) -> Ticket:
        """Told to the governor."""
        return self._governor.on_send(now_s + self._ahead_s, in_flight)

    def on_answered(
        self, now_s: float, ticket: Ticket, concurrent: int | None, duration_s: float
    ) -> None:
        """Told to the governor."""
        self._governor.on_answered(now_s + self._ahead_s, ticket, concurrent, duration_s)

    def on_throttled(
        self, now_s: float, ticket: Ticket, concurrent: int | None, retry_after_s: float | None
    ) -> None:
        """Told to the governor."""
        self._governor.on_throttled(now_s + self._ahead_s, ticket, concurrent, retry_after_s)


# --- the promise --------------------------------------------------------------------------


@SEEDS
@pytest.mark.parametrize(
    ("scenario", "most_per_1000"),
    [
        pytest.param(A, 10, id="A: 100 in flight"),
        pytest.param(B, 10, id="B: 100, of which others hold 30"),
        pytest.param(C, 30, id="C: 100, 40, 100"),
        pytest.param(D, 10, id="D: 50 a second"),
        pytest.param(replace(A, concurrent=((0.0, 5.0),)), 10, id="5 in flight"),
        pytest.param(
            replace(A, concurrent=((0.0, 1.0),), seconds=300.0), 10, id="one in flight, 300 s"
        ),
    ],
)
def test_the_limit_is_used_and_hardly_passed(scenario: Any, most_per_1000: int, seed: int) -> None:
    """The whole of each: 95 % of the ideal, ten refusals a thousand, 30 where the limit moves."""
    outcome = play(scenario, seed)
    assert outcome.share >= 95
    assert outcome.per_1000 <= most_per_1000


@SEEDS
def test_two_a_second(seed: int) -> None:
    """A rate is met a few times before it is known; then two or three rows in a thousand."""
    slow = scenarios.Scenario("2/s", rate_per_s=((0.0, 2.0),), seconds=1_200.0)
    whole = play(replace(slow, seconds=300.0), seed)
    assert whole.share >= 95
    assert whole.refused <= 9
    later = play_from(slow, seed, Governor(cap=CAP), 300.0)
    assert later.share >= 95
    assert later.per_1000 <= 10


@SEEDS
def test_a_rate_without_any_burst(seed: int) -> None:
    """Even gaps tell a rate from a small window, though it refuses whatever comes too soon."""
    outcome = play(replace(D, burst=1.0), seed)
    assert outcome.share >= 80
    assert outcome.per_1000 <= 10


@SEEDS
def test_refusals_by_chance(seed: int) -> None:
    """Where one request in 20 is refused whatever is done, the window stays open all the same."""
    scenario = replace(A, concurrent=((0.0, 30.0),), chance=0.05)
    part = play_from(scenario, seed, Governor(cap=CAP), 30.0)
    assert part.share >= 50
    assert part.per_1000 <= 120


@SEEDS
@pytest.mark.parametrize(
    ("limit", "most_refused"),
    [
        pytest.param(1, 1, id="one in flight"),
        pytest.param(5, 1, id="5 in flight"),
        pytest.param(100, 0, id="100 in flight"),
    ],
)
def test_ten_rows_overshoot_nothing(limit: int, most_refused: int, seed: int) -> None:
    """So few rows are over before a small account was pushed."""
    outcome = play(replace(A, rows=10, concurrent=((0.0, float(limit)),)), seed)
    assert outcome.done == 10
    assert outcome.refused <= most_refused


# --- what answers carry -------------------------------------------------------------------


@SEEDS
@pytest.mark.parametrize("scenario", [replace(A, seconds=5.0), D], ids=["A", "D"])
@pytest.mark.parametrize(
    "hint_s",
    [
        pytest.param(0.0, id="now"),
        pytest.param(1.0, id="a second"),
        pytest.param(86_400.0, id="a day"),
        pytest.param(float("inf"), id="for ever"),
        pytest.param(-5.0, id="in the past"),
    ],
)
def test_a_hint_decides_nothing_where_rows_are_let_in(
    scenario: Any, hint_s: float, seed: int
) -> None:
    """Whatever Retry-After says: a row that was given it waits for itself, the account does not."""
    outcome = play(replace(scenario, retry_after_s=hint_s), seed)
    plain = plainly(scenario, seed)
    assert outcome.done == pytest.approx(plain.done, rel=0.01)
    assert outcome.refused == pytest.approx(plain.refused, abs=3)


@lru_cache
def plainly(scenario: Any, seed: int) -> Any:
    """The same scenario as it is."""
    return play(scenario, seed)


@SEEDS
@pytest.mark.parametrize("scenario", [replace(A, seconds=5.0), D], ids=["A", "D"])
def test_no_header_is_needed(scenario: Any, seed: int) -> None:
    """Without headroom the header plays no part: with and without it, all is the same."""
    assert play(replace(scenario, has_header=False), seed) == plainly(scenario, seed)


# --- what an earlier run found out --------------------------------------------------------


@SEEDS
@pytest.mark.parametrize(
    ("scenario", "learnt"),
    [
        pytest.param(replace(A, seconds=15.0), Learnt(100.0, None, 0.095), id="100 in flight"),
        pytest.param(replace(D, seconds=30.0), Learnt(20.0, 50.0, 0.095), id="50 a second"),
    ],
)
def test_what_was_learnt_saves_refusals(scenario: Any, learnt: Learnt, seed: int) -> None:
    """A start from it is at the limit at once, with fewer refusals than the search from nothing."""
    cold = play(scenario, seed)
    warm = play(scenario, seed, Governor(cap=CAP, learnt=learnt))
    assert warm.refused < cold.refused
    assert warm.share >= max(95, cold.share - 1)


@SEEDS
def test_what_is_learnt_can_be_used(seed: int) -> None:
    """One run's `learnt()` is the next one's start; nothing is learnt where no limit was met."""
    first = Governor(cap=CAP)
    assert first.learnt() is None
    play(replace(A, rows=10), seed, first)
    assert first.learnt() is None
    play(replace(D, seconds=30.0), seed, first)
    learnt = first.learnt()
    assert learnt is not None
    assert learnt.pace_per_s is not None
    assert learnt.pace_per_s == pytest.approx(50, rel=0.1)
    assert learnt.round_trip_s == pytest.approx(0.096, rel=0.3)
    second = Governor(cap=CAP, learnt=learnt)
    # A quarter below it, for the limit may have fallen.
    assert second.pace_per_s == pytest.approx(0.75 * learnt.pace_per_s)
    assert play(replace(D, seconds=30.0), seed, second).per_1000 <= 10


@SEEDS
@pytest.mark.parametrize(
    ("scenario", "learnt"),
    [
        pytest.param(replace(A, seconds=20.0), Learnt(1_000.0, None, 0.095), id="window too wide"),
        pytest.param(replace(A, seconds=20.0), Learnt(10.0, None, 0.095), id="window too narrow"),
        pytest.param(D, Learnt(20.0, 500.0, 0.095), id="pace too high"),
        pytest.param(D, Learnt(20.0, 5.0, 0.095), id="pace too low"),
        pytest.param(D, Learnt(200.0, None, 0.1), id="a window where a rate is the limit"),
        pytest.param(replace(A, seconds=20.0), Learnt(100.0, None, 5.0), id="slower then"),
    ],
)
def test_what_was_learnt_may_be_wrong(scenario: Any, learnt: Learnt, seed: int) -> None:
    """Ten times too high or too low, or of the other kind: the limit is found all the same."""
    governor = Governor(cap=CAP, learnt=learnt)
    part = play_from(scenario, seed, governor, scenario.seconds / 2)
    assert part.share >= 95
    assert part.per_1000 <= 10


# --- after trouble ------------------------------------------------------------------------


def closed(scenario: Any, seconds: float) -> Any:
    """Nothing is let in from 20 s on, for so long; then all is as before for 40 s."""
    again_s = 20.0 + seconds
    what = "rate_per_s" if scenario.rate_per_s else "concurrent"
    (_, limit), none = getattr(scenario, what)[0], 1e-3 if scenario.rate_per_s else 0.0
    steps = ((0.0, limit), (20.0, none), (again_s, limit))
    return replace(scenario, **{what: steps, "seconds": again_s + 40.0})


@SEEDS
@pytest.mark.parametrize(
    ("scenario", "seconds"),
    [
        pytest.param(replace(A, concurrent=((0.0, 20.0),)), 2.0, id="20 in flight, 2 s"),
        pytest.param(replace(A, concurrent=((0.0, 20.0),)), 20.0, id="20 in flight, 20 s"),
        pytest.param(D, 5.0, id="50 a second, 5 s"),
        pytest.param(D, 20.0, id="50 a second, 20 s"),
    ],
)
def test_it_recovers_when_nothing_was_let_in(scenario: Any, seconds: float, seed: int) -> None:
    """After a time of nothing but refusals the limit is used again, 30 s after it came back.

    One request in ten seconds asks meanwhile, and two more are needed to be sure.
    """
    scenario = closed(scenario, seconds)
    part = play_from(scenario, seed, Governor(cap=CAP), scenario.seconds - 10.0)
    assert part.share >= 90


@pytest.mark.parametrize("clock_s", [0.0, UPTIME_S])
@pytest.mark.parametrize(
    ("scenario", "learnt"),
    [
        pytest.param(D, Learnt(200.0, None, 0.1), id="50 a second, a window learnt"),
        pytest.param(replace(D, concurrent=((0.0, 5.0),)), None, id="5 in flight and 50 a second"),
    ],
)
def test_the_clock_may_show_anything(scenario: Any, learnt: Learnt | None, clock_s: float) -> None:
    """Only differences of time count: the loop's clock is the time since the machine started."""
    outcome = play(scenario, 1, Governor(cap=CAP, learnt=learnt), clock_s)
    assert outcome.share >= 90
