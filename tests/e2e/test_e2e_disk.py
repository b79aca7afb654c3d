"""The run directory in trouble: full, read-only, deleted, or in use.

What was sent is judged by the sandbox's ledger, and what is recorded by reading run.sqlite.
"""

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest
from e2e_box import Box, Part
from e2e_tools import Cli, clean_environment, csv_text, ip, until

ROWS = 200
LATENCY = ("--latency", "0.05")
FLAGS = ("--settle", "0.2", "--progress", "none")


@pytest.fixture(scope="module")
def shared() -> Iterator[Box]:
    """A sandbox of which each test has two accounts."""
    with closing(Box("--accounts", "61", "--lists", "4", "--entries", "3", *LATENCY)) as box:
        yield box


@pytest.fixture
def cli(tmp_path: Path, shared: Box) -> Iterator[Cli]:
    """Against two accounts with four lists each, with an input of 200 creates."""
    with closing(Cli(tmp_path, Part(shared, 2))) as cli:
        write_input(cli)
        yield cli


def write_input(cli: Cli) -> None:
    """200 creates over all lists."""
    places = [(account, acl) for account, lists in cli.box.lists.items() for acl in lists]
    rows = [("create", *places[n % len(places)], ip(n)) for n in range(ROWS)]
    cli.file("in.csv", csv_text("operation,account,list,ip", rows))


def limit_files(process: subprocess.Popen[bytes], size: int) -> None:
    """From now on no file of the process grows past this size."""
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def kept_lists(run: Path) -> set[str]:
    """The lists whose state before is recorded; none where there is no run."""
    if not (run / "run.sqlite").exists() or not (run / "run.sqlite").stat().st_size:
        return set()
    connection = sqlite3.connect(run / "run.sqlite")
    try:
        text = "SELECT DISTINCT l.sid FROM snapshot s JOIN list l ON l.id = s.list_id"
        return {str(row[0]) for row in connection.execute(text)}
    except sqlite3.OperationalError:
        return set()  # Not so far as to have tables.
    finally:
        connection.close()


def written_lists(cli: Cli) -> set[str]:
    """The lists that were written to."""
    return {str(effect["list_sid"]) for effect in cli.box.ledger()}


def check_told(err: str) -> None:
    """One line for people, perhaps with a hint below it."""
    lines = err.strip().splitlines()
    told = [line for line in lines if line.startswith("bulkipacl: ")]
    assert len(told) == 1, err
    assert "run" in told[0], err


def check_all_done(cli: Cli) -> None:
    """Every row is created, once, and the report knows it."""
    assert cli.outcomes() == ["created"] * ROWS
    effects = Counter((e["list_sid"], e["ip_after"]) for e in cli.box.ledger())
    assert len(effects) == ROWS
    assert set(effects.values()) == {1}
    cli.verify()


def carry_on(cli: Cli, *, code: int = 7) -> None:
    """`resume` ends what ended with 7; `apply` what ended with 2, because nothing was sent."""
    ended = cli.run_inside("resume", "run", "--base-url", cli.box.url, *FLAGS)
    if code == 2:
        assert ended.code == 2, ended.err
        assert not written_lists(cli), ended.err
        shutil.rmtree(cli.cwd / "run", ignore_errors=True)
        ended = cli.apply_inside("in.csv")
    assert ended.code == 0, ended.err
    check_all_done(cli)


# --- a disk that is full ---------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 5_000, 60_000, 100_000, 160_000])
def test_no_room_from_some_size_on(cli: Cli, size: int) -> None:
    """Wherever it is that no file grows any more: a clean end, nothing sent unrecorded."""
    running = cli.start_apply("in.csv", "--account-max-in-flight", "4")
    limit_files(running.process, size)
    ended = running.end()
    assert ended.code in (2, 7), (ended.code, ended.err)
    check_told(ended.err)
    assert ("bulkipacl resume run --base-url" in ended.err) == (ended.code == 7)
    assert written_lists(cli) <= kept_lists(cli.cwd / "run")
    carry_on(cli, code=ended.code)


