"""A share of an account's limit is left to its other users, who are seen in the header alone."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from bulkipacl.engine.governor import Governor
from bulkipacl.engine.headroom import Headroom
from bulkipacl.engine.window import Window
from bulkipacl.model import Learnt

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))
scenarios: Any = import_module("limits_scenarios")
world: Any = import_module("limits_world")

A = replace(scenarios.A, seconds=20.0)
SHARE = 0.3
SEEDS = pytest.mark.parametrize("seed", [1, 2])


def in_flight(scenario: Any, seed: int, *stretches: tuple[float, float]) -> tuple[list[float], Any]:
    """The mean number of ours in flight in each stretch, and the outcome as a whole."""
    seen: list[tuple[float, int]] = []
    governor = Governor(cap=2_000, headroom=SHARE)

    def watch(now_s: float, far: Any) -> None:
        seen.append((now_s, far.in_flight))

    outcome = world.simulate(scenario, governor, seed, watch)
    means = [
        fmean(count for at_s, count in seen if from_s <= at_s < to_s) for from_s, to_s in stretches
    ]
    return means, outcome


@SEEDS
def test_a_share_is_left(seed: int) -> None:
    """Of 100 that the account allows 70 are used, and the throughput is 70 % of the whole."""
    (mean,), outcome = in_flight(A, seed, (5.0, 20.0))
    assert mean == pytest.approx(70, abs=3)
    assert outcome.share == pytest.approx(70, abs=3)
    assert outcome.per_1000 <= 10


def let_in(
    scenario: Any, seed: int, from_s: float, to_s: float, learnt: Learnt | None = None
) -> tuple[float, Governor]:
    """The share of the ideal in percent that is used between two times, and the governor."""
    governor = Governor(cap=2_000, headroom=SHARE, learnt=learnt)
    counts = [0, 0]

    def watch(now_s: float, far: Any) -> None:
        for place, at_s in enumerate((from_s, to_s)):
            if now_s <= at_s:
                counts[place] = far.let_in

    world.simulate(scenario, governor, seed, watch)
    return 100.0 * (counts[1] - counts[0]) / scenario.ideal_rows(from_s, to_s), governor


@SEEDS
@pytest.mark.parametrize("per_s", [pytest.param(2.0, id="2/s"), pytest.param(50.0, id="50/s")])
def test_a_share_of_a_rate_is_left(per_s: float, seed: int) -> None:
    """Where a rate is the limit 70 % of it are used, and the whole of it is what is learnt."""
    seconds = 15_000 / per_s  # Time enough for a look for a higher rate.
    scenario = replace(scenarios.D, rate_per_s=((0.0, per_s),), seconds=seconds)
    used, governor = let_in(scenario, seed, seconds / 5, seconds)
    assert used == pytest.approx(70, abs=3)
    learnt = governor.learnt()
    assert learnt is not None
    assert learnt.pace_per_s == pytest.approx(per_s, rel=0.05)


@SEEDS
def test_a_share_of_a_rate_that_was_learnt_is_left_from_the_start(seed: int) -> None:
    """A rate from an earlier run is not met at all to begin with."""
    learnt = Learnt(20.0, 50.0, 0.095)
    scenario = replace(scenarios.D, seconds=8.0)
    used, governor = let_in(scenario, seed, 0.0, 8.0, learnt)
    assert used == pytest.approx(70, abs=2)
    assert governor.throttled == 0


@SEEDS
@pytest.mark.parametrize("per_s", [pytest.param(25.0, id="half"), pytest.param(150.0, id="thrice")])
def test_a_rate_that_was_learnt_may_be_wrong(per_s: float, seed: int) -> None:
    """It is looked for soon: a share of what there is now is used a minute later."""
    used, governor = let_in(scenarios.D, seed, 40.0, 60.0, Learnt(20.0, per_s, 0.095))
    assert 60 <= used <= 90
    assert governor.throttled <= 0.01 * governor.sent


@SEEDS
def test_a_look_for_a_higher_limit_is_short(seed: int) -> None:
    """All that the account allows is used for a few round trips in some 5,000 answers."""
    full_s = before_s = 0.0

    def watch(now_s: float, far: Any) -> None:
        nonlocal full_s, before_s
        if now_s >= 5.0 and far.in_flight > 75:
            full_s += now_s - before_s
        before_s = now_s

    world.simulate(replace(A, seconds=35.0), Governor(cap=2_000, headroom=SHARE), seed, watch)
    assert 0 < full_s <= 0.04 * 30


@SEEDS
def test_it_gives_way_and_takes_back(seed: int) -> None:
    """Others rise from 0 to 30 and fall again: 70 in flight, then 40 within 2 s, then 70."""
    moving = replace(A, seconds=30.0, others=((0.0, 0.0), (10.0, 30.0), (20.0, 0.0)))
    stretches = (5.0, 10.0), (12.0, 20.0), (24.0, 30.0)
    (before, beside, after), outcome = in_flight(moving, seed, *stretches)
    assert before == pytest.approx(70, abs=3)
    assert beside == pytest.approx(40, abs=2)
    assert after == pytest.approx(70, abs=3)
    assert outcome.per_1000 <= 10


@SEEDS
def test_others_that_were_there_first(seed: int) -> None:
    """Others hold 30 from the start: the limit is known as 100 all the same, and 40 are ours."""
    (mean,), _ = in_flight(replace(A, others=((0.0, 30.0),)), seed, (5.0, 20.0))
    assert mean == pytest.approx(40, abs=2)


@SEEDS
def test_without_the_header_the_share_is_of_what_is_found(seed: int) -> None:
    """Nobody is seen then: a share of the room that others leave is left, 0.7 of 70 here."""
    unseen = replace(A, others=((0.0, 30.0),), has_header=False)
    (mean,), outcome = in_flight(unseen, seed, (5.0, 20.0))
    assert mean == pytest.approx(49, abs=2)
    assert outcome.share == pytest.approx(70, abs=3)


@SEEDS
def test_one_in_flight_is_used_in_spite_of_it(seed: int) -> None:
    """A share of one would be none: one request is always allowed."""
    _, outcome = in_flight(replace(A, concurrent=((0.0, 1.0),)), seed)
    assert outcome.share >= 90


@SEEDS
def test_a_limit_that_falls_is_followed(seed: int) -> None:
    """From 100 to 40 and back: 28 are used, and 70 again ten seconds after."""
    moving = replace(A, seconds=36.0, concurrent=((0.0, 100.0), (10.0, 40.0), (20.0, 100.0)))
    (low, high), outcome = in_flight(moving, seed, (13.0, 20.0), (30.0, 36.0))
    assert low == pytest.approx(28, abs=3)
    assert high == pytest.approx(70, abs=4)
    assert outcome.per_1000 <= 30


@pytest.mark.parametrize(
    ("others", "limit"),
    [
        pytest.param(0, 70, id="nobody"),
        pytest.param(30, 40, id="thirty"),
        pytest.param(70, 1, id="all that is left"),
        pytest.param(200, 1, id="more than there is"),
    ],
)
def test_what_remains(others: int, limit: int) -> None:
    """Of a hundred that were seen to be allowed: 70, less what the others hold, and never none."""
    window, headroom = Window(2_000, 100.0), Headroom(SHARE)
    headroom.answered(window, 100, 100, 100, settled=True)
    assert headroom.limit(window.limit) == 100, "a refusal may have been about a rate"
    window.look_now()
    window.answered(0.1, 100, 100, 100, 100)
    window.refused(0.2, 101, 100, 201, 0.1)
    assert window.answered(0.3, 202, 100, 100, 202)
    headroom.answered(window, 100, 100, 100, settled=True)
    for _ in range(100):
        headroom.answered(window, 10 + others, 10, 10, settled=False)
    assert headroom.limit(window.limit) == limit
    assert headroom.limit(5) == min(5, limit)
