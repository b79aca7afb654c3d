"""Messages over a pair of pipes, in frames.

A frame is the length of what follows (4 bytes, little endian) and one message: the number of its
kind and its fields, as `marshal` writes them. It takes plain values and bytes as they are, and
about 0.5 us a row at either end. Both ends are the same Python, and nobody else can write to the
pipe.

    Pipe     tells of what comes, and takes what goes
    frame    a message as bytes
"""

from __future__ import annotations

import asyncio
import marshal
import struct
from collections.abc import Callable
from typing import IO, cast

from bulkipacl.cluster.messages import KINDS, Message

_LENGTH = struct.Struct("<I")
_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}


def frame(message: Message) -> bytes:
    """A message as it goes over the pipe."""
    body = marshal.dumps((_NUMBERS[type(message)], *message))
    return _LENGTH.pack(len(body)) + body


class Pipe(asyncio.Protocol):
    """Both directions of what one process and another say to each other.

    Args:
        hear: told of each message.
        end: told once that nothing more comes: the other end is gone.
    """

    def __init__(self, hear: Callable[[Message], None], end: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._said: asyncio.Future[None] = loop.create_future()
        self._heard: asyncio.Future[None] = loop.create_future()
        self._hear = hear
        self._end = end
        self._buffer = bytearray()
        self._in: asyncio.BaseTransport
        self._out: asyncio.WriteTransport

    async def open(self, incoming: IO[bytes], outgoing: IO[bytes]) -> None:
        """Begin to hear and to say; the files are closed with the pipe."""
        loop = asyncio.get_running_loop()
        self._out, _ = await loop.connect_write_pipe(lambda: _Outgoing(self._said), outgoing)
        self._in, _ = await loop.connect_read_pipe(lambda: self, incoming)

    def say(self, message: Message) -> None:
        """Send a message; what the other end does not hear any more is lost."""
        if not self._out.is_closing():
            self._out.write(frame(message))

    async def aclose(self) -> None:
        """Say and hear nothing more. All that was said is on its way when this returns."""
        self._out.close()
        await self._said
        self._in.close()
        await self._heard

    def data_received(self, data: bytes) -> None:
        """Part of a frame has come, or some frames."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= _LENGTH.size:
            body = start + _LENGTH.size
            end = body + _LENGTH.unpack_from(buffer, start)[0]
            if end > len(buffer):
                break
            number, *fields = marshal.loads(buffer[body:end])  # noqa: S302 - see above
            start = end
            self._hear(cast("type[Message]", KINDS[number])(*fields))
        del buffer[:start]

    def connection_lost(self, exc: Exception | None) -> None:
        """The other end is gone, or this one has closed it."""
        self._heard.set_result(None)
        self._end()


class _Outgoing(asyncio.BaseProtocol):
    def __init__(self, closed: asyncio.Future[None]) -> None:
        self._closed = closed

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closed.done():
            self._closed.set_result(None)
