"""Stopping, being killed, and carrying on: no row lost, none written twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partialmethod

import pytest
import world as world_module
from world import FAST, World, good, outcomes

from bulkipacl.engine.run import Engine
from bulkipacl.intake import Defaults, open_source
from bulkipacl.report import exit_code
from bulkipacl.sandbox import Fault, Latency
from bulkipacl.sandbox.faults import Choice
from bulkipacl.store import views
from bulkipacl.store.intake import Intake

Watch = Callable[[Engine], Awaitable[None]]


def when(effects: int, world: World, act: Callable[[Engine], None]) -> Watch:
    """Something done once the server has seen so many effects."""

    async def watch(engine: Engine) -> None:
        await world.until_effects(effects)
        act(engine)

    return watch


def rows_of(world: World) -> list[str]:
    """Creates over four lists of two accounts."""
    return [
        world.create(f"20.{a}.{p}.{n}", place=p, account=a)
        for n in range(60)
        for p in range(2)
        for a in range(2)
    ]


def held(world: World) -> int:
    """Entries in all four lists; none of them twice."""
    found = [e for a in range(2) for p in range(2) for e in world.entries(p, a)]
    assert len(found) == len(set(found))
    return len(found)


async def test_a_first_signal_finishes_what_is_in_flight(world: World) -> None:
    """Stopping drains: no row is unknown, what was created says so, the rest is not_attempted."""
    async with world.serving(accounts=2, lists=2, latency=Latency(0.1)):
        run = world.take_in(rows_of(world))
        await world.carry_out(run, watch=when(50, world, lambda e: e.stop("interrupted")), **FAST)
        found = Counter(outcomes(list(views.records(run))))
        assert set(found) == {"created", "not_attempted"}
        assert found["created"] == held(world)
        assert views.summary(run).ending == "interrupted"
        assert outcomes(await world.resume(run, **FAST)) == good(240)
        assert held(world) == 240
        run.close()


@pytest.mark.parametrize("duplicates", ["refuse", "accept"])
@pytest.mark.parametrize("effects", [1, 37, 150, 239])
async def test_a_second_signal_loses_nothing(world: World, effects: int, duplicates: str) -> None:
    """Stopping at once leaves rows unknown; a resume settles them, and nothing is there twice."""
    async with world.serving(accounts=2, lists=2, latency=Latency(0.1), duplicates=duplicates):
        run = world.take_in(rows_of(world))
        await world.carry_out(
            run,
            watch=when(effects, world, lambda e: e.stop_now("interrupted")),
            account_max_in_flight=20,
            **FAST,
        )
        found = Counter(outcomes(list(views.records(run))))
        assert set(found) <= {"created", "not_attempted", "unknown"}
        assert found.total() == 240
        assert found["unknown"] <= 40
        assert outcomes(await world.resume(run, **FAST)) == good(240)
        assert held(world) == 240
        run.close()


async def test_a_resume_sends_nothing_again_that_had_ended(world: World) -> None:
    """A resume of a finished run costs no request at all."""
    async with world.serving(accounts=2, lists=2):
        run = world.take_in(rows_of(world))
        await world.carry_out(run, **FAST)
        assert outcomes(await world.resume(run, **FAST)) == good(240)
        assert world.wire.sent == 0
        run.close()


@pytest.mark.parametrize(
    ("first", "is_second"), [("deadline", False), ("deadline", True), ("max_failures", True)]
)
async def test_a_signal_after_the_runs_own_limit(world: World, first: str, is_second: bool) -> None:
    """A person's stop while a deadline drains is the ending, 130; the second one cuts at once."""
    async with world.serving(accounts=2, lists=2, latency=Latency(2.0)):
        run = world.take_in(rows_of(world)[:80])
        loop = asyncio.get_running_loop()
        ended_s: list[float] = []

        async def watch(engine: Engine) -> None:
            await world.until_effects(1)
            await asyncio.sleep(0.5)
            engine.stop(first)
            engine.stop("interrupted")
            engine.stop(first)  # Nor does a limit that is reached later take its place.
            ended_s.append(loop.time())
            if is_second:
                engine.stop_now("interrupted")

        summary = await world.carry_out(run, watch=watch, account_max_in_flight=8, **FAST)
        assert summary.ending == "interrupted"
        assert exit_code(summary) == 130
        assert (loop.time() - ended_s[0] < 0.1) == is_second
        found = Counter(outcomes(list(views.records(run))))
        assert found.total() == 80
        assert bool(found["unknown"]) == is_second
        assert outcomes(await world.resume(run, **FAST)) == good(80)
        assert held(world) == 80
        run.close()


