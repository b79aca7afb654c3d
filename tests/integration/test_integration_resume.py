"""A resume that is cut off too: unknown is what was sent or is not yet looked at, and no more.

Wire    a transport that keeps what was asked
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from urllib.parse import parse_qs

import pytest
import world as world_module
from test_integration_breaker import open_real
from world import FAST, World, good, outcomes

from bulkipacl.engine.run import Engine
from bulkipacl.model import Attempt, Request, RowRecord
from bulkipacl.sandbox import Latency
from bulkipacl.sandbox.faults import Choice
from bulkipacl.settings import ROUND_ROWS
from bulkipacl.store import journal, views
from bulkipacl.store.rundir import RunDirectory
from bulkipacl.twilio.transport import Transport

MODES = ("refuse", "accept")
Done = tuple[str, str]
"""An operation and the address it is about."""


class Wire:
    """Passes everything on, and keeps the writes."""

    def __init__(self, inner: Transport) -> None:
        self.written: list[Request] = []
        self._inner = inner

    async def send(self, request: Request) -> Attempt:
        """Pass it on."""
        self.written += [request] if request.method != "GET" else []
        return await self._inner.send(request)

    async def aclose(self) -> None:
        """Close the real one."""
        await self._inner.aclose()


def effects(world: World) -> dict[Done, float]:
    """When the server did what."""
    return {(e.op, e.ip_after or e.ip_before or ""): e.at_s for e in world.sandbox.ledger.effects}


def asked(world: World, held: dict[str, str], wire: Wire) -> set[Done]:
    """What a session asked the server to do."""
    names = held | {e.sid: e.ip_after or "" for e in world.sandbox.ledger.of("create")}
    found: set[Done] = set()
    for request in wire.written:
        sid = request.path.rpartition("/")[2].removesuffix(".json")
        if sid in names:
            found.add(("delete" if request.method == "DELETE" else "update", names[sid]))
        else:
            found.add(("create", parse_qs(request.body.decode())["IpAddress"][0]))
    return found


async def session(
    world: World, run: RunDirectory, cut_s: float, *, at_once: int, first_s: float = 0.05
) -> tuple[list[RowRecord], Wire]:
    """One session, cut by a second signal after so long; its rows as they are told then.

    The first signal comes `first_s` before the second one, or not at all.
    """

    async def watch(engine: Engine) -> None:
        await asyncio.sleep(cut_s - first_s)
        if first_s:
            engine.stop("interrupted")
            await asyncio.sleep(first_s)
        engine.stop_now("interrupted")

    journal.reopen(run)
    wire = Wire(open_real(world, **FAST))
    settings = FAST | {"account_max_in_flight": at_once}
    await world.carry_out(run, watch=watch, transport=wire, **settings)
    return list(views.records(run)), wire


def plan(world: World) -> tuple[list[str], list[Done], list[str]]:
    """Rows, some of which follow another on their entry; what each is about; how each ends."""
    rows, about = [], []
    for n in range(24):
        rows.append(world.create(f"20.0.0.{n}"))
        about.append(("create", f"20.0.0.{n}"))
        if n % 4 == 0:
            rows.append(world.row("update", match=f"20.0.0.{n}", name="y"))
            about.append(("update", f"20.0.0.{n}"))
    for n, (sid, address) in enumerate(world.held().items()):
        operation = ("update", "delete")[n % 2]
        rows.append(world.row(operation, sid=sid, name="" if n % 2 else "y"))
        about.append((operation, address))
    return rows, about, [f"{operation}d" for operation, _ in about]


@pytest.mark.parametrize("duplicates", MODES)
@pytest.mark.parametrize("cut_s", [5.8, 6.2, 6.8])
async def test_what_was_not_sent_again_was_not_attempted(
    world: World, cut_s: float, duplicates: str
) -> None:
    """A reading a settle time after the cut says what the first session did, for every row."""
    async with world.serving(entries=8, latency=Latency(0.5), duplicates=duplicates):
        rows, about, ends = plan(world)
        held = world.held()
        run = world.take_in(rows)
        records, _ = await session(world, run, 1.2, at_once=6)
        recorded = [r.result.outcome in ("created", "updated", "deleted") for r in records]
        cut_at = asyncio.get_running_loop().time()
        records, wire = await session(world, run, cut_s, at_once=4)
        done_before = {
            what for what, at in effects(world).items() if at < cut_at + FAST["settle_s"]
        }
        sent = asked(world, held, wire)
        told = outcomes(records)
        for number, what in enumerate(about):
            if recorded[number]:
                assert told[number] == ends[number]
            elif what in done_before or what in sent:
                assert told[number] in ("unknown", ends[number]), what
            else:
                assert told[number] == "not_attempted", what
        assert Counter(told)["not_attempted"] > 10
        assert Counter(told)["unknown"] >= 4
        assert {r.result.reason for r in records if r.result.outcome == "not_attempted"} == {
            "interrupted"
        }
        assert outcomes(await world.resume(run, **FAST)) == ends
        assert set(Counter(e.ip_after for e in world.sandbox.ledger.of("create")).values()) == {1}
        run.close()


@pytest.mark.parametrize("first_s", [0.0, 0.05])
@pytest.mark.parametrize("cut_s", [0.1, 4.9, 5.2])
async def test_before_the_reading_unknown_is_what_the_first_session_sent(
    world: World, cut_s: float, first_s: float
) -> None:
    """What the first session said it had not attempted stays so, through a resume cut off early."""
    async with world.serving(latency=Latency(0.5)):
        run = world.take_in([world.create(f"20.0.0.{n}") for n in range(20)])
        records, _ = await session(world, run, 0.8, at_once=4)
        told = outcomes(records)
        assert set(told[:3]) == {"unknown"}
        assert set(told[6:]) == {"not_attempted"}
        for _ in range(2):
            records, wire = await session(world, run, cut_s, at_once=4, first_s=first_s)
            assert not wire.written
            assert outcomes(records) == told
        assert outcomes(await world.resume(run, **FAST)) == good(20)
        assert len(world.sandbox.ledger) == 20
        run.close()


async def test_a_resume_that_is_killed_has_not_promised_what_it_sends(world: World) -> None:
    """Killed with writes in flight, a resume has taken back that they were not attempted."""
    async with world.serving(latency=Latency(0.5)):
        run = world.take_in([world.create(f"20.0.0.{n}") for n in range(20)])
        first, _ = await session(world, run, 0.8, at_once=4)
        assert set(outcomes(first)) == {"unknown", "not_attempted"}
        seen: list[list[str]] = []

        async def watch(engine: Engine) -> None:
            # What a kill would leave behind, when nothing was sent yet and when something was.
            seen.append(outcomes(list(views.records(run))))
            while world.wire.sent < 2:  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(0.05)
            seen.append(outcomes(list(views.records(run))))

        journal.reopen(run)
        await world.carry_out(run, watch=watch, account_max_in_flight=4, **FAST)
        assert seen == [outcomes(first), ["unknown"] * 20]
        assert outcomes(list(views.records(run))) == good(20)
        run.close()


@pytest.mark.parametrize("cut_s", [5.6, 6.0])
async def test_cut_while_a_round_is_taken_up_again(
    world: World, monkeypatch: pytest.MonkeyPatch, cut_s: float
) -> None:
    """The list was read and nothing is sent yet: what was not attempted still says so."""

    async def slowly(call: Callable[[], None]) -> None:
        await asyncio.sleep(0.4)
        call()
        await asyncio.sleep(0.4)

    async with world.serving(latency=Latency(0.5)):
        run = world.take_in([world.create(f"20.0.0.{n}") for n in range(20)])
        first, _ = await session(world, run, 0.8, at_once=4)
        monkeypatch.setattr(world_module, "at_once", slowly)
        records, wire = await session(world, run, cut_s, at_once=4, first_s=0.0)
        assert not wire.written
        assert outcomes(records) == outcomes(first)
        monkeypatch.undo()
        assert outcomes(await world.resume(run, **FAST)) == good(20)
        run.close()


def unread(world: World, kind: str) -> list[str]:
    """From now on no reading succeeds; returns what was asked for, as it comes."""
    asked_for: list[str] = []

    def choose(method: str, path: str, body: bytes) -> Choice | None:
        asked_for.append(method)
        return Choice(kind, 0.0) if method == "GET" else None

    setattr(world.sandbox.faults, "choose", choose)  # noqa: B010 - a method is replaced
    return asked_for


@pytest.mark.parametrize(
    ("kind", "status", "code"), [("redirect", 307, 0), ("503_before", 503, 20503)]
)
async def test_a_resume_that_cannot_read_a_long_list(
    world: World, kind: str, status: int, code: int
) -> None:
    """More rows than its open round has: it ends, and what was sent is unknown, with the reason."""
    async with world.serving(latency=Latency(0.5)):
        rows = [
            world.row("upsert", address=f"20.0.0.{n}", name=f"n{k}")
            for n in range(60)
            for k in range(9)
        ]
        assert len(rows) > ROUND_ROWS
        run = world.take_in(rows)
        first, _ = await session(world, run, 1.2, at_once=6)
        assert Counter(outcomes(first))["unknown"]
        asked_for = unread(world, kind)

        async def watch(engine: Engine) -> None:
            await asyncio.sleep(600)
            engine.stop("interrupted")

        journal.reopen(run)
        await world.carry_out(run, watch=watch, retries=2, **FAST)
        records = list(views.records(run))
        assert views.summary(run).ending == "finished"
        assert outcomes(records) == outcomes(first)
        assert asked_for == ["GET"] * (3 if status == 503 else 1)
        for record in records:
            if record.result.outcome == "unknown":
                assert (record.result.reason, record.result.status) == ("unreadable", status)
                assert record.result.code == code
                assert "`bulkipacl resume`" in record.result.suggestion
        run.close()


async def test_what_lands_while_a_resume_settles_is_seen(world: World) -> None:
    """A write of the first session that lands before the settle time is over is not missed."""
    async with world.serving(latency=Latency(0.5)):
        world.script("POST", "hang_late", late_s=4.5)
        run = world.take_in([world.create(f"20.0.0.{n}") for n in range(12)])
        await session(world, run, 0.8, at_once=2)
        records, _ = await session(world, run, 5.8, at_once=2)
        # Two were in flight at the first cut, and two others are at the second one.
        assert outcomes(records) == ["unknown"] * 4 + ["not_attempted"] * 8
        assert outcomes(await world.resume(run, **FAST)) == good(12)
        assert len(world.sandbox.ledger) == 12
        run.close()
