"""Stopping, being killed, and carrying on: no row lost, none written twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from world import FAST, World, good, outcomes

from bulkipacl.engine.run import Engine
from bulkipacl.sandbox import Latency
from bulkipacl.store import views

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
            run, watch=when(effects, world, lambda e: e.stop_now("interrupted")), **FAST
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
