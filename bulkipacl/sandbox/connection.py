"""How bytes reach a client, or fail to: replies, cut connections, and work still to be done.

It knows HTTP/1.1's framing no more than `wire` tells it, and nothing of the API.

    Reply        ready-made bytes as an aiohttp response
    Connection   aiohttp's connection, which says when the client has gone
    Server       aiohttp's low-level server, making such connections (no router, no access log)
    Pending      effects that have not landed yet
    reset        cuts a connection so that the client sees a reset
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter


class Reply(web.StreamResponse):
    """Bytes that are a whole response already, or none; `close` ends the connection after."""

    def __init__(self, status: int, payload: bytes, *, close: bool) -> None:
        super().__init__(status=status)
        self._payload_bytes = payload
        self._is_last = close

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open."""
        return not self._is_last

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send everything at once."""
        transport = request.transport
        if transport is not None and self._payload_bytes:
            transport.write(self._payload_bytes)
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to send."""


def silence() -> Reply:
    """No answer at all, and the connection closed."""
    return Reply(200, b"", close=True)


class Connection(web.RequestHandler):
    """A connection on which a handler can wait until the client, or the server, has left."""

    __slots__ = ("_gone", "_is_ending")

    def __init__(self, manager: web.Server, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._gone: asyncio.Future[None] | None = None
        self._is_ending = False

    def connection_lost(self, exc: BaseException | None) -> None:
        """The transport's word that the client has gone."""
        super().connection_lost(exc)
        self.release()

    def release(self) -> None:
        """Wake a handler that waits in `wait_gone`."""
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp's
        """End, letting a request in progress finish for so long."""
        self._is_ending = True
        await super().shutdown(timeout)

    def log_exception(self, *args: Any, **kwargs: Any) -> None:
        """Tell of a defect, but not of a request that finishes just when the wait for it is over.

        aiohttp then wakes whoever waits, whom its own timeout has cancelled in the same turn of
        the loop. The reply has been sent by then, and the connection is closed in either case.
        """
        if not (self._is_ending and isinstance(kwargs.get("exc_info"), asyncio.InvalidStateError)):
            super().log_exception(*args, **kwargs)

    async def wait_gone(self, at_most_s: float) -> None:
        """Return when the client has gone, on `release`, or after `at_most_s` seconds."""
        self._gone = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(at_most_s):
                await self._gone
        except TimeoutError:
            pass
        finally:
            self._gone = None


class Server(web.Server):
    """Handlers go on when their client leaves, as the API does: an effect may land unseen."""

    def __call__(self) -> web.RequestHandler:
        """A new connection."""
        return Connection(self, loop=self._loop, access_log=None)


def reset(transport: asyncio.Transport | None) -> None:
    """Cut a connection with a RST rather than a FIN."""
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        # Linger on for 0 seconds: closing then drops what is unsent and resets.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class Pending:
    """Effects under way: late ones on a timer, and requests inside their latency."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timers: set[asyncio.TimerHandle] = set()
        self._working = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def late(self) -> int:
        """Late effects that have not landed."""
        return len(self._timers)

    def later(self, delay_s: float, effect: Callable[[], None]) -> None:
        """Run `effect` after `delay_s` seconds."""

        def land() -> None:
            self._timers.discard(timer)
            try:
                effect()
            finally:
                self._settle()

        timer = self._loop.call_later(delay_s, land)
        self._timers.add(timer)
        self._idle.clear()

    async def sleep(self, delay_s: float) -> None:
        """Sleep with an effect to come right after, without another await between."""
        self._working += 1
        self._idle.clear()
        try:
            await asyncio.sleep(delay_s)
        finally:
            self._working -= 1
            self._settle()

    async def wait_idle(self) -> None:
        """Return when no effect is under way."""
        await self._idle.wait()

    def cancel(self) -> None:
        """Forget late effects, at the end of the sandbox."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._settle()

    def _settle(self) -> None:
        if not self._timers and not self._working:
            self._idle.set()
