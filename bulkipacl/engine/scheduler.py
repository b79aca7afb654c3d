"""Which request is sent next, and the fixed pool of workers that send it.

    Lane        who has sendables: an account, asked only whether it may send and for the next
    Scheduler   the workers, one cap over all lanes, lanes in turn

A waiting sendable holds no permit and no worker: it lies in its lane's queue, or in a timer of
the event loop. Finding the next one costs O(1) however many lanes and sendables wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from anyio.abc import TaskGroup

from bulkipacl.engine.ports import Sendable
from bulkipacl.model import Attempt
from bulkipacl.twilio.transport import Transport


class Lane(Protocol):
    """A queue of sendables with a say in whether one may be sent."""

    is_scheduled: bool

    def can_send(self) -> bool:
        """Whether there is one that may be sent now."""

    def take(self) -> Sendable | None:
        """The next one, with its permit taken; None where it took itself back."""

    def returned(self, sendable: Sendable, attempt: Attempt) -> None:
        """An attempt has ended: give the permit back and pass it on."""


class Scheduler:
    """Sends what the lanes have, `limit` at once over all of them.

    Attributes:
        in_flight: requests sent and unanswered.
        sent: requests sent so far.
    """

    def __init__(self, transport: Transport, limit: int) -> None:
        self.in_flight = 0
        self.sent = 0
        self._transport = transport
        self._limit = limit
        self._lanes: deque[Lane] = deque()
        self._idle: deque[asyncio.Future[tuple[Lane, Sendable] | None]] = deque()
        self._is_closed = False
        self._is_handling = False

    def start(self, group: TaskGroup) -> None:
        """Start the workers."""
        for _ in range(self._limit):
            group.start_soon(self._work)

    def close(self) -> None:
        """Let every worker end once it has nothing in hand."""
        self._is_closed = True
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)

    def wake(self, lane: Lane) -> None:
        """A lane may have become able to send."""
        if not lane.is_scheduled and lane.can_send():
            lane.is_scheduled = True
            self._lanes.append(lane)
        if not self._is_handling:
            self._hand_out()

    def _hand_out(self) -> None:
        while self._idle:
            if self._idle[0].done():  # Its worker is being cancelled.
                self._idle.popleft()
            elif (taken := self._pick()) is not None:
                self._idle.popleft().set_result(taken)
            else:
                return

    def _pick(self) -> tuple[Lane, Sendable] | None:
        lanes = self._lanes
        while lanes and self.in_flight < self._limit:
            lane = lanes.popleft()
            lane.is_scheduled = False
            if not lane.can_send():
                continue
            sendable = lane.take()
            if not lane.is_scheduled and lane.can_send():
                lane.is_scheduled = True
                lanes.append(lane)
            if sendable is not None:
                self.in_flight += 1
                return lane, sendable
        return None

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        taken = self._pick()
        while True:
            if taken is None:
                if self._is_closed:
                    return
                waiter = loop.create_future()
                self._idle.append(waiter)
                taken = await waiter
                if taken is None:
                    return
            lane, sendable = taken
            self.sent += 1
            attempt = await self._transport.send(sendable.request)
            self.in_flight -= 1
            # This worker takes the next one itself: handing it to an idle one would cost a
            # future and a turn of the loop per request.
            self._is_handling = True
            lane.returned(sendable, attempt)
            if not lane.is_scheduled and lane.can_send():
                lane.is_scheduled = True
                self._lanes.append(lane)
            taken = self._pick()
            self._is_handling = False
            if self._lanes:
                self._hand_out()
