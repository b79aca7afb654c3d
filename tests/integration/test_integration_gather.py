"""Reading many lists of many accounts: all of it in a stable order, or what could not be had."""

from __future__ import annotations

from typing import Any

import pytest
from undoing import gathered
from world import FAST, World

from bulkipacl.engine import gather as gather_module
from bulkipacl.engine.gather import Found, Wanted, pack, unpack
from bulkipacl.engine.selection import Selection, parse_selection
from bulkipacl.model import ApiError, Entry
from bulkipacl.sandbox import Fault, Latency, parse_latency, parse_limit
from bulkipacl.sandbox.faults import Choice
from bulkipacl.twilio import contract, resources


def everything(world: World, *words: str) -> list[Wanted]:
    """The lists of all accounts that these words mean; all, if there are none."""
    selection = parse_selection(words)
    return [Wanted(sid, selection) for sid in world.sandbox.ready()["accounts"]]


def held(world: World) -> list[tuple[str, str, int]]:
    """(account, list name, entries) of all that the server holds, in its order."""
    accounts = world.sandbox.state.accounts.values()
    return [(a.sid, acl.name, len(acl.entries)) for a in accounts for acl in a.lists.values()]


def shown(found: list[Found]) -> list[tuple[str, str, int]]:
    """The same of what was read."""
    return [(one.account_sid, one.list_name, len(one.entries)) for one in found]


@pytest.mark.parametrize("faults", [False, True], ids=["quiet", "faults"])
async def test_order(world: World, faults: bool) -> None:
    """Whatever answers come first, or get lost, all comes once, account by account."""
    kinds = ("503_before", "429", "reset_before", "truncated_after", "garbage_after")
    trouble = tuple(Fault(kind, 0.08) for kind in kinds) if faults else ()
    latency = parse_latency("0.1~0.8")
    async with world.serving(accounts=5, lists=12, entries=2, latency=latency, faults=trouble):
        reading = await gathered(world, everything(world), retries=20, **FAST)
        assert shown(reading.found) == held(world)
        assert {one.reason for one in reading.found} == {""}
        entry = reading.found[0].entries[0]
        assert (entry.address, entry.prefix, entry.name) == (0xC6120000, 32, "entry 1")


async def test_accounts_do_not_wait_for_each_other(world: World) -> None:
    """Twenty accounts, each allowed two requests at once, take hardly longer than one."""
    limits = (parse_limit("concurrent=2"),)
    async with world.serving(accounts=20, lists=30, limits=limits, latency=Latency(0.1)):
        one = await gathered(world, everything(world)[:1])
        many = await gathered(world, everything(world))
        assert shown(many.found) == held(world)
        assert many.took_s < 1.5 * one.took_s


async def test_no_more_accounts_at_once_than_memory_allows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two accounts at once, all of five come, in order, and never three are under way."""
    monkeypatch.setattr(gather_module, "ACCOUNTS_AT_ONCE", 2)
    async with world.serving(accounts=5, lists=3, entries=1, latency=Latency(0.1)):
        reading = await gathered(world, everything(world))
        assert shown(reading.found) == held(world)
        # Five accounts two at a time: three turns, of two round trips each at the least.
        assert reading.took_s >= 0.6


async def test_selection(world: World) -> None:
    """By name, sid, glob and regular expression; what no list matches is known afterwards."""
    async with world.serving(accounts=2, lists=12):
        wanted = everything(world, "list 2", world.acl(4), "list 1?", "/^list [89]$/", "nope")
        reading = await gathered(world, wanted)
        one = ["list 2", "list 8", "list 9", "list 10", "list 11", "list 12"]
        assert reading.lists == [*one[:1], "list 5", *one[1:], *one]
        assert isinstance(wanted[0].lists, Selection)
        assert list(wanted[0].lists.unmatched) == ["nope"]


async def test_lists_alone_and_their_domains(world: World) -> None:
    """Without entries one request reads an account's lists; with domains, one more for each."""
    async with world.serving(lists=3, entries=2, domains=2):
        alone = await gathered(world, everything(world), has_entries=False)
        assert (alone.requests, shown(alone.found)) == (
            1,
            [(sid, name, 0) for sid, name, _ in held(world)],
        )
        assert alone.found[0].domains is None
        mapped = await gathered(world, everything(world), has_entries=False, has_domains=True)
        names = [d.name for d in world.sandbox.state.account(world.account()).domains.values()]
        assert [one.domains for one in mapped.found] == [(names[0],), (names[1],), ()]
        assert mapped.requests == 4


