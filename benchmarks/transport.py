"""What a request costs in the transport alone: CPU us of `send`, by side, loop and concurrency.

The far end (`far_answer.py`) is a process of its own on the other core. Workers send one request
after the other on connections that are there already. Beside both sides of the transport stands
`bare`: a ClientSession as the documentation of aiohttp shows it (`data=dict`, `await json()`).
Each figure is the median of several short measurements, taken in turns, so that what else the
machine does meets all of them alike; CPU time, not wall time, with the garbage collector set as
in a run (`--gc default`: as Python has it).

    python benchmarks/transport.py                            all of it: about five minutes
    python benchmarks/transport.py --scheme http --sides lane --in-flight 64 --times 5
    python benchmarks/transport.py --in-flight 64 --scheme http --sides lane --loops uvloop \
        --profile out.txt
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import os
import pstats
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path

import aiohttp
from far_answer import HOST, FarAnswer

from bulkipacl.credentials import Credential, load_credentials
from bulkipacl.engine.loop import rare_collections
from bulkipacl.model import Reach, Request
from bulkipacl.settings import Settings
from bulkipacl.twilio.hosts import BaseUrl
from bulkipacl.twilio.transport import open_transport

SIDES = ("lane", "session", "bare")
LOOPS = ("uvloop", "asyncio")
SCHEMES = ("http", "https")
IN_FLIGHT = (16, 64, 250, 1_000)
ACCOUNT = f"AC{0:032x}"
PATH = f"/2010-04-01/Accounts/{ACCOUNT}/SIP/IpAccessControlLists/AL{0:032x}/IpAddresses.json"
FIELDS = {"FriendlyName": "Lisbon trunk", "IpAddress": "20.30.40.50", "CidrPrefixLength": "32"}
BODY = b"FriendlyName=Lisbon+trunk&IpAddress=20.30.40.50&CidrPrefixLength=32"

Case = tuple[str, str, str, int]
"""Scheme, loop, side, in flight."""

Sender = Callable[[], Awaitable[object]]


def measure(case: Case, port: int, ca_file: Path | None, requests: int) -> float:
    """CPU us a request."""
    scheme, loop, side, in_flight = case
    base = BaseUrl(scheme, HOST, port)
    work = _bare if side == "bare" else _transport

    async def main() -> float:
        return await work(base, ca_file, side, in_flight, requests)

    if loop == "uvloop":
        import uvloop

        return uvloop.run(main())
    return asyncio.run(main())


async def _transport(
    base: BaseUrl, ca_file: Path | None, side: str, in_flight: int, requests: int
) -> float:
    credentials = load_credentials({"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": "0" * 32})
    settings = Settings(
        max_in_flight=in_flight,
        # A thousand TLS handshakes at once take their time where the machine has other work, too.
        timeout_s=120.0,
        connect_timeout_s=120.0,
        read_timeout_s=120.0,
        tls_ca_file=None if ca_file is None else str(ca_file),
    )
    transport = open_transport(settings, base, credentials, kind=side)

    async def send() -> None:
        attempt = await transport.send(Request(ACCOUNT, "POST", PATH, BODY))
        if attempt.reach is not Reach.ANSWERED:
            raise RuntimeError(attempt.error)

    try:
        return await _cost(send, in_flight, requests)
    finally:
        await transport.aclose()


async def _bare(
    base: BaseUrl, ca_file: Path | None, side: str, in_flight: int, requests: int
) -> float:
    tls = ssl.create_default_context(cafile=ca_file)
    connector = aiohttp.TCPConnector(limit=in_flight, ssl=tls)
    headers = {"Authorization": Credential(ACCOUNT, "0" * 32).authorization}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def send() -> None:
            async with session.post(base.origin + PATH, data=FIELDS) as response:
                await response.json()

        return await _cost(send, in_flight, requests)


async def _cost(send: Sender, in_flight: int, requests: int) -> float:
    """CPU us a request of so many workers, once all have their connections."""

    async def work(numbers: Iterator[int]) -> None:
        for _ in numbers:
            await send()

    async def all_of(count: int) -> None:
        numbers = iter(range(count))
        await asyncio.gather(*(work(numbers) for _ in range(in_flight)))

    await all_of(in_flight * 2)
    gc.collect()
    began = time.process_time()
    await all_of(requests)
    return (time.process_time() - began) / requests * 1e6


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for the loopback, and its key, by openssl."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=far"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", f"subjectAltName=IP:{HOST}"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def own_cores() -> tuple[int | None, int | None]:
    """A core for this process, which is put on it, and one for the far end; None: as they come."""
    if not hasattr(os, "sched_setaffinity"):
        return None, None
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return None, None
    os.sched_setaffinity(0, {cores[0]})
    return cores[0], cores[1]


def run(cases: list[Case], times: int, requests: int) -> dict[Case, list[float]]:
    """All measurements, in turns."""
    found: dict[Case, list[float]] = {case: [] for case in cases}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _, core = own_cores()
        ends = {}
        for scheme in sorted({case[0] for case in cases}):
            pair = make_certificate(folder) if scheme == "https" else None
            ends[scheme] = stack.enter_context(FarAnswer(core, pair)), pair and pair[0]
        for _ in range(times):
            for case in cases:
                end, ca_file = ends[case[0]]
                found[case].append(measure(case, end.port, ca_file, requests))
    return found


def table(found: dict[Case, list[float]]) -> str:
    """Markdown: a line for each scheme, loop and side, a column for each number in flight."""
    numbers = sorted({case[3] for case in found})
    lines = [
        f"| | loop | side | {' | '.join(f'{number:,}' for number in numbers)} |",
        "|---|---|---|" + "---|" * len(numbers),
    ]
    for scheme, loop, side in dict.fromkeys(case[:3] for case in found):
        cells = []
        for number in numbers:
            figures = found[scheme, loop, side, number]
            cells.append(f"{statistics.median(figures):.1f} (from {min(figures):.1f})")
        lines.append(f"| {scheme} | {loop} | {side} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--scheme", nargs="+", default=SCHEMES, choices=SCHEMES)
    parser.add_argument("--loops", nargs="+", default=LOOPS, choices=LOOPS)
    parser.add_argument("--sides", nargs="+", default=SIDES, choices=SIDES)
    parser.add_argument("--in-flight", nargs="+", type=int, default=IN_FLIGHT)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--requests", type=int, default=4_000)
    parser.add_argument("--gc", choices=("run", "default"), default="run")
    parser.add_argument("--profile", type=Path)
    given = parser.parse_args()
    cases = [
        (scheme, loop, side, number)
        for number in given.in_flight
        for scheme in given.scheme
        for loop in given.loops
        for side in given.sides
    ]
    profile = cProfile.Profile()
    with (
        rare_collections() if given.gc == "run" else nullcontext(),
        profile if given.profile else nullcontext(),
    ):
        found = run(cases, given.times, given.requests)
    if given.profile:
        with given.profile.open("w", encoding="ascii") as file:
            pstats.Stats(profile, stream=file).sort_stats("tottime").print_stats(40)
    print(f"# python {sys.version.split()[0]}, aiohttp {aiohttp.__version__}; CPU us a request,")
    print(f"# medians of {given.times} (and the least), by requests in flight")
    print(table(found))


if __name__ == "__main__":
    main()
