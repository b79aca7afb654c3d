"""What is remembered of accounts' limits: a real file, with all that can be wrong with it."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from bulkipacl.model import Learnt
from bulkipacl.store import limits
from bulkipacl.store.limits import MAX_AGE_S, LimitRecord, LimitsMemory, state_path

HOST = "https://api.example.org"
NOW = 1_700_000_000.0


def sid(number: int) -> str:
    """An account's sid."""
    return f"AC{number:032x}"


@pytest.fixture
def memory(tmp_path: Path) -> LimitsMemory:
    """A memory whose directory is not there yet."""
    return LimitsMemory(tmp_path / "state" / "limits.json")


def record(**changes: Any) -> dict[str, Any]:
    """One account as the file holds it."""
    return {
        **{"host": HOST, "account_sid": sid(1), "window": 8.0, "pace_per_s": None},
        **{"round_trip_s": 0.1, "found_at": NOW},
        **changes,
    }


def write(memory: LimitsMemory, content: object) -> None:
    """Put something where the file is."""
    memory.path.parent.mkdir(parents=True, exist_ok=True)
    data = content if isinstance(content, bytes) else orjson.dumps(content)
    memory.path.write_bytes(data)


def windows(memory: LimitsMemory, now: float = NOW) -> dict[str, float]:
    """What a run on the host would start from."""
    return {account: one.window for account, one in memory.of_host(HOST, now).items()}


def test_nothing_is_known_at_first(memory: LimitsMemory) -> None:
    """Without a file nothing is known, nothing is forgotten, and nothing is made."""
    assert (memory.records(), memory.of_host(HOST, NOW), memory.forget()) == ([], {}, 0)
    memory.keep(HOST, {}, NOW)
    assert not memory.path.parent.exists()


def test_what_is_kept_comes_back(memory: LimitsMemory) -> None:
    """The next run gets what was found; a later finding takes the place of the earlier."""
    memory.keep(HOST, {sid(1): Learnt(8.0, None, 0.1), sid(2): Learnt(3.0, 2.5, 1.5)}, NOW)
    memory.keep(HOST, {sid(1): Learnt(9.0, None, 0.2)}, NOW + 5)
    assert memory.of_host(HOST, NOW + 5) == {
        sid(1): Learnt(9.0, None, 0.2),
        sid(2): Learnt(3.0, 2.5, 1.5),
    }
    assert memory.records() == [
        LimitRecord(HOST, sid(1), Learnt(9.0, None, 0.2), NOW + 5),
        LimitRecord(HOST, sid(2), Learnt(3.0, 2.5, 1.5), NOW),
    ]


def test_hosts_are_apart(memory: LimitsMemory) -> None:
    """An account's limits on one host say nothing about another."""
    memory.keep(HOST, {sid(1): Learnt(8.0)}, NOW)
    memory.keep("http://127.0.0.1:1", {sid(1): Learnt(2.0)}, NOW)
    assert windows(memory) == {sid(1): 8.0}
    assert len(memory.records()) == 2


@pytest.mark.parametrize(
    ("age_s", "is_used"), [(0.0, True), (MAX_AGE_S, True), (MAX_AGE_S + 1, False), (-1.0, False)]
)
def test_age(memory: LimitsMemory, age_s: float, is_used: bool) -> None:
    """What is too old, or of a time to come, starts nothing, but is shown."""
    memory.keep(HOST, {sid(1): Learnt(8.0)}, NOW)
    assert bool(windows(memory, NOW + age_s)) is is_used
    assert len(memory.records()) == 1


