"""One connection of the lane: asks one question at a time, and reads the answer the short way.

aiohttp makes the connection and keeps the account of it; then the line takes its own protocol's
place at the transport. An answer that arrives in one piece and is of the usual kind, as nearly all
are, is read here, for half of what aiohttp's parser and its objects cost. Every other answer goes
to aiohttp's protocol and its parser, from the first byte on: it is then read as it would be there.

What this does not do: it opens no connection and keeps none; no time runs out here by itself.

    Line            `ask`, then `read_on` where the answer is not of the usual kind
    Answer          status, fields, body
    plain_answer    reads the usual kind, and no other
"""

from __future__ import annotations

import asyncio
import re
import select
from collections.abc import Mapping
from typing import NamedTuple

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from bulkipacl.model import make
from bulkipacl.twilio.headers import CONCURRENT, REQUEST_ID, RETRY_AFTER, read_body


class Answer(NamedTuple):
    """A whole answer; of its fields at least those that `headers.read_answer` looks at."""

    status: int
    headers: Mapping[str, str]
    body: bytes


_PLAIN_HEAD = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9]{2})(?: [ -~]*+)?\r\n(?:[0-9A-Za-z_-]++:[\t -~]*+\r\n)++\r\n"
)
"""Stricter than any parser: what it matches, all of them read alike."""

_PLAIN_HEAD_BYTES = 4_096
_PLAIN_HEAD_LINES = 100
"""Of more, aiohttp's own bounds decide."""

_LENGTH, _CONNECTION, _UNUSUAL = "length", "connection", "unusual"
_KNOWN = {
    b"content-length": _LENGTH,
    b"connection": _CONNECTION,
    b"proxy-connection": _UNUSUAL,
    b"transfer-encoding": _UNUSUAL,
    b"content-encoding": _UNUSUAL,
    b"upgrade": _UNUSUAL,
    b"sec-websocket-key1": _UNUSUAL,
    **{key.lower().encode(): key for key in (CONCURRENT, REQUEST_ID, RETRY_AFTER)},
}
"""The fields that matter to the reading of an answer, and those that are handed on."""


def plain_answer(data: bytes) -> Answer | None:
    """The answer, where `data` is one whole answer of the usual kind and nothing else; some 3 us.

    The usual kind tells its length, keeps the connection, and is neither chunked nor compressed.
    """
    match = _PLAIN_HEAD.match(data)
    if match is None or (end := match.end()) > _PLAIN_HEAD_BYTES:
        return None
    lines = data[: end - 4].split(b"\r\n")
    if len(lines) > _PLAIN_HEAD_LINES:
        return None
    status = int(match[1])
    length = None
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        known = _KNOWN.get(name.lower())
        if known is None:
            continue
        value = value.strip(b" \t")
        if known is _LENGTH:
            if length is not None or not value.isdigit() or len(value) > 9:
                return None
            length = int(value)
        elif known is _CONNECTION:
            if value.lower() != b"keep-alive":
                return None
        elif known is _UNUSUAL:
            return None
        else:
            headers.setdefault(known, value.decode("ascii"))
    # A 204 has no body and tells no length; any other without one lasts as long as its connection.
    if (length is None) != (status == 204) or status == 304 or len(data) != end + (length or 0):
        return None
    return make(Answer, (status, headers, data[end:]))


