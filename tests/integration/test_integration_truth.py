"""Rows on few entries, sends that land at any time within two settle times, and stops: no lie.

What the rows say, taken in row order from what the list held, must be what the list holds. Late
landings here are longer than one settle time and retries few, so that rows are given up as failed
whose effect comes after all.

says      what the outcomes of a run say that its list holds
"""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from world import FAST, World

from bulkipacl.engine.run import Engine
from bulkipacl.model import RowRecord
from bulkipacl.sandbox import Latency
from bulkipacl.sandbox.faults import Choice
from bulkipacl.store import journal, views

KINDS = ("503_late", "reset_late", "500_late", "hang_late", "503_before")
BUT = {"created": False, "deleted": True, "updated": True, "unchanged": True, "already_gone": False}
"""Whether an address must have been there, for a row to end so."""

Asked = tuple[str, str, str]
"""An operation, an address and a name."""


def says(before: dict[str, str], asked: list[Asked], records: list[RowRecord]) -> dict[str, str]:
    """What the list holds, if the rows say the truth."""
    held = dict(before)
    for (_, address, name), record in zip(asked, records, strict=True):
        outcome = str(record.result.outcome)
        if outcome in ("failed", "refused"):
            continue
        assert (address in held) == BUT[outcome], (record.result.number, outcome)
        if outcome in ("created", "updated"):
            held[address] = name
        elif outcome == "deleted":
            del held[address]
    return held


def some_rows(rng: Random, addresses: list[str]) -> list[Asked]:
    """Rows that meet each other."""
    rows = []
    for _ in range(rng.choice([2, 3, 5])):
        operation = rng.choice(["create", "upsert", "delete", "update"])
        name = {"delete": "", "create": "x"}.get(operation) or rng.choice("xyz")
        rows.append((operation, rng.choice(addresses), "" if operation == "delete" else name))
    return rows


@pytest.mark.parametrize("seed", range(48))
async def test_what_is_told_is_what_is_there(world: World, seed: int) -> None:
    """However sends land and sessions end, once nothing is open the outcomes explain the list."""
    rng = Random(seed)
    settings = FAST | {"retries": rng.choice([0, 0, 1, 2])}
    stops, share = rng.choice([0, 0, 1, 2]), rng.choice([0.2, 0.5, 0.8])
    duplicates = rng.choice(["accept", "refuse"])
    async with world.serving(entries=2, duplicates=duplicates, latency=Latency(0.1), hang_s=20.0):

        def choose(method: str, path: str, body: bytes) -> Choice | None:
            if method == "GET" or rng.random() >= share:
                return None
            return Choice(rng.choice(KINDS), rng.uniform(0.0, 9.5))

        setattr(world.sandbox.faults, "choose", choose)  # noqa: B010 - a method is replaced
        before = {address: name for address, _, name in world.entries()}
        asked = some_rows(rng, [*before, "20.0.0.1"])
        run = world.take_in([line(world, *one) for one in asked])

        async def stop(engine: Engine) -> None:
            await asyncio.sleep(rng.uniform(0.1, 12.0))
            engine.stop("interrupted")

        for session in range(stops + 3):
            journal.reopen(run)
            if session == stops + 1:
                world.script("")  # What is still open now is settled without more faults.
            watch = stop if session < stops else None
            await world.carry_out(run, watch=watch, seed=seed, **settings)
        await world.sandbox.flush()
        records = list(views.records(run))
        run.close()
        told = sorted(says(before, asked, records).items())
        assert told == [(address, name) for address, _, name in world.entries()]


def line(world: World, operation: str, address: str, name: str) -> str:
    """A row as the input has it."""
    if operation == "update":
        return world.row(operation, match=address, name=name)
    return world.row(operation, address=address, name=name)
