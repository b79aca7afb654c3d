"""`export` as a process: what `apply` reads back, whole or not at all."""

from __future__ import annotations

import base64
import re
import signal
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from e2e_tools import Box, Cli, Ended, Place, csv_text, read_csv, until


def export(cli: Cli, *flags: str | Path, environment: dict[str, str] | None = None) -> Ended:
    """Export from the sandbox."""
    return cli.run("export", "--base-url", cli.box.url, *flags, environment=environment)


def test_round_trip(tmp_path: Path) -> None:
    """Exported, applied to the same lists standing empty elsewhere, and exported again: the same
    but for the sids of the entries; applied once more, nothing is written."""
    shape = ("--accounts", "3", "--lists", "4")
    with ExitStack() as stack:
        full, empty = (Box(*shape, "--entries", n) for n in ("3", "0"))
        stack.callback(full.close)
        stack.callback(empty.close)
        assert full.lists == empty.lists
        cli = Cli(tmp_path, full, [*empty.secrets])
        stack.callback(cli.close)
        account, (acl, *_) = full.parent, full.lists[full.parent]
        names = ['say "x", then ;', "=1+1", "Zoë ☎", "'quoted'", "a\\b"]
        rows = [("create", account, acl, f"62.0.{n}.0/24", name) for n, name in enumerate(names)]
        cli.file("odd.csv", csv_text("operation,account,list,ip,name", rows))
        assert cli.apply("odd.csv").code == 0
        ended = export(cli, "--all-accounts", "--output", "first.csv")
        assert (ended.code, ended.out) == (0, ""), ended.err
        assert "12 lists with 41 entries of 3 accounts" in ended.err
        first = export(cli, "--all-accounts", "--format", "jsonl")
        cli.box = empty
        applied = cli.apply("first.csv", "--run", "there")
        assert applied.code == 0, applied.err
        second = export(cli, "--all-accounts", "--output", "second.jsonl")
        assert second.code == 0, second.err
        text = (cli.cwd / "second.jsonl").read_text(encoding="utf-8")
        assert without_sids(first.out) == without_sids(text)
        again = cli.apply("second.jsonl", "--run", "again")
        assert (again.code, set(cli.outcomes("again"))) == (0, {"unchanged"}), again.err


def without_sids(text: str) -> list[str]:
    """The lines of an export, but for the entries' sids, in order of everything else."""
    return sorted(re.sub("IP[0-9a-f]{32}", "IP", line) for line in text.splitlines())


def test_lists_and_domains(cli: Cli, place: Place) -> None:
    """The lists alone, chosen by pattern, with the domains that map them; no entry is asked for."""
    flags = ("--account", place.account, "--lists-only", "--domains", "--list", "list [12]")
    ended = export(cli, *flags)
    assert ended.code == 0, ended.err
    domain = f"d1-{place.account[2:10]}.sip.example.com"
    assert ended.out == csv_text(
        "account_sid,list_sid,list_name,domains",
        [
            (place.account, place.lists[0], "list 1", domain),
            (place.account, place.lists[1], "list 2", ""),
        ],
    )


def test_suspended_accounts_are_told(boxed: Callable[..., Cli]) -> None:
    """An account that is not active cannot be read: it is named, and the others are exported."""
    cli = boxed("--accounts", "3", "--entries", "1")
    last = list(cli.box.accounts)[-1]
    path = f"/2010-04-01/Accounts/{last}.json"
    post(cli, path, b"Status=suspended")
    ended = export(cli, "--all-accounts")
    assert ended.code == 0, ended.err
    assert f"{last} is suspended: left out" in ended.err
    assert last not in ended.out
    assert ended.out.count("\n") == 3
    named = export(cli, "--account", last, "--output", "out.csv")
    assert (named.code, named.out) == (6, "")
    assert not (cli.cwd / "out.csv").exists()


def post(cli: Cli, path: str, body: bytes) -> None:
    """A write with the parent's token."""
    pair = base64.b64encode(f"{cli.box.parent}:{cli.box.accounts[cli.box.parent]}".encode())
    head = {"Authorization": f"Basic {pair.decode()}"}
    request = urllib.request.Request(cli.box.url + path, body, head, method="POST")  # noqa: S310
    with urllib.request.urlopen(request, timeout=10):  # noqa: S310 - ours
        pass


