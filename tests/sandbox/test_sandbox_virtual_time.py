"""The sandbox goes by the loop's clock alone, so a loop with virtual time runs it."""

import asyncio
import selectors
import time
from typing import Any

import aiohttp
import pytest
from sandbox_calls import Serve

from bulkipacl.sandbox import Fault, Latency, Limit, SandboxConfig


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: where no socket is ready, it lets the time of the next timer come at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        """Sockets that are ready now."""
        ready = super().select(0)
        self.now_s += 1e-9
        if not ready and timeout:
            self.now_s += timeout
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time is its selector's."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds."""
        return self._jumping.now_s


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """asyncio on a loop with virtual time."""
    return "asyncio", {"loop_factory": _VirtualLoop}


async def test_latency_limits_and_hangs(serve: Serve) -> None:
    """Minutes of latency, pacing and hanging pass in a moment, and come out exact."""
    began_s, loop = time.monotonic(), asyncio.get_running_loop()
    caller = await serve(SandboxConfig(latency=Latency(10.0), limits=(Limit("rate", 1),)))
    start_s = loop.time()
    assert (await caller.call("GET", "/SIP/Domains", timeout_s=100)).status == 200
    assert loop.time() - start_s == pytest.approx(10.0, abs=0.01)
    first, second = await asyncio.gather(
        caller.call("GET", "/SIP/Domains", timeout_s=100),
        caller.call("GET", "/SIP/Domains", timeout_s=100),
    )
    assert sorted((first.status, second.status)) == [200, 429]
    hanging = await serve(SandboxConfig(faults=(Fault("hang_after", 1.0),), hang_s=60.0))
    start_s = loop.time()
    with pytest.raises(aiohttp.ClientConnectionError):
        # Not a GET: the session would send that again by itself, and wait twice.
        await hanging.call("POST", hanging.entries_path(), timeout_s=1000)
    assert loop.time() - start_s == pytest.approx(60.0, abs=0.01)
    assert time.monotonic() - began_s < 5
