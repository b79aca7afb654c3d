"""The short way of reading an answer says what aiohttp's parser says, or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from aiohttp.client_proto import ResponseHandler
from hypothesis import given
from hypothesis import strategies as st

from bulkipacl.twilio.line import Answer, plain_answer

HEAD = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n"
FIELDS = ("Retry-After", "Twilio-Concurrent-Requests", "Twilio-Request-Id")
USUAL = {
    "with a body": (HEAD + b"\r\n{}", Answer(201, {}, b"{}")),
    "empty": (b"HTTP/1.1 400 Bad\r\ncontent-length:0 \r\n\r\n", Answer(400, {}, b"")),
    "204": (b"HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n", Answer(204, {}, b"")),
    "kept by name": (HEAD + b"Connection:\tKeep-Alive\r\n\r\n{}", Answer(201, {}, b"{}")),
    "all fields": (
        HEAD
        + b"RETRY-AFTER: 1\r\ntwilio-concurrent-requests:7\r\nTwilio-Request-Id: RQ1 \r\n\r\n{}",
        Answer(201, dict(zip(FIELDS, ("1", "7", "RQ1"), strict=True)), b"{}"),
    ),
    "twice the same field": (
        HEAD + b"Retry-After: 1\r\nRetry-After: 2\r\n\r\n{}",
        Answer(201, {"Retry-After": "1"}, b"{}"),
    ),
}
UNUSUAL = {
    "cut in the head": HEAD,
    "cut in the body": HEAD + b"\r\n{",
    "more than the answer": HEAD + b"\r\n{}\r\n",
    "two lengths": HEAD + b"Content-Length: 2\r\n\r\n{}",
    "a length that is none": b"HTTP/1.1 201 Created\r\nContent-Length: +2\r\n\r\n{}",
    "no length": b"HTTP/1.1 201 Created\r\nDate: x\r\n\r\n{}",
    "a 204 with a length": b"HTTP/1.1 204 None\r\nContent-Length: 2\r\n\r\n{}",
    "304": b"HTTP/1.1 304 Same\r\nContent-Length: 2\r\n\r\n{}",
    "chunked": HEAD + b"Transfer-Encoding: chunked\r\n\r\n{}",
    "compressed": HEAD + b"Content-Encoding: gzip\r\n\r\n{}",
    "to be closed": HEAD + b"Connection: close\r\n\r\n{}",
    "to be closed, said twice": HEAD + b"Connection: keep-alive\r\nConnection: close\r\n\r\n{}",
    "upgraded": HEAD + b"Upgrade: x\r\nConnection: upgrade\r\n\r\n{}",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.0": HEAD.replace(b"1.1", b"1.0") + b"\r\n{}",
    "bare line ends": HEAD.replace(b"\r", b"") + b"\n{}",
    "a folded field": HEAD + b"X: a\r\n b\r\n\r\n{}",
    "a space before the colon": HEAD + b"X : a\r\n\r\n{}",
    "a NUL": HEAD + b"X: \0\r\n\r\n{}",
    "no colon": HEAD + b"X\r\n\r\n{}",
    "very many fields": HEAD + b"a:\r\n" * 200 + b"\r\n{}",
    "a very long field": HEAD + b"a:" + b"x" * 9_000 + b"\r\n\r\n{}",
    "not HTTP": b"SSH-2.0-x\r\n\r\n",
    "nothing": b"",
}


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that never runs."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


def as_aiohttp_reads(data: bytes, loop: asyncio.AbstractEventLoop) -> Answer | None:
    """What its parser makes of it; None unless it is one whole answer on a connection kept."""
    handler = ResponseHandler(loop)
    handler.set_response_params(read_until_eof=True, auto_decompress=False)
    handler.data_received(data)
    if len(handler) != 1:
        return None
    try:
        handler.read().send(None)
    except StopIteration as done:
        message, payload = done.value
    if handler.should_close or not payload.is_eof() or "Content-Encoding" in message.headers:
        return None
    headers = {name: message.headers[name] for name in FIELDS if name in message.headers}
    return Answer(message.code, headers, payload.read_nowait())


@pytest.mark.parametrize("name", USUAL)
def test_the_usual_kind(name: str, loop: asyncio.AbstractEventLoop) -> None:
    """It is read at once, and as aiohttp reads it."""
    data, expected = USUAL[name]
    assert plain_answer(data) == expected == as_aiohttp_reads(data, loop)


@pytest.mark.parametrize("name", UNUSUAL)
def test_the_unusual_is_left_to_aiohttp(name: str) -> None:
    """Nothing is made of it here."""
    assert plain_answer(UNUSUAL[name]) is None


_HEADS = [data.split(b"\r\n")[1:] for data in (*UNUSUAL.values(), USUAL["all fields"][0])]
_LINES = st.sampled_from([line + b"\r\n" for of in _HEADS for line in of if len(line) < 100])


@given(
    status=st.sampled_from(
        [b"HTTP/1.1 200 OK", b"HTTP/1.1 204", b"HTTP/1.1 999  ", b"HTTP/1.1  2"]
    ),
    lines=st.lists(_LINES, max_size=4),
    body=st.binary(max_size=3),
    length=st.integers(0, 3) | st.none(),
    at=st.integers(0, 120),
    put=st.sampled_from([b"", b"", b"\0", b"\n", b"\r\n", b" ", b":", b"\x80", b"1", b"\r\n\r\n"]),
)
def test_no_answer_is_read_otherwise_than_by_aiohttp(
    status: bytes,
    lines: list[bytes],
    body: bytes,
    length: int | None,
    at: int,
    put: bytes,
    loop: asyncio.AbstractEventLoop,
) -> None:
    """Whatever fields and bytes stand where: the same reading, or none."""
    told = b"" if length is None else b"Content-Length: %d\r\n" % length
    data = status + b"\r\n" + told + b"".join(lines) + b"\r\n" + body
    data = data[:at] + put + data[at:]
    answer = plain_answer(data)
    assert answer is None or answer == as_aiohttp_reads(data, loop)
