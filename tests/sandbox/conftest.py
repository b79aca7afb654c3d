"""A sandbox inside the test's own loop, and one as a process."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import orjson
import pytest
from sandbox_calls import Caller, Serve, process

from bulkipacl.sandbox import SandboxConfig, start
from bulkipacl.sandbox.virtual_time import VirtualTimeLoop


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """The sandbox runs on asyncio alone; its latencies and late effects take no real time here."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts sandboxes in the running loop, and stops them after the test."""
    async with AsyncExitStack() as stack:

        async def make(config: SandboxConfig) -> Caller:
            sandbox = await start(config)
            stack.push_async_callback(sandbox.aclose)
            connector = aiohttp.TCPConnector(force_close=True, limit=0)
            session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            return Caller(sandbox, session)

        yield make


@pytest.fixture(scope="module")
def ready() -> Iterator[dict[str, Any]]:
    """What a sandbox process says when it is ready, for the tests of one module."""
    with process("accounts=2, lists=3, entries=7, seed=5") as running:
        assert running.stdout is not None
        line = running.stdout.readline()
        yield orjson.loads(line)
