"""Every cell of the table of what came back, over the wire and judged by the server's ledger."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from world import FAST, World, good, outcomes

from bulkipacl.engine.run import Engine
from bulkipacl.jobs.retry import drafts_to_retry
from bulkipacl.model import Evidence, Outcome
from bulkipacl.sandbox import Fault, Latency
from bulkipacl.sandbox.faults import Choice
from bulkipacl.store import views

MODES = ("refuse", "accept")
BEFORE = ["429", "500_before", "502_before", "503_before", "504_before", "reset_before"]
BEFORE += ["hang_before", "html_503_before", "garbage_before"]
AFTER = ["500_after", "502_after", "503_after", "504_after", "reset_after", "hang_after"]
AFTER += ["garbage_after", "truncated_after"]
LATE = ["500_late", "503_late", "reset_late", "hang_late"]
HARMLESS = ["slow_after", "close_after"]


@pytest.mark.parametrize("duplicates", MODES)
@pytest.mark.parametrize("kind", BEFORE + AFTER + LATE + HARMLESS)
async def test_a_create_happens_once(world: World, kind: str, duplicates: str) -> None:
    """Whatever comes back for a create, the entry is there once, and the row says created."""
    async with world.serving(duplicates=duplicates, late_s=3.0, hang_s=30.0):
        world.script("POST", kind, late_s=3.0)
        records = await world.apply([world.create("20.0.0.1"), world.create("20.0.0.2")], **FAST)
        assert outcomes(records) == good(2)
        assert world.effects() == {("create", "20.0.0.1"): 1, ("create", "20.0.0.2"): 1}
        held = world.held()
        assert {held[r.result.sid or ""] for r in records} == {"20.0.0.1", "20.0.0.2"}


@pytest.mark.parametrize("kind", AFTER + LATE)
async def test_a_create_that_was_lost_is_read_back(world: World, kind: str) -> None:
    """A create whose answer was lost is found by reading, not sent again."""
    async with world.serving(late_s=3.0, hang_s=30.0):
        world.script("POST", kind, late_s=3.0)
        (record,) = await world.apply([world.create("20.0.0.1")], **FAST)
        assert record.result.evidence is Evidence.READ_BACK
        assert record.result.attempts == 1


@pytest.mark.parametrize("kind", BEFORE + AFTER + LATE + HARMLESS)
async def test_an_update_ends_as_asked(world: World, kind: str) -> None:
    """Whatever comes back for an update, the entry ends with what the row asked for."""
    async with world.serving(entries=1, late_s=3.0, hang_s=30.0):
        ((sid, address),) = world.held().items()
        world.script("POST", kind, late_s=3.0)
        records = await world.apply([world.row("update", sid=sid, name="asked")], **FAST)
        assert outcomes(records) == ["updated"]
        assert world.entries() == [(address, 32, "asked")]


@pytest.mark.parametrize("kind", BEFORE + AFTER + LATE + HARMLESS)
async def test_a_delete_is_ours_once(world: World, kind: str) -> None:
    """Whatever comes back for a delete, the entry is gone, and the row says deleted."""
    async with world.serving(entries=1, late_s=3.0, hang_s=30.0):
        (sid,) = world.held()
        world.script("DELETE", kind, late_s=3.0)
        records = await world.apply([world.row("delete", sid=sid)], **FAST)
        assert outcomes(records) == ["deleted"]
        assert world.entries() == []


@pytest.mark.parametrize("kind", BEFORE + AFTER + HARMLESS)
async def test_a_reading_is_asked_for_again(world: World, kind: str) -> None:
    """A list that cannot be read at first is read in the end."""
    async with world.serving(hang_s=30.0):
        world.script("GET", kind)
        assert outcomes(await world.apply([world.create("20.0.0.1")], **FAST)) == good(1)


@pytest.mark.parametrize(
    ("kind", "status", "code", "message"),
    [
        ("503_before", 503, 20503, "Service Unavailable"),
        ("504_before", 504, 0, "HTTP 504 without a readable message"),
        ("garbage_before", 200, 0, "HTTP 200 with a body that cannot be read"),
        ("reset_before", 0, 0, ""),
        ("hang_before", 0, 0, ""),
    ],
)
async def test_a_list_that_cannot_be_read_fails_its_rows_alone(
    world: World, kind: str, status: int, code: int, message: str
) -> None:
    """Retries used up: nothing was sent, the rows say what was said, and are fit to be retried."""
    async with world.serving(lists=2, hang_s=30.0):
        rows = [world.create("20.0.0.1"), world.create("20.0.0.2", place=1)]
        rows.append(world.row("delete", address="20.0.0.3"))
        sid = world.acl()

        def choose(method: str, path: str, body: bytes) -> Choice | None:
            return Choice(kind, 0.0) if method == "GET" and sid in path else None

        setattr(world.sandbox.faults, "choose", choose)  # noqa: B010 - a method is replaced
        records = await world.apply(rows, retries=2, **FAST)
        assert outcomes(records) == ["failed", "created", "failed"]
        for result in (records[0].result, records[2].result):
            assert (result.reason, result.status, result.code) == ("unreadable", status, code)
            assert result.message == message if message else result.message
            assert (result.attempts, result.evidence) == (0, None)
            assert "nothing was sent" in result.suggestion
            assert "`bulkipacl retry`" in result.suggestion
        assert [draft.line for _, draft in drafts_to_retry(records)] == [2, 4]
        assert len(world.sandbox.ledger) == 1
        world.script("GET")
        assert outcomes(await world.apply(rows, **FAST)) == ["created", "unchanged", "already_gone"]


@pytest.mark.parametrize("duplicates", MODES)
async def test_a_create_given_up_and_landed_later_is_removed(world: World, duplicates: str) -> None:
    """What lands after the row was sent again leaves one entry, and the report says so."""
    async with world.serving(duplicates=duplicates):
        world.script("POST", "reset_late", late_s=7.0)
        run = world.take_in([world.create("20.0.0.1"), world.create("20.0.0.2")])
        summary = await world.carry_out(run, **FAST)
        records = list(views.records(run))
        run.close()
        assert outcomes(records) == good(2)
        assert [ip for ip, _, _ in world.entries()] == ["20.0.0.1", "20.0.0.2"]
        late = [r for r in records if r.result.reason == "late_duplicate_removed"]
        assert len(late) == (duplicates == "accept")
        assert len(summary.notes) == len(late)


@pytest.mark.parametrize("late_s", [2.0, 7.0])
async def test_a_late_update_does_not_undo_a_later_row(world: World, late_s: float) -> None:
    """An old update that lands on top of a newer one is set right, within two settle times."""
    async with world.serving(entries=1):
        (sid,) = world.held()
        world.script("POST", "reset_late", late_s=late_s)
        rows = [
            world.row("update", sid=sid, name="first"),
            world.row("update", sid=sid, name="second"),
        ]
        records = await world.apply(rows, **FAST)
        await world.sandbox.flush()
        assert outcomes(records) == ["updated", "updated"]
        assert world.entries()[0][2] == "second"
        assert [e.name_after for e in world.sandbox.ledger.effects][-2:] == ["first", "second"]


async def test_somebody_elses_entry_is_left_alone(world: World) -> None:
    """An address that another client adds meanwhile is not taken for ours, and not removed."""
    async with world.serving(duplicates="accept"):
        world.script("POST", "reset_before")
        where = world.sandbox.state.acl(world.account(), world.acl())

        async def other(engine: Engine) -> None:
            await asyncio.sleep(2.0)
            world.sandbox.state.add_entry(where, "somebody else", "20.0.0.1")

        run = world.take_in([world.create("20.0.0.1", "ours")])
        await world.carry_out(run, watch=other, **FAST)
        (record,) = views.records(run)
        run.close()
        assert record.result.outcome is Outcome.UNCHANGED
        assert world.entries() == [("20.0.0.1", 32, "somebody else")]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_an_echo_that_differs_is_a_failure(world: World, method: str) -> None:
    """A 2xx whose entry is not what was asked for is `failed: echo_mismatch`."""
    async with world.serving(entries=1):
        (sid,) = world.held()
        world.script("POST", "echo_mismatch_after", "echo_mismatch_after")
        rows = {"POST": world.create("20.0.0.1"), "DELETE": world.row("update", sid=sid, name="n")}
        (record,) = await world.apply([rows[method]], **FAST)
        assert (record.result.outcome, record.result.reason) == ("failed", "echo_mismatch")
        # The sandbox does what was asked, and lies in its answer: the list is the better witness.
        held = {sid: f"{ip}/32" for sid, ip in world.held().items()}
        assert held[record.result.sid or ""] in record.result.suggestion
        assert "only the answer said otherwise" in record.result.suggestion


async def test_a_redirect_is_not_followed(world: World) -> None:
    """A redirect fails the row, and nothing follows it."""
    async with world.serving():
        world.script("POST", "redirect")
        (record,) = await world.apply([world.create("20.0.0.1")], **FAST)
        assert (record.result.outcome, record.result.status) == ("failed", 307)
        assert world.sandbox.stats.redirects_followed == 0


async def test_a_list_that_is_gone_fails_its_rows_at_once(world: World) -> None:
    """404 for the list: all its rows fail, and the other lists go on."""
    async with world.serving(lists=2):
        rows = [world.create(f"20.0.0.{n}", place=n % 2) for n in range(20)]
        world.sandbox.state.account(world.account()).lists.pop(world.acl(0))
        records = await world.apply(rows, **FAST)
        assert outcomes(records) == ["failed", "created"] * 10
        assert records[0].result.code == 20404


async def test_a_list_that_goes_in_the_middle_fails_the_rest(world: World) -> None:
    """A list deleted while its rows are sent fails what is left without a request for each."""
    async with world.serving(latency=Latency(0.1)):
        account = world.sandbox.state.account(world.account())
        list_sid = world.acl()

        async def other(engine: Engine) -> None:
            await world.until_effects(1)
            account.lists.pop(list_sid)

        rows = [world.create(f"20.0.0.{n}") for n in range(90)]
        run = world.take_in(rows)
        await world.carry_out(run, watch=other, account_max_in_flight=5, **FAST)
        found = Counter(outcomes(list(views.records(run))))
        run.close()
        assert found["created"] + found["failed"] == 90
        assert world.wire.sent < 20


async def test_a_refused_credential_stops_that_account_alone(world: World) -> None:
    """After one confirmation an account that answers 401 is left alone; the others go on."""
    async with world.serving(accounts=3, suspended=1):
        rows = [world.create(f"20.{a}.0.{n}", account=a) for n in range(30) for a in range(3)]
        records = await world.apply(rows, **FAST)
        by_account = {
            a: outcomes([r for r in records if r.account_sid == world.account(a)]) for a in range(3)
        }
        assert by_account[0] == by_account[1] == good(30)
        assert by_account[2] == good(30, Outcome.NOT_ATTEMPTED)
        assert {r.result.code for r in records if r.result.outcome == "not_attempted"} == {20003}
        refused = [
            s for (_, s), n in world.sandbox.stats.requests.items() if s == 401 for _ in range(n)
        ]
        assert len(refused) == 2


async def test_what_cannot_be_read_back_is_unknown_until_a_resume(world: World) -> None:
    """A lost create in an account that then cannot be read is unknown; resume settles it."""
    async with world.serving(duplicates="accept"):
        world.script("POST", "reset_after")

        async def break_reading(engine: Engine) -> None:
            await world.until_effects(1)
            world.script("GET", *["503_before"] * 6)

        run = world.take_in([world.create("20.0.0.1"), world.create("20.0.0.2")])
        await world.carry_out(run, watch=break_reading, retries=2, **FAST)
        found = list(views.records(run))
        assert sorted(outcomes(found)) == ["created", "unknown"]
        records = await world.resume(run, **FAST)
        run.close()
        assert outcomes(records) == good(2)
        assert len(world.entries()) == 2


@pytest.mark.parametrize("duplicates", MODES)
@pytest.mark.parametrize("seed", range(3))
async def test_a_storm_of_faults_loses_nothing(world: World, duplicates: str, seed: int) -> None:
    """A third of all requests meet a fault: every row is answered truly, nothing is there twice."""
    kinds = (*BEFORE, *AFTER, *LATE, *HARMLESS)
    faults = tuple(Fault(kind, 0.33 / len(kinds)) for kind in kinds)
    async with world.serving(
        accounts=2, lists=3, entries=20, faults=faults, seed=seed, duplicates=duplicates,
        late_s=3.0, hang_s=30.0, latency=Latency(0.05, 0.3),
    ):  # fmt: skip
        rows = []
        for a in range(2):
            for p in range(3):
                held = list(world.held(p, a).items())
                rows += [world.create(f"20.{a}.{p}.{n}", place=p, account=a) for n in range(40)]
                rows += [world.row("delete", sid=sid, place=p, account=a) for sid, _ in held[:8]]
                rows += [
                    world.row("update", sid=sid, name=f"n{i}", place=p, account=a)
                    for i, (sid, _) in enumerate(held[8:])
                ]
        records = await world.apply(rows, retries=12, **FAST)
        assert Counter(outcomes(records)) == {"created": 240, "deleted": 48, "updated": 72}
        for a in range(2):
            for p in range(3):
                addresses = [ip for ip, _, _ in world.entries(p, a)]
                assert len(addresses) == len(set(addresses)) == 52


async def test_a_refused_account_with_more_lists_than_can_be_open(world: World) -> None:
    """Lists of a refused account that were still waiting their turn do not keep the run alive."""
    async with world.serving(accounts=2, lists=40, suspended=1):
        rows = [
            world.create(f"20.{a}.{p}.1", place=p, account=a) for p in range(40) for a in (0, 1)
        ]
        assert outcomes(await world.apply(rows, **FAST)) == ["created", "not_attempted"] * 40
