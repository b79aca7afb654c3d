"""Plans from end to end: made, shown, applied once; a thousand lists of which one drifts."""

import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import orjson
from e2e_tools import Box, Cli, Place, creates, csv_text, ip

HEADER = "operation,account_sid,list,ip,name"


def meddle(box: Box, account: str, acl: str) -> None:
    """Another client adds an entry to a list."""
    asked = {"op": "create", "account": account, "list": acl, "ip_address": "9.9.9.9"}
    body = orjson.dumps(asked | {"friendly_name": "theirs"})
    with urllib.request.urlopen(f"{box.url}/sandbox/entries", body, timeout=10) as answer:  # noqa: S310 - ours
        assert answer.status == 201


def planning(cli: Cli, *arguments: str | Path) -> list[str | Path]:
    """The arguments of a `plan` of the sandbox into `run`."""
    flags = ("--base-url", cli.box.url, "--progress", "none", "--run", "run")
    return ["plan", *arguments, *flags]


def test_a_thousand_lists_of_which_one_drifts(boxed: Callable[..., Cli]) -> None:
    """999 are applied as planned, the rows of the one are refused, and the exit code is 5."""
    cli = boxed("--accounts", "10", "--lists", "100", "--entries", "1")
    places = [(account, acl) for account, lists in cli.box.lists.items() for acl in lists]
    assert len(places) == 1_000
    rows = [("create", *place, ip(n), "new") for n, place in enumerate(places)]
    cli.file("in.csv", csv_text(HEADER, rows))
    made = cli.run(*planning(cli, "in.csv", "--json", "--detailed-exitcode"))
    assert made.code == 4, made.err
    assert made.json["outcomes"]["created"] == made.json["changes"] == 1_000
    assert {(one["entries_before"], one["entries_after"]) for one in made.json["lists"]} == {(1, 2)}
    assert set(cli.box.requests()) == {"GET"}
    drifted = places[500]
    meddle(cli.box, *drifted)
    ended = cli.run(*cli.applying("run", "--json"))
    assert ended.code == 5, ended.err
    assert Counter(cli.outcomes()) == {"created": 999, "refused": 1}
    (cause,) = ended.json["causes"]
    assert (cause["reason"], cause["first"]["row"]) == ("drift", 501)
    by_us = [one for one in cli.box.ledger() if one["by"] != "other"]
    assert len(by_us) == 999
    assert drifted not in {(one["account_sid"], one["list_sid"]) for one in by_us}
    cli.verify()


def test_a_plan_is_applied_once(cli: Cli, place: Place) -> None:
    """It sends no write; `resume` says what to do with it; a second `apply` is told no."""
    cli.file("in.csv", creates(place, 3))
    made = cli.run(*planning(cli, "in.csv", "--changes"))
    assert (made.code, place.effects()) == (0, []), made.err
    assert f"create  {ip(0)}/32" in made.out
    assert f"bulkipacl apply run --base-url {cli.box.url}" in made.err
    cli.verify()
    refused = cli.run("resume", "run", "--base-url", cli.box.url)
    assert refused.code == 2
    assert "`bulkipacl apply run`" in refused.err
    assert cli.run(*cli.applying("run")).code == 0
    assert len(place.effects()) == 3
    cli.verify()
    again = cli.run(*cli.applying("run"))
    assert again.code == 2
    assert "was applied already" in again.err
    assert len(place.effects()) == 3


def test_what_a_plan_says_of_guards(cli: Cli, place: Place) -> None:
    """A refusal is shown with its override; made with it, the plan is applied with it."""
    held = list(place.entries())
    cli.file("in.csv", csv_text("operation,list,sid", [("delete", place.acl, sid) for sid in held]))
    flags = ("--account", place.account)
    made = cli.run(*planning(cli, "in.csv", "--markdown", *flags))
    assert made.code == 5
    assert f"| {place.acl} |" in made.out
    assert "--allow-empty" in made.out
    assert cli.run(*cli.applying("run")).code == 5
    assert cli.outcomes() == ["refused"] * 3
    more = ("--base-url", cli.box.url, "--progress", "none", "--run", "more", "--allow-empty")
    assert cli.run("plan", "in.csv", *flags, *more).code == 0
    ended = cli.run(*cli.applying("more"))
    assert ended.code == 0
    assert "--allow-empty was used for" in ended.err
    assert place.entries() == {}


def test_nothing_is_written_before_all_lists_are_checked(cli: Cli, place: Place) -> None:
    """With --check-first one refused list keeps all others back; a resume carries these out."""
    rows = [("create", acl, "62.0.0.1", "") for acl in place.lists[:2]]
    rows.append(("create", place.lists[2], "11.0.0.0/8", ""))
    cli.file("in.csv", csv_text("operation,list,ip,name", rows))
    ended = cli.apply("in.csv", "--account", place.account, "--check-first")
    assert ended.code == 5, ended.err
    assert cli.outcomes() == ["not_attempted", "not_attempted", "refused"]
    assert place.effects() == []
    cli.verify()
    ended = cli.run("resume", "run", "--base-url", cli.box.url, "--progress", "none")
    assert ended.code == 5
    assert cli.outcomes() == ["created", "created", "refused"]
    cli.verify()
