"""Effects that land after their row was given up, or a stop: within two settle times they count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from world import FAST, World, outcomes

from bulkipacl.engine.run import Engine
from bulkipacl.model import Evidence, RowRecord
from bulkipacl.report import exit_code
from bulkipacl.sandbox.faults import Choice
from bulkipacl.store import views
from bulkipacl.store.rundir import RunDirectory

MODES = ("refuse", "accept")
METHODS = {"create": "POST", "update": "POST", "delete": "DELETE"}
ADDRESS = "20.0.0.1"


def row_of(world: World, operation: str) -> str:
    """A row of this operation: on the entry that is there, or a new one."""
    if operation == "create":
        return world.create(ADDRESS)
    return world.row(operation, sid=next(iter(world.held())), name="x" * (operation == "update"))


async def carried_out(
    world: World, rows: list[str], **settings: int
) -> tuple[RunDirectory, list[RowRecord]]:
    """A run of these rows, after which nothing can land any more."""
    run = world.take_in(rows)
    await world.carry_out(run, **(FAST | settings))
    await world.sandbox.flush()
    return run, list(views.records(run))


@pytest.mark.parametrize("late_s", [3.0, 6.0, 9.0])
@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("operation", METHODS)
async def test_what_was_given_up_and_happened_is_done(
    world: World, operation: str, retries: int, late_s: float
) -> None:
    """The last send lands after its row had run out of retries: the row says done, not failed."""
    async with world.serving(entries=1):
        kinds = ["503_before"] * retries + ["503_late"]
        world.script(METHODS[operation], *kinds, late_s=late_s)
        run, (record,) = await carried_out(world, [row_of(world, operation)], retries=retries)
        run.close()
        assert record.result.outcome == f"{operation}d"
        assert record.result.evidence is Evidence.READ_BACK
        assert (record.result.reason, record.result.status) == ("", 0)
        assert len(world.sandbox.ledger) == 1


@pytest.mark.parametrize("operation", METHODS)
async def test_what_was_given_up_and_did_not_happen_failed(world: World, operation: str) -> None:
    """Nothing landed within two settle times: it failed, and was looked for as long as that."""
    async with world.serving(entries=1):
        world.script(METHODS[operation], "503_before")
        began = asyncio.get_running_loop().time()
        run, (record,) = await carried_out(world, [row_of(world, operation)], retries=0)
        run.close()
        assert (record.result.outcome, record.result.reason) == ("failed", "server_error")
        assert not len(world.sandbox.ledger)
        assert asyncio.get_running_loop().time() - began == pytest.approx(10.0, abs=0.5)


# Each: rows, of which the write of the first lands after it was given up; what they end as after
# the run, and after a resume of it; what the list holds then.
Chain = Callable[[World, str], list[str]]
CHAINS: dict[str, tuple[Chain, list[str], list[str], list[tuple[str, str]]]] = {
    "delete, create": (
        lambda w, at: [w.row("delete", address=at), w.create(at, "entry 1")],
        ["deleted", "not_attempted"],
        ["deleted", "created"],
        [("198.18.0.0", "entry 1")],
    ),
    "delete, update": (
        lambda w, at: [w.row("delete", address=at), w.row("update", match=at, name="y")],
        ["deleted", "not_attempted"],
        ["deleted", "failed"],
        [],
    ),
    "delete, delete": (
        lambda w, at: [w.row("delete", address=at), w.row("delete", address=at)],
        ["deleted", "not_attempted"],
        ["deleted", "already_gone"],
        [],
    ),
    "update, update": (
        lambda w, at: [
            w.row("update", match=at, name="x"),
            w.row("update", match=at, name="entry 1"),
        ],
        ["updated", "not_attempted"],
        ["updated", "updated"],
        [("198.18.0.0", "entry 1")],
    ),
    # A create is made again where it is not seen, and nothing waits behind it.
    "create, update": (
        lambda w, _: [w.create(ADDRESS), w.row("update", match=ADDRESS, name="y")],
        ["created", "updated"],
        ["created", "updated"],
        [("198.18.0.0", "entry 1"), (ADDRESS, "y")],
    ),
}


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("duplicates", MODES)
async def test_what_follows_a_row_that_was_given_up_tells_no_lie(
    world: World, duplicates: str, chain: str
) -> None:
    """What follows a write that may yet land is not sent; a resume carries it out on what is so."""
    make, first, then, holds = CHAINS[chain]
    async with world.serving(entries=1, duplicates=duplicates):
        ((_, address),) = world.held().items()
        method = "DELETE" if chain.startswith("delete") else "POST"
        world.script(method, "503_late", late_s=6.0)
        run, records = await carried_out(world, make(world, address), retries=0)
        assert outcomes(records) == first
        left = [r.result for r in records if r.result.outcome == "not_attempted"]
        for result in left:
            assert result.reason == "after_unknown"
            assert "`bulkipacl resume`" in result.suggestion
        assert exit_code(views.summary(run)) == bool(left)
        assert outcomes(await world.resume(run, **FAST)) == then
        run.close()
        assert [(ip, name) for ip, _, name in world.entries()] == holds


async def test_a_row_that_found_what_an_earlier_one_made_late(world: World) -> None:
    """A create ends unchanged on the late entry of an earlier one: that is not removed under it."""
    async with world.serving():
        posts: list[str] = []
        loop = asyncio.get_running_loop()
        began = loop.time()

        def choose(method: str, path: str, body: bytes) -> Choice | None:
            if method != "POST":
                return None
            posts.append(method)
            if len(posts) == 1:
                return Choice("503_late", 7.0)
            is_third_row = len(posts) > 2
            return Choice("429", 0.0) if is_third_row and loop.time() - began < 7.2 else None

        setattr(world.sandbox.faults, "choose", choose)  # noqa: B010 - a method is replaced
        rows = [world.create(ADDRESS), world.row("delete", address=ADDRESS), world.create(ADDRESS)]
        run, records = await carried_out(world, rows)
        assert outcomes(records) == ["unknown"] * 3
        assert {r.result.reason for r in records} == {"landed_late"}
        assert [ip for ip, _, _ in world.entries()] == [ADDRESS]
        assert outcomes(await world.resume(run, **FAST)) == ["created", "deleted", "created"]
        run.close()
        assert [ip for ip, _, _ in world.entries()] == [ADDRESS]


async def test_two_sends_of_a_create_that_both_land_late(world: World) -> None:
    """The first is found by the reading for the second one, which is waited for all the same."""
    async with world.serving(duplicates="accept"):
        late = [5.4, 8.0]

        def choose(method: str, path: str, body: bytes) -> Choice | None:
            return Choice("503_late", late.pop(0)) if method == "POST" and late else None

        setattr(world.sandbox.faults, "choose", choose)  # noqa: B010 - a method is replaced
        run, records = await carried_out(world, [world.create(ADDRESS)], retries=2)
        run.close()
        assert outcomes(records) == ["created"]
        assert len(world.sandbox.ledger.of("create")) == 2
        assert list(world.held()) == [records[0].result.sid]


@pytest.mark.parametrize("operation", METHODS)
@pytest.mark.parametrize("late_s", [3.0, 7.0, 9.5])
async def test_a_stop_while_a_row_waits_to_be_sent_again(
    world: World, late_s: float, operation: str
) -> None:
    """Stopped in a back-off, a row says done where its send lands within two settle times."""
    async with world.serving(entries=1):
        world.script(METHODS[operation], "503_late", late_s=late_s)
        run = world.take_in([row_of(world, operation)])

        async def watch(engine: Engine) -> None:
            while world.wire.sent < 2:  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.02)
            engine.stop("interrupted")

        summary = await world.carry_out(run, watch=watch, **FAST)
        await world.sandbox.flush()
        (record,) = views.records(run)
        run.close()
        assert summary.ending == "interrupted"
        assert record.result.outcome == f"{operation}d"
        assert record.result.attempts == 1
        assert len(world.sandbox.ledger) == 1


async def test_a_stop_waits_no_longer_than_two_settle_times(world: World) -> None:
    """Stopped in a back-off, and nothing lands: the row was not attempted, and the run ends."""
    async with world.serving(entries=1):
        world.script("POST", "503_before")
        run = world.take_in([row_of(world, "update")])
        loop = asyncio.get_running_loop()
        stopped_s: list[float] = []

        async def watch(engine: Engine) -> None:
            while world.wire.sent < 2:  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.02)
            stopped_s.append(loop.time())
            engine.stop("interrupted")

        await world.carry_out(run, watch=watch, **FAST)
        assert outcomes(list(views.records(run))) == ["not_attempted"]
        assert loop.time() - stopped_s[0] < 10.5
        assert outcomes(await world.resume(run, **FAST)) == ["updated"]
        run.close()


async def test_a_last_reading_that_fails_says_why(world: World) -> None:
    """What only the last reading could settle is unknown, with what was said to that reading."""
    async with world.serving(entries=1):
        world.script("POST", "503_after")
        run = world.take_in([row_of(world, "update"), world.create(ADDRESS)])

        async def watch(engine: Engine) -> None:
            await world.until_effects(2)
            world.script("GET", *["503_before"] * 3)

        await world.carry_out(run, watch=watch, retries=2, account_max_in_flight=1, **FAST)
        records = list(views.records(run))
        assert outcomes(records) == ["unknown", "created"]
        result = records[0].result
        assert (result.reason, result.status, result.code) == ("unreadable", 503, 20503)
        assert "`bulkipacl resume`" in result.suggestion
        assert outcomes(await world.resume(run, **FAST)) == ["updated", "created"]
        run.close()