def test_whole_or_not_at_all(boxed: Callable[..., Cli]) -> None:
    """Where a list cannot be read nothing comes out, a file that is there stays, and it is told."""
    cli = boxed("--lists", "4", "--entries", "2", "--fault", "500_before=0.6", "--seed", "5")
    kept = cli.file("out.csv", "what was there\n")
    ended = export(cli, "--retries", "0", "--output", kept)
    assert ended.code == 1, ended.err
    assert "nothing is exported, because it would not be complete" in ended.err
    assert "unreadable" in ended.err
    assert kept.read_text() == "what was there\n"
    assert [path.name for path in cli.cwd.iterdir() if path.suffix != ""] == ["out.csv"]
    shown = export(cli, "--retries", "0")
    assert (shown.code, shown.out) == (1, "")


def test_refusals(cli: Cli, place: Place) -> None:
    """A list that nobody has, a bad pattern or format, flags that exclude each other: exit 2."""
    cases = [
        (("--list", "no such list"), "no list of 1 account is meant by --list 'no such list'"),
        (("--list", "/(/", "--format", "csv"), "is no regular expression"),
        (("--account", place.account, "--all-accounts"), "exclude each other"),
        (("--output", "nowhere/out.csv"), "there is no directory"),
    ]
    for flags, why in cases:
        ended = export(cli, *flags)
        assert (ended.code, ended.out) == (2, ""), flags
        assert why in ended.err
        assert len(ended.err.splitlines()) <= 2


def test_an_api_key_cannot_list_accounts(cli: Cli) -> None:
    """An API key exports its own account; of all accounts it is said what it takes."""
    key, secret = cli.box.keys[cli.box.parent]
    environment = {
        "TWILIO_ACCOUNT_SID": cli.box.parent,
        "TWILIO_API_KEY": key,
        "TWILIO_API_SECRET": secret,
    }
    assert export(cli, environment=environment).code == 0
    ended = export(cli, "--all-accounts", environment=environment)
    assert (ended.code, ended.out) == (6, "")
    assert "use the account's auth token" in ended.err


def test_unfit_entries_are_told(cli: Cli, place: Place) -> None:
    """An entry whose name would not come back as it is: exported, and said."""
    path = f"/2010-04-01/Accounts/{place.account}/SIP/IpAccessControlLists/{place.acl}"
    post(cli, f"{path}/IpAddresses.json", b"IpAddress=62.0.0.1&FriendlyName=+spaces+")
    ended = export(cli, "--account", place.account, "--list", place.acl)
    assert ended.code == 0
    assert "1 entry is such that `apply` would refuse or change them" in ended.err
    cli.file("out.csv", ended.out)
    assert " spaces " in {line["friendly_name"] for line in read_csv(cli.cwd / "out.csv")}


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(boxed: Callable[..., Cli], signum: signal.Signals) -> None:
    """A signal ends it at once with 130, without output."""
    cli = boxed("--lists", "50", "--entries", "2", "--latency", "0.5")
    before = cli.box.stats()["total"]
    running = cli.start(
        "export", "--base-url", cli.box.url, "--output", "out.csv", "--account-max-in-flight", "1"
    )
    until(lambda: cli.box.stats()["total"] > before + 1)
    running.signal(signum)
    ended = running.end(limit_s=10)
    assert (ended.code, ended.out) == (130, ""), ended.err
    assert ended.err == "bulkipacl: interrupted\n"
    assert not (cli.cwd / "out.csv").exists()


def test_edited_and_applied(cli: Cli, place: Place) -> None:
    """An export on standard input, its operation changed, deletes by its sids."""
    out = export(cli, "--account", place.account, "--list", "list 2").out
    deletes = out.replace("upsert,", "delete,").encode()
    ended = cli.apply("-", "--allow-empty", stdin=deletes)
    assert ended.code == 0, ended.err
    assert place.held(place.lists[1]) == []
    assert len(place.held()) == 3