@pytest.mark.parametrize("kind", ["stop", "stop_now"])
@pytest.mark.parametrize("effects", [5, 30])
async def test_a_stop_during_a_commit(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: str, effects: int
) -> None:
    """A commit that is under way is finished, and what it says stands: nothing lost or twice."""
    committing: list[bool] = []
    whole: list[int] = []

    async def slowly(call: Callable[[], None]) -> None:
        committing.append(True)
        await asyncio.sleep(0.2)
        call()
        await asyncio.sleep(0.2)
        committing.pop()
        whole.append(1)

    monkeypatch.setattr(world_module, "at_once", slowly)
    async with world.serving(accounts=2, lists=2, latency=Latency(0.1)):
        run = world.take_in(rows_of(world)[:80])
        before: list[int] = []

        async def watch(engine: Engine) -> None:
            await world.until_effects(effects)
            while not committing:  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(0.01)
            before.append(len(whole))
            getattr(engine, kind)("interrupted")

        await world.carry_out(run, watch=watch, **FAST)
        assert not committing
        assert len(whole) > before[0], "the stop did not come during a commit"
        found = Counter(outcomes(list(views.records(run))))
        assert found.total() == 80
        assert set(found) <= {"created", "not_attempted", "unknown"}
        assert found["created"] <= held(world) <= found["created"] + found["unknown"]
        assert kind == "stop_now" or not found["unknown"]
        assert outcomes(await world.resume(run, **FAST)) == good(80)
        assert held(world) == 80
        run.close()


@pytest.mark.parametrize("reason", ["interrupted", "deadline"])
async def test_a_stop_waits_for_no_list_that_is_being_read(world: World, reason: str) -> None:
    """An API that hangs before anything was written: a stop ends at once, all not_attempted."""
    async with world.serving(accounts=2, lists=2, faults=(Fault("hang_before", 1.0),)):
        run = world.take_in(rows_of(world)[:80])
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def watch(engine: Engine) -> None:
            await asyncio.sleep(1.0)
            engine.stop(reason)

        summary = await world.carry_out(run, watch=watch)
        assert loop.time() - began < 1.2, "the time-out is 30 s"
        assert summary.ending == reason
        assert outcomes(list(views.records(run))) == ["not_attempted"] * 80
        run.close()


@pytest.mark.parametrize("reason", ["interrupted", "deadline"])
async def test_a_stop_when_the_api_has_gone(world: World, reason: str) -> None:
    """Connections are refused from some moment on: a stop takes less than one time-out."""
    async with world.serving(accounts=2, lists=2, latency=Latency(0.1)):
        run = world.take_in(rows_of(world)[:80])
        loop = asyncio.get_running_loop()
        stopped_s: list[float] = []

        async def watch(engine: Engine) -> None:
            await world.until_effects(20)
            await world.sandbox.aclose()
            await asyncio.sleep(1.0)
            stopped_s.append(loop.time())
            engine.stop(reason)

        summary = await world.carry_out(run, watch=watch, account_max_in_flight=8)
        assert summary.ending == reason
        assert loop.time() - stopped_s[0] < 15.0, "the patience is 300 s"
        found = Counter(outcomes(list(views.records(run))))
        assert found.total() == 80
        assert set(found) <= {"created", "not_attempted", "unknown"}
        assert 20 <= found["created"] < 80
        assert found["unknown"] <= 16, "what was refused a connection was surely not sent"
        run.close()


