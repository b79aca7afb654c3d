"""Killed at any transaction of the run directory: `resume` ends it, and nothing is there twice."""

import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from e2e_tools import Box, Cli, Place, clean_environment, csv_text, ip

FLAGS = ("--settle", "0.2", "--progress", "none")

VICTIM = """
import os, signal, sys
from contextlib import contextmanager
from bulkipacl.store.rundir import RunDirectory

at, moment = int(sys.argv[1]), sys.argv[2]
inner, count = RunDirectory.transaction, 0

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def at_statement(text):
    # Inside the transaction, some statements on.
    if text == "COMMIT":
        die()

@contextmanager
def transaction(self):
    global count
    count += 1
    mine = count == at
    if mine and moment == "commit":
        self.writer.set_trace_callback(at_statement)
    with inner(self) as db:
        yield db
        if mine and moment == "before":
            die()
    if mine and moment == "after":
        die()

RunDirectory.transaction = transaction
from bulkipacl.cli.main import run

code = run(sys.argv[3:])
with open("commits", "w") as file:
    file.write(str(count))
sys.exit(code)
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[Box]:
    """A sandbox whose accounts are taken one after the other."""
    box = Box("--accounts", "100", "--lists", "2", "--entries", "6", "--latency", "0.03")
    yield box
    box.close()


def mixed(cli: Cli, place: Place) -> list[str]:
    """Creates, updates and deletes over two lists; returns the outcomes that are wanted."""
    rows: list[tuple[str, ...]] = []
    wanted: list[str] = []
    for acl in place.lists:
        sids = list(place.entries(acl))
        rows += [("create", place.account, acl, "", ip(n), "new") for n in range(8)]
        rows += [("delete", place.account, acl, sid, "", "") for sid in sids[:3]]
        rows += [("update", place.account, acl, sid, "", "renamed") for sid in sids[3:]]
        wanted += ["created"] * 8 + ["deleted"] * 3 + ["updated"] * 3
    cli.file("in.csv", csv_text("operation,account,list,sid,ip,name", rows))
    return wanted


def victim(cli: Cli, at: int, moment: str) -> int:
    """`apply` in a process that kills itself at a transaction; returns its exit code."""
    arguments = [*cli.applying("in.csv"), "--run", "run", *("--account-max-in-flight", "2")]
    done = subprocess.run(
        [sys.executable, "-c", VICTIM, str(at), moment, *map(str, arguments)],
        cwd=cli.cwd,
        env={**clean_environment(), **cli.box.token_environment, "HOME": str(cli.cwd)},
        capture_output=True,
        check=False,
        timeout=60,
    )
    return done.returncode


@pytest.mark.parametrize("moment", ["before", "commit", "after"])
def test_killed_at_a_transaction(tmp_path: Path, shared: Box, moment: str) -> None:
    """Killed at any transaction of a run, the first ones included: `resume` ends it, once."""
    with closing(Cli(tmp_path, shared)) as cli:
        mixed(cli, shared.place())
        assert victim(cli, 0, "never") == 0
        transactions = int((cli.cwd / "commits").read_text())
        assert transactions > 8
        first = {"before": 1, "commit": 2, "after": 3}[moment]
        kills = 0
        for at in range(first, transactions + 1, 6):
            shutil.rmtree(cli.cwd / "run")
            place = shared.place()
            wanted = mixed(cli, place)
            code = victim(cli, at, moment)
            kills += code == -signal.SIGKILL
            # How many commits there are depends on the moment: the last ones may not come.
            assert code == -signal.SIGKILL or (code == 0 and at > 8), at
            ended = cli.run_inside("resume", "run", "--base-url", shared.url, *FLAGS)
            if ended.code == 2:
                assert not place.effects(), ended.err
                shutil.rmtree(cli.cwd / "run")
                ended = cli.apply_inside("in.csv")
            assert ended.code == 0, (at, ended.err)
            assert cli.outcomes() == wanted, at
            effects = Counter((e["op"], e["list_sid"], e["sid"]) for e in place.effects())
            assert set(effects.values()) == {1}, at
            assert len(effects) == len(wanted), at
            cli.verify()
        assert kills > 2
