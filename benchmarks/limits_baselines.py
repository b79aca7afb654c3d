"""Known controllers of how fast to send, to measure ours by.

    Fixed             so many in flight, and full jitter: what most clients do
    NetflixAimd       Netflix's concurrency-limits, AIMDLimit with its defaults
    TcpAimd           slow start, one more per round trip, a cut at most once a round trip
    BotocoreAdaptive  botocore's adaptive retry mode
    HeaderGuided      a ceiling on `Twilio-Concurrent-Requests`
    WindowAndPace     a window and a rate, each with its own search, and both must allow

They follow `limits_world.Controller`. Each is written anew from its paper or its document; where a
controller is only part of a client, the rest is named beside it. The two last are sketches: no
document describes them.
"""

from __future__ import annotations

import heapq
import math
import random

WORKERS = 200
"""Requests in flight of a client without a window of its own."""


class _Baseline:
    """What most of them have in common: time alone changes nothing, and they hear all they need."""

    def wake_at_s(self, now_s: float) -> float | None:
        """Never: an answer opens the way."""
        return None


class Fixed(_Baseline):
    """So many in flight. A refused row waits with full jitter and holds no permit meanwhile.

    The back-off is the simulation's own, which every controller's rows have: `random(0, min(cap,
    base * 2^n))` after M. Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
    """

    def __init__(self, limit: int = WORKERS) -> None:
        self._limit = limit

    def may_send(self, now_s: float, in_flight: int) -> bool:
        """So many and no more."""
        return in_flight < self._limit

    def on_send(self, now_s: float, in_flight: int) -> None:
        """Nothing is learnt."""

    def on_answered(
        self, now_s: float, ticket: None, concurrent: int | None, duration_s: float
    ) -> None:
        """Nothing is learnt."""

    def on_throttled(
        self, now_s: float, ticket: None, concurrent: int | None, retry_after_s: float | None
    ) -> None:
        """Nothing is learnt."""


class NetflixAimd(_Baseline):
    """Netflix's AIMDLimit (github.com/Netflix/concurrency-limits), as its builder makes it.

    One more per answer while the limit is at least half in use; nine tenths, rounded down, at
    each drop, several in one round trip included; within 20 and 200, from 20 on. An answer after
    more than 5 s counts as a drop.
    """

    LEAST, MOST, CUT, TIMEOUT_S = 20, 200, 0.9, 5.0

    def __init__(self) -> None:
        self._limit = self.LEAST

    def may_send(self, now_s: float, in_flight: int) -> bool:
        """Below the limit."""
        return in_flight < self._limit

    def on_send(self, now_s: float, in_flight: int) -> int:
        """The ticket is how many were in flight."""
        return in_flight

    def on_answered(
        self, now_s: float, ticket: int, concurrent: int | None, duration_s: float
    ) -> None:
        """Grow, if the limit was in use."""
        if duration_s > self.TIMEOUT_S:
            self._drop()
        elif 2 * ticket >= self._limit:
            self._limit = min(self.MOST, self._limit + 1)

    def on_throttled(
        self, now_s: float, ticket: int, concurrent: int | None, retry_after_s: float | None
    ) -> None:
        """Shrink."""
        self._drop()

    def _drop(self) -> None:
        self._limit = max(self.LEAST, int(self._limit * self.CUT))


class TcpAimd(_Baseline):
    """TCP's congestion window (RFC 5681) over requests: a refusal is a loss.

    Slow start from one, then one more per window of answers, and a cut where a request is refused
    that was sent after the last cut (RFC 6582's `recover`). TCP halves; CUBIC leaves 0.7
    (RFC 9438).
    """

    def __init__(self, cut: float = 0.5) -> None:
        self._cut = cut
        self._window = 1.0
        self._is_starting = True
        self._sent = 0
        self._recover = 0

    def may_send(self, now_s: float, in_flight: int) -> bool:
        """Inside the window."""
        return in_flight < int(self._window)

    def on_send(self, now_s: float, in_flight: int) -> tuple[int, bool]:
        """The ticket: its number, and whether it filled the window at least by half."""
        self._sent += 1
        return self._sent, 2 * in_flight >= self._window

    def on_answered(
        self, now_s: float, ticket: tuple[int, bool], concurrent: int | None, duration_s: float
    ) -> None:
        """Grow, if the window is in use."""
        if ticket[1]:
            self._window += 1.0 if self._is_starting else 1.0 / self._window

    def on_throttled(
        self,
        now_s: float,
        ticket: tuple[int, bool],
        concurrent: int | None,
        retry_after_s: float | None,
    ) -> None:
        """Cut, once a round trip."""
        if ticket[0] > self._recover:
            self._is_starting = False
            self._recover = self._sent
            self._window = max(1.0, self._window * self._cut)


