"""How many requests of an account may be in flight: a search for a hidden ceiling. Pure.

It starts at two and adds one per answer (TCP's slow start, RFC 5681) until the first refusal.
From then on it rests, looks one higher after a while, and goes on in doubled steps where that is
accepted: CUBIC's shape (RFC 9438), a plateau at the last ceiling and haste beyond it.

It does not ask *why* a request was refused; `governor` does, and tells it of the refusals that
are about requests in flight.

    Window    the search
    Heights   how high requests were let in: what a refusal is held against
"""

from __future__ import annotations

START = 2
"""Of ten rows on an account that allows one in flight, only one is refused."""

REST = 200
REST_FIRST = 64
REST_AFTER_FALL = 16
REST_LONGER = 1.5
"""Answers at a full window between two looks higher. One look that fails costs one refusal, so
200 keeps the refusals near 5 per 1,000 rows however small the ceiling is, and wherever it blurs:
+1 per 200 answers and -1 per refusal balance where one request in 200 is refused. After a deep
fall the old ceiling is likely to come back soon; each look in vain makes the next rest longer."""

REST_BESET = 32
"""The same where refusals come by chance: one request in so many may be refused, and the window
holds."""

FALL = 0.75
"""A cut below this share of the window is a deep one."""

CUT = 0.5
"""What a round trip may leave of the window at least."""

HASTE = 0.25
"""The largest step upwards, as a share of the window: a small one is not overshot by as much as
it is wide."""


SMALL = 16
"""Heights that are remembered one by one: in a window that small the limit does not blur."""

CONTRADICTIONS = 12
CONTRADICTED = 3
"""Requests let in at the height of a refusal, and refusals there, that show in a small window that
it is not about the height."""

TOP_EVERY = 512
"""Answers after which an accepted height is forgotten, at the latest twice as many."""


