"""Exit codes, and what is sent when something is wrong."""

import subprocess
import sys
from collections.abc import Callable

import pytest
from e2e_tools import Cli, Place, creates, csv_text, ip, read_csv, until


def sent(cli: Cli) -> int:
    """Requests that the sandbox has seen."""
    return int(cli.box.stats()["total"])


def test_a_refused_row(cli: Cli, place: Place) -> None:
    """A row that the API refuses: exit 1, its answer kept as received, all others done."""
    rows = [
        ("create", place.acl, "", ip(0)),
        ("create", "AL" + "0" * 32, "", ip(1)),
        ("update", place.acl, "IP" + "0" * 32, ip(2)),
    ]
    file = cli.file("in.csv", csv_text("operation,list,sid,ip", rows))
    ended = cli.apply(file, "--account", place.account)
    assert ended.code == 1, ended.err
    assert cli.outcomes() == ["created", "failed", "failed"]
    gone = cli.report()[1]
    assert (gone["reason"], gone["http_status"]) == ("list_not_found", "404")
    assert gone["error_code"] == "20404"
    assert "not found" in gone["error_message"]
    assert gone["more_info"].startswith("http")
    assert "1 failed (list_not_found, HTTP 404, code 20404)" in ended.err
    assert [line["ip"] for line in cli.rejects()] == [ip(1), ip(2)]
    cli.verify()


USAGE: list[tuple[list[str], str]] = [
    (["--no-such-flag"], "no-such-flag"),
    (["--max-in-flight", "0"], "--max-in-flight is 0"),
    (["--rate", "nan"], "--rate is nan"),
    (["--timeout", "0"], "--timeout"),
    (["--base-url", "http://api.example.com"], "http"),
    (["--base-url", "https://user:pw@api.example.com"], ""),
    (["--stream", "-", "--json"], "stdout"),
    (["--report", "report.pdf"], "report.pdf"),
    (["--report", "no/such/place.csv"], "no/such"),
    (["--stream", "no/such/place.jsonl"], "no/such"),
]


@pytest.mark.parametrize(("flags", "told"), USAGE, ids=[" ".join(flags) for flags, _ in USAGE])
def test_usage(cli: Cli, place: Place, flags: list[str], told: str) -> None:
    """A wrong flag: exit 2, a line and a hint, nothing sent, no run directory left."""
    file = cli.file("in.csv", creates(place, 2))
    before = sent(cli)
    ended = cli.run_inside("apply", file, "--run", "run", "--base-url", cli.box.url, *flags)
    assert ended.code == 2, ended.err
    assert ended.out == ""
    assert ended.err.startswith("bulkipacl: ")
    assert told in ended.err
    assert len(ended.err.splitlines()) <= 2
    assert sent(cli) == before
    assert not (cli.cwd / "run").exists()


def test_no_credentials(cli: Cli, place: Place) -> None:
    """No credential anywhere: exit 2, and the hint names the variables."""
    ended = cli.apply(cli.file("in.csv", creates(place, 2)), environment={})
    assert (ended.code, ended.out) == (2, "")
    assert "TWILIO_ACCOUNT_SID" in ended.err
    assert not (cli.cwd / "run").exists()


INVALID = [
    # row, column, value, a part of the suggestion
    (("create", "", "010.0.0.1", "", "a"), "ip_address", "010.0.0.1", "10.0.0.1"),
    (("create", "", "62.1.2.3", "0", "a"), "cidr_prefix_length", "0", "32"),
    (("create", "", "62.1.2.4", "33", "a"), "cidr_prefix_length", "33", ""),
    (("create", "", "2001:db8::1", "", "a"), "ip_address", "2001:db8::1", ""),
    (("insert", "", "62.1.2.5", "", "a"), "operation", "insert", "create"),
    (("delete", "AL" + "0" * 32, "", "", ""), "sid", "AL" + "0" * 32, "IP"),
    (("create", "", "62.1.2.6", "", "n" * 256), "friendly_name", "n" * 59 + "…", ""),
    (("create", "", "", "", "a"), "ip_address", "", "ip_address"),
]


def test_invalid_rows(cli: Cli, place: Place) -> None:
    """One invalid row: exit 3, nothing sent at all, every problem told with its place."""
    good = ("create", "", ip(0), "", "good")
    rows = [good, *(row for row, *_ in INVALID), ("create", "", ip(0), "", "another name")]
    file = cli.file("in.csv", csv_text("operation,sid,ip,prefix,name", rows))
    before = sent(cli)
    flags = ["--account", place.account, "--list", place.acl]
    ended = cli.apply("in.csv", *flags)
    assert file.exists()
    assert (ended.code, ended.out) == (3, "")
    assert sent(cli) == before
    for line, (_, column, value, suggestion) in enumerate(INVALID, start=3):
        start = f"in.csv:{line}: column {column}, value '{value}': "
        (told,) = [text for text in ended.err.splitlines() if text.startswith(start)]
        assert suggestion in told[len(start) :]
    assert "in.csv:11: column friendly_name, value 'another name': " in ended.err
    assert cli.outcomes() == ["not_attempted", *["invalid"] * len(INVALID), "invalid"]
    assert len(cli.rejects()) == len(rows)
    assert all(line["reject_reason"] for line in cli.rejects())
    cli.verify()
    assert cli.run("verify", "run", environment={}).code == 0
    validated = cli.run_inside("validate", "in.csv", *flags, environment={})
    assert validated.code == 3
    assert validated.err.count("in.csv:") >= len(INVALID) + 1


