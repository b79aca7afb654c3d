"""A far end that is cheap enough not to be what a benchmark measures.

It knows creates and readings of lists and nothing else: it keeps what was created, answers at once
with the echo that the API would send, refuses nothing and checks no credential. It is a process of
its own, on a core of its own where there are two, on the loopback alone, and ends when the pipe
from whoever started it closes. For anything like the real API there is `bulkipacl sandbox`.

    FarEnd     starts one, asks how many requests it had and what they cost it, makes it forget
    measure    what it can do: requests a second, and CPU us for each
    Lists      what it holds, and its answers
    Speaker    just enough HTTP/1.1;  TlsSpeaker   the same inside TLS
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import unquote_plus

import uvloop

HOST = "127.0.0.1"
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_FIELDS = re.compile(rb"FriendlyName=([^&]*)&IpAddress=([^&]*)&CidrPrefixLength=([^&]*)")
"""In the order in which all clients here send them."""

_CREATE = re.compile(
    rb"POST (/2010-04-01/Accounts/(AC\w{32})/SIP/\w+/(AL\w{32})/IpAddresses)\.json "
)
_READ = re.compile(rb"GET /2010-04-01/Accounts/AC\w{32}/SIP/\w+/(AL\w{32})/IpAddresses\.json[? ]")
_NOT_FOUND = b'{"status":404,"code":20404,"message":"only creates and readings of lists are known"}'
_NO_LENGTH = b'{"status":411,"code":0,"message":"a Content-Length is needed"}'


class Lists:
    """What was created, by list.

    Attributes:
        asked: requests so far, by what they were.
    """

    def __init__(self) -> None:
        self.asked = {"create": 0, "read": 0, "other": 0}
        self._held: dict[bytes, list[bytes]] = {}
        self._made = 0
        self._date = email.utils.formatdate().encode()
        self._head = (
            b"\r\nContent-Type: application/json\r\nDate: %b\r\nTwilio-Concurrent-Requests: 1\r\n"
            b"Twilio-Request-Id: RQ%032x\r\nTwilio-Request-Duration: 0.001\r\n"
            b"Content-Length: " % (email.utils.formatdate(usegmt=True).encode(), 1)
        )

    @property
    def held(self) -> int:
        """Entries that it holds; each address of a list counts once."""
        return sum(len({_address_of(entry) for entry in of}) for of in self._held.values())

    def forget(self) -> None:
        """Empty all lists, and count from 0 on."""
        self._held.clear()
        self.asked = dict.fromkeys(self.asked, 0)

    def answer(self, head: bytes, body: bytes | None) -> bytes:
        """The whole answer to a request; `body` None: it is a POST that told no length."""
        if body is None:
            self.asked["other"] += 1
            return self._with_head(b"411 Length Required", _NO_LENGTH)
        if found := _CREATE.match(head):
            self.asked["create"] += 1
            path, account, acl = found.groups()
            return self._with_head(b"201 Created", self._create(path, account, acl, body))
        if found := _READ.match(head):
            self.asked["read"] += 1
            page = b'{"ip_addresses":[%b],"next_page_uri":null,"page":0,"page_size":1000}'
            return self._with_head(b"200 OK", page % b",".join(self._held.get(found[1], ())))
        self.asked["other"] += 1
        return self._with_head(b"404 Not Found", _NOT_FOUND)

    def _create(self, path: bytes, account: bytes, acl: bytes, body: bytes) -> bytes:
        found = _FIELDS.fullmatch(body)
        if found is None:
            raise ValueError("not the three fields in the order of the documentation")
        name, address, prefix = found.groups()
        if b"%" in name or b"+" in name or b"\\" in name:
            name = json.dumps(unquote_plus(name.decode())).encode()[1:-1]
        self._made += 1
        sid = b"IP%032x" % self._made
        entry = (
            b'{"sid":"%b","account_sid":"%b","friendly_name":"%b","ip_address":"%b",'
            b'"cidr_prefix_length":%b,"ip_access_control_list_sid":"%b","date_created":"%b",'
            b'"date_updated":"%b","uri":"%b/%b.json"}'
        ) % (
            sid,
            account,
            name,
            address,
            prefix,
            acl,
            self._date,
            self._date,
            path,
            sid,
        )
        self._held.setdefault(acl, []).append(entry)
        return entry

    def _with_head(self, status: bytes, body: bytes) -> bytes:
        return b"HTTP/1.1 %b%b%d\r\n\r\n%b" % (status, self._head, len(body), body)


def _address_of(entry: bytes) -> bytes:
    begin = entry.index(b'"ip_address":')
    return entry[begin : entry.index(b',"ip_access', begin)]


class Speaker(asyncio.Protocol):
    """One connection: requests in, an answer to each at once; kept until the client closes it."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        self._rest = b""

    def connection_made(self, transport: Any) -> None:
        """Keep where to write to."""
        self._write: Callable[[bytes], object] = transport.write

    def data_received(self, data: bytes) -> None:
        """Answer what is complete, and keep the rest."""
        data = self._rest + data if self._rest else data
        answers, at = [], 0
        while (head_end := data.find(b"\r\n\r\n", at)) >= 0:
            body: bytes | None = b""
            end = head_end + 4
            if data.startswith(b"POST", at):
                found = _LENGTH.search(data, at, head_end)
                length = int(found[1]) if found else 0
                if len(data) < end + length:
                    break
                body = data[end : end + length] if found else None
                end += length
            answers.append(self._lists.answer(data[at:head_end], body))
            at = end
        self._rest = data[at:]
        if answers:
            self._write(b"".join(answers))


