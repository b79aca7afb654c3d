"""What came over the wire, and how both sides of the transport must read it."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from dataclasses import dataclass

import pytest
from transport_faults import (
    ACCOUNT,
    PATH,
    TOKEN,
    VIRTUAL,
    Peer,
    Script,
    create,
    delete,
    quick,
    read,
    sending,
    serving,
)

from bulkipacl import __version__
from bulkipacl.credentials import Credential
from bulkipacl.model import Attempt, Reach, Request
from bulkipacl.settings import MAX_BODY_BYTES

JSON = b'{"sid": "IP1"}'
OK_HEAD = b"HTTP/1.1 201 Created\r\n"
UVLOOP = ("asyncio", {"use_uvloop": True})


def wire(*parts: bytes, close: bool = False, pause_s: float = 0.0) -> Script:
    """A script that sends these parts, each in a packet of its own."""

    async def script(peer: Peer) -> None:
        for number, part in enumerate(parts):
            if number:
                await asyncio.sleep(pause_s or 0.01)
            await peer.send(part)
        if close:
            peer.close()

    return script


def packed(body: bytes, encoding: str) -> bytes:
    head = f"Content-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n"
    return OK_HEAD + head.encode() + body


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


async def close_at_once(peer: Peer) -> None:
    peer.close()


async def reset_at_once(peer: Peer) -> None:
    peer.reset()


async def reset_in_body(peer: Peer) -> None:
    await peer.send(OK_HEAD + b"Content-Length: 9\r\n\r\n{")
    await asyncio.sleep(0.02)
    peer.reset()


def half_closed(data: bytes) -> Script:
    """A script that sends this and then says that no more will follow, but still listens."""

    async def script(peer: Peer) -> None:
        await peer.send(data)
        peer.writer.write_eof()
        await peer.gone()

    return script


async def hang(peer: Peer) -> None:
    await asyncio.sleep(5)


async def drip_head(peer: Peer) -> None:
    for number in range(len(OK_HEAD)):
        await peer.send(OK_HEAD[number : number + 1])
        await asyncio.sleep(0.05)


async def drip_body(peer: Peer) -> None:
    await peer.send(OK_HEAD + b"Content-Length: 1000\r\n\r\n")
    for _ in range(100):
        await peer.send(b"x")
        await asyncio.sleep(0.05)


async def endless_body(peer: Peer) -> None:
    await peer.send(OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(200):
        await peer.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


async def endless_headers(peer: Peer) -> None:
    await peer.send(OK_HEAD)
    for number in range(1_000):
        await peer.send(b"".join(b"X-%d-%d: y\r\n" % (number, n) for n in range(50)))


async def endless_header(peer: Peer) -> None:
    await peer.send(OK_HEAD + b"X: ")
    for _ in range(1_000):
        await peer.send(b"y" * 4096)


@dataclass(frozen=True)
class Case:
    """A script, what the attempt must say, and whether the connection may be used again."""

    script: Script
    reach: Reach
    status: int
    body: bytes = b""
    is_kept: bool = True


def answered(script: Script, status: int, body: bytes = JSON, is_kept: bool = True) -> Case:
    return Case(script, Reach.ANSWERED, status, body, is_kept)


def maybe(script: Script, status: int = 0) -> Case:
    return Case(script, Reach.MAYBE_SENT, status, b"", is_kept=False)


GZIP = gzip.compress(JSON)
CHUNKED = OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
CASES = {
    # Whole answers; the connection is used again unless the case says otherwise.
    "plain": answered(wire(OK_HEAD + b"Content-Length: 14\r\n\r\n" + JSON), 201),
    "head and body apart": answered(wire(OK_HEAD + b"Content-Length: 14\r\n\r\n", JSON), 201),
    "byte by byte": answered(
        wire(*(bytes([b]) for b in OK_HEAD + b"Content-Length: 2\r\n\r\n{}"), pause_s=0.001),
        201,
        b"{}",
    ),
    "204 without a body": answered(wire(b"HTTP/1.1 204 No Content\r\n\r\n"), 204, b""),
    "304 with a length": answered(
        wire(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"), 304, b""
    ),
    "length 0": answered(wire(OK_HEAD + b"Content-Length: 0\r\n\r\n"), 201, b""),
    "chunked": answered(wire(CHUNKED + b"e\r\n" + JSON + b"\r\n0\r\n\r\n"), 201),
    "chunked in pieces": answered(
        wire(CHUNKED + b"4\r\n" + JSON[:4], b"\r\na\r\n", JSON[4:] + b"\r\n0", b"\r\n\r\n"), 201
    ),
    "gzip": answered(wire(packed(GZIP, "gzip")), 201),
    "gzip in two members": answered(
        wire(packed(gzip.compress(JSON[:5]) + gzip.compress(JSON[5:]), "gzip")), 201
    ),
    "deflate": answered(wire(packed(zlib.compress(JSON), "deflate")), 201),
    "bare deflate": answered(wire(packed(raw_deflate(JSON), "deflate")), 201),
    "gzip without a body": answered(wire(packed(b"", "gzip")), 201, b""),
    "said to close": answered(
        wire(OK_HEAD + b"Connection: close\r\nContent-Length: 14\r\n\r\n" + JSON, close=True),
        201,
        is_kept=False,
    ),
    "said to close, but left open": answered(
        wire(OK_HEAD + b"Connection: close\r\nContent-Length: 14\r\n\r\n" + JSON),
        201,
        is_kept=False,
    ),
    "said to be kept": answered(
        wire(OK_HEAD + b"CONNECTION: Keep-Alive\r\nContent-Length: 14\r\n\r\n" + JSON), 201
    ),
    "half-closed": answered(
        half_closed(OK_HEAD + b"Content-Length: 14\r\n\r\n" + JSON), 201, is_kept=False
    ),
    "ended by half-closing": answered(half_closed(OK_HEAD + b"\r\n" + JSON), 201, is_kept=False),
    "ended by closing": answered(
        wire(OK_HEAD + b"Connection: close\r\n\r\n" + JSON, close=True), 201, is_kept=False
    ),
    "HTTP/1.0": answered(
        wire(b"HTTP/1.0 201 Created\r\n\r\n" + JSON, close=True), 201, is_kept=False
    ),
    "100 first": answered(
        wire(b"HTTP/1.1 100 Continue\r\n\r\n", OK_HEAD + b"Content-Length: 14\r\n\r\n" + JSON), 201
    ),
    "103 first, together": answered(
        wire(
            b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
            + OK_HEAD
            + b"Content-Length: 14\r\n\r\n"
            + JSON
        ),
        201,
    ),
    "error page": answered(
        wire(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\n<h1>"), 503, b"<h1>"
    ),
    "redirect": answered(
        wire(b"HTTP/1.1 307 There\r\nLocation: http://127.0.0.1:1/x\r\nContent-Length: 0\r\n\r\n"),
        307,
        b"",
    ),
    "a second answer with the first": answered(
        wire((OK_HEAD + b"Content-Length: 2\r\n\r\n{}") * 2), 201, b"{}", is_kept=False
    ),
    # Nothing that can be relied upon; the connection is never used again.
    "closed before the answer": maybe(close_at_once),
    "reset before the answer": maybe(reset_at_once),
    "closed in the head": maybe(wire(b"HTTP/1.1 201 Cre", close=True)),
    "closed in the body": maybe(
        wire(OK_HEAD + b"Content-Length: 14\r\n\r\n" + JSON[:5], close=True), 201
    ),
    "closed in a chunk": maybe(wire(CHUNKED + b"e\r\n" + JSON[:5], close=True), 201),
    "closed before the last chunk": maybe(
        wire(CHUNKED + b"e\r\n" + JSON + b"\r\n", close=True), 201
    ),
    "half-closed in the head": maybe(half_closed(b"HTTP/1.1 201 Created\r\nContent-")),
    "half-closed in the body": maybe(
        half_closed(OK_HEAD + b"Content-Length: 14\r\n\r\n" + JSON[:5]), 201
    ),
    "reset in the body": maybe(reset_in_body, 201),
    "no answer": maybe(hang),
    "head drips": maybe(drip_head),
    "body drips": maybe(drip_body, 201),
    "endless body": maybe(endless_body, 201),
    "endless headers": maybe(endless_headers),
    "endless header": maybe(endless_header),
    "not HTTP": maybe(wire(b"SSH-2.0-OpenSSH_9.7\r\n")),
    "not HTTP, binary": maybe(wire(b"\x16\x03\x01\x00\xff\x00\n\n\r\n\r\n")),
    "two lengths": maybe(wire(OK_HEAD + b"Content-Length: 2\r\nContent-Length: 14\r\n\r\n" + JSON)),
    "a chunk size that is none": maybe(wire(CHUNKED + b"zz\r\n", close=True)),
    "a bad chunk after a good one": maybe(wire(CHUNKED + b"1\r\n{\r\n", b"zz\r\n"), 201),
}
SLOW = {"no answer", "head drips", "body drips", "a bad chunk after a good one"}
"""Those that last until the time is up; the last as aiohttp (3.14) forgets the body's reader."""

