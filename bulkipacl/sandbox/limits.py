"""Who is let in: hidden limits on requests in flight and requests a second, per account.

Pure: every method takes the time as an argument, in seconds of any monotonic clock. It answers
no request itself; the handler asks `enter` and must call `leave` once for each `enter`.

    Limit        a fixed ceiling, `concurrent=N` or `rate=R`
    LimitSteps   a ceiling that moves in time, `concurrent=100@0,40@20,100@50`
    Latency      how long the API takes, fixed or lognormal
    Limits       the state: counts in flight and one token bucket per account

Documented: the limit is on requests in flight per account, with a rate limit on some endpoints.
The ceilings themselves are unpublished, so here they are switches and none is the default.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Literal, cast

LimitKind = Literal["concurrent", "rate"]


@dataclass(frozen=True, slots=True)
class Limit:
    """A ceiling per account: requests in flight (`concurrent`) or requests a second (`rate`)."""

    kind: LimitKind
    value: float

    def __post_init__(self) -> None:
        if self.kind not in ("concurrent", "rate"):
            raise ValueError(f"unknown limit {self.kind!r}: concurrent or rate")
        if not (math.isfinite(self.value) and self.value > 0):
            raise ValueError(f"limit {self.kind}: {self.value} is not above 0")


@dataclass(frozen=True, slots=True)
class LimitSteps:
    """A ceiling that moves: (seconds since the first API request, value), in order of time."""

    kind: LimitKind
    steps: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        times = [at_s for at_s, _ in self.steps]
        if not times or times[0] != 0 or times != sorted(set(times)):
            raise ValueError(f"limit steps {self.kind}: times must start at 0 and rise")
        for _, value in self.steps:
            Limit(self.kind, value)

    def value_at(self, elapsed_s: float) -> float:
        """The ceiling `elapsed_s` seconds after the first API request."""
        index = bisect_right(self.steps, (elapsed_s, math.inf)) - 1
        return self.steps[max(index, 0)][1]


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds inside the API: the median, and the sigma of a lognormal (0: always the median)."""

    median_s: float = 0.0
    sigma: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.median_s < math.inf and 0 <= self.sigma < math.inf):
            raise ValueError(f"latency {self.median_s}~{self.sigma}: both must be 0 or more")

    def draw_s(self, random: Random) -> float:
        """One latency in seconds."""
        if not self.sigma or not self.median_s:
            return self.median_s
        return self.median_s * math.exp(random.gauss(0.0, self.sigma))


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{whole!r}: {text!r} is not a number") from None


def parse_limit(text: str) -> Limit:
    """Read `concurrent=N` or `rate=R`; ValueError says what is wrong."""
    kind, sign, number = text.partition("=")
    if not sign:
        raise ValueError(f"limit {text!r}: expected concurrent=N or rate=R")
    return Limit(cast(LimitKind, kind.strip()), _number(number, text))


def parse_limit_steps(text: str) -> LimitSteps:
    """Read `KIND=VALUE@SECONDS,VALUE@SECONDS,...`; ValueError says what is wrong."""
    kind, sign, rest = text.partition("=")
    if not sign or kind.strip() not in ("concurrent", "rate"):
        raise ValueError(f"limit steps {text!r}: expected concurrent=100@0,40@20 or rate=...")
    steps = []
    for step in rest.split(","):
        value, at, seconds = step.partition("@")
        if not at:
            raise ValueError(f"limit steps {text!r}: {step!r} is not VALUE@SECONDS")
        steps.append((_number(seconds, text), _number(value, text)))
    return LimitSteps(cast(LimitKind, kind.strip()), tuple(steps))


def parse_latency(text: str) -> Latency:
    """Read `S` (fixed) or `S~SIGMA` (lognormal with median S), seconds; ValueError if wrong."""
    median, sign, sigma = text.partition("~")
    return Latency(_number(median, text), _number(sigma, text) if sign else 0.0)


@dataclass(slots=True)
class _Account:
    """Counts of one account; refused requests are in flight too until they are answered."""

    in_flight: int = 0
    admitted: int = 0
    peak_in_flight: int = 0
    peak_admitted: int = 0
    tokens: float = math.inf
    refilled_s: float = 0.0


class Limits:
    """Admission per account, under every ceiling given; accounts never affect each other.

    Args:
        limits: fixed ceilings; of two of a kind both hold.
        steps: moving ceilings, their time counted from the first `enter`.
        others: requests that another client of each account keeps in flight.
    """

    def __init__(
        self, limits: Iterable[Limit], steps: Iterable[LimitSteps] = (), others: int = 0
    ) -> None:
        ceilings = [LimitSteps(limit.kind, ((0.0, limit.value),)) for limit in limits]
        ceilings += steps
        self._concurrent = [ceiling for ceiling in ceilings if ceiling.kind == "concurrent"]
        self._rate = [ceiling for ceiling in ceilings if ceiling.kind == "rate"]
        self.others = others
        self.accounts: dict[str, _Account] = {}
        self._started_s: float | None = None

    def enter(self, account_sid: str, now_s: float) -> bool:
        """Count a request in; whether it is let through (False: answer 429)."""
        if self._started_s is None:
            self._started_s = now_s
        account = self.accounts.get(account_sid)
        if account is None:
            account = self.accounts[account_sid] = _Account()
        account.in_flight += 1
        if account.in_flight > account.peak_in_flight:
            account.peak_in_flight = account.in_flight
        elapsed_s = now_s - self._started_s
        if self._concurrent and not self._has_room(account, elapsed_s):
            return False
        if self._rate and not self._has_token(account, elapsed_s):
            return False
        account.admitted += 1
        if account.admitted > account.peak_admitted:
            account.peak_admitted = account.admitted
        return True

    def leave(self, account_sid: str, *, admitted: bool) -> None:
        """Count a request out; `admitted` is what `enter` said of it."""
        account = self.accounts[account_sid]
        account.in_flight -= 1
        if admitted:
            account.admitted -= 1

    def concurrent(self, account_sid: str) -> int:
        """The account's requests in flight, refused ones and another client's included."""
        account = self.accounts.get(account_sid)
        return self.others + (account.in_flight if account else 0)

    def _has_room(self, account: _Account, elapsed_s: float) -> bool:
        # A request that was refused is never processed, so it takes no room from others.
        taken = account.admitted + self.others
        return all(taken < ceiling.value_at(elapsed_s) for ceiling in self._concurrent)

    def _has_token(self, account: _Account, elapsed_s: float) -> bool:
        rate_per_s = min(ceiling.value_at(elapsed_s) for ceiling in self._rate)
        # Assumed: a tenth of a second's worth may come at once.
        burst = max(1.0, rate_per_s / 10)
        refill = (elapsed_s - account.refilled_s) * rate_per_s
        account.tokens = min(burst, account.tokens + refill)
        account.refilled_s = elapsed_s
        # The epsilon forgives float sums: a client that paces exactly must not be refused.
        if account.tokens < 1.0 - 1e-9:
            return False
        account.tokens -= 1.0
        return True
