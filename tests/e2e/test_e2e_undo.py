"""`undo` as a process: shown first, carried out by `apply` or with --yes, whatever RUN came to."""

from __future__ import annotations

import signal
import urllib.request
from collections.abc import Callable
from typing import Any

import orjson
from e2e_tools import Cli, Ended, Place, creates, csv_text, until

from bulkipacl.cli.options import ProgressMode
from bulkipacl.cli.terminal import Terminal
from bulkipacl.credentials import load_credentials
from bulkipacl.engine.job import Job
from bulkipacl.engine.plan import apply_plan
from bulkipacl.jobs.undo import plan_undo
from bulkipacl.model import Outcome
from bulkipacl.settings import Settings
from bulkipacl.twilio.hosts import resolve_base_url

OPEN = ("--max-deletes", "100%", "--allow-empty")


def undo(cli: Cli, run: str, *flags: str) -> Ended:
    """Undo a run of the sandbox."""
    where = ("--base-url", cli.box.url, "--progress", "none", "--settle", "0.2")
    return cli.run("undo", run, *where, *flags)


def written(cli: Cli, place: Place) -> None:
    """A file with two creates, a delete and two updates."""
    sids = list(place.entries())
    rows = [
        ("create", "", "62.0.0.1", "new"),
        ("create", "", "62.0.0.2", "new"),
        ("delete", sids[0], "", ""),
        ("update", sids[1], "", "renamed"),
        ("update", sids[2], "62.0.0.3", ""),
    ]
    header = "operation,account,list,sid,ip,name"
    lines = [(op, place.account, place.acl, *rest) for op, *rest in rows]
    cli.file("in.csv", csv_text(header, lines))
    ended = cli.apply("in.csv")
    assert ended.code == 0, ended.err


def other(cli: Cli, place: Place, **fields: Any) -> None:
    """Another client writes to a list."""
    body = orjson.dumps({"account": place.account, "list": place.acl, **fields})
    request = urllib.request.Request(  # noqa: S310 - ours
        f"{cli.box.url}/sandbox/entries", body, method="POST"
    )
    with urllib.request.urlopen(request, timeout=10):  # noqa: S310 - ours
        pass


def test_shown_then_applied(cli: Cli, place: Place) -> None:
    """Without --yes nothing is sent; `apply` carries it out; undone once more, it is as it was."""
    before = place.held()
    written(cli, place)
    after, effects = place.held(), len(place.effects())
    shown = undo(cli, "run", "--run", "back", *OPEN)
    assert shown.code == 0, shown.err
    assert "5 rows, 1 list: 1 to create, 2 to update, 2 to delete" in shown.out
    assert f"bulkipacl apply back --base-url {cli.box.url}" in shown.err
    assert len(place.effects()) == effects
    applied = cli.run("apply", "back", "--base-url", cli.box.url, "--progress", "none")
    assert applied.code == 0, applied.err
    assert place.held() == before
    cli.verify("back")
    assert [line["undoes"] for line in cli.report("back")] == [
        "created by row 1",
        "created by row 2",
        "updated by row 4",
        "updated by row 5",
        "deleted by row 3",
    ]
    again = undo(cli, "back", "--run", "again", "--yes", "--json", *OPEN)
    assert (again.code, again.json["outcomes"]["deleted"]) == (0, 1), again.err
    assert place.held() == after
    assert undo(cli, "back", "--run", "third").code == 2


def test_guards_hold(cli: Cli, place: Place) -> None:
    """A way back that would delete most of a list is refused, and the override of the run that is
    undone does not open it."""
    cli.file("in.csv", creates(place, 6))
    assert cli.apply("in.csv", *OPEN).code == 0
    after = place.held()
    ended = undo(cli, "run", "--run", "back", "--yes")
    assert ended.code == 5, ended.err
    assert "--max-deletes" in ended.err
    assert place.held() == after


def test_conflicts(cli: Cli, place: Place) -> None:
    """What another client changed since is left, told on stderr and in the report: exit 5."""
    written(cli, place)
    new = next(sid for sid, entry in place.entries().items() if entry[0] == "62.0.0.1")
    other(cli, place, op="update", sid=new, friendly_name="theirs")
    shown = undo(cli, "run", "--run", "back", *OPEN)
    assert shown.code == 5, (shown.out, shown.err)
    assert "somebody else has changed it to 62.0.0.1/32 'theirs'" in shown.err
    ended = cli.run("apply", "back", "--base-url", cli.box.url, "--progress", "none")
    assert ended.code == 5, ended.err
    (left,) = [line for line in cli.report("back") if line["outcome"] == "refused"]
    assert (left["reason"], left["sid"], left["operation"]) == ("changed_since", new, "delete")
    assert ("62.0.0.1", 32, "theirs") in place.held()
    assert len(place.entries()) == 4
    cli.verify("back")
    retried = cli.run("retry", "back", "--run", "re", "--base-url", cli.box.url)
    assert retried.code == 5, retried.err
    assert ("62.0.0.1", 32, "theirs") in place.held()


