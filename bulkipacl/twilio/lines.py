"""The lane's connections: which of them is used next, and how many there may be.

To aiohttp's connector, which makes them, each is in use from its making to its end. Its own pool
costs several us at each taking and giving back, and gives out connections on which an answer lies
already (3.14).

What this does not do: it writes and reads nothing.

    Lines           `kept` or `made`, then `keep` or `cut`
    StaleError      there was none that was fit to be written to
    make_target     where they go
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import aiohttp
from yarl import URL

from bulkipacl.twilio.headers import KEEPALIVE_S, STALE_TRIES, hear_out
from bulkipacl.twilio.hosts import BaseUrl, Proxy
from bulkipacl.twilio.line import Line


class StaleError(Exception):
    """No connection could be had that was fit to be written to."""


class Lines:
    """At most `limit` connections, in use and idle together."""

    def __init__(
        self,
        connector: aiohttp.TCPConnector,
        target: aiohttp.ClientRequest,
        *,
        limit: int,
        connect_timeout_s: float,
        silence_s: float | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._connector = connector
        self._target = target
        self._limit = limit
        self._connect_timeout_s = connect_timeout_s
        self._silence_s = silence_s
        self._open = 0
        # The last one used is at the end, and is used next: what is not needed grows old.
        self._idle: list[Line] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None

    def kept(self) -> Line | None:
        """An idle line that may be written to: in this turn of the loop, and in no later one."""
        while self._idle:
            line = self._idle.pop()
            if line.is_silent():
                return line
            self._ended(line.close)
        return None

    async def made(self) -> Line:
        """A new line, or one that has become idle while there was no room for another.

        Raises:
            TimeoutError: there was none in time.
            StaleError: whatever was made was not fit.
            aiohttp.ClientError, OSError: the connector's own.
        """
        async with asyncio.timeout(self._connect_timeout_s):
            for _ in range(STALE_TRIES):
                line = await self._room()
                if line is None:
                    line = await self._connect()
                if line is not None:
                    return line
        raise StaleError

    def keep(self, line: Line, now: float) -> None:
        """Take back a line whose exchange is over."""
        if not line.is_fit():
            # The server said so, or has said more than the answer.
            self._ended(line.close)
            return
        line.idle_since = now
        self._idle.append(line)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(KEEPALIVE_S, self._sweep)
        if self._waiting:
            self._call_next()

    def cut(self, line: Line) -> None:
        """Close a line at once."""
        self._ended(line.cut)

    async def aclose(self) -> None:
        """Close all."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        idle, self._idle = self._idle, []
        try:
            # Waits until they are closed, as `Line.close` does not.
            await self._connector.close()
        finally:
            for line in idle:
                line.close()

    async def _room(self) -> Line | None:
        """Wait until there is room for a new line, which is None, or an idle one."""
        has_waited = False
        while self._open >= self._limit:
            waiter = self._loop.create_future()
            # Who was called and came too late is the first again.
            (self._waiting.appendleft if has_waited else self._waiting.append)(waiter)
            try:
                await waiter
            except BaseException:
                if waiter.done() and not waiter.cancelled():
                    self._call_next()  # It was called: the next one in its place.
                raise
            has_waited = True
            line = self.kept()
            if line is not None:
                return line
        return None

    async def _connect(self) -> Line | None:
        """A line on a new connection; None: it is not fit to be written to."""
        self._open += 1
        end: Callable[[], None] | None = None
        try:
            connection = await self._connector.connect(self._target, [], aiohttp.ClientTimeout())
            end = connection.close
            handler = connection.protocol
            transport = None if handler is None else handler.transport
            if handler is not None and transport is not None and not transport.is_closing():
                line = Line(connection, handler, transport, self._silence_s)
                await hear_out()
                if line.is_fit():
                    return line
        except BaseException:
            self._ended(end)
            raise
        self._ended(end)
        return None

    def _ended(self, end: Callable[[], None] | None) -> None:
        """End a connection in this way; there is room for another then."""
        if end is not None:
            end()
        self._open -= 1
        if self._waiting:
            self._call_next()

    def _call_next(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _sweep(self) -> None:
        """Close what has been idle for too long."""
        self._sweeper = None
        now = self._loop.time()
        idle, self._idle = self._idle, []
        for line in idle:
            if now - line.idle_since < KEEPALIVE_S:
                self._idle.append(line)
            else:
                self._ended(line.close)
        if self._idle:
            self._sweeper = self._loop.call_at(self._idle[0].idle_since + KEEPALIVE_S, self._sweep)


def make_target(
    base: BaseUrl, proxy: Proxy | None, loop: asyncio.AbstractEventLoop
) -> aiohttp.ClientRequest:
    """What the connector is asked to connect to: a request that is never sent itself."""
    proxy_headers = None
    if proxy is not None and proxy.authorization:
        proxy_headers = {"Proxy-Authorization": proxy.authorization}
    return aiohttp.ClientRequest(
        "GET",
        URL(base.origin + "/", encoded=True),
        loop=loop,
        proxy=None if proxy is None else URL(proxy.url),
        proxy_headers=proxy_headers,
    )
