"""The search for a hidden rate, refusal by refusal."""

from __future__ import annotations

import pytest

from bulkipacl.engine.pace import CREEP, CREEP_FIRST, FLOOR_PER_S, MEASURED, TRIAL, Pace, Spacing

ROUND_TRIP_S = 0.1


def used(pace: Pace, now_s: float, answers: int) -> None:
    """So many answers at one moment, with a request that waits for the pace."""
    pace.held_back(now_s)
    for _ in range(answers):
        pace.answered(now_s, ROUND_TRIP_S)


def test_a_guess_is_doubled_until_it_is_refused() -> None:
    """A rate that was never measured is looked for in leaps, each of which is tried."""
    pace = Pace(0.0, 1.0, 10, 0)
    used(pace, 1.0, 3)
    assert pace.per_s == 2.0  # Answers that come together were not sent at two a second.
    used(pace, 3.0, 3)
    used(pace, 4.0, 3)
    assert pace.per_s == 8.0
    assert pace.refused(11, 11, 3, 1.0)
    assert pace.per_s == 4.0  # Half at most is taken, though three a second were let in.
    used(pace, 2.0, 1)
    assert 4.0 < pace.per_s < 4.1


def test_a_pace_that_is_not_in_use_does_not_grow() -> None:
    """Where nothing had to wait for it, an answer says nothing about the rate."""
    pace = Pace(0.0, 10.0, 10, MEASURED)
    used(pace, 1.0, 1)
    grown = pace.per_s
    assert grown > 10.0
    for _ in range(100):
        pace.answered(1.0 + ROUND_TRIP_S + 1.0, ROUND_TRIP_S)
    assert pace.per_s == grown


def test_what_was_sent_before_a_cut_does_not_cut_again() -> None:
    """Many refusals of one overshoot are one lesson."""
    pace = Pace(0.0, 50.0, 10, MEASURED)
    assert not pace.refused(10, 20, 10, 0.3)
    assert pace.per_s == 50.0
    assert pace.refused(11, 20, 10, 0.3)
    after = pace.per_s
    assert not pace.refused(20, 25, 10, 0.3)
    assert pace.per_s == after
    assert pace.refused(21, 25, 10, 0.3)


def known(per_s: float) -> Pace:
    """One whose rate has been measured often."""
    pace = Pace(0.0, per_s, 0, MEASURED)
    for number in range(1, 9):
        pace.refused(number, number, 100, 100 / per_s)
    return pace


def test_a_known_rate_is_left_by_little() -> None:
    """2 % below what was measured, then a creep of a hundredth of a percent per answer."""
    pace = known(20.0)
    before = pace.per_s
    pace.refused(10, 10, 100, 100 / before)
    assert pace.per_s == pytest.approx(0.98 * before)
    used(pace, 1.0, 10)
    assert pace.per_s == pytest.approx(0.98 * before * (1 + CREEP) ** 10, rel=1e-4)


def test_answers_under_way_count_less() -> None:
    """A round trip of a thousand a second has a hundred answers, and grows as by a few of them."""
    pace = Pace(0.0, 1_000.0, 10, MEASURED)
    used(pace, 1.0, 100)
    assert 1_000 * (1 + CREEP_FIRST) < pace.per_s < 1_000 * (1 + CREEP_FIRST) ** 4


def test_a_rate_that_went_up_is_followed_faster_and_faster() -> None:
    """Past each milestone without a refusal the creep doubles: twice the rate in 1,500 answers."""
    pace = known(20.0)
    before = pace.per_s
    answers = 0
    while pace.per_s < 2 * before:
        used(pace, 1.0, 1)
        answers += 1
    assert 488 < answers < 1_500  # At the creep of a known rate it would be 6,932.


@pytest.mark.parametrize(
    ("refused_in_trial", "is_futile"),
    [
        pytest.param(True, True, id="the refusals go on at once"),
        pytest.param(False, False, id="they come back much later"),
    ],
)
def test_pacing_that_does_not_help_is_given_up(refused_in_trial: bool, is_futile: bool) -> None:
    """A measured rate holds: refusals that go on below it are about something else."""
    pace = Pace(0.0, 50.0, 0, 100)
    if not refused_in_trial:
        for _ in range(TRIAL):
            pace.answered(1e6, ROUND_TRIP_S)  # Not in use, so it does not grow.
    for number in range(1, 4):
        pace.refused(number, number, 0, 1.0)
    assert pace.is_futile is is_futile


def test_the_slowest_pace() -> None:
    """However often it is refused, one request in ten seconds asks."""
    pace = known(50.0)
    for number in range(10, 200):
        pace.refused(number, number, 0, 1.0)
    assert pace.per_s == FLOOR_PER_S


def test_a_pause_is_kept_and_then_over() -> None:
    """Nothing before the end of it, and then the burst is not what was saved up meanwhile."""
    spacing = Spacing(10.0, 3.0, 0.0)
    spacing.pause_until(5.0)
    assert spacing.ready_s == 5.0
    spacing.set(2.0, 1.0)
    assert spacing.ready_s <= 5.2
    spacing.sent(6.0)
    assert spacing.ready_s == 6.5
    spacing.pause_until(1.0)
    assert spacing.ready_s == 6.5
