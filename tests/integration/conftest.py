"""Engine and sandbox in one event loop, over real loopback sockets, in virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from world import World

from bulkipacl.sandbox.virtual_time import VirtualTimeLoop


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """A loop whose time jumps to the next timer when no socket has anything to say."""
    return ("asyncio", {"loop_factory": VirtualTimeLoop})


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A place for one sandbox and runs against it."""
    return World(tmp_path)
