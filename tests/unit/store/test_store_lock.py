"""The lock of a run directory: held alone to write, and never in anybody's way for the asking."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bulkipacl.errors import LockedError, StoreError
from bulkipacl.store import lock
from bulkipacl.store.lock import is_locked, lock_directory, share_directory


def test_held_alone(tmp_path: Path) -> None:
    """Who holds it alone keeps out writers and sharers, until it is closed."""
    fd = lock_directory(tmp_path)
    assert is_locked(tmp_path)
    assert share_directory(tmp_path) is None
    with pytest.raises(LockedError):
        lock_directory(tmp_path)
    os.close(fd)
    assert not is_locked(tmp_path)


def test_shared_by_many(tmp_path: Path) -> None:
    """Those who share it, or ask for it meanwhile, are not in each other's way."""
    shared = [share_directory(tmp_path) for _ in range(3)]
    assert not is_locked(tmp_path)
    for fd in shared:
        assert fd is not None
        os.close(fd)


def test_a_sharer_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer waits for one who shares it, and gets it when that one lets go."""
    shared = share_directory(tmp_path)
    assert shared is not None
    waits: list[float] = []

    def let_go(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            os.close(shared)

    monkeypatch.setattr("time.sleep", let_go)
    fd = lock_directory(tmp_path)
    assert len(waits) == 3
    assert is_locked(tmp_path)
    os.close(fd)


def test_a_sharer_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer does not wait for ever."""
    shared = share_directory(tmp_path)
    assert shared is not None
    monkeypatch.setattr(lock, "_PATIENCE_S", 0.0)
    with pytest.raises(LockedError, match="in use"):
        lock_directory(tmp_path)
    os.close(shared)


def test_no_directory(tmp_path: Path) -> None:
    """What is no directory cannot be locked, told with what to do."""
    (tmp_path / "file").write_text("hello")
    for path in (tmp_path / "file", tmp_path / "nothing"):
        with pytest.raises(StoreError, match="cannot be opened") as caught:
            lock_directory(path)
        assert caught.value.hint
