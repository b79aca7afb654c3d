"""The other verbs: check, validate, sandbox, demo, --version."""

import signal
import subprocess
from collections.abc import Callable

import pytest
from e2e_tools import PROGRAM, Cli, Place, clean_environment, creates, csv_text, until

from bulkipacl.store import views
from bulkipacl.store.rundir import RunDirectory


def test_check_ok(cli: Cli) -> None:
    """`check` is 0 where every credential reaches its account, with one GET for each."""
    more = list(cli.box.accounts)[1:3]
    before = cli.box.requests().get("GET", 0)
    flags = [text for sid in more for text in ("--account", sid)]
    ended = cli.run("check", "--base-url", cli.box.url, *flags)
    assert (ended.code, ended.out) == (0, ""), ended.err
    assert [line.split()[:2] for line in ended.err.splitlines()] == [
        [sid, "ok"] for sid in (cli.box.parent, *more)
    ]
    assert cli.box.requests()["GET"] == before + 3
    as_json = cli.run_inside("check", "--base-url", cli.box.url, "--json")
    assert as_json.json["accounts"][0]["verdict"] == "ok"


def test_check_wrong_token(cli: Cli) -> None:
    """`check` is 6 where the credential is refused, and says what the API said."""
    wrong = {"TWILIO_ACCOUNT_SID": cli.box.parent, "TWILIO_AUTH_TOKEN": "f" * 32}
    ended = cli.run_inside("check", "--base-url", cli.box.url, environment=wrong)
    assert ended.code == 6
    assert "refused" in ended.err
    assert "20003" in ended.err
    assert "f" * 32 not in ended.err


def test_check_unreachable(cli: Cli) -> None:
    """`check` is 1 where the host cannot be reached."""
    ended = cli.run_inside("check", "--base-url", "http://127.0.0.1:9")
    assert ended.code == 1
    assert "unreachable" in ended.err


def key_environment(cli: Cli) -> dict[str, str]:
    """The parent's API key."""
    key, secret = cli.box.keys[cli.box.parent]
    return {
        "TWILIO_ACCOUNT_SID": cli.box.parent,
        "TWILIO_API_KEY": key,
        "TWILIO_API_SECRET": secret,
    }


def test_check_own_key(cli: Cli) -> None:
    """`check` is 0 for an API key that works on its own account."""
    ended = cli.run_inside("check", "--base-url", cli.box.url, environment=key_environment(cli))
    assert ended.code == 0, ended.err


def test_key_of_the_parent(cli: Cli, place: Place) -> None:
    """A parent's API key for a subaccount: `check` and `apply` are 2 and say why; none is asked."""
    environment = key_environment(cli)
    ended = cli.run_inside(
        *("check", "--base-url", cli.box.url, "--account", place.account), environment=environment
    )
    assert ended.code == 2
    assert "parent's API key does not reach its subaccounts" in ended.err
    before = cli.box.stats()["total"]
    applied = cli.apply_inside(cli.file("in.csv", creates(place, 2)), environment=environment)
    assert applied.code == 2, applied.err
    assert "parent's API key does not reach its subaccounts" in applied.err
    assert cli.box.stats()["total"] == before
    assert not place.effects()


def test_apply_with_a_key(cli: Cli) -> None:
    """An API key does all that a run needs on its own account."""
    acl = cli.box.lists[cli.box.parent][2]
    own = Place(cli.box, cli.box.parent, [acl])
    ended = cli.apply_inside(cli.file("in.csv", creates(own, 3)), environment=key_environment(cli))
    assert ended.code == 0, ended.err


def test_validate(cli: Cli, place: Place) -> None:
    """`validate` is 0 for good rows, needs no credential or network, and leaves nothing behind."""
    cli.file("in.csv", creates(place, 5))
    before = cli.box.stats()["total"]
    ended = cli.run("validate", "in.csv", environment={"TMPDIR": str(cli.cwd)})
    assert (ended.code, ended.out) == (0, "")
    as_json = cli.run_inside(
        "validate", "-", "--json", environment={}, stdin=creates(place, 5).encode()
    )
    figures = as_json.json
    assert [problem["reason"] for problem in figures.pop("problems")] == ["mergeable"]
    assert figures == {"rows": 5, "invalid": 0, "warnings": 1}
    assert cli.box.stats()["total"] == before
    assert [path.name for path in cli.cwd.iterdir()] == ["in.csv"]


