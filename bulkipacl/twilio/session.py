"""The plain side of the transport: `aiohttp.ClientSession`, tuned, with public names only.

It is the reference that the lane is held to, and what is used where the lane's needs are not met.
ClientSession sends GET and DELETE a second time when a kept-alive connection drops, which
`_WatchedRequest` stops, and takes connections on which the server has spoken out of turn, which
`_WatchedConnector` keeps from it. Python 3.11 writes a body one turn of the loop after that look;
what the server says in that turn is as good as what it says after the request: nothing can tell it
from the answer.

What this does not do: it retries nothing, follows no redirect, keeps no cookie.

    SessionTransport    `send`, `aclose`
    _WatchedConnector   gives out a connection only if nothing has been said on it
    _WatchedRequest     knows whether a byte was written, and lets each be written once
    _Exchange           what it notes down about one send
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from bulkipacl.model import Attempt, Request
from bulkipacl.settings import Settings
from bulkipacl.twilio.headers import (
    KEEPALIVE_S,
    STALE_TRIES,
    Heads,
    error_text,
    hear_out,
    lost,
    read_answer,
    read_body,
    timeout_text,
)
from bulkipacl.twilio.hosts import BaseUrl, Proxy


@dataclass(slots=True)
class _Exchange:
    """One send, as the request sees it: when its bytes went to the connection, or None."""

    written_at: float | None = None


_exchange: ContextVar[_Exchange] = ContextVar("bulkipacl_exchange")
"""ClientSession makes its request objects itself; this is how one learns whose it is."""


class _StaleConnectionError(Exception):
    """The connection was of no use before anything was written to it."""


class _SecondSendError(Exception):
    """ClientSession was about to send a request again by itself."""


class _WatchedConnector(aiohttp.TCPConnector):
    """Gives out no connection that is shut, or on which the server has already spoken.

    Here and not where the request is written: once ClientSession has the connection it begins a new
    parser, which would take half an answer heard after that for the beginning of its own.
    """

    async def connect(self, *args: Any, **kwargs: Any) -> aiohttp.connector.Connection:
        connection = await super().connect(*args, **kwargs)
        try:
            await hear_out()
            if connection.closed or connection.protocol is None or connection.protocol.should_close:
                raise _StaleConnectionError
        except BaseException:
            connection.close()
            raise
        return connection


class _WatchedRequest(aiohttp.ClientRequest):
    """A request that notes when it is written, and refuses to be written twice."""

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        if self.method != "CONNECT":
            exchange = _exchange.get()
            if exchange.written_at is not None:
                raise _SecondSendError
            exchange.written_at = asyncio.get_running_loop().time()
        return await super().send(conn)


class SessionTransport:
    """Sends requests through one ClientSession. Made inside a running loop."""

    def __init__(
        self,
        settings: Settings,
        base: BaseUrl,
        heads: Heads,
        *,
        tls: ssl.SSLContext | None,
        proxy: Proxy | None,
        wall_clock: Callable[[], float],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._settings = settings
        self._origin = base.origin
        self._heads = heads
        self._fields: dict[tuple[str, str], CIMultiDict[str]] = {}
        self._proxy = None if proxy is None else URL(proxy.url)
        self._proxy_headers = None
        if proxy is not None and proxy.authorization:
            self._proxy_headers = {"Proxy-Authorization": proxy.authorization}
        self._wall_clock = wall_clock
        self._session = aiohttp.ClientSession(
            connector=_WatchedConnector(
                limit=settings.max_in_flight,
                keepalive_timeout=KEEPALIVE_S,
                ssl=True if tls is None else tls,
            ),
            # Neither kept nor sent: the API uses none, and a jar costs per request.
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=settings.timeout_s,
                connect=min(settings.connect_timeout_s, settings.timeout_s),
                sock_read=settings.read_timeout_s,
            ),
            request_class=_WatchedRequest,
            # `headers.decode` is stricter, and bounded.
            auto_decompress=False,
        )

        # Private, so only if it is there: it spares a connection that `_WatchedRequest`, which is
        # what holds the promise, would not let be used.
        if hasattr(self._session, "_retry_connection"):
            self._session._retry_connection = False

    async def send(self, request: Request) -> Attempt:
        """Send once; see `transport.Transport.send`."""
        self._heads.check(request)
        headers = self._headers(request)
        url = URL(self._origin + request.path, encoded=True)
        # Bytes, never a dict: encoding one is a third of a request's cost. None keeps aiohttp from
        # naming the type of a body that is not there.
        body = request.body if request.body or request.method == "POST" else None
        started = self._loop.time()
        for _ in range(STALE_TRIES):
            exchange = _Exchange()
            _exchange.set(exchange)
            status = 0
            try:
                async with self._session.request(
                    request.method,
                    url,
                    headers=headers,
                    data=body,
                    allow_redirects=False,
                    proxy=self._proxy,
                    proxy_headers=self._proxy_headers,
                ) as response:
                    status = response.status
                    content = await read_body(response.content)
                    attempt = read_answer(
                        status,
                        response.headers,
                        content,
                        self._loop.time() - (exchange.written_at or started),
                        self._wall_clock(),
                    )
                    return self._heads.without_secret(request, attempt)
            except _StaleConnectionError:
                continue
            except Exception as exc:
                return self._lost(exc, exchange, status)
        return self._lost("the server speaks before it is asked", _Exchange(), 0)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()

    def _headers(self, request: Request) -> CIMultiDict[str]:
        key = (request.account_sid, request.method)
        headers = self._fields.get(key)
        if headers is None:
            headers = self._fields[key] = CIMultiDict(self._heads.fields(request))
        return headers

    def _lost(self, exc: Exception | str, exchange: _Exchange, status: int) -> Attempt:
        written_at = exchange.written_at
        now = self._loop.time()
        if isinstance(exc, _SecondSendError):
            exc = "the connection was closed before the answer was complete"
        elif isinstance(exc, TimeoutError):
            exc = (
                f"no connection within {self._settings.connect_timeout_s:g} s"
                if written_at is None
                else timeout_text(exc, self._settings)
            )
        return lost(
            exc if isinstance(exc, str) else error_text(exc),
            sent=written_at is not None,
            status=status,
            duration_s=0.0 if written_at is None else now - written_at,
            finished_at=self._wall_clock(),
        )
