"""Engine and sandbox in one event loop, over real loopback sockets, in virtual time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from no_waiting import MEMORY, PromptTimeLoop
from world import World


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """A loop whose time jumps to the next timer when no socket has anything to say."""
    return ("asyncio", {"loop_factory": PromptTimeLoop})


@pytest.fixture
def world() -> Iterator[World]:
    """A place for one sandbox and runs against it."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as place:
        yield World(Path(place))