# What is broken inside of a whole answer leaves the connection in order.
BROKEN_BODIES = {
    "gzip that is not": packed(b"{}{}{}{}", "gzip"),
    "gzip cut short": packed(GZIP[:-9], "gzip"),
    "gzip with a wrong sum": packed(GZIP[:-8] + b"\0" * 8, "gzip"),
    "deflate cut short": packed(zlib.compress(JSON)[:-5], "deflate"),
    "an encoding not asked for": packed(JSON, "br"),
    "gzip bomb": packed(gzip.compress(b"\0" * (MAX_BODY_BYTES + 1)), "gzip"),
}
CASES |= {name: Case(wire(data), Reach.MAYBE_SENT, 201) for name, data in BROKEN_BODIES.items()}


@pytest.mark.parametrize("name", [name for name in CASES if name not in SLOW])
async def test_reading_of_one_exchange(kind: str, name: str) -> None:
    """Each way of answering has one reading, and each send reaches the wire once."""
    # A delete is what ClientSession would send again by itself; a create has a body.
    for attempt in await readings(kind, CASES[name], delete(), create()):
        assert 0 <= attempt.duration_s < 4


@pytest.mark.parametrize(
    ("anyio_backend", "name"),
    [*((VIRTUAL, name) for name in sorted(SLOW)), (UVLOOP, "no answer")],
    ids=[*sorted(SLOW), "no answer in real time"],
)
async def test_what_lasts_ends_when_the_time_is_up(kind: str, name: str) -> None:
    """However the server passes the time, the exchange ends with it and is read the same way."""
    (attempt,) = await readings(kind, CASES[name], delete(), timeout_s=1.0)
    assert attempt.duration_s >= 0.9


