"""Who reaches which account."""

import pytest
from sandbox_calls import Caller, Serve

from bulkipacl.sandbox import SandboxConfig


def _credentials(caller: Caller) -> dict[str, tuple[str, str]]:
    ready = caller.sandbox.ready()
    parent, sub = caller.accounts[:2]
    return {
        "parent": (parent, ready["accounts"][parent]),
        "sub": (sub, ready["accounts"][sub]),
        "parent key": tuple(ready["api_keys"][parent]),
        "sub key": tuple(ready["api_keys"][sub]),
        "mixed up": (parent, ready["accounts"][sub]),
        "nobody": ("AC" + "0" * 32, "x"),
    }


@pytest.mark.parametrize(
    ("who", "target", "status"),
    [
        ("parent", 0, 200),
        ("parent", 1, 200),
        ("sub", 1, 200),
        ("sub", 0, 401),
        ("sub", 2, 401),
        ("parent key", 0, 200),
        ("parent key", 1, 401),
        ("sub key", 1, 200),
        ("sub key", 0, 401),
        ("mixed up", 0, 401),
        ("nobody", 0, 401),
    ],
)
async def test_reach(serve: Serve, who: str, target: int, status: int) -> None:
    """A parent's token reaches every subaccount; keys and subaccounts reach their own alone."""
    caller = await serve(SandboxConfig(accounts=3))
    path = f"/2010-04-01/Accounts/{caller.accounts[target]}/SIP/IpAccessControlLists.json"
    answer = await caller.call("GET", path, auth=_credentials(caller)[who])
    assert answer.status == status
    if status == 401:
        assert answer.code == 20003
        assert "WWW-Authenticate" in answer.headers


@pytest.mark.parametrize(
    ("who", "seen"), [("parent", 3), ("sub", 1), ("parent key", None), ("sub key", None)]
)
async def test_list_of_accounts(serve: Serve, who: str, seen: int | None) -> None:
    """A parent lists all, a subaccount itself, and a key is refused."""
    caller = await serve(SandboxConfig(accounts=3))
    answer = await caller.call("GET", "/2010-04-01/Accounts.json", auth=_credentials(caller)[who])
    if seen is None:
        assert (answer.status, answer.code) == (401, 20003)
    else:
        assert len(answer.json["accounts"]) == seen


async def test_unknown_account(serve: Serve) -> None:
    """A parent learns that an account is not there; others learn nothing."""
    caller = await serve(SandboxConfig(accounts=2))
    path = f"/2010-04-01/Accounts/AC{'0' * 32}/SIP/IpAccessControlLists.json"
    assert (await caller.call("GET", path)).code == 20404
    sub = _credentials(caller)["sub"]
    assert (await caller.call("GET", path, auth=sub)).code == 20003


async def test_suspended(serve: Serve) -> None:
    """A suspended account is refused, to its parent too, until the parent wakes it."""
    caller = await serve(SandboxConfig(accounts=2, suspended=1, auth_status=403))
    sub = caller.accounts[1]
    account = f"/2010-04-01/Accounts/{sub}.json"
    lists = f"/2010-04-01/Accounts/{sub}/SIP/IpAccessControlLists.json"
    for auth in (None, _credentials(caller)["sub"]):
        answer = await caller.call("GET", lists, auth=auth)
        assert (answer.status, answer.code) == (403, 20003)
    assert (await caller.call("GET", account)).json["status"] == "suspended"
    assert (await caller.call("POST", account, {"Status": "active"})).status == 200
    assert (await caller.call("GET", lists)).status == 200


async def test_new_subaccount(serve: Serve) -> None:
    """A subaccount made through the API is reached at once, by its parent and by itself."""
    caller = await serve(SandboxConfig())
    made = (await caller.call("POST", "/2010-04-01/Accounts.json", {"FriendlyName": "new"})).json
    path = f"/2010-04-01/Accounts/{made['sid']}/SIP/IpAccessControlLists.json"
    assert (await caller.call("GET", path)).status == 200
    own = (made["sid"], made["auth_token"])
    assert (await caller.call("POST", path, {"FriendlyName": "l"}, auth=own)).status == 201
