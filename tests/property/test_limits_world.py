"""The simulated API of the limit benchmark: who is let in, what is ideal, and that seeds decide."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkipacl.sandbox import LimitSteps
from bulkipacl.sandbox.limits import Limits

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
baselines: Any = import_module("limits_baselines")
engine: Any = import_module("limits_engine")
limits: Any = import_module("limits")
scenarios: Any = import_module("limits_scenarios")
world: Any = import_module("limits_world")

STEPS = st.lists(st.integers(4, 30), min_size=1, max_size=3).map(
    lambda values: tuple((float(2 * turn), float(value)) for turn, value in enumerate(values))
)
"""A limit that moves every two seconds."""
NONE = st.just(())
SCENARIOS = st.builds(
    lambda concurrent, rate, others, is_full: scenarios.Scenario(
        "drawn",
        seconds=4.0,
        concurrent=concurrent,
        rate_per_s=rate,
        others=((0.0, float(others)),),
        refused_take_room=is_full,
    ),
    concurrent=STEPS,
    rate=STEPS | NONE,
    others=st.integers(0, 3),
    is_full=st.booleans(),
)


def stretches(scenario: Any) -> list[tuple[float, float]]:
    """The stretches in which nothing moves."""
    times = [*scenario.turns(), scenario.seconds]
    return list(pairwise(times))


@given(
    scenario=SCENARIOS.map(lambda one: replace(one, refused_take_room=False)),
    events=st.lists(
        st.tuples(st.sampled_from([0.0, 0.0, 0.001, 0.02, 0.3]), st.integers(-5, 5)), max_size=80
    ),
)
def test_the_far_end_does_what_the_sandbox_does(scenario: Any, events: list[Any]) -> None:
    """The same arrivals are let in, and the header counts the same, as in the sandbox."""
    steps = [LimitSteps("concurrent", scenario.concurrent)]
    if scenario.rate_per_s:
        steps.append(LimitSteps("rate", scenario.rate_per_s))
    sandbox = Limits((), steps, int(scenario.others[0][1]))
    far = world.FarEnd(scenario, None)
    now_s = 0.0
    inside: list[bool] = []
    for gap_s, leaving in events:
        now_s += gap_s
        if leaving < 0 and inside:
            admitted = inside.pop(leaving % len(inside))
            assert far.leave(now_s, admitted=admitted) == sandbox.concurrent("A")
            sandbox.leave("A", admitted=admitted)
        else:
            admitted = far.enter(now_s)
            assert admitted == sandbox.enter("A", now_s)
            inside.append(admitted)


@settings(max_examples=6, deadline=None)
@given(scenario=SCENARIOS, seed=st.integers(0, 99))
def test_no_more_is_let_in_than_the_limits_say(scenario: Any, seed: int) -> None:
    """Whatever is sent: no room beyond the limit, and in any stretch no more than the rate."""
    let_in: list[float] = []

    def watch(now_s: float, far: Any) -> None:
        new = far.let_in - len(let_in)
        let_in.extend([now_s] * new)
        if new:
            assert far.admitted <= scenario.room_at(now_s)

    world.simulate(scenario, baselines.Fixed(40), seed, watch)
    assert let_in
    for start_s, end_s in stretches(scenario) if scenario.rate_per_s else ():
        rate = world.value_at(scenario.rate_per_s, start_s, 0.0)
        times = [at_s for at_s in let_in if start_s <= at_s < end_s]
        # From the n-th to the m-th: m - n + 1 <= rate * (t_m - t_n) + burst, for every pair.
        lead = [place - rate * at_s for place, at_s in enumerate(times)]
        lowest = list(accumulate(lead, min))
        most = scenario.burst_at(start_s) - 1 + 1e-6
        assert all(last - first <= most for last, first in zip(lead, lowest, strict=True))


@pytest.mark.parametrize(("is_full", "is_let_in"), [(False, True), (True, False)])
def test_a_refused_request_takes_room_where_it_is_said_to(is_full: bool, is_let_in: bool) -> None:
    """Of two places one is given back while a refused request is still unanswered."""
    scenario = replace(scenarios.A, concurrent=((0.0, 2.0),), refused_take_room=is_full)
    far = world.FarEnd(scenario, None)
    assert [far.enter(0.0) for _ in range(3)] == [True, True, False]
    assert far.leave(0.01, admitted=True) == 3
    assert far.enter(0.01) is is_let_in


KNOWN = (*scenarios.MAIN, *(one for one in scenarios.FURTHER if one.name.startswith("both")))


@pytest.mark.parametrize("scenario", KNOWN, ids=lambda one: one.name)
def test_who_knows_the_limits_reaches_the_ideal(scenario: Any) -> None:
    """The ideal is what a client that knows the limits does, and it is never refused."""
    scenario = replace(scenario, seconds=min(scenario.seconds, 12.0))
    outcome = world.simulate(scenario, world.Knowing(scenario), 1)
    assert outcome.refused == 0
    assert outcome.done == pytest.approx(scenario.ideal_rows(0.0, scenario.seconds), rel=0.015)
    # An ideal by the median instead of the mean, 6 % more, is outside.


def test_the_ideal_follows_what_moves() -> None:
    """Between two times: each stretch by its own limit, and the lower one of two holds."""
    scenario = scenarios.Scenario(
        "moving",
        concurrent=((0.0, 10.0), (5.0, 20.0)),
        rate_per_s=((0.0, 1000.0), (8.0, 30.0)),
        others=((0.0, 2.0),),
        median_s=0.1,
        sigma=0.0,
    )
    assert scenario.ideal_rows(0.0, 10.0) == pytest.approx(5 * 80 + 3 * 180 + 2 * 30)
    assert scenario.ideal_rows(4.0, 9.0) == pytest.approx(80 + 3 * 180 + 30)


@pytest.mark.parametrize("name", limits.CONTROLLERS)
def test_the_seed_decides(name: str) -> None:
    """Every controller: the same seed gives the same figures, another one others."""
    scenario = replace(scenarios.C, seconds=2.0, concurrent=((0.0, 60.0), (1.0, 20.0)), noise=3.0)

    def play(seed: int) -> Any:
        return world.simulate(scenario, limits.CONTROLLERS[name](scenario, seed), seed)

    assert play(1) == play(1)
    assert play(1) != play(2)
    assert play(1).done > 20


def test_ten_rows_are_measured_by_the_time_of_who_knows() -> None:
    """With few rows all are done, and the share is the best time over the time taken."""
    scenario = replace(scenarios.A, rows=10)
    best = world.simulate(scenario, world.Knowing(scenario), 3)
    assert (best.done, best.peak) == (10, 10)
    assert best.share == pytest.approx(100)
    slow = world.simulate(scenario, baselines.TcpAimd(), 3)
    assert slow.done == 10
    assert slow.share == pytest.approx(100 * best.ended_s / slow.ended_s)
    assert slow.share < 80


def test_a_refused_row_comes_back() -> None:
    """A row that was refused is sent again after its back-off, until it is let in."""
    scenario = replace(scenarios.A, rows=10, concurrent=((0.0, 1.0),))
    outcome = world.simulate(scenario, baselines.Fixed(200), 1)
    assert outcome.done == 10
    assert outcome.refused > 10


def test_a_controller_that_stops_is_found_out() -> None:
    """With rows left and nothing under way, the simulation says so instead of a figure."""
    scenario = replace(scenarios.A, rows=10)
    stuck = baselines.TcpAimd()
    stuck.on_answered = lambda *_: setattr(stuck, "_window", 0.0)
    with pytest.raises(RuntimeError, match="1 of 10 rows"):
        world.simulate(scenario, stuck, 1)


def test_the_engine_is_measured_by_what_the_sandbox_answered() -> None:
    """A run at 40 requests a second of the 50 allowed is measured as four fifths, without a 429."""
    outcome = engine.measure(replace(scenarios.D, seconds=3.0), 1, from_s=1.0, rate_per_s=40.0)
    assert outcome.share == pytest.approx(80, rel=0.05)
    assert outcome.refused == 0


@pytest.mark.parametrize(
    "scenario",
    [
        replace(scenarios.A, network_s=0.1),
        replace(scenarios.A, refused_s=0.5),
        replace(scenarios.A, noise=1.0),
        replace(scenarios.A, rows=3),
        replace(scenarios.A, chance=0.05),
        replace(scenarios.D, burst=1.0),
        scenarios.A_FULL,
    ],
)
def test_the_sandbox_is_not_taken_for_what_it_is_not(scenario: Any) -> None:
    """A scenario for which the sandbox has no switch is refused, not measured as another."""
    with pytest.raises(ValueError, match="cannot be like"):
        engine.switches_of(scenario, 1)
