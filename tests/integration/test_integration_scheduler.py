"""Who is sent next: lanes in turn, under one cap, and none sits on all permits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import anyio
import pytest

from bulkipacl.engine.ports import Sendable
from bulkipacl.engine.scheduler import Scheduler
from bulkipacl.model import Attempt, Reach, Request


class Wire:
    """Answers each request when the lane's latency is over, in the test's own time."""

    def __init__(self, latency_s: Callable[[str], float]) -> None:
        self.order: list[str] = []
        self.most = 0
        self.now = 0
        self._latency_s = latency_s

    async def send(self, request: Request) -> Attempt:
        """Wait, and answer."""
        self.order.append(request.account_sid)
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(self._latency_s(request.account_sid))
        self.now -= 1
        return Attempt(Reach.ANSWERED, 200)

    async def aclose(self) -> None:
        """Nothing is open."""


class Queue:
    """A lane with so many requests."""

    def __init__(self, name: str, count: int, window: int = 1_000) -> None:
        self.is_scheduled = self.is_sated = False
        self.in_flight = 0
        self.left = count
        self.ended_at = 0.0
        self._name = name
        self._window = window

    def take(self) -> tuple[Sendable, Any] | None:
        """The next one."""
        if not self.left or self.in_flight >= self._window:
            return None
        self.left -= 1
        self.in_flight += 1
        return cast(Sendable, self), None

    @property
    def request(self) -> Request:
        """What is sent."""
        return Request(self._name, "GET", "/")

    def returned(self, sendable: Sendable, permit: Any, attempt: Attempt) -> None:
        """An answer."""
        self.in_flight -= 1
        if not self.left and not self.in_flight:
            self.ended_at = asyncio.get_running_loop().time()

    @property
    def is_done(self) -> bool:
        """Whether all were answered."""
        return not self.left and not self.in_flight


async def carry_out(wire: Wire, limit: int, *queues: Queue) -> Scheduler:
    """Send all that the queues have."""
    scheduler = Scheduler(wire, limit)
    async with anyio.create_task_group() as group:
        scheduler.start(group)
        for queue in queues:
            scheduler.wake(queue)
        while not all(queue.is_done for queue in queues):  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.01)
        scheduler.close()
    return scheduler


async def test_lanes_take_turns_under_one_cap() -> None:
    """Of two lanes with work, neither gets ahead; the cap over both holds."""
    wire = Wire(lambda _: 0.1)
    scheduler = await carry_out(wire, 4, Queue("a", 20), Queue("b", 20))
    assert wire.most == 4
    assert scheduler.sent == 40
    assert scheduler.in_flight == 0
    for end in range(8, 40, 2):
        # The first was woken first, and had all four permits once.
        assert abs(wire.order[:end].count("a") - wire.order[:end].count("b")) <= 4


async def test_a_slow_lane_does_not_sit_on_all_permits() -> None:
    """A lane that answers fifty times as slowly leaves the other its share of the cap."""
    slow, fast = Queue("slow", 40), Queue("fast", 400)
    wire = Wire(lambda name: 5.0 if name == "slow" else 0.1)
    began = asyncio.get_running_loop().time()
    await carry_out(wire, 20, slow, fast)
    # Half of the cap: 10 in flight for 0.1 s each; the slow one had taken the whole cap first.
    assert fast.ended_at - began <= 5.0 + 400 / 10 * 0.1 + 1.0
    assert wire.most == 20


async def test_one_lane_alone_has_the_whole_cap() -> None:
    """A share is kept for others only while they wait."""
    wire = Wire(lambda _: 0.1)
    await carry_out(wire, 8, Queue("a", 80))
    assert wire.most == 8


@pytest.mark.parametrize("limit", [1, 3])
async def test_many_lanes_with_few_requests(limit: int) -> None:
    """A thousand lanes of one request are all sent, whatever the cap."""
    wire = Wire(lambda _: 0.001)
    queues = [Queue(f"q{number}", 1) for number in range(1_000)]
    scheduler = await carry_out(wire, limit, *queues)
    assert scheduler.sent == 1_000
    assert wire.most == limit
