"""What others send creates with: each as its own documentation shows it, in a process of its own.

    python benchmarks/peers_clients.py NAME URL ROWS.csv TIMES.json uvloop|asyncio

Each reads the rows from the CSV, sends a create for each with 64 at work, reads the answer as JSON
and looks at nothing but its status: no check, no record, no retry. What it took from the first row
on, without the start of Python and the imports, goes to TIMES.json. Credentials come from the
environment, and whom TLS trusts from SSL_CERT_FILE and REQUESTS_CA_BUNDLE.

    CLIENTS    the names
"""

from __future__ import annotations

import asyncio
import base64
import csv
import importlib
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote_plus

AT_ONCE = 64
ACCOUNT, TOKEN = "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"
Send = Callable[["Row"], Awaitable[object]]
IpAddresses = Callable[["Row"], Any]


class Row(NamedTuple):
    """A row of the input, and where it goes: the columns of the CSV in their order."""

    account_sid: str
    list_sid: str
    ip_address: str
    prefix: str
    name: str

    def url(self, base: str) -> str:
        """Of the list's entries."""
        return (
            f"{base}/2010-04-01/Accounts/{self.account_sid}/SIP/IpAccessControlLists"
            f"/{self.list_sid}/IpAddresses.json"
        )

    @property
    def form(self) -> dict[str, str]:
        """The fields of a create."""
        return {
            "FriendlyName": self.name,
            "IpAddress": self.ip_address,
            "CidrPrefixLength": self.prefix,
        }


def _pair() -> tuple[str, str]:
    return os.environ[ACCOUNT], os.environ[TOKEN]


def _authorization() -> str:
    return f"Basic {base64.b64encode(':'.join(_pair()).encode()).decode()}"


async def _work_off(rows: Iterator[Row], send: Send) -> None:
    """64 workers, and one iterator for all of them."""

    async def work() -> None:
        for row in rows:
            await send(row)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


def _created(status: int) -> None:
    if status != 201:
        raise RuntimeError(f"the far end answered {status}")


async def _send_bare(rows: Iterator[Row], base: str) -> None:
    """A loop over aiohttp's session as its documentation shows it.

    The header is ready-made, which is cheaper than `auth=`.
    """
    aiohttp = importlib.import_module("aiohttp")
    async with aiohttp.ClientSession(headers={"Authorization": _authorization()}) as session:

        async def send(row: Row) -> None:
            async with session.post(row.url(base), data=row.form) as response:
                _created(response.status)
                await response.json()

        await _work_off(rows, send)


async def _send_tuned(rows: Iterator[Row], base: str) -> None:
    """The same session with all that makes it faster, and orjson."""
    aiohttp, yarl, orjson, multidict = map(
        importlib.import_module, ("aiohttp", "yarl", "orjson", "multidict")
    )
    headers = multidict.CIMultiDict(
        {
            "Authorization": _authorization(),
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "tuned",
            "Content-Type": "application/x-www-form-urlencoded",
        }
    )
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:

        async def send(row: Row) -> None:
            body = (
                f"FriendlyName={quote_plus(row.name)}&IpAddress={row.ip_address}"
                f"&CidrPrefixLength={row.prefix}"
            ).encode()
            url = yarl.URL(row.url(base), encoded=True)
            async with session.post(url, data=body, headers=headers) as response:
                _created(response.status)
                orjson.loads(await response.read())

        await _work_off(rows, send)


def _vendor(base: str, **options: Any) -> IpAddresses:
    """The vendor's client, which is told another host in the only way that there is."""
    client = importlib.import_module("twilio.rest").Client(*_pair(), **options)
    client.api.base_url = base
    accounts = client.api.v2010.accounts

    def ip_addresses(row: Row) -> Any:
        lists = accounts(row.account_sid).sip.ip_access_control_lists
        return lists(row.list_sid).ip_addresses

    return ip_addresses


def _vendor_fields(row: Row) -> dict[str, object]:
    return {
        "friendly_name": row.name,
        "ip_address": row.ip_address,
        "cidr_prefix_length": int(row.prefix),
    }


async def _send_vendor(rows: Iterator[Row], base: str) -> None:
    """The vendor's async client."""
    http = importlib.import_module("twilio.http.async_http_client").AsyncTwilioHttpClient()
    ip_addresses = _vendor(base, http_client=http)
    async with http:
        await _work_off(rows, lambda row: ip_addresses(row).create_async(**_vendor_fields(row)))


def _send_vendor_in_threads(rows: Iterator[Row], base: str) -> None:
    """The vendor's own client in 64 threads."""
    ip_addresses = _vendor(base)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(lambda row: ip_addresses(row).create(**_vendor_fields(row)), rows):
            pass


async def _send_httpx(rows: Iterator[Row], base: str) -> None:
    """A loop over httpx's client."""
    async with _httpx() as client:

        async def send(row: Row) -> None:
            response = await client.post(row.url(base), data=row.form)
            _created(response.status_code)
            response.json()

        await _work_off(rows, send)


async def _send_aiometer(rows: Iterator[Row], base: str) -> None:
    """The same client under aiometer, which needs all rows at once."""
    aiometer = importlib.import_module("aiometer")
    async with _httpx() as client:

        async def send(row: Row) -> Any:
            response = await client.post(row.url(base), data=row.form)
            _created(response.status_code)
            return response.json()

        async with aiometer.amap(send, list(rows), max_at_once=AT_ONCE) as answers:
            async for _ in answers:
                pass


def _httpx() -> Any:
    return importlib.import_module("httpx").AsyncClient(auth=_pair())


CLIENTS: dict[str, tuple[Callable[[Iterator[Row], str], Any], tuple[str, ...]]] = {
    "bare": (_send_bare, ("aiohttp",)),
    "tuned": (_send_tuned, ("aiohttp", "yarl", "orjson", "multidict")),
    "vendor": (_send_vendor, ("twilio.rest.api", "twilio.http.async_http_client")),
    "vendor-threads": (_send_vendor_in_threads, ("twilio.rest.api",)),
    "httpx": (_send_httpx, ("httpx",)),
    "aiometer": (_send_aiometer, ("aiometer", "httpx")),
}
"""What sends, and the modules that it needs, which are imported before time is taken."""


def main() -> None:
    """Send all rows with one of them."""
    name, base, path, times, loop = sys.argv[1:]
    send, modules = CLIENTS[name]
    for module in modules:
        importlib.import_module(module)
    run: Callable[[Any], object] = asyncio.run
    if loop == "uvloop":
        run = importlib.import_module("uvloop").run
    with Path(path).open(encoding="ascii", newline="") as file:
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        reader = csv.reader(file)
        next(reader)
        sending = send(map(Row._make, reader), base)
        if sending is not None:
            run(sending)
        took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    told = {"took_s": took_s, "cpu_s": cpu_s, "loop": loop if sending is not None else ""}
    Path(times).write_text(json.dumps(told), encoding="ascii")


if __name__ == "__main__":
    main()
