"""Whatever is wrong: one line and a hint, no traceback, and no secret anywhere."""

import os
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e_tools import Cli, Place, creates, csv_text, ip, until

UNTEXT = bytes(range(256)) * 20

BAD_INPUTS: list[tuple[str, bytes, int]] = [
    ("empty.csv", b"", 3),
    ("header.csv", b"operation,account,list,ip\n", 3),
    ("unknown.csv", b"color,shape\nred,round\n", 3),
    ("binary.csv", UNTEXT, 3),
    ("workbook.csv", b"PK\x03\x04" + bytes(500), 3),
    ("broken.csv.gz", b"\x1f\x8b\x08 no archive", 3),
    ("broken.json", b'[{"operation": "create", ', 3),
    ("twice.csv", b"op,action,ip\ncreate,create,62.0.0.1\n", 3),
]


@pytest.mark.parametrize(
    ("name", "data", "code"), BAD_INPUTS, ids=[name for name, *_ in BAD_INPUTS]
)
def test_bad_input(cli: Cli, place: Place, name: str, data: bytes, code: int) -> None:
    """A file that is no input is told in words, nothing is sent, with or without skipping."""
    cli.file(name, data)
    before = cli.box.stats()["total"]
    flags = ["--account", place.account, "--list", place.acl]
    ended = cli.apply_inside(name, *flags)
    assert (ended.code, ended.out) == (code, ""), ended.err
    assert name in ended.err or "no row" in ended.err
    assert cli.box.stats()["total"] == before


@pytest.mark.parametrize("name", ["missing.csv", "folder", "locked.csv"])
def test_a_file_that_cannot_be_opened(cli: Cli, name: str) -> None:
    """A missing file, a directory, a file that may not be read: one line, no run directory."""
    (cli.cwd / "folder").mkdir()
    locked = cli.file("locked.csv", "ip\n")
    if name == "locked.csv":
        if os.geteuid() == 0:
            pytest.skip("root may read everything")
        locked.chmod(0)
    ended = cli.apply_inside(name)
    assert ended.code in (2, 3), ended.err
    assert ended.err.startswith("bulkipacl: ")
    assert name in ended.err
    assert len(ended.err.splitlines()) <= 2
    assert not (cli.cwd / "run").exists()


CREDENTIALS: list[tuple[str, int, str]] = [
    ("auth_token = 'TOKEN'", 0o644, "chmod 600"),
    ('["ACCOUNT"]\nauth_token = TOKEN', 0o600, "line 2"),
    ('["ACCOUNT"]\nauth_tokn = "TOKEN"', 0o600, "auth_token"),
    ('["ACCOUNT"]\nauth_token = "env:NOT_SET_ANYWHERE"', 0o600, "NOT_SET_ANYWHERE"),
    ('["ACCOUNT"]\nauth_token = "cmd:false"', 0o600, "false"),
    ("", 0o600, "no account"),
]


@pytest.mark.parametrize(
    ("text", "mode", "told"), CREDENTIALS, ids=[told for _, _, told in CREDENTIALS]
)
def test_bad_credentials_file(cli: Cli, place: Place, text: str, mode: int, told: str) -> None:
    """A credentials file that is unsafe or wrong: exit 2, told without any of its secrets."""
    token = cli.box.accounts[place.account]
    path = cli.file(
        "credentials.toml", text.replace("TOKEN", token).replace("ACCOUNT", place.account)
    )
    path.chmod(mode)
    file = cli.file("in.csv", creates(place, 2))
    before = cli.box.stats()["total"]
    ended = cli.apply_inside(file, "--credentials", path, environment={})
    assert (ended.code, ended.out) == (2, ""), ended.err
    assert ended.err.startswith("bulkipacl: ")
    assert told in ended.err
    assert len(ended.err.splitlines()) <= 2
    assert cli.box.stats()["total"] == before


def test_names_cannot_drive_the_terminal(cli: Cli, place: Place) -> None:
    """Control characters of the input never reach the terminal, in any message."""
    bad = "\x1b]0;owned\x07\x1b[2J"
    rows = [("create", place.acl, ip(0), bad), (bad, place.acl, ip(1), "a")]
    file = cli.file(f"in{bad[:3]}.csv", csv_text("operation,list,ip,name", rows))
    ended = cli.apply_inside(file.name, "--account", place.account)
    assert ended.code == 3
    assert "\x1b" not in ended.err
    assert "\x07" not in ended.err


def files_with(secret: bytes, place: Path) -> list[Path]:
    """Files in which the secret stands."""
    return [path for path in place.rglob("*") if path.is_file() and secret in path.read_bytes()]


def test_no_secret_anywhere(boxed: Callable[..., Cli]) -> None:
    """The token is in no file of the run, in no output, and in no process list."""
    cli = boxed("--latency", "0.1", "--entries", "2", "--fault", "reset_after=0.1")
    token = cli.box.accounts[cli.box.parent]
    (acl,) = cli.box.lists[cli.box.parent]
    rows = [("create", acl, ip(number)) for number in range(15)]
    file = cli.file("in.csv", csv_text("operation,list,ip", rows))
    reports = ["--report", "out.jsonl", "--stream", "stream.jsonl"]
    running = cli.start_apply(file, *reports, "--account-max-in-flight", "3", "--settle", "0.1")
    until(lambda: cli.box.ledger())
    command = Path(f"/proc/{running.process.pid}/cmdline").read_bytes()
    assert b"apply" in command
    assert token.encode() not in command
    assert not files_with(token.encode(), cli.cwd)
    ended = running.end()
    assert ended.code == 0, ended.err
    assert not files_with(token.encode(), cli.cwd)
    header = b64encode(f"{cli.box.parent}:{token}".encode())
    assert not files_with(header[20:], cli.cwd)
    cli.verify()


def test_host_that_is_not_there(cli: Cli, place: Place) -> None:
    """Nobody listens: every row is answered, told in words, and the run ends."""
    file = cli.file("in.csv", creates(place, 3))
    ended = cli.run_inside(
        *("apply", file, "--run", "run", "--base-url", "http://127.0.0.1:9"),
        *("--retries", "1", "--settle", "0", "--progress", "none"),
    )
    assert ended.code == 1, ended.err
    report = cli.report()
    assert {line["outcome"] for line in report} == {"failed"}
    assert all(line["reason"] for line in report)
    cli.verify()
