"""Both event loops, and both sides of the transport."""

from __future__ import annotations

import pytest


@pytest.fixture(
    params=[("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})],
    ids=["asyncio", "uvloop"],
)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """The loop of the standard library, and the one that runs use where they can."""
    backend: tuple[str, dict[str, bool]] = request.param
    return backend


@pytest.fixture(params=["lane", "session"])
def kind(request: pytest.FixtureRequest) -> str:
    """The side of the transport."""
    name: str = request.param
    return name


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own proxies must not matter."""
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
