"""How many requests of an account may be sent per second: spacing, and a search. Pure.

    Spacing   the generic cell rate algorithm (ITU-T I.371): one timestamp, no timer, no refill
    Pace      the search for a hidden rate

A rate is measured, not guessed: at a refusal the far end's bucket is empty, so what it let in from
one refusal to another, over the time between them, is its rate, or less where there was a pause.
"""

from __future__ import annotations

import math

BURST_S = 0.02
"""What may go out at once, as seconds of the pace: timers are late by a millisecond or two."""

CREEP = 0.0001
"""Growth per answer near the known rate, as a share: with cuts of 2 %, one row in 300 or fewer is
refused, however slow the rate is."""

CREEP_FIRST = 0.02
CREEP_LESS = 0.25
CREEP_IN_FLIGHT = 3.0
"""While the rate is only roughly known the creep is quick, and every refusal that measures the
rate slows it: the faster it is passed, the more a bucket hides by how much. In a round trip it
adds up to the creep of so many answers at most."""

CUT = 0.98
CUT_LEAST, CUT_SOME, CUT_LEAST_KNOWN = 0.5, 0.8, 0.9
"""What a refusal leaves of the pace: at most, and at least; the latter also where the refusals
are too close to measure by, and where the rate is known."""

KNOWN = 0.001
"""The creep from which on downwards the rate counts as known."""

MEASURED = 8
"""Requests let in between two refusals that make their rate a measurement: within an eighth."""

FIRST_MILESTONE = 1.05
MILESTONE = 1.03
"""At this multiple of the pace without a refusal the creep doubles: the rate has gone up."""

FUTILE = 0.93
TRIAL = 300
"""A rate that was measured holds. If within so many answers the refusals go on until the pace is
below this share of it (less for a rough measurement), they are not about the rate."""

SINKING = 5.0
SINKING_ROUGH = 0.4
SUNK = 0.88
LOWER = 0.995
"""A rate is met at about the same pace each time. So many refusals in a row, each at a lower pace
than the one before and the last at less than this share of the first, are not about the rate, but
come whatever we do: other clients, or chance. One counts less where the rate is not known yet, or
few were let in before it: so it looks when the rate has fallen, too."""

FLOOR_PER_S = 0.5
"""The slowest pace: where nothing is let in, one request in two seconds asks. Doubled with each
answer, it is back at any rate in a few seconds."""


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
        sank_from_per_s: the pace before it was met lower each time.
    """

    __slots__ = (
        "_creep",
        "_cut_at",
        "_futile_per_s",
        "_is_blind",
        "_level_per_s",
        "_milestone",
        "_sunk",
        "_trial",
        "_used_s",
        "sank_from_per_s",
        "spacing",
    )

    def __init__(self, now_s: float, per_s: float, sent: int, let_in: int) -> None:
        """Begin to pace.

        Args:
            sent: the number of the last request sent: older ones were not paced.
            let_in: requests that `per_s` was measured by; with 0 it is a guess, and the rate is
                looked for in leaps.
        """
        per_s = max(per_s, FLOOR_PER_S)
        self.spacing = Spacing(per_s, _burst(per_s), now_s + 1.0 / per_s)
        self._cut_at = sent
        self._is_blind = not let_in
        self._futile_per_s = per_s * (FUTILE - 2.0 / let_in) if let_in else 0.0
        self._trial = TRIAL
        self._used_s = now_s
        self._creep = CREEP_FIRST
        self._milestone = math.inf
        self._level_per_s = self.sank_from_per_s = per_s
        self._sunk = 0.0

    @property
    def is_futile(self) -> bool:
        """Pacing did not end the refusals."""
        return self._trial > 0 and self.spacing.per_s < self._futile_per_s

    @property
    def is_known(self) -> bool:
        """The rate was met, and measured."""
        return self._creep <= KNOWN and not self._is_blind

    @property
    def is_sinking(self) -> bool:
        """The refusals come at whatever pace."""
        return self._sunk >= SINKING and self._level_per_s < SUNK * self.sank_from_per_s

    @property
    def per_s(self) -> float:
        """Requests per second."""
        return self.spacing.per_s

    def held_back(self, now_s: float) -> None:
        """A request had to wait for the pace: it is in use."""
        self._used_s = now_s

    def answered(self, now_s: float, round_trip_s: float) -> None:
        """An answer that was not a refusal: grow, if the pace is in use."""
        self._trial -= 1
        per_s = self.spacing.per_s
        if now_s - self._used_s > round_trip_s + 2.0 / per_s:
            return
        if self._is_blind:
            self._set(2.0 * per_s)
            return
        # Answers that are already under way say nothing of a rate that has just grown.
        under_way = per_s * round_trip_s
        per_s *= 1.0 + self._creep * min(1.0, CREEP_IN_FLIGHT / under_way)
        if per_s >= self._milestone:
            self._creep = min(2.0 * self._creep, CREEP_FIRST)
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
        per_s = self.spacing.per_s
        if per_s < LOWER * self._level_per_s:
            is_sure = self._creep <= KNOWN and let_in >= MEASURED
            self._sunk += 1.0 if is_sure else SINKING_ROUGH
        else:
            self._sunk, self.sank_from_per_s = 0.0, per_s
        self._level_per_s = per_s
        # At the earlier refusal the bucket was empty, so the rate is no less than this.
        proven_per_s = let_in / over_s if over_s > 0 else 0.0
        is_known = self._creep <= KNOWN and let_in >= MEASURED
        if is_known:
            least = CUT_LEAST_KNOWN
        else:
            least = CUT_LEAST if self._is_blind or let_in >= MEASURED else CUT_SOME
        proven_per_s = min(per_s, proven_per_s)
        if not is_known and let_in >= MEASURED:
            # It grew all the while, so the mean over that time is below the rate.
            proven_per_s = (proven_per_s + per_s) / 2
        per_s = max(per_s * least, proven_per_s * CUT)
        self._is_blind = self._is_blind and not let_in
        if let_in >= MEASURED:
            self._creep = max(CREEP, self._creep * CREEP_LESS)
        self._milestone = per_s * FIRST_MILESTONE if self._creep == CREEP else math.inf
        self._set(per_s)
        return True

    def _set(self, per_s: float) -> None:
        per_s = max(per_s, FLOOR_PER_S)
        self.spacing.set(per_s, _burst(per_s))


def _burst(per_s: float) -> float:
    return max(1.0, per_s * BURST_S)
