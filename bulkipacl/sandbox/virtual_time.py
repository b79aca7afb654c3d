"""An event loop whose clock jumps instead of waiting, for code over real loopback sockets."""

from __future__ import annotations

import asyncio
import selectors

STUCK_AFTER_S = 5.0
"""Real seconds without an event or a timer before a test counts as hung."""


class _JumpingSelector(selectors.DefaultSelector):
    """Polls; where nothing is ready, moves the loop's clock to the next timer at once.

    Bytes between two sockets of one process on the loopback are there as soon as they are sent,
    so an empty poll means that nobody has anything to do before the next timer.
    """

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # A nanosecond per poll: code that waits for the clock to move must see it move.
        self.now += 1e-9
        events = super().select(0)
        if events or timeout == 0:
            return events
        if timeout is None:
            events = super().select(STUCK_AFTER_S)
            if not events:
                raise TimeoutError("nothing is under way, and nothing will be")
            return events
        # A thread that ends wakes the loop through a socket: give it a moment of real time.
        events = super().select(0.0002)
        if not events:
            self.now += timeout
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A selector loop in virtual time, from 0."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds."""
        return self._jumping.now
