"""Killed at any commit, at any statement and at any answer; carried on from what the disk holds.

A process that is killed leaves what it has written, and nothing else. So a death here copies the
run directory as it lies there at that instant, lets not one more request out, and the next life
begins with the copy.

Mortal     one life of an engine, and where it ends
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from world import FAST, World, outcomes

from bulkipacl.credentials import load_credentials
from bulkipacl.engine.run import Engine
from bulkipacl.errors import StoreError
from bulkipacl.model import Attempt, Request, RowRecord
from bulkipacl.sandbox import Latency
from bulkipacl.settings import Settings
from bulkipacl.store import journal, views
from bulkipacl.store.rundir import DATABASE, RunDirectory
from bulkipacl.twilio.hosts import resolve_base_url
from bulkipacl.twilio.transport import Transport, open_transport

MODES = ("refuse", "accept")


class KilledError(BaseException):
    """The process is dead: nothing of it may go on, `except Exception` least of all."""


@dataclass(frozen=True)
class Death:
    """Where a life ends: at one of these, counted from 1, or after so long; 0 is never."""

    before_commit: int = 0
    after_commit: int = 0
    statement: int = 0
    answer: int = 0
    refused_commit: int = 0
    after_s: float = 0.0

    def __str__(self) -> str:
        at = {name: n for name, n in vars(self).items() if n}
        return " ".join(f"{name} {n}" for name, n in at.items()) or "none"


NEVER = Death()


class Mortal:
    """One life of an engine on a run directory.

    Attributes:
        grave: a copy of the run directory as the death left it, or None while it lives.
        commits, statements, answers: how many there were.
        before: what the tables held before the commit that is under way, if one is.
    """

    def __init__(self, world: World, run: RunDirectory, death: Death) -> None:
        self.grave: Path | None = None
        self.commits = self.statements = self.answers = self.sent = 0
        self.before: list[Any] | None = None
        self._world = world
        self._run = run
        self._death = death
        self._wire: Transport

    async def live(self) -> None:
        """Carry the run out, to its end or to the death."""
        ready = self._world.sandbox.ready()
        parent = self._world.account()
        credentials = load_credentials(
            {"TWILIO_ACCOUNT_SID": parent, "TWILIO_AUTH_TOKEN": ready["accounts"][parent]}
        )
        settings = Settings(base_url=self._world.sandbox.url, account_max_in_flight=3, **FAST)
        base = resolve_base_url(self._world.sandbox.url, {})
        loop = asyncio.get_running_loop()
        self._wire = open_transport(settings, base, credentials, wall_clock=loop.time)
        # What was written outlives a process; only a power cut asks for more.
        self._run.writer.execute("PRAGMA synchronous=OFF")
        self._run.writer.set_trace_callback(self._statement)
        engine = Engine(
            self._run,
            settings,
            self,
            offload=self._commit,
            rng=random.Random(1),
            wall_clock=loop.time,
        )
        life = loop.create_task(engine.execute())
        if self._death.after_s:
            loop.call_later(self._death.after_s, self._die, life)
        try:
            await life
            views.set_meta(self._run, {"ending": engine.ending})
        except (KilledError, asyncio.CancelledError):
            assert self.grave is not None
        except StoreError:
            assert self._death.refused_commit
        finally:
            self._run.writer.set_trace_callback(None)
            await self._wire.aclose()

    async def send(self, request: Request) -> Attempt:
        """Send, while it lives."""
        if self.grave is not None:
            await asyncio.Event().wait()
        self.sent += 1
        attempt = await self._wire.send(request)
        self.answers += 1
        if self.answers == self._death.answer:
            self._die()
            raise KilledError
        return attempt

    async def aclose(self) -> None:
        """`live` closes it."""

    async def _commit(self, call: Callable[[], None]) -> None:
        if self.grave is not None:
            raise KilledError
        self.commits += 1
        if self._death.statement:
            self.before = dump(self._run.path)
        if self.commits == self._death.before_commit:
            self._die()
            raise KilledError
        if self.commits == self._death.refused_commit:
            # It takes its time, so that more is waiting to be written when it gives up.
            await asyncio.sleep(0.3)
            raise StoreError("the disk is full")
        call()
        if self.commits == self._death.after_commit:
            self._die()
        if self.grave is not None:
            raise KilledError
        self.before = None

    def _statement(self, text: str) -> None:
        self.statements += 1
        if self.statements == self._death.statement:
            self._die()

    def _die(self, life: asyncio.Task[None] | None = None) -> None:
        if self.grave is None and not (life is not None and life.done()):
            grave = self._run.path.with_name(f"{self._run.path.name}-dead")
            shutil.copytree(self._run.path, grave)
            self.grave = grave
            if life is not None:
                life.cancel()


def dump(path: Path) -> list[Any]:
    """What the tables of a run say, as another process would read it."""
    connection = sqlite3.connect(path / DATABASE)
    try:
        return [
            connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()  # noqa: S608 - literals
            for table in ("row", "list", "account", "snapshot", "outcome", "note")
        ]
    finally:
        connection.close()


async def lives(world: World, rows: list[str], *deaths: Death) -> tuple[list[RowRecord], Mortal]:
    """A run through all these deaths and then to its end; its rows, and its last life."""
    run = world.take_in(rows)
    for number, death in enumerate((*deaths, NEVER)):
        if number:
            journal.reopen(run)
        one = Mortal(world, run, death)
        await one.live()
        if death != NEVER:
            run.close()
            run = RunDirectory.open(one.grave or run.path, is_writable=True)
            told = list(views.records(run))
            assert [r.result.number for r in told] == list(range(1, len(rows) + 1))
            written = {effect.list_sid for effect in world.sandbox.ledger.effects}
            for record in told:
                # No list of this file is left half done by a run that lives.
                assert record.result.outcome != "not_attempted" or record.list_sid not in written
    found = list(views.records(run))
    assert views.summary(run).ending == "finished"
    assert not list(run.reader.execute("SELECT 1 FROM snapshot WHERE is_open = 1"))
    run.close()
    return found, one


# --- every commit, every statement ----------------------------------------------------------

PLAN = ["created", "updated", "created", "deleted", "updated", "deleted", "created"]


def plan(world: World) -> list[str]:
    """Creates, updates and deletes over two lists, no two rows on one entry."""
    rows = []
    for place in range(2):
        a, b, c, d = world.held(place)
        rows += [
            world.create(f"20.0.{place}.1", place=place),
            world.row("update", sid=a, name="renamed", place=place),
            world.create(f"20.0.{place}.2", place=place),
            world.row("delete", sid=b, place=place),
            world.row("update", sid=c, address=f"20.0.{place}.9", place=place),
            world.row("delete", sid=d, place=place),
            world.create(f"20.0.{place}.3", place=place),
        ]
    return rows


async def check_plan(world: World, duplicates: str, *deaths: Death) -> Mortal:
    """The plan through these deaths: all is done, once, and every row says so."""
    async with world.serving(
        lists=2, entries=4, duplicates=duplicates, latency=Latency(0.06), late_s=2.0
    ):
        world.script("POST", "", "", "reset_after", "", "reset_late", late_s=2.0)
        rows = plan(world)
        wanted = []
        for place in range(2):
            renamed, _, moved, _ = world.held(place).values()
            names = {address: name for address, _, name in world.entries(place)}
            made = [(f"20.0.{place}.{n}", 32, "x") for n in (1, 2, 3)]
            changed = [(renamed, 32, "renamed"), (f"20.0.{place}.9", 32, names[moved])]
            wanted.append(sorted(made + changed))
        records, last = await lives(world, rows, *deaths)
        told = " + ".join(map(str, deaths))
        assert outcomes(records) == PLAN * 2, told
        assert [world.entries(place) for place in range(2)] == wanted, told
        effects = Counter((e.op, e.ip_after or e.ip_before) for e in world.sandbox.ledger.effects)
        assert {n for (op, _), n in effects.items() if op != "update"} == {1}, told
        assert sum(n for (op, _), n in effects.items() if op != "update") == 10, told
        created = [r.result.sid for r in records if r.result.outcome == "created"]
        assert len(set(created)) == 6, told
        assert all(world.held(r > 2).get(sid or "") for r, sid in enumerate(created)), told
        return last


@pytest.mark.parametrize("duplicates", MODES)
async def test_killed_before_and_after_each_commit(world: World, duplicates: str) -> None:
    """Wherever among the commits a run is killed, a resume ends it as if nothing had been."""
    undisturbed = await check_plan(world, duplicates)
    assert undisturbed.commits > 5
    for number in range(1, undisturbed.commits + 1):
        await check_plan(world, duplicates, Death(before_commit=number))
        await check_plan(world, duplicates, Death(after_commit=number))


async def test_a_commit_that_fails_once(world: World) -> None:
    """The store refuses one commit and takes the next: no row is called not_attempted that was."""
    undisturbed = await check_plan(world, "refuse")
    for number in range(1, undisturbed.commits + 1):
        await check_plan(world, "refuse", Death(refused_commit=number))


async def test_killed_after_each_answer(world: World) -> None:
    """Whichever answer was the last to arrive, a resume ends the run as if nothing had been."""
    undisturbed = await check_plan(world, "accept")
    for number in range(1, undisturbed.answers + 1):
        await check_plan(world, "accept", Death(answer=number))


async def test_killed_at_each_statement(world: World) -> None:
    """Killed inside a transaction: of its batch nothing is there, and a resume ends the run."""
    undisturbed = await check_plan(world, "refuse")
    assert undisturbed.statements > 3 * undisturbed.commits
    for number in range(1, undisturbed.statements + 1):
        await check_plan(world, "refuse", Death(statement=number))


async def test_a_transaction_cut_off_leaves_nothing(world: World) -> None:
    """At every statement of every commit, the disk holds what it held before that commit."""
    async with world.serving(lists=2, entries=4, latency=Latency(0.03)):
        probe = Mortal(world, world.take_in(plan(world)), NEVER)
        await probe.live()
    seen = 0
    for number in range(1, probe.statements + 1):
        async with world.serving(lists=2, entries=4, latency=Latency(0.03)):
            run = world.take_in(plan(world))
            one = Mortal(world, run, Death(statement=number))
            await one.live()
            run.close()
            if one.grave is not None and one.before is not None:
                seen += 1
                assert dump(one.grave) == one.before, number
    assert seen > 20


@pytest.mark.parametrize("duplicates", MODES)
async def test_a_resume_is_killed_too(world: World, duplicates: str) -> None:
    """Killed after its writes, and in its resume at any commit or answer: all is told truly."""
    first = Death(answer=12)
    undisturbed = await check_plan(world, duplicates, first)
    assert undisturbed.answers >= 4
    for number in range(1, undisturbed.commits + 1):
        # Each moment in one of the modes: they differ in what an answer means.
        is_refused = duplicates == "refuse"
        death = Death(before_commit=number) if is_refused else Death(after_commit=number)
        await check_plan(world, duplicates, first, death)
    for number in range(1, undisturbed.answers + 1):
        await check_plan(world, duplicates, first, Death(answer=number))


async def test_killed_again_and_again(world: World) -> None:
    """Six lives, each cut short after a few answers, and one to the end."""
    await check_plan(world, "refuse", *[Death(answer=n) for n in (5, 3, 1, 4, 2, 6)])


async def test_a_resume_after_the_end_sends_nothing(world: World) -> None:
    """Killed after the commit that ends the last list: everything is known, no request is sent."""
    undisturbed = await check_plan(world, "refuse")
    last = await check_plan(world, "refuse", Death(after_commit=undisturbed.commits))
    assert last.sent == 0


# --- what lands late ------------------------------------------------------------------------


@pytest.mark.parametrize("after_s", [1.0, 4.9, 5.4, 6.9, 7.1, 9.9])
@pytest.mark.parametrize("duplicates", MODES)
async def test_killed_around_a_create_that_lands_late(
    world: World, duplicates: str, after_s: float
) -> None:
    """A create is given up, made again, and lands after all: a resume leaves one entry of it."""
    async with world.serving(duplicates=duplicates):
        world.script("POST", "reset_late", late_s=7.0)
        rows = [world.create("20.0.0.1"), world.create("20.0.0.2")]
        records, _ = await lives(world, rows, Death(after_s=after_s))
        assert outcomes(records) == ["created", "created"]
        assert [ip for ip, _, _ in world.entries()] == ["20.0.0.1", "20.0.0.2"]
        assert {r.result.sid for r in records} == set(world.held())


@pytest.mark.parametrize("after_s", [0.9, 1.9, 2.1, 4.9])
async def test_killed_around_an_update_that_lands_late(world: World, after_s: float) -> None:
    """An old update lands on top of a newer one while nobody looks: a resume sets it right."""
    async with world.serving(entries=1):
        (sid,) = world.held()
        world.script("POST", "reset_late", late_s=2.0)
        rows = [world.row("update", sid=sid, name=name) for name in ("first", "second")]
        records, _ = await lives(world, rows, Death(after_s=after_s))
        assert outcomes(records) == ["updated", "updated"]
        assert world.entries()[0][2] == "second"


# --- rows on one entry ----------------------------------------------------------------------

A, B, C = "20.0.0.1", "20.0.0.2", "20.0.0.3"

Chain = Callable[[World], list[str]]
CHAINS: dict[str, Chain] = {
    "create, rename": lambda w: [w.create(A), w.row("update", match=A, name="y")],
    "create, move": lambda w: [w.create(A), w.row("update", match=A, address=B)],
    "create, delete": lambda w: [w.create(A), w.row("delete", address=A)],
    "create, delete, create": lambda w: [
        w.create(A),
        w.row("delete", address=A),
        w.create(A, "y"),
    ],
    "create, move, create": lambda w: [
        w.create(A),
        w.row("update", match=A, address=B),
        w.create(A, "y"),
    ],
    "upsert, upsert": lambda w: [
        w.row("upsert", address=A, name="x"),
        w.row("upsert", address=A, name="y"),
    ],
    "rename, rename": lambda w: [
        w.row("update", sid=next(iter(w.held())), name="x"),
        w.row("update", sid=next(iter(w.held())), name="y"),
    ],
    "rename, rename back": lambda w: [
        w.row("update", sid=next(iter(w.held())), name="x"),
        w.row("update", sid=next(iter(w.held())), name=w.entries()[0][2]),
    ],
    "upsert what is there, twice": lambda w: [
        w.row("upsert", address=w.entries()[0][0], name="x"),
        w.row("upsert", address=w.entries()[0][0], name="y"),
    ],
    "rename, delete": lambda w: [
        w.row("update", sid=next(iter(w.held())), name="x"),
        w.row("delete", sid=next(iter(w.held()))),
    ],
    "delete, create": lambda w: [
        w.row("delete", address=w.entries()[0][0]),
        w.create(w.entries()[0][0], "y"),
    ],
    "delete, create, delete": lambda w: [
        w.row("delete", address=w.entries()[0][0]),
        w.create(w.entries()[0][0], "y"),
        w.row("delete", address=w.entries()[0][0]),
    ],
    "move, move": lambda w: [
        w.row("update", match=w.entries()[0][0], address=B),
        w.row("update", match=B, address=C),
    ],
    "move, move back": lambda w: [
        w.row("update", match=w.entries()[0][0], address=B),
        w.row("update", match=B, address=w.entries()[0][0]),
    ],
    "move, rename": lambda w: [
        w.row("update", match=w.entries()[0][0], address=B),
        w.row("update", match=B, name="y"),
    ],
    "move, create in its place": lambda w: [
        w.row("update", match=w.entries()[0][0], address=B),
        w.create(w.entries()[0][0], "y"),
    ],
    "delete in vain, create": lambda w: [w.row("delete", address=A), w.create(A)],
    "rename in vain, create": lambda w: [w.row("update", match=A, name="y"), w.create(A)],
    "create, rename to the same, rename": lambda w: [
        w.create(A),
        w.row("update", match=A, name="x"),
        w.row("update", match=A, name="y"),
    ],
    "create, move in vain, delete": lambda w: [
        w.create(B),
        w.row("update", match=w.entries()[0][0], address=B),
        w.row("delete", address=w.entries()[0][0]),
    ],
    "move, delete": lambda w: [
        w.row("update", match=w.entries()[0][0], address=B),
        w.row("delete", address=B),
    ],
}


@pytest.mark.parametrize("latency_s", [0.0, 0.04, 0.2])
@pytest.mark.parametrize("chain", CHAINS)
async def test_killed_among_rows_on_one_entry(world: World, chain: str, latency_s: float) -> None:
    """However many of them were answered, and how many recorded, order and outcomes hold."""

    async def through(death: Death) -> tuple[list[str], list[tuple[str, int, str]]]:
        async with world.serving(entries=1, latency=Latency(latency_s)):
            records, _ = await lives(world, CHAINS[chain](world), death)
            return outcomes(records), world.entries()

    undisturbed = await through(NEVER)
    rows = len(undisturbed[0])
    deaths = [Death(answer=number) for number in range(2, rows + 2)]
    deaths += [Death(after_s=latency_s * (n + 1) + 0.1) for n in range(rows) if latency_s]
    for death in deaths:
        assert await through(death) == undisturbed, str(death)
