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
    assert headroom.limit(window.limit) == 100
    headroom.answered(window, 100, 100, 100, settled=True)
    for _ in range(100):
        headroom.answered(window, 10 + others, 10, 10, settled=False)
    assert headroom.limit(window.limit) == limit
    assert headroom.limit(5) == min(5, limit)
