"""Run directories: made, opened, locked, and told apart from everything else."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from store_tools import draft, make

from bulkipacl.errors import LockedError, StoreError, UsageError
from bulkipacl.store import views
from bulkipacl.store.lock import is_locked
from bulkipacl.store.rundir import DATABASE, RunDirectory, default_run_path
from bulkipacl.store.schema import APPLICATION_ID, SCHEMA_VERSION

HOLD = """
import sys
from pathlib import Path
from bulkipacl.store.rundir import RunDirectory
with RunDirectory.open(Path(sys.argv[1]), is_writable=True):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the run directory `tmp_path / "run"`."""
    make(tmp_path / "run", [draft()]).close()
    with subprocess.Popen(
        [sys.executable, "-B", "-c", HOLD, str(tmp_path / "run")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_make_and_open(tmp_path: Path) -> None:
    """What was put into a new run directory is there when it is opened again."""
    path = tmp_path / "deep" / "er" / "run"
    make(path, [draft(), draft(2)]).close()
    with RunDirectory.open(path, is_writable=True) as run:
        assert views.row_count(run) == 2
    with RunDirectory.open(path, is_writable=False) as run:
        assert views.row_count(run) == 2


@pytest.mark.parametrize(
    "name",
    ["two words", "a?b#c", "100%41", "run&mode=ro", "é☎", 'it\'s "quoted"', "..dots..", "a;b"],
)
def test_any_directory_name(tmp_path: Path, name: str) -> None:
    """A path can hold what it likes; none of it is read as part of an address."""
    make(tmp_path / name, [draft()]).close()
    assert (tmp_path / name / DATABASE).is_file()
    with RunDirectory.open(tmp_path / name, is_writable=False) as run:
        assert views.row_count(run) == 1


def test_no_name_at_all(tmp_path: Path) -> None:
    """Also a directory whose name is no text."""
    path = tmp_path / os.fsdecode(b"caf\xe9")
    make(path, [draft()]).close()
    with RunDirectory.open(path, is_writable=True) as run:
        assert views.summary(run).rows == 1


def test_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path works, and goes on working where the process changes its directory."""
    monkeypatch.chdir(tmp_path)
    with make(Path("run"), [draft()]) as run:
        assert views.row_count(run) == 1
    with RunDirectory.open(Path("run"), is_writable=False) as run:
        assert views.row_count(run) == 1


def test_no_second_run_in_it(tmp_path: Path) -> None:
    """A directory that holds a run is not made anew."""
    make(tmp_path, [draft()]).close()
    with pytest.raises(UsageError, match="already holds a run"):
        RunDirectory.create(tmp_path)
    with RunDirectory.open(tmp_path, is_writable=False) as run:
        assert views.row_count(run) == 1


def test_a_directory_of_other_things(tmp_path: Path) -> None:
    """Other files in the directory are left alone."""
    (tmp_path / "notes.txt").write_text("mine")
    make(tmp_path, []).close()
    assert (tmp_path / "notes.txt").read_text() == "mine"


NOT_RUNS = ["nothing", "empty directory", "a file", "a directory in its place"]


@pytest.mark.parametrize("kind", NOT_RUNS)
def test_not_a_run_directory(tmp_path: Path, kind: str) -> None:
    """What is not a run directory is said not to be one, and is not made into one."""
    path = tmp_path / "run"
    if kind == "empty directory":
        path.mkdir()
    elif kind == "a file":
        path.write_text("hello")
    elif kind == "a directory in its place":
        (path / DATABASE).mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    for is_writable in (False, True):
        with pytest.raises(UsageError, match="not a run directory"):
            RunDirectory.open(path, is_writable=is_writable)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_in_the_way(tmp_path: Path) -> None:
    """A run directory cannot be made where a file is."""
    (tmp_path / "run").write_text("hello")
    for path in (tmp_path / "run", tmp_path / "run" / "below"):
        with pytest.raises(StoreError) as caught:
            RunDirectory.create(path)
        assert "--run" in str(caught.value.hint)
    assert (tmp_path / "run").read_text() == "hello"