async def test_a_second_signal_while_rows_are_answered_429(world: World) -> None:
    """What was answered 429 and nothing else was surely not processed: not_attempted, at once."""
    async with world.serving(hang_s=60.0, latency=Latency(0.1)):

        def choose(method: str, path: str, body: bytes) -> Choice | None:
            if method != "POST":
                return None
            return Choice("hang_before" if b"20.0.0.1&" in body else "429", 0.0)

        setattr(world.sandbox.faults, "choose", choose)  # noqa: B010 - a method is replaced
        run = world.take_in([world.create(f"20.0.0.{n}") for n in range(1, 6)])

        async def watch(engine: Engine) -> None:
            await asyncio.sleep(1.5)
            engine.stop("interrupted")
            await asyncio.sleep(0.3)
            engine.stop_now("interrupted")

        slow = FAST | {"timeout_s": 30.0, "read_timeout_s": 30.0}
        await world.carry_out(run, watch=watch, **slow)
        assert world.sandbox.stats.requests[("POST", 429)] > 0
        assert outcomes(list(views.records(run))) == ["unknown"] + ["not_attempted"] * 4
        run.close()


async def test_a_refused_credential_beside_a_lost_answer(world: World) -> None:
    """Rows that were answered 401 and nothing else were not attempted; the lost one is unknown."""
    async with world.serving(accounts=2, latency=Latency(0.1)):
        world.script("POST", "reset_before")
        run = world.take_in([world.create(f"20.0.0.{n}", account=1) for n in range(1, 6)])

        async def watch(engine: Engine) -> None:
            while world.wire.sent < 2:  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(0.001)
            world.sandbox.state.account(world.account(1)).status = "suspended"

        await world.carry_out(run, watch=watch, **FAST)
        found = [(r.result.outcome, r.result.reason, r.result.status) for r in views.records(run)]
        assert found[0] == ("unknown", "credentials_refused", 401)
        assert found[1:] == [("not_attempted", "credentials_refused", 401)] * 4
        assert world.sandbox.stats.requests[("POST", 401)] > 1
        run.close()


async def test_an_unsettled_list_is_not_opened_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What arrives for a list that could not be read back is left for a resume, unlike others."""
    monkeypatch.setattr(Engine, "execute", partialmethod(Engine.execute, is_input_open=True))
    async with world.serving(lists=2, duplicates="accept"):
        world.script("POST", "reset_after")
        run = world.take_in([world.create("20.0.0.1")])

        def arrive(engine: Engine, *rows: str) -> None:
            path = world.place / "more.csv"
            path.write_text("\n".join([world_module.HEADER, *rows, ""]), encoding="utf-8")
            intake = Intake(run)
            intake.rows = views.row_count(run)
            source = open_source(str(path), Defaults())
            engine.arrived(intake.insert(1, list(source.drafts())))
            source.close()

        async def watch(engine: Engine) -> None:
            engine.arrived([(1, 1)])
            await world.until_effects(1)
            world.script("GET", *["503_before"] * 6)
            while engine.open_lists:  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(0.01)
            arrive(engine, world.create("20.0.0.2"), world.create("20.0.0.3", place=1))
            await asyncio.sleep(60)
            engine.input_ended()

        await world.carry_out(run, watch=watch, retries=2, **FAST)
        assert outcomes(list(views.records(run))) == ["unknown", "not_attempted", "created"]
        assert [ip for ip, _, _ in world.entries()] == ["20.0.0.1"]
        monkeypatch.undo()
        assert outcomes(await world.resume(run, **FAST)) == good(3)
        assert [ip for ip, _, _ in world.entries()] == ["20.0.0.1", "20.0.0.2"]
        run.close()
