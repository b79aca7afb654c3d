"""What the API accepts, refuses and shows: entries, lists, paging, bodies and dates."""

from typing import Any

import pytest
from sandbox_calls import Serve

from bulkipacl.sandbox import Latency, Limit, SandboxConfig


async def test_create_shows_what_the_page_documents(serve: Serve) -> None:
    """A create answers with exactly the documented fields."""
    caller = await serve(SandboxConfig())
    answer = await caller.create("10.0.0.1", "a", CidrPrefixLength="24", Unknown="ignored")
    assert answer.status == 201
    record = answer.json
    assert set(record) == {
        *("account_sid", "date_created", "date_updated", "friendly_name", "ip_address"),
        *("ip_access_control_list_sid", "cidr_prefix_length", "sid", "uri"),
    }
    assert record["uri"].endswith(f"/{caller.al}/IpAddresses/{record['sid']}.json")
    # Host bits stay as sent.
    assert (record["ip_address"], record["cidr_prefix_length"]) == ("10.0.0.1", 24)


@pytest.mark.parametrize(
    ("sent", "stored"),
    [(None, 32), ("0", 32), ("1", 1), ("32", 32)],
    ids=["omitted", "zero is stored as 32", "least", "most"],
)
async def test_prefix(serve: Serve, sent: str | None, stored: int) -> None:
    """The prefix is stored as sent, but for none and 0."""
    caller = await serve(SandboxConfig())
    more = {} if sent is None else {"CidrPrefixLength": sent}
    answer = await caller.create("10.0.0.1", "a", **more)
    assert answer.json["cidr_prefix_length"] == stored


@pytest.mark.parametrize(
    "params",
    [
        {"IpAddress": "10.0.0.1"},
        {"FriendlyName": "", "IpAddress": "10.0.0.1"},
        {"FriendlyName": "x" * 256, "IpAddress": "10.0.0.1"},
        {"FriendlyName": "a"},
        {"FriendlyName": "a", "IpAddress": "::1"},
        {"FriendlyName": "a", "IpAddress": "010.0.0.1"},
        {"FriendlyName": "a", "IpAddress": "10.0.0.256"},
        {"FriendlyName": "a", "IpAddress": "10.0.0"},
        {"FriendlyName": "a", "IpAddress": "10.0.0.0/8"},
        {"FriendlyName": "a", "IpAddress": "10.0.0.1", "CidrPrefixLength": "33"},
        {"FriendlyName": "a", "IpAddress": "10.0.0.1", "CidrPrefixLength": "-1"},
    ],
    ids=[
        *("no name", "empty name", "long name", "no address", "IPv6", "leading zero"),
        *("octet too large", "three octets", "CIDR in the address", "prefix 33", "prefix -1"),
    ],
)
async def test_invalid_create(serve: Serve, params: dict[str, str]) -> None:
    """An invalid parameter is 400 with 21235, and nothing happens."""
    caller = await serve(SandboxConfig())
    answer = await caller.call("POST", caller.entries_path(), params)
    assert (answer.status, answer.code) == (400, 21235)
    assert len(caller.sandbox.ledger) == 0


async def test_update_is_partial(serve: Serve) -> None:
    """An update leaves what it does not name, and changes date_updated alone."""
    now_s = [1_000_000_000.0]
    caller = await serve(SandboxConfig())
    caller.sandbox.state.wall_s = lambda: now_s[0]
    made = (await caller.create("10.0.0.1", "a", CidrPrefixLength="24")).json
    now_s[0] += 5
    path = f"{caller.entries_path()}/{made['sid']}"
    changed = (await caller.call("POST", path, {"IpAddress": "10.9.0.0"})).json
    assert changed == {
        **made,
        "ip_address": "10.9.0.0",
        "date_updated": "Sun, 09 Sep 2001 01:46:45 +0000",
    }
    assert made["date_created"] == "Sun, 09 Sep 2001 01:46:40 +0000"
    (effect,) = caller.sandbox.ledger.of("update")
    assert (effect.ip_before, effect.ip_after, effect.prefix_after) == ("10.0.0.1", "10.9.0.0", 24)


async def test_update_may_reset_the_prefix(serve: Serve) -> None:
    """Switched so, an address alone puts the prefix back to 32."""
    caller = await serve(SandboxConfig(update_resets_prefix=True))
    made = (await caller.create("10.0.0.1", "a", CidrPrefixLength="24")).json
    path = f"{caller.entries_path()}/{made['sid']}"
    changed = (await caller.call("POST", path, {"IpAddress": "10.9.0.0"})).json
    assert changed["cidr_prefix_length"] == 32


