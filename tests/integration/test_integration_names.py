"""Lists named by their FriendlyName, where rows still arrive: row order holds across both names.

Arriving    a run whose rows come in batches while it is sent
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest
from world import FAST, HEADER, World, at_once, good, outcomes

from bulkipacl.credentials import load_credentials
from bulkipacl.engine.run import Engine
from bulkipacl.intake import Defaults, open_source
from bulkipacl.model import Outcome, RowRecord, SourceInfo
from bulkipacl.sandbox import Latency
from bulkipacl.sandbox.faults import Choice
from bulkipacl.settings import ROUND_ROWS, Settings
from bulkipacl.store import views
from bulkipacl.store.intake import Intake
from bulkipacl.store.rundir import RunDirectory
from bulkipacl.twilio.hosts import resolve_base_url
from bulkipacl.twilio.transport import open_transport

NAME = "office"


class Arriving:
    """Rows that are taken in a batch at a time, and told of to an engine that is under way."""

    def __init__(self, world: World) -> None:
        self.run = RunDirectory.create(world.place / "arriving")
        self._intake = Intake(self.run)
        self._world = world
        self._sources = 0

    def take_in(self, rows: Sequence[str]) -> set[tuple[int, int]]:
        """Store a batch; returns the lists that it touches."""
        self._sources += 1
        path = self._world.place / f"batch-{self._sources}.csv"
        path.write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8")
        source = open_source(str(path), Defaults(), first_row=self._intake.rows + 1)
        try:
            info = SourceInfo(self._sources, source.name, source.format, tuple(source.columns))
            self._intake.describe(info)
            return self._intake.insert(info.id, list(source.drafts()))
        finally:
            source.close()

    async def carry_out(
        self, *batches: Sequence[str], pause_s: float, stop_s: float = 0.0, cut_s: float = 0.0
    ) -> None:
        """Carry the batches out, so long apart, until a first signal, or until both."""
        world, loop = self._world, asyncio.get_running_loop()
        ready, parent = world.sandbox.ready(), world.account()
        credentials = load_credentials(
            {"TWILIO_ACCOUNT_SID": parent, "TWILIO_AUTH_TOKEN": ready["accounts"][parent]}
        )
        chosen = Settings(base_url=world.sandbox.url, **FAST)
        base = resolve_base_url(world.sandbox.url, {})
        transport = open_transport(chosen, base, credentials, wall_clock=loop.time)
        engine = Engine(
            self.run, chosen, transport, offload=at_once, rng=random.Random(1), wall_clock=loop.time
        )

        async def arrive() -> None:
            for batch in batches:
                engine.arrived(self.take_in(batch))
                await asyncio.sleep(pause_s)
            engine.input_ended()

        arriving = loop.create_task(arrive())
        if stop_s:
            loop.call_later(stop_s, engine.stop, "interrupted")
        if cut_s:
            loop.call_later(cut_s, engine.stop_now, "interrupted")
        try:
            await engine.execute(is_input_open=True)
        finally:
            arriving.cancel()
            await transport.aclose()
        views.set_meta(self.run, {"ending": engine.ending})

    def records(self) -> list[RowRecord]:
        """Every row with its outcome."""
        return list(views.records(self.run))


def delay_look_ups(world: World, seconds: float) -> None:
    """The account's lists cannot be read before so long; its entries can."""
    now = asyncio.get_running_loop().time
    end = now() + seconds

    def choose(method: str, path: str, body: bytes) -> Choice | None:
        is_look_up = method == "GET" and "/IpAddresses" not in path
        return Choice("503_before", 0.0) if is_look_up and now() < end else None

    setattr(world.sandbox.faults, "choose", choose)  # noqa: B010 - a method is replaced


def batches_of(world: World) -> tuple[list[str], list[str]]:
    """More rows of a list than one round takes; then one entry, by both names of its list."""
    world.sandbox.state.acl(world.account(), world.acl()).name = NAME
    first = [world.row("delete", address=f"20.1.{n // 250}.{n % 250}") for n in range(ROUND_ROWS)]
    first.append(world.create("20.0.0.9"))
    second = [
        world.row("create", address="20.0.0.1", name="x", list_name=NAME),
        world.row("delete", address="20.0.0.1"),
    ]
    return first, second


ENDS = [*good(ROUND_ROWS, Outcome.ALREADY_GONE), "created", "created", "deleted"]


async def test_rows_by_name_and_by_sid_keep_their_order(world: World) -> None:
    """A list is not opened while a name that may be its own is looked up."""
    async with world.serving(latency=Latency(0.1)):
        first, second = batches_of(world)
        delay_look_ups(world, 3.0)
        arriving = Arriving(world)
        await arriving.carry_out(first, second, pause_s=0.05)
        found = arriving.records()
        arriving.run.close()
        assert outcomes(found) == ENDS
        assert world.entries() == [("20.0.0.9", 32, "x")]


@pytest.mark.parametrize("cut_s", [0.25, 0.35, 1.5, 3.0, 4.1])
async def test_cut_off_while_a_name_is_looked_up(world: World, cut_s: float) -> None:
    """A row that joins a list by its name is unknown only if it was sent; a resume does it."""
    async with world.serving(latency=Latency(0.1)):
        first, second = batches_of(world)
        delay_look_ups(world, 3.0)
        arriving = Arriving(world)
        await arriving.carry_out(first, second, pause_s=0.05, cut_s=cut_s)
        if cut_s <= 3.0:
            assert outcomes(arriving.records())[ROUND_ROWS:] == ["not_attempted"] * 3
        records = await world.resume(arriving.run, **FAST)
        arriving.run.close()
        assert outcomes(records) == ENDS
        assert world.entries() == [("20.0.0.9", 32, "x")]


async def test_a_stop_during_a_look_up(world: World) -> None:
    """What waits for a name is not opened any more, and the run ends."""
    async with world.serving(latency=Latency(0.1)):
        first, second = batches_of(world)
        delay_look_ups(world, 1_000.0)
        arriving = Arriving(world)
        async with asyncio.timeout(60.0):
            await arriving.carry_out(first, second, pause_s=0.05, stop_s=2.0)
        found = arriving.records()
        arriving.run.close()
        assert outcomes(found) == [*ENDS[:ROUND_ROWS], *["not_attempted"] * 3]
