"""Connections: never a silent second send, never another request's answer."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from contextlib import suppress

import pytest
from transport_faults import (
    ACCOUNT,
    PATH,
    VIRTUAL,
    Peer,
    create,
    credentials,
    delete,
    quick,
    read,
    sending,
    serving,
)

from bulkipacl.credentials import load_credentials
from bulkipacl.errors import CredentialError, TransportError, UsageError
from bulkipacl.model import Attempt, Reach, Request
from bulkipacl.twilio import lane
from bulkipacl.twilio.hosts import BaseUrl
from bulkipacl.twilio.session import SessionTransport
from bulkipacl.twilio.transport import open_transport

POISON = b"HTTP/1.1 200 Poison\r\nContent-Length: 6\r\n\r\npoison"
DROPPING = {"read": read(), "delete": delete(), "create": create()}


async def echo(peer: Peer) -> None:
    await peer.answer(200, peer.body + peer.path.encode())


@pytest.mark.parametrize("name", DROPPING)
async def test_a_kept_connection_that_drops_is_never_sent_on_twice(kind: str, name: str) -> None:
    """ClientSession would send GET and DELETE again by itself; the server counts."""

    async def script(peer: Peer) -> None:
        if peer.count == 2:
            peer.close()
        else:
            await peer.answer()

    async with serving(script) as server, sending(kind, server.port) as transport:
        reaches = [(await transport.send(DROPPING[name])).reach for _ in range(3)]
        assert reaches == [Reach.ANSWERED, Reach.MAYBE_SENT, Reach.ANSWERED]
        assert len(server.requests) == 3
        assert server.connections == 2


async def test_a_connection_closed_while_idle_is_left_alone(kind: str) -> None:
    """It is known to be closed before anything is written, so another one is taken."""

    is_closed = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.answer()
        peer.close()
        await peer.writer.wait_closed()
        is_closed.set()

    async with serving(script) as server, sending(kind, server.port) as transport:
        for _ in range(3):
            is_closed.clear()
            assert (await transport.send(create())).reach is Reach.ANSWERED
            await is_closed.wait()
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("extra", "is_kept_by"),
    [
        (POISON, ""),
        (b"\0\0\0", ""),
        # Not yet a message. ClientSession has a parser for each exchange, so that it is forgotten.
        (b"\r\n\r\nHT", "session"),
    ],
    ids=["an answer", "garbage", "a beginning"],
)
async def test_what_follows_an_answer_never_answers_the_next(
    kind: str, extra: bytes, is_kept_by: str
) -> None:
    """A server that goes on talking has its connection dropped, before it is written to."""
    peers: list[Peer] = []

    async def script(peer: Peer) -> None:
        peers.append(peer)
        await peer.answer(200, peer.path.encode())

    async with serving(script) as server, sending(kind, server.port) as transport:
        for number, request in enumerate((read("/1"), delete("/2"), create(path="/3")), 1):
            attempt = await transport.send(request)
            assert (attempt.reach, attempt.body) == (Reach.ANSWERED, request.path.encode())
            assert len(server.requests) == number
            # Nothing turns the loop between this and the next request: it lies there unread.
            peers[-1].say(extra)
        assert server.connections == (1 if kind == is_kept_by else 3)


async def test_what_has_been_read_unasked_never_answers_the_next(kind: str) -> None:
    """A whole answer that came while the connection was idle is nobody's, too."""
    peers: list[Peer] = []

    async def script(peer: Peer) -> None:
        peers.append(peer)
        await peer.answer(200, peer.path.encode())

    async with serving(script) as server, sending(kind, server.port) as transport:
        assert (await transport.send(create(path="/1"))).body == b"/1"
        peers[0].say(POISON)
        for _ in range(5):
            await asyncio.sleep(0)
        assert (await transport.send(create(path="/2"))).body == b"/2"
        assert (len(server.requests), server.connections) == (2, 2)


