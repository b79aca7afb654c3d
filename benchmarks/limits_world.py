"""A limited API and a client with rows to send, in virtual time: nothing sleeps, nothing is sent.

    Controller   what decides when to send: the protocol that every controller follows
    FarEnd       who is let in
    Knowing      the controller that knows the limits: what the others are measured by
    Outcome      what came of it: the share of the ideal throughput, and the refusals
    simulate     one scenario with one controller, from a seed

The far end does what the sandbox does (a test holds one against the other): it refuses what is
over the limit at the moment of arrival, a refused request takes no room, the header counts all
that is in flight, refused requests and other clients' included. It shares no code with the client;
what the controllers see is the answers alone. Only the back-off of a refused row is the client's.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from limits_scenarios import Scenario, value_at

from bulkipacl.engine.retry import backoff_s

TIMER_S = 1e-6
"""The shortest wait: a controller that asks to be woken at once must not stop the clock."""

MOST_FAILURES = 6
"""Refusals in a row after which a row's back-off no longer grows, as in the engine."""

IN_PLAY = 2_000
"""Rows that are in flight or wait to be sent again at once: while fewer are, another row takes the
turn of a refused one. A client that takes up 20 lists of 100 rows at once has so many."""


class Controller(Protocol):
    """Decides when to send, and is told of every ending."""

    def may_send(self, now_s: float, in_flight: int) -> bool:
        """Whether one more may be sent now."""

    def wake_at_s(self, now_s: float) -> float | None:
        """When to ask again, where only time has to pass."""

    def on_send(self, now_s: float, in_flight: int) -> Any:
        """One was sent, the n-th in flight; what it returns comes back with the answer."""

    def on_answered(
        self, now_s: float, ticket: Any, concurrent: int | None, duration_s: float
    ) -> None:
        """It was processed."""

    def on_throttled(
        self, now_s: float, ticket: Any, concurrent: int | None, retry_after_s: float | None
    ) -> None:
        """It was refused."""


@dataclass(slots=True)
class Outcome:
    """What came of it.

    Attributes:
        ideal: rows that a client which knows the limits would have done in the same time.
        peak: the most requests in flight at once.
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


class Bucket:
    """A scenario's rate: tokens that come back with time. Full at the start."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._tokens = math.inf
        self._refilled_s = 0.0

    def has_token(self, now_s: float) -> bool:
        """Whether one more is let in."""
        rate = value_at(self._scenario.rate_per_s, now_s, math.inf)
        if rate == math.inf:
            return True
        refill = (now_s - self._refilled_s) * rate
        self._tokens = min(self._scenario.burst_at(now_s), self._tokens + refill)
        self._refilled_s = now_s
        # The epsilon forgives float sums: a client that paces exactly must not be refused.
        return self._tokens >= 1.0 - 1e-9

    def take(self) -> None:
        """One was let in."""
        self._tokens -= 1.0

    def ready_at_s(self, now_s: float) -> float | None:
        """When there will be a token, or None where there is one."""
        if self.has_token(now_s):
            return None
        rate = value_at(self._scenario.rate_per_s, now_s, math.inf)
        return now_s + (1.0 - self._tokens) / rate


class FarEnd:
    """Who is let in.

    Attributes:
        admitted: requests of the client that were let in and are not answered.
        in_flight: refused ones included.
        let_in: how many were let in so far.
    """

    def __init__(self, scenario: Scenario, rng: random.Random) -> None:
        self._scenario = scenario
        self._rng = rng
        self._bucket = Bucket(scenario)
        self._noise = 0.0
        self._noise_until_s = 0.0
        self.admitted = 0
        self.in_flight = 0
        self.let_in = 0

    def others(self, now_s: float) -> int:
        """Requests that other clients hold."""
        if self._scenario.noise and now_s >= self._noise_until_s:
            # A new level every fifth of a second, drawn towards zero.
            self._noise_until_s = now_s + 0.2
            self._noise = 0.8 * self._noise + 0.6 * self._rng.gauss(0.0, self._scenario.noise)
        return max(0, round(value_at(self._scenario.others, now_s, 0.0) + self._noise))

    def enter(self, now_s: float) -> bool:
        """A request arrives; whether it is let in."""
        self.in_flight += 1
        room = value_at(self._scenario.concurrent, now_s, math.inf)
        taken = self.in_flight - 1 if self._scenario.refused_take_room else self.admitted
        if self._scenario.chance and self._rng.random() < self._scenario.chance:
            return False
        # Only what has room costs a token.
        if taken + self.others(now_s) >= room or not self._bucket.has_token(now_s):
            return False
        self._bucket.take()
        self.admitted += 1
        self.let_in += 1
        return True

    def leave(self, now_s: float, *, admitted: bool) -> int:
        """It is answered: what the header says, itself included."""
        concurrent = self.in_flight + self.others(now_s)
        self.in_flight -= 1
        self.admitted -= admitted
        return concurrent


