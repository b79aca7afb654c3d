"""What these tests need not wait for: a thread, and the disk.

PromptTimeLoop   virtual time for code that uses no thread
MEMORY           where a file is made durable at once, or None: then it is an ordinary place
"""

from __future__ import annotations

import asyncio
import os
import selectors
import shutil
from pathlib import Path

from bulkipacl.sandbox.virtual_time import STUCK_AFTER_S

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - what is made in it has a name of its own
_ROOM_BYTES = 1_000_000_000
"""Some systems have such a place, but hardly any room there."""


def _memory() -> str | None:
    is_usable = os.access(_SHARED_MEMORY, os.W_OK)
    if is_usable and shutil.disk_usage(_SHARED_MEMORY).free > _ROOM_BYTES:
        return str(_SHARED_MEMORY)
    return None


MEMORY = _memory()
"""Power cuts are not the matter of these tests: what a process has written outlives its death."""


class _PromptSelector(selectors.DefaultSelector):
    """Polls; where nothing is ready, moves the loop's clock to the next timer at once.

    The sandbox's own loop waits a millisecond for a thread before each such jump. Here is none:
    what could still come are bytes on the loopback that the kernel has not delivered yet.
    """

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # A nanosecond per poll: code that waits for the clock to move must see it move.
        self.now += 1e-9
        events = super().select(0)
        if timeout == 0:
            return events
        for _ in range(3):
            if events:
                return events
            os.sched_yield()  # On a busy machine the kernel delivers them in a thread of its own.
            events = super().select(0)
        if timeout is not None:
            self.now += 0.0 if events else timeout
        elif not events and not (events := super().select(STUCK_AFTER_S)):
            raise TimeoutError("nothing is under way, and nothing will be")
        return events


class PromptTimeLoop(asyncio.SelectorEventLoop):
    """A selector loop in virtual time, from 0."""

    def __init__(self) -> None:
        self._prompt = _PromptSelector()
        super().__init__(self._prompt)

    def time(self) -> float:
        """Virtual seconds."""
        return self._prompt.now