async def test_a_server_that_speaks_first_is_sent_nothing(kind: str) -> None:
    """What is there before the question is no answer; the request is surely not sent."""
    received = bytearray()
    greeted: list[asyncio.Task[None]] = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                received.extend(data)
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeted.append(asyncio.ensure_future(greet(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with sending(kind, port) as transport:
            # Whether the greeting is there in time is the network's matter: either is right, as
            # long as what was written is not called unsent.
            attempt = await transport.send(create())
            assert attempt.reach is not Reach.ANSWERED
        # Connections are accepted in their order: once this one is, all others have been.
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.readline()
        writer.close()
        await asyncio.gather(*greeted)
    assert (attempt.reach is Reach.NOT_SENT) == (not received)


@pytest.mark.parametrize("is_early", [False, True], ids=["late answer", "answer on its way"])
async def test_a_cancelled_request_leaves_its_answer_to_nobody(kind: str, is_early: bool) -> None:
    """The connection of a cancelled request is closed, never given to the next."""
    slow: asyncio.Queue[Peer] = asyncio.Queue()
    left: asyncio.Queue[Peer] = asyncio.Queue()

    async def script(peer: Peer) -> None:
        if peer.path == "/slow":
            slow.put_nowait(peer)
            await peer.gone()
            left.put_nowait(peer)
        await peer.answer(200, peer.path.encode())

    async with serving(script) as server, sending(kind, server.port) as transport:
        for _ in range(3):
            request = asyncio.ensure_future(transport.send(read("/slow")))
            peer = await slow.get()
            if is_early:
                peer.say(POISON)
            request.cancel()
            with pytest.raises(asyncio.CancelledError):
                await request
            assert (await transport.send(read("/quick"))).body == b"/quick"
            # The server sees it closed, and what it says all the same is heard by nobody.
            await left.get()
            assert (await transport.send(read("/quick"))).body == b"/quick"
        assert len(server.requests) == 9
        assert server.connections == 4


async def test_cancelling_while_connecting_leaves_nothing_behind(kind: str) -> None:
    """No half-made connection stays, and the next request finds its way."""
    async with serving(echo) as server, sending(kind, server.port) as transport:
        waiting = asyncio.ensure_future(transport.send(create()))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await transport.send(create())).reach is Reach.ANSWERED


@pytest.mark.parametrize("turns", range(4))
async def test_cancelling_before_anything_is_written_leaves_nothing_behind(
    kind: str, turns: int
) -> None:
    """A kept connection that was taken and not yet written to is closed: not lost, not leaked."""
    async with serving(echo) as server, sending(kind, server.port) as transport:
        assert (await transport.send(create())).reach is Reach.ANSWERED
        waiting = asyncio.ensure_future(transport.send(create()))
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gc.collect()
        assert (await transport.send(create(b"a=1"))).body == b"a=1" + PATH.encode()


async def test_500_at_once_each_get_their_own_answer(kind: str) -> None:
    """Answers meet their requests, whatever the order."""

    async def script(peer: Peer) -> None:
        await asyncio.sleep(int(peer.path[1:]) % 7 / 200)
        await echo(peer)

    settings = quick(timeout_s=30, connect_timeout_s=30, max_in_flight=500)
    async with serving(script) as server, sending(kind, server.port, settings) as transport:
        for _ in range(2):
            attempts = await asyncio.gather(
                *(transport.send(create(b"n=%d" % n, f"/{n}")) for n in range(500))
            )
            assert [attempt.body for attempt in attempts] == [
                b"n=%d/%d" % (n, n) for n in range(500)
            ]
        assert len(server.requests) == 1000
        assert server.connections <= 500


@pytest.mark.parametrize("anyio_backend", [VIRTUAL], ids=["virtual time"])
async def test_exchanges_end_in_time_among_others(kind: str) -> None:
    """Each has its own deadline, also one that starts while others wait."""

    async def script(peer: Peer) -> None:
        if peer.path == "/hang":
            await peer.gone()
        else:
            await peer.answer()

    loop = asyncio.get_running_loop()

    async def timed(delay_s: float, path: str) -> tuple[Attempt, float]:
        await asyncio.sleep(delay_s)
        started = loop.time()
        return await transport.send(read(path)), loop.time() - started

    settings = quick(timeout_s=0.2)
    async with serving(script) as server, sending(kind, server.port, settings) as transport:
        ends = await asyncio.gather(
            timed(0, "/"),
            timed(0, "/hang"),
            timed(0.07, "/hang"),
            timed(0.14, "/hang"),
            timed(0, "/"),
        )
        for attempt, took_s in ends[1:4]:
            assert attempt.reach is Reach.MAYBE_SENT
            assert took_s == pytest.approx(0.2, abs=0.001)
        assert ends[0][0].reach is ends[4][0].reach is Reach.ANSWERED
        # Again once the timer has been idle.
        assert (await transport.send(read("/hang"))).error == "no whole answer within 0.2 s"


async def test_a_refused_port_is_not_sent(kind: str) -> None:
    """Nobody listens: nothing was sent."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        async with sending(kind, free.getsockname()[1]) as transport:
            attempt = await transport.send(create())
    assert (attempt.reach, attempt.status) == (Reach.NOT_SENT, 0)
    assert attempt.error == "cannot connect: Connection refused"


async def test_an_unknown_name_is_not_sent(kind: str) -> None:
    """`.invalid` never resolves (RFC 6761)."""
    async with sending(kind, 80, quick(), host="x.invalid") as t:
        attempt = await t.send(create())
    assert attempt.reach is Reach.NOT_SENT
    assert attempt.error in ("the host name cannot be resolved", "no connection within 5 s")


async def test_a_connect_timeout_is_not_sent(kind: str) -> None:
    """A full backlog drops SYNs: the connection never comes to be."""
    fillers = []
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)
        await asyncio.sleep(0.02)
        try:
            async with sending(
                kind, full.getsockname()[1], quick(connect_timeout_s=0.3)
            ) as transport:
                attempt = await transport.send(create())
        finally:
            for filler in fillers:
                filler.close()
    if attempt.reach is Reach.MAYBE_SENT:
        pytest.skip("this system accepts past the backlog")
    assert attempt.reach is Reach.NOT_SENT
    assert attempt.error == "no connection within 0.3 s"


async def test_an_account_without_credential_ends_the_run(kind: str) -> None:
    """It cannot be a row's failure: nothing can be asked for the account at all."""
    environ = {
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_API_KEY": "SK" + "1" * 32,
        "TWILIO_API_SECRET": "x",
    }
    transport = open_transport(
        quick(), BaseUrl("http", "127.0.0.1", 1), load_credentials(environ), kind=kind
    )
    with pytest.raises(CredentialError):
        await transport.send(Request("AC" + "2" * 32, "GET", "/"))
    await transport.aclose()


async def test_a_changed_aiohttp_falls_back_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """`auto` takes the session side, and says so; `lane` says that it cannot be had."""
    base = BaseUrl("http", "127.0.0.1", 1)
    loop = asyncio.get_running_loop()
    assert lane.find_problem(loop) is None
    transport = open_transport(quick(), base, credentials())
    assert isinstance(transport, lane.LaneTransport)
    await transport.aclose()

    monkeypatch.delattr("aiohttp.client_proto.ResponseHandler.start_timeout")
    assert lane.find_problem(loop) == "ResponseHandler.start_timeout is missing"
    with caplog.at_level(logging.WARNING):
        transport = open_transport(quick(), base, credentials())
    assert isinstance(transport, SessionTransport)
    await transport.aclose()
    assert "start_timeout is missing" in caplog.text
    with pytest.raises(TransportError, match="does not fit"):
        open_transport(quick(), base, credentials(), kind="lane")
    with pytest.raises(UsageError, match="no transport"):
        open_transport(quick(), base, credentials(), kind="curl")


async def test_every_part_of_the_trial_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that reads otherwise, or a connect that wants otherwise, is noticed."""
    loop = asyncio.get_running_loop()
    with monkeypatch.context() as patch:
        patch.setattr("aiohttp.TCPConnector.connect", lambda self, request: None)
        assert lane.find_problem(loop) == "TCPConnector.connect takes other arguments"
    with monkeypatch.context() as patch:
        patch.setattr(
            "aiohttp.client_proto.ResponseHandler.set_response_params",
            lambda self, read_until_eof: None,
        )
        assert lane.find_problem(loop) == "TypeError in the trial"
    with monkeypatch.context() as patch:
        patch.setattr("aiohttp.client_proto.ResponseHandler.should_close", True)
        assert lane.find_problem(loop) == "the parser reads an answer otherwise"
    with monkeypatch.context() as patch:
        patch.setattr("aiohttp.client_proto.ResponseHandler.data_received", lambda self, data: None)
        assert lane.find_problem(loop) == "TimeoutError in the trial"
    with monkeypatch.context() as patch:
        patch.setattr(
            "aiohttp.client_proto.ResponseHandler.connection_lost", lambda self, exc: None
        )
        assert lane.find_problem(loop) == "TimeoutError in the trial"
    with monkeypatch.context() as patch:
        patch.setattr(
            "aiohttp.client_proto.ResponseHandler.connection_lost",
            lambda self, exc: self.feed_data(("an answer", "a body")),
        )
        assert lane.find_problem(loop) == "the end of a connection goes unnoticed"
    with monkeypatch.context() as patch:
        patch.delattr("aiohttp.connector.Connection.close")
        assert lane.find_problem(loop) == "Connection.close is missing"
    with monkeypatch.context() as patch:
        patch.delattr("select.poll")
        assert lane.find_problem(loop) == "the system has no poll"
