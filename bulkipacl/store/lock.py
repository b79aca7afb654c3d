"""The lock of a run directory: an advisory one on the directory itself.

No second state file is needed for it, and the kernel drops it with the process, however that ends.

    lock_directory   hold it alone, to write
    share_directory  keep writers away while it is read without SQLite's own locks
    is_locked        whether somebody holds it alone, without getting into anybody's way
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from bulkipacl.errors import LockedError, StoreError

_PATIENCE_S = 2.0
_STEP_S = 0.005


def lock_directory(path: Path) -> int:
    """Hold the directory alone; returns what is to be closed to let go.

    Who only shares it (a look at the lock takes microseconds) is waited for; who holds it alone is
    not.

    Raises:
        LockedError: another process holds it.
        StoreError: it cannot be opened or locked.
    """
    fd = _open(path)
    try:
        end = time.monotonic() + _PATIENCE_S
        while not _try(fd, fcntl.LOCK_EX):
            if not _try(fd, fcntl.LOCK_SH) or time.monotonic() > end:
                raise LockedError(
                    f"{path} is in use by another bulkipacl",
                    hint="wait until it ends, or stop it first",
                )
            fcntl.flock(fd, fcntl.LOCK_UN)
            time.sleep(_STEP_S)
    except OSError as exc:
        os.close(fd)
        raise StoreError(
            f"{path} cannot be locked: {exc.strerror}",
            hint="use a directory on a file system that has locks",
        ) from exc
    except BaseException:
        os.close(fd)
        raise
    return fd


def share_directory(path: Path) -> int | None:
    """Keep writers away; returns what is to be closed, or None where somebody writes just now.

    Raises:
        StoreError: it cannot be opened.
    """
    fd = _open(path)
    try:
        if _try(fd, fcntl.LOCK_SH):
            return fd
    except OSError:  # No locks there: then nobody can hold one either.
        return fd
    os.close(fd)
    return None


def is_locked(path: Path) -> bool:
    """Whether another process holds the run directory just now.

    It is asked for together with others who ask, so that nobody is refused for the asking.
    """
    fd = share_directory(path)
    if fd is None:
        return True
    os.close(fd)
    return False


def _try(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as exc:
        raise StoreError(
            f"{path} cannot be opened: {exc.strerror}", hint="name a directory that can be read"
        ) from exc
