"""How long to wait before sending again. Pure: randomness comes in.

Full jitter inside the cap, `random(0, min(cap, base * 2^n))`: the cap is applied before the
jitter, so that a herd at the cap does not return all at once.
"""

from __future__ import annotations

from collections.abc import Callable

from bulkipacl.settings import BACKOFF_BASE_S, BACKOFF_CAP_S, HINT_MAX_S, HINT_MIN_S


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
