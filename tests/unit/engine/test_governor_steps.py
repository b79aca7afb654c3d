"""The governor step by step: hints, its smallest failures, what it shows."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bulkipacl.engine.governor import HINT_MAX_S, Governor, Ticket
from bulkipacl.engine.pace import FLOOR_PER_S
from bulkipacl.model import Learnt

CAP = 2_000


def refuse_alone(governor: Governor, times: int, retry_after_s: float | None) -> float:
    """Each request is refused, with nothing else in flight; how long the next one has to wait."""
    now_s = 0.0
    for _ in range(times):
        now_s = governor.wake_at_s(now_s) or now_s
        assert governor.may_send(now_s, 0)
        ticket = governor.on_send(now_s, 1)
        now_s += 0.02
        governor.on_throttled(now_s, ticket, 1, retry_after_s)
    return (governor.wake_at_s(now_s) or now_s) - now_s


@pytest.mark.parametrize(
    ("hint_s", "least_s", "most_s"),
    [
        pytest.param(None, 0.0, 10.0, id="none"),
        pytest.param(0.0, 0.0, 10.0, id="now"),
        pytest.param(8.0, 8.0, 10.0, id="eight seconds"),
        pytest.param(86_400.0, HINT_MAX_S, HINT_MAX_S, id="a day"),
        pytest.param(float("inf"), HINT_MAX_S, HINT_MAX_S, id="for ever"),
        pytest.param(float("nan"), 0.0, 10.0, id="not a number"),
        pytest.param(-5.0, 0.0, 10.0, id="in the past"),
    ],
)
def test_a_hint_stops_an_account_that_lets_nothing_in(
    hint_s: float | None, least_s: float, most_s: float
) -> None:
    """Where request after request is refused on its own, the hint is heard, up to ten seconds."""
    waits_s = refuse_alone(Governor(cap=CAP), 3, hint_s)
    assert least_s - 1e-6 <= waits_s <= most_s + 1e-6


# --- the smallest examples ----------------------------------------------------------------


def test_a_learnt_pace_that_is_given_up_at_a_hint() -> None:
    """Two refusals with a Retry-After, each alone, after a learnt pace: it waits, and goes on."""
    governor = Governor(cap=CAP, learnt=Learnt(1.0, 1.0, 1.0))
    assert refuse_alone(governor, 2, 1.0) <= HINT_MAX_S


def test_a_slow_first_answer_does_not_set_the_slowest_pace() -> None:
    """An answer after a minute, then a refusal: the next one asks after ten seconds, not 120."""
    governor = Governor(cap=CAP)
    ticket = governor.on_send(0.0, 1)
    governor.on_answered(60.0, ticket, None, 60.0)
    now_s = governor.wake_at_s(60.0) or 60.0
    governor.on_throttled(now_s, governor.on_send(now_s, 1), None, None)
    assert governor.pace_per_s == FLOOR_PER_S
    at_s = governor.wake_at_s(now_s)
    assert at_s is None or at_s - now_s <= 1 / FLOOR_PER_S + 1e-6


def test_answers_that_take_no_time() -> None:
    """Where no time passes no rate can be measured, and nothing breaks."""
    governor = Governor(cap=CAP, learnt=Learnt(10.0, None, 1e-4))
    tickets = [governor.on_send(0.0, count) for count in (1, 2, 3)]
    for ticket in tickets:
        governor.on_answered(0.0, ticket, None, 0.0)
    governor.on_throttled(0.0, governor.on_send(0.0, 1), None, None)
    assert (governor.wake_at_s(0.0) or 0.0) <= 1 / FLOOR_PER_S


# --- what is shown ------------------------------------------------------------------------


def fill(governor: Governor, now_s: float = 0.0) -> tuple[list[Ticket], float]:
    """As many as may be in flight, and when the last one could be sent."""
    tickets: list[Ticket] = []
    while len(tickets) < governor.window:
        now_s = governor.wake_at_s(now_s) or now_s
        assert governor.may_send(now_s, len(tickets))
        tickets.append(governor.on_send(now_s, len(tickets) + 1))
    assert not governor.may_send(now_s, len(tickets))
    return tickets, now_s


@pytest.mark.parametrize(
    ("cap", "binding"),
    [pytest.param(1, "cap", id="the user's own"), pytest.param(10, "window", id="the window")],
)
def test_what_binds(cap: int, binding: str) -> None:
    """What held the last request back; nothing does before one was, or when there is room again."""
    governor = Governor(cap=cap)
    assert governor.binding == "demand"
    tickets, now_s = fill(governor)
    assert governor.binding == binding
    for ticket in tickets:
        governor.on_no_lesson(now_s + 1.0, ticket)
    assert governor.may_send(now_s + 1.0, 0)
    assert governor.binding == "demand"


def test_a_pace_binds() -> None:
    """With room in the window and no time for the next one, it is the pace."""
    governor = Governor(cap=10, learnt=Learnt(9.0, 2.0, 0.1))
    governor.on_send(10.0, 1)
    assert not governor.may_send(10.0, 1)
    assert governor.binding == "pace"
    assert governor.pace_per_s == 1.5


def test_three_endings_are_told_apart() -> None:
    """An answer widens the window, a refusal narrows it and is counted, no lesson does neither."""

    def after(end: Callable[[Governor, float, Ticket], None]) -> tuple[float, int]:
        governor = Governor(cap=CAP)
        tickets, now_s = fill(governor)
        end(governor, now_s + 0.1, tickets[-1])
        return governor.window, governor.throttled

    assert after(lambda governor, at_s, one: governor.on_answered(at_s, one, 2, 0.1)) == (3.0, 0)
    assert after(lambda governor, at_s, one: governor.on_no_lesson(at_s, one)) == (2.0, 0)
    assert after(lambda governor, at_s, one: governor.on_throttled(at_s, one, 2, None)) == (1.0, 1)
