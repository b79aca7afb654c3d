"""How long is waited before a send, and how much trouble an account may give."""

from __future__ import annotations

import pytest

from bulkipacl.engine.retry import RetryBudget, backoff_s
from bulkipacl.settings import (
    BACKOFF_BASE_S,
    BACKOFF_CAP_S,
    HINT_MAX_S,
    HINT_MIN_S,
    RETRY_BUDGET,
    RETRY_COST,
    RETRY_COST_SILENCE,
)


def lowest(low: float, high: float) -> float:
    """The luckiest draw."""
    assert low <= high
    return low


def highest(low: float, high: float) -> float:
    """The unluckiest draw."""
    assert low <= high
    return high


@pytest.mark.parametrize(
    ("failures", "most_s"),
    [
        pytest.param(0, BACKOFF_BASE_S, id="first"),
        pytest.param(1, 2 * BACKOFF_BASE_S, id="second"),
        pytest.param(3, 8 * BACKOFF_BASE_S, id="fourth"),
        pytest.param(6, BACKOFF_CAP_S, id="just over the cap"),
        pytest.param(100, BACKOFF_CAP_S, id="as often as can be asked for"),
        pytest.param(10**9, BACKOFF_CAP_S, id="for ever"),
    ],
)
def test_backoff_grows_to_its_cap(failures: int, most_s: float) -> None:
    """Without a hint the wait is anything from nothing to the doubled base, and no more."""
    assert backoff_s(failures, None, lowest) == 0.0
    assert backoff_s(failures, None, highest) == most_s


@pytest.mark.parametrize(
    ("hint_s", "least_s"),
    [
        pytest.param(0.0, HINT_MIN_S, id="at once"),
        pytest.param(-5.0, HINT_MIN_S, id="in the past"),
        pytest.param(0.2, 0.2, id="soon"),
        pytest.param(7.0, 7.0, id="later"),
        pytest.param(86_400.0, HINT_MAX_S, id="tomorrow"),
        pytest.param(float("inf"), HINT_MAX_S, id="never"),
    ],
)
def test_hints_are_clamped(hint_s: float, least_s: float) -> None:
    """A hint is a lower bound inside its limits, with at most a second of jitter on top."""
    assert backoff_s(0, hint_s, lowest) == least_s
    assert backoff_s(30, hint_s, lowest) == least_s
    assert backoff_s(0, hint_s, highest) == least_s + BACKOFF_BASE_S
    assert backoff_s(30, hint_s, highest) == least_s + 1.0


def test_budget_runs_out_and_comes_back() -> None:
    """Failures empty the budget, silence twice as fast; good answers fill it one by one."""
    budget = RetryBudget()
    for _ in range(int(RETRY_BUDGET / RETRY_COST)):
        assert not budget.is_empty
        budget.failed(is_silence=False)
    assert budget.is_empty
    budget.failed(is_silence=True)  # It does not go below nothing.
    for _ in range(int(RETRY_COST)):
        assert budget.is_empty
        budget.went_well()
    assert not budget.is_empty


def test_silence_costs_more() -> None:
    """No answer at all takes more from the budget than a bad one."""
    budget = RetryBudget()
    for _ in range(int(RETRY_BUDGET / RETRY_COST_SILENCE)):
        assert not budget.is_empty
        budget.failed(is_silence=True)
    assert budget.is_empty


def test_budget_does_not_pile_up() -> None:
    """A long time of good answers buys no more trouble than there was at the start."""
    budget = RetryBudget()
    for _ in range(10_000):
        budget.went_well()
    for _ in range(int(RETRY_BUDGET / RETRY_COST)):
        budget.failed(is_silence=False)
    assert budget.is_empty
