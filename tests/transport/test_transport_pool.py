"""Which connection is used next, how many there are, and how long one is kept."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from transport_faults import VIRTUAL, Peer, create, quick, read, sending, serving

from bulkipacl.model import Reach
from bulkipacl.twilio.headers import KEEPALIVE_S

in_virtual_time = pytest.mark.parametrize("anyio_backend", [VIRTUAL], ids=["virtual time"])
POISON = b"HTTP/1.1 200 Poison\r\nContent-Length: 6\r\n\r\npoison"


@pytest.fixture(autouse=True)
def _one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiohttp's pool goes by the loop's time, too: in these tests it may be virtual."""
    monkeypatch.setattr("aiohttp.connector.monotonic", lambda: asyncio.get_running_loop().time())


async def echo(peer: Peer) -> None:
    await peer.answer(200, peer.body + peer.path.encode())


@in_virtual_time
async def test_a_connection_is_kept_so_long_and_no_longer(kind: str) -> None:
    """The longer it idles, the likelier it is that the server is closing it just now."""
    async with serving(echo) as server, sending(kind, server.port) as transport:
        for idle_s, connections in ((0, 1), (KEEPALIVE_S - 1, 1), (KEEPALIVE_S + 1, 2)):
            await asyncio.sleep(idle_s)
            assert (await transport.send(create())).reach is Reach.ANSWERED
            assert server.connections == connections


@in_virtual_time
async def test_what_is_not_used_any_more_is_closed(kind: str) -> None:
    """Without any further request; in between, nothing is."""
    async with serving(echo) as server, sending(kind, server.port) as transport:
        await asyncio.gather(*(transport.send(read(f"/{n}")) for n in range(3)))
        for wait_s, closed in ((KEEPALIVE_S - 1, 0), (KEEPALIVE_S + 2, 3)):
            await asyncio.sleep(wait_s)
            assert [writer.is_closing() for writer in server.writers].count(True) == closed
        assert server.connections == 3


async def test_there_are_never_more_connections_than_allowed(kind: str) -> None:
    """Who finds no room waits for a connection, and each gets its own answer."""
    settings = quick(max_in_flight=3)
    async with serving(echo) as server, sending(kind, server.port, settings) as transport:
        for _ in range(2):
            attempts = await asyncio.gather(*(transport.send(read(f"/{n}")) for n in range(20)))
            assert [attempt.body for attempt in attempts] == [b"/%d" % n for n in range(20)]
        assert server.connections == 3


@in_virtual_time
async def test_waiting_for_room_ends_when_the_time_to_connect_is_up(kind: str) -> None:
    """Nothing was written, and whoever comes after it finds room once there is some."""

    async def script(peer: Peer) -> None:
        await asyncio.sleep(2.0)
        await echo(peer)

    loop = asyncio.get_running_loop()
    settings = quick(max_in_flight=1, connect_timeout_s=1.0)
    async with serving(script) as server, sending(kind, server.port, settings) as transport:
        first = asyncio.ensure_future(transport.send(read("/1")))
        await asyncio.sleep(0.1)
        attempt = await transport.send(read("/2"))
        assert (attempt.reach, attempt.error) == (Reach.NOT_SENT, "no connection within 1 s")
        assert loop.time() == pytest.approx(1.1, abs=0.001)
        await asyncio.sleep(0.5)
        assert (await transport.send(read("/3"))).body == b"/3"
        assert (await first).body == b"/1"
        assert (len(server.requests), server.connections) == (2, 1)


async def test_who_is_cancelled_while_waiting_keeps_nobody_out() -> None:
    """Also when there was room for it just then: the next one goes in its place.

    Of the lane alone: aiohttp's pool (3.14) leaves the place empty until another one is given back.
    """
    is_asked, may_answer = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        is_asked.set()
        await may_answer.wait()
        await echo(peer)

    settings = quick(max_in_flight=1)
    async with serving(script) as server, sending("lane", server.port, settings) as transport:
        first = asyncio.ensure_future(transport.send(read("/1")))
        await is_asked.wait()
        second = asyncio.ensure_future(transport.send(read("/2")))
        third = asyncio.ensure_future(transport.send(read("/3")))
        await asyncio.sleep(0)
        may_answer.set()
        while not first.done():  # noqa: ASYNC110 - it is the turn that matters
            await asyncio.sleep(0)
        # In this turn, the second has been told that there is room, and has not yet run.
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        assert second.cancelled()
        assert (await third).body == b"/3"


