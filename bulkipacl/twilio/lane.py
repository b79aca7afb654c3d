"""The fast side of the transport: a request's own bytes on a connection of aiohttp's pool.

aiohttp keeps what it does well: names, TCP, TLS, tunnels, the pool, the parser. Its ClientSession,
two thirds of a request's cost, is left out: the lane takes a connection, writes one ready-made
block of bytes, reads one answer with the connection's own parser, and gives the connection back.
So every send is ours: a request is either surely not written, or written exactly once.

This goes below what aiohttp documents. All such use is in this file, and `find_problem` tries it
out before a run trusts it.

What this does not do: it retries nothing, follows no redirect, keeps no cookie.

    LaneTransport   `send`, `aclose`
    _Deadlines      one timer for all exchanges
    _Exchange       one request on its connection
    find_problem    why the installed aiohttp cannot carry the lane, if so
"""

from __future__ import annotations

import asyncio
import inspect
import math
import ssl
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from yarl import URL

from bulkipacl.model import Attempt, Request
from bulkipacl.settings import Settings
from bulkipacl.twilio.headers import (
    KEEPALIVE_S,
    STALE_TRIES,
    Heads,
    hear_out,
    lost,
    read_answer,
    read_body,
    timeout_text,
)
from bulkipacl.twilio.hosts import BaseUrl, Proxy


class LaneTransport:
    """Sends requests on the connections of one TCPConnector. Made inside a running loop."""

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
        self._heads = heads
        self._wall_clock = wall_clock
        self._connector = aiohttp.TCPConnector(
            limit=settings.max_in_flight,
            keepalive_timeout=KEEPALIVE_S,
            ssl=True if tls is None else tls,
        )
        self._target = _make_target(base, proxy, self._loop)
        self._connect_timeout_s = min(settings.connect_timeout_s, settings.timeout_s)
        self._timeout = aiohttp.ClientTimeout(total=None, connect=self._connect_timeout_s)
        # aiohttp's own timer of silence is set at every read; the deadline makes it needless
        # where it could not strike first.
        is_silence_first = settings.read_timeout_s < settings.timeout_s
        self._silence_s = settings.read_timeout_s if is_silence_first else None
        self._deadlines = _Deadlines(self._loop, settings.timeout_s)

    async def send(self, request: Request) -> Attempt:
        """Send once; see `transport.Transport.send`."""
        data = self._heads.wire_bytes(request)
        started = self._loop.time()
        try:
            exchange = await self._take()
        except Exception as exc:
            # Structural, not a guess: nothing has been written yet.
            return self._not_sent(exc)
        self._deadlines.add(exchange, started)
        written = self._loop.time()
        try:
            body = await exchange.run(data, self._silence_s)
        except Exception as exc:
            exchange.cut()
            return lost(
                timeout_text(exc, self._settings) if isinstance(exc, TimeoutError) else exc,
                sent=True,
                status=exchange.status,
                duration_s=self._loop.time() - written,
                finished_at=self._wall_clock(),
            )
        except BaseException:
            # Cancelled: the answer may still come, and must not meet the next request.
            exchange.cut()
            raise
        finally:
            self._deadlines.remove(exchange)
        # Closes it instead if the server said so, or has sent more than the answer.
        exchange.connection.release()
        attempt = read_answer(
            exchange.status,
            exchange.headers,
            body,
            self._loop.time() - written,
            self._wall_clock(),
        )
        return self._heads.without_secret(request, attempt)

    async def aclose(self) -> None:
        """Close all connections."""
        self._deadlines.close()
        await self._connector.close()

    async def _take(self) -> _Exchange:
        """A connection on which nothing has been said yet; the pool's first, else a new one."""
        for _ in range(STALE_TRIES):
            connection = await self._connector.connect(self._target, [], self._timeout)
            try:
                await hear_out()
            except BaseException:
                connection.close()
                raise
            protocol = connection.protocol
            # An answer that is there before the question would be taken for this one's: aiohttp
            # gives out such connections (3.14). And what is closing swallows what is written.
            if protocol is not None and not protocol.should_close:
                transport = protocol.transport
                if transport is not None and not transport.is_closing():
                    return _Exchange(connection, protocol, transport)
            connection.close()
        raise _StaleError

    def _not_sent(self, exc: Exception) -> Attempt:
        why: Exception | str = exc
        if isinstance(exc, TimeoutError):
            why = f"no connection within {self._connect_timeout_s:g} s"
        elif isinstance(exc, _StaleError):
            why = "the server speaks before it is asked"
        return lost(why, sent=False, status=0, duration_s=0.0, finished_at=self._wall_clock())


class _StaleError(Exception):
    """No connection could be had that was fit to be written to."""


