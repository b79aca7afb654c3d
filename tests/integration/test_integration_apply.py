"""Rows against a real server, without faults: operations, order, capacity, names, limits."""

from __future__ import annotations

import pytest
from world import World, good, outcomes

from bulkipacl.model import Outcome
from bulkipacl.sandbox import Latency, Limit


async def test_every_operation_by_sid_and_by_address(world: World) -> None:
    """Creates, updates, deletes and upserts end as their rows say."""
    async with world.serving(entries=4):
        held = world.held()
        one, two, three, four = held
        records = await world.apply(
            [
                world.create("20.0.0.1", "new"),
                world.row("update", sid=one, name="by sid"),
                world.row("update", match=held[two], address="20.0.0.2/24", name="moved"),
                world.row("delete", sid=three),
                world.row("delete", address=held[four]),
                world.row("upsert", address="20.0.0.3", name="upserted"),
                world.row("upsert", address=held[one], name="by upsert"),
                world.row("delete", address="20.9.9.9"),
                world.row("update", sid="IP" + "0" * 32, name="nobody"),
            ]
        )
        assert outcomes(records) == [
            "created", "updated", "updated", "deleted", "deleted", "created", "updated",
            "already_gone", "failed",
        ]  # fmt: skip
        assert world.entries() == sorted(
            [
                ("20.0.0.1", 32, "new"),
                (held[one], 32, "by upsert"),
                ("20.0.0.2", 24, "moved"),
                ("20.0.0.3", 32, "upserted"),
            ]
        )
        assert all(r.result.request_id.startswith("RQ") for r in records[:7])


async def test_a_second_run_writes_nothing(world: World) -> None:
    """Re-running a finished import costs one GET a list and no write."""
    async with world.serving(lists=3):
        rows = [world.create(f"20.0.{n % 3}.{n}", place=n % 3) for n in range(60)]
        assert outcomes(await world.apply(rows)) == good(60)
        before = world.sandbox.stats.requests.copy()
        assert outcomes(await world.apply(rows)) == good(60, Outcome.UNCHANGED)
        assert world.sandbox.stats.requests - before == {("GET", 200): 3}


async def test_rows_on_one_entry_run_in_row_order(world: World) -> None:
    """Create, rename, move, delete and create again of one address, many times over."""
    async with world.serving(latency=Latency(0.05)):
        rows = []
        for n in range(20):
            address = f"20.0.0.{n}"
            rows += [
                world.create(address, "a"),
                world.row("update", match=address, name="b"),
                world.row("update", match=address, address=f"20.1.0.{n}"),
                world.row("delete", address=f"20.1.0.{n}"),
                world.create(address, "c"),
            ]
        records = await world.apply(rows)
        assert outcomes(records) == ["created", "updated", "updated", "deleted", "created"] * 20
        assert world.entries() == sorted((f"20.0.0.{n}", 32, "c") for n in range(20))


async def test_a_full_list_makes_room_before_it_takes_more(world: World) -> None:
    """Creates in a full list wait for earlier deletes, and are sent without them."""
    async with world.serving(entries=100, latency=Latency(0.05)):
        held = list(world.held().values())
        rows = [world.row("delete", address=ip) for ip in held[:30]]
        rows += [world.create(f"20.0.0.{n}") for n in range(32)]
        records = await world.apply(rows, allow_full=True)
        assert outcomes(records)[:30] == good(30, Outcome.DELETED)
        assert sorted(outcomes(records)[30:]) == good(30) + ["failed"] * 2
        assert {r.result.code for r in records if r.result.outcome == "failed"} == {21237}
        assert len(world.entries()) == 100


async def test_no_gap_deletes_only_after_creates_succeeded(world: World) -> None:
    """With --no-gap the first delete comes after the last create, and not if one failed."""
    async with world.serving(entries=10, latency=Latency(0.05)):
        held = list(world.held().values())
        rows = [world.row("delete", address=ip) for ip in held[:5]]
        rows += [world.create(f"20.0.0.{n}") for n in range(5)]
        assert outcomes(await world.apply(rows, no_gap=True)) == ["deleted"] * 5 + good(5)
        ops = [effect.op for effect in world.sandbox.ledger.effects]
        assert ops == ["create"] * 5 + ["delete"] * 5
    async with world.serving(entries=100):
        held = list(world.held().values())
        rows = [world.row("delete", address=held[0]), world.create("20.0.0.1")]
        records = await world.apply(rows, no_gap=True, allow_full=True)
        assert outcomes(records) == ["refused", "failed"]
        assert records[0].result.reason == "no_gap"


