"""How the process is set up while a run sends: its event loop, and its garbage collector.

run_in_loop        carries out a coroutine so
rare_collections   the collector's part of it
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import anyio

T = TypeVar("T")

YOUNG_OBJECTS = 10_000
"""New objects before the collector looks at them. A request in flight is some dozens of objects,
none of them garbage: at Python's 700, it looks at the same ones again and again, for some 5 us a
request (measured)."""

OLDER = (3, 2)
"""So many collections of the young before the middle, and of these before the old. A list that is
done with is a ring of objects, and rare as the first are now, Python's 10 and 10 would leave a
hundred thousand rows of them lying (50 MB at 200,000 rows, measured)."""


def run_in_loop(work: Callable[[], Awaitable[T]]) -> T:
    """Carry out `work` in an event loop of its own.

    The loop is uvloop where the platform has it, else asyncio's: a request costs less on it over
    plain HTTP and over TLS (`benchmarks/transport.py`), so that there is nothing to choose.
    """
    with rare_collections():
        return anyio.run(work, backend_options=_backend())


def _backend() -> dict[str, bool]:
    try:
        import uvloop  # noqa: F401
    except ImportError:
        return {}
    return {"use_uvloop": True}


@contextmanager
def rare_collections() -> Iterator[None]:
    """Inside, what exists already is not looked at, and what is new less often.

    Both are put back in the end: the process may be somebody else's. `gc.unfreeze` would undo a
    caller's own `gc.freeze`, too: where there was one, nothing is frozen here.
    """
    if sys.implementation.name != "cpython":
        yield
        return
    young, *older = gc.get_threshold()
    is_frozen_here = gc.get_freeze_count() == 0
    if is_frozen_here:
        gc.freeze()
    if 0 < young < YOUNG_OBJECTS:  # 0 is the caller's way to have no collections at all.
        gc.set_threshold(YOUNG_OBJECTS, *OLDER)
    try:
        yield
    finally:
        gc.set_threshold(young, *older)
        if is_frozen_here:
            gc.unfreeze()
