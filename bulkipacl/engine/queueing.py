"""Whether what is sent only waits in a queue: here, on the way, or at the API. Pure.

Queueing   compares a round trip with the shortest that there lately was
"""

from __future__ import annotations

import math

CROWDED = 2.0
CALM_S = 30.0
"""A window grows no further while a round trip takes so many times the shortest one (smoothed) of
this time, or of the same time before it: what is sent beyond that costs this process, or somebody's
server, without being answered any sooner."""


class Queueing:
    """The shortest round trips, in seconds."""

    __slots__ = ("_before_s", "_shortest_s", "_until_s")

    def __init__(self) -> None:
        self._shortest_s = self._before_s = math.inf
        self._until_s = 0.0

    def is_crowded(self, now_s: float, round_trip_s: float) -> bool:
        """Whether this (smoothed) round trip shows a queue."""
        if now_s >= self._until_s:
            self._before_s, self._shortest_s = self._shortest_s, round_trip_s
            self._until_s = now_s + CALM_S
        self._shortest_s = min(self._shortest_s, round_trip_s)
        return round_trip_s > CROWDED * min(self._shortest_s, self._before_s)
