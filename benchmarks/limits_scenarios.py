"""What an API's hidden limits may be like: the scenarios that controllers are tried in.

Scenario   the limits, how they move, the latency, how long
MAIN       the four that every controller is tried in, and one variant
FURTHER    those that ours has to stand as well
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

Steps = tuple[tuple[float, float], ...]
"""A number that moves: (from this second on, value), in order of time."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What the far end is like.

    Attributes:
        concurrent: requests of all clients that may be in flight; () for no such limit.
        rate_per_s: requests that are let in per second; () for no such limit.
        burst: how many of these may come at once; None for a tenth of a second's worth.
        chance: the share of requests that is refused whatever the limits.
        others: requests that other clients hold, of those let in.
        median_s, sigma: the lognormal time inside the API.
        refused_s: the time until a refusal is there.
        network_s: the time that a request and its answer spend under way, half each.
        noise: other clients come and go: the standard deviation of how many there are.
        rows: how many there are; None for as many as fit into `seconds`.
        retry_after_s: the hint that a refusal carries.
        has_header: whether answers show the account's requests in flight.
        refused_take_room: a refused request counts against the limit until it is answered, which
            no document says.
    """

    name: str
    seconds: float = 60.0
    concurrent: Steps = ()
    rate_per_s: Steps = ()
    burst: float | None = None
    chance: float = 0.0
    others: Steps = ((0.0, 0.0),)
    median_s: float = 0.09
    sigma: float = 0.35
    refused_s: float = 0.02
    network_s: float = 0.0
    noise: float = 0.0
    rows: int | None = None
    retry_after_s: float | None = None
    has_header: bool = True
    refused_take_room: bool = False

    def ideal_rows(self, from_s: float, to_s: float) -> float:
        """Rows that a client which knows the limits gets through between two times.

        The full bucket at the start and what is still in flight at the end are left out: each is
        a tenth of a second's worth, and they make up for one another.
        """
        mean_s = self.median_s * math.exp(self.sigma**2 / 2)
        turns = {at_s for at_s in self.turns() if from_s < at_s < to_s}
        times = [from_s, *sorted(turns), to_s]
        total = 0.0
        for start_s, end_s in pairwise(times):
            room = self.room_at(start_s) / mean_s
            total += min(room, value_at(self.rate_per_s, start_s, math.inf)) * (end_s - start_s)
        return total

    def room_at(self, at_s: float) -> float:
        """Requests that the client may have in flight, as long as nobody comes or goes."""
        others = value_at(self.others, at_s, 0.0)
        return max(0.0, value_at(self.concurrent, at_s, math.inf) - others)

    def burst_at(self, at_s: float) -> float:
        """Tokens that the rate's bucket holds."""
        if self.burst is not None:
            return self.burst
        return max(1.0, value_at(self.rate_per_s, at_s, math.inf) / 10)

    def turns(self) -> list[float]:
        """When something moves."""
        return sorted(
            {at_s for steps in (self.concurrent, self.rate_per_s, self.others) for at_s, _ in steps}
        )


def value_at(steps: Steps, at_s: float, default: float) -> float:
    """The value of a moving number at a time."""
    value = default
    for from_s, new in steps:
        if at_s < from_s:
            break
        value = new
    return value


def _at(value: float) -> Steps:
    return ((0.0, value),)


A = Scenario("A", concurrent=_at(100))
B = replace(A, name="B", others=_at(30))
C = Scenario("C", seconds=70.0, concurrent=((0.0, 100.0), (20.0, 40.0), (50.0, 100.0)))
D = Scenario("D", rate_per_s=_at(50))
A_FULL = replace(A, name="A, refused ones take room", refused_take_room=True)

MAIN = (A, B, C, D, A_FULL)

ENGINE = (C, A, B, D)
"""As long as in the simulation. The longest first, for the sake of the processes."""

HINTS = ((0.0, "0"), (1.0, "1 s"), (86_400.0, "a day"))

FURTHER = (
    replace(A, name="one in flight", concurrent=_at(1)),
    replace(A, name="5 in flight", concurrent=_at(5)),
    replace(A, name="1,000 in flight", concurrent=_at(1_000), seconds=20.0),
    Scenario("2/s", rate_per_s=_at(2), seconds=300.0),
    Scenario("1,000/s", rate_per_s=_at(1_000)),
    Scenario("50/s -> 20/s at 20 s -> 50/s at 50 s", 70.0, (), ((0.0, 50), (20.0, 20), (50.0, 50))),
    replace(D, name="both: 100 in flight and 50/s", concurrent=_at(100)),
    replace(D, name="both: 5 in flight and 50/s", concurrent=_at(5)),
    replace(A, name="both: 10 in flight and 200/s", concurrent=_at(10), rate_per_s=_at(200)),
    *(replace(A, name=f"A, Retry-After: {said}", retry_after_s=hint) for hint, said in HINTS),
    *(replace(D, name=f"D, Retry-After: {said}", retry_after_s=hint) for hint, said in HINTS),
    replace(D, name="D, a bucket of one", burst=1.0),
    replace(A, name="A, one in 20 refused by chance", chance=0.05),
    replace(A, name="A, 5 ms", median_s=0.005, refused_s=0.005, seconds=10.0),
    replace(A, name="A, 2 s", median_s=2.0, seconds=300.0),
    replace(D, name="D, 5 ms", median_s=0.005, refused_s=0.005),
    replace(D, name="D, 2 s", median_s=2.0, seconds=300.0),
    replace(A, name="ten rows, 100 in flight", rows=10),
    replace(A, name="ten rows, one in flight", rows=10, concurrent=_at(1)),
    replace(D, name="ten rows, 2/s", rows=10, rate_per_s=_at(2)),
    replace(A, name="A, no header", has_header=False),
    replace(B, name="B, no header", has_header=False),
    replace(C, name="C, no header", has_header=False),
    replace(D, name="D, no header", has_header=False),
    replace(A, name="A, 40 ms of network", network_s=0.04),
    replace(D, name="D, 40 ms of network", network_s=0.04),
    replace(B, name="B, others come and go (sd 5)", noise=5.0),
)
