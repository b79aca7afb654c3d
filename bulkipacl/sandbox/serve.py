"""Starting and stopping: inside a running event loop, or as a process of its own.

No threads, and all waiting goes by the event loop's clock, so a loop with virtual time works.

    Sandbox   a running sandbox: its url, state, ledger and counts
    start     one inside the running loop
    main      one until SIGINT or SIGTERM
"""

import asyncio
import gc
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

import orjson
from aiohttp import web

from bulkipacl.sandbox.admin import PREFIX, Admin
from bulkipacl.sandbox.config import SandboxConfig
from bulkipacl.sandbox.connection import Connection, Pending, Server
from bulkipacl.sandbox.directory import fill
from bulkipacl.sandbox.faults import FaultPlan
from bulkipacl.sandbox.frontend import Frontend
from bulkipacl.sandbox.ledger import Ledger, Stats
from bulkipacl.sandbox.limits import Limits
from bulkipacl.sandbox.state import State

#: Connections that may wait to be accepted: tests open a thousand at once.
_BACKLOG = 2048
#: How long `aclose` lets requests in progress finish.
_CLOSING_S = 0.05


class Sandbox:
    """A running sandbox. `state`, `ledger`, `stats`, `limits` and `faults` may be read at any
    time, and `faults.replace` called."""

    def __init__(
        self, config: SandboxConfig, loop: asyncio.AbstractEventLoop, clock: Callable[[], float]
    ) -> None:
        self.config = config
        self.url = ""
        self.ledger = Ledger(loop.time, clock)
        self.state = State(config, self.ledger, clock)
        fill(self.state)
        self._pending = Pending(loop)
        self._frontend = Frontend(config, self.state, self._pending, loop.time)
        self._admin = Admin(self.state, self.ledger, self._frontend)
        self._server = Server(self._handle)
        self._listener: asyncio.Server | None = None

    @property
    def stats(self) -> Stats:
        """Counts of requests and injected faults."""
        return self._frontend.stage.stats

    @property
    def limits(self) -> Limits:
        """Requests in flight now and at their peak, per account."""
        return self._frontend.stage.limits

    @property
    def faults(self) -> FaultPlan:
        """The faults being dealt."""
        return self._frontend.faults

    def ready(self) -> dict[str, Any]:
        """What a client needs: the url, and each account's token, list sids and API key."""
        accounts = self.state.accounts.values()
        return {
            "url": self.url,
            "accounts": {account.sid: account.auth_token for account in accounts},
            "lists": {account.sid: list(account.lists) for account in accounts},
            "api_keys": {
                account.sid: [account.key_sid, account.key_secret] for account in accounts
            },
        }

    async def flush(self) -> None:
        """Wait until no effect is under way, late ones included."""
        await self._pending.wait_idle()

    async def aclose(self) -> None:
        """Stop: no new connections, late effects forgotten, hung requests dropped."""
        if self._listener is not None:
            self._listener.close()
        self._pending.cancel()
        for connection in self._server.connections:
            if isinstance(connection, Connection):
                connection.release()
        self._server.pre_shutdown()
        await self._server.shutdown(_CLOSING_S)
        if self._listener is not None:
            await self._listener.wait_closed()
            self._listener = None

    async def listen(self, host: str, port: int) -> None:
        """Bind, and set `url`; OSError where the port is taken."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._server, host, port, backlog=_BACKLOG)
        bound_port = self._listener.sockets[0].getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{bound_port}"

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.raw_path.startswith(PREFIX):
            return await self._admin.handle(request)
        return await self._frontend.handle(request)


async def start(
    config: SandboxConfig,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    clock: Callable[[], float] = time.time,
) -> Sandbox:
    """Start a sandbox inside the running event loop; `await .aclose()` ends it.

    Args:
        config: the switches.
        host: a loopback address, or `localhost`.
        port: 0 takes any free one.
        clock: seconds since the epoch, for dates; all else goes by the loop's own clock.

    Raises:
        ValueError: `host` is not on the loopback.
        OSError: the port cannot be bound.
    """
    host = _loopback(host)
    sandbox = Sandbox(config, asyncio.get_running_loop(), clock)
    await sandbox.listen(host, port)
    return sandbox


def main(
    config: SandboxConfig, host: str = "127.0.0.1", port: int = 0, as_json: bool = False
) -> int:
    """Serve until SIGINT or SIGTERM; the exit code.

    With `as_json` exactly one line goes to stdout, `Sandbox.ready()` as JSON, once requests are
    accepted. Otherwise a few lines for people go to stderr.

    Raises:
        ValueError: `host` is not on the loopback.
        OSError: the port cannot be bound.
    """
    _loopback(host)
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    # Absent where the platform has no uvloop.
    with suppress(ImportError):
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_serve(config, host, port, as_json=as_json))
    return 0


async def _serve(config: SandboxConfig, host: str, port: int, *, as_json: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    sandbox = await start(config, host, port)
    # Filling and ledger live as long as the process: the collector need not walk them so often.
    gc.freeze()
    gc.set_threshold(50_000)
    try:
        if as_json:
            sys.stdout.write(orjson.dumps(sandbox.ready()).decode() + "\n")
            sys.stdout.flush()
        else:
            sys.stderr.write(greeting(sandbox.ready()))
            sys.stderr.flush()
        await stop.wait()
    finally:
        await sandbox.aclose()


def greeting(ready: dict[str, Any]) -> str:
    """What people read at the start: the url, and lines to paste into a shell."""
    account_sid, token = next(iter(ready["accounts"].items()))
    list_sids = ready["lists"][account_sid]
    lines = [
        f"sandbox: serving {len(ready['accounts'])} account(s) at {ready['url']}",
        "The token below is made up and opens nothing but this sandbox.",
        f"  export TWILIO_ACCOUNT_SID={account_sid} TWILIO_AUTH_TOKEN={token}",
        f"  bulkipacl ... --base-url {ready['url']}",
    ]
    if list_sids:
        lines.append(f"The first list is {list_sids[0]}.")
    lines.append("Ctrl-C ends it.")
    return "\n".join(lines) + "\n"


def _loopback(host: str) -> str:
    """The host as an address; ValueError where it is not on the loopback."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        is_loopback = ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ValueError(f"host {host!r}: the sandbox binds to the loopback alone")
    return host