def test_only_its_owner_reads_it(memory: LimitsMemory) -> None:
    """File and directory are for their owner alone, whatever the umask, and stay so."""
    before = os.umask(0)
    try:
        memory.keep(HOST, {sid(1): Learnt(8.0)}, NOW)
        memory.keep(HOST, {sid(1): Learnt(9.0)}, NOW)
    finally:
        os.umask(before)
    names = sorted(path.name for path in memory.path.parent.iterdir())
    assert names == ["limits.json", "limits.lock"]
    for name in names:
        assert stat.S_IMODE((memory.path.parent / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(memory.path.parent.stat().st_mode) == 0o700


DAMAGED: dict[str, bytes] = {
    "empty": b"",
    "cut off": orjson.dumps([record()])[:-9],
    "no JSON": b"\x00\xff\x1f\x8b" * 100,
    "no UTF-8": b'[{"host": "\xff"}]',
    "an object": orjson.dumps(record()),
    "a number": b"7",
    "nested too deep": b"[" * 100_000,
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_as_none(memory: LimitsMemory, content: bytes) -> None:
    """A file that is not what was written costs its knowledge, and the next run makes it anew."""
    write(memory, content)
    assert (memory.records(), windows(memory)) == ([], {})
    memory.keep(HOST, {sid(2): Learnt(5.0)}, NOW)
    assert windows(memory) == {sid(2): 5.0}


def test_a_huge_file_is_as_none(memory: LimitsMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than a bound is ever read, however large the file is."""
    write(memory, [record(account_sid=sid(n)) for n in range(20)])
    assert len(memory.records()) == 20
    monkeypatch.setattr(limits, "MAX_FILE_BYTES", memory.path.stat().st_size - 1)
    assert memory.records() == []


def test_the_default_bound_holds_what_is_kept() -> None:
    """A file with as many accounts as are kept is one that is read."""
    assert limits.MAX_ACCOUNTS * len(orjson.dumps(record())) * 2 < limits.MAX_FILE_BYTES


WRONG: dict[str, Mapping[str, Any]] = {
    "host is no text": {"host": 7},
    "sid is no text": {"account_sid": None},
    "window is text": {"window": "8"},
    "window is true": {"window": True},
    "window is none": {"window": None},
    "window is 0": {"window": 0},
    "window is negative": {"window": -8.0},
    "window is huge": {"window": 1e9},
    "window is a list": {"window": [8]},
    "round trip is none": {"round_trip_s": None},
    "round trip is 0": {"round_trip_s": 0.0},
    "time is text": {"found_at": "2026"},
    "time is negative": {"found_at": -1},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
def test_what_was_never_written_is_left_out(
    memory: LimitsMemory, changes: Mapping[str, Any]
) -> None:
    """A record with one wrong value is left out alone; the others count."""
    write(memory, [record(account_sid=sid(2)), record(**changes), 7, None, [], {}])
    assert windows(memory) == {sid(2): 8.0}
    assert len(memory.records()) == 1


@pytest.mark.parametrize("pace", ["2", True, 0.0, -1.0, 1e12, [2]])
def test_a_wrong_pace_is_none(memory: LimitsMemory, pace: Any) -> None:
    """A pace that cannot be meant is as none: the window alone starts the next run."""
    write(memory, [record(pace_per_s=pace)])
    assert memory.of_host(HOST, NOW) == {sid(1): Learnt(8.0, None, 0.1)}


def test_what_cannot_be_kept_does_no_harm(memory: LimitsMemory) -> None:
    """Figures that are no numbers are not found again, and spoil no other account's."""
    nan, inf = float("nan"), float("inf")
    found = {sid(1): Learnt(nan), sid(2): Learnt(inf), sid(3): Learnt(4.0, nan, 0.1)}
    memory.keep(HOST, found, NOW)
    assert memory.of_host(HOST, NOW) == {sid(3): Learnt(4.0, None, 0.1)}


def test_accounts_are_bounded(memory: LimitsMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many accounts the newest stay."""
    monkeypatch.setattr(limits, "MAX_ACCOUNTS", 3)
    for number in range(5):
        memory.keep(HOST, {sid(number): Learnt(8.0)}, NOW + number)
    assert sorted(windows(memory, NOW + 9)) == [sid(2), sid(3), sid(4)]


KEEPER = """
import sys
from pathlib import Path
from bulkipacl.model import Learnt
from bulkipacl.store.limits import LimitsMemory
memory = LimitsMemory(Path(sys.argv[1]))
sys.stdin.readline()
for number in range(int(sys.argv[2]), int(sys.argv[2]) + 40):
    memory.keep("https://api.example.org", {f"AC{number:032x}": Learnt(8.0)}, 1_700_000_000.0)
"""


def test_runs_that_end_at_once(memory: LimitsMemory) -> None:
    """Processes that keep what they found at the same moment: nothing of any is lost."""
    keepers = [
        subprocess.Popen(
            [sys.executable, "-c", KEEPER, str(memory.path), str(start)], stdin=subprocess.PIPE
        )
        for start in (0, 100, 200)
    ]
    for keeper in keepers:
        assert keeper.stdin is not None
        keeper.stdin.write(b"\n")
        keeper.stdin.flush()
    for keeper in keepers:
        keeper.communicate(timeout=30)
        assert keeper.returncode == 0
    expected = [sid(start + n) for start in (0, 100, 200) for n in range(40)]
    assert sorted(windows(memory)) == expected


def test_a_halted_run_holds_nobody_up(
    memory: LimitsMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another process keeps the lock for ever, a run gives up its knowledge, not its end."""
    memory.keep(HOST, {sid(1): Learnt(8.0)}, NOW)
    monkeypatch.setattr(limits, "LOCK_WAIT_S", 0.05)
    with memory.path.with_suffix(".lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="unavailable"):
            memory.keep(HOST, {sid(2): Learnt(8.0)}, NOW)
        assert windows(memory) == {sid(1): 8.0}
    memory.keep(HOST, {sid(2): Learnt(8.0)}, NOW)
    assert len(windows(memory)) == 2


def test_forgetting(memory: LimitsMemory) -> None:
    """All is forgotten and counted, and what is found afterwards is kept again."""
    memory.keep(HOST, {sid(1): Learnt(8.0), sid(2): Learnt(8.0)}, NOW)
    assert (memory.forget(), memory.records(), memory.forget()) == (2, [], 0)
    memory.keep(HOST, {sid(3): Learnt(8.0)}, NOW)
    assert list(windows(memory)) == [sid(3)]
    write(memory, b"damaged")
    assert memory.forget() == 0
    assert not memory.path.exists()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """A directory that cannot be made, or that stands where the file should: an OSError alone."""
    (tmp_path / "file").write_bytes(b"")
    nowhere = LimitsMemory(tmp_path / "file" / "limits.json")
    with pytest.raises(OSError, match="file"):
        nowhere.keep(HOST, {sid(1): Learnt(8.0)}, NOW)
    assert nowhere.of_host(HOST, NOW) == {}
    taken = LimitsMemory(tmp_path / "taken" / "limits.json")
    taken.path.mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        taken.keep(HOST, {sid(1): Learnt(8.0)}, NOW)
    assert taken.of_host(HOST, NOW) == {}
    assert not list(taken.path.parent.glob("*.tmp"))


@pytest.mark.parametrize("kind", ["a FIFO", "a link to a FIFO", "a device"])
def test_what_is_no_regular_file_is_not_waited_for(
    memory: LimitsMemory, tmp_path: Path, kind: str
) -> None:
    """A FIFO that nobody writes to, or a device that never ends: told at once, and left alone."""
    memory.path.parent.mkdir()
    other = memory.path if kind == "a FIFO" else tmp_path / "other"
    if kind == "a device":
        other = Path("/dev/zero")
    else:
        os.mkfifo(other)
    if other != memory.path:
        memory.path.symlink_to(other)
    with pytest.raises(OSError, match=r"Not a regular file: .*limits\.json"):
        memory.records()
    assert memory.of_host(HOST, NOW) == {}
    with pytest.raises(OSError, match="Not a regular file"):
        memory.keep(HOST, {sid(1): Learnt(8.0)}, NOW)
    assert not memory.path.is_file()


def test_links_are_not_written_through(memory: LimitsMemory, tmp_path: Path) -> None:
    """Links that somebody put in the file's place, or beside it, lead to no other file."""
    other = tmp_path / "other"
    other.write_bytes(orjson.dumps([record()]))
    memory.path.parent.mkdir()
    memory.path.symlink_to(other)
    memory.path.with_suffix(".tmp").symlink_to(other)
    assert windows(memory) == {sid(1): 8.0}
    memory.keep(HOST, {sid(2): Learnt(5.0)}, NOW)
    assert windows(memory) == {sid(1): 8.0, sid(2): 5.0}
    assert not memory.path.is_symlink()
    assert orjson.loads(other.read_bytes()) == [record()]
    memory.path.with_suffix(".lock").unlink()
    memory.path.with_suffix(".lock").symlink_to(tmp_path / "made")
    with pytest.raises(OSError, match="symbolic links"):
        memory.keep(HOST, {sid(3): Learnt(5.0)}, NOW)
    assert not (tmp_path / "made").exists()


def test_what_a_killed_run_left_goes(memory: LimitsMemory) -> None:
    """Half a file under the name of the next one is no obstacle."""
    write(memory, [record()])
    memory.path.with_suffix(".tmp").write_bytes(b"[{")
    memory.keep(HOST, {sid(2): Learnt(5.0)}, NOW)
    assert len(windows(memory)) == 2
    assert not memory.path.with_suffix(".tmp").exists()


def test_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BULKIPACL_STATE_DIR goes before the place where the platform keeps a user's state."""
    assert state_path({"BULKIPACL_STATE_DIR": str(tmp_path)}) == tmp_path / "limits.json"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    for environ in ({}, {"BULKIPACL_STATE_DIR": ""}):
        path = state_path(environ)
        assert path.is_relative_to(tmp_path)
        assert path.parts[-2:] == ("bulkipacl", "limits.json")
