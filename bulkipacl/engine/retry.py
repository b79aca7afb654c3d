"""How long to wait before sending again, and how often. Pure: randomness comes in.

Full jitter inside the cap, `random(0, min(cap, base * 2^n))`: the cap is applied before the
jitter, so that a herd at the cap does not return all at once.
"""

from __future__ import annotations

from collections.abc import Callable

from bulkipacl.settings import (
    BACKOFF_BASE_S,
    BACKOFF_CAP_S,
    HINT_MAX_S,
    HINT_MIN_S,
    RETRY_BUDGET,
    RETRY_COST,
    RETRY_COST_SILENCE,
)


class RetryBudget:
    """How much trouble an account may still give before it gets fewer requests.

    A bucket after botocore's retry quota: every failed send takes from it, every good answer gives
    a little back. It never fails a row: what has no budget left goes out one at a time.

    Attributes:
        is_empty: the next failure is one too many.
        is_full: a good answer gives nothing back.
    """

    __slots__ = ("_left", "is_empty", "is_full")

    def __init__(self) -> None:
        self._left = RETRY_BUDGET
        self.is_empty = False
        self.is_full = True

    def _set(self, left: float) -> None:
        self._left = left
        self.is_empty = left < RETRY_COST
        self.is_full = left >= RETRY_BUDGET

    def failed(self, *, is_silence: bool) -> None:
        """A send that has to be made again; `is_silence`: without any answer."""
        self._set(max(0.0, self._left - (RETRY_COST_SILENCE if is_silence else RETRY_COST)))

    def went_well(self) -> None:
        """An answer that was no trouble."""
        self._set(min(RETRY_BUDGET, self._left + 1.0))


def backoff_s(
    failures: int, hint_s: float | None, uniform: Callable[[float, float], float]
) -> float:
    """Seconds to wait after the n-th failure in a row (from 0).

    A server's hint is a lower bound for the wait; it is clamped both ways, and jitter is added on
    top so that all who were given the same hint do not come back together.
    """
    jitter_s = uniform(0.0, min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0 ** min(failures, 30)))
    if hint_s is None:
        return jitter_s
    return min(max(hint_s, HINT_MIN_S), HINT_MAX_S) + min(jitter_s, 1.0)
