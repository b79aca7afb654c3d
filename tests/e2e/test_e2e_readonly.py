"""Run directories in a place that cannot be written: they are read all the same, or say why not.

The processes run without the power of root to write anywhere, so that all of this is true of root
as well.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from e2e_tools import PROGRAM, Cli, Ended, Place, clean_environment, creates

# PR_CAPBSET_DROP of CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: what root gets by an exec.
POWERLESS = """
import ctypes, os, sys
if os.geteuid() == 0:
    for power in (1, 2):
        ctypes.CDLL(None).prctl(24, power, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
HOLD = """
import sys
from pathlib import Path
from bulkipacl.store.rundir import RunDirectory
with RunDirectory.open(Path(sys.argv[1]), is_writable=False):
    print("held", flush=True)
    sys.stdin.read()
"""
KILLED = """
import os, signal, sys
from pathlib import Path
from bulkipacl.model import Draft, SourceInfo
from bulkipacl.store.intake import Intake
from bulkipacl.store.rundir import RunDirectory
run = RunDirectory.create(Path(sys.argv[1]))
row = (2, 1, "AC" + "0" * 32, "AL" + "0" * 32, "", None, 5, 32, "a", None, None, b'["5"]')
for _ in Intake(run).take(SourceInfo(1, "in.csv", "csv", ("ip",)), [Draft(*row)] * 3):
    pass
os.kill(os.getpid(), signal.SIGKILL)
"""


def powerless(*command: str | Path) -> list[str]:
    """A command as one of a person who may not write everywhere."""
    return [sys.executable, "-B", "-c", POWERLESS, *map(str, command)]


def run(cli: Cli, *arguments: str | Path) -> Ended:
    """Run a verb without root's powers; nothing that it says is a defect."""
    ended = subprocess.run(
        powerless(*PROGRAM, *arguments),
        cwd=cli.cwd,
        env=clean_environment() | cli.box.token_environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in ended.stderr
    assert "a defect in bulkipacl" not in ended.stderr
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def close_to_writers(place: Path) -> None:
    """Nobody may write the directory, nor what is in it."""
    for path in place.iterdir():
        path.chmod(0o400)
    place.chmod(0o500)


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """Where a run can be put that is then closed to writers; open again when the test is over."""
    trial = tmp_path / "trial"
    trial.mkdir(0o500)
    touch = "import pathlib, sys; pathlib.Path(sys.argv[1], 'a').touch()"
    tried = subprocess.run(
        powerless(sys.executable, "-c", touch, trial), capture_output=True, timeout=60
    )
    if not tried.returncode:
        pytest.skip("nothing is read-only to this user")
    place = tmp_path / "closed"
    yield place
    if place.exists():
        place.chmod(0o700)


def killed_run(place: Path) -> None:
    """A run whose process was killed, so that all of it still stands in SQLite's log."""
    command = [sys.executable, "-B", "-c", KILLED, str(place)]
    assert subprocess.run(command, timeout=60).returncode == -signal.SIGKILL
    assert (place / "run.sqlite-wal").stat().st_size > 0


def test_a_run_in_a_closed_place(cli: Cli, place: Place, closed: Path) -> None:
    """report, verify and retry read a finished run where they may not write; nothing is changed."""
    nowhere = "AL" + "f" * 32
    cli.apply_inside(cli.file("in.csv", creates(place, 2, acl=nowhere)), "--run", closed)
    close_to_writers(closed)
    before = {path.name: path.read_bytes() for path in closed.iterdir()}

    ended = run(cli, "report", closed, "--report", "-")
    assert ended.code == 1, ended.err
    assert [line["outcome"] for line in ended.lines] == ["failed", "failed"]

    ended = run(cli, "verify", closed)
    assert ended.code == 0, ended.err
    assert ended.err == "2 rows, each with exactly one outcome; the reports agree\n"

    ended = run(cli, "report", closed)
    assert ended.code == 2
    message, hint = ended.err.splitlines()
    assert "report.csv cannot be written: Permission denied" in message
    assert "--report PATH" in hint

    flags = ("--base-url", cli.box.url, "--progress", "none")
    ended = run(cli, "retry", closed, "--run", "again", *flags)
    assert ended.code == 1, ended.err
    assert cli.outcomes("again") == ["failed", "failed"]

    ended = run(cli, "resume", closed, *flags)
    assert ended.code == 2
    assert "copy the directory" in ended.err
    assert {path.name: path.read_bytes() for path in closed.iterdir()} == before


def test_a_log_that_can_be_read(cli: Cli, closed: Path) -> None:
    """A run that was killed is read with all that stands in its log, if its index is there too."""
    killed_run(closed)
    close_to_writers(closed)
    ended = run(cli, "report", closed, "--report", "-")
    assert ended.code == 7, ended.err
    assert [line["outcome"] for line in ended.lines] == ["not_attempted"] * 3


def test_a_log_that_cannot_be_read(cli: Cli, closed: Path) -> None:
    """Without its index a log cannot be read there, and is not passed over; a copy can be."""
    killed_run(closed)
    (closed / "run.sqlite-shm").unlink()
    close_to_writers(closed)
    for verb in ("report", "retry"):
        ended = run(cli, verb, closed)
        assert ended.code == 2, ended.err
        message, hint = ended.err.splitlines()
        assert "run.sqlite-wal" in message
        assert "copy the whole directory" in hint
    copy = cli.cwd / "copy"
    shutil.copytree(closed, copy)
    copy.chmod(0o700)
    for path in copy.iterdir():
        path.chmod(0o600)
    ended = run(cli, "report", copy, "--report", "-", "--report", "all.json")
    assert len(ended.lines) == len(orjson.loads((cli.cwd / "all.json").read_bytes())) == 3


def test_an_empty_log(cli: Cli, place: Place, closed: Path) -> None:
    """An empty log holds nothing back: the run is read without it."""
    cli.apply_inside(cli.file("in.csv", creates(place, 2)), "--run", closed)
    (closed / "run.sqlite-wal").touch()
    close_to_writers(closed)
    ended = run(cli, "verify", closed)
    assert ended.code == 0, ended.err


def test_a_file_that_may_not_be_read(cli: Cli, closed: Path) -> None:
    """A database that may not be read, a directory that may not be entered: told, with a hint."""
    killed_run(closed)
    (closed / "run.sqlite").chmod(0)
    for mode in (0o700, 0o600):
        closed.chmod(mode)
        ended = run(cli, "report", closed)
        assert ended.code == 2, ended.err
        assert "cannot be opened" in ended.err
        assert "the account that made it" in ended.err


def test_writers_wait_for_who_reads_without_a_log(cli: Cli, place: Place, closed: Path) -> None:
    """While a run is read in a closed place, nobody writes it under the reader."""
    cli.apply_inside(cli.file("in.csv", creates(place, 1)), "--run", closed)
    close_to_writers(closed)
    reader = subprocess.Popen(
        powerless(sys.executable, "-B", "-c", HOLD, closed),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    directory = os.open(closed, os.O_RDONLY)
    try:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"held\n"
        with pytest.raises(BlockingIOError):
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        reader.communicate(timeout=20)
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(directory)
        if reader.poll() is None:
            reader.kill()
            reader.communicate()


def test_a_new_run_in_a_closed_place(cli: Cli, place: Place, closed: Path) -> None:
    """A run that cannot be made there says how to name another place, and nothing is sent."""
    closed.mkdir(0o500)
    file = cli.file("in.csv", creates(place, 1))
    for path in (closed, closed / "below"):
        ended = run(cli, "apply", file, "--run", path, "--base-url", cli.box.url)
        assert ended.code == 2, ended.err
        message, hint = ended.err.splitlines()
        assert "cannot be made" in message
        assert "--run" in hint
    assert place.effects() == []
    assert list(closed.iterdir()) == []
