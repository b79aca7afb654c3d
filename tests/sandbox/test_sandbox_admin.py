"""The sandbox's own paths, what is counted, and another client's writes."""

import asyncio
from typing import Any

import pytest
from sandbox_calls import Serve

from bulkipacl.sandbox import Fault, Latency, SandboxConfig, start


async def test_ledger(serve: Serve) -> None:
    """The ledger tells every effect in order, and only those after a sequence number if asked."""
    caller = await serve(SandboxConfig())
    sid = (await caller.create("10.0.0.1", "a")).json["sid"]
    await caller.call("POST", f"{caller.entries_path()}/{sid}", {"FriendlyName": "b"})
    await caller.call("DELETE", f"{caller.entries_path()}/{sid}")
    effects = (await caller.call("GET", "/sandbox/ledger")).json
    assert [e["seq"] for e in effects] == [1, 2, 3]
    assert [e["op"] for e in effects] == ["create", "update", "delete"]
    assert [(e["name_before"], e["name_after"]) for e in effects] == [
        (None, "a"),
        ("a", "b"),
        ("b", None),
    ]
    assert {e["sid"] for e in effects} == {sid}
    assert (await caller.call("GET", "/sandbox/ledger?since=2")).json == effects[2:]
    assert caller.sandbox.ledger.effects[0].as_dict() == effects[0]


async def test_state(serve: Serve) -> None:
    """The state shows accounts, lists and entries, and no token."""
    caller = await serve(SandboxConfig(accounts=2, lists=2, entries=3))
    answer = await caller.call("GET", "/sandbox/state")
    accounts = answer.json["accounts"]
    assert [account["sid"] for account in accounts] == caller.accounts
    assert [acl["sid"] for acl in accounts[0]["lists"]] == caller.lists
    assert len(accounts[1]["lists"][1]["entries"]) == 3
    assert caller.auth[1].encode() not in answer.body


async def test_stats(serve: Serve) -> None:
    """Requests are counted by method and status, faults by kind, and the peak per account."""
    caller = await serve(SandboxConfig(latency=Latency(0.05)))
    await asyncio.gather(*(caller.create(f"10.0.0.{n}") for n in range(3)))
    await caller.create("10.0.0.0")
    caller.sandbox.faults.replace([Fault("503_before", 1.0)])
    await caller.call("GET", "/SIP/Domains")
    stats = (await caller.call("GET", "/sandbox/stats")).json
    assert stats["requests"] == {"GET": {"503": 1}, "POST": {"201": 3, "400": 1}}
    assert stats["faults"] == {"503_before": 1}
    assert stats["peak_in_flight"] == {caller.ac: 3}
    assert stats["in_flight"] == {caller.ac: 0}
    assert stats["total"] == caller.sandbox.stats.total == 5
    assert caller.sandbox.stats.answered(201) == 3


async def test_faults_at_run_time(serve: Serve) -> None:
    """Faults are replaced over HTTP; nonsense is refused and changes nothing."""
    caller = await serve(SandboxConfig())
    answer = await caller.call("POST", "/sandbox/faults", json={"500_before": 1})
    assert answer.status == 200
    assert (await caller.create()).status == 500
    for nonsense in ({"odd": 1}, {"500": 2}, {"500": None}, [1]):
        bad = await caller.call("POST", "/sandbox/faults", json=nonsense)
        assert bad.status == 400
    assert (await caller.create()).status == 500
    await caller.call("POST", "/sandbox/faults", json={})
    assert (await caller.create()).status == 201


async def test_another_client(serve: Serve) -> None:
    """Another client's writes go by the same rules and are marked as such."""
    caller = await serve(SandboxConfig(faults=(Fault("500_before", 1.0),)))
    where = {"account": caller.ac, "list": caller.al}
    new = {**where, "op": "create", "ip_address": "10.0.0.1", "friendly_name": "theirs"}

    async def write(asked: dict[str, Any]) -> Any:
        return await caller.call("POST", "/sandbox/entries", json=asked)

    made = await write({**new, "cidr_prefix_length": 24})
    assert made.json["cidr_prefix_length"] == 24
    assert (await write({**new, "cidr_prefix_length": 24})).code == 21235
    sid = made.json["sid"]
    changed = await write({**where, "op": "update", "sid": sid, "friendly_name": "x"})
    assert changed.json["friendly_name"] == "x"
    assert (await write({**where, "op": "delete", "sid": sid})).status == 204
    assert (await write({**where, "op": "delete", "sid": sid})).code == 20404
    assert {effect.by for effect in caller.sandbox.ledger.effects} == {"other"}
    for nonsense in ({}, {**where, "op": "grow"}):
        assert (await write(nonsense)).status == 400


async def test_flush(serve: Serve) -> None:
    """Flush waits for late effects, and for requests that their clients gave up on."""
    caller = await serve(SandboxConfig(faults=(Fault("500_late", 1.0),), late_s=0.1))
    await caller.create("10.0.0.1")
    assert (await caller.call("GET", "/sandbox/stats")).json["late_pending"] == 1
    assert (await caller.call("POST", "/sandbox/flush")).json == {"effects": 1}
    slow = await serve(SandboxConfig(latency=Latency(0.1)))
    with pytest.raises(TimeoutError):
        await slow.call(
            "POST",
            slow.entries_path(),
            {"FriendlyName": "a", "IpAddress": "10.0.0.1"},
            timeout_s=0.03,
        )
    assert len(slow.sandbox.ledger) == 0
    await slow.sandbox.flush()
    assert len(slow.sandbox.ledger) == 1


async def test_unknown_admin_path(serve: Serve) -> None:
    """An unknown path of the sandbox's own is 404, a bad number 400."""
    caller = await serve(SandboxConfig())
    assert (await caller.call("GET", "/sandbox/other")).status == 404
    assert (await caller.call("GET", "/sandbox/flush")).status == 404
    assert (await caller.call("GET", "/sandbox/ledger?since=x")).status == 400


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "192.0.2.1", "example.com", "::", ""],  # noqa: S104 - refused, not bound
)
async def test_loopback_alone(host: str) -> None:
    """Nothing but a loopback address is bound."""
    with pytest.raises(ValueError, match="loopback"):
        await start(SandboxConfig(), host)


async def test_localhost() -> None:
    """`localhost` is bound as 127.0.0.1, and the sandbox can be closed twice."""
    sandbox = await start(SandboxConfig(), "localhost")
    assert sandbox.url.startswith("http://127.0.0.1:")
    await sandbox.aclose()
    await sandbox.aclose()