OTHER_FILES = [
    ("empty", b""),
    ("text", b"hello, this is no database at all\n" * 50),
    ("cut short", b"SQLite format 3\x00"),
    ("zeros", bytes(8192)),
]


@pytest.mark.parametrize(
    "data", [case[1] for case in OTHER_FILES], ids=[case[0] for case in OTHER_FILES]
)
def test_not_a_database(tmp_path: Path, data: bytes) -> None:
    """Any other file by that name is refused in one line, and is left as it is."""
    (tmp_path / DATABASE).write_bytes(data)
    for is_writable in (False, True):
        with pytest.raises(StoreError) as caught:
            RunDirectory.open(tmp_path, is_writable=is_writable)
        assert "\n" not in caught.value.message
        assert caught.value.hint
    assert (tmp_path / DATABASE).read_bytes() == data
    assert not is_locked(tmp_path)


@pytest.mark.parametrize(
    ("application", "version", "words"),
    [
        pytest.param(0, SCHEMA_VERSION, "not a run of bulkipacl", id="of nobody"),
        pytest.param(252_006, SCHEMA_VERSION, "not a run of bulkipacl", id="of another program"),
        pytest.param(APPLICATION_ID, SCHEMA_VERSION + 1, "schema", id="of a later version"),
        pytest.param(APPLICATION_ID, 0, "schema", id="without a schema"),
    ],
)
def test_another_database(tmp_path: Path, application: int, version: int, words: str) -> None:
    """A database of another program or version is not touched."""
    db = sqlite3.connect(tmp_path / DATABASE)
    db.execute(f"PRAGMA application_id={application}")
    db.execute(f"PRAGMA user_version={version}")
    db.execute("CREATE TABLE row (number)")
    db.commit()
    db.close()
    for is_writable in (False, True):
        with pytest.raises(StoreError, match=words) as caught:
            RunDirectory.open(tmp_path, is_writable=is_writable)
        assert caught.value.hint
    with pytest.raises(UsageError, match="already"):
        RunDirectory.create(tmp_path)