@pytest.mark.parametrize(
    ("switches", "ip", "prefix", "name", "status"),
    [
        ({}, "10.0.0.1", "24", "b", 400),
        ({}, "10.0.0.1", "25", "b", 201),
        ({"unique": "ip"}, "10.0.0.1", "25", "b", 400),
        ({"duplicates": "accept"}, "10.0.0.1", "24", "b", 201),
        ({}, "10.0.0.2", "24", "a", 201),
        ({"unique_names": True}, "10.0.0.2", "24", "a", 400),
    ],
    ids=["same", "other prefix", "by ip", "accepted", "same name", "unique names"],
)
async def test_duplicates(
    serve: Serve, switches: dict[str, Any], ip: str, prefix: str, name: str, status: int
) -> None:
    """What counts as a duplicate, and what becomes of one, goes by the switches."""
    caller = await serve(SandboxConfig(**switches))
    await caller.create("10.0.0.1", "a", CidrPrefixLength="24")
    answer = await caller.create(ip, name, CidrPrefixLength=prefix)
    assert answer.status == status
    if status == 400:
        assert answer.code == 21235


async def test_update_into_a_duplicate(serve: Serve) -> None:
    """An update onto another entry's address is refused; onto its own it is not."""
    caller = await serve(SandboxConfig())
    await caller.create("10.0.0.1")
    sid = (await caller.create("10.0.0.2")).json["sid"]
    path = f"{caller.entries_path()}/{sid}"
    assert (await caller.call("POST", path, {"IpAddress": "10.0.0.1"})).code == 21235
    assert (await caller.call("POST", path, {"IpAddress": "10.0.0.2"})).status == 200
    # Once it has moved, its old address is free.
    assert (await caller.call("POST", path, {"IpAddress": "10.0.0.3"})).status == 200
    assert (await caller.create("10.0.0.2")).status == 201


async def test_deleted_address_is_free_again(serve: Serve) -> None:
    """After a delete the same address can be created, under another sid."""
    caller = await serve(SandboxConfig())
    first = (await caller.create("10.0.0.1")).json["sid"]
    path = f"{caller.entries_path()}/{first}"
    gone = await caller.call("DELETE", path)
    assert (gone.status, gone.body) == (204, b"")
    assert (await caller.call("DELETE", path)).code == 20404
    assert (await caller.create("10.0.0.1")).json["sid"] != first


async def test_caps(serve: Serve) -> None:
    """A full list answers 21237, a full account 21255."""
    caller = await serve(SandboxConfig(max_entries=1, max_lists=1, entries=1))
    assert (await caller.create()).code == 21237
    lists = await caller.call("POST", "/SIP/IpAccessControlLists", {"FriendlyName": "b"})
    assert (lists.status, lists.code) == (400, 21255)


async def test_paging(serve: Serve) -> None:
    """Pages follow next_page_uri, and neither a create nor a delete between repeats or skips."""
    caller = await serve(SandboxConfig(entries=5))
    path = f"/2010-04-01/Accounts/{caller.ac}{caller.entries_path()}.json"
    first = (await caller.call("GET", f"{path}?PageSize=2")).json
    assert (first["page"], first["page_size"], first["start"], first["end"]) == (0, 2, 0, 1)
    assert first["previous_page_uri"] is None
    assert first["first_page_uri"] == f"{path}?PageSize=2&Page=0"
    assert first["next_page_uri"].startswith(f"{path}?PageSize=2&Page=1&PageToken=PT")
    await caller.call("DELETE", f"{caller.entries_path()}/{first['ip_addresses'][0]['sid']}")
    second = (await caller.call("GET", first["next_page_uri"])).json
    assert [e["friendly_name"] for e in second["ip_addresses"]] == ["entry 3", "entry 4"]
    third = (await caller.call("GET", second["next_page_uri"])).json
    assert [e["friendly_name"] for e in third["ip_addresses"]] == ["entry 5"]
    assert third["next_page_uri"] is None


async def test_default_page_size(serve: Serve) -> None:
    """Without PageSize a page holds 50; with 1000 it holds a whole list."""
    caller = await serve(SandboxConfig(entries=100))
    path = f"/2010-04-01/Accounts/{caller.ac}{caller.entries_path()}.json"
    assert len((await caller.call("GET", path)).json["ip_addresses"]) == 50
    assert len((await caller.call("GET", f"{path}?PageSize=1000")).json["ip_addresses"]) == 100


@pytest.mark.parametrize(
    ("query", "code"),
    [("PageSize=1001", 20007), ("PageSize=0", 20422), ("Page=x", 20422), ("PageToken=no", 21481)],
)
async def test_bad_paging(serve: Serve, query: str, code: int) -> None:
    """A bad paging parameter is 400 with its own code."""
    caller = await serve(SandboxConfig())
    path = f"/2010-04-01/Accounts/{caller.ac}{caller.entries_path()}.json?{query}"
    answer = await caller.call("GET", path)
    assert (answer.status, answer.code) == (400, code)


