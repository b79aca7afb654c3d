"""Reading lists, and undoing runs, in the test's own event loop.

gathered     what a gatherer finds, in the order in which it hands it over
undo         the rows that lead back from a run, carried out as a run of their own
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from world import World

from bulkipacl.credentials import load_credentials
from bulkipacl.engine.gather import Found, Gatherer, Wanted, unpack
from bulkipacl.engine.inorder import InOrder
from bulkipacl.jobs.undo import COLUMNS, drafts_from
from bulkipacl.model import Entry, Outcome, RowRecord, SourceInfo
from bulkipacl.settings import Settings
from bulkipacl.store import views
from bulkipacl.store.crosscheck import index_rows
from bulkipacl.store.history import has_unsettled, written_lists
from bulkipacl.store.intake import Intake
from bulkipacl.store.rundir import RunDirectory
from bulkipacl.twilio.hosts import resolve_base_url
from bulkipacl.twilio.transport import open_transport


@dataclass
class Reading:
    """What came of gathering.

    Attributes:
        found: in the order in which it was handed over.
        requests: requests sent.
        took_s: virtual seconds.
    """

    found: list[Found]
    requests: int
    took_s: float

    @property
    def lists(self) -> list[str]:
        """The lists' names."""
        return [one.list_name for one in self.found]


async def gathered(
    world: World,
    wanted: Iterable[Wanted],
    *,
    has_entries: bool = True,
    has_domains: bool = False,
    **settings: Any,
) -> Reading:
    """Read lists with the parent's token."""
    ready, parent = world.sandbox.ready(), world.account()
    credentials = load_credentials(
        {"TWILIO_ACCOUNT_SID": parent, "TWILIO_AUTH_TOKEN": ready["accounts"][parent]}
    )
    chosen = Settings(base_url=world.sandbox.url, **settings)
    base = resolve_base_url(world.sandbox.url, {})
    loop = asyncio.get_running_loop()
    transport = open_transport(chosen, base, credentials, wall_clock=loop.time)
    found: list[Found] = []
    began = loop.time()
    with InOrder(lambda chunk: found.append(unpack(chunk))) as order:
        gatherer = Gatherer(
            (chosen, transport, {}), wanted, order, has_entries=has_entries, has_domains=has_domains
        )
        gatherer.uniform = random.Random(1).uniform
        try:
            await gatherer.execute()
        finally:
            await transport.aclose()
    return Reading(found, gatherer.requests, loop.time() - began)


async def rows_back(world: World, run: RunDirectory, **settings: Any) -> RunDirectory:
    """A new run directory with the rows that lead back from a run."""
    lists = list(written_lists(run))
    if has_unsettled(run):
        await asyncio.sleep(settings.get("settle_s", 5.0))
    wanted = [Wanted(account, (sid,)) for _, account, sid in lists]
    reading = await gathered(world, wanted, **settings)
    back = RunDirectory.create(run.path.with_name(f"{run.path.name}-undo"))
    drafts = drafts_from(run, lists, iter(reading.found))
    intake = Intake(back)
    source = SourceInfo(1, "undo", "csv", COLUMNS)
    for _ in intake.take(source, (draft for _, draft in drafts)):
        pass
    index_rows(back)
    return back


async def undo(world: World, run: RunDirectory, **settings: Any) -> list[RowRecord]:
    """Undo a run; returns every row of the way back with its outcome."""
    back = await rows_back(world, run, **settings)
    try:
        await world.carry_out(back, **settings)
        return list(views.records(back))
    finally:
        back.close()


def values(world: World) -> dict[tuple[int, int], list[tuple[str, int, str]]]:
    """What every list holds, but for sids, by account and place."""
    ready = world.sandbox.ready()
    return {
        (a, p): world.entries(p, a)
        for a, sid in enumerate(ready["accounts"])
        for p, _ in enumerate(ready["lists"][sid])
    }


def conflicts(records: Iterable[RowRecord]) -> list[tuple[str, str]]:
    """(operation's number, why) of what was left alone."""
    return [
        (record.result.message, record.result.reason)
        for record in records
        if record.result.outcome is Outcome.REFUSED
    ]


def entry_of(world: World, address: str, *, place: int = 0) -> Entry:
    """The entry with this address, as the server holds it."""
    acl = world.sandbox.state.acl(world.account(), world.acl(place))
    found = next(entry for entry in acl.entries.values() if entry.ip == address)
    octets = [int(part) for part in found.ip.split(".")]
    number = int.from_bytes(bytes(octets))
    return Entry(found.sid, number, found.prefix, found.name)