def test_damaged_pages(tmp_path: Path) -> None:
    """A database that is damaged inside ends in an error of ours, not in rows made up."""
    make(tmp_path, [draft(n) for n in range(1, 2_000)]).close()
    data = bytearray((tmp_path / DATABASE).read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    (tmp_path / DATABASE).write_bytes(data)
    with (
        RunDirectory.open(tmp_path, is_writable=False) as run,
        pytest.raises(StoreError, match="is damaged") as caught,
    ):
        list(views.records(run))
    assert caught.value.hint


# --- the lock -----------------------------------------------------------------------------


def test_another_process_holds_it(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    """A second process can read but not write, and no word of the first one's is lost."""
    path = tmp_path / "run"
    assert is_locked(path)
    with pytest.raises(LockedError) as caught:
        RunDirectory.open(path, is_writable=True)
    assert caught.value.exit_code == 9
    with RunDirectory.open(path, is_writable=False) as run:
        assert views.row_count(run) == 1
        assert views.summary(run).ending == "running"
    assert holder.stdin is not None
    holder.stdin.close()
    assert holder.wait(timeout=20) == 0
    assert not is_locked(path)
    RunDirectory.open(path, is_writable=True).close()


def test_the_lock_dies_with_its_process(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    """However a process ends, its run directory is free afterwards."""
    holder.send_signal(signal.SIGKILL)
    holder.wait(timeout=20)
    with RunDirectory.open(tmp_path / "run", is_writable=True) as run:
        assert views.row_count(run) == 1
        assert views.summary(run).rows == 1


def test_a_second_opening_in_one_process(tmp_path: Path) -> None:
    """The lock also holds against the process that has it."""
    with make(tmp_path, [draft()]) as run:
        with pytest.raises(LockedError):
            RunDirectory.open(tmp_path, is_writable=True)
        assert is_locked(tmp_path)
        with RunDirectory.open(tmp_path, is_writable=False):
            pass
        assert is_locked(tmp_path)
        assert views.row_count(run) == 1
    assert not is_locked(tmp_path)


def test_a_failed_opening_lets_go(tmp_path: Path) -> None:
    """What could not be opened is not held either."""
    (tmp_path / DATABASE).write_bytes(b"hello" * 1_000)
    with pytest.raises(StoreError):
        RunDirectory.open(tmp_path, is_writable=True)
    assert not is_locked(tmp_path)


def test_closing_twice(tmp_path: Path) -> None:
    """Closing is done once, however often it is asked for."""
    run = make(tmp_path, [])
    run.close()
    run.close()


# --- writing ------------------------------------------------------------------------------


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    """A run directory opened to read refuses to be written."""
    make(tmp_path, [draft()]).close()
    with RunDirectory.open(tmp_path, is_writable=False) as run:
        with pytest.raises(StoreError), run.transaction() as db:
            db.execute("DELETE FROM row")
        with pytest.raises(StoreError):
            run.reader.execute("DELETE FROM row")
        assert views.row_count(run) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """A run in a read-only directory can be read; writing and making one end in one line."""
    make(tmp_path / "run", [draft()]).close()
    (tmp_path / "run").chmod(0o500)
    try:
        with RunDirectory.open(tmp_path / "run", is_writable=False) as run:
            assert views.row_count(run) == 1
        with pytest.raises(StoreError):
            RunDirectory.create(tmp_path / "run" / "below")
    finally:
        (tmp_path / "run").chmod(0o700)


def test_a_transaction_is_whole(tmp_path: Path) -> None:
    """An error of whatever kind inside a transaction leaves nothing of it behind."""
    with make(tmp_path, []) as run:
        for error in (ValueError("a"), KeyboardInterrupt(), sqlite3.IntegrityError("b")):
            with pytest.raises((ValueError, KeyboardInterrupt, StoreError)):
                _write_and_fail(run, error)
            assert views.get_meta(run, "a", "nothing") == "nothing"
        views.set_meta(run, {"a": "b"})
        assert views.get_meta(run, "a") == "b"


@pytest.mark.parametrize("how", ["moved", "deleted", "replaced"])
def test_gone_under_the_run(tmp_path: Path, how: str) -> None:
    """A database that nobody will find is not written to."""
    with make(tmp_path / "run", [draft()]) as run:
        if how == "moved":
            (tmp_path / "run").rename(tmp_path / "elsewhere")
        else:
            (tmp_path / "run" / DATABASE).unlink()
        if how == "replaced":
            (tmp_path / "run" / DATABASE).write_bytes(b"other")
        with pytest.raises(StoreError, match="moved or deleted"):
            views.set_meta(run, {"a": "b"})


# --- the default name ---------------------------------------------------------------------

NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
STEMS = [
    ("rows.csv", "rows"),
    ("/a/b/rows.csv.gz", "rows"),
    ("-", "stdin"),
    ("two words.csv", "two_words"),
    ("../../etc", "etc"),
    (".hidden", "run"),
    ("..", "run"),
    ("", "run"),
    ("a:b*c?.csv", "a_b_c_"),
    ("é.csv", "é"),
    ("x" * 300 + ".csv", "x" * 60),
]


@pytest.mark.parametrize(("source", "stem"), STEMS)
def test_default_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, stem: str
) -> None:
    """A run's own directory is named after its input and the time, and stays below `runs`."""
    monkeypatch.chdir(tmp_path)
    path = default_run_path(source, NOW)
    assert path == Path("runs") / f"{stem}-20260203T040506Z"
    path.mkdir(parents=True)
    assert default_run_path(source, NOW) == path.with_name(f"{path.name}-2")


def _write_and_fail(run: RunDirectory, error: BaseException) -> None:
    with run.transaction() as db:
        db.execute("INSERT INTO meta VALUES ('a', 'b')")
        raise error
