"""The fast side of the transport: a request's own bytes on a connection that aiohttp made.

aiohttp keeps what it does well: names, TCP, TLS, tunnels, and the reading of whatever is not quite
usual. Its ClientSession and its pool, five sixths of a request's cost, are left out: the lane takes
a line (`lines.py`), writes one ready-made block of bytes, and reads one answer (`line.py`). So
every send is ours: a request is either surely not written, or written exactly once.

This goes below what aiohttp documents. All such use is in these three files, and `find_problem`
tries it out before a run trusts it.

What this does not do: it retries nothing, follows no redirect, keeps no cookie.

    LaneTransport   `send`, `aclose`
    _Deadlines      one timer for all exchanges
    find_problem    why the installed aiohttp cannot carry the lane, if so
"""

from __future__ import annotations

import asyncio
import inspect
import math
import select
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from bulkipacl.model import Attempt, Request
from bulkipacl.settings import Settings
from bulkipacl.twilio.headers import Heads, lost, read_answer, timeout_text
from bulkipacl.twilio.hosts import BaseUrl, Proxy
from bulkipacl.twilio.line import Line
from bulkipacl.twilio.lines import Lines, StaleError, make_target


class LaneTransport:
    """Sends requests on connections that one TCPConnector makes. Made inside a running loop."""

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
        connect_timeout_s = min(settings.connect_timeout_s, settings.timeout_s)
        # aiohttp's own timer of silence is set at every read; the deadline makes it needless
        # where it could not strike first.
        is_silence_first = settings.read_timeout_s < settings.timeout_s
        self._lines = Lines(
            aiohttp.TCPConnector(limit=0, ssl=True if tls is None else tls),
            make_target(base, proxy, self._loop),
            limit=settings.max_in_flight,
            connect_timeout_s=connect_timeout_s,
            silence_s=settings.read_timeout_s if is_silence_first else None,
        )
        self._connect_timeout_s = connect_timeout_s
        self._deadlines = _Deadlines(self._loop, settings.timeout_s)

    async def send(self, request: Request) -> Attempt:
        """Send once; see `transport.Transport.send`."""
        data = self._heads.wire_bytes(request)
        started = written = self._loop.time()
        line = self._lines.kept()
        if line is None:
            try:
                line = await self._lines.made()
            except Exception as exc:
                # Structural, not a guess: nothing has been written yet.
                return self._not_sent(exc)
            written = self._loop.time()
        self._deadlines.add(line, started)
        try:
            answer = await line.ask(data) or await line.read_on()
        except Exception as exc:
            self._lines.cut(line)
            return lost(
                timeout_text(exc, self._settings) if isinstance(exc, TimeoutError) else exc,
                sent=True,
                status=line.status,
                duration_s=self._loop.time() - written,
                finished_at=self._wall_clock(),
            )
        except BaseException:
            # Cancelled: the answer may still come, and must not meet the next request.
            self._lines.cut(line)
            raise
        finally:
            self._deadlines.remove(line)
        now = self._loop.time()
        self._lines.keep(line, now)
        attempt = read_answer(*answer, now - written, self._wall_clock())
        return self._heads.without_secret(request, attempt)

    async def aclose(self) -> None:
        """Close all connections."""
        self._deadlines.close()
        await self._lines.aclose()

    def _not_sent(self, exc: Exception) -> Attempt:
        why: Exception | str = exc
        if isinstance(exc, TimeoutError):
            why = f"no connection within {self._connect_timeout_s:g} s"
        elif isinstance(exc, StaleError):
            why = "the server speaks before it is asked"
        return lost(why, sent=False, status=0, duration_s=0.0, finished_at=self._wall_clock())


class _Deadlines:
    """One timer for all exchanges: they have the same time, so the oldest is due first.

    Two dictionary operations an exchange, where a timer of its own costs several times as much.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        self._loop = loop
        self._timeout_s = timeout_s
        # In the order of their deadlines, or nearly so: an exchange is added once connected, up
        # to the connect timeout after it began. `_strike` therefore looks at all of them.
        self._running: dict[Line, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._strikes_at = math.inf

    def add(self, line: Line, started: float) -> None:
        """Watch the exchange of a line, which began at `started` (loop time)."""
        deadline = line.deadline = started + self._timeout_s
        self._running[line] = None
        if deadline < self._strikes_at:
            self._arm(deadline)

    def remove(self, line: Line) -> None:
        """Stop watching it."""
        self._running.pop(line, None)

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
        for line in [each for each in self._running if each.deadline <= now]:
            del self._running[line]
            line.expire()
        if self._running:
            self._arm(min(each.deadline for each in self._running))


def find_problem(loop: asyncio.AbstractEventLoop) -> str | None:
    """Why the installed aiohttp cannot carry the lane, or None; no network, some 100 us.

    It tries the parts rather than comparing versions: what counts is that they work.
    """
    try:
        parameters = list(inspect.signature(aiohttp.TCPConnector.connect).parameters)
        if parameters[:4] != ["self", "req", "traces", "timeout"]:
            return "TCPConnector.connect takes other arguments"
        if not hasattr(select, "poll"):
            return "the system has no poll"
        for name in ("protocol", "close"):
            if not hasattr(Connection, name):
                return f"Connection.{name} is missing"
        for name in ("should_close", "start_timeout", "set_exception", "eof_received"):
            if not hasattr(ResponseHandler, name):
                return f"ResponseHandler.{name} is missing"
        make_target(BaseUrl("https", "localhost", 443), Proxy("http://localhost:1", "x"), loop)
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
    if not is_right:
        return "the parser reads an answer otherwise"
    protocol.connection_lost(None)
    try:
        _finish(protocol.read())
    except aiohttp.ServerDisconnectedError:
        return None
    return "the end of a connection goes unnoticed"


def _finish(waiting: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that has nothing to wait for."""
    try:
        waiting.send(None)
    except StopIteration as done:
        return done.value
    waiting.close()
    raise TimeoutError
