"""Rounds in virtual time: one engine and one sandbox in one event loop, over real sockets.

A round is drawn from its seed alone: the lists, the faults and how often they come, the settings,
the rows, and when the engine is stopped, is told to stop at once, or is cut off so that what it
has not committed is gone, as a kill would have it.

    Weather      what a round is like
    draw_weather a seed -> a Weather
    run_round    a round with bulkipacl
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from campaign_judge import Answer, Case, Change, State
from campaign_plan import Held, PlanRow, Scene, csv_lines, draw_plan
from campaign_tally import Tally

from bulkipacl.engine.run import Engine
from bulkipacl.errors import StoreError
from bulkipacl.report import verify, write_run_reports
from bulkipacl.sandbox import Effect, Fault, Latency, Sandbox
from bulkipacl.sandbox.ledger import Ledger, Origin
from bulkipacl.sandbox.virtual_time import VirtualTimeLoop
from bulkipacl.settings import Settings
from bulkipacl.store import journal, views
from bulkipacl.store.rundir import RunDirectory
from bulkipacl.twilio.hosts import resolve_base_url
from bulkipacl.twilio.transport import open_transport

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "integration"))

from world import World

from bulkipacl.credentials import load_credentials

MODES = ("refuse", "accept")
END_AFTER_S = 100_000.0
"""Virtual seconds after which a session counts as hung."""
MAX_SESSIONS = 12
"""Sessions of one run, before its rows count as unknown for good."""

BEFORE: tuple[str, ...] = ("429", "500_before", "502_before", "503_before", "504_before")
BEFORE += ("reset_before", "hang_before", "html_503_before", "garbage_before")
AFTER: tuple[str, ...] = ("500_after", "502_after", "503_after", "504_after", "reset_after")
AFTER += ("hang_after", "garbage_after", "truncated_after", "slow_after", "close_after")
LATE = ("500_late", "503_late", "reset_late", "hang_late")
TRUE_FAILURES = ("echo_mismatch_after", "redirect")
"""The server's own fault: what it answers is not what it did, or it sends us away."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The end of a session: how, and `after_s` seconds after so many effects.

    Attributes:
        share: effects as a share of the rows, one at least; None: from the session's begin on.
    """

    how: str
    share: float | None
    after_s: float


@dataclass(frozen=True, slots=True)
class Weather:
    """What a round is like.

    Attributes:
        switches: of the sandbox.
        settings: of the engine.
        stops: for the sessions in turn; there are as many sessions as it takes.
    """

    name: str
    switches: dict[str, Any]
    settings: dict[str, Any]
    chains_per_list: int
    stops: tuple[Stop, ...] = ()


def draw_weather(seed: int, number: int, settle_s: float | None = None) -> Weather:
    """The n-th round of a seed; `settle_s` in place of one that is long enough."""
    rng = random.Random(f"{seed}/{number}")
    late_s = rng.uniform(0.5, 4.0)
    switches = {
        "seed": rng.getrandbits(32),
        "accounts": rng.randint(1, 3),
        "lists": rng.randint(1, 4),
        "entries": rng.choice((0, 5, 15, 30, 60, 90)),
        "duplicates": MODES[number % 2],
        "unique": rng.choice(("ip", "ip+prefix")),
        "update_resets_prefix": rng.random() < 0.5,
        "errors": rng.choice(("classic", "rfc9457")),
        "retry_after_s": rng.choice((None, None, 0.5)),
        "latency": Latency(rng.choice((0.0, 0.05, 0.2)), rng.choice((0.0, 0.3, 0.8))),
        "faults": _draw_faults(rng),
        "late_s": late_s,
        "hang_s": rng.choice((5.0, 30.0)),
    }
    settings = {
        "retries": rng.randint(10, 20),
        "timeout_s": 3.0,
        "read_timeout_s": 3.0,
        "connect_timeout_s": 3.0,
        # Longer than the latest effect, the time inside the API included.
        "settle_s": late_s + 3.0 if settle_s is None else settle_s,
        "account_max_in_flight": rng.choice((2, 5, 20, 20, 40)),
        "no_gap": rng.random() < 0.1,
        "rate_per_s": rng.choice((None,) * 9 + (20.0,)),
        "patience_s": 3_000.0,
    }
    name = f"round {number}, {switches['duplicates']}"
    stops = tuple(_draw_stop(rng) for _ in range(rng.choice((0, 0, 1, 1, 2, 3, 4))))
    return Weather(name, switches, settings, rng.randint(8, 50), stops)


def _draw_faults(rng: random.Random) -> tuple[Fault, ...]:
    total = rng.uniform(0.1, 0.4)
    kinds = (*BEFORE, *AFTER, *LATE)
    # Some rounds are full of one kind, some see them all.
    weights = {kind: rng.random() ** rng.choice((1, 4)) for kind in kinds}
    if rng.random() < 0.5:
        weights |= {kind: weights[kind] * 3 for kind in LATE}
    share = total / sum(weights.values())
    faults = [Fault(kind, weight * share) for kind, weight in weights.items()]
    if rng.random() < 0.3:
        faults += [Fault(kind, 0.004) for kind in TRUE_FAILURES]
    return tuple(faults)


def _draw_stop(rng: random.Random) -> Stop:
    share = rng.choice((0.0, rng.uniform(0.0, 0.2), rng.uniform(0.0, 1.0), None))
    after_s = rng.choice((0.0, 0.01, rng.uniform(0.0, 1.0), rng.uniform(0.0, 20.0)))
    return Stop(rng.choice(("stop", "stop_now", "cut", "cut")), share, after_s)


def scenes_of(sandbox: Sandbox) -> list[Scene]:
    """All lists as they are now."""
    return [
        Scene(account.sid, acl.sid, acl.name, held)
        for account in sandbox.state.accounts.values()
        for acl in account.lists.values()
        for held in [{e.sid: Held(e.ip, e.prefix, e.name) for e in acl.entries.values()}]
    ]


def state_of(scenes: list[Scene]) -> State:
    """The entries by list."""
    return {scene.list_sid: scene.entries for scene in scenes}


def change_of(effect: Effect) -> Change:
    """A line of the ledger as the judge reads it."""
    before = after = None
    if effect.ip_before is not None and effect.prefix_before is not None:
        before = Held(effect.ip_before, effect.prefix_before, effect.name_before or "")
    if effect.ip_after is not None and effect.prefix_after is not None:
        after = Held(effect.ip_after, effect.prefix_after, effect.name_after or "")
    where = (effect.list_sid or "", effect.sid)
    return Change(effect.op, *where, before, after, effect.fault, effect.by)


def draw_rows(seed: int, number: int, weather: Weather, scenes: list[Scene]) -> list[PlanRow]:
    """The rows of a round."""
    return draw_plan(random.Random(f"{seed}/{number}/rows"), scenes, weather.chains_per_list)


@dataclass(slots=True)
class _Disk:
    """Commits at once, until the run is cut off: from then on nothing is written any more."""

    is_gone: bool = False

    async def __call__(self, call: Callable[[], None]) -> None:
        if self.is_gone:
            raise StoreError("cut off")
        call()


@dataclass(slots=True)
class _Round:
    """One round under way."""

    world: World
    weather: Weather
    rng: random.Random
    rows: int = 0
    tally: Tally = field(default_factory=Tally)

    async def carry_out(self, run: RunDirectory, stop: Stop | None) -> str:
        """One session; returns how it ended, `cut` included."""
        world, loop = self.world, asyncio.get_running_loop()
        ready, parent = world.sandbox.ready(), world.account()
        credentials = load_credentials(
            {"TWILIO_ACCOUNT_SID": parent, "TWILIO_AUTH_TOKEN": ready["accounts"][parent]}
        )
        settings = Settings(base_url=world.sandbox.url, **self.weather.settings)
        base = resolve_base_url(world.sandbox.url, {})
        transport = open_transport(settings, base, credentials, wall_clock=loop.time)
        disk = _Disk()
        engine = Engine(run, settings, transport, offload=disk, rng=self.rng, wall_clock=loop.time)
        watching = loop.create_task(self._end_it(engine, disk, stop)) if stop else None
        try:
            async with asyncio.timeout(END_AFTER_S):
                await engine.execute()
        except StoreError:
            return "cut"
        finally:
            if watching is not None:
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching
            self.tally.requests += engine.requests
            await transport.aclose()
        views.set_meta(run, {"ending": engine.ending})
        return engine.ending

    async def _end_it(self, engine: Engine, disk: _Disk, stop: Stop) -> None:
        if stop.share is not None:
            await _effects(self.world.sandbox.ledger, max(1, round(self.rows * stop.share)))
        await asyncio.sleep(stop.after_s)
        self.tally.stops[stop.how] += 1
        if stop.how == "stop":
            engine.stop("interrupted")
            return
        disk.is_gone = stop.how == "cut"
        engine.stop_now("interrupted")

    async def others(self, scenes: list[Scene]) -> None:
        """Somebody else adds entries meanwhile, which no row names."""
        state = self.world.sandbox.state
        for number in range(5):
            await asyncio.sleep(self.rng.uniform(0.0, 5.0))
            scene = self.rng.choice(scenes)
            params = {"FriendlyName": f"other {number}", "IpAddress": f"100.64.{number}.1"}
            acl = state.acl(scene.account_sid, scene.list_sid)
            if len(acl.entries) < 95:
                origin = Origin("", by="other")
                state.create_entry(scene.account_sid, scene.list_sid, params, origin)


async def _effects(ledger: Ledger, count: int) -> None:
    """Wait for so many more effects, without a poll: in virtual time each would cost a wait."""
    done, record, end = asyncio.Event(), ledger.record, len(ledger) + count

    def watched(*args: Any, **keywords: Any) -> None:
        record(*args, **keywords)
        if len(ledger) >= end:
            done.set()

    setattr(ledger, "record", watched)  # noqa: B010 - a method is replaced
    try:
        await done.wait()
    finally:
        setattr(ledger, "record", record)  # noqa: B010


async def _sessions(one: _Round, path: Path) -> None:
    """Session after session, until every row has ended."""
    stops = list(one.weather.stops)
    for _ in range(MAX_SESSIONS):
        with RunDirectory.open(path, is_writable=True) as run:
            journal.reopen(run)
            ending = await one.carry_out(run, stops.pop(0) if stops else None)
            if ending != "cut" and not stops and not _is_open(run):
                return


def _is_open(run: RunDirectory) -> bool:
    outcomes = views.summary(run).outcomes
    return any(count for word, count in outcomes.items() if word in ("unknown", "not_attempted"))


def answers_of(run: RunDirectory) -> dict[int, list[Answer]]:
    """What each row was answered with."""
    found: dict[int, list[Answer]] = {}
    for record in views.records(run):
        result = record.result
        answer = Answer(str(result.outcome), result.sid or "", result.name or "", result.reason)
        found.setdefault(result.number, []).append(answer)
    return found


async def _play(seed: int, number: int, place: Path, settle_s: float | None) -> Tally:
    weather = draw_weather(seed, number, settle_s)
    world = World(place)
    one = _Round(world, weather, random.Random(f"{seed}/{number}/engine"))
    async with world.serving(**weather.switches) as sandbox:
        scenes = scenes_of(sandbox)
        rows = draw_rows(seed, number, weather, scenes)
        one.rows = len(rows)
        run = world.take_in(csv_lines(rows))
        run.close()
        others = asyncio.get_running_loop().create_task(one.others(scenes))
        await _sessions(one, run.path)
        await others
        await sandbox.flush()
        with RunDirectory.open(run.path, is_writable=False) as ended:
            write_run_reports(ended)
            discrepancies = verify(ended)
            answers = answers_of(ended)
        changes = [change_of(e) for e in sandbox.ledger.effects if e.resource == "entry"]
        after = state_of(scenes_of(sandbox))
        one.tally.judged(Case(rows, answers, state_of(scenes), after, changes), weather.name)
        one.tally.faults.update(sandbox.stats.faults)
    for text in discrepancies:
        one.tally.wrong["unanswered"] += 1
        one.tally.findings.append(f"verify: {weather.name}: {text}")
    return one.tally


def in_virtual_time(work: Callable[[], Awaitable[Tally]]) -> Tally:
    """Do it in a loop of its own, whose time jumps."""

    async def main() -> Tally:
        return await work()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main())


def run_round(seed: int, number: int, settle_s: float | None = None) -> Tally:
    """One round with bulkipacl, judged."""
    with tempfile.TemporaryDirectory() as folder:
        return in_virtual_time(lambda: _play(seed, number, Path(folder), settle_s))
