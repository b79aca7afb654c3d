"""Plans and guards on the way: drift, another client, stops, rounds, and what is not written."""

from __future__ import annotations

import pytest
from world import World, good, outcomes

from bulkipacl.engine.planning import MADE, MAKING, Planner
from bulkipacl.engine.planview import judged_lists
from bulkipacl.model import Outcome, RowRecord
from bulkipacl.sandbox import Latency
from bulkipacl.settings import ROUND_ROWS, Settings
from bulkipacl.store import views
from bulkipacl.store.rundir import RunDirectory


async def planned(world: World, rows: list[str]) -> RunDirectory:
    """A run directory with these rows, and every list of theirs read."""
    run = world.take_in(rows)
    summary = await world.carry_out(run, make=Planner, allow_empty=False)
    assert not world.sandbox.ledger.effects
    assert summary.outcomes[Outcome.NOT_ATTEMPTED] == summary.rows
    views.set_meta(run, {"plan": MADE})
    return run


def reasons(records: list[RowRecord]) -> list[tuple[str, str]]:
    """The outcome and the reason of each row."""
    return [(str(one.result.outcome), one.result.reason) for one in records]


async def sent(world: World, run: RunDirectory) -> list[tuple[str, str]]:
    """Carry a planned run out; returns how each row ended."""
    try:
        await world.carry_out(run, allow_empty=False)
        return reasons(list(views.records(run)))
    finally:
        run.close()


def meddle(world: World, place: int) -> None:
    """Another client adds an entry to a list."""
    world.sandbox.state.add_entry(
        world.sandbox.state.acl(world.account(), world.acl(place)), "theirs", "66.0.0.1"
    )


async def test_a_list_that_changed_is_refused_and_the_others_go_on(world: World) -> None:
    """All rows of that list end `refused: drift`, one that would change nothing too."""
    async with world.serving(lists=3, entries=2):
        there = next(iter(world.held(1).values()))
        rows = [world.create("62.0.0.1", place=place) for place in range(3)]
        run = await planned(world, [*rows, world.row("upsert", address=there, place=1)])
        meddle(world, 1)
        drift = ("refused", "drift")
        assert await sent(world, run) == [("created", ""), drift, ("created", ""), drift]
        assert ("62.0.0.1", 32, "x") not in world.entries(1)


async def test_drift_can_be_accepted(world: World) -> None:
    """With --accept-drift the rows are decided against what is there now; a note says so."""
    async with world.serving(lists=2, entries=2):
        run = await planned(world, [world.create("62.0.0.1"), world.create("62.0.0.1", place=1)])
        meddle(world, 1)
        await world.carry_out(run, accept_drift=True)
        assert outcomes(list(views.records(run))) == good(2)
        (note,) = views.summary(run).notes
        assert note.startswith(f"--accept-drift was used for {world.acl(1)} of {world.account()}")
        run.close()


async def test_a_list_that_was_not_read_is_not_written_to(world: World) -> None:
    """What the plan could not read was never shown, so that it is drift where it can be read."""
    async with world.serving(lists=2, entries=1):
        world.script("GET", *["503_before"] * 6)
        run = world.take_in([world.create("62.0.0.1"), world.create("62.0.0.1", place=1)])
        await world.carry_out(run, make=Planner, account_max_in_flight=1)
        views.set_meta(run, {"plan": MADE})
        unread, read = judged_lists(run, Settings())
        assert unread.read.why is not None
        assert unread.read.why.reason == "unreadable"
        assert [step.outcome for step in unread.steps + read.steps] == ["failed", "created"]
        await world.carry_out(run)
        records = list(views.records(run))
        assert reasons(records) == [("refused", "drift"), ("created", "")]
        assert "the plan could not read the list" in records[0].result.suggestion
        run.close()


async def test_a_stopped_plan_is_checked_on_resume_too(world: World) -> None:
    """A list that the stop left alone is held against the plan when the run goes on."""
    async with world.serving(lists=2, latency=Latency(1.0)):
        run = await planned(world, [world.create("62.0.0.1"), world.create("62.0.0.1", place=1)])
        await world.carry_out(run, deadline_s=0.5)
        assert outcomes(list(views.records(run))) == ["not_attempted"] * 2
        meddle(world, 1)
        assert reasons(await world.resume(run)) == [("created", ""), ("refused", "drift")]
        run.close()