class Window:
    """The search for one ceiling.

    Attributes:
        value: the window, as far as refused requests have not taken from it.
        limit: requests that may be in flight just now, from 1 on.
        is_starting: no refusal has been met so far.
        is_beset: refusals come that are not about our requests in flight; so they are not waited
            for to end before looking higher.
        is_crowded: what is sent waits in a queue, so that there is no use in being wider.
        raised_at: the number of the last request sent before the window was last raised.
    """

    __slots__ = (
        "_before",
        "_cap",
        "_full",
        "_held",
        "_is_look",
        "_recovers_from",
        "_recovers_until_s",
        "_rest",
        "_step",
        "is_beset",
        "is_crowded",
        "is_starting",
        "limit",
        "raised_at",
        "value",
    )

    def __init__(self, cap: int | None, start: float | None = None) -> None:
        self._cap = float(cap) if cap is not None else float("inf")
        self.value = min(max(float(START), start or 0.0), self._cap)
        self.is_starting = start is None
        self.is_beset = self.is_crowded = False
        self.raised_at = 0
        self._rest = REST_FIRST if start is None else REST_AFTER_FALL
        self._step = 0
        self._full = 0
        self._held = 0
        self._is_look = False
        self._before = self.value
        self._recovers_from: int | None = None
        self._recovers_until_s = 0.0
        self.limit = int(self.value)

    @property
    def is_recovering(self) -> bool:
        """A refusal was met less than a round trip ago."""
        return self._recovers_from is not None

    @property
    def is_looking(self) -> bool:
        """It is wider than it was ever found to be right."""
        return self._step > 0

    @property
    def is_sure(self) -> bool:
        """The last ceiling was met by a look just above it."""
        return self._is_look

    def answered(self, now_s: float, number: int, height: int, in_flight: int, sent: int) -> bool:
        """An answer that was not a refusal.

        Args:
            number: which request it was, counted from 1.
            height: requests that were in flight when it was sent, itself included.
            in_flight: how many are now, itself included.
            sent: the number of the last request sent.

        Returns:
            Whether it ended a recovery: `value` is what a ceiling was found to allow.
        """
        ended = False
        recovers_from = self._recovers_from
        if recovers_from is not None:
            if number <= recovers_from and now_s < self._recovers_until_s:
                return False
            self._settle(sent)
            ended = True
        elif self.is_crowded:
            pass  # Wider, it would only wait longer.
        elif self.is_starting:
            # Half full is in use: what grew since the request was sent is not full yet.
            if 2 * in_flight >= self.limit:
                self._raise(1, sent)
        elif height >= self.limit:
            # Only a full window says anything: an idle one is never refused (Netflix's limits).
            if self._step:
                if number > self.raised_at:
                    self._step = min(2 * self._step, max(1, int(self.value * HASTE)))
                    self._raise(self._step, sent)
            else:
                self._full += 1
                if self._full >= (max(REST_BESET, self.limit) if self.is_beset else self._rest):
                    self._step = 1
                    self._raise(1, sent)
        return ended

    def refused(
        self, now_s: float, height: int, in_flight: int, sent: int, round_trip_s: float
    ) -> None:
        """A request was over the ceiling.

        Its place stays empty until the round trip is over, so each send is paid for by an answer
        (packet conservation; RFC 6937 does the same for TCP), and the places given up are just
        those that were too many. The window itself is cut once, at the end of the round trip.
        """
        if self._recovers_from is not None and now_s >= self._recovers_until_s:
            self._settle(sent)
        if self._recovers_from is None:
            self.is_starting = False
            self._is_look = self._step > 0
            self._recovers_from = sent
            self._recovers_until_s = now_s + round_trip_s
            self._before = self.value
            self.value = max(1.0, min(self.value, float(max(in_flight, height - 1))))
        else:
            self._held += 1
        self._set_limit()

    def look_now(self) -> None:
        """Look higher as soon as it is full."""
        self._full = max(self._rest, self.limit)

    def open_to(self, value: float, sent: int) -> None:
        """The refusals were about something else: be at least this wide, and forget them."""
        self._held = 0
        self._recovers_from = None
        self._step = self._full = 0
        self.value = min(max(self.value, self._before, value), self._cap)
        self.raised_at = sent
        self._set_limit()

    def narrow_to(self, value: float) -> None:
        """Be at most this wide."""
        self.value = max(1.0, min(self.value, value))
        self._step = self._full = 0
        self._set_limit()

    def _settle(self, sent: int) -> None:
        kept = max(1.0, self.value - self._held)
        self.value = max(kept, self.value * CUT)
        if self.value > kept:
            self.raised_at = sent
        is_deep = self.value <= self._before * FALL and self._before - self.value >= 2
        if is_deep:
            self._rest = REST_AFTER_FALL
        elif self._is_look:
            self._rest = min(REST, int(REST_LONGER * self._rest))
        self._held = self._step = self._full = 0
        self._recovers_from = None
        self._set_limit()

    def _raise(self, by: int, sent: int) -> None:
        self._full = 0
        self.value = min(self.value + by, self._cap)
        self.raised_at = sent
        self._set_limit()

    def _set_limit(self) -> None:
        self.limit = max(1, int(self.value) - self._held)


class Heights:
    """How many were in flight when requests that were sent after the last refusal were let in."""

    __slots__ = ("_accepted", "_at_top", "_before", "_left", "_refused", "_top")

    def __init__(self) -> None:
        self._accepted = [0] * (SMALL + 1)
        self._refused = [0] * (SMALL + 1)
        self._top = self._before = self._at_top = 0
        self._left = TOP_EVERY

    @property
    def top(self) -> int:
        """The greatest height of late."""
        return max(self._top, self._before)

    def let_in(self, height: int) -> None:
        """One was let in at this height."""
        if height > self._top:
            self._top, self._at_top = height, 0
        self._at_top += height == self._top
        if height <= SMALL:
            self._accepted[height] += 1
        self._left -= 1
        if not self._left:
            self._before, self._top, self._left = self._top, height, TOP_EVERY

    def contradict(self, height: int) -> bool:
        """One was refused at a small height; whether those let in there leave no doubt."""
        if height <= self._top and self._at_top >= CONTRADICTIONS:
            return True
        self._refused[height] += 1
        if self._accepted[height] < CONTRADICTIONS or self._refused[height] < CONTRADICTED:
            return False
        self._accepted, self._refused = [0] * (SMALL + 1), [0] * (SMALL + 1)
        return True

    def forget_top(self) -> None:
        """A refusal was about the height: what was let in before no longer counts."""
        self._top = self._before = 0
