"""A round trip that shows a queue, and what makes one that does not."""

from __future__ import annotations

import math

import pytest

from bulkipacl.engine.governor import Governor
from bulkipacl.engine.queueing import CALM_S, CROWDED, Queueing


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        ([(0.0, 0.1), (1.0, 0.1 * CROWDED)], False),
        ([(0.0, 0.1), (1.0, 0.1 * CROWDED + 0.001)], True),
        ([(0.0, 0.3), (1.0, 0.1), (2.0, 0.21)], True),
        ([(0.0, 0.1), (CALM_S, 0.3)], True),
        # What was short a long time ago measures nothing any more.
        ([(0.0, 0.1), (CALM_S, 0.3), (2 * CALM_S, 0.3)], False),
    ],
)
def test_a_queue(moments: list[tuple[float, float]], expected: bool) -> None:
    """It is one where the round trip is twice the shortest of this time and the one before."""
    queueing = Queueing()
    said = [queueing.is_crowded(*moment) for moment in moments]
    assert said[-1] is expected


def test_a_window_does_not_grow_into_a_queue() -> None:
    """A server that takes one request at a time gets a few at once, and not thousands."""
    governor = Governor(cap=2_000)
    service_s, base_s, free_at_s = 0.001, 0.02, 0.0
    under_way: list[tuple[float, float, tuple[int, int, float]]] = []
    now_s = 0.0
    for _ in range(20_000):
        while governor.may_send(now_s, len(under_way)):
            free_at_s = max(free_at_s, now_s) + service_s
            ticket = governor.on_send(now_s, len(under_way) + 1)
            under_way.append((free_at_s + base_s, now_s, ticket))
        wake_s = governor.wake_at_s(now_s)
        done_at_s, sent_at_s, ticket = under_way[0] if under_way else (math.inf, 0.0, (0, 0, 0.0))
        if wake_s is not None and wake_s < done_at_s:
            now_s = wake_s
            continue
        now_s = done_at_s
        del under_way[0]
        governor.on_answered(now_s, ticket, None, done_at_s - sent_at_s)
    assert 20 <= governor.window <= 100
