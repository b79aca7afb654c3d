"""404 for a list: only a reading tells one that is gone from something on the way that says so.

Route      a transport that has a detour for one address
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest
from bending import Bend, Bending, error, says
from test_integration_breaker import open_real
from world import FAST, World, good, outcomes

from bulkipacl.engine.run import Engine
from bulkipacl.model import Attempt, Request
from bulkipacl.sandbox import Latency
from bulkipacl.sandbox.faults import Choice
from bulkipacl.store import views
from bulkipacl.twilio.transport import Transport

ANSWERS: dict[str, Bend] = {
    "a gateway's page": says(404, b"<html>gateway</html>"),
    "the API's own words": error(404, 20404),
}


class Route:
    """Sends the creates of one address another way, once it is time; all else straight."""

    def __init__(self, world: World, url: str, is_time: Callable[[], bool]) -> None:
        self._straight: Transport = open_real(world, **FAST)
        self._other: Transport = open_real(world, url, **FAST)
        self._is_time = is_time

    async def send(self, request: Request) -> Attempt:
        """Send it this way or that."""
        is_other = request.body is not None and b"20.0.0.9&" in request.body and self._is_time()
        return await (self._other if is_other else self._straight).send(request)

    async def aclose(self) -> None:
        """Close both."""
        await self._straight.aclose()
        await self._other.aclose()


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_passing_404_costs_no_row(world: World, answer: str, times: int) -> None:
    """The list can be read, so the row is sent again, and the others as well."""
    async with world.serving():
        bending = Bending(world, "POST", *[ANSWERS[answer]] * times)
        async with bending.serving():
            run = world.take_in([world.create(f"20.0.0.{n}") for n in range(6)])
            wire = open_real(world, bending.url, **FAST)
            await world.carry_out(run, transport=wire, account_max_in_flight=2, **FAST)
            records = list(views.records(run))
            run.close()
        assert outcomes(records) == good(6)
        assert len(world.sandbox.ledger) == len(world.entries()) == 6


async def test_a_404_that_does_not_pass(world: World) -> None:
    """The list can be read and not written to: the row fails in the end, and says what is odd."""
    async with world.serving():
        bending = Bending(world, "POST", *[ANSWERS["a gateway's page"]] * 9)
        async with bending.serving():
            run = world.take_in([world.create("20.0.0.1"), world.row("delete", address="20.0.0.9")])
            wire = open_real(world, bending.url, **FAST)
            await world.carry_out(run, transport=wire, retries=2, **FAST)
            first, second = (record.result for record in views.records(run))
            run.close()
        assert (first.outcome, first.reason, first.status) == ("failed", "contradicted", 404)
        assert "the list can be read" in first.suggestion
        assert second.outcome == "already_gone"
        assert bending.asked["POST"] == 3


@pytest.mark.parametrize("at_once", [1, 5, 20])
async def test_a_list_that_goes_fails_its_rows_after_one_reading(
    world: World, at_once: int
) -> None:
    """While the list is asked for, nothing more is sent to it; then all its rows fail at once."""
    async with world.serving(latency=Latency(0.1)):
        account, list_sid = world.sandbox.state.account(world.account()), world.acl()
        gone_s: list[float] = []
        loop = asyncio.get_running_loop()

        async def other(engine: Engine) -> None:
            await world.until_effects(1)
            account.lists.pop(list_sid)
            gone_s.append(loop.time())

        run = world.take_in([world.create(f"20.0.0.{n}") for n in range(90)])
        await world.carry_out(run, watch=other, account_max_in_flight=at_once, **FAST)
        records = list(views.records(run))
        run.close()
        assert loop.time() - gone_s[0] < 1.0
        found = Counter((str(r.result.outcome), r.result.reason) for r in records)
        made = found["created", ""]
        assert found == {("created", ""): made, ("failed", "list_not_found"): 90 - made}
        failed = {(r.result.status, r.result.code) for r in records if r.result.outcome == "failed"}
        assert failed == {(404, 20404)}
        requests = world.sandbox.stats.requests
        assert requests[("GET", 404)] == 1
        assert requests[("POST", 404)] <= 2 * at_once


async def test_a_list_that_cannot_be_read_when_it_is_doubted(world: World) -> None:
    """Neither there nor gone: what was answered 404 is unknown, and the others are sent."""
    async with world.serving():
        bending = Bending(world, "POST", ANSWERS["a gateway's page"])
        async with bending.serving():
            run = world.take_in([world.create(f"20.0.0.{n}") for n in range(4)])
            wire = open_real(world, bending.url, **FAST)

            async def watch(engine: Engine) -> None:
                while not bending.asked["POST"]:  # noqa: ASYNC110 - virtual time
                    await asyncio.sleep(0.0001)
                world.script("GET", *["503_before"] * 3)

            settings = FAST | {"retries": 2, "account_max_in_flight": 1}
            await world.carry_out(run, watch=watch, transport=wire, **settings)
            records = list(views.records(run))
            assert outcomes(records) == ["unknown", *good(3)]
            assert (records[0].result.reason, records[0].result.status) == ("unreadable", 503)
            assert outcomes(await world.resume(run, **FAST)) == good(4)
            run.close()


@pytest.mark.parametrize("is_stopped", [False, True])
async def test_a_passing_404_does_not_stop_the_last_reading(world: World, is_stopped: bool) -> None:
    """A create landed late and twice, and another one meets a 404: what is too much is removed."""
    async with world.serving(duplicates="accept"):
        loop = asyncio.get_running_loop()
        began = loop.time()
        late = [8.0]

        def choose(method: str, path: str, body: bytes) -> Choice | None:
            if method == "POST" and b"20.0.0.1&" in body and late:
                return Choice("503_late", late.pop())
            is_early = loop.time() - began < 6.2
            return Choice("429", 0.0) if b"20.0.0.9&" in body and is_early else None

        setattr(world.sandbox.faults, "choose", choose)  # noqa: B010 - a method is replaced
        async with Bending(world, "POST", ANSWERS["a gateway's page"]).serving() as bending:
            wire = Route(world, bending.url, lambda: loop.time() - began > 6.2)

            async def watch(engine: Engine) -> None:
                while not bending.asked["POST"]:  # noqa: ASYNC110 - virtual time
                    await asyncio.sleep(0.02)
                engine.stop("interrupted")

            run = world.take_in([world.create("20.0.0.1"), world.create("20.0.0.9")])
            stop = watch if is_stopped else None
            summary = await world.carry_out(run, watch=stop, transport=wire, **FAST)
            await world.sandbox.flush()
            records = list(views.records(run))
            run.close()
        assert records[0].result.reason == "late_duplicate_removed"
        assert outcomes(records) == ["created", "not_attempted" if is_stopped else "created"]
        assert len(summary.notes) == 1
        assert [ip for ip, _, _ in world.entries()].count("20.0.0.1") == 1
