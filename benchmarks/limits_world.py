"""A limited API and a client with endless rows, in virtual time: nothing sleeps, nothing is sent.

    Scenario     the hidden limits, how they move, the latency, how long
    Controller   what decides when to send: the protocol that every controller follows
    Outcome      what came of it: the share of the ideal throughput, and the refusals
    simulate     one scenario with one controller, from a seed

The far end does what the sandbox does (the tests of the sandbox hold that one): it refuses what
is over the limit at the moment of arrival, a refused request takes no room, the header counts
all that is in flight, refused requests and other clients' included. It shares no code with the
client; what the controllers see is the answers alone.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

Steps = tuple[tuple[float, float], ...]
"""A number that moves: (from this second on, value), in order of time."""


class Controller(Protocol):
    """Decides when to send, and is told of every ending."""

    def may_send(self, now_s: float, in_flight: int) -> bool:
        """Whether one more may be sent now."""

    def wake_at_s(self, now_s: float) -> float | None:
        """When to ask again, where only time has to pass."""

    def on_send(self, now_s: float, in_flight: int) -> Any:
        """One was sent; what it returns comes back with the answer."""

    def on_answered(
        self, now_s: float, ticket: Any, concurrent: int | None, duration_s: float
    ) -> None:
        """It was processed."""

    def on_throttled(
        self, now_s: float, ticket: Any, concurrent: int | None, retry_after_s: float | None
    ) -> None:
        """It was refused."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What the far end is like.

    Attributes:
        concurrent: requests of all clients that may be in flight; () for no such limit.
        rate_per_s: requests that are let in per second; () for no such limit.
        burst: tokens that the rate's bucket holds; by default a tenth of a second's worth.
        others: requests that other clients hold, of those let in.
        median_s, sigma: the lognormal time inside the API.
        refused_s: the time until a refusal is there.
        network_s: the time that a request and its answer spend under way, half each.
        noise: other clients come and go: the standard deviation of how many there are.
        rows: how many there are; None for as many as fit into `seconds`.
        retry_after_s: the hint that a refusal carries.
        has_header: whether answers show the account's requests in flight.
    """

    name: str
    seconds: float = 60.0
    concurrent: Steps = ()
    rate_per_s: Steps = ()
    burst: float | None = None
    others: Steps = ((0.0, 0.0),)
    median_s: float = 0.09
    sigma: float = 0.35
    refused_s: float = 0.02
    network_s: float = 0.0
    noise: float = 0.0
    rows: int | None = None
    retry_after_s: float | None = None
    has_header: bool = True

    def ideal(self, seconds: float) -> float:
        """Rows that a client which knows the limits gets through in so long."""
        mean_s = self.median_s * math.exp(self.sigma**2 / 2)
        total, step_s = 0.0, 0.05
        for index in range(round(seconds / step_s)):
            at_s = index * step_s
            room = value_at(self.concurrent, at_s, math.inf) - value_at(self.others, at_s, 0.0)
            total += min(room / mean_s, value_at(self.rate_per_s, at_s, math.inf)) * step_s
        return total


@dataclass(slots=True)
class Outcome:
    """What came of it.

    Attributes:
        sent_by_s: the most sends in any one second.
        others_lack_s: seconds in which other clients found less free than they are owed.
    """

    done: int = 0
    refused: int = 0
    ideal: float = 0.0
    ended_s: float = 0.0
    peak: int = 0

    @property
    def share(self) -> float:
        """Of the ideal throughput, in percent."""
        return 100.0 * self.done / self.ideal

    @property
    def per_1000(self) -> float:
        """Refusals per thousand rows done."""
        return 1000.0 * self.refused / max(self.done, 1)


def value_at(steps: Steps, at_s: float, default: float) -> float:
    """The value of a moving number at a time."""
    value = default
    for from_s, new in steps:
        if at_s < from_s:
            break
        value = new
    return value


class _Server:
    """The far end: who is let in."""

    def __init__(self, scenario: Scenario, rng: random.Random) -> None:
        self._scenario = scenario
        self._rng = rng
        self._tokens = math.inf
        self._refilled_s = 0.0
        self._noise = 0.0
        self._noise_until_s = 0.0
        self.admitted = 0
        self.in_flight = 0

    def others(self, now_s: float) -> int:
        """Requests that other clients hold."""
        if self._scenario.noise and now_s >= self._noise_until_s:
            # A new level every fifth of a second, drawn towards zero.
            self._noise_until_s = now_s + 0.2
            self._noise = 0.8 * self._noise + 0.6 * self._rng.gauss(0.0, self._scenario.noise)
        return max(0, round(value_at(self._scenario.others, now_s, 0.0) + self._noise))

    def enter(self, now_s: float) -> bool:
        """A request arrives."""
        self.in_flight += 1
        room = value_at(self._scenario.concurrent, now_s, math.inf)
        if self.admitted + self.others(now_s) >= room or not self._has_token(now_s):
            return False
        self.admitted += 1
        return True

    def _has_token(self, now_s: float) -> bool:
        rate = value_at(self._scenario.rate_per_s, now_s, math.inf)
        if rate == math.inf:
            return True
        burst = self._scenario.burst or max(1.0, rate / 10)
        self._tokens = min(burst, self._tokens + (now_s - self._refilled_s) * rate)
        self._refilled_s = now_s
        if self._tokens < 1.0 - 1e-9:
            return False
        self._tokens -= 1.0
        return True


def simulate(
    scenario: Scenario,
    controller: Controller,
    seed: int,
    watch: Callable[[float, int], None] | None = None,
) -> Outcome:
    """Send rows for as long as the scenario lasts, or until its rows are done.

    Args:
        watch: told of the time and the requests in flight after each event.
    """
    return _Run(scenario, controller, random.Random(seed), watch).play()


class _Run:
    def __init__(
        self,
        scenario: Scenario,
        controller: Controller,
        rng: random.Random,
        watch: Callable[[float, int], None] | None,
    ) -> None:
        self._scenario = scenario
        self._controller = controller
        self._rng = rng
        self._watch = watch
        self._server = _Server(scenario, rng)
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = 0
        self._woken_s = math.inf
        self._in_flight = 0
        self._left = math.inf if scenario.rows is None else float(scenario.rows)
        self._outcome = Outcome()

    def play(self) -> Outcome:
        scenario, events, outcome = self._scenario, self._events, self._outcome
        end_s = math.inf if scenario.rows is not None else scenario.seconds
        now_s = 0.0
        self._fill(now_s)
        while events and events[0][0] <= end_s:
            now_s, _, act = heapq.heappop(events)
            act(now_s)
            self._fill(now_s)
            if self._watch is not None:
                self._watch(now_s, self._in_flight)
        outcome.ended_s = now_s if scenario.rows is not None else end_s
        outcome.ideal = scenario.ideal(outcome.ended_s)
        return outcome

    def _at(self, at_s: float, act: Callable[[float], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (at_s, self._count, act))

    def _fill(self, now_s: float) -> None:
        """Send all that the controller allows."""
        while self._left >= 1 and self._controller.may_send(now_s, self._in_flight):
            self._left -= 1
            self._in_flight += 1
            self._outcome.peak = max(self._outcome.peak, self._in_flight)
            ticket = self._controller.on_send(now_s, self._in_flight)
            if self._scenario.network_s:
                self._at(
                    now_s + self._under_way_s(), lambda s, t=ticket, n=now_s: self._arrive(s, t, n)
                )
            else:
                self._arrive(now_s, ticket, now_s)
        if self._left >= 1:
            at_s = self._controller.wake_at_s(now_s)
            if at_s is not None and (at_s < self._woken_s or self._woken_s <= now_s):
                self._woken_s = max(at_s, now_s)
                self._at(self._woken_s, self._wake)

    def _wake(self, now_s: float) -> None:
        if now_s >= self._woken_s:
            self._woken_s = math.inf

    def _under_way_s(self) -> float:
        return self._scenario.network_s / 2 * self._rng.uniform(0.7, 1.3)

    def _arrive(self, now_s: float, ticket: Any, sent_s: float) -> None:
        scenario = self._scenario
        if self._server.enter(now_s):
            inside_s = scenario.median_s * math.exp(self._rng.gauss(0.0, scenario.sigma))
        else:
            inside_s = scenario.refused_s
            self._at(now_s + inside_s, lambda s: self._leave(s, ticket, sent_s, is_done=False))
            return
        self._at(now_s + inside_s, lambda s: self._leave(s, ticket, sent_s, is_done=True))

    def _leave(self, now_s: float, ticket: Any, sent_s: float, *, is_done: bool) -> None:
        server = self._server
        concurrent = None
        if self._scenario.has_header:
            concurrent = server.in_flight + server.others(now_s)
        server.in_flight -= 1
        server.admitted -= is_done
        if not self._scenario.network_s:
            self._answer(now_s, ticket, sent_s, concurrent, is_done=is_done)
            return
        self._at(
            now_s + self._under_way_s(),
            lambda s: self._answer(s, ticket, sent_s, concurrent, is_done=is_done),
        )

    def _answer(
        self, now_s: float, ticket: Any, sent_s: float, concurrent: int | None, *, is_done: bool
    ) -> None:
        self._in_flight -= 1
        if is_done:
            self._outcome.done += 1
            self._controller.on_answered(now_s, ticket, concurrent, now_s - sent_s)
            return
        self._outcome.refused += 1
        hint_s = self._scenario.retry_after_s
        self._controller.on_throttled(now_s, ticket, concurrent, hint_s)
        # The row itself waits before it comes back; where rows are endless another takes its turn.
        wait_s = self._rng.uniform(0.0, 0.5) if hint_s is None else min(hint_s, 60.0)
        if self._left < math.inf:
            self._at(now_s + wait_s, self._come_back)

    def _come_back(self, now_s: float) -> None:
        self._left += 1