async def test_lists_by_name(world: World) -> None:
    """A FriendlyName leads to its list, joins rows that name the list by sid, or says why not."""
    async with world.serving(lists=3):
        account = world.sandbox.state.account(world.account())
        for acl, name in zip(account.lists.values(), ("office", "twin", "twin"), strict=True):
            acl.name = name
        records = await world.apply(
            [
                world.row("create", address="20.0.0.1", name="x", list_name="office"),
                world.create("20.0.0.1", "x"),
                world.row("create", address="20.0.0.2", name="x", list_name="twin"),
                world.row("create", address="20.0.0.3", name="x", list_name="nowhere"),
            ]
        )
        assert outcomes(records) == ["created", "unchanged", "failed", "failed"]
        assert [r.result.reason for r in records[2:]] == [
            "list_name_ambiguous",
            "list_name_not_found",
        ]
        assert records[0].list_sid == world.acl()
        assert world.sandbox.stats.requests[("GET", 200)] == 2


async def test_a_list_of_several_pages_is_read_to_its_end(world: World) -> None:
    """What stands on the second page counts as there."""
    async with world.serving(entries=1_200, max_entries=2_000):
        held = list(world.held().values())
        records = await world.apply([world.row("delete", address=held[1_150])])
        assert outcomes(records) == ["deleted"]
        assert world.sandbox.stats.requests[("GET", 200)] == 2


@pytest.mark.parametrize(
    ("cap", "of_account", "of_run"), [("account_max_in_flight", 7, 28), ("max_in_flight", 5, 20)]
)
async def test_the_caps_of_each_account_and_of_the_run_hold(
    world: World, cap: str, of_account: int, of_run: int
) -> None:
    """As many are in flight as --account-max-in-flight and --max-in-flight allow, and no more."""
    async with world.serving(accounts=4, latency=Latency(0.1)):
        rows = [world.create(f"20.{a}.0.{n}", account=a) for n in range(60) for a in range(4)]
        records = await world.apply(rows, **{cap: {7: 7, 5: 20}[of_account]})
        assert outcomes(records) == good(240)
        peaks = [each.peak_in_flight for each in world.sandbox.limits.accounts.values()]
        assert max(peaks) >= of_account
        assert max(peaks) == of_account or cap == "max_in_flight"
        assert world.wire.peak == of_run


async def test_the_rate_of_an_account_holds_in_every_window(world: World) -> None:
    """With --rate R, no window of w seconds sees more than R x w and a small burst."""
    async with world.serving(accounts=2):
        rows = [world.create(f"20.{a}.0.{n}", account=a) for n in range(80) for a in range(2)]
        records = await world.apply(rows, rate_per_s=20.0)
        assert outcomes(records) == good(160)
        for account in (world.account(0), world.account(1)):
            times = [e.at_s for e in world.sandbox.ledger.effects if e.account_sid == account]
            for window_s in (0.5, 1.0, 2.0):
                most = max(sum(t <= u < t + window_s for u in times) for t in times)
                assert most <= 20 * window_s + 2, (window_s, most)
            assert times[-1] - times[0] < 80 / 20 * 1.1


async def test_a_throttled_account_ends_all_its_rows(world: World) -> None:
    """Answers of 429 cost no attempt: every row ends well under a limit below the window."""
    async with world.serving(limits=(Limit("concurrent", 5),), latency=Latency(0.05)):
        rows = [world.create(f"20.0.0.{n}") for n in range(90)]
        records = await world.apply(rows, retries=0)
        assert outcomes(records) == good(90)
        assert {r.result.attempts for r in records} == {1}


async def test_a_slow_account_costs_the_others_nothing(world: World) -> None:
    """With the input sorted by account, one that hangs does not keep the others waiting."""
    async with world.serving(accounts=6, latency=Latency(0.05), hang_s=1_000):
        sick = world.account(0)
        world.hang(sick)
        rows = [world.create(f"20.{a}.0.{n}", account=a) for a in range(6) for n in range(50)]
        ended: dict[str, float] = {}
        records = await world.apply(rows, timeout_s=30, read_timeout_s=30, retries=1)
        for effect in world.sandbox.ledger.effects:
            ended[effect.account_sid] = effect.at_s
        assert outcomes(records)[50:] == good(250)
        assert set(outcomes(records)[:50]) == {"failed"}
        assert max(ended.values()) - min(e.at_s for e in world.sandbox.ledger.effects) < 1.0
