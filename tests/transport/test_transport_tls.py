"""TLS is verified before a byte of a request is written; proxies tunnel and see no credential."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from transport_faults import Peer, create, credentials, quick, read_request, sending, serving

from bulkipacl.errors import TransportError
from bulkipacl.model import Reach
from bulkipacl.settings import Settings
from bulkipacl.twilio.hosts import BaseUrl, Proxy, find_proxy
from bulkipacl.twilio.transport import open_transport

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the keys")


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody has signed, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=test"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


@pytest.fixture
def server_tls(pair: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    return context


async def echo(peer: Peer) -> None:
    await peer.answer(200, peer.body)


async def test_a_certificate_of_unknown_origin_is_not_sent_to(
    kind: str, server_tls: ssl.SSLContext
) -> None:
    """The request, and with it the token, stays here."""
    async with serving(echo, server_tls) as server:
        settings = quick()
        async with sending(kind, server.port, settings, scheme="https") as transport:
            attempt = await transport.send(create())
        assert attempt.reach is Reach.NOT_SENT
        assert attempt.error == "the TLS certificate is not trusted: self-signed certificate"
        assert server.requests == []


async def test_a_certificate_of_another_host_is_not_sent_to(
    kind: str, server_tls: ssl.SSLContext, pair: tuple[Path, Path]
) -> None:
    """Trusted, but for another name."""
    async with serving(echo, server_tls) as server:
        async with sending(
            kind, server.port, scheme="https", host="localhost", ca_file=pair[0]
        ) as transport:
            attempt = await transport.send(create())
        assert attempt.reach is Reach.NOT_SENT
        assert attempt.error.startswith("the TLS certificate is not trusted: Hostname mismatch")
        assert server.requests == []


async def test_a_ca_file_is_trusted(
    kind: str, server_tls: ssl.SSLContext, pair: tuple[Path, Path]
) -> None:
    """With its certificate given, the same server is answered by, on one connection."""
    async with serving(echo, server_tls) as server:
        async with sending(kind, server.port, scheme="https", ca_file=pair[0]) as transport:
            for body in (b"a=1", b"b=2"):
                attempt = await transport.send(create(body))
                assert (attempt.reach, attempt.body) == (Reach.ANSWERED, body)
        assert len(server.requests) == 2
        assert server.connections == 1


async def test_what_follows_an_answer_never_answers_the_next_under_tls(
    kind: str, server_tls: ssl.SSLContext, pair: tuple[Path, Path]
) -> None:
    """What lies unread in the socket is encrypted, and is heard all the same."""
    peers: list[Peer] = []

    async def script(peer: Peer) -> None:
        peers.append(peer)
        await echo(peer)

    async with serving(script, server_tls) as server:
        async with sending(kind, server.port, scheme="https", ca_file=pair[0]) as transport:
            assert (await transport.send(create(b"a=1"))).body == b"a=1"
            peers[0].writer.write(b"HTTP/1.1 200 Poison\r\nContent-Length: 1\r\n\r\n!")
            assert (await transport.send(create(b"b=2"))).body == b"b=2"
        assert (len(server.requests), server.connections) == (2, 2)


async def test_a_server_without_tls_is_not_sent_to(kind: str) -> None:
    """No handshake, no request."""
    async with serving(echo) as server:
        settings = quick(connect_timeout_s=0.3)
        async with sending(kind, server.port, settings, scheme="https") as transport:
            attempt = await transport.send(create())
        assert attempt.reach is Reach.NOT_SENT
        assert server.requests == []


async def test_a_ca_file_that_is_none_is_said_at_once(kind: str, tmp_path: Path) -> None:
    """One line with the file and why."""
    empty = tmp_path / "empty.pem"
    empty.touch()
    base = BaseUrl("https", "127.0.0.1", 1)
    for path, why in ((tmp_path / "none.pem", "No such file"), (empty, "holds no certificate")):
        with pytest.raises(TransportError, match=why):
            open_transport(Settings(tls_ca_file=str(path)), base, credentials(), kind=kind)


class TunnelProxy:
    """Answers CONNECT, then passes bytes on both ways."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.heads: list[bytes] = []
        self.port = 0
        self.running: list[asyncio.Task[None]] = []

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.running.append(asyncio.ensure_future(self.serve(reader, writer)))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_request(reader)
        self.heads.append(head)
        writer.write(self.answer)
        if b" 200 " in self.answer:
            host, _, port = head.split(b" ")[1].decode().partition(":")
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            await asyncio.gather(pump(far_reader, writer), pump(reader, far_writer))
        writer.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except OSError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def proxying(answer: bytes) -> AsyncIterator[TunnelProxy]:
    proxy = TunnelProxy(answer)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    yield proxy
    server.close()
    await asyncio.gather(*proxy.running)


