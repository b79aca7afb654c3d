"""What waits to be sent for one account: its lists in turn, so that none waits for another's rows.

Turns   the account's queue
Place   one list's place in it
"""

from __future__ import annotations

from collections import deque

from bulkipacl.engine.ports import Sendable


class Place:
    """What one list wants to send, in its order.

    Attributes:
        rows: how many it has still to send, as far as is known.
    """

    __slots__ = ("rows", "waiting")

    def __init__(self) -> None:
        self.rows = 0
        self.waiting: deque[Sendable] = deque()


class Turns:
    """Places in turn. Everything costs O(1), however much waits.

    Attributes:
        size: sendables that wait.
        rows: what all open places have still to send.
        done: rows that were sent, or whose list is done with.
    """

    __slots__ = ("_first", "_ring", "done", "rows", "size")

    def __init__(self) -> None:
        self.size = 0
        self.rows = 0
        self.done = 0
        self._ring: deque[Place] = deque()
        self._first: Sendable | None = None

    def expect(self, place: Place, rows: int) -> None:
        """A list has so many rows to send."""
        place.rows += rows
        self.rows += rows

    def closed(self, place: Place, *, is_ended: bool) -> None:
        """Its list is done with; `is_ended`: so are the rows that were not sent."""
        self.rows -= place.rows
        self.done += place.rows if is_ended else 0
        place.rows = 0

    def push(self, place: Place, sendable: Sendable) -> None:
        """Queue it behind what its list has waiting."""
        if not place.waiting:
            self._ring.append(place)
        place.waiting.append(sendable)
        self.size += 1

    def put_first(self, sendable: Sendable) -> None:
        """Queue it before all others."""
        self._first = sendable
        self.size += 1

    def pop(self) -> Sendable:
        """The next one."""
        self.size -= 1
        if self._first is not None:
            first, self._first = self._first, None
            return first
        ring = self._ring
        place = ring[0]
        sendable = place.waiting.popleft()
        if not place.waiting:
            ring.popleft()
        elif len(ring) > 1:
            ring.rotate(-1)
        if place.rows:
            place.rows -= 1
            self.rows -= 1
            self.done += 1
        return sendable

    def drain(self) -> list[Sendable]:
        """All of them; then it is empty."""
        return [self.pop() for _ in range(self.size)]
