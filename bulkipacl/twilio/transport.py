"""The seam between the engine and the wire: one request in, one `Attempt` out.

There are two sides, held to the same behaviour by one contract test: the lane (`lane.py`), which
costs a quarter, and the session (`session.py`), which uses nothing but documented aiohttp.

What this does not do: no retry, no redirect, no cookie, no limit on rate. The credential goes to
the configured host alone: the whole target is made here from `BaseUrl` and the request's path.

    Transport        the seam
    open_transport   builds one side
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from typing import Protocol

from bulkipacl.credentials import CredentialMap
from bulkipacl.errors import TransportError, UsageError
from bulkipacl.model import Attempt, Request
from bulkipacl.settings import Settings
from bulkipacl.twilio import lane
from bulkipacl.twilio.headers import Heads
from bulkipacl.twilio.hosts import BaseUrl, find_proxy
from bulkipacl.twilio.session import SessionTransport

_log = logging.getLogger(__name__)


class Transport(Protocol):
    """Carries requests, each of them at most once."""

    async def send(self, request: Request) -> Attempt:
        """Send a request once, and say how far it came.

        What goes wrong on the way is an `Attempt`, too. `duration_s` counts from the first byte
        written; `Settings.timeout_s` counts from the call, connecting included. If a head was
        read but the body is broken, the reach is MAYBE_SENT and the status is that of the head.

        Raises:
            CancelledError: the caller was cancelled; the connection is closed, so the request
                may have taken effect.
            CredentialError: the account has no credential. Read it beforehand, in a thread
                (`CredentialMap.for_account` may run a command); here it would block the loop.
            ValueError: the method or path is not one that the contract makes.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections; what is in flight is lost."""
        ...


def open_transport(
    settings: Settings,
    base: BaseUrl,
    credentials: CredentialMap,
    *,
    kind: str = "auto",
    wall_clock: Callable[[], float] = time.time,
) -> Transport:
    """Build a transport; call it inside the running loop that will use it.

    A proxy named by HTTPS_PROXY is used by both sides, as a tunnel: the connector makes it, so
    the lane needs nothing of its own for it.

    Args:
        kind: `lane`, `session`, or `auto`: the lane unless the installed aiohttp has changed
            below its documented surface, which is then logged as a warning.
        wall_clock: Unix seconds, for `Attempt.finished_at`.

    Raises:
        TransportError: the CA bundle or the proxy cannot be used, or the lane was asked for and
            cannot be had.
        UsageError: an unknown kind.
    """
    if kind not in ("auto", "lane", "session"):
        raise UsageError(f"no transport is called {kind!r}", hint="auto, lane or session")
    loop = asyncio.get_running_loop()
    tls = _tls_context(settings.tls_ca_file) if base.is_tls else None
    proxy = find_proxy(base)
    heads = Heads(base, credentials)
    problem = None if kind == "session" else lane.find_problem(loop)
    if problem is not None:
        if kind == "lane":
            raise TransportError(
                f"the lane does not fit the installed aiohttp: {problem}",
                hint="use the transport `session` or `auto`",
            )
        _log.warning("the slower transport is used, as aiohttp has changed: %s", problem)
    if kind == "session" or problem is not None:
        return SessionTransport(settings, base, heads, tls=tls, proxy=proxy, wall_clock=wall_clock)
    return lane.LaneTransport(settings, base, heads, tls=tls, proxy=proxy, wall_clock=wall_clock)


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Verifies certificate and name, against the given authorities alone if there are any."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as exc:
        why = "it holds no certificate" if isinstance(exc, ssl.SSLError) else exc.strerror
        raise TransportError(
            f"the CA bundle {ca_file} cannot be used: {why}", hint="give a PEM file"
        ) from exc
    context.set_alpn_protocols(["http/1.1"])
    return context