class TlsSpeaker(Speaker):
    """The same inside TLS, by the ssl module alone, which costs less than a loop's own TLS."""

    def __init__(self, lists: Lists, context: ssl.SSLContext) -> None:
        super().__init__(lists)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)

    def connection_made(self, transport: Any) -> None:
        """Keep where to write to, encrypted."""
        self._transport = transport
        self._write = self._tls.write

    def data_received(self, data: bytes) -> None:
        """Decrypt what is complete, and answer it."""
        self._in.write(data)
        try:
            self._tls.do_handshake()  # Nothing, once it is done.
            while self._in.pending or self._tls.pending():
                super().data_received(self._tls.read(65_536))
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:  # It does not trust us, or it says goodbye.
            self._transport.close()
        if self._out.pending:
            self._transport.write(self._out.read())


class Told(NamedTuple):
    """What a far end says of itself.

    Attributes:
        asked: requests since it last forgot everything: `create`, `read`, `other`.
        held: different entries that it holds.
        cpu_s: what it has cost so far.
    """

    asked: dict[str, int]
    held: int
    cpu_s: float


class FarEnd:
    """A far end as a process; `tls` names its certificate and key, or is None for plain HTTP.

    It runs on the cores of the thread that starts it, from then on.
    """

    def __init__(self, tls: tuple[Path, Path] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *map(str, tls or ())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._hear())
        self.url = f"{'https' if tls else 'http'}://{HOST}:{self.port}"
        self.certificate = tls[0] if tls else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.communicate(timeout=10)

    def tell(self) -> Told:
        """What it has done so far."""
        return self._say("tell")

    def forget(self) -> Told:
        """Make it empty; what it says then has no requests."""
        return self._say("forget")

    def _say(self, word: str) -> Told:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return Told(**json.loads(self._hear()))

    def _hear(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the far end has ended")
        return line


class Speed(NamedTuple):
    """What a far end can do.

    Attributes:
        per_s: requests a second, many of them in one packet.
        one_by_one_us: its CPU for a request where each comes in a packet of its own.
    """

    per_s: float
    one_by_one_us: float


def measure(far: FarEnd, requests: int = 40_000) -> Speed:
    """Load a far end from raw sockets, in the calling thread, with creates that it forgets after.

    Pipelined: two sockets in turn, so that there is always something for it to do. One by one: 64
    sockets, each with one request in flight, as the clients ask.
    """
    deep, wide = 64, 64
    with _Sockets(far, wide) as sockets:
        began = time.perf_counter()
        for number in range(requests // deep + 1):
            if number > 1:
                sockets.hear(number % 2, deep)
            sockets.ask(number % 2, deep)
        sockets.hear(0, deep)
        sockets.hear(1, deep)
        took_s = time.perf_counter() - began
        before = far.forget()
        for _ in range(requests // 4 // wide):
            for place in range(wide):
                sockets.ask(place, 1)
            for place in range(wide):
                sockets.hear(place, 1)
        after = far.tell()
    far.forget()
    cpu_s = (after.cpu_s - before.cpu_s) / after.asked["create"]
    return Speed((requests // deep + 1) * deep / took_s, cpu_s * 1e6)


class _Sockets:
    """Connections to a far end that all ask the same; its answers are all equally long."""

    def __init__(self, far: FarEnd, count: int) -> None:
        context = None
        if far.certificate is not None:
            context = ssl.create_default_context(cafile=far.certificate)
        body = b"FriendlyName=Office-1&IpAddress=44.0.0.1&CidrPrefixLength=32"
        path = (
            f"/2010-04-01/Accounts/AC{0:032x}/SIP/IpAccessControlLists/AL{0:032x}/IpAddresses.json"
        )
        head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._request = head.encode() + body
        self._all: list[socket.socket] = []
        for _ in range(count):
            connection = socket.create_connection((HOST, far.port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                connection = context.wrap_socket(connection, server_hostname=HOST)
            self._all.append(connection)
        self.ask(0, 1)
        self._answer_bytes = len(self._all[0].recv(65_536))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for connection in self._all:
            connection.close()

    def ask(self, place: int, times: int) -> None:
        """Write the request so many times at once."""
        self._all[place].sendall(self._request * times)

    def hear(self, place: int, times: int) -> None:
        """Read so many answers."""
        left = self._answer_bytes * times
        while left > 0:
            data = self._all[place].recv(left)
            if not data:
                raise RuntimeError("the far end closed a connection")
            left -= len(data)


async def _serve(tls: ssl.SSLContext | None) -> None:
    """Say the port on stdout, answer, and obey the lines on stdin until it closes."""
    loop = asyncio.get_running_loop()
    lists, ended = Lists(), asyncio.Event()

    def obey() -> None:
        words = os.read(0, 4096).split()
        if not words:
            ended.set()
            loop.remove_reader(0)
        for word in words:
            if word == b"forget":
                lists.forget()
            told = {"cpu_s": time.process_time(), "asked": lists.asked, "held": lists.held}
            sys.stdout.write(f"{json.dumps(told)}\n")
            sys.stdout.flush()

    def speaker() -> Speaker:
        return Speaker(lists) if tls is None else TlsSpeaker(lists, tls)

    server = await loop.create_server(speaker, HOST, 0, backlog=4096)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    loop.add_reader(0, obey)
    await ended.wait()


def main() -> None:
    """Serve plain HTTP, or TLS with the certificate and key that are given."""
    tls = None
    if len(sys.argv) > 1:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*sys.argv[1:3])
    uvloop.run(_serve(tls))


if __name__ == "__main__":
    main()
