"""Connections to `run.sqlite`, wherever it lies; what goes wrong is a StoreError.

connect_writer   the one that writes; `RunDirectory.transaction` tells of its errors
connect_reader   one that cannot write; its errors are StoreErrors wherever they turn up
Reader           such a connection
store_error      what SQLite says, as a sentence and what to do
remains          the files that SQLite keeps beside a database
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TypeVar

from bulkipacl.errors import StoreError
from bulkipacl.store.lock import share_directory
from bulkipacl.store.schema import APPLICATION_ID, SCHEMA_VERSION

RESTORE = "restore it from a copy, or apply the input again: what is done already is not done twice"
"""What helps where a run is lost: a second run of an input changes nothing that is so already."""

Connection = TypeVar("Connection", bound=sqlite3.Connection)

_NO_RUN = "give the directory that `bulkipacl apply` printed, such as runs/NAME-TIME"

# The low byte of SQLite's codes. A place that cannot be written shows as one of these.
_NO_PLACE = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
# Beyond these, what only damage can be where our own fixed questions are read: a table that is
# gone, and (without a code of SQLite's) a text that is none.
_DAMAGED_TO_READ = _DAMAGED | {sqlite3.SQLITE_ERROR, 0}

# What SQLite says of a damaged schema can quote it, and then be no text.
_FAILURES = (sqlite3.Error, UnicodeDecodeError)


class _Cursor(sqlite3.Cursor):
    """Rows, or a StoreError. Many at once cost nothing; one by one, about 0.3 us each."""

    database = Path()

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        """Ask."""
        try:
            return super().execute(sql, parameters)
        except _FAILURES as exc:
            raise store_error(self.database, exc, "read") from exc

    def __next__(self) -> Any:
        """The next row."""
        try:
            return super().__next__()
        except _FAILURES as exc:
            raise store_error(self.database, exc, "read") from exc

    def fetchone(self) -> Any:
        """The next row, or None."""
        return next(self, None)

    def fetchmany(self, size: int | None = 1) -> list[Any]:
        """The next rows, at most so many; [] at the end."""
        try:
            return super().fetchmany(size)
        except _FAILURES as exc:
            raise store_error(self.database, exc, "read") from exc

    def fetchall(self) -> list[Any]:
        """All other rows."""
        try:
            return super().fetchall()
        except _FAILURES as exc:
            raise store_error(self.database, exc, "read") from exc


class Reader(sqlite3.Connection):
    """A connection whose every error is a StoreError.

    Attributes:
        shared_fd: what keeps writers away as long as it is open, where SQLite cannot do that.
    """

    database = Path()
    shared_fd: int | None = None

    def execute(self, sql: str, parameters: Any = (), /) -> _Cursor:
        """Ask."""
        cursor = self.cursor(_Cursor)
        cursor.database = self.database
        return cursor.execute(sql, parameters)

    def close(self) -> None:
        """Close it, and let writers in again."""
        super().close()
        if self.shared_fd is not None:
            os.close(self.shared_fd)
            self.shared_fd = None


def connect_writer(database: Path) -> sqlite3.Connection:
    """The connection that writes.

    Raises:
        StoreError: it cannot be opened, or is no run.
    """
    try:
        return _opened(database, "mode=rw", sqlite3.Connection)
    except _FAILURES as exc:
        raise store_error(database, exc, "opened") from exc


def connect_reader(database: Path) -> Reader:
    """A connection that only reads; also where nothing can be written.

    Raises:
        StoreError: it cannot be opened, or is no run.
    """
    try:
        return _connect_reader(database)
    except _FAILURES as exc:
        raise store_error(database, exc, "opened") from exc


def _connect_reader(database: Path) -> Reader:
    can_write = os.access(database.parent, os.W_OK)
    try:
        return _opened(database, "mode=rw" if can_write else "mode=ro", Reader)
    except sqlite3.OperationalError as exc:
        if _code(exc) not in _NO_PLACE or not os.access(database, os.R_OK):
            raise
        # Reading takes a file of SQLite's own beside the database, to agree with who writes.
        # Where that cannot be, and nobody writes, the database alone is the whole of it; but
        # with anything in its log it is not.
        if _log_bytes(database):
            if can_write:
                raise
            raise StoreError(
                f"{database} cannot be read: its last changes stand in {database.name}-wal, and"
                " to read them this directory must be writable",
                hint="copy the whole directory to a place that can be written, and name the copy",
            ) from exc
        shared_fd = share_directory(database.parent)
        if shared_fd is None:
            raise
    try:
        reader = _opened(database, "mode=ro&immutable=1", Reader)
    except BaseException:
        os.close(shared_fd)
        raise
    reader.shared_fd = shared_fd
    return reader


def store_error(database: Path, exc: sqlite3.Error | UnicodeDecodeError, what: str) -> StoreError:
    """What SQLite says as a sentence, with what to do.

    Args:
        what: `opened`, `read` or `written`.
    """
    code = _code(exc)
    if code == sqlite3.SQLITE_NOTADB:
        return StoreError(f"{database} is not a database", hint=RESTORE)
    if code in (_DAMAGED if what == "written" else _DAMAGED_TO_READ):
        return StoreError(f"{database} is damaged: {exc}", hint=RESTORE)
    if what == "written":
        hint = "nothing unrecorded is sent; make room and `bulkipacl resume` it"
    elif code in _NO_PLACE and not os.access(database, os.R_OK):
        hint = "you may not read this file: ask its owner, or use the account that made it"
    elif what == "opened" and code == sqlite3.SQLITE_READONLY:
        hint = "copy the directory to a place that can be written, and name the copy"
    else:
        hint = "look after the disk, or copy the directory to another one, and name the copy"
    return StoreError(f"{database} cannot be {what}: {exc}", hint=hint)


def remains(database: Path) -> list[Path]:
    """The files that SQLite keeps beside a database while it is open, there or not."""
    return [database.with_name(database.name + end) for end in ("-journal", "-wal", "-shm")]


def _opened(database: Path, query: str, factory: type[Connection]) -> Connection:
    connection = sqlite3.connect(
        f"{database.absolute().as_uri()}?{query}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=30,
        factory=factory,
    )
    try:
        if isinstance(connection, Reader):
            connection.database = database
        # By the plain cursor: who opens it wants to know what SQLite itself says.
        _check(database, connection.cursor())
        # FULL: a snapshot that a power cut can take back would be no promise at all.
        connection.execute("PRAGMA synchronous=FULL")
        if isinstance(connection, Reader):
            connection.execute("PRAGMA query_only=1")
    except BaseException:
        connection.close()
        raise
    return connection


def _check(database: Path, cursor: sqlite3.Cursor) -> None:
    """Refuse what is no run, or one of another version."""

    def fact(name: str) -> int:
        return int(cursor.execute(f"PRAGMA {name}").fetchone()[0])

    application, version = fact("application_id"), fact("user_version")
    if not application and not version and not fact("page_count"):
        raise StoreError(f"{database} is empty: no run is in it, or none any more", hint=RESTORE)
    if application != APPLICATION_ID:
        raise StoreError(f"{database} is not a run of bulkipacl", hint=_NO_RUN)
    if not version:
        raise StoreError(
            f"{database} has no schema: its making was cut off, so that nothing of this run was"
            " taken in, and nothing was sent",
            hint="apply the input again with another --run, or delete this directory first",
        )
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{database} has schema {version}, this bulkipacl reads {SCHEMA_VERSION}",
            hint="use the version of bulkipacl that made it",
        )


def _log_bytes(database: Path) -> int:
    with suppress(OSError):
        return database.with_name(f"{database.name}-wal").stat().st_size
    return 0


def _code(exc: Exception) -> int:
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF
