"""What is left to the other users of an account: `--headroom`. Pure.

Here it is of the requests in flight; where a rate is the limit, `pace` leaves a share of that.

Headroom   the account's limit as far as it was seen, the others' use, and what remains
"""

from __future__ import annotations

from bulkipacl.engine.window import Window

LOOK_AGAIN = 5_000
LOOK_SOON = 300
"""Answers at the allowance until the limit is looked for anew: a share that is never used shows
nothing, so the limit could rise unseen. Sooner after it fell by a quarter or more. A look that
finds nothing new uses what the others leave for a round trip or two, and one more."""

IS_FALL = 0.75
"""What is found below this share of what was known before, has fallen."""

RISING, FALLING = 0.3, 0.03
"""How fast the others' use is believed: giving way is urgent, taking back is not."""


class Headroom:
    """Keeps a share of an account's limit free beside what its other users hold.

    Attributes:
        total: requests in flight of all users together that the account was seen to allow, or
            None until it is known.
        others: requests that the others hold, smoothed.
    """

    __slots__ = ("_look_in", "_share", "others", "total")

    def __init__(self, share: float) -> None:
        self._share = share
        self.total: float | None = None
        self.others = 0.0
        self._look_in = 0

    def answered(
        self, window: Window, concurrent: int | None, in_flight: int, height: int, *, settled: bool
    ) -> None:
        """An answer that was no refusal.

        Args:
            concurrent: all users' requests in flight, this one included, or None.
            settled: the window has just found a ceiling. The first one that was not looked for is
                no more than a refusal, which may be about a rate as well.
        """
        if concurrent is not None:
            most = self.total if self.total is not None else 2.0 * window.value
            seen = min(max(0, concurrent - in_flight), most)
            step = RISING if seen > self.others else FALLING
            self.others += step * (seen - self.others)
        if settled and (self.total is not None or window.is_sure):
            total = window.value + self.others
            is_fall = self.total is not None and total < IS_FALL * self.total
            self.total = total
            self._look_in = LOOK_SOON if is_fall else LOOK_AGAIN
        elif self.total is not None and height >= self.limit(window.limit):
            self._look_in -= 1
            if self._look_in <= 0:
                window.narrow_to(self.total - self.others)
                window.look_now()
                self.forget()

    def forget(self) -> None:
        """What was found was not about requests in flight, or may hold no longer."""
        self.total = None

    def limit(self, window_limit: int) -> int:
        """What the window's limit comes down to."""
        if self.total is None:
            return window_limit
        allowed = (1.0 - self._share) * self.total - self.others
        return max(1, min(window_limit, int(allowed)))
