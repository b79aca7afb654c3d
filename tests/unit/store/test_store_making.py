"""A process that is killed while it makes a run directory: at every step of it, for real."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from store_tools import draft, make

from bulkipacl.errors import StoreError, UsageError
from bulkipacl.store import views
from bulkipacl.store.connection import remains
from bulkipacl.store.rundir import DATABASE, RunDirectory
from bulkipacl.store.schema import APPLICATION_ID

# Each child kills itself before its n-th call of SQLite or of the system inside `create`.
KILLED_AT_EVERY_STEP = """
import os, signal, sys
from pathlib import Path
from bulkipacl.store.rundir import RunDirectory

def kill_before(step):
    left = [step]
    def watch(frame, event, called):
        if event != "c_call":
            return
        owner = getattr(called, "__self__", None)
        if type(owner).__name__ != "Connection" and getattr(owner, "__name__", "") != "posix":
            return
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.setprofile(watch)

for step in range(1, 200):
    child = os.fork()
    if not child:
        kill_before(step)
        RunDirectory.create(Path(sys.argv[1]) / str(step))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        break
print(step, os.waitstatus_to_exitcode(status))
"""


def test_killed_while_it_is_made(tmp_path: Path) -> None:
    """Whatever the instant: it is a whole run, or says that nothing was sent; and begins anew."""
    output = subprocess.run(
        [sys.executable, "-B", "-c", KILLED_AT_EVERY_STEP, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.split()
    assert output[1] == "0"
    told = set()
    for step in range(1, int(output[0])):
        path = tmp_path / str(step)
        try:
            RunDirectory.open(path, is_writable=False).close()
        except UsageError as exc:
            told.add("cut off" if "nothing was sent" in exc.message else "nothing")
        else:
            told.add("whole")
            continue
        with make(path, [draft()]) as run:
            assert views.row_count(run) == 1
        assert [each.name for each in path.iterdir()] == [DATABASE]
    assert told == {"nothing", "cut off", "whole"}


def test_what_an_earlier_version_left(tmp_path: Path) -> None:
    """A database whose schema was never finished says that nothing was sent, and what to do."""
    db = sqlite3.connect(tmp_path / DATABASE)
    db.execute(f"PRAGMA application_id={APPLICATION_ID}")
    db.close()
    with pytest.raises(StoreError, match="nothing was sent") as caught:
        RunDirectory.open(tmp_path, is_writable=True)
    assert "--run" in str(caught.value.hint)


def test_no_name_left_behind(tmp_path: Path) -> None:
    """A new run directory holds the one file, under its own name."""
    RunDirectory.create(tmp_path).close()
    assert [path.name for path in tmp_path.iterdir()] == [DATABASE]
    assert not any(path.exists() for path in remains(tmp_path / DATABASE))
