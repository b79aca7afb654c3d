"""As fast as each account allows, in virtual time: hidden limits, other users, slow neighbours."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from world import FAST, World, good, outcomes

from bulkipacl.engine.run import Engine
from bulkipacl.sandbox.limits import Latency, Limit
from bulkipacl.store import views

import os
N=int(os.environ.get("N","30"));L=int(os.environ.get("L","10"))
CREATE = Latency(0.09, 0.35)


def creates(world: World, lists: int, rows: int, *, account: int = 0) -> list[str]:
    """So many creates for each of the account's first lists, list by list."""
    return [
        world.create(f"20.{account}.{place}.{n}", place=place, account=account)
        for place in range(lists)
        for n in range(rows)
    ]


async def seconds(world: World, rows: Sequence[str], **settings: object) -> float:
    """Carry these rows out; returns the virtual seconds that it took."""
    began = asyncio.get_running_loop().time()
    records = await world.apply(rows, **FAST, **settings)
    assert outcomes(records) == good(len(rows))
    return asyncio.get_running_loop().time() - began


async def test_accounts_never_wait_for_each_other(world: World) -> None:
    """Sorted by account, 30 accounts limited at 40/s take as long as one of them, and a tenth."""
    async with world.serving(
        accounts=N, lists=L, latency=CREATE, limits=(Limit("rate", 40.0),), max_entries=100
    ):
        rows = [row for account in range(N) for row in creates(world, L, 50, account=account)]
        took_s = await seconds(world, rows)
        ideal_s = L*50 / 40.0
        print(took_s, ideal_s, world.engine.throttled, world.engine.requests)
from bulkipacl.engine import sampling
SAMPLES=[]
_o=sampling.sample
def _s(a,at):
    x=_o(a,at); SAMPLES.append(x); return x
sampling.sample=_s