class Line(asyncio.Protocol):
    """One connection, from the moment on at which it is connected.

    Attributes:
        status: of the answer's head, as soon as it is known; 0 before.
        deadline: loop time at which the exchange under way has lasted too long.
        idle_since: loop time at which it was last used.
    """

    __slots__ = (
        "_connection",
        "_handler",
        "_is_read_by_aiohttp",
        "_is_spoilt",
        "_loop",
        "_payload",
        "_poll",
        "_silence_s",
        "_transport",
        "_waiter",
        "deadline",
        "idle_since",
        "status",
    )

    def __init__(
        self,
        connection: Connection,
        handler: ResponseHandler,
        transport: asyncio.Transport,
        silence_s: float | None,
    ) -> None:
        """Takes the place of `handler` at the connection's transport.

        Args:
            silence_s: how long the server may say nothing while its answer is awaited; None: as
                long as the whole exchange may last.
        """
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._handler = handler
        self._transport = transport
        self._silence_s = silence_s
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._waiter: asyncio.Future[Answer | None] | None = None
        self._payload: aiohttp.StreamReader | None = None
        self._is_read_by_aiohttp = False
        # What came before this moment lies with the handler.
        self._is_spoilt = handler.should_close
        self.status = 0
        self.deadline = 0.0
        self.idle_since = 0.0
        transport.set_protocol(self)

    def is_fit(self) -> bool:
        """Whether it may be written to, as far as has been heard."""
        return not self._is_spoilt and not self._transport.is_closing()

    def is_silent(self) -> bool:
        """Whether nothing has come, nor lies unread in the socket: some 1 us.

        An answer that is there before the question would be taken for this one's, and what a
        closed connection is told may or may not arrive. TLS has nothing to say of its own on a
        connection that has already carried an answer.
        """
        return not self._is_spoilt and not self._transport.is_closing() and not self._poll.poll(0)

    def ask(self, data: bytes) -> asyncio.Future[Answer | None]:
        """Write a request; the answer, or None where `read_on` is to read it.

        The request is written at once: nothing can come between a look at the line and this.
        """
        waiter = self._waiter = self._loop.create_future()
        self.status = 0
        if self._silence_s is not None:
            # Its protocol has the clock for it, from now on.
            self._leave_to_aiohttp()
            self._handler.start_timeout()
            self._wake(None)
        self._transport.write(data)
        return waiter

    async def read_on(self) -> Answer:
        """The rest of an answer that is not of the usual kind.

        Raises:
            aiohttp.ClientError, HttpProcessingError, OSError: it broke off, or is not HTTP.
            BodyTooLargeError: see `headers.read_body`.
            TimeoutError: see `expire`, and `silence_s`.
        """
        handler = self._handler
        while True:
            message, payload = await handler.read()
            # Interim answers (100, 103) announce the one that counts; 101 would end HTTP.
            if message.code >= 200 or message.code == 101:
                break
            if self._silence_s is not None:
                handler.start_timeout()
        self.status = message.code
        if payload.is_eof():
            # All of it came with the head: at most what one read holds.
            body = payload.read_nowait()
        else:
            self._payload = payload
            body = await read_body(payload)
            self._payload = None
        self._is_read_by_aiohttp = False
        if handler.should_close:
            self._is_spoilt = True
        return Answer(message.code, message.headers, body)

    def expire(self) -> None:
        """End the waiting with a TimeoutError: for the head, and for the body."""
        late = TimeoutError()
        self._is_spoilt = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(late)
        self._handler.set_exception(late)
        if self._payload is not None:
            self._payload.set_exception(late)

    def close(self) -> None:
        """Close it, and give its place back."""
        self._is_spoilt = True
        self._connection.close()

    def cut(self) -> None:
        """Close it at once: bytes not yet on their way stay here."""
        self._transport.abort()
        self.close()

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if self._is_read_by_aiohttp:
            self._handler.data_received(data)
            return
        if self._waiter is None:
            # Said unasked: it would be taken for the answer to the next question.
            self._is_spoilt = True
            self._transport.close()
            return
        answer = plain_answer(data)
        if answer is None:
            self._leave_to_aiohttp()
            self._handler.data_received(data)
        else:
            self.status = answer.status
        self._wake(answer)

    def eof_received(self) -> None:
        """Called by the loop, which then closes the transport."""
        self._is_spoilt = True
        self._handler.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop: aiohttp's protocol says what it means to an answer under way."""
        self._is_spoilt = True
        self._handler.connection_lost(exc)
        self._wake(None)

    def _wake(self, answer: Answer | None) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(answer)

    def _leave_to_aiohttp(self) -> None:
        """From here on, what comes is its protocol's."""
        self._is_read_by_aiohttp = True
        self._handler.set_response_params(
            # Without a length, a body ends with its connection.
            read_until_eof=True,
            # `headers.decode` is stricter, and bounded.
            auto_decompress=False,
            read_timeout=self._silence_s,
        )
