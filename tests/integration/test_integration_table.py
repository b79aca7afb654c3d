"""The cells of the table of what came back that no fault of the sandbox makes, over the wire."""

from __future__ import annotations

import asyncio
import gzip

import pytest
from bending import Bend, Bending, Dead, error, says, with_body
from test_integration_breaker import open_real
from world import FAST, World, outcomes

from bulkipacl.engine.run import Engine
from bulkipacl.model import Evidence, RowRecord
from bulkipacl.settings import MAX_BODY_BYTES
from bulkipacl.store import views

WRITES = {"create": "POST", "update": "POST", "delete": "DELETE"}
DONE = {"create": "created", "update": "updated", "delete": "deleted"}


def row_of(world: World, operation: str) -> str:
    """A row of this operation: on the entry that is there, or a new one."""
    if operation == "create":
        return world.create("20.0.0.1")
    return world.row(operation, sid=next(iter(world.held())), name="new" * (operation == "update"))


async def one(
    world: World, operation: str, *bends: Bend, is_done: bool = False, method: str = ""
) -> tuple[RowRecord, Bending]:
    """One row, whose requests of one method are answered so; its end, and who answered."""
    bending = Bending(world, method or WRITES[operation], *bends, is_done=is_done)
    async with bending.serving():
        run = world.take_in([row_of(world, operation)])
        settings = FAST | {"retries": 2}
        wire = open_real(world, bending.url, **settings)
        await world.carry_out(run, transport=wire, **settings)
        (record,) = views.records(run)
        run.close()
        return record, bending


def took_effect(world: World, operation: str) -> bool:
    """Whether the server did it, exactly once."""
    effects = world.sandbox.ledger.of(operation)  # type: ignore[arg-type]
    assert len(effects) <= 1
    return len(effects) == 1


# --- sent again -------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("operation", WRITES)
async def test_what_was_not_sent_is_sent_again(world: World, operation: str, scheme: str) -> None:
    """No connection, or no TLS: nothing was sent, so nothing is read back, and it is sent again."""
    async with world.serving(entries=1):
        run = world.take_in([row_of(world, operation)])
        await world.carry_out(run, transport=Dead(world, WRITES[operation], 2, scheme), **FAST)
        (record,) = views.records(run)
        run.close()
        assert record.result.outcome == DONE[operation]
        assert (record.result.evidence, record.result.attempts) == (Evidence.RESPONSE, 3)
        assert world.sandbox.stats.requests[("GET", 200)] == 1
        assert took_effect(world, operation)


async def test_a_reading_that_was_not_sent_is_sent_again(world: World) -> None:
    """No connection for the list's reading: it is asked for again."""
    async with world.serving():
        run = world.take_in([world.create("20.0.0.1")])
        await world.carry_out(run, transport=Dead(world, "GET", 2, "http"), **FAST)
        assert outcomes(list(views.records(run))) == ["created"]
        run.close()


@pytest.mark.parametrize("operation", WRITES)
async def test_a_conflict_is_sent_again(world: World, operation: str) -> None:
    """409: somebody else is changing it; it took no effect, so it is sent again at once."""
    async with world.serving(entries=1):
        record, bending = await one(world, operation, error(409, 20409), error(409, 20409))
        assert record.result.outcome == DONE[operation]
        assert record.result.attempts == bending.asked[WRITES[operation]] == 3
        assert bending.asked["GET"] == 1
        assert took_effect(world, operation)


@pytest.mark.parametrize("operation", WRITES)
async def test_a_conflict_that_does_not_end(world: World, operation: str) -> None:
    """409 until the retries are used up: it failed, and is fit to be tried again later."""
    async with world.serving(entries=1):
        record, _ = await one(world, operation, *[error(409, 20409)] * 3)
        result = record.result
        assert (result.outcome, result.reason, result.attempts) == ("failed", "conflict", 3)
        assert (result.status, result.code, result.message) == (409, 20409, "no")
        assert "retry" in result.suggestion
        assert not took_effect(world, operation)