async def readings(
    kind: str, case: Case, *requests: Request, timeout_s: float = 5.0
) -> list[Attempt]:
    """Send each request, check what is made of the answer, and that another one follows it."""
    attempts = []

    async def script(peer: Peer) -> None:
        if peer.path == "/next":
            await peer.answer(200, b"next")
        else:
            await case.script(peer)

    settings = quick(timeout_s=timeout_s)
    async with serving(script) as server, sending(kind, server.port, settings) as transport:
        for number, request in enumerate(requests, 1):
            attempt = await transport.send(request)
            assert (attempt.reach, attempt.status, attempt.body) == (
                case.reach,
                case.status,
                case.body,
            ), attempt
            assert bool(attempt.error) == (case.reach is not Reach.ANSWERED)
            assert_harmless(attempt.error)
            assert attempt.finished_at == 1e9
            attempts.append(attempt)
            following = await transport.send(read("/next"))
            assert (following.status, following.body) == (200, b"next")
            assert len(server.requests) == 2 * number
            assert server.connections == (1 if case.is_kept else 1 + number)
    return attempts


@pytest.mark.parametrize("anyio_backend", [VIRTUAL], ids=["virtual time"])
async def test_silence_ends_an_exchange_before_its_time(kind: str) -> None:
    """The read timeout counts from the last byte, whatever the whole time is."""

    async def script(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await asyncio.sleep(0.1)
        await peer.send(OK_HEAD + b"Content-Length: 5\r\n\r\n{")
        await asyncio.sleep(5)

    settings = quick(timeout_s=4, read_timeout_s=0.2)
    async with serving(script) as server, sending(kind, server.port, settings) as transport:
        attempt = await transport.send(create())
        assert (attempt.reach, attempt.status) == (Reach.MAYBE_SENT, 201)
        assert attempt.duration_s == pytest.approx(0.3, abs=0.001)
        assert attempt.error == "not a byte within 0.2 s"


REQUESTS = {
    "create": (create(b"FriendlyName=a&IpAddress=192.0.2.1"), True, "identity"),
    "create without a body": (create(b""), True, "identity"),
    "read": (read(PATH + "?PageSize=1000"), False, "gzip, deflate"),
    "delete": (delete(), False, "identity"),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_the_request_byte_for_byte(kind: str, name: str) -> None:
    """Both sides send the same bytes, all of them known."""
    request, is_post, encoding = REQUESTS[name]
    script = wire(OK_HEAD + b"Content-Length: 0\r\n\r\n")
    async with serving(script) as server, sending(kind, server.port) as transport:
        await transport.send(request)
    lines = [
        f"{request.method} {request.path} HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        f"Authorization: {Credential(ACCOUNT, TOKEN).authorization}",
        "Accept: application/json",
        f"Accept-Encoding: {encoding}",
        f"User-Agent: bulkipacl/{__version__}",
    ]
    if is_post:
        lines += ["Content-Type: application/x-www-form-urlencoded"]
    if request.method != "GET":
        lines += [f"Content-Length: {len(request.body)}"]
    expected = "\r\n".join([*lines, "", ""]).encode() + request.body
    assert server.requests == [expected]


async def test_hints_are_read_from_the_head(kind: str) -> None:
    """Retry-After, concurrency and request id travel with the attempt."""

    async def script(peer: Peer) -> None:
        await peer.answer(
            429,
            b"{}",
            "retry-after: 1.5",
            "TWILIO-CONCURRENT-REQUESTS: 17",
            "Twilio-Request-Id: RQ" + "a" * 32,
            "Set-Cookie: a=b",
        )

    async with serving(script) as server, sending(kind, server.port) as transport:
        attempt = await transport.send(create())
        await transport.send(create())
    assert attempt.retry_after_s == 1.5
    assert attempt.concurrent == 17
    assert attempt.request_id == "RQ" + "a" * 32
    assert b"ookie" not in server.requests[1]


BENT = ["x", "//evil.example/x", "/a b", "/a\r\nX: y", "/ä", "/a#b", "", "http://evil.example/"]


@pytest.mark.parametrize("path", BENT)
async def test_a_bent_path_is_never_sent(kind: str, path: str) -> None:
    """What is not a path from the host on is a mistake of the caller's."""
    async with serving(close_at_once) as server, sending(kind, server.port) as transport:
        with pytest.raises(ValueError, match="not a request"):
            await transport.send(read(path))
        with pytest.raises(ValueError, match="not a request"):
            await transport.send(Request(ACCOUNT, "PUT", PATH))
    assert server.requests == []


def assert_harmless(error: str) -> None:
    """An error text holds no secret, no address and no part of the answer."""
    for part in (TOKEN, "127.0.0.1", "http", "?", "\n", "0x", "SSH"):
        assert part not in error