def test_lints(cli: Cli, place: Place) -> None:
    """`validate --json` lists every problem with its severity and what to write instead; a plan's
    notes say how many warnings there were."""
    rows = [
        ("195.178.188.66/29", "Lisbon trunk"),
        ("10.0.0.1", "Lisbon-Trunk"),
        ("62.0.0.0/25", "Oslo"),
        ("62.0.0.128/25", "Quito"),
        *((f"127.0.0.{n}", f"Perth {n}") for n in range(1, 7)),
    ]
    lines = [("create", place.account, place.acl, ip, name) for ip, name in rows]
    cli.file("in.csv", csv_text("operation,account,list,ip,name", lines))
    ended = cli.run("validate", "in.csv", "--json", environment={})
    assert ended.code == 0
    found = ended.json["problems"]
    assert ended.json["warnings"] == len(found) == 12
    assert {problem["severity"] for problem in found} == {"warning"}
    by_line = {(p["line"], p["reason"]): p["suggestion"] for p in found}
    assert by_line[2, "host_bits"] == "write 195.178.188.64/29"
    assert by_line[3, "near_names"].startswith("write both alike")
    assert by_line[5, "mergeable"] == "one entry for 62.0.0.0/24 would do, and leave 1 place free"
    assert all(by_line[line, "reserved_range"] for line in range(6, 12))
    planned = cli.run("plan", "in.csv", "--run", "p", "--base-url", cli.box.url)
    assert planned.code == 0, planned.err
    with RunDirectory.open(cli.cwd / "p", is_writable=False) as run:
        notes = views.summary(run).notes
    assert any(
        note.startswith("6 warnings of `reserved_range`, the first: in.csv:6:") for note in notes
    )


def test_version() -> None:
    """`--version` prints, ends with 0, and imports nothing heavy."""
    ended = subprocess.run(
        [PROGRAM[0], "-X", "importtime", *PROGRAM[1:], "--version"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert ended.returncode == 0
    assert ended.stdout.startswith("bulkipacl ")
    assert ended.stdout.count("\n") == 1
    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert "bulkipacl" in imported
    assert not imported & {"aiohttp", "uvloop", "aiolimiter", "orjson", "typer", "sqlite3"}


@pytest.mark.parametrize("arguments", [[], ["apply", "-h"]])
def test_help(cli: Cli, arguments: list[str]) -> None:
    """Help goes to stdout and ends with 0."""
    ended = cli.run_inside(*arguments, environment={})
    assert (ended.code, ended.err) == (0, "")
    assert "Usage" in ended.out


def test_unknown_verb(cli: Cli) -> None:
    """An unknown verb, and a run directory that is none: exit 2, one line and a hint."""
    for arguments in (["frobnicate"], ["verify", "nowhere"], ["report", "."], ["apply"]):
        ended = cli.run_inside(*arguments)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith("bulkipacl: ")
        assert len(ended.err.splitlines()) <= 2


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_sandbox_ends_on_a_signal(boxed: Callable[..., Cli], signum: signal.Signals) -> None:
    """`sandbox` ends with 0 and without a word."""
    box = boxed().box
    box.process.send_signal(signum)
    until(lambda: box.process.poll() is not None, 5.0)
    box.close()


def test_sandbox_usage(cli: Cli) -> None:
    """A switch that makes no sense: exit 2, one line and a hint."""
    for flags in (
        ["--fault", "nope=1"],
        ["--host", "0.0.0.0"],  # noqa: S104 - it must be refused
    ):
        ended = cli.run_inside("sandbox", "--port", "0", *flags)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith("bulkipacl: ")


def test_demo(cli: Cli) -> None:
    """`demo` does all of it offline, and what it leaves behind passes `verify`."""
    ended = cli.run(
        *("demo", "--progress", "none", "--rows", "400", "--run", "demo"), environment={}
    )
    assert (ended.code, ended.out) == (0, ""), ended.err
    cli.verify("demo")
    assert len(cli.report("demo")) >= 350
