"""A server in front of the sandbox that puts another answer in the place of some.

Bending    passes requests on, and bends what comes back
says, error, with_body   what it can answer instead
Dead       a transport of which some requests meet a port that nobody listens on
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable

from test_integration_breaker import open_real
from world import FAST, Answering, World

from bulkipacl.model import Attempt, Request
from bulkipacl.twilio.transport import Transport

Bend = Callable[[bytes], bytes]
"""Makes an answer of another one."""


class Bending(Answering):
    """A server that passes requests on to the sandbox."""

    def __init__(self, world: World, method: str, *bends: Bend, is_done: bool = False) -> None:
        super().__init__()
        self._world = world
        self._method = method
        self._bends = list(bends)
        self._is_done = is_done

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method = head.partition(b" ")[0].decode()
            self.asked[method] += 1
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            request = head + await reader.readexactly(int(length or b"0"))
            is_entry = b"/IpAddresses" in head.partition(b"\r\n")[0]
            bend = (
                self._bends.pop(0) if self._bends and method == self._method and is_entry else None
            )
            answer = b"" if bend is not None and not self._is_done else await self._pass(request)
            writer.write(answer if bend is None else bend(answer))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _pass(self, request: bytes) -> bytes:
        port = int(self._world.sandbox.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        line, _, rest = request.partition(b"\r\n")
        writer.write(line + b"\r\nConnection: close\r\n" + rest)
        answer = await reader.read()
        writer.close()
        return answer


def says(status: int, body: object = b"", *headers: str) -> Bend:
    """This answer, whatever was asked."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Answer", f"Content-Length: {len(content)}", "Connection: close"]
    return lambda answer: "\r\n".join([*lines, *headers, "", ""]).encode() + content


def error(status: int, code: int) -> Bend:
    """An error as the API sends it."""
    return says(status, {"status": status, "code": code, "message": "no", "more_info": "https://x"})


def with_body(change: Callable[[bytes], bytes], *headers: str) -> Bend:
    """The sandbox's own answer with its body changed."""

    def bend(answer: bytes) -> bytes:
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        return says(status, change(body), *headers)(b"")

    return bend


class Dead:
    """Sends the first requests of one method to a port that nobody listens on."""

    def __init__(self, world: World, method: str, times: int, scheme: str) -> None:
        self._real = open_real(world, **FAST)
        self._method = method
        self._left = times
        if scheme == "https":  # Somebody listens, and speaks no TLS.
            url = world.sandbox.url.replace("http://", "https://")
        else:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        self._nowhere: Transport = open_real(world, url, **FAST)

    async def send(self, request: Request) -> Attempt:
        """Send it there, or nowhere."""
        if request.method == self._method and self._left:
            self._left -= 1
            return await self._nowhere.send(request)
        return await self._real.send(request)

    async def aclose(self) -> None:
        """Close both."""
        await self._nowhere.aclose()
        await self._real.aclose()