def test_every_problem_has_a_suggestion(cli: Cli, place: Place) -> None:
    """Each problem ends with what to write instead, in the terminal and in the report."""
    rows = [row for row, *_ in INVALID]
    cli.file("in.csv", csv_text("operation,sid,ip,prefix,name", rows))
    ended = cli.apply_inside("in.csv", "--account", place.account, "--list", place.acl)
    assert ended.code == 3
    without = [line["line"] for line in cli.report() if not line["suggestion"]]
    assert without == []


def test_too_many_creates(cli: Cli, place: Place) -> None:
    """101 creates for one list can never fit: exit 3 before anything is sent."""
    before = sent(cli)
    ended = cli.apply_inside(cli.file("in.csv", creates(place, 101)))
    assert ended.code == 3
    assert "in.csv:102: " in ended.err
    assert sent(cli) == before
    assert cli.outcomes() == ["not_attempted"] * 100 + ["invalid"]
    cli.verify()


def test_a_refused_credential(boxed: Callable[..., Cli]) -> None:
    """A wrong token for one account: exit 6, its rows are not_attempted, all others are done."""
    cli = boxed("--accounts", "3", "--lists", "2")
    accounts = list(cli.box.accounts)
    wrong = "0123456789abcdef" * 2
    cli.secrets.append(wrong)
    tokens = {**cli.box.accounts, accounts[1]: wrong}
    tables = "".join(f'["{sid}"]\nauth_token = "{token}"\n' for sid, token in tokens.items())
    path = cli.file("credentials.toml", tables)
    path.chmod(0o600)
    rows = [
        ("create", account, cli.box.lists[account][number % 2], ip(number))
        for account in accounts
        for number in range(20)
    ]
    file = cli.file("in.csv", csv_text("operation,account,list,ip", rows))
    ended = cli.apply(file, "--credentials", path, "--json", environment={})
    assert ended.code == 6, ended.err
    for line in cli.report():
        if line["account_sid"] == accounts[1]:
            assert (line["outcome"], line["reason"]) == ("not_attempted", "credentials_refused")
            assert (line["http_status"], line["error_code"]) == ("401", "20003")
            assert "check" in line["suggestion"]
        else:
            assert line["outcome"] == "created"
    assert cli.box.stats()["requests"]["GET"]["401"] <= 20
    assert ended.json["accounts_stopped"] == [accounts[1]]
    assert len(cli.rejects()) == 20
    cli.verify()


def test_one_run_directory_one_writer(boxed: Callable[..., Cli]) -> None:
    """A run directory that a process holds is refused to a second one, which sends nothing."""
    cli = boxed("--latency", "0.15", "--entries", "2")
    account, (acl,) = cli.box.parent, cli.box.lists[cli.box.parent]
    rows = [("create", account, acl, ip(number)) for number in range(40)]
    file = cli.file("in.csv", csv_text("operation,account,list,ip", rows))
    first = cli.start_apply(file, "--max-in-flight", "4")
    until(lambda: cli.box.ledger())
    second = cli.apply_inside(file)
    assert second.code in (2, 9), second.err
    assert "run" in second.err
    report = cli.run_inside("report", "run", "--report", "now.csv", environment={})
    assert report.code in (0, 7, 8), report.err
    assert len(read_csv(cli.cwd / "now.csv")) == 40
    ended = first.end()
    assert ended.code == 0, ended.err
    effects = cli.box.ledger()
    assert len({one["ip_after"] for one in effects}) == len(effects) == 40
    assert cli.apply_inside(file).code == 2
    assert cli.box.requests() == {"GET": 1, "POST": 40}
    cli.verify()


def test_two_at_once(cli: Cli, place: Place) -> None:
    """Two that make the same run directory at the same moment: one does it all, one is refused."""
    file = cli.file("in.csv", creates(place, 30))
    both = [cli.start_apply(file) for _ in range(2)]
    codes = sorted(one.end().code for one in both)
    assert codes[0] == 0
    assert codes[1] in (2, 9)
    assert len(place.effects()) == 30
    cli.verify()


def test_directory_held_by_another(cli: Cli, place: Place) -> None:
    """A lock on the run directory is 9, told with the directory's name."""
    holder = (
        "import fcntl, os, sys; fd = os.open('run', os.O_RDONLY);"
        "fcntl.flock(fd, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"
    )
    (cli.cwd / "run").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", holder],
        cwd=cli.cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        before = sent(cli)
        ended = cli.apply(cli.file("in.csv", creates(place, 2)))
        process.communicate()
    assert ended.code == 9, ended.err
    assert "run" in ended.err
    assert sent(cli) == before
