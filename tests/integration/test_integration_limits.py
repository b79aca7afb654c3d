"""As fast as each account allows, in virtual time: hidden limits, other users, slow neighbours."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Any

import pytest
from world import FAST, World, good, outcomes

from bulkipacl.cli import progress
from bulkipacl.cli.options import ProgressMode
from bulkipacl.engine.run import Engine
from bulkipacl.sandbox.limits import Latency, Limit
from bulkipacl.store import views
from bulkipacl.store.samples import last_of_each, samples

CREATE = Latency(0.09, 0.35)


def creates(world: World, lists: int, rows: int, *, account: int = 0) -> list[str]:
    """So many creates for each of the account's first lists, list by list."""
    return [
        world.create(f"20.{account}.{place}.{n}", place=place, account=account)
        for place in range(lists)
        for n in range(rows)
    ]


async def timed(world: World, rows: Sequence[str], **settings: Any) -> float:
    """Carry these rows out; returns the virtual seconds that it took."""
    began_s = asyncio.get_running_loop().time()
    records = await world.apply(rows, **FAST, **settings)
    assert outcomes(records) == good(len(rows))
    return asyncio.get_running_loop().time() - began_s


async def test_accounts_never_wait_for_each_other(world: World) -> None:
    """Sorted by account, four of them limited at 40/s take as long as one, and a tenth."""
    async with world.serving(
        accounts=4, lists=5, latency=CREATE, limits=(Limit("rate", 40.0),), seed=3
    ):
        rows = [row for number in range(4) for row in creates(world, 5, 100, account=number)]
        assert await timed(world, rows) <= 1.1 * 500 / 40.0


async def test_a_hidden_window_is_found(world: World) -> None:
    """With no number given, an account's 20 in flight are used, and seldom passed."""
    async with world.serving(lists=20, latency=CREATE, limits=(Limit("concurrent", 20),)):
        rows = creates(world, 20, 100)
        took_s = await timed(world, rows)
        assert took_s <= 2_000 * 0.0957 / 20 / 0.93
        assert world.engine.throttled <= 0.01 * len(rows)


@pytest.mark.parametrize("trouble", ["hangs", "is refused", "is throttled"])
async def test_a_bad_neighbour_costs_nothing(world: World, trouble: str) -> None:
    """An account that gives nothing but trouble, and comes first, takes no time of the others."""
    async with world.serving(
        accounts=3, lists=5, suspended=trouble == "is refused", latency=Latency(0.1)
    ):
        bad, well = 2, 1
        if trouble == "hangs":
            world.hang(world.account(bad))
        if trouble == "is throttled":
            world.throttle(world.account(bad))
        rows = creates(world, 5, 20, account=bad) + creates(world, 5, 20, account=well)
        run = world.take_in(rows)
        began_s = asyncio.get_running_loop().time()
        await world.carry_out(run, patience_s=20.0, **FAST)
        records = list(views.records(run))
        run.close()
        assert outcomes(records)[100:] == good(100)
        assert "created" not in outcomes(records)[:100]
        assert max(one.result.finished_at for one in records[100:]) - began_s < 2.0


async def test_lists_of_one_account_share_it(world: World) -> None:
    """A list of a hundred rows, first in the input, does not keep the short ones waiting."""
    async with world.serving(lists=11, latency=Latency(0.1), limits=(Limit("concurrent", 4),)):
        rows = [world.create(f"20.0.0.{n}") for n in range(100)]
        rows += [world.create(f"20.0.{p}.1", place=p) for p in range(1, 11)]
        records = await world.apply(rows, **FAST)
        assert outcomes(records) == good(110)
        ends = [record.result.finished_at for record in records]
        assert max(ends[100:]) < sorted(ends[:100])[60]


async def test_what_was_learnt_starts_the_next_run(world: World) -> None:
    """A run that knows the limit from an earlier one meets it with fewer refusals."""
    async with world.serving(
        lists=10, latency=CREATE, limits=(Limit("concurrent", 30),), max_entries=200
    ):
        await timed(world, creates(world, 10, 100))
        cold, learnt = world.engine.throttled, world.engine.learnt
        sid = world.account()
        assert 20 <= learnt[sid].window <= 33
        rows = [row.replace("20.0.", "21.0.") for row in creates(world, 10, 20)]
        run = world.take_in(rows)
        await world.carry_out(run, learnt=learnt, allow_full=True, **FAST)
        assert outcomes(list(views.records(run))) == good(200)
        assert world.engine.throttled < cold
        run.close()