class Knowing:
    """Knows the limits, and sends as much as they allow and no more.

    Right where nothing is under way on a network and nobody comes or goes.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._bucket = Bucket(scenario)

    def may_send(self, now_s: float, in_flight: int) -> bool:
        """Room, and a token."""
        return in_flight < self._scenario.room_at(now_s) and self._bucket.has_token(now_s)

    def wake_at_s(self, now_s: float) -> float | None:
        """At the next token, or when a limit moves."""
        times = [at_s for at_s in self._scenario.turns() if at_s > now_s][:1]
        ready_s = self._bucket.ready_at_s(now_s)
        return min([*times, ready_s] if ready_s is not None else times, default=None)

    def on_send(self, now_s: float, in_flight: int) -> None:
        """It costs a token."""
        self._bucket.take()

    def on_answered(
        self, now_s: float, ticket: None, concurrent: int | None, duration_s: float
    ) -> None:
        """Nothing to learn."""

    def on_throttled(
        self, now_s: float, ticket: None, concurrent: int | None, retry_after_s: float | None
    ) -> None:
        """It does not happen."""


Watch = Callable[[float, FarEnd], None]


def simulate(
    scenario: Scenario, controller: Controller, seed: int, watch: Watch | None = None
) -> Outcome:
    """Send rows for as long as the scenario lasts, or until its rows are done.

    The n-th request that is let in takes the same time whatever the controller.

    Args:
        watch: told of the time and the far end after each event.

    Raises:
        RuntimeError: the controller stopped sending for good, with rows left.
    """
    outcome = _Run(scenario, controller, seed, watch).play()
    if scenario.rows is None:
        outcome.ideal = scenario.ideal_rows(0.0, outcome.ended_s)
    else:
        # So few that the beginning and the end count: the same rows, by one who knows.
        best = _Run(scenario, Knowing(scenario), seed, None).play()
        outcome.ideal = outcome.done * outcome.ended_s / best.ended_s
    return outcome


class _Run:
    def __init__(
        self, scenario: Scenario, controller: Controller, seed: int, watch: Watch | None
    ) -> None:
        self._scenario = scenario
        self._controller = controller
        self._watch = watch
        # Apart, so that what the one draws does not move the others.
        self._latency, self._network, self._jitter, noise = (
            random.Random(f"{seed}/{purpose}")
            for purpose in ("latency", "network", "jitter", "noise")
        )
        self._far = FarEnd(scenario, noise)
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0
        self._woken_s = math.inf
        self._in_flight = 0
        self._fresh = math.inf if scenario.rows is None else float(scenario.rows)
        self._back: deque[int] = deque()
        self._asleep = 0
        self._outcome = Outcome()

    def play(self) -> Outcome:
        scenario, events, outcome = self._scenario, self._events, self._outcome
        end_s = math.inf if scenario.rows is not None else scenario.seconds
        now_s = 0.0
        self._step(now_s)
        while events and events[0][0] <= end_s and outcome.done != scenario.rows:
            now_s, _, act, arguments = heapq.heappop(events)
            act(now_s, *arguments)
            self._step(now_s)
        if scenario.rows is not None and outcome.done < scenario.rows:
            raise RuntimeError(
                f"{scenario.name}: {outcome.done} of {scenario.rows} rows, then none"
            )
        outcome.ended_s = now_s if scenario.rows is not None else end_s
        return outcome

    def _step(self, now_s: float) -> None:
        self._fill(now_s)
        if self._watch is not None:
            self._watch(now_s, self._far)

    def _at(self, at_s: float, act: Callable[..., None], *arguments: Any) -> None:
        self._count += 1
        heapq.heappush(self._events, (at_s, self._count, act, arguments))

    def _fill(self, now_s: float) -> None:
        """Send all that the controller allows."""
        controller = self._controller
        while self._has_row() and controller.may_send(now_s, self._in_flight):
            failures = self._back.popleft() if self._back else 0
            if not failures:
                self._fresh -= 1
            self._in_flight += 1
            self._outcome.peak = max(self._outcome.peak, self._in_flight)
            ticket = controller.on_send(now_s, self._in_flight)
            sent = (ticket, failures, now_s)
            if self._scenario.network_s:
                self._at(now_s + self._under_way_s(), self._arrive, sent)
            else:
                self._arrive(now_s, sent)
        if self._has_row():
            at_s = controller.wake_at_s(now_s)
            if at_s is not None and (at_s < self._woken_s or self._woken_s <= now_s):
                self._woken_s = max(at_s, now_s + TIMER_S)
                self._at(self._woken_s, self._wake)

    def _has_row(self) -> bool:
        """Whether a row may be sent: one whose back-off is over, or a new one."""
        if self._back:
            return True
        return self._fresh > 0 and self._in_flight + self._asleep < IN_PLAY

    def _wake(self, now_s: float) -> None:
        if now_s >= self._woken_s:
            self._woken_s = math.inf

    def _under_way_s(self) -> float:
        return self._scenario.network_s / 2 * self._network.uniform(0.7, 1.3)

    def _arrive(self, now_s: float, sent: tuple[Any, int, float]) -> None:
        scenario = self._scenario
        admitted = self._far.enter(now_s)
        inside_s = scenario.refused_s
        if admitted:
            inside_s = scenario.median_s * math.exp(self._latency.gauss(0.0, scenario.sigma))
        self._at(now_s + inside_s, self._leave, sent, admitted)

    def _leave(self, now_s: float, sent: tuple[Any, int, float], admitted: bool) -> None:
        shown = self._far.leave(now_s, admitted=admitted)
        concurrent = shown if self._scenario.has_header else None
        if self._scenario.network_s:
            self._at(now_s + self._under_way_s(), self._answer, sent, concurrent, admitted)
        else:
            self._answer(now_s, sent, concurrent, admitted)

    def _answer(
        self, now_s: float, sent: tuple[Any, int, float], concurrent: int | None, admitted: bool
    ) -> None:
        ticket, failures, sent_s = sent
        self._in_flight -= 1
        if admitted:
            self._outcome.done += 1
            self._controller.on_answered(now_s, ticket, concurrent, now_s - sent_s)
            return
        self._outcome.refused += 1
        hint_s = self._scenario.retry_after_s
        self._controller.on_throttled(now_s, ticket, concurrent, hint_s)
        self._asleep += 1
        wait_s = backoff_s(min(failures, MOST_FAILURES), hint_s, self._jitter.uniform)
        self._at(now_s + wait_s, self._come_back, failures + 1)

    def _come_back(self, now_s: float, failures: int) -> None:
        self._asleep -= 1
        self._back.append(failures)
