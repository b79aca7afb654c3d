"""One sandbox and runs of the engine against it, all in the test's event loop.

Answering  a server that answers as its kind does
World      starts the sandbox, takes rows in, runs the engine, asks what happened
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from bulkipacl import sandbox
from bulkipacl.credentials import load_credentials
from bulkipacl.engine.run import Engine
from bulkipacl.intake import Defaults, open_source
from bulkipacl.model import Attempt, Learnt, Outcome, Request, RowRecord, SourceInfo, Summary
from bulkipacl.sandbox.faults import Choice
from bulkipacl.settings import Settings
from bulkipacl.store import journal, views
from bulkipacl.store.crosscheck import index_rows
from bulkipacl.store.intake import Intake
from bulkipacl.store.rundir import RunDirectory
from bulkipacl.twilio.hosts import resolve_base_url
from bulkipacl.twilio.transport import Transport, open_transport

HEADER = "operation,account_sid,list_sid,list_name,sid,ip_address,match_ip_address,friendly_name"


async def at_once(call: Callable[[], None]) -> None:
    """Commits in virtual time: no thread, whose real time the clock would not see."""
    call()


class Answering:
    """A server on the loopback that answers as its kind does.

    Attributes:
        url: where it listens.
        asked: requests by method.
    """

    def __init__(self) -> None:
        self.url = ""
        self.asked: Counter[str] = Counter()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        """Serve on the loopback."""
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError


class Counting:
    """A transport that counts what is in flight."""

    def __init__(self, inner: Transport) -> None:
        self.now = 0
        self.peak = 0
        self.sent = 0
        self._inner = inner

    async def send(self, request: Request) -> Attempt:
        """Pass it on."""
        self.sent += 1
        self.now += 1
        self.peak = max(self.peak, self.now)
        try:
            return await self._inner.send(request)
        finally:
            self.now -= 1

    async def aclose(self) -> None:
        """Close the real one."""
        await self._inner.aclose()


class World:
    """A sandbox and the runs against it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.sandbox: sandbox.Sandbox
        self.engine: Engine
        self.wire: Counting
        self._runs = 0

    @asynccontextmanager
    async def serving(self, **switches: Any) -> AsyncIterator[sandbox.Sandbox]:
        """A sandbox with these switches."""
        self.sandbox = await sandbox.start(sandbox.SandboxConfig(**switches))
        try:
            yield self.sandbox
        finally:
            await self.sandbox.aclose()

    def script(self, method: str, *kinds: str, late_s: float = 1.0) -> None:
        """The next requests of this method meet these faults in turn ("" for none)."""
        waiting = list(kinds)

        def choose(asked: str, path: str, body: bytes) -> Choice | None:
            if asked == method and "/IpAddresses" in path and waiting:
                kind = waiting.pop(0)
                return Choice(kind, late_s) if kind else None
            return None

        setattr(self.sandbox.faults, "choose", choose)  # noqa: B010 - a method is replaced

    def hang(self, account_sid: str) -> None:
        """Every request of this account hangs without an effect."""

        def choose(asked: str, path: str, body: bytes) -> Choice | None:
            return Choice("hang_before", 0.0) if account_sid in path else None

        setattr(self.sandbox.faults, "choose", choose)  # noqa: B010 - a method is replaced

    def throttle(self, account_sid: str) -> None:
        """Every request of this account is answered 429."""

        def choose(asked: str, path: str, body: bytes) -> Choice | None:
            return Choice("429", 0.0) if account_sid in path else None

        setattr(self.sandbox.faults, "choose", choose)  # noqa: B010 - a method is replaced

    # --- who is there ---------------------------------------------------------------------

    def account(self, place: int = 0) -> str:
        """The sid of the n-th account."""
        return str(list(self.sandbox.ready()["accounts"])[place])

    def acl(self, place: int = 0, account: int = 0) -> str:
        """The sid of the n-th list of an account."""
        return str(self.sandbox.ready()["lists"][self.account(account)][place])

    def create(self, address: str, name: str = "x", *, place: int = 0, account: int = 0) -> str:
        """A row that creates an address."""
        return self.row("create", address=address, name=name, place=place, account=account)

    def row(
        self,
        operation: str,
        *,
        sid: str = "",
        address: str = "",
        match: str = "",
        name: str = "",
        place: int = 0,
        account: int = 0,
        list_name: str = "",
    ) -> str:
        """A row as a line of CSV, under `HEADER`."""
        list_sid = "" if list_name else self.acl(place, account)
        cells = (operation, self.account(account), list_sid, list_name, sid, address, match, name)
        return ",".join(cells)

    # --- a run ----------------------------------------------------------------------------

    def take_in(self, rows: Sequence[str]) -> RunDirectory:
        """A new run directory with these rows in it."""
        self._runs += 1
        path = self.place / f"rows-{self._runs}.csv"
        path.write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8")
        run = RunDirectory.create(self.place / f"run-{self._runs}")
        source = open_source(str(path), Defaults())
        try:
            info = SourceInfo(1, source.name, source.format, tuple(source.columns))
            for batch in Intake(run).take(info, source.drafts()):
                assert not any(draft.is_invalid for draft in batch), batch
        finally:
            source.close()
        index_rows(run)
        return run

    async def carry_out(
        self,
        run: RunDirectory,
        *,
        watch: Callable[[Engine], Any] | None = None,
        transport: Transport | None = None,
        learnt: Mapping[str, Learnt] | None = None,
        seed: int = 1,
        make: type[Engine] = Engine,
        **settings: Any,
    ) -> Summary:
        """Run the engine on a run directory; returns the summary.

        Args:
            make: the engine, or one that only reads.
            watch: started as a task beside the engine, and given it.
        """
        ready = self.sandbox.ready()
        parent = self.account()
        credentials = load_credentials(
            {"TWILIO_ACCOUNT_SID": parent, "TWILIO_AUTH_TOKEN": ready["accounts"][parent]}
        )
        # Most tests have lists of one entry, and are about the wire; those of the guards say so.
        settings.setdefault("allow_empty", True)
        chosen = Settings(base_url=self.sandbox.url, **settings)
        base = resolve_base_url(self.sandbox.url, {})
        loop = asyncio.get_running_loop()
        opened = transport or open_transport(chosen, base, credentials, wall_clock=loop.time)
        self.wire = Counting(opened)
        self.engine = make(
            run,
            chosen,
            self.wire,
            offload=at_once,
            learnt=learnt,
            rng=random.Random(seed),
            wall_clock=loop.time,
        )
        watching = loop.create_task(watch(self.engine)) if watch is not None else None
        try:
            await self.engine.execute()
        finally:
            if watching is not None:
                watching.cancel()
            await opened.aclose()
        views.set_meta(run, {"ending": self.engine.ending})
        return views.summary(run)

    async def apply(self, rows: Sequence[str], **settings: Any) -> list[RowRecord]:
        """Take rows in and carry them out; returns every row with its outcome."""
        run = self.take_in(rows)
        try:
            await self.carry_out(run, **settings)
            return list(views.records(run))
        finally:
            run.close()

    async def resume(self, run: RunDirectory, **settings: Any) -> list[RowRecord]:
        """Carry on with a run directory; returns every row with its outcome."""
        journal.reopen(run)
        await self.carry_out(run, **settings)
        return list(views.records(run))

    # --- what really happened -------------------------------------------------------------

    def entries(self, place: int = 0, account: int = 0) -> list[tuple[str, int, str]]:
        """What the list holds: (address, prefix, name), sorted."""
        found = self.sandbox.state.acl(self.account(account), self.acl(place, account))
        return sorted((e.ip, e.prefix, e.name) for e in found.entries.values())

    def held(self, place: int = 0, account: int = 0) -> dict[str, str]:
        """The addresses that a list holds, by sid."""
        acl = self.sandbox.state.acl(self.account(account), self.acl(place, account))
        return {entry.sid: entry.ip for entry in acl.entries.values()}

    async def until_effects(self, count: int) -> None:
        """Wait until the server has seen so many effects."""
        while len(self.sandbox.ledger.effects) < count:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.005)

    def effects(self) -> Counter[tuple[str, str]]:
        """How often what was done to which address."""
        return Counter((e.op, e.ip_after or e.ip_before or "") for e in self.sandbox.ledger.effects)


FAST: dict[str, Any] = {
    "timeout_s": 3.0,
    "read_timeout_s": 3.0,
    "connect_timeout_s": 3.0,
    "settle_s": 5.0,
}
"""Settings under which a lost answer is given up soon."""


def outcomes(records: Sequence[RowRecord]) -> list[str]:
    """The outcome of each row, in row order."""
    return [str(record.result.outcome) for record in records]


def good(count: int, outcome: Outcome = Outcome.CREATED) -> list[str]:
    """So many of the same outcome."""
    return [str(outcome)] * count
