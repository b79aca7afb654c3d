"""Accounts in trouble, runs with a limit of patience, and lists that cannot be read to the end.

Noting     a transport that keeps when what was asked, and may answer by itself
Pages      a server that answers any GET of a list with what a test makes up
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from world import FAST, Answering, World, good, outcomes

from bulkipacl.credentials import load_credentials
from bulkipacl.engine.run import Engine
from bulkipacl.model import Attempt, Outcome, Reach, Request, RowRecord
from bulkipacl.sandbox import Latency
from bulkipacl.sandbox.faults import Choice
from bulkipacl.settings import MAX_BODY_BYTES, MAX_PAGES, Settings
from bulkipacl.store import journal, views
from bulkipacl.store.rundir import RunDirectory
from bulkipacl.twilio.hosts import resolve_base_url
from bulkipacl.twilio.transport import Transport, open_transport

Watch = Callable[[Engine], Awaitable[None]]
REFUSED = Attempt(Reach.ANSWERED, 401, b'{"code":20003,"message":"Authenticate","status":401}')


def open_real(world: World, url: str = "", **settings: Any) -> Transport:
    """A transport to the sandbox, or to another server."""
    ready, parent = world.sandbox.ready(), world.account()
    credentials = load_credentials(
        {"TWILIO_ACCOUNT_SID": parent, "TWILIO_AUTH_TOKEN": ready["accounts"][parent]}
    )
    url = url or world.sandbox.url
    clock = asyncio.get_running_loop().time
    return open_transport(
        Settings(base_url=url, **settings), resolve_base_url(url, {}), credentials, wall_clock=clock
    )


class Noting:
    """A transport that keeps when what was asked; `answer` may stand in for the server.

    Attributes:
        asked: (time, account sid, method) of each request.
        written: the paths of all writes.
        busiest: most requests in flight at once, by account, since `forget`.
    """

    def __init__(
        self, inner: Transport, answer: Callable[[Request], Attempt | None] = lambda request: None
    ) -> None:
        self.asked: list[tuple[float, str, str]] = []
        self.written: list[str] = []
        self.busiest: Counter[str] = Counter()
        self._in_flight: Counter[str] = Counter()
        self._inner = inner
        self._answer = answer

    def forget(self) -> None:
        """Count anew from here on."""
        self.busiest.clear()

    def between(self, account_sid: str, start: float, end: float) -> int:
        """Requests of an account in a span of time."""
        return sum(start <= at < end and sid == account_sid for at, sid, _ in self.asked)

    async def send(self, request: Request) -> Attempt:
        """Pass it on, unless it is answered here."""
        sid = request.account_sid
        self.asked.append((asyncio.get_running_loop().time(), sid, request.method))
        self.written += [request.path] if request.method != "GET" else []
        self._in_flight[sid] += 1
        self.busiest[sid] = max(self.busiest[sid], self._in_flight[sid])
        try:
            made_up = self._answer(request)
            if made_up is not None:
                await asyncio.sleep(0.05)
                return made_up
            return await self._inner.send(request)
        finally:
            self._in_flight[sid] -= 1

    async def aclose(self) -> None:
        """Close the real one."""
        await self._inner.aclose()


def trouble(
    world: World, kind: str, account: int, *, start: float = 0.0, end: float = 1e9, method: str = ""
) -> None:
    """Between these times, every request of the account meets this fault."""
    sid, now = world.account(account), asyncio.get_running_loop().time

    def choose(asked: str, path: str, body: bytes) -> Choice | None:
        is_hit = sid in path and start <= now() < end and method in ("", asked)
        return Choice(kind, 0.0) if is_hit else None

    setattr(world.sandbox.faults, "choose", choose)  # noqa: B010 - a method is replaced


def updates(world: World, account: int, lists: int = 4) -> list[str]:
    """A new name for every entry of so many lists of an account."""
    return [
        world.row("update", sid=sid, name="new", place=place, account=account)
        for place in range(lists)
        for sid in world.held(place, account)
    ]


def of_account(world: World, records: list[RowRecord], account: int) -> list[str]:
    """The outcomes of the rows of one account."""
    return outcomes([r for r in records if r.account_sid == world.account(account)])


def begin(world: World, rows: list[str]) -> RunDirectory:
    """A run with these rows, quick to commit: no test here is about a power cut."""
    run = world.take_in(rows)
    run.writer.execute("PRAGMA synchronous=OFF")
    return run


async def carry_on(world: World, run: RunDirectory, **settings: Any) -> list[RowRecord]:
    """A resume that must come to its end; closes the run."""
    records = await world.resume(run, **FAST, **settings)
    assert views.summary(run).ending == "finished"
    assert not list(run.reader.execute("SELECT 1 FROM snapshot WHERE is_open = 1"))
    run.close()
    return records


# --- the retry budget -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["503_before", "500_after", "hang_before", "reset_after"])
async def test_a_sick_account_is_not_hammered(world: World, kind: str) -> None:
    """It gets a small share of the requests that it would be sent, then one at a time."""
    async with world.serving(
        accounts=2, lists=4, entries=100, latency=Latency(0.1), hang_s=1_000.0
    ):
        sick, well = world.account(1), world.account(0)
        rows = updates(world, 1) + updates(world, 0)
        trouble(world, kind, 1, method="POST")
        noting = Noting(open_real(world, **FAST))
        run = begin(world, rows)

        async def watch(engine: Engine) -> None:
            await asyncio.sleep(60.0)
            noting.forget()
            await asyncio.sleep(30.0)
            engine.stop("enough")

        await world.carry_out(run, watch=watch, transport=noting, retries=100, **FAST)
        records = list(views.records(run))
        run.close()
        # Without trouble it gets 20 in each 0.1 s.
        assert noting.between(well, 0.0, 2.5) == 4 + 400
        assert noting.between(sick, 0.0, 60.0) < 60 * 200 / 10
        assert noting.between(sick, 60.0, 90.0) < 30 * 200 / 18
        assert noting.busiest[sick] == 1
        assert of_account(world, records, 0) == good(400, Outcome.UPDATED)
        assert set(of_account(world, records, 1)) <= {"not_attempted", "updated"}


async def test_a_sick_account_does_not_slow_another_one(world: World) -> None:
    """A healthy account ends at the same moment, whether another one is sick or not."""
    took: list[float] = []
    for kind in ("", "503_before", "hang_before"):
        async with world.serving(
            accounts=2, lists=4, entries=100, latency=Latency(0.1), hang_s=1_000.0
        ):
            rows = updates(world, 1) + updates(world, 0)
            if kind:
                trouble(world, kind, 1)
            began = asyncio.get_running_loop().time()
            await world.apply(rows, patience_s=30.0, retries=100, **FAST)
            effects = world.sandbox.ledger.effects
            took.append(max(e.at_s for e in effects if e.account_sid == world.account(0)) - began)
    assert max(took) < min(took) * 1.05


@pytest.mark.parametrize("kind", ["503_before", "503_after", "hang_before", "reset_before", "429"])
async def test_trouble_shorter_than_the_patience_costs_no_row(world: World, kind: str) -> None:
    """The API is back within --patience: every row of the account ends well."""
    async with world.serving(lists=2, entries=40, latency=Latency(0.1), hang_s=1_000.0):
        rows = updates(world, 0, 2)
        rows += [world.create(f"20.0.{n % 2}.{n}", place=n % 2) for n in range(40)]
        trouble(world, kind, 0, start=0.25, end=50.0)
        records = await world.apply(rows, patience_s=60.0, retries=100, **FAST)
        assert outcomes(records) == good(80, Outcome.UPDATED) + good(40)
        assert asyncio.get_running_loop().time() > 50.0


async def test_an_account_is_back_at_full_speed_after_trouble(world: World) -> None:
    """After a recovery, good answers give the window back."""
    async with world.serving(lists=10, entries=100, latency=Latency(0.1)):
        trouble(world, "503_before", 0, start=1.0, end=30.0)
        noting = Noting(open_real(world, **FAST))
        run = begin(world, updates(world, 0, 10))
        sending: dict[str, Any] = {"retries": 100, "patience_s": 100.0, "account_max_in_flight": 20}
        await world.carry_out(run, transport=noting, **sending, **FAST)
        assert outcomes(list(views.records(run))) == good(1_000, Outcome.UPDATED)
        run.close()
        last = max(at for at, _, _ in noting.asked)
        assert last < 100.0
        assert max(noting.between(world.account(), t, t + 1.0) for t in range(31, 100)) > 60


# --- the breaker ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["503_before", "503_after", "hang_before", "reset_after", "429"])
async def test_trouble_longer_than_the_patience(world: World, kind: str) -> None:
    """The account is left alone, the others are done, and a resume finishes it."""
    async with world.serving(accounts=2, lists=3, entries=80, latency=Latency(0.5), hang_s=1_000.0):
        rows = updates(world, 1, 3) + updates(world, 0, 3)
        rows += [world.create(f"20.0.0.{n}", account=n % 2) for n in range(40)]
        trouble(world, kind, 1, start=0.8)
        run = begin(world, rows)
        noting = Noting(open_real(world, **FAST))
        summary = await world.carry_out(run, transport=noting, patience_s=20.0, retries=100, **FAST)
        ended_at = asyncio.get_running_loop().time()
        records = list(views.records(run))
        assert summary.ending == "breaker"
        assert summary.accounts_stopped == (world.account(1),)
        assert 20.0 < ended_at < 20.0 + 60.0
        assert set(of_account(world, records, 0)) == {"updated", "created"}
        sick = Counter(of_account(world, records, 1))
        assert set(sick) <= {"updated", "created", "unknown", "not_attempted"}
        assert sick["not_attempted"] + sick["unknown"] > 150
        reasons = {r.result.reason for r in records if r.result.outcome == "not_attempted"}
        assert reasons <= {"blocked"}
        effects = {effect.sid for effect in world.sandbox.ledger.effects}
        assert not [r for r in records if r.result.outcome == "not_attempted" and r.sid in effects]
        trouble(world, kind, 1, end=0.0)
        found = await carry_on(world, run)
        assert outcomes(found) == good(480, Outcome.UPDATED) + good(40)
        creates = Counter(e.ip_after for e in world.sandbox.ledger.of("create"))
        assert len(creates) == 40
        assert set(creates.values()) == {1}


async def test_rows_that_were_never_sent_are_not_attempted(world: World) -> None:
    """A breaker leaves as unknown only what was sent: the rest of the list was not attempted."""
    async with world.serving(entries=80, latency=Latency(0.5), hang_s=1_000.0):
        trouble(world, "hang_before", 0, start=0.8)
        run = begin(world, updates(world, 0, 1))
        noting = Noting(open_real(world, **FAST))
        await world.carry_out(
            run, transport=noting, patience_s=5.0, account_max_in_flight=5, **FAST
        )
        sent = " ".join(noting.written)
        never = [r for r in views.records(run) if r.sid is not None and r.sid not in sent]
        run.close()
        assert len(never) > 10
        assert set(outcomes(never)) == {"not_attempted"}


async def test_nothing_is_heard_of_an_account_at_all(world: World) -> None:
    """From the first reading on there is only silence: nothing is written, all is not_attempted."""
    async with world.serving(lists=3, entries=5, hang_s=1_000.0):
        rows = updates(world, 0, 3)
        trouble(world, "hang_before", 0)
        run = begin(world, rows)
        summary = await world.carry_out(run, patience_s=10.0, retries=100, **FAST)
        assert summary.ending == "breaker"
        assert outcomes(list(views.records(run))) == good(15, Outcome.NOT_ATTEMPTED)
        trouble(world, "", 0, end=0.0)
        assert outcomes(await carry_on(world, run)) == good(15, Outcome.UPDATED)


# --- credentials ------------------------------------------------------------------------------


@pytest.mark.parametrize("effects", [1, 7, 40, 90])
async def test_a_credential_revoked_in_the_middle(world: World, effects: int) -> None:
    """The account stops with what was in flight answered; woken again, a resume finishes it."""
    async with world.serving(accounts=2, lists=2, entries=50, latency=Latency(0.1)):
        account = world.sandbox.state.account(world.account(1))

        async def revoke(engine: Engine) -> None:
            await world.until_effects(effects)
            account.status = "suspended"

        run = begin(world, updates(world, 1, 2))
        summary = await world.carry_out(run, watch=revoke, account_max_in_flight=5, **FAST)
        records = list(views.records(run))
        found = Counter(outcomes(records))
        assert summary.accounts_stopped == (world.account(1),)
        assert set(found) == {"updated", "not_attempted"}
        assert found["updated"] == len(world.sandbox.ledger.effects)
        assert {r.result.code for r in records if r.result.outcome == "not_attempted"} == {20003}
        account.status = "active"
        assert outcomes(await carry_on(world, run)) == good(100, Outcome.UPDATED)
        assert set(Counter(e.sid for e in world.sandbox.ledger.effects).values()) == {1}


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("lasts_s", [0.001, 0.3])
async def test_a_passing_refusal_stops_nothing(world: World, method: str, lasts_s: float) -> None:
    """Answers of 401 that a second look does not confirm cost half a second, and no row."""
    async with world.serving(entries=20, latency=Latency(0.1)):
        now = asyncio.get_running_loop().time
        since: list[float] = []

        def answer(request: Request) -> Attempt | None:
            if request.method != method:
                return None
            since.append(now())
            return REFUSED if since[-1] < since[0] + lasts_s else None

        rows = [world.create(f"20.0.0.{n}") for n in range(20)]
        rows += [world.row("delete", sid=sid) for sid in world.held()]
        run = begin(world, rows)
        noting = Noting(open_real(world, **FAST), answer)
        summary = await world.carry_out(run, transport=noting, account_max_in_flight=10, **FAST)
        assert outcomes(list(views.records(run))) == good(20) + good(20, Outcome.DELETED)
        assert (summary.ending, summary.accounts_stopped) == ("finished", ())
        run.close()


@pytest.mark.parametrize("stop_s", [0.25, 0.5, 0.75])
async def test_stopped_while_a_refusal_is_looked_at_again(world: World, stop_s: float) -> None:
    """The suspect row is not sent any more; what was ambiguous is still read back, to the end."""
    async with world.serving(latency=Latency(0.1)):
        world.script("POST", "reset_after")
        refusals = [REFUSED]
        posts = [0]

        def answer(request: Request) -> Attempt | None:
            posts[0] += request.method == "POST"
            return refusals.pop() if posts[0] == 2 and refusals else None

        run = begin(world, [world.create(f"20.0.0.{n}") for n in range(1, 4)])
        noting = Noting(open_real(world, **FAST), answer)

        async def stop(engine: Engine) -> None:
            await asyncio.sleep(stop_s)
            engine.stop("interrupted")

        async with asyncio.timeout(600.0):
            await world.carry_out(run, transport=noting, watch=stop, **FAST)
        found = outcomes(list(views.records(run)))
        assert found[0] == found[2] == "created"
        assert found[1] == ("created" if stop_s > 0.7 else "not_attempted")
        assert outcomes(await carry_on(world, run)) == good(3)
        assert len(world.entries()) == 3


# --- limits of the run ------------------------------------------------------------------------


async def refused_rows(world: World, **settings: Any) -> tuple[RunDirectory, Counter[str]]:
    """400 rows over four full lists, every fourth of which fails; the run, and its outcomes."""
    rows = [
        world.row("update", sid=sid, name="new", place=place)
        if n % 4
        else world.create(f"20.0.{place}.{n}", place=place)
        for place in range(4)
        for n, sid in enumerate(world.held(place))
    ]
    run = begin(world, rows)
    flags = {"account_max_in_flight": 5, "allow_full": True} | FAST | settings
    summary = await world.carry_out(run, **flags)
    assert summary.ending == ("max_failures" if "deadline_s" not in settings else "deadline")
    return run, Counter(outcomes(list(views.records(run))))


@pytest.mark.parametrize(
    ("settings", "least", "most"),
    [
        ({"max_failures": 0}, 1, 25),
        ({"max_failures": 30}, 31, 50),
        ({"max_failures_percent": 10.0}, 11, 100),
        ({"max_failures_percent": 0.0, "max_failures": 1_000}, 1, 100),
    ],
)
async def test_too_many_failures(
    world: World, settings: dict[str, Any], least: int, most: int
) -> None:
    """The run stops soon after the bound, drains, and can be carried on without it."""
    async with world.serving(lists=4, entries=100, latency=Latency(0.1)):
        run, found = await refused_rows(world, **settings)
        assert set(found) <= {"updated", "failed", "not_attempted"}
        assert least <= found["failed"] <= most
        assert found["updated"] == len(world.sandbox.ledger.effects)
        assert found["not_attempted"] > 100
        records = await carry_on(world, run, allow_full=True)
        assert Counter(outcomes(records)) == {"updated": 300, "failed": 100}
        assert len(world.sandbox.ledger.effects) == 300


@pytest.mark.parametrize("deadline_s", [0.01, 0.35, 2.0])
async def test_a_deadline(world: World, deadline_s: float) -> None:
    """At the deadline nothing new is begun, what is in flight ends, and a resume does the rest."""
    async with world.serving(lists=4, entries=100, latency=Latency(0.1)):
        began = asyncio.get_running_loop().time()
        run, found = await refused_rows(world, deadline_s=deadline_s)
        assert asyncio.get_running_loop().time() - began < deadline_s + 0.3
        assert found["updated"] == len(world.sandbox.ledger.effects)
        assert found["not_attempted"] > 100
        records = await carry_on(world, run, allow_full=True)
        assert Counter(outcomes(records)) == {"updated": 300, "failed": 100}


# --- lists that cannot be read ----------------------------------------------------------------


class Pages(Answering):
    """A server that answers any GET of a list with what `make` says, and counts what is asked."""

    def __init__(self, make: Callable[[str, int], bytes | None]) -> None:
        super().__init__()
        self._make = make

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, path, _ = head.decode().split(" ", 2)
                self.asked[method] += 1
                body = self._make(path, self.asked[method])
                if body is None:
                    await reader.read()
                    break
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def entry(path: str, number: int, **changes: object) -> dict[str, object]:
    """An entry of the list that is read, as the API would send it."""
    return {
        "sid": f"IP{number:032x}",
        "ip_access_control_list_sid": path.split("/")[6],
        "friendly_name": "there",
        "ip_address": f"20.0.1.{number % 250}",
        "cidr_prefix_length": 32,
    } | changes


def page(entries: list[dict[str, object]], following: object) -> bytes:
    """One page."""
    return json.dumps({"ip_addresses": entries, "next_page_uri": following}).encode()


def bare(path: str) -> str:
    """A path without its query."""
    return path.partition("?")[0]


WALKS: dict[str, Callable[[str, int], bytes | None]] = {
    "the same page again": lambda path, n: page([entry(path, n)], path),
    "two pages in turn": lambda path, n: page(
        [entry(path, n)], f"{bare(path)}?Page={n % 2}&PageSize=1"
    ),
    "no end": lambda path, n: page([entry(path, n)], f"{bare(path)}?Page={n}&PageSize=1"),
    "another host": lambda path, n: page([], f"http://127.0.0.2:1{bare(path)}?Page=1"),
    "another host without a scheme": lambda path, n: page([], f"//127.0.0.2{bare(path)}?Page=1"),
    "another list": lambda path, n: page([], bare(path).replace("/AL", "/ALL") + "?Page=1"),
    "another list by dots": lambda path, n: page([], f"{bare(path)}/../x.json?Page=1"),
    "a line break": lambda path, n: page([], f"{bare(path)}?Page=1\r\nX: y"),
    "no text": lambda path, n: page([], 7),
    "no word of a next page": lambda path, n: b'{"ip_addresses":[]}',
    "a page that never comes": lambda path, n: (
        None if "Page=1" in path.replace("PageSize", "") else page([], f"{bare(path)}?Page=1")
    ),
    "pages that overlap": lambda path, n: page(
        [entry(path, 1)], None if "Page=1" in path else f"{bare(path)}?Page=1"
    ),
    "a body without end": lambda path, n: page([entry(path, 1)], None) + b" " * MAX_BODY_BYTES,
    "an entry without a prefix": lambda path, n: page(
        [entry(path, 1), entry(path, 2, cidr_prefix_length=None)], None
    ),
    "an entry of IPv6": lambda path, n: page([entry(path, 1, ip_address="2001:db8::1")], None),
    "an address out of range": lambda path, n: page([entry(path, 1, ip_address="300.0.0.1")], None),
    "an entry of another list": lambda path, n: page(
        [entry(path, 1, ip_access_control_list_sid="AL" + "9" * 32)], None
    ),
    "a sid that is none": lambda path, n: page([entry(path, 1, sid="../../x")], None),
    "an entry that is null": lambda path, n: b'{"ip_addresses":[null],"next_page_uri":null}',
    "an entry that is a list": lambda path, n: b'{"ip_addresses":[[]],"next_page_uri":null}',
    "a sid that is a list": lambda path, n: page([entry(path, 1, sid=[]), entry(path, 2)], None),
    "entries that are no array": lambda path, n: b'{"ip_addresses":{},"next_page_uri":null}',
    "not JSON": lambda path, n: b"<html>",
    "nothing": lambda path, n: b"",
}


@pytest.mark.parametrize("walk", WALKS)
async def test_a_list_that_cannot_be_read_is_not_decided_on(world: World, walk: str) -> None:
    """Its rows fail and say why; nothing is kept of it, and nothing is written to it."""
    pages = Pages(WALKS[walk])
    async with world.serving(), pages.serving():
        run = begin(world, [world.create("20.0.0.1"), world.row("delete", address="20.0.1.1")])
        settings = FAST | {"retries": 2}
        summary = await world.carry_out(
            run, transport=open_real(world, pages.url, **settings), **settings
        )
        records = list(views.records(run))
        kept = run.reader.execute("SELECT COUNT(*) FROM snapshot").fetchone()[0]
        run.close()
        assert summary.ending == "finished"
        assert outcomes(records) == ["failed", "failed"]
        assert {r.result.reason for r in records} == {"unreadable"}
        assert all(r.result.message for r in records)
        assert kept == 0
        assert set(pages.asked) == {"GET"}
        assert pages.asked["GET"] <= (MAX_PAGES + 1 if walk == "no end" else 9)


async def test_a_list_that_cannot_be_read_after_a_crash_is_left_as_it_is(world: World) -> None:
    """What a cut-off round did stays open while its list cannot be read, and is found later."""
    async with world.serving(latency=Latency(0.5)):
        run = begin(world, [world.create("20.0.0.1"), world.create("20.0.0.2")])

        async def cut(engine: Engine) -> None:
            await asyncio.sleep(0.8)
            engine.stop_now("interrupted")

        await world.carry_out(run, watch=cut, **FAST)
        assert outcomes(list(views.records(run))) == ["unknown", "unknown"]
        pages = Pages(lambda path, n: b"<html>")
        async with pages.serving():
            journal.reopen(run)
            await world.carry_out(run, transport=open_real(world, pages.url, **FAST), **FAST)
        assert set(pages.asked) == {"GET"}
        assert outcomes(list(views.records(run))) == ["unknown", "unknown"]
        assert outcomes(await carry_on(world, run)) == good(2)
        assert len(world.sandbox.ledger.effects) == 2
