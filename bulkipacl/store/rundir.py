"""Making, opening and locking a run directory.

`RunDirectory` owns the path, the lock and the two connections: one writer, used under `lock`
from whichever thread commits, and one reader for the thread that runs the event loop. The
lock is an advisory one on the directory itself, so that no second state file is needed and the
kernel drops it with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from bulkipacl.errors import LockedError, StoreError, UsageError
from bulkipacl.store.schema import APPLICATION_ID, SCHEMA_VERSION, TABLES

DATABASE = "run.sqlite"


class RunDirectory:
    """One run directory, opened to write (and then locked) or only to read."""

    def __init__(self, path: Path, *, is_writable: bool) -> None:
        self.path = path
        self.lock = threading.Lock()
        self._lock_fd: int | None = None
        try:
            if is_writable:
                self._lock_fd = _lock_directory(path)
            self.writer = _connect(path / DATABASE, is_writable=is_writable)
            self.reader = _connect(path / DATABASE, is_writable=False)
            self._inode = (path / DATABASE).stat().st_ino
        except sqlite3.Error as exc:
            self.close()
            raise StoreError(f"{path / DATABASE} cannot be opened: {exc}") from exc
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make a new run directory.

        Raises:
            UsageError: there is a run in it already.
            StoreError: it cannot be made or written.
            LockedError: another process is just making it.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise StoreError(f"{path} cannot be made: {exc.strerror}") from exc
        if (path / DATABASE).exists():
            raise UsageError(
                f"{path} already holds a run",
                hint="name another directory with --run, or carry on with `bulkipacl resume`",
            )
        lock_fd = _lock_directory(path)
        try:
            _initialise(path / DATABASE)
        finally:
            os.close(lock_fd)
        return cls(path, is_writable=True)

    @classmethod
    def open(cls, path: Path, *, is_writable: bool) -> Self:
        """Open a run directory that is there.

        Raises:
            UsageError: there is none.
            LockedError: it is to be written, and another process holds it.
        """
        if not (path / DATABASE).is_file():
            raise UsageError(
                f"{path} is not a run directory: it has no {DATABASE}",
                hint="give the directory that `bulkipacl apply` printed, such as runs/NAME-TIME",
            )
        return cls(path, is_writable=is_writable)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The writer inside one transaction; durable when it returns.

        Raises:
            StoreError: it could not be written (a full disk, say); nothing of it was.
        """
        with self.lock:
            self._check_in_place()
            try:
                self.writer.execute("BEGIN IMMEDIATE")
                try:
                    yield self.writer
                    self.writer.execute("COMMIT")
                except BaseException:
                    if self.writer.in_transaction:
                        self.writer.execute("ROLLBACK")
                    raise
            except sqlite3.Error as exc:
                raise StoreError(
                    f"{self.path / DATABASE} cannot be written: {exc}",
                    hint="nothing unrecorded is sent; make room and `bulkipacl resume` it",
                ) from exc

    def _check_in_place(self) -> None:
        """Refuse to write to a database that nobody will find: SQLite itself would not notice."""
        try:
            there = (self.path / DATABASE).stat().st_ino
        except OSError:
            there = 0
        if there != self._inode:
            raise StoreError(
                f"{self.path / DATABASE} was moved or deleted under the run",
                hint="put it back and `bulkipacl resume` it, or apply the input again",
            )

    def close(self) -> None:
        """Close the connections and let go of the lock; may be called twice."""
        for name in ("reader", "writer"):
            connection: sqlite3.Connection | None = getattr(self, name, None)
            if connection is not None:
                connection.close()
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def default_run_path(first_source: str, now: datetime | None = None) -> Path:
    """`runs/<stem>-<UTC time>`, with a counter where two runs begin in one second."""
    name = Path(first_source).name if first_source != "-" else "stdin"
    stem = (
        "".join(c if c.isalnum() or c in "-_." else "_" for c in name.split(".")[0])[:60] or "run"
    )
    when = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    path = Path("runs") / f"{stem}-{when}"
    for counter in range(2, 1_000):
        if not path.exists():
            break
        path = Path("runs") / f"{stem}-{when}-{counter}"
    return path


def is_locked(path: Path) -> bool:
    """Whether another process holds the run directory just now."""
    try:
        os.close(_lock_directory(path))
    except LockedError:
        return True
    return False


def _lock_directory(path: Path) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as exc:
        raise StoreError(f"{path} cannot be opened: {exc.strerror}") from exc
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(fd)
        raise LockedError(
            f"{path} is in use by another bulkipacl", hint="wait until it ends, or stop it first"
        ) from exc
    return fd


def _initialise(database: Path) -> None:
    try:
        connection = sqlite3.connect(database, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.executescript(
                f"BEGIN; {TABLES} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
            )
        finally:
            connection.close()
    except sqlite3.Error as exc:
        raise StoreError(f"{database} cannot be made: {exc}") from exc


def _connect(database: Path, *, is_writable: bool) -> sqlite3.Connection:
    mode = "rw" if is_writable or os.access(database.parent, os.W_OK) else "ro"
    connection = sqlite3.connect(
        f"{database.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=30,
    )
    try:
        found = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if found != APPLICATION_ID:
            raise StoreError(f"{database} is not a run of bulkipacl")
        if version != SCHEMA_VERSION:
            raise StoreError(
                f"{database} has schema {version}, this bulkipacl reads {SCHEMA_VERSION}",
                hint="use the version of bulkipacl that made it",
            )
        # FULL: a snapshot that a power cut can take back would be no promise at all.
        connection.execute("PRAGMA synchronous=FULL")
        if not is_writable:
            connection.execute("PRAGMA query_only=1")
    except BaseException:
        connection.close()
        raise
    return connection
