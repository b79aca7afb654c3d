"""A plan says what happens: the same rows, planned and then sent to the same sandbox."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import anyio
from hypothesis import example, given, settings
from hypothesis import strategies as st
from world import World

from bulkipacl.engine.planning import MADE, Planner
from bulkipacl.engine.planview import judged_lists
from bulkipacl.model import LIST_CAPACITY, ip_text
from bulkipacl.sandbox import Latency
from bulkipacl.sandbox.virtual_time import VirtualTimeLoop
from bulkipacl.settings import Settings
from bulkipacl.store import views
from bulkipacl.store.rundir import RunDirectory

ADDRESSES = [
    "62.1.0.1",
    "62.1.0.2",
    "62.1.0.3",
    "62.1.0.4",
    "62.2.0.0/24",
    "63.0.0.0/8",
    "0.0.0.0/1",
]
NAMES = ["a", "b"]
Asked = tuple[str, int, str, str]
"""An operation, the place of a held entry, an address, a name."""

asked = st.tuples(
    st.sampled_from(["create", "create", "upsert", "delete", "rename", "move", "by sid", "drop"]),
    st.integers(0, 4),
    st.sampled_from(ADDRESSES),
    st.sampled_from(NAMES),
)
lists = st.tuples(
    st.lists(st.sampled_from(ADDRESSES[:-1]), unique=True, max_size=4),
    st.sampled_from([0, 0, 0, LIST_CAPACITY - 4, LIST_CAPACITY]),
    st.lists(asked, min_size=1, max_size=8),
)
flags = st.fixed_dictionaries(
    {
        "no_gap": st.booleans(),
        "allow_empty": st.booleans(),
        "min_prefix": st.sampled_from([1, 8, 16, 30]),
        "allow_wide": st.sampled_from([(), ("0.0.0.0/1",)]),
        "max_deletes_percent": st.sampled_from([None, 30.0, 100.0]),
        "max_deletes": st.sampled_from([None, 3]),
    }
)


def line(world: World, place: int, held: list[tuple[str, str]], row: Asked) -> str:
    """A row as a line of CSV; one that names an entry by sid names the n-th, where there is one."""
    kind, nth, address, name = row
    sid, ip = held[nth % len(held)] if held else ("IP" + "0" * 32, "9.9.9.9")
    match kind:
        case "create" | "upsert":
            return world.row(kind, address=address, name=name, place=place)
        case "delete":
            return world.row("delete", address=address, place=place)
        case "rename":
            return world.row("update", address=address, name=name, place=place)
        case "move":
            return world.row("update", match=ip, address=address, place=place)
        case "by sid":
            return world.row("update", sid=sid, address=address, name=name, place=place)
        case _:
            return world.row("delete", sid=sid, place=place)


async def planned_and_sent(case: list[Any], given_flags: dict[str, Any]) -> None:
    """Plan and send; fails where the two differ."""
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory))
        async with world.serving(lists=len(case), latency=Latency(0.05, 0.8)) as box:
            rows: list[str] = []
            for place, (entries, fill, wanted) in enumerate(case):
                acl = box.state.acl(world.account(), world.acl(place))
                for n in range(max(0, fill - len(entries))):
                    box.state.add_entry(acl, "x", f"64.0.{n >> 8}.{n & 255}")
                for address in entries:
                    ip, _, prefix = address.partition("/")
                    box.state.add_entry(acl, "a", ip, int(prefix or 32))
                held = list(world.held(place).items())[::-1]
                rows += [line(world, place, held, one) for one in wanted]
            run = world.take_in(rows)
            try:
                await check(world, run, given_flags)
            finally:
                run.close()


async def check(world: World, run: RunDirectory, given_flags: dict[str, Any]) -> None:
    """The plan of a run against what sending it comes to."""
    given_flags = {"allow_empty": False} | given_flags
    await world.carry_out(run, make=Planner, **given_flags)
    assert not world.sandbox.ledger.effects
    views.set_meta(run, {"plan": MADE})
    judged = list(judged_lists(run, Settings(**given_flags)))
    predicted = {step.row.number: step.outcome for one in judged for step in one.steps}
    await world.carry_out(run, **given_flags)
    records = list(views.records(run))
    assert {r.result.number: r.result.outcome for r in records} == predicted
    refused = {r.list_sid for r in records if r.result.reason in GUARDS}
    assert refused <= {one.read.list_sid for one in judged if one.is_refused}
    for one in judged:
        acl = world.sandbox.state.acl(one.read.account_sid, one.read.list_sid)
        now = sorted((entry.ip, entry.prefix, entry.name) for entry in acl.entries.values())
        assert one.after is not None
        assert now == sorted((ip_text(e.address), e.prefix, e.name) for e in one.after)


GUARDS = {
    "left_empty",
    "wide_block",
    "wide_union",
    "max_deletes_of_list",
    "max_deletes",
    "list_full",
    "drift",
}


FULL: list[Any] = [([], LIST_CAPACITY, [("create", 0, "62.1.0.1", "a"), ("drop", 0, "", "")])]
EMPTIED: list[Any] = [
    (["62.1.0.1"], 0, [("delete", 0, "62.1.0.1", "a"), ("create", 0, "62.1.0.1", "b")])
]


@settings(max_examples=30, deadline=None)
@given(case=st.lists(lists, min_size=1, max_size=4), given_flags=flags)
@example(case=FULL, given_flags={})
@example(case=EMPTIED, given_flags={"no_gap": True})
def test_a_plan_says_what_happens(case: list[Any], given_flags: dict[str, Any]) -> None:
    """Each row ends as planned, each list holds what was planned, and guards say the same."""
    anyio.run(
        planned_and_sent,
        case,
        given_flags,
        backend_options={"loop_factory": VirtualTimeLoop},
    )
