"""Making, opening and locking a run directory.

`RunDirectory` owns the path, the lock and the two connections: one writer, used under `lock`
from whichever thread commits, and one reader for the thread that runs the event loop. See
`lock.py` for the lock, and `connection.py` for how a database is opened.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from bulkipacl.errors import StoreError, UsageError
from bulkipacl.store.connection import connect_reader, connect_writer, remains, store_error
from bulkipacl.store.lock import is_locked, lock_directory
from bulkipacl.store.schema import APPLICATION_ID, SCHEMA_VERSION, TABLES

DATABASE = "run.sqlite"

_UNFINISHED = "run.sqlite.new"
"""What `run.sqlite` is called until it can be opened."""

_ELSEWHERE = "name another directory with --run, one that can be written"


class RunDirectory:
    """One run directory, opened to write (and then locked) or only to read."""

    def __init__(self, path: Path, *, is_writable: bool, lock_fd: int | None = None) -> None:
        self.path = path
        self.lock = threading.Lock()
        self._lock_fd = lock_fd
        self._was_held: bool | None = None
        database = path / DATABASE
        try:
            if is_writable and self._lock_fd is None:
                self._lock_fd = lock_directory(path)
            self.writer = connect_writer(database) if is_writable else connect_reader(database)
            self.reader = connect_reader(database)
            self._inode = database.stat().st_ino
        except OSError as exc:
            self.close()
            raise StoreError(
                f"{database} cannot be opened: {exc.strerror}",
                hint="see whether it was moved or deleted just now",
            ) from exc
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
            raise StoreError(f"{path} cannot be made: {exc.strerror}", hint=_ELSEWHERE) from exc
        _refuse_a_second_run(path)
        lock_fd = lock_directory(path)
        try:
            _refuse_a_second_run(path)
            _initialise(path / DATABASE, lock_fd)
        except BaseException:
            os.close(lock_fd)
            raise
        return cls(path, is_writable=True, lock_fd=lock_fd)

    @classmethod
    def open(cls, path: Path, *, is_writable: bool) -> Self:
        """Open a run directory that is there.

        Raises:
            UsageError: there is none.
            LockedError: it is to be written, and another process holds it.
            StoreError: it cannot be opened, or is damaged.
        """
        try:
            is_there = (path / DATABASE).is_file()
            is_unfinished = not is_there and (path / _UNFINISHED).is_file()
        except OSError as exc:
            raise StoreError(
                f"{path} cannot be opened: {exc.strerror}",
                hint="ask its owner for it, or use the account that made it",
            ) from exc
        if is_unfinished:
            raise UsageError(
                f"{path} holds no run: its making was cut off, so that nothing was taken in, and"
                " nothing was sent",
                hint="apply the input again; the same --run will do",
            )
        if not is_there:
            raise UsageError(
                f"{path} is not a run directory: it has no {DATABASE}",
                hint="give the directory that `bulkipacl apply` printed, such as runs/NAME-TIME",
            )
        return cls(path, is_writable=is_writable)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """All that the reader is asked inside is of one instant, also while others write.

        Inside another such block it is that one's instant. A run that is written meanwhile keeps
        all of its log until the end, so this is for reports, not for the time of a run.

        Raises:
            StoreError: it cannot be read.
        """
        is_inside = self.reader.in_transaction
        if is_inside:
            yield
            return
        # Before the instant: a run that ends in between says in the store how it ended.
        self._was_held = is_locked(self.path)
        self.reader.execute("BEGIN")
        try:
            yield
        finally:
            self._was_held = None
            with suppress(StoreError):
                if self.reader.in_transaction:
                    self.reader.execute("ROLLBACK")

    def is_held(self) -> bool:
        """Whether a process, perhaps this one, held the run when the reading began, or else now."""
        return is_locked(self.path) if self._was_held is None else self._was_held

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
                raise store_error(self.path / DATABASE, exc, "written") from exc

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


def _refuse_a_second_run(path: Path) -> None:
    if (path / DATABASE).exists():
        raise UsageError(
            f"{path} already holds a run",
            hint="name another directory with --run, or carry on with `bulkipacl resume`",
        )


def _initialise(database: Path, directory_fd: int) -> None:
    """Make the database under another name and put it in place: it is whole, or not there."""
    unfinished = database.with_name(_UNFINISHED)
    try:
        _remove(unfinished)  # What a process that was killed here has left.
        try:
            _make_tables(unfinished)
            unfinished.rename(database)
        except BaseException:
            with suppress(OSError):
                _remove(unfinished)
            raise
    except sqlite3.Error as exc:
        raise StoreError(f"{database} cannot be made: {exc}", hint=_ELSEWHERE) from exc
    except OSError as exc:
        raise StoreError(f"{database} cannot be made: {exc.strerror}", hint=_ELSEWHERE) from exc
    with suppress(OSError):  # Not every file system can make a name durable.
        os.fsync(directory_fd)


def _make_tables(database: Path) -> None:
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(
            f"BEGIN; PRAGMA application_id={APPLICATION_ID}; {TABLES}"
            f" PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
        )
    finally:
        connection.close()


def _remove(database: Path) -> None:
    for path in (database, *remains(database)):
        path.unlink(missing_ok=True)
