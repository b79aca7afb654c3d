"""Lists near their capacity: rows that fit in row order are all carried out, whatever is slow."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from world import World, good, outcomes

from bulkipacl.model import LIST_CAPACITY
from bulkipacl.sandbox import Latency
from bulkipacl.sandbox.faults import Choice


def slow(world: World, times: int, method: str) -> None:
    """The first writes of entries that are there come to nothing, so many times in all."""
    left = [times]

    def choose(asked: str, path: str, body: bytes) -> Choice | None:
        if asked != method or "/IpAddresses/" not in path or not left[0]:
            return None
        left[0] -= 1
        return Choice("503_before", 0.0)

    setattr(world.sandbox.faults, "choose", choose)  # noqa: B010 - a method is replaced


def some_are_slow(world: World, rng: Random) -> None:
    """Writes of some of the entries that are there come to nothing four times over."""
    left: dict[str, int] = {}

    def choose(method: str, path: str, body: bytes) -> Choice | None:
        if method == "GET" or "/IpAddresses/" not in path:
            return None
        left[path] = left.get(path, rng.choice([0, 0, 4])) - 1
        return Choice("503_before", 0.0) if left[path] >= 0 else None

    setattr(world.sandbox.faults, "choose", choose)  # noqa: B010 - a method is replaced


async def test_a_place_is_kept_for_an_earlier_row(world: World) -> None:
    """The last free place is that of the create held up by its entry's move, not of a later one."""
    async with world.serving(entries=LIST_CAPACITY - 1, latency=Latency(0.05)):
        first, second, *_ = world.held().values()
        slow(world, 3, "DELETE")
        records = await world.apply(
            [
                world.row("update", match=first, address="20.1.0.1"),
                world.create(first, "again"),
                world.row("delete", address=second),
                world.create("20.1.0.2"),
            ]
        )
        assert outcomes(records) == ["updated", "created", "deleted", "created"]
        assert len(world.entries()) == LIST_CAPACITY
        done = [(e.op, e.ip_after or e.ip_before) for e in world.sandbox.ledger.effects]
        assert done.index(("create", first)) < done.index(("create", "20.1.0.2"))


async def test_no_gap_keeps_a_place_behind_its_deletes(world: World) -> None:
    """With --no-gap, a create behind a delete in vain waits for the room that another one makes."""
    async with world.serving(entries=LIST_CAPACITY, latency=Latency(0.05)):
        first, *_ = world.held().values()
        slow(world, 2, "DELETE")
        rows = [
            world.row("delete", address=first),
            world.row("delete", address="20.1.0.1"),
            world.create("20.1.0.1"),
        ]
        records = await world.apply(rows, no_gap=True)
        assert outcomes(records) == ["deleted", "already_gone", "created"]


async def test_a_create_without_any_room_is_still_asked_for(world: World) -> None:
    """With --allow-full, and no earlier row to make room, the API is asked; its no is the row's."""
    async with world.serving(entries=LIST_CAPACITY, latency=Latency(0.05)):
        first, *_ = world.held().values()
        slow(world, 1, "DELETE")
        rows = [world.create("20.1.0.1"), world.row("delete", address=first)]
        rows += [world.create("20.1.0.2")]
        records = await world.apply(rows, allow_full=True)
        assert outcomes(records) == ["failed", "deleted", "created"]
        assert (records[0].result.status, records[0].result.code) == (400, 21237)
        assert "full" in records[0].result.suggestion


def fitting_rows(world: World, rng: Random, count: int) -> tuple[list[str], list[str], set[str]]:
    """Rows that all go well in row order, how each ends, and what the list holds then.

    An address comes back only where an entry was moved away from it, so that there are many lanes.
    """
    here = sorted(world.held().values())
    rng.shuffle(here)
    held, left = set(here), [f"20.1.0.{n}" for n in range(count)]
    rows: list[str] = []
    ends: list[str] = []
    while len(rows) < count:
        kind = rng.choice(["create", "delete", "move"])
        if kind == "create" and len(held) < LIST_CAPACITY:
            rows.append(world.create(left[-1]))
            ends.append("created")
            held.add(left.pop())
        elif kind == "delete" and len(held) > LIST_CAPACITY - 3:
            rows.append(world.row("delete", address=here[-1]))
            ends.append("deleted")
            held.discard(here.pop())
        elif kind == "move":
            old, new = here.pop(), f"20.2.0.{len(rows)}"
            rows.append(world.row("update", match=old, address=new))
            ends.append("updated")
            held = held - {old} | {new}
            left.append(old)
    return rows, ends, held


@pytest.mark.parametrize("seed", range(6))
async def test_what_fits_in_row_order_is_all_carried_out(world: World, seed: int) -> None:
    """Creates, moves and deletes in a list with no room to spare end as if each had waited."""
    rng = Random(seed)
    async with world.serving(entries=LIST_CAPACITY - 1, latency=Latency(0.05, 0.5), seed=seed):
        rows, ends, held = fitting_rows(world, rng, 60)
        some_are_slow(world, rng)
        records = await world.apply(rows, retries=20)
        assert outcomes(records) == ends
        assert Counter(world.held().values()) == Counter(held)


async def test_far_from_the_limit_creates_are_not_held_back(world: World) -> None:
    """With room for all, one slow row keeps nothing but its own entry waiting."""
    async with world.serving(entries=1, latency=Latency(0.1)):
        (address,) = world.held().values()
        slow(world, 4, "POST")
        rows = [world.row("update", match=address, address="20.1.0.1"), world.create(address)]
        rows += [world.create(f"20.2.0.{n}") for n in range(90)]
        records = await world.apply(rows, account_max_in_flight=100)
        assert outcomes(records) == ["updated", *good(91)]
        times = {e.ip_after: e.at_s for e in world.sandbox.ledger.of("create")}
        assert times[address] > max(at for ip, at in times.items() if ip != address)
