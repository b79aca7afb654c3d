"""The real engine against the real sandbox with hidden limits, in virtual time.

Both run in one event loop over loopback sockets, with the run directory on disk; only the clock
jumps. What is counted is what the sandbox answered, the readings of the lists included: each takes
the same time and the same room as a write.

    measure    one scenario with bulkipacl
    share_out  many accounts, one after the other in the input
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from limits_scenarios import Scenario
from limits_world import Outcome

from bulkipacl import model
from bulkipacl.engine.run import Engine
from bulkipacl.sandbox import Latency, Limit, LimitSteps, Sandbox
from bulkipacl.sandbox.virtual_time import VirtualTimeLoop

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "integration"))

from world import World

LIST_ROWS = 100
"""Creates per list: as many as the API lets a list hold."""

FAIR_ACCOUNTS, FAIR_LISTS, FAIR_PER_S = 30, 5, 40.0
FAIR_IDEAL_S = FAIR_LISTS * LIST_ROWS / FAIR_PER_S
"""Accounts that share a run, each with so many full lists and limited to so many requests a second;
and what one account's rows take at least. The reading of each list is a request more."""

MEASURED = "measured"
"""Why the run is stopped."""


def measure(scenario: Scenario, seed: int, from_s: float = 0.0, **settings: Any) -> Outcome:
    """Create entries for as long as the scenario lasts; there are more rows than it can carry.

    Args:
        from_s: count from this second on; from 0 on, the search for the limit counts as well.
        settings: of the engine, where they are not the defaults.

    Raises:
        RuntimeError: something else than a limit was in the way.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=VirtualTimeLoop) as runner,
    ):
        return runner.run(_play(scenario, seed, from_s, Path(folder), settings))


def share_out(seed: int) -> Outcome:
    """Create the entries of `FAIR_ACCOUNTS` accounts, the input being sorted by account.

    Raises:
        RuntimeError: not every row was created.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=VirtualTimeLoop) as runner,
    ):
        return runner.run(_share_out(seed, Path(folder)))


async def _share_out(seed: int, place: Path) -> Outcome:
    world = World(place)
    outcome = Outcome()
    latency, limit = Latency(0.09, 0.35), Limit("rate", FAIR_PER_S)
    async with world.serving(
        seed=seed, accounts=FAIR_ACCOUNTS, lists=FAIR_LISTS, latency=latency, limits=(limit,)
    ):
        numbers = range(FAIR_ACCOUNTS)
        run = world.take_in([row for number in numbers for row in _rows(world, number)])
        began_s = asyncio.get_running_loop().time()
        try:
            summary = await world.carry_out(run, seed=seed)
        finally:
            run.close()
        outcome.ended_s = asyncio.get_running_loop().time() - began_s
    outcome.done, outcome.refused = (
        summary.outcomes.get(model.Outcome.CREATED, 0),
        summary.throttled,
    )
    if outcome.done != FAIR_ACCOUNTS * FAIR_LISTS * LIST_ROWS:
        raise RuntimeError(f"only {outcome.done:,} rows were created")
    return outcome


def switches_of(scenario: Scenario, seed: int) -> dict[str, Any]:
    """The scenario as the sandbox's switches.

    Raises:
        ValueError: the sandbox has no switch for it.
    """
    refused_s = min(scenario.median_s, 0.02)
    others = round(scenario.others[0][1])
    told = (
        *(scenario.refused_s, scenario.network_s, scenario.noise, len(scenario.others)),
        *(scenario.rows, scenario.refused_take_room, scenario.burst, scenario.chance),
    )
    if told != (refused_s, 0.0, 0.0, 1, None, False, None, 0.0):
        raise ValueError(f"the sandbox cannot be like {scenario.name}")
    steps = []
    if scenario.concurrent:
        steps.append(LimitSteps("concurrent", scenario.concurrent))
    if scenario.rate_per_s:
        steps.append(LimitSteps("rate", scenario.rate_per_s))
    requests = 1.1 * scenario.ideal_rows(0.0, scenario.seconds) + 1_000
    return {
        "seed": seed,
        "lists": 1 + round(requests / (LIST_ROWS + 1)),
        "limit_steps": tuple(steps),
        "others": others,
        "latency": Latency(scenario.median_s, scenario.sigma),
        "retry_after_s": scenario.retry_after_s,
        "headers": scenario.has_header,
    }


@dataclass(slots=True)
class _Meter:
    """What the sandbox has answered so far."""

    sandbox: Sandbox

    def read(self) -> tuple[int, int]:
        """Requests processed, and refused.

        Raises:
            RuntimeError: it gave another answer than these.
        """
        done = refused = 0
        for (method, status), count in self.sandbox.stats.requests.items():
            if status == 429:
                refused += count
            elif status in (200, 201):
                done += count
            else:
                raise RuntimeError(f"{count} answers of {status} to {method}")
        return done, refused


async def _play(
    scenario: Scenario, seed: int, from_s: float, place: Path, settings: dict[str, Any]
) -> Outcome:
    world = World(place)
    outcome = Outcome(ended_s=scenario.seconds)
    outcome.ideal = scenario.ideal_rows(from_s, scenario.seconds)

    async with world.serving(**switches_of(scenario, seed)) as sandbox:
        meter = _Meter(sandbox)

        async def watch(engine: Engine) -> None:
            await asyncio.sleep(from_s)
            before = meter.read()
            await asyncio.sleep(scenario.seconds - from_s)
            after = meter.read()
            outcome.done, outcome.refused = after[0] - before[0], after[1] - before[1]
            engine.stop(MEASURED)

        run = world.take_in(list(_rows(world)))
        try:
            await world.carry_out(run, watch=watch, seed=seed, **settings)
        finally:
            run.close()
        account = sandbox.limits.accounts[world.account()]
        outcome.peak = account.peak_in_flight
    if world.engine.ending != MEASURED:
        raise RuntimeError(f"{scenario.name}: the run ended as {world.engine.ending}")
    return outcome


def _rows(world: World, number: int = 0) -> Iterator[str]:
    """As many creates as the lists of one account can hold, list by list."""
    ready, account = world.sandbox.ready(), world.account(number)
    first = int(IPv4Address("198.18.0.0"))
    for sid in ready["lists"][account]:
        for number in range(LIST_ROWS):
            yield f"create,{account},{sid},,,{IPv4Address(first + number)},,row {number}"
