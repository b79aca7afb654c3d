"""A far end that gives every request the same answer, for what the client's wire alone costs.

It looks for the end of each head and answers 201 with some JSON; it reads no further and keeps
nothing. A process of its own, on the core that it is told (where the system has such a thing), on
the loopback alone; it ends when its stdin closes.

    FarAnswer    starts one
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

HOST = "127.0.0.1"
_BODY = (
    b'{"sid":"IP%032x","account_sid":"AC%032x","friendly_name":"Lisbon trunk",'
    b'"ip_address":"20.30.40.50","cidr_prefix_length":32,"ip_access_control_list_sid":"AL%032x",'
    b'"date_created":"Thu, 01 Jan 2026 00:00:00 +0000",'
    b'"date_updated":"Thu, 01 Jan 2026 00:00:00 +0000","uri":"/2010-04-01/Accounts/AC/SIP.json"}'
) % (1, 2, 3)
ANSWER = (
    b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n"
    b"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nTwilio-Concurrent-Requests: 16\r\n"
    b"Twilio-Request-Id: RQ%032x\r\nTwilio-Request-Duration: 0.012\r\n"
    b"Content-Length: %d\r\n\r\n%b"
) % (4, len(_BODY), _BODY)


class FarAnswer:
    """The far end as a process; `tls` names its certificate and key, or is None for plain HTTP."""

    def __init__(self, core: int | None, tls: tuple[Path, Path] | None = None) -> None:
        where = "-" if core is None else str(core)
        self._process = subprocess.Popen(
            [sys.executable, __file__, where, *map(str, tls or ())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.communicate(timeout=10)


class _Answerer(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._tail = b""

    def connection_made(self, transport: Any) -> None:
        self._write = transport.write

    def data_received(self, data: bytes) -> None:
        # An end of a head may come in two packets; its last three bytes are not yet one.
        data = self._tail + data
        self._tail = data[-3:]
        for _ in range(data.count(b"\r\n\r\n")):
            self._write(ANSWER)


async def _serve(tls: ssl.SSLContext | None) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    server = await loop.create_server(_Answerer, HOST, 0, ssl=tls, backlog=4096)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    loop.add_reader(0, ended.set)
    await ended.wait()


def main() -> None:
    """Serve on the core of the first argument, with the certificate and key of the others."""
    if sys.argv[1] != "-":
        os.sched_setaffinity(0, {int(sys.argv[1])})
    tls = None
    if len(sys.argv) > 2:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*sys.argv[2:4])
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.run(_serve(tls))
        return
    asyncio.run(_serve(tls))


if __name__ == "__main__":
    main()