async def test_a_proxy_tunnels(
    kind: str,
    server_tls: ssl.SSLContext,
    pair: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One CONNECT with the proxy's own credential; the requests pass through, on one tunnel."""
    async with (
        serving(echo, server_tls) as server,
        proxying(b"HTTP/1.1 200 Go on\r\n\r\n") as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:p%40ss@127.0.0.1:{proxy.port}")
        async with sending(kind, server.port, scheme="https", ca_file=pair[0]) as transport:
            for body in (b"a=1", b"b=2", b"c=3"):
                attempt = await transport.send(create(body))
                assert (attempt.reach, attempt.body) == (Reach.ANSWERED, body)
        assert len(server.requests) == 3
        assert b"Proxy-Authorization" not in server.requests[0]
        (head,) = proxy.heads
        assert head.startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n".encode())
        assert head.count(b"Authorization: Basic bWU6cEBzcw==\r\n") == head.count(b"uthorization")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (
            b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n",
            "the proxy refused the tunnel with status 407",
        ),
        (b"", "the connection was closed before the answer was complete"),
    ],
)
async def test_a_proxy_that_refuses_means_not_sent(
    kind: str, answer: bytes, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tunnel never came to be, so neither did the request."""
    async with proxying(answer) as proxy:
        monkeypatch.setenv("https_proxy", f"http://me:secret@127.0.0.1:{proxy.port}")
        settings = quick()
        async with sending(kind, 1, settings, scheme="https") as transport:
            attempt = await transport.send(create())
        assert (attempt.reach, attempt.error) == (Reach.NOT_SENT, error)
        assert len(proxy.heads) == 1


async def test_a_proxy_that_is_not_there_means_not_sent(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its address may hold a password, which is not shown."""
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@127.0.0.1:1")
    async with sending(kind, 1, quick(), scheme="https") as transport:
        attempt = await transport.send(create())
    assert attempt.reach is Reach.NOT_SENT
    assert attempt.error == "the proxy cannot be reached: Connection refused"


HTTPS = BaseUrl("https", "api.example.com", 443)
PROXIES = {
    "none": ({}, None),
    "host and port": ({"HTTPS_PROXY": "http://p:3128"}, Proxy("http://p:3128")),
    "lower case": ({"https_proxy": "http://p:3128/"}, Proxy("http://p:3128")),
    "no scheme": ({"HTTPS_PROXY": "p:3128"}, Proxy("http://p:3128")),
    "TLS to the proxy": ({"HTTPS_PROXY": "https://p"}, Proxy("https://p")),
    "of http only": ({"HTTP_PROXY": "http://p"}, None),
    "excepted": ({"HTTPS_PROXY": "http://p", "NO_PROXY": "example.com"}, None),
    "credential": ({"HTTPS_PROXY": "http://a:b@p"}, Proxy("http://p", "Basic YTpi")),
}


@pytest.mark.parametrize("name", PROXIES)
def test_proxies_of_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names and exceptions that other programs know."""
    environ, expected = PROXIES[name]
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    assert find_proxy(HTTPS) == expected
    assert find_proxy(BaseUrl("http", "127.0.0.1", 80)) is None


@pytest.mark.parametrize("url", ["socks5://me:secret@p:1", "http://me:secret@p:99999", "http://"])
def test_a_proxy_that_cannot_be_used(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused at once, without showing it."""
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(TransportError, match="cannot be used") as caught:
        find_proxy(HTTPS)
    assert "secret" not in f"{caught.value} {caught.value.hint}"
