"""The end of a sandbox while requests are under way."""

from __future__ import annotations

import asyncio
import logging

import pytest
from sandbox_calls import Serve

from bulkipacl.sandbox import SandboxConfig
from bulkipacl.sandbox.limits import Latency
from bulkipacl.sandbox.serve import _CLOSING_S

LATENCY_S = 1.0


async def test_a_request_that_ends_with_the_sandbox(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """A request that is done in the very moment in which nobody waits for it any more: no word."""
    caller = await serve(SandboxConfig(latency=Latency(LATENCY_S)))
    loop = asyncio.get_running_loop()
    # As coarse as uvloop's: what is due within a millisecond is due in one turn of the loop.
    loop._clock_resolution = 1e-3  # type: ignore[attr-defined]
    calls = [asyncio.create_task(caller.create(f"10.0.0.{number}")) for number in range(5)]
    await asyncio.sleep(LATENCY_S - _CLOSING_S + 0.0002)
    with caplog.at_level(logging.ERROR):
        await caller.sandbox.aclose()
    assert [answer.status for answer in await asyncio.gather(*calls)] == [201] * len(calls)
    assert caplog.records == []


async def test_a_defect_is_still_told(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """What goes wrong in a request for another reason is logged."""
    caller = await serve(SandboxConfig())
    caller.sandbox.limits.accounts = None  # type: ignore[assignment]
    with caplog.at_level(logging.ERROR):
        assert (await caller.create()).status == 500
    assert [record.name for record in caplog.records] == ["aiohttp.server"]