async def test_guards_hold_without_a_plan_and_on_resume(world: World) -> None:
    """A list that would be left empty is refused as it is read, whenever that is."""
    async with world.serving(lists=2, entries=1, latency=Latency(1.0)):
        rows = [world.row("delete", sid=sid, place=p) for p in range(2) for sid in world.held(p)]
        run = world.take_in(rows)
        await world.carry_out(run, deadline_s=0.5, allow_empty=False)
        assert outcomes(list(views.records(run))) == ["not_attempted"] * 2
        records = await world.resume(run, allow_empty=False)
        assert reasons(records) == [("refused", "left_empty")] * 2
        assert "--allow-empty" in records[0].result.suggestion
        assert not world.sandbox.ledger.effects
        run.close()


async def test_what_changes_nothing_ends_as_it_is_in_a_refused_list(world: World) -> None:
    """Only writes are refused; what rests on a refused write is one, too."""
    async with world.serving(lists=1, entries=1):
        ((sid, ip),) = world.held().items()
        rows = [
            world.row("upsert", address=ip),
            world.row("delete", address="9.9.9.9"),
            world.row("delete", sid=sid),
            world.row("delete", address=ip),
            world.create("11.0.0.0/8"),
            world.row("update", address="11.0.0.0/8", name="later"),
        ]
        records = await world.apply(rows, allow_empty=False)
        refused = ("refused", "wide_block")
        found = reasons(records)
        assert found[:5] == [("unchanged", ""), ("already_gone", ""), refused, refused, refused]
        assert not world.sandbox.ledger.effects


async def test_each_round_is_checked(world: World) -> None:
    """A list of more rows than one round is checked once for each, in the plan and the sending."""
    async with world.serving(lists=1, entries=2):
        first, second = world.held()
        rows = [world.row("update", sid=first, name=f"n{n}") for n in range(ROUND_ROWS - 1)]
        rows += [world.row("delete", sid=first), world.row("delete", sid=second)]
        run = await planned(world, rows)
        (judged,) = judged_lists(run, Settings())
        predicted = [str(step.outcome) for step in judged.steps]
        assert predicted[-3:] == ["updated", "deleted", "refused"]
        assert [outcome for outcome, _ in await sent(world, run)] == predicted


async def test_deletes_of_the_whole_run_are_counted_before_the_first(world: World) -> None:
    """One delete too many in all refuses every list that deletes, and no other."""
    async with world.serving(lists=3, entries=3):
        rows = [
            world.row("delete", sid=next(iter(world.held(place))), place=place)
            for place in range(2)
        ]
        rows.append(world.create("62.0.0.1", place=2))
        found = reasons(await world.apply(rows, max_deletes=1))
        assert found == [("refused", "max_deletes")] * 2 + [("created", "")]
        assert [str(r.result.outcome) for r in await world.apply(rows, max_deletes=2)] == [
            "deleted",
            "deleted",
            "unchanged",
        ]


async def test_overrides_that_were_used_are_noted(world: World) -> None:
    """For each list, the flag without which it would have been refused."""
    async with world.serving(lists=2, entries=1):
        rows = [world.row("delete", sid=sid) for sid in world.held()]
        run = world.take_in([*rows, world.create("62.0.0.1", place=1)])
        await world.carry_out(run, allow_empty=True)
        (note,) = views.summary(run).notes
        assert note == (
            f"--allow-empty was used for {world.acl()} of {world.account()}: the list would be left"
            " empty"
        )
        run.close()


@pytest.mark.parametrize("is_generated", [False, True])
async def test_rows_that_a_command_made_have_caps(world: World, is_generated: bool) -> None:
    """30 % of a list may be deleted by generated rows, and any share by a person's own."""
    async with world.serving(lists=1, entries=10):
        rows = [world.row("delete", sid=sid) for sid in list(world.held())[:4]]
        run = world.take_in(rows)
        views.set_meta(run, {"is_generated": "yes" if is_generated else "no"})
        await world.carry_out(run)
        word = ("refused", "max_deletes_of_list") if is_generated else ("deleted", "")
        assert reasons(list(views.records(run))) == [word] * 4
        run.close()


async def test_a_plan_that_was_stopped_says_what_to_do(world: World) -> None:
    """Its rows were not attempted, and it is to be made again, not resumed."""
    async with world.serving(lists=1, latency=Latency(2.0)):
        run = world.take_in([world.create("62.0.0.1")])
        views.set_meta(run, {"plan": MAKING})
        await world.carry_out(run, make=Planner, deadline_s=1.0)
        (record,) = views.records(run)
        assert (record.result.outcome, record.result.reason) == ("not_attempted", "deadline")
        assert "plan the input again" in record.result.suggestion
        run.close()