class _CubicRate:
    """The rate of botocore's adaptive mode: a token bucket whose pace follows CUBIC.

    After botocore's `retries/adaptive.py`, `throttling.py` and `bucket.py`
    (github.com/boto/botocore), which follow RFC 9438 with time in the place of windows: after a
    refusal at rate W the pace is 0.7 W, and `0.4 (t - K)^3 + W` from then on, K chosen so that it
    starts there. Never more than twice the rate measured, over half seconds smoothed by 0.8. No
    pace until the first refusal.
    """

    SCALE, BETA, SMOOTHING, SPAN_S, LEAST_PER_S = 0.4, 0.7, 0.8, 0.5, 0.5

    def __init__(self) -> None:
        self._is_on = False
        self._per_s = 1.0
        self._capacity = 1.0
        self._tokens = 0.0
        self._filled_s = 0.0
        self._top_per_s = 0.0
        self._failed_s = 0.0
        self._measured_per_s = 0.0
        self._span_from_s = 0.0
        self._counted = 0

    def may_send(self, now_s: float) -> bool:
        """Whether there is a token."""
        if not self._is_on:
            return True
        self._fill(now_s)
        return self._tokens >= 1.0 - 1e-9

    def wake_at_s(self, now_s: float) -> float | None:
        """When there will be one."""
        if not self._is_on or self.may_send(now_s):
            return None
        return now_s + (1.0 - self._tokens) / self._per_s

    def sent(self) -> None:
        """It costs a token."""
        if self._is_on:
            self._tokens -= 1.0

    def answered(self, now_s: float) -> None:
        """Follow the curve."""
        self._measure(now_s)
        zero_s = (self._top_per_s * (1.0 - self.BETA) / self.SCALE) ** (1 / 3)
        per_s = self.SCALE * (now_s - self._failed_s - zero_s) ** 3 + self._top_per_s
        self._set(now_s, per_s)

    def refused(self, now_s: float) -> None:
        """Start the curve anew."""
        self._measure(now_s)
        self._top_per_s = self._measured_per_s
        if self._is_on:
            self._top_per_s = min(self._top_per_s, self._per_s)
        self._failed_s = now_s
        self._set(now_s, self._top_per_s * self.BETA)
        self._is_on = True

    def _measure(self, now_s: float) -> None:
        self._counted += 1
        span_s = math.floor(now_s / self.SPAN_S) * self.SPAN_S
        if span_s > self._span_from_s:
            per_s = self._counted / (span_s - self._span_from_s)
            self._measured_per_s += self.SMOOTHING * (per_s - self._measured_per_s)
            self._counted = 0
            self._span_from_s = span_s

    def _set(self, now_s: float, per_s: float) -> None:
        self._fill(now_s)
        per_s = min(per_s, 2.0 * self._measured_per_s)
        self._per_s = max(per_s, self.LEAST_PER_S)
        self._capacity = max(per_s, 1.0)
        self._tokens = min(self._tokens, self._capacity)

    def _fill(self, now_s: float) -> None:
        refill = (now_s - self._filled_s) * self._per_s
        self._tokens = min(self._capacity, self._tokens + refill)
        self._filled_s = now_s