BODIES: dict[str, Bend] = {
    "compressed": with_body(gzip.compress, "Content-Encoding: gzip"),
    "compressed, unasked and unsaid": with_body(gzip.compress),
    "not what it says": with_body(lambda body: body, "Content-Encoding: br"),
    "oversized": with_body(lambda body: body + b" " * MAX_BODY_BYTES),
    "not JSON": with_body(lambda body: b"<html>welcome</html>"),
    "an array": with_body(lambda body: b"[" + body + b"]"),
    "half": with_body(lambda body: body[: len(body) // 2]),
    "nothing": with_body(lambda body: b""),
    "cut short": lambda answer: answer[:-5],
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("operation", ["create", "update"])
async def test_a_good_answer_that_cannot_be_read(world: World, operation: str, body: str) -> None:
    """It took effect, and its answer says nothing: a create is read back, an update made again."""
    async with world.serving(entries=1, duplicates="accept"):
        record, bending = await one(world, operation, BODIES[body], is_done=True)
        assert record.result.outcome == DONE[operation]
        if operation == "create":
            assert took_effect(world, operation)
            assert bending.asked["POST"] == 1
        assert [name for _, _, name in world.entries()].count("new") == (operation == "update")


@pytest.mark.parametrize("bend", [says(200, b"{}"), says(202), says(200, b"<html>")])
async def test_a_delete_answered_by_something_else(world: World, bend: Bend) -> None:
    """A 2xx that is not 204 proves nothing: it is sent again, and the entry's absence is ours."""
    async with world.serving(entries=1):
        record, bending = await one(world, "delete", bend, is_done=True)
        assert (record.result.outcome, record.result.evidence) == ("deleted", Evidence.READ_BACK)
        assert bending.asked["DELETE"] == 2
        assert took_effect(world, "delete")


@pytest.mark.parametrize("body", [name for name in BODIES if not name.startswith("compressed")])
async def test_a_reading_that_cannot_be_read_is_asked_for_again(world: World, body: str) -> None:
    """A page of which nothing can be made is asked for again, and then decided on."""
    async with world.serving(entries=3):
        record, bending = await one(world, "create", BODIES[body], is_done=True, method="GET")
        assert record.result.outcome == "created"
        assert bending.asked["GET"] == 2


# --- refused ----------------------------------------------------------------------------------

NO = {
    "400": error(400, 20422),
    "400 that is not JSON": says(400, b"<html>bad request</html>"),
    "405": error(405, 20004),
    "410": says(410),
    "413": says(413, b""),
    "422": error(422, 20422),
    "425": says(425),
    "451": says(451),
}
ELSEWHERE = {
    "301": says(301, b"", "Location: /elsewhere"),
    "302": says(302, b"", "Location: http://127.0.0.2:1/"),
    "303": says(303, b"", "Location: /elsewhere"),
    "304": says(304),
    "307": says(307, b"", "Location: /elsewhere"),
    "308": says(308, b"", "Location: /elsewhere"),
}


@pytest.mark.parametrize("word", NO)
@pytest.mark.parametrize("operation", WRITES)
async def test_any_other_no_fails_the_row(world: World, operation: str, word: str) -> None:
    """It is not sent again, nothing is followed, and what was said is kept as received."""
    async with world.serving(entries=1):
        record, bending = await one(world, operation, NO[word])
        result = record.result
        assert (result.outcome, result.status) == ("failed", int(word[:3]))
        assert result.reason == "rejected"
        assert result.message
        assert bending.asked == {"GET": 1, WRITES[operation]: 1}
        assert not took_effect(world, operation)


@pytest.mark.parametrize("word", ELSEWHERE)
@pytest.mark.parametrize("operation", WRITES)
async def test_a_redirect_without_an_effect_fails_the_row(
    world: World, operation: str, word: str
) -> None:
    """It is not sent again and not followed; readings say that it was not done."""
    async with world.serving(entries=1):
        record, bending = await one(world, operation, ELSEWHERE[word])
        result = record.result
        assert (result.outcome, result.status) == ("failed", int(word))
        assert (result.reason, bool(result.message)) == ("redirected", True)
        assert bending.asked == {"GET": 3, WRITES[operation]: 1}
        assert not took_effect(world, operation)


@pytest.mark.parametrize("word", ELSEWHERE)
@pytest.mark.parametrize("operation", WRITES)
async def test_a_redirect_after_the_effect(world: World, operation: str, word: str) -> None:
    """What sends elsewhere had done it before: a reading shows that, and the row says done."""
    async with world.serving(entries=1, duplicates="accept"):
        record, bending = await one(world, operation, ELSEWHERE[word], is_done=True)
        assert record.result.outcome == DONE[operation]
        assert record.result.evidence is Evidence.READ_BACK
        assert bending.asked[WRITES[operation]] == 1
        assert took_effect(world, operation)


@pytest.mark.parametrize("status", [408, 499, 404])
async def test_a_create_is_done_whatever_was_said_of_it(world: World, status: int) -> None:
    """Somebody on the way gave up waiting, or knows no such page: the entry is there anyway."""
    async with world.serving(entries=1, duplicates="accept"):
        record, bending = await one(world, "create", says(status, b"<html>"), is_done=True)
        assert (record.result.outcome, record.result.evidence) == ("created", Evidence.READ_BACK)
        assert bending.asked["POST"] == 1
        assert took_effect(world, "create")


@pytest.mark.parametrize("word", NO | ELSEWHERE)
async def test_any_other_no_to_a_reading_fails_the_list(world: World, word: str) -> None:
    """The list cannot be read: nothing is sent, and its rows say why."""
    async with world.serving():
        record, bending = await one(world, "create", (NO | ELSEWHERE)[word], method="GET")
        result = record.result
        assert (result.outcome, result.reason) == ("failed", "unreadable")
        assert (result.status, result.attempts) == (int(word[:3]), 0)
        assert "nothing was sent" in result.suggestion
        assert bending.asked == {"GET": 1}


@pytest.mark.parametrize("operation", ["update", "delete"])
async def test_21235_fails_what_is_no_create(world: World, operation: str) -> None:
    """Only a create can have been refused because the list holds it already."""
    async with world.serving(entries=1):
        record, bending = await one(world, operation, error(400, 21235))
        assert (record.result.outcome, record.result.code) == ("failed", 21235)
        assert bending.asked == {"GET": 1, WRITES[operation]: 1}


async def test_21235_and_the_list_does_not_hold_it(world: World) -> None:
    """The create was refused for another reason than that it is there: it failed."""
    async with world.serving():
        record, bending = await one(world, "create", error(400, 21235))
        result = record.result
        assert (result.outcome, result.status, result.code) == ("failed", 400, 21235)
        assert (result.message, result.more_info) == ("no", "https://x")
        assert bending.asked == {"GET": 2, "POST": 1}


@pytest.mark.parametrize(("name", "reason"), [("x", ""), ("theirs", "other_name")])
async def test_21235_and_somebody_else_was_first(world: World, name: str, reason: str) -> None:
    """The list holds it by now, and not by us: unchanged, with the entry that is there."""
    async with world.serving():
        where = world.sandbox.state.acl(world.account(), world.acl())
        bending = Bending(world, "GET")

        async def other(engine: Engine) -> None:
            while not bending.asked["GET"]:  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(0.001)
            world.sandbox.state.add_entry(where, name, "20.0.0.1")

        async with bending.serving():
            run = world.take_in([world.create("20.0.0.1")])
            world.script("POST", "429")  # So that the other one comes first.
            wire = open_real(world, bending.url, **FAST)
            await world.carry_out(run, watch=other, transport=wire, **FAST)
            (record,) = views.records(run)
            run.close()
        assert (record.result.outcome, record.result.reason) == ("unchanged", reason)
        assert record.result.sid in world.held()
        assert record.result.name == name


# --- not there --------------------------------------------------------------------------------


async def gone_meanwhile(world: World, operation: str, *kinds: str) -> RowRecord:
    """Somebody else deletes the entry between its reading and its write, which meets faults."""
    world.script("POST" if operation == "update" else "DELETE", *kinds)
    (sid,) = world.held()
    run = world.take_in([row_of(world, operation)])

    async def other(engine: Engine) -> None:
        while not world.wire.sent > 1:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        world.sandbox.state.acl(world.account(), world.acl()).entries.pop(sid)

    await world.carry_out(run, watch=other, **FAST)
    (record,) = views.records(run)
    run.close()
    return record


async def test_an_entry_that_is_gone_fails_its_update(world: World) -> None:
    """404 for an update: there is nothing to change, and nothing is made instead."""
    async with world.serving(entries=1):
        record = await gone_meanwhile(world, "update", "429")
        result = record.result
        assert (result.outcome, result.reason) == ("failed", "not_found")
        assert (result.status, result.code) == (404, 20404)
        assert world.entries() == []


async def test_an_entry_that_is_gone_is_already_gone(world: World) -> None:
    """404 for a delete of which nothing was processed: it was not ours."""
    async with world.serving(entries=1):
        record = await gone_meanwhile(world, "delete", "429")
        assert (record.result.outcome, record.result.evidence) == ("already_gone", None)


async def test_an_entry_that_is_gone_after_a_lost_answer_is_deleted(world: World) -> None:
    """404 for a delete that may have been done before: it is taken for ours, and says how."""
    async with world.serving(entries=1):
        record = await gone_meanwhile(world, "delete", "hang_before")
        assert (record.result.outcome, record.result.evidence) == ("deleted", Evidence.READ_BACK)


async def test_a_list_that_goes_while_it_is_read_back(world: World) -> None:
    """404 for the list when a lost create is looked for: all its rows fail."""
    async with world.serving():
        world.script("POST", "reset_after")

        async def other(engine: Engine) -> None:
            await world.until_effects(1)
            world.sandbox.state.account(world.account()).lists.pop(acl)

        acl = world.acl()
        run = world.take_in([world.create("20.0.0.1")])
        await world.carry_out(run, watch=other, **FAST)
        (record,) = views.records(run)
        run.close()
        assert (record.result.outcome, record.result.reason) == ("failed", "list_not_found")
        assert record.result.code == 20404


# --- the credential ---------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("operation", [*WRITES, "read"])
async def test_a_refused_credential(world: World, operation: str, status: int) -> None:
    """401 and 403, once confirmed, stop the account: what was refused was not attempted."""
    async with world.serving(entries=1):
        method = WRITES.get(operation, "GET")
        row = operation if operation in WRITES else "create"
        record, bending = await one(world, row, *[error(status, 20003)] * 2, method=method)
        result = record.result
        assert (result.outcome, result.reason) == ("not_attempted", "credentials_refused")
        assert (result.status, result.code, result.message) == (status, 20003, "no")
        assert bending.asked[method] == 2
        assert not world.sandbox.ledger.effects