class _Exchange:
    """One request on its connection."""

    __slots__ = (
        "_payload",
        "_protocol",
        "_transport",
        "connection",
        "deadline",
        "headers",
        "status",
    )

    def __init__(
        self, connection: Connection, protocol: ResponseHandler, transport: asyncio.Transport
    ) -> None:
        self.connection = connection
        self._protocol = protocol
        self._transport = transport
        self._payload: aiohttp.StreamReader | None = None
        self.deadline = 0.0
        self.status = 0
        self.headers: Mapping[str, str] = {}

    async def run(self, data: bytes, silence_s: float | None) -> bytes:
        """Write the request, return the answer's body; status and headers are kept here."""
        protocol = self._protocol
        protocol.set_response_params(
            # Without a length, a body ends with its connection.
            read_until_eof=True,
            # `headers.decode` is stricter, and bounded.
            auto_decompress=False,
            read_timeout=silence_s,
        )
        self._transport.write(data)
        while True:
            if silence_s is not None:
                protocol.start_timeout()
            message, payload = await protocol.read()
            # Interim answers (100, 103) announce the one that counts; 101 would end HTTP.
            if message.code >= 200 or message.code == 101:
                break
        self.status = message.code
        self.headers = message.headers
        if payload.is_eof():
            # All of it came with the head, as nearly always: at most what one read holds.
            return payload.read_nowait()
        self._payload = payload
        return await read_body(payload)

    def expire(self) -> None:
        """End the waiting with a TimeoutError: for the head, and for the body."""
        late = TimeoutError()
        self._protocol.set_exception(late)
        if self._payload is not None:
            self._payload.set_exception(late)

    def cut(self) -> None:
        """Close the connection at once; bytes not yet on their way stay here."""
        self._transport.abort()
        self.connection.close()


class _Deadlines:
    """One timer for all exchanges: they have the same time, so the oldest is due first.

    Two dictionary operations an exchange, where a timer of its own costs several times as much.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        self._loop = loop
        self._timeout_s = timeout_s
        # In the order of their deadlines, or nearly so: an exchange is added once connected, up
        # to the connect timeout after it began. `_strike` therefore looks at all of them.
        self._running: dict[_Exchange, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._strikes_at = math.inf

    def add(self, exchange: _Exchange, started: float) -> None:
        """Watch an exchange that began at `started` (loop time)."""
        exchange.deadline = started + self._timeout_s
        self._running[exchange] = None
        if exchange.deadline < self._strikes_at:
            self._arm(exchange.deadline)

    def remove(self, exchange: _Exchange) -> None:
        """Stop watching an exchange."""
        self._running.pop(exchange, None)

    def close(self) -> None:
        """Drop the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._strikes_at = when
        self._timer = self._loop.call_at(when, self._strike)

    def _strike(self) -> None:
        """Expire what is due; sleep until the next deadline: about once per timeout, then."""
        self._strikes_at = math.inf
        now = self._loop.time()
        for exchange in [each for each in self._running if each.deadline <= now]:
            del self._running[exchange]
            exchange.expire()
        if self._running:
            self._arm(min(each.deadline for each in self._running))


def _make_target(
    base: BaseUrl, proxy: Proxy | None, loop: asyncio.AbstractEventLoop
) -> aiohttp.ClientRequest:
    """What the connector is asked to connect to: a request that is never sent itself."""
    proxy_headers = None
    if proxy is not None:
        # The connector adds Host to these at its first tunnel, and they are part of the pool's
        # key: given from the start, the key stays the same.
        proxy_headers = {"Host": base.host_header}
        if proxy.authorization:
            proxy_headers["Proxy-Authorization"] = proxy.authorization
    return aiohttp.ClientRequest(
        "GET",
        URL(base.origin + "/", encoded=True),
        loop=loop,
        proxy=None if proxy is None else URL(proxy.url),
        proxy_headers=proxy_headers,
    )


def find_problem(loop: asyncio.AbstractEventLoop) -> str | None:
    """Why the installed aiohttp cannot carry the lane, or None; no network, some 100 us.

    It tries the parts rather than comparing versions: what counts is that they work.
    """
    try:
        parameters = list(inspect.signature(aiohttp.TCPConnector.connect).parameters)
        if parameters[:4] != ["self", "req", "traces", "timeout"]:
            return "TCPConnector.connect takes other arguments"
        for name in ("protocol", "release", "close"):
            if not hasattr(Connection, name):
                return f"Connection.{name} is missing"
        for name in ("should_close", "is_connected", "start_timeout", "set_exception"):
            if not hasattr(ResponseHandler, name):
                return f"ResponseHandler.{name} is missing"
        _make_target(BaseUrl("https", "localhost", 443), Proxy("http://localhost:1", "x"), loop)
        return _try_protocol(loop)
    except Exception as exc:
        return f"{type(exc).__name__} in the trial"


def _try_protocol(loop: asyncio.AbstractEventLoop) -> str | None:
    """Feed one answer to a protocol that is connected to nothing."""
    protocol = ResponseHandler(loop)
    protocol.set_response_params(read_until_eof=True, auto_decompress=False, read_timeout=None)
    protocol.data_received(b"HTTP/1.1 201 Created\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\n{}")
    message, payload = _finish(protocol.read())
    is_right = (
        message.code == 201
        and message.headers.get("retry-after") == "1"
        and payload.is_eof()
        and payload.read_nowait() == b"{}"
        and not protocol.should_close
    )
    return None if is_right else "the parser reads an answer otherwise"


def _finish(waiting: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that has nothing to wait for."""
    try:
        waiting.send(None)
    except StopIteration as done:
        return done.value
    waiting.close()
    raise TimeoutError
