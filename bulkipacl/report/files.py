"""Files that are there whole or not at all.

replacing           a file written under another name and put in place at its end
remove              a file that is not wanted any more
check_destination   whether `replacing` will be able to, asked before a long run
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from bulkipacl.errors import StoreError, UsageError

_HINT = (
    "the outcomes are safe in the run directory: `bulkipacl report RUN --report PATH` writes them"
    " elsewhere"
)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes `path`'s place when the block ends well, durable by then.

    A link is followed; a pipe or a device is written to as it is. When the block raises, what
    was at `path` is untouched.

    Raises:
        StoreError: it cannot be written.
    """
    target = Path(os.path.realpath(path))
    # In the same directory, because only there a rename replaces a file in one step.
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        if target.exists() and not target.is_file():
            with target.open("wb") as file:
                yield file
            return
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_directory(target.parent)
    except OSError as exc:
        raise StoreError(f"{path} cannot be written: {exc.strerror or exc}", hint=_HINT) from exc


def remove(path: Path) -> None:
    """Remove a file that may be there.

    Raises:
        StoreError: it is there, and cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        raise StoreError(f"{path} cannot be removed: {exc.strerror or exc}", hint=_HINT) from exc


def check_destination(path: Path) -> None:
    """Refuse a path that cannot be written, while that costs nothing yet.

    Raises:
        UsageError: its directory is missing or not writable, or it is a directory itself.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise UsageError(f"{path} is a directory", hint="name a file in it")
    if not target.parent.is_dir():
        raise UsageError(f"{path}: there is no directory {target.parent}", hint="make it first")
    if target.exists() and not target.is_file():
        writable = target
    else:
        writable = target.parent
    if not os.access(writable, os.W_OK):
        raise UsageError(f"{path}: {writable} is not writable", hint="name another place")


def _sync_directory(directory: Path) -> None:
    """Make a rename durable; not every file system can, and the file itself is whole."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(fd)
    finally:
        os.close(fd)
