"""Callers for the sandbox's tests: requests inside the loop, and a sandbox as a process."""

import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

import bulkipacl
from bulkipacl.sandbox import Sandbox, SandboxConfig

ROOT = Path(bulkipacl.__file__).parents[1]


@dataclass(frozen=True)
class Answer:
    """Status, headers and body of one response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)

    @property
    def code(self) -> int:
        """The API's error code."""
        return int(self.json["code"])


class Caller:
    """Requests to one sandbox, a fresh connection for each.

    The session sends a GET or DELETE once more where its connection breaks; never a POST.
    """

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self._session = session
        ready = sandbox.ready()
        self.accounts: list[str] = list(ready["accounts"])
        self.ac = self.accounts[0]
        self.lists: list[str] = ready["lists"][self.ac]
        self.auth = (self.ac, str(ready["accounts"][self.ac]))
        self.al = self.lists[0] if self.lists else ""

    def entries_path(self, al: str | None = None, ac: str | None = None) -> str:
        """The path of a list's entries, after the account."""
        return f"/SIP/IpAccessControlLists/{al or self.al}/IpAddresses"

    async def call(
        self,
        method: str,
        path: str,
        data: dict[str, str] | None = None,
        *,
        auth: tuple[str, str] | None = None,
        timeout_s: float = 5.0,
        json: Any = None,
    ) -> Answer:
        """One request; `path` starts at the host, or at the account if it starts with /SIP."""
        if path.startswith("/SIP"):
            path = f"/2010-04-01/Accounts/{self.ac}{path}.json"
        user, password = auth or self.auth
        headers = {"Authorization": aiohttp.encode_basic_auth(user, password)}
        async with self._session.request(
            method,
            self.sandbox.url + path,
            data=data,
            json=json,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=timeout_s),
        ) as response:
            body = await response.read()
            return Answer(response.status, dict(response.headers), body)

    async def create(self, ip: str = "10.0.0.1", name: str = "a", **more: str) -> Answer:
        """Create one entry in the first list."""
        params = {"FriendlyName": name, "IpAddress": ip, **more}
        return await self.call("POST", self.entries_path(), params)


Serve = Callable[[SandboxConfig], Awaitable[Caller]]


@contextmanager
def process(config: str, *, as_json: bool = True) -> Iterator[subprocess.Popen[str]]:
    """A sandbox as a process; `config` is the text of SandboxConfig's arguments."""
    code = (
        "import sys; from bulkipacl.sandbox import *; "
        f"sys.exit(main(SandboxConfig({config}), as_json={as_json}))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()