@pytest.mark.parametrize("effects", [1, 40, 150])
def test_no_room_in_the_middle(cli: Cli, effects: int) -> None:
    """The disk fills up while rows are sent: a clean end, and a resume when there is room."""
    running = cli.start_apply("in.csv", "--account-max-in-flight", "4")
    until(lambda: len(cli.box.ledger()) >= effects)
    limit_files(running.process, (cli.cwd / "run/run.sqlite-wal").stat().st_size)
    ended = running.end()
    assert ended.code == 7, ended.err
    check_told(ended.err)
    assert "nothing unrecorded was sent" in ended.err
    assert f"bulkipacl resume run --base-url {cli.box.url}" in ended.err
    assert written_lists(cli) <= kept_lists(cli.cwd / "run")
    told = cli.run_inside("report", "run", environment={})
    assert told.code in (7, 8), told.err
    unsent = {line["list_sid"] + line["ip_address"] for line in cli.report()
              if line["outcome"] == "not_attempted"}  # fmt: skip
    sent = {e["list_sid"] + e["ip_after"] for e in cli.box.ledger()}
    assert not unsent & sent
    cli.verify()
    carry_on(cli)


def test_no_room_for_a_while(cli: Cli) -> None:
    """Room that comes back before the end changes nothing: nothing is lost, nothing is twice."""
    running = cli.start_apply("in.csv", "--account-max-in-flight", "4")
    until(lambda: len(cli.box.ledger()) >= 40)
    limit_files(running.process, (cli.cwd / "run/run.sqlite-wal").stat().st_size)
    until(lambda: len(cli.box.ledger()) >= 44)
    limit_files(running.process, resource.RLIM_INFINITY)
    ended = running.end()
    if ended.code == 0:
        check_all_done(cli)
    else:
        assert ended.code == 7, ended.err
        check_told(ended.err)
        assert written_lists(cli) <= kept_lists(cli.cwd / "run")
        carry_on(cli)


def test_no_room_for_a_resume(cli: Cli) -> None:
    """A resume that a full disk does not let begin is 2 and sends nothing; the next one does it."""
    running = cli.start_apply("in.csv", "--account-max-in-flight", "4")
    until(lambda: len(cli.box.ledger()) >= 40)
    running.process.kill()
    running.process.communicate()
    again = cli.start("resume", "run", "--base-url", cli.box.url, *FLAGS)
    limit_files(again.process, 1_000)
    ended = again.end()
    assert ended.code == 2, ended.err
    check_told(ended.err)
    carry_on(cli)


def test_no_room_in_the_middle_of_a_resume(cli: Cli) -> None:
    """A resume that was under way when the disk filled up stops like a run does: exit 7."""
    running = cli.start_apply("in.csv", "--account-max-in-flight", "4")
    until(lambda: len(cli.box.ledger()) >= 20)
    running.process.kill()
    running.process.communicate()
    flags = (*FLAGS, "--account-max-in-flight", "4")
    again = cli.start("resume", "run", "--base-url", cli.box.url, *flags)
    until(lambda: len(cli.box.ledger()) >= 60)
    limit_files(again.process, (cli.cwd / "run/run.sqlite-wal").stat().st_size)
    ended = again.end()
    assert ended.code == 7, ended.err
    check_told(ended.err)
    assert written_lists(cli) <= kept_lists(cli.cwd / "run")
    carry_on(cli)


@cache
def has_namespaces() -> bool:
    """Whether this user may mount things that nobody else sees."""
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def run_mounted(cli: Cli, script: str) -> subprocess.CompletedProcess[str]:
    """A shell script with mounts of its own, in which $CLI is the command line."""
    environment = {
        **clean_environment(),
        **cli.box.token_environment,
        "HOME": str(cli.cwd),
        "CLI": f"{sys.executable} -m bulkipacl",
        "URL": cli.box.url,
        "FLAGS": " ".join(FLAGS),
    }
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        cwd=cli.cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.skipif(not has_namespaces(), reason="needs to mount a file system")
@pytest.mark.parametrize("size_kb", [64, 160, 260])
def test_a_small_file_system(cli: Cli, size_kb: int) -> None:
    """A run directory on a file system that fills up, and is then made larger."""
    (cli.cwd / "run").mkdir()
    script = f"""
        mount -t tmpfs -o size={size_kb}k none run || exit 99
        $CLI apply in.csv --run run --base-url $URL $FLAGS 2>first.err; echo $? >first.code
        cp -r run before
        mount -o remount,size=20m run
        if ! $CLI resume run --base-url $URL $FLAGS 2>second.err; then
            rm -rf run/*
            $CLI apply in.csv --run run --base-url $URL $FLAGS
        fi
        echo $? >second.code
        cp -r run after
    """
    done = run_mounted(cli, script)
    assert done.returncode == 0, done.stderr
    first = (cli.cwd / "first.err").read_text(encoding="utf-8")
    assert "Traceback" not in first
    assert "a defect in" not in first, first
    assert (cli.cwd / "first.code").read_text().strip() in ("2", "7")
    check_told(first)
    assert ("bulkipacl resume run" in first) == ((cli.cwd / "first.code").read_text() == "7\n")
    assert (cli.cwd / "second.code").read_text().strip() == "0", done.stderr
    shutil.rmtree(cli.cwd / "run")
    (cli.cwd / "after").rename(cli.cwd / "run")
    check_all_done(cli)