class Meddling(Terminal):
    """An observer that lets another client write once the rows are made."""

    def __init__(self, meddle: Callable[[], None]) -> None:
        super().__init__(ProgressMode.NONE)
        self._meddle = meddle

    def taken_in(self, rows: int) -> None:
        """The lists have been read, and the plan is still to read them."""
        self._meddle()


def test_changed_while_it_is_planned(cli: Cli, place: Place) -> None:
    """What changes between the reading that rows are made from and that of the plan is drift."""
    written(cli, place)
    new = next(sid for sid, entry in place.entries().items() if entry[0] == "62.0.0.1")

    def meddle() -> None:
        other(cli, place, op="update", sid=new, friendly_name="theirs")

    base = resolve_base_url(cli.box.url, {})
    settings = Settings(base_url=cli.box.url, allow_empty=True, max_deletes_percent=100.0)
    job = Job(cli.cwd / "back", settings, load_credentials(cli.box.token_environment), base)
    assert plan_undo(cli.cwd / "run", job, Meddling(meddle)).ending == "planned"
    held = place.held()
    summary = apply_plan(job, Terminal(ProgressMode.NONE))
    assert (summary.outcomes[Outcome.REFUSED], summary.causes[0].reason) == (5, "drift")
    assert place.held() == held


def killed(cli: Cli, place: Place) -> None:
    """An `apply` that was killed in the middle."""
    rows = creates(place, 60) + creates(place, 60, 100, place.lists[1]).partition("\n")[2]
    cli.file("in.csv", rows)
    running = cli.start_apply("in.csv", "--rate", "60", "--account-max-in-flight", "4")
    until(lambda: len(place.effects()) > 12)
    running.signal(signal.SIGKILL)
    assert running.end().code == -signal.SIGKILL
    assert 12 < len(place.effects()) < 120


def test_killed(cli: Cli, place: Place) -> None:
    """A run that was killed is undone as it is."""
    before = place.held(), place.held(place.lists[1])
    killed(cli, place)
    ended = undo(cli, "run", "--run", "back", "--yes", *OPEN)
    assert ended.code == 0, ended.err
    assert (place.held(), place.held(place.lists[1])) == before


def test_killed_and_resumed(cli: Cli, place: Place) -> None:
    """A run that was killed and resumed is undone whole."""
    before = place.held(), place.held(place.lists[1])
    killed(cli, place)
    resumed = cli.run("resume", "run", "--base-url", cli.box.url, "--rate", "5000", "--settle", "0")
    assert resumed.code == 0, resumed.err
    assert len(place.held()) == 63
    ended = undo(cli, "run", "--run", "back", "--yes", "--rate", "5000", *OPEN)
    assert ended.code == 0, ended.err
    assert (place.held(), place.held(place.lists[1])) == before


def test_what_cannot_be_undone(cli: Cli, place: Place) -> None:
    """A run without a write, one of another host, one that cannot be read: nothing is made."""
    cli.file("bad.csv", creates(place, 1).replace("62.0.0.0", "62.0.0.300"))
    assert cli.apply("bad.csv").code == 3
    nothing = undo(cli, "run", "--run", "back")
    assert (nothing.code, "nothing of run is left to be undone" in nothing.err) == (2, True)
    cli.file("in.csv", creates(place, 1))
    assert cli.apply("in.csv", "--run", "good").code == 0
    unused = undo(cli, "good", "--report", "report.jsonl")
    assert (unused.code, "belong to --yes" in unused.err) == (2, True)
    elsewhere = cli.run("undo", "good", "--base-url", "http://127.0.0.1:9", "--run", "back")
    assert (elsewhere.code, "this run was sent to" in elsewhere.err) == (2, True)
    wrong = {"TWILIO_ACCOUNT_SID": cli.box.parent, "TWILIO_AUTH_TOKEN": "f" * 32}
    where = ("--base-url", cli.box.url, "--progress", "none")
    refused = cli.run("undo", "good", *where, "--run", "back", environment=wrong)
    assert refused.code == 6, refused.err
    assert "1 list could not be read" in refused.err
    assert not (cli.cwd / "back").exists()