async def test_headroom_is_left_to_others(world: World) -> None:
    """With `--headroom` the account's other users find that share of it free."""
    async with world.serving(lists=20, latency=CREATE, limits=(Limit("concurrent", 40),)):
        run = world.take_in(creates(world, 12, 100))
        seen: list[int] = []

        async def watch(engine: Engine) -> None:
            await asyncio.sleep(2.0)
            while True:
                seen.append(world.wire.now)
                await asyncio.sleep(0.05)

        await world.carry_out(run, watch=watch, headroom=0.25, **FAST)
        assert outcomes(list(views.records(run))) == good(1_200)
        run.close()
        steady = sorted(seen)[len(seen) // 10 : -len(seen) // 10]
        assert max(steady) <= 33
        assert sum(steady) / len(steady) >= 25


async def test_samples_are_kept(world: World) -> None:
    """The run directory holds how each account stood, over time and at the end."""
    async with world.serving(accounts=2, lists=5, latency=CREATE, limits=(Limit("concurrent", 8),)):
        run = world.take_in(creates(world, 5, 100) + creates(world, 5, 10, account=1))
        await world.carry_out(run, **FAST)
        of_large = [one for sid, one in samples(run) if sid == world.account()]
        assert len(of_large) >= 5
        assert [one.at for one in of_large] == sorted(one.at for one in of_large)
        assert {one.binding for one in of_large} <= {"window", "pace", "cap", "demand"}
        assert of_large[-1].ended == 500
        found = {one.account_sid: one for one in last_of_each(run)}
        large, small = found[world.account()], found[world.account(1)]
        assert 6 <= large.window <= 10
        assert large.throttled + small.throttled == world.engine.throttled
        assert set(views.summary(run).limits) == {large, small}
        run.close()


class Lines:
    """What is written to stderr from a thread of its own, while virtual time stands still."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def next(self, until: str) -> list[str]:
        """The next lines, up to one that looks so."""
        self._capsys.readouterr()
        text, give_up_at = "", time.monotonic() + 20.0
        while not re.search(until, text):
            assert time.monotonic() < give_up_at, text
            time.sleep(0.002)
            text += self._capsys.readouterr().err
        return text.splitlines()


async def test_plain_progress_tells_of_accounts(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The six accounts with the most left have a line each: window, pace, limit, 429s, time."""
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", 0.001)
    told: list[str] = []
    async with world.serving(accounts=8, lists=2, latency=CREATE, limits=(Limit("rate", 40.0),)):
        rows = [row for n in range(8) for row in creates(world, 2, 75 if n == 3 else 15, account=n)]

        async def watch(engine: Engine) -> None:
            shown = progress.start_progress(ProgressMode.PLAIN, engine, len(rows))
            assert shown is not None
            await asyncio.sleep(0.6)
            told.extend(Lines(capsys).next(r"(?s) rows · .* more account.* rows · "))
            await asyncio.sleep(1.9)
            told.extend(Lines(capsys).next(r"\n  AC.*\n"))
            shown.stop()

        run = world.take_in(rows)
        await world.carry_out(run, watch=watch, **FAST)
        run.close()
    while " rows · " not in told[0]:
        del told[0]  # The reading began in the middle of a message.
    sid = world.account(3)
    slow = rf"  {sid[:6]}…{sid[-4:]} · \d+ of 150 · \d of \d+ in flight · .*\d s left"
    assert re.search(r"^\d+ of 360 rows · \d+ created · .* · \d+ s left$", told[0])
    assert re.fullmatch(slow, told[1])
    assert [line[:4] for line in told[1:7]] == ["  AC"] * 6
    assert told[7] == "  and 2 more accounts"
    assert re.fullmatch(
        slow.replace(".*", r"pace \d+\.\d/s · limit: rate · \d+ throttled · "), told[-1]
    )