# --- a run directory that somebody else has to do with -------------------------------------------


def test_deleted_under_a_run(cli: Cli) -> None:
    """The run directory is removed while rows are sent: an end with a line, and soon.

    It is 2 and not 7, because there is nothing that a resume could carry on.
    """
    running = cli.start_apply("in.csv", "--account-max-in-flight", "2")
    until(lambda: len(cli.box.ledger()) >= 20)
    shutil.rmtree(cli.cwd / "run")
    ended = running.end()
    assert ended.code == 2, (ended.code, ended.err)
    check_told(ended.err)
    assert len(cli.box.ledger()) < ROWS, "what can be recorded nowhere is not sent"


def test_read_only_before_a_resume(cli: Cli) -> None:
    """Nothing is sent for a run that cannot be written."""
    running = cli.start_apply("in.csv", "--account-max-in-flight", "2")
    until(lambda: len(cli.box.ledger()) >= 20)
    running.process.kill()
    running.process.communicate()
    cli.box.get("stats")
    until(lambda: not sum(cli.box.stats()["in_flight"].values()))
    before = cli.box.stats()["total"]
    if os.geteuid():
        (cli.cwd / "run").chmod(0o555)
        for path in (cli.cwd / "run").iterdir():
            path.chmod(0o444)
        ended = cli.run_inside("resume", "run", "--base-url", cli.box.url, *FLAGS)
        code, err = ended.code, ended.err
        (cli.cwd / "run").chmod(0o755)
        for path in (cli.cwd / "run").iterdir():
            path.chmod(0o644)
    elif not has_namespaces():
        pytest.skip("a superuser writes anything but a file system that is read-only")
    else:
        script = """
            mount --bind run run && mount -o remount,ro,bind run || exit 99
            exec $CLI resume run --base-url $URL $FLAGS
        """
        done = run_mounted(cli, script)
        code, err = done.returncode, done.stderr
    assert code == 2, err
    check_told(err)
    assert "a defect in" not in err
    assert cli.box.stats()["total"] == before
    carry_on(cli)


def test_two_resumes_at_once(cli: Cli) -> None:
    """The second one exits 9 and sends nothing; the first one is not disturbed."""
    running = cli.start_apply("in.csv", "--account-max-in-flight", "2")
    until(lambda: len(cli.box.ledger()) >= 20)
    running.process.kill()
    running.process.communicate()
    resume = ("resume", "run", "--base-url", cli.box.url, *FLAGS, "--account-max-in-flight", "2")
    first = cli.start(*resume)
    until(lambda: len(cli.box.ledger()) >= 60)
    second = cli.run_inside(*resume)
    assert second.code == 9, second.err
    check_told(second.err)
    assert first.process.poll() is None, "the first one ended too soon for this test"
    assert first.end().code == 0
    check_all_done(cli)


def test_two_resumes_in_one_moment(cli: Cli) -> None:
    """Started together, one of them has the run and the others exit 9."""
    running = cli.start_apply("in.csv", "--account-max-in-flight", "2")
    until(lambda: len(cli.box.ledger()) >= 20)
    running.process.kill()
    running.process.communicate()
    many = [cli.start("resume", "run", "--base-url", cli.box.url, *FLAGS) for _ in range(3)]
    assert Counter(one.end().code for one in many) == {0: 1, 9: 2}
    check_all_done(cli)
