"""A server that answers by script, on loopback, byte by byte; it counts what reaches it."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from bulkipacl.credentials import CredentialMap, load_credentials
from bulkipacl.model import Request
from bulkipacl.sandbox.virtual_time import VirtualTimeLoop
from bulkipacl.settings import Settings
from bulkipacl.twilio.hosts import BaseUrl
from bulkipacl.twilio.transport import Transport, open_transport

ACCOUNT = "AC" + "0" * 31 + "1"
TOKEN = "c0ffee" * 5
PATH = f"/2010-04-01/Accounts/{ACCOUNT}/SIP/IpAccessControlLists.json"

VIRTUAL: tuple[str, dict[str, Any]] = ("asyncio", {"loop_factory": VirtualTimeLoop})
"""A loop for tests whose matter is time: it jumps to the next timer once no socket is ready."""

Script = Callable[["Peer"], Awaitable[None]]


class Peer:
    """One request as the server sees it: what came, and the means to answer it badly."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, raw: bytes, count: int
    ) -> None:
        self.raw = raw
        self.count = count
        self.reader = reader
        self.writer = writer

    @property
    def path(self) -> str:
        return self.raw.split(b" ", 2)[1].decode()

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, status: int = 200, body: bytes = b"{}", *fields: str) -> None:
        lines = [f"HTTP/1.1 {status} Fine", f"Content-Length: {len(body)}", *fields]
        await self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def say(self, data: bytes) -> None:
        """Put bytes into the client's socket now, before its loop can turn once more."""
        assert os.write(self.writer.get_extra_info("socket").fileno(), data) == len(data)

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        with suppress(ConnectionError):
            assert await self.reader.read() == b""

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Close with a RST instead of a FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class FaultServer:
    """Reads requests as they come and hands each to the script.

    Attributes:
        requests: every request that came in whole, over all connections.
        connections: how many were accepted.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while not writer.is_closing():
                raw = await read_request(reader)
                self.requests.append(raw)
                await self.script(Peer(reader, writer, raw, len(self.requests)))
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """One request, head and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return head + await reader.readexactly(length)


@asynccontextmanager
async def serving(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[FaultServer]:
    """A FaultServer that listens; every task of it has ended on leaving."""
    fault = FaultServer(script)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(fault.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls, backlog=1024)
    fault.port = server.sockets[0].getsockname()[1]
    try:
        yield fault
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in fault.writers:
            writer.transport.abort()
        await asyncio.sleep(0)


def credentials() -> CredentialMap:
    return load_credentials({"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN})


def quick(**changes: float) -> Settings:
    """Settings whose times suit a test: long ones, unless running out of them is its matter."""
    times = {"timeout_s": 5.0, "connect_timeout_s": 5.0, "read_timeout_s": 30.0} | changes
    return Settings(
        timeout_s=times["timeout_s"],
        connect_timeout_s=times["connect_timeout_s"],
        read_timeout_s=times["read_timeout_s"],
        max_in_flight=int(times.get("max_in_flight", 50)),
    )


@asynccontextmanager
async def sending(
    kind: str,
    port: int,
    settings: Settings | None = None,
    *,
    scheme: str = "http",
    host: str = "127.0.0.1",
    ca_file: Path | None = None,
) -> AsyncIterator[Transport]:
    """A transport of one kind to a local port."""
    settings = settings or quick()
    if ca_file is not None:
        settings = Settings(timeout_s=5, connect_timeout_s=5, tls_ca_file=str(ca_file))
    base = BaseUrl(scheme, host, port)
    transport = open_transport(settings, base, credentials(), kind=kind, wall_clock=lambda: 1e9)
    try:
        yield transport
    finally:
        await transport.aclose()
        # A turn for the closed transports to say so; unclosed ones would fail the test.
        await asyncio.sleep(0)


def create(body: bytes = b"FriendlyName=a", path: str = PATH) -> Request:
    return Request(ACCOUNT, "POST", path, body)


def read(path: str = PATH) -> Request:
    return Request(ACCOUNT, "GET", path)


def delete(path: str = PATH) -> Request:
    return Request(ACCOUNT, "DELETE", path)
