"""How many requests of an account may be sent per second: spacing, and a search. Pure.

    Spacing    the generic cell rate algorithm (ITU-T I.371): one timestamp, no timer, no refill
    Refusals   what was let in between refusals: whether a rate is likely, and how high it is
    Pace       the search for a hidden rate

A rate is measured, not guessed: at a refusal the far end's bucket is empty, so what it let in from
one refusal to another, over the time between them, is its rate, or less where there was a pause.
"""

from __future__ import annotations

import math

from bulkipacl.engine.headroom import IS_FALL, LOOK_AGAIN, LOOK_SOON

BURST_S = 0.02
"""What may go out at once, as seconds of the pace: timers are late by a millisecond or two."""

FORGET = 0.01
FORGET_SMALL = 0.0006
"""An answer takes so much off the suspicions, so that chance meetings do not add up: the second for
each place of the window, since a small one blurs less and meets its limit more seldom."""

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

LEAP_GAPS = 3.0
"""A leap counts as tried when a request that was sent at its pace may have been answered: the one
after a leap still waits as long as before it, two gaps of the new pace."""

LOOK, CREPT = 1.05, 1.02
LOOK_AGAIN_S = 60.0
"""Where a share is left to others, a look for a higher rate begins so far above the one that is
known, else a bucket hides it for long; a refusal up to a little above that shows nothing new. The
next look comes after a minute at the earliest, because one takes a second or two."""

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


class Refusals:
    """The refusals in the order of sending, and what was let in between them.

    Attributes:
        score: turns of refused and let in at one height, less what was forgotten.
        let_in_between: requests let in between the last two refusals.
    """

    __slots__ = ("_height", "_number", "_others", "_since", "_since_s", "let_in_between", "score")

    def __init__(self) -> None:
        self.score = 0.0
        self.let_in_between = 0
        self._number = 0
        self._height = 0
        self._since = 0
        self._since_s = 0.0
        self._others = 0

    def add(self, ticket: tuple[int, int, float], top: int, raised_at: int) -> None:
        """One more refusal, by a window that was last raised at the request of that number."""
        number, height, sent_s = ticket
        if number < self._number:  # Overtaken under way.
            self._others += 1
            return
        # What was sent between two refusals and is not refused so far counts as let in, because
        # a refusal is there sooner than any other answer.
        self.let_in_between = number - self._number - 1
        if height <= top or (height <= self._height and raised_at < self._number):
            self.score += self.let_in_between > 0
        if raised_at <= self._since:
            self._others += 1
        else:
            self.anchor(number, sent_s)
        self._number = number
        self._height = height

    def anchor(self, number: int, sent_s: float) -> None:
        """Measure from this refusal on."""
        self._since, self._since_s, self._others = number, sent_s, 0

    def forget(self, window: int) -> None:
        """An answer that was not a refusal, in a window of this width."""
        self.score = max(0.0, self.score - min(FORGET, FORGET_SMALL * window))

    def measured(self, number: int, sent_s: float) -> tuple[int, float]:
        """Requests let in since the anchor up to a refusal, and over how many seconds."""
        return max(0, number - self._since - self._others), sent_s - self._since_s


class Pace:
    """The search for one rate.

    Attributes:
        spacing: enforces it.
        found_per_s: the rate as far as it is known; what is used of it may be less.
        sank_from_per_s: the pace before it was met lower each time.
    """

    __slots__ = (
        "_creep",
        "_cut_at",
        "_futile_per_s",
        "_is_blind",
        "_level_per_s",
        "_looks_from_per_s",
        "_milestone",
        "_rest",
        "_share",
        "_sunk",
        "_trial",
        "_tried_at_s",
        "_used_s",
        "found_per_s",
        "sank_from_per_s",
        "spacing",
    )

    def __init__(
        self, now_s: float, per_s: float, sent: int, let_in: int, share: float = 1.0
    ) -> None:
        """Begin to pace.

        Args:
            share: what is used of a rate that is known, the rest being left to others; from time
                to time all of it, to see whether it has risen.
            sent: the number of the last request sent: older ones were not paced.
            let_in: requests that `per_s` was measured by; with 0 it is a guess, and the rate is
                looked for in leaps.
        """
        self.found_per_s = per_s = max(per_s, FLOOR_PER_S)
        self._share = share
        self._rest = 0
        self._looks_from_per_s = 0.0
        self.spacing = Spacing(per_s, _burst(per_s), now_s + 1.0 / per_s)
        self._cut_at = sent
        self._is_blind = not let_in
        self._futile_per_s = per_s * (FUTILE - 2.0 / let_in) if let_in else 0.0
        self._trial = TRIAL
        self._tried_at_s = -math.inf
        self._used_s = now_s
        self._creep = CREEP_FIRST
        self._milestone = math.inf
        self._level_per_s = self.sank_from_per_s = per_s
        self._sunk = 0.0

    @property
    def is_futile(self) -> bool:
        """Pacing did not end the refusals."""
        return self._trial > 0 and self.found_per_s < self._futile_per_s

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

    def begin_known(self, per_s: float) -> None:
        """An earlier run knew this rate: use the share of it at once, and look soon."""
        self.found_per_s, self._rest, self._futile_per_s = per_s, LOOK_SOON, 0.0
        allowed = max(FLOOR_PER_S, min(self._share * per_s, self.spacing.per_s))
        self.spacing.set(allowed, _burst(allowed))

    def held_back(self, now_s: float) -> None:
        """A request had to wait for the pace: it is in use."""
        self._used_s = now_s

    def answered(self, now_s: float, round_trip_s: float) -> None:
        """An answer that was not a refusal: grow, if the pace is in use."""
        self._trial -= 1
        per_s = self.spacing.per_s
        if now_s - self._used_s > round_trip_s + 2.0 / per_s:
            return
        if self._rest:
            self._rest -= 1
            if not self._rest:
                self._looks_from_per_s = self.found_per_s
                self._set(LOOK * self.found_per_s)
                self._creep, self._milestone = CREEP, MILESTONE * self.found_per_s
            return
        if self._is_blind:
            if now_s >= self._tried_at_s:
                self._set(2.0 * per_s)
                self._tried_at_s = now_s + round_trip_s + LEAP_GAPS / self.spacing.per_s
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
        if self._share < 1.0 and self.is_known:
            per_s = self._left_at(per_s)
        else:
            self._rest = 0
        self._set(per_s)
        return True

    def _left_at(self, cut_per_s: float) -> float:
        """Leave others their share from now on; returns the rate that this is a share of."""
        before_per_s, used_per_s = self.found_per_s, self.spacing.per_s
        per_s = cut_per_s
        if not self._rest:  # It was met here, so it is hardly less.
            per_s = used_per_s * CUT
            if used_per_s < LOOK * CREPT * self._looks_from_per_s:
                per_s = before_per_s = self._looks_from_per_s
        is_fall = per_s < IS_FALL * before_per_s
        self._rest = LOOK_SOON if is_fall else max(LOOK_AGAIN, int(LOOK_AGAIN_S * per_s))
        self._looks_from_per_s = 0.0
        return per_s

    def _set(self, per_s: float) -> None:
        self.found_per_s = per_s = max(per_s, FLOOR_PER_S)
        if self._rest:
            per_s = max(self._share * per_s, FLOOR_PER_S)
        self.spacing.set(per_s, _burst(per_s))


def _burst(per_s: float) -> float:
    return max(1.0, per_s * BURST_S)