@in_virtual_time
async def test_a_deadline_at_the_moment_of_an_answer_does_no_harm_later() -> None:
    """The answer counts, and what the lane had already called late is not used for another."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()

    async def script(peer: Peer) -> None:
        if peer.path == "/late":
            # The answer is found in the same turn of the loop in which the timer is.
            loop.call_at(began_s + 1.0 - 1.5e-9, peer.say, b"HTTP/1.1 204 Late\r\nA: b\r\n\r\n")
        else:
            await peer.send(b"HTTP/1.1 200 O")
            await asyncio.sleep(0.1)
            await peer.send(b"K\r\nContent-Length: 2\r\n\r\n{}")

    settings = quick(timeout_s=1.0)
    async with serving(script) as server, sending("lane", server.port, settings) as transport:
        began_s = loop.time()
        assert (await transport.send(read("/late"))).status == 204
        attempt = await transport.send(read("/next"))
        assert (attempt.reach, attempt.body) == (Reach.ANSWERED, b"{}")


async def test_kinds_of_answers_in_turn_on_one_connection(kind: str) -> None:
    """However an answer is told to end, the next one is read from its own beginning."""
    kinds = (
        b"Content-Length: 2\r\n\r\n{}",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"Content-Length: 2\r\nConnection: keep-alive\r\n\r\n{}",
        b"Content-Length: 2\r\nContent-Encoding: identity\r\n\r\n{}",
    )

    async def script(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 200 OK\r\n" + kinds[int(peer.path[1:])])

    async with serving(script) as server, sending(kind, server.port) as transport:
        for number in (0, 1, 0, 2, 1, 1, 3, 3, 0, 2):
            attempt = await transport.send(read(f"/{number}"))
            assert (attempt.reach, attempt.body) == (Reach.ANSWERED, b"{}")
        assert server.connections == 1


@pytest.mark.parametrize("head", [b"Content-Length: 2\r\n\r\n{}", b"Transfer-Encoding: chunked"])
async def test_nothing_said_behind_an_answer_of_any_kind_is_heard(kind: str, head: bytes) -> None:
    """An answer that is there before its question has its connection closed, however it came."""
    peers: list[Peer] = []

    async def script(peer: Peer) -> None:
        peers.append(peer)
        rest = b"" if head.endswith(b"{}") else b"\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
        await peer.send(b"HTTP/1.1 200 OK\r\n" + head + rest)

    async with serving(script) as server, sending(kind, server.port) as transport:
        for number in range(1, 4):
            attempt = await transport.send(create())
            assert (attempt.reach, attempt.body) == (Reach.ANSWERED, b"{}")
            peers[-1].say(POISON)
            assert (len(server.requests), server.connections) == (number, number)


async def test_an_answer_that_is_there_first_answers_nothing(kind: str) -> None:
    """A server that greets every connection with an answer is told nothing at all."""
    loop = asyncio.get_running_loop()
    accepted: list[socket.socket] = []

    def greet() -> None:
        # In the very turn in which the client is connected, before it can have written.
        connection, _ = listener.accept()
        connection.sendall(POISON)
        accepted.append(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        loop.add_reader(listener, greet)
        async with sending(kind, listener.getsockname()[1]) as transport:
            attempt = await transport.send(create())
        loop.remove_reader(listener)
    assert (attempt.reach, attempt.error) == (
        Reach.NOT_SENT,
        "the server speaks before it is asked",
    )
    assert len(accepted) > 1
    for connection in accepted:
        with connection, suppress(ConnectionResetError):
            assert connection.recv(1) == b""


async def test_an_answer_before_the_whole_request_was_read(kind: str) -> None:
    """A server that has seen enough says so and closes; what it said is what counts."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        writer.write_eof()
        while await reader.read(65536):
            pass
        writer.close()

    running: list[asyncio.Task[None]] = []
    server = await asyncio.start_server(
        lambda *pair: running.append(asyncio.ensure_future(refuse(*pair))), "127.0.0.1", 0
    )
    async with server, sending(kind, server.sockets[0].getsockname()[1]) as transport:
        attempt = await transport.send(create(b"x" * 300_000))
        assert (attempt.reach, attempt.status, attempt.body) == (Reach.ANSWERED, 413, b"{}")
        await asyncio.gather(*running)


@contextmanager
def no_more_files() -> Iterator[None]:
    """Inside, this process can open nothing more."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def test_no_file_left_to_open_means_not_sent(kind: str) -> None:
    """What is connected already is still used; a place is not lost by it."""
    settings = quick(max_in_flight=2)
    async with serving(echo) as server, sending(kind, server.port, settings) as transport:
        assert (await transport.send(read("/1"))).body == b"/1"
        with no_more_files():
            attempts = await asyncio.gather(*(transport.send(read("/2")) for _ in range(2)))
        assert sorted(attempt.reach for attempt in attempts) == [Reach.ANSWERED, Reach.NOT_SENT]
        assert {attempt.error for attempt in attempts} == {
            "",
            "cannot connect: Too many open files",
        }
        attempts = await asyncio.gather(*(transport.send(read("/3")) for _ in range(4)))
        assert [attempt.body for attempt in attempts] == [b"/3"] * 4
        assert server.connections == 2