async def test_domains_that_may_not_be_seen(world: World) -> None:
    """A credential that may not see domains reads everything else, entries included."""
    async with world.serving(accounts=2, lists=3, entries=2, hide_domains=True):
        reading = await gathered(world, everything(world), has_domains=True)
        assert shown(reading.found) == held(world)
        assert {(one.domains, one.reason) for one in reading.found} == {(None, "")}


def fail(world: World, account_sid: str, part: str) -> None:
    """Every request of an account whose path ends so is answered 500."""

    def choose(asked: str, path: str, body: bytes) -> Choice | None:
        is_meant = account_sid in path and path.partition("?")[0].endswith(part)
        return Choice("500_before", 0.0) if is_meant else None

    setattr(world.sandbox.faults, "choose", choose)  # noqa: B010 - a method is replaced


@pytest.mark.parametrize(
    ("part", "failed", "count"),
    [
        ("IpAccessControlLists/{}/IpAddresses.json", [1], 3),
        ("IpAccessControlLists.json", [0], 1),
        ("Domains.json", [0, 1, 2], 3),
        ("Auth/Calls/IpAccessControlListMappings.json", [0, 1, 2], 3),
    ],
    ids=["entries", "lists", "domains", "mappings"],
)
async def test_what_cannot_be_read(world: World, part: str, failed: list[int], count: int) -> None:
    """What cannot be read is told in its place with the reason, and the other account comes."""
    async with world.serving(accounts=2, lists=3, entries=1):
        fail(world, world.account(), part.format(world.acl(1)))
        reading = await gathered(world, everything(world), has_domains=True, retries=1, **FAST)
        own, others = reading.found[:count], reading.found[count:]
        assert [place for place, one in enumerate(own) if one.reason] == failed
        assert {one.reason for one in own} - {""} == {"unreadable"}
        assert all(one.error.status == 500 and not one.entries for one in own if one.reason)
        assert shown(others) == held(world)[3:]


async def test_a_list_that_is_not_there(world: World) -> None:
    """A list wanted by its sid that is not there says so; the one beside it is read."""
    async with world.serving(lists=1, entries=2):
        wanted = [Wanted(world.account(), ("AL" + "0" * 32, world.acl()))]
        reading = await gathered(world, wanted)
        assert [(one.reason, len(one.entries)) for one in reading.found] == [
            ("list_not_found", 0),
            ("", 2),
        ]


async def test_a_refused_credential(world: World) -> None:
    """A suspended account: each of its lists says that the credential was refused."""
    async with world.serving(accounts=2, lists=2, suspended=1):
        reading = await gathered(world, everything(world))
        assert [one.reason for one in reading.found] == ["", "", "credentials_refused"]


async def test_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page is followed to the end: of lists, of entries, of domains and of mappings."""
    for module in (contract, resources):
        monkeypatch.setattr(module, "PAGE_SIZE", 2)
    async with world.serving(lists=5, entries=7, domains=5):
        reading = await gathered(world, everything(world), has_domains=True)
        assert shown(reading.found) == held(world)
        assert [len(one.domains or ()) for one in reading.found] == [1] * 5
        # 3 pages of lists, 3 of domains, 1 of each domain's mappings, 4 of each list.
        assert reading.requests == 3 + 3 + 5 + 20


async def test_pages_that_come_round_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk that does not end, or repeats an entry, is a failure and never half of a list."""
    monkeypatch.setattr(contract, "PAGE_SIZE", 2)
    async with world.serving(lists=1, entries=5):
        real: Any = contract.follow

        def back(first: Any, uri: str) -> Any:
            return first if "Page=2" in uri else real(first, uri)

        monkeypatch.setattr("bulkipacl.twilio.contract.follow", back)
        reading = await gathered(world, [Wanted(world.account(), (world.acl(),))], retries=1)
        assert [(one.reason, one.entries) for one in reading.found] == [("unreadable", ())]


def test_packing() -> None:
    """What waits for its turn on the disk comes back as it was."""
    entry = Entry("IP" + "1" * 32, 7, 31, "Ümläut ☎")
    error = ApiError(500, 20500, "m", "i")
    for found in (
        Found("AC", "AL", "n", (entry, entry), ("d", "e")),
        Found("AC", reason="unreadable", error=error),
        Found("AC", "AL", domains=()),
    ):
        assert unpack(pack(found)) == found
