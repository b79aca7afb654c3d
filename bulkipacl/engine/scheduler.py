"""Which request is sent next, and the fixed pool of workers that send it.

    Lane        who has sendables: an account, asked only for the next one that may be sent
    Scheduler   the workers, one cap over all lanes, lanes in turn

A waiting sendable holds no permit and no worker: it lies in its lane's queue, or in a timer of
the event loop. Finding the next one costs O(1) however many lanes and sendables wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Protocol

from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint_if_cancelled

from bulkipacl.engine.ports import Sendable
from bulkipacl.model import Attempt
from bulkipacl.twilio.transport import Transport


class Lane(Protocol):
    """A queue of sendables with a say in whether one may be sent.

    Attributes:
        is_scheduled: the scheduler is about to ask it; the scheduler's own mark.
        is_sated: after `take`, it need not be asked again before it wakes the scheduler, or
            before an attempt of it returns.
        in_flight: requests of it that are sent and unanswered.
    """

    is_scheduled: bool
    is_sated: bool
    in_flight: int

    def take(self) -> tuple[Sendable, Any] | None:
        """The next one, with its permit taken; None where none may be sent now.

        The permit, of a kind that the lane alone knows, comes back with the attempt.
        """

    def returned(self, sendable: Sendable, permit: Any, attempt: Attempt) -> None:
        """An attempt has ended: give the permit back and pass it on."""


Taken = tuple[Lane, Sendable, Any]


class Scheduler:
    """Sends what the lanes have, `limit` at once over all of them.

    Attributes:
        in_flight: requests sent and unanswered.
        sent: requests sent so far.
        is_closed: nothing more is sent.
    """

    def __init__(self, transport: Transport, limit: int) -> None:
        self.in_flight = 0
        self.sent = 0
        self._transport = transport
        self._limit = limit
        self._workers = 0
        self._group: TaskGroup
        self._lanes: deque[Lane] = deque()
        self._idle: deque[asyncio.Future[Taken | None]] = deque()
        self.is_closed = False
        self._is_handling = False

    @property
    def waiting(self) -> int:
        """Lanes that may send, and wait for a permit."""
        return len(self._lanes)

    @property
    def is_full(self) -> bool:
        """Whether nothing more can be sent now."""
        return self.in_flight >= self._limit

    def start(self, group: TaskGroup) -> None:
        """Begin; workers are started when there is work for one more, up to the limit."""
        self._group = group

    def close(self) -> None:
        """Let every worker end once it has nothing in hand."""
        self.is_closed = True
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)

    def wake(self, lane: Lane) -> None:
        """A lane may have become able to send."""
        if not lane.is_scheduled:
            lane.is_scheduled = True
            self._lanes.append(lane)
        if not self._is_handling:
            self._is_handling = True
            self._hand_out()
            self._is_handling = False

    def _hand_out(self) -> None:
        while self._lanes and not self.is_closed:
            while self._idle and self._idle[0].done():  # Its worker is being cancelled.
                self._idle.popleft()
            if not self._idle and self._workers >= self._limit:
                return
            taken = self._pick()
            if taken is None:
                return
            if self._idle:
                self._idle.popleft().set_result(taken)
            else:
                self._workers += 1
                self._group.start_soon(self._work, taken)

    def _pick(self) -> Taken | None:
        lanes = self._lanes
        while lanes and self.in_flight < self._limit:
            lane = lanes[0]
            waiting = len(lanes)
            if waiting > 1 and lane.in_flight * waiting > self._limit:
                # A slow one does not sit on all permits: not all lanes can be above their share.
                lanes.rotate(-1)
                continue
            taken = lane.take()
            if taken is None or lane.is_sated:
                # It wakes us when that changes.
                lanes.popleft()
                lane.is_scheduled = False
                if taken is None:
                    continue
            elif waiting > 1:
                lanes.rotate(-1)
            self.in_flight += 1
            return lane, *taken
        return None

    async def _work(self, first: Taken) -> None:
        loop, send, lanes = asyncio.get_running_loop(), self._transport.send, self._lanes
        taken: Taken | None = first
        await checkpoint_if_cancelled()  # Begun for a run that is being cut: it sends nothing.
        while True:
            if taken is None:
                if self.is_closed:
                    return
                waiter = loop.create_future()
                self._idle.append(waiter)
                taken = await waiter
                if taken is None:
                    return
            lane, sendable, permit = taken
            self.sent += 1
            attempt = await send(sendable.request)
            self.in_flight -= 1
            # This worker takes the next one itself: handing it to an idle one would cost a
            # future and a turn of the loop per request.
            self._is_handling = True
            lane.returned(sendable, permit, attempt)
            if not lane.is_scheduled:
                lane.is_scheduled = True
                lanes.append(lane)
            taken = self._pick()
            if lanes:
                self._hand_out()
            self._is_handling = False
