"""How many requests of an account may be sent per second: spacing, and a search. Pure.

    Spacing   the generic cell rate algorithm (ITU-T I.371): one timestamp, no timer, no refill
    Pace      the search for a hidden rate

A rate is measured, not guessed: at each of two refusals the far end's bucket was empty, so what
it let in between them, over the time between them, is its rate, with an error of less than
one request.
"""

from __future__ import annotations

import math

BURST_S = 0.02
"""What may go out at once, as seconds of the pace: timers are late by a millisecond or two."""

CREEP = 0.0001
"""Growth per answer below the known rate, as a share: with cuts of 3 %, one in 300 rows or
fewer is refused, however slow the rate is."""

CUT = 0.97
CUT_BLIND = 0.5
CUT_SOME = 0.85
"""What a refusal leaves of the pace: where the rate is measured, where not one was let in since
the last refusal, and where a few were."""

MEASURED = 8
"""Requests let in between two refusals that make their rate a measurement: within an eighth."""

FIRST_MILESTONE = 1.05
MILESTONE = 1.03
"""At this multiple of the pace without a refusal the creep doubles: the rate has gone up."""

FLOOR_PER_S = 0.1
"""The slowest pace: where nothing is let in, one request in ten seconds asks."""


class Spacing:
    """At most `per_s * w + burst` sends in any `w` seconds.

    Attributes:
        per_s: requests per second.
        ready_s: when the next one may be sent.
    """

    __slots__ = ("_burst", "_due_s", "per_s", "ready_s")

    def __init__(self, per_s: float, burst: float, now_s: float = -math.inf) -> None:
        self._due_s = now_s
        self.ready_s = now_s
        self.set(per_s, burst)

    def set(self, per_s: float, burst: float) -> None:
        """Go on at another pace."""
        self.per_s = per_s
        self._burst = burst
        self.ready_s = self._due_s - (burst - 1.0) / per_s

    def sent(self, now_s: float) -> None:
        """One was sent."""
        self._due_s = (self._due_s if self._due_s > now_s else now_s) + 1.0 / self.per_s
        self.ready_s = self._due_s - (self._burst - 1.0) / self.per_s

    def pause_until(self, at_s: float) -> None:
        """Send nothing before."""
        self._due_s = max(self._due_s, at_s + (self._burst - 1.0) / self.per_s)
        self.ready_s = max(self.ready_s, at_s)


class Pace:
    """The search for one rate.

    Attributes:
        spacing: enforces it.
        cuts: how often it was cut of late; each hundred answers take one off.
    """

    __slots__ = ("_creep", "_cut_at", "_is_blind", "_milestone", "_used_s", "cuts", "spacing")

    def __init__(self, now_s: float, per_s: float, sent: int, *, is_blind: bool) -> None:
        """Begin to pace.

        Args:
            sent: the number of the last request sent: older ones were not paced.
            is_blind: `per_s` is a guess, so look for the rate in leaps.
        """
        self.spacing = Spacing(max(per_s, FLOOR_PER_S), _burst(per_s), now_s + 1.0 / per_s)
        self.cuts = 0.0
        self._cut_at = sent
        self._is_blind = is_blind
        self._used_s = now_s
        self._creep = CREEP
        self._milestone = per_s * FIRST_MILESTONE

    @property
    def per_s(self) -> float:
        """Requests per second."""
        return self.spacing.per_s

    def held_back(self, now_s: float) -> None:
        """A request had to wait for the pace: it is in use."""
        self._used_s = now_s

    def answered(self, now_s: float, round_trip_s: float) -> None:
        """An answer that was not a refusal: grow, if the pace is in use."""
        self.cuts -= self.cuts and min(self.cuts, 0.01)
        per_s = self.spacing.per_s
        if now_s - self._used_s > round_trip_s + 2.0 / per_s:
            return
        if self._is_blind:
            self._set(2.0 * per_s)
            return
        per_s *= 1.0 + self._creep
        if per_s >= self._milestone:
            self._creep = min(2.0 * self._creep, 0.05)
            self._milestone = per_s * MILESTONE
        self._set(per_s)

    def refused(self, number: int, sent: int, let_in: int, over_s: float) -> bool:
        """A request was over the rate. Returns whether the pace was cut.

        Args:
            number: which request it was; what was sent before the last cut teaches nothing.
            let_in, over_s: requests let in since an earlier refusal, and how long ago that was.
        """
        if number <= self._cut_at:
            return False
        self._cut_at = sent
        self.cuts += 1.0
        per_s = self.spacing.per_s
        if let_in >= MEASURED and over_s > 0:
            per_s = min(per_s, let_in / over_s) * CUT
        elif let_in:
            per_s *= CUT_SOME
        else:
            per_s *= CUT_BLIND
        self._is_blind = self._is_blind and not let_in
        self._creep = CREEP
        self._milestone = per_s * FIRST_MILESTONE
        self._set(per_s)
        return True

    def _set(self, per_s: float) -> None:
        per_s = max(per_s, FLOOR_PER_S)
        self.spacing.set(per_s, _burst(per_s))


def _burst(per_s: float) -> float:
    return max(1.0, per_s * BURST_S)
