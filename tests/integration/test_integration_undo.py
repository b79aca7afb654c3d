"""Undo: the API holds afterwards what it held before, but for sids, however the run ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from undoing import rows_back, undo, values
from world import FAST, World, outcomes

from bulkipacl.engine.run import Engine
from bulkipacl.jobs.retry import drafts_to_retry
from bulkipacl.model import GOOD_OUTCOMES, Outcome
from bulkipacl.sandbox import Fault, Latency
from bulkipacl.sandbox.ledger import Origin
from bulkipacl.store import views
from bulkipacl.store.rundir import RunDirectory

OTHER = Origin("RQ" + "0" * 32, by="other")


def mixed(world: World) -> list[str]:
    """Rows of all kinds over two lists that hold 198.18.0.0 to .5 and .6 to .11."""
    sids = {ip: sid for sid, ip in world.held().items()}
    return [
        world.create("20.0.0.1", "new"),
        world.create("20.0.0.2", "new"),
        world.row("delete", address="198.18.0.0"),
        world.row("delete", sid=sids["198.18.0.1"]),
        world.row("update", match="198.18.0.2", name="renamed"),
        world.row("update", sid=sids["198.18.0.3"], address="20.0.0.3"),
        world.row("upsert", address="198.18.0.4", name="upserted"),
        world.row("create", address="198.18.0.5", name="entry 6"),
        # Made and deleted again; deleted and made again under another name.
        world.create("20.0.0.9", "brief"),
        world.row("delete", address="20.0.0.9"),
        world.row("delete", address="198.18.0.6", place=1),
        world.create("198.18.0.6", "other", place=1),
        # A chain: one address is free only when the one behind it has moved on.
        world.row("update", match="198.18.0.8", address="20.0.1.8", place=1),
        world.row("update", match="198.18.0.7", address="198.18.0.8", place=1),
        # A ring, by way of a third address.
        world.row("update", match="198.18.0.9", address="20.0.1.9", place=1),
        world.row("update", match="198.18.0.10", address="198.18.0.9", place=1),
        world.row("update", match="20.0.1.9", address="198.18.0.10", place=1),
    ]


async def carried_out(
    world: World, rows: list[str], watch: Callable[[Engine], Awaitable[None]] | None = None
) -> RunDirectory:
    """A run that has been carried out."""
    run = world.take_in(rows)
    await world.carry_out(run, watch=watch, **FAST)
    return run


@pytest.mark.parametrize("unique", ["ip", "ip+prefix"])
async def test_undo_and_undo_again(world: World, unique: str) -> None:
    """After an undo all lists are as before; after the undo of that, as the run had left them."""
    async with world.serving(lists=2, entries=6, unique=unique):
        before = values(world)
        run = await carried_out(world, mixed(world))
        after = values(world)
        assert after != before
        records = await undo(world, run, **FAST)
        assert all(record.result.outcome in GOOD_OUTCOMES for record in records)
        assert values(world) == before
        with RunDirectory.open(run.path.with_name("run-1-undo"), is_writable=False) as back:
            await undo(world, back, **FAST)
        assert values(world) == after
        run.close()


async def test_a_second_undo_has_nothing_to_do(world: World) -> None:
    """Undone once, a run leaves no row to be undone."""
    async with world.serving(lists=2, entries=6):
        run = await carried_out(world, mixed(world)[:8])
        await undo(world, run, **FAST)
        run.path.with_name("run-1-undo").rename(run.path.with_name("first"))
        assert await undo(world, run, **FAST) == []
        run.close()


async def test_a_full_list(world: World) -> None:
    """A full list, all of whose entries were replaced, gets them back."""
    async with world.serving(lists=1, entries=100):
        before = values(world)
        addresses = list(world.held().values())
        rows = [world.row("delete", address=ip) for ip in addresses]
        rows += [world.create(f"20.0.0.{n}") for n in range(100)]
        run = await carried_out(world, rows)
        assert values(world) != before
        await undo(world, run, **FAST)
        assert values(world) == before
        run.close()


async def test_what_others_have_changed_stays(world: World) -> None:
    """Each entry that another client changed since is left so, and answered as a conflict."""
    async with world.serving(lists=2, entries=6):
        run = await carried_out(world, mixed(world)[:7])
        account, acl = world.account(), world.acl()
        state, sids = world.sandbox.state, {ip: sid for sid, ip in world.held().items()}

        def where(address: str) -> tuple[str, str, str]:
            return (account, acl, sids[address])

        state.update_entry(where("20.0.0.1"), {"FriendlyName": "theirs"}, OTHER)
        state.delete_entry(where("20.0.0.2"), OTHER)
        state.delete_entry(where("198.18.0.2"), OTHER)
        state.update_entry(where("20.0.0.3"), {"IpAddress": "20.0.0.4"}, OTHER)
        taken = {"FriendlyName": "theirs", "IpAddress": "198.18.0.0", "CidrPrefixLength": "32"}
        state.create_entry(account, acl, taken, OTHER)
        untouched = {"FriendlyName": "theirs", "IpAddress": "20.0.0.77"}
        state.create_entry(account, acl, untouched, OTHER)
        records = await undo(world, run, **FAST)
        left = [r.result for r in records if r.result.outcome is Outcome.REFUSED]
        assert {result.reason for result in left} == {"changed_since"}
        assert [result.message for result in left] == [
            "somebody else has changed it to 20.0.0.1/32 'theirs'",
            "somebody else has deleted it",
            "somebody else has changed it to 20.0.0.4/32 'entry 4'",
            "somebody else has put 198.18.0.0/32 'theirs' there",
        ]
        assert world.entries() == [
            ("198.18.0.0", 32, "theirs"),
            ("198.18.0.1", 32, "entry 2"),
            ("198.18.0.4", 32, "entry 5"),
            ("198.18.0.5", 32, "entry 6"),
            ("20.0.0.1", 32, "theirs"),
            ("20.0.0.4", 32, "entry 4"),
            ("20.0.0.77", 32, "theirs"),
        ]
        retried = [draft.is_invalid for _, draft in drafts_to_retry(records)]
        assert retried == [True] * 4
        run.close()


@pytest.mark.parametrize("is_resumed", [False, True], ids=["as_it_is", "resumed"])
@pytest.mark.parametrize("ending", ["interrupted", "cut", "interrupted_now"])
async def test_a_run_that_was_stopped(world: World, ending: str, is_resumed: bool) -> None:
    """A run that was stopped, or cut off in the middle, is undone as well, also once resumed."""
    async with world.serving(lists=2, entries=6, latency=Latency(0.1)):
        before = values(world)
        rows = mixed(world) + [world.create(f"20.1.0.{n}", place=n % 2) for n in range(30)]
        run = world.take_in(rows)

        async def watch(engine: Engine) -> None:
            await world.until_effects(20)
            if ending == "interrupted":
                engine.stop("interrupted")
            elif ending == "interrupted_now":
                engine.stop_now("interrupted")
            else:
                # As by kill -9: nothing more is written, and what is in flight may land.
                engine._committer.batch.results.clear()
                engine._committer.batch.closed.clear()
                engine.stop_now("")

        await world.carry_out(run, watch=watch, **FAST)
        assert values(world) != before
        if is_resumed:
            await world.resume(run, **FAST)
        records = await undo(world, run, **FAST)
        assert all(record.result.outcome in GOOD_OUTCOMES for record in records)
        assert values(world) == before
        run.close()


async def test_lost_answers(world: World) -> None:
    """A run under lost answers and late effects, and its undo under the same: all is as before."""
    faults = (Fault("503_after", 0.1), Fault("reset_after", 0.1), Fault("503_late", 0.05))
    async with world.serving(lists=2, entries=6, faults=faults, late_s=2.0, seed=7):
        before = values(world)
        run = await carried_out(world, mixed(world))
        await undo(world, run, retries=30, **FAST)
        assert values(world) == before
        run.close()


async def test_an_answer_that_lied(world: World) -> None:
    """What the API did otherwise than asked, a row that failed, is taken back too."""
    async with world.serving(lists=1, entries=3):
        before = values(world)
        run = world.take_in([world.create("20.0.0.1")])
        world.script("POST", "echo_mismatch_after")
        await world.carry_out(run, **FAST)
        assert outcomes(list(views.records(run))) == ["failed"]
        assert values(world) != before
        await undo(world, run, **FAST)
        assert values(world) == before
        run.close()


async def test_a_list_that_is_gone(world: World) -> None:
    """A list that was deleted since: what the run had changed in it is answered as left alone."""
    async with world.serving(lists=1, entries=3, domains=0):
        rows = [world.create("20.0.0.1"), world.row("delete", address="198.18.0.0")]
        run = await carried_out(world, rows)
        world.sandbox.state.delete_list(world.account(), world.acl(), OTHER)
        back = await rows_back(world, run, **FAST)
        found = [(r.operation, r.result.outcome, r.result.message) for r in views.records(back)]
        assert found == [(1, Outcome.REFUSED, "the list is not there any more")]
        back.close()
        run.close()