async def test_paths(serve: Serve) -> None:
    """A path without .json answers in XML, one in the wrong case is not found, PUT not allowed."""
    caller = await serve(SandboxConfig())
    base = f"/2010-04-01/Accounts/{caller.ac}/SIP"
    xml = await caller.call("GET", f"{base}/IpAccessControlLists")
    assert (xml.status, xml.body[:5]) == (404, b"<?xml")
    assert (await caller.call("GET", f"{base}/ipaccesscontrollists.json")).code == 20404
    assert (await caller.call("GET", "/elsewhere.json")).status == 404
    assert (await caller.call("PUT", f"{base}/IpAccessControlLists.json")).status == 405
    assert (await caller.call("DELETE", f"{base}/Domains.json")).status == 405


async def test_error_bodies(serve: Serve) -> None:
    """Errors come in the classic shape, or as RFC 9457 problems."""
    classic = await (await serve(SandboxConfig())).call("GET", "/SIP/Domains/SDx")
    assert set(classic.json) == {"status", "message", "code", "more_info"}
    problem = await (await serve(SandboxConfig(errors="rfc9457"))).call("GET", "/SIP/Domains/SDx")
    assert problem.headers["Content-Type"] == "application/problem+json"
    assert set(problem.json) == {
        *("type", "title", "status", "code", "detail", "instance", "errors"),
    }
    assert problem.code == 20404


async def test_headers(serve: Serve) -> None:
    """Every response carries the API's three headers, unless they are switched off."""
    names = {"Twilio-Concurrent-Requests", "Twilio-Request-Duration", "Twilio-Request-Id"}
    caller = await serve(SandboxConfig(latency=Latency(0.01)))
    answer = await caller.create()
    assert names <= set(answer.headers)
    assert answer.headers["Twilio-Concurrent-Requests"] == "1"
    assert float(answer.headers["Twilio-Request-Duration"]) >= 0.009
    (effect,) = caller.sandbox.ledger.effects
    assert effect.request_id == answer.headers["Twilio-Request-Id"]
    quiet = await serve(SandboxConfig(headers=False))
    assert not names & set((await quiet.create()).headers)


async def test_other_body_formats_carry_no_parameters(serve: Serve) -> None:
    """A JSON body is not read, so its parameters are missing."""
    caller = await serve(SandboxConfig())
    answer = await caller.call(
        "POST", caller.entries_path(), json={"FriendlyName": "a", "IpAddress": "10.0.0.1"}
    )
    assert answer.status == 400


async def test_seed_decides_sids_and_tokens(serve: Serve) -> None:
    """The same seed fills the same, another seed does not; creates get sids by what they are."""
    one, two = await serve(SandboxConfig(seed=1)), await serve(SandboxConfig(seed=1))
    other = await serve(SandboxConfig(seed=2))
    assert one.auth == two.auth != other.auth
    first = [(await one.create(ip)).json["sid"] for ip in ("10.0.0.1", "10.0.0.2")]
    second = [(await two.create(ip)).json["sid"] for ip in ("10.0.0.2", "10.0.0.1")]
    assert first == second[::-1]


async def test_filling(serve: Serve) -> None:
    """Accounts, lists and entries are there as asked, with distinct addresses in each list."""
    caller = await serve(SandboxConfig(accounts=3, lists=2, entries=100, domains=1))
    accounts = list(caller.sandbox.state.accounts.values())
    assert [account.owner_sid for account in accounts] == [accounts[0].sid] * 3
    for account in accounts:
        assert [len(acl.entries) for acl in account.lists.values()] == [100, 100]
        for acl in account.lists.values():
            assert len({entry.ip for entry in acl.entries.values()}) == 100
        (domain,) = account.domains.values()
        assert list(domain.mappings) == list(account.lists)[:1]
    assert len(caller.sandbox.ledger) == 0


@pytest.mark.parametrize(
    ("switches", "word"),
    [
        ({"accounts": 0}, "accounts"),
        ({"entries": 101}, "entries"),
        ({"lists": -1}, "lists"),
        ({"late_s": -1.0}, "late_s"),
        ({"unique": "name"}, "unique"),
        ({"suspended": 2}, "suspended"),
        ({"fault_methods": frozenset({"PUT"})}, "PUT"),
    ],
)
def test_config_refuses(switches: dict[str, Any], word: str) -> None:
    """A switch out of range is a ValueError that names it, in one line."""
    with pytest.raises(ValueError, match=word) as caught:
        SandboxConfig(**switches)
    assert "\n" not in str(caught.value)


def test_config_is_a_value() -> None:
    """Two configs with the same switches are equal, and none can be changed."""
    limits = (Limit("concurrent", 5),)
    assert SandboxConfig(limits=limits) == SandboxConfig(limits=limits)
    with pytest.raises(AttributeError):
        SandboxConfig().seed = 3  # type: ignore[misc]