class BotocoreAdaptive(_Baseline):
    """botocore's adaptive retry mode: its rate, and the back-off of its standard mode.

    A refused request waits `random(0, 1) * 2^n` seconds, 20 at most, in the thread that sent it.
    Its quota and its three attempts are left out: rows are never given up here.
    """

    LONGEST_S = 20.0

    def __init__(self, seed: int) -> None:
        self._uniform = random.Random(seed).uniform
        self._rate = _CubicRate()
        self._asleep: list[tuple[float, int]] = []
        self._awake: list[int] = []

    def may_send(self, now_s: float, in_flight: int) -> bool:
        """A free thread and a token."""
        while self._asleep and self._asleep[0][0] <= now_s:
            self._awake.append(heapq.heappop(self._asleep)[1])
        return in_flight + len(self._asleep) < WORKERS and self._rate.may_send(now_s)

    def wake_at_s(self, now_s: float) -> float | None:
        """When the next thread wakes, or the next token is there."""
        times = [at_s for at_s, _ in self._asleep[:1]]
        ready_s = self._rate.wake_at_s(now_s)
        return min([*times, ready_s] if ready_s is not None else times, default=None)

    def on_send(self, now_s: float, in_flight: int) -> int:
        """It costs a token; the ticket is how often this thread's request was refused."""
        self._rate.sent()
        return self._awake.pop() if self._awake else 0

    def on_answered(
        self, now_s: float, ticket: int, concurrent: int | None, duration_s: float
    ) -> None:
        """The rate follows its curve."""
        self._rate.answered(now_s)

    def on_throttled(
        self, now_s: float, ticket: int, concurrent: int | None, retry_after_s: float | None
    ) -> None:
        """The rate is cut, and the thread sleeps."""
        self._rate.refused(now_s)
        wait_s = min(self.LONGEST_S, self._uniform(0.0, 1.0) * 2.0 ** min(ticket, 30))
        heapq.heappush(self._asleep, (now_s + wait_s, ticket + 1))


class HeaderGuided(_Baseline):
    """Holds the concurrency that answers show below what the last refusal showed.

    Slow start until the first refusal; then the ceiling rises by one a second. Where answers carry
    no header it has nothing to go by but its own requests.
    """

    RISE_EVERY_S = 1.0

    def __init__(self) -> None:
        self._ceiling = math.inf
        self._start = 1
        self._others = 0
        self._in_flight = 0
        self._risen_s = 0.0

    def may_send(self, now_s: float, in_flight: int) -> bool:
        """Below the ceiling, as far as is known."""
        if self._ceiling == math.inf:
            return in_flight < self._start
        if now_s - self._risen_s >= self.RISE_EVERY_S:
            self._risen_s = now_s
            self._ceiling += 1
        # One is always allowed: with none in flight nothing would be seen any more.
        return in_flight < max(1.0, self._ceiling - self._others)

    def on_send(self, now_s: float, in_flight: int) -> None:
        """Counted."""
        self._in_flight = in_flight

    def on_answered(
        self, now_s: float, ticket: None, concurrent: int | None, duration_s: float
    ) -> None:
        """What others hold is what is more than our own."""
        if concurrent is not None:
            self._others = max(0, concurrent - self._in_flight)
        self._start += 1
        self._in_flight -= 1

    def on_throttled(
        self, now_s: float, ticket: None, concurrent: int | None, retry_after_s: float | None
    ) -> None:
        """The ceiling is below what is shown now."""
        shown = concurrent if concurrent is not None else self._in_flight
        self._ceiling = max(1.0, min(self._ceiling, shown) - 1.0)
        self._risen_s = now_s
        self._in_flight -= 1


class WindowAndPace(_Baseline):
    """A window after TCP and a rate after botocore; a refusal cuts both, as it says not which."""

    def __init__(self) -> None:
        self._window = TcpAimd()
        self._rate = _CubicRate()

    def may_send(self, now_s: float, in_flight: int) -> bool:
        """Both allow it."""
        return self._window.may_send(now_s, in_flight) and self._rate.may_send(now_s)

    def wake_at_s(self, now_s: float) -> float | None:
        """When the rate allows it."""
        return self._rate.wake_at_s(now_s)

    def on_send(self, now_s: float, in_flight: int) -> tuple[int, bool]:
        """Both count it."""
        self._rate.sent()
        return self._window.on_send(now_s, in_flight)

    def on_answered(
        self, now_s: float, ticket: tuple[int, bool], concurrent: int | None, duration_s: float
    ) -> None:
        """Both grow."""
        self._rate.answered(now_s)
        self._window.on_answered(now_s, ticket, concurrent, duration_s)

    def on_throttled(
        self,
        now_s: float,
        ticket: tuple[int, bool],
        concurrent: int | None,
        retry_after_s: float | None,
    ) -> None:
        """Both are cut."""
        self._rate.refused(now_s)
        self._window.on_throttled(now_s, ticket, concurrent, retry_after_s)
