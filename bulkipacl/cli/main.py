"""The entry point: the version quickly, everything else through the verbs; errors as one line.

main, run   as a process, and inside of one
Errors      standard error that nobody need read

No traceback reaches a person: what this package raises is told in a line with what to do instead,
and anything else is told as the defect that it is.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO, cast

from bulkipacl import __version__
from bulkipacl.errors import BulkError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit with its code."""
    sys.stderr = open_errors()
    for signum in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signum) is not signal.SIG_IGN:  # As under `nohup`.
            signal.signal(signum, _interrupt)
    sys.exit(run(sys.argv[1:]))


def _interrupt(signum: int, frame: object) -> None:
    """SIGTERM and SIGHUP, the end of a terminal, are what Ctrl-C is."""
    raise KeyboardInterrupt


class Errors(io.RawIOBase):
    """Standard error, which may go away: what cannot be said there any more is lost, and no more.

    A terminal that is closed, or a pipe whose reader ends, must not end a run.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._fd)

    def write(self, data: ReadableBuffer, /) -> int:
        """Write all of it, or as much as can be."""
        left = memoryview(data)
        with suppress(OSError):
            while left:
                left = left[os.write(self._fd, left) :]
        return len(memoryview(data))


def open_errors() -> TextIO:
    """What takes the place of `sys.stderr`."""
    if sys.stderr is None:  # It was closed from the start.
        return Path(os.devnull).open("w", encoding="utf-8")
    return io.TextIOWrapper(
        cast(BinaryIO, Errors(sys.stderr.fileno())),
        encoding=sys.stderr.encoding,
        errors="backslashreplace",
        line_buffering=True,
        write_through=True,
    )


def run(arguments: list[str]) -> int:
    """Run the command line; returns the exit code."""
    if arguments in (["--version"], ["-V"]):
        sys.stdout.write(f"bulkipacl {__version__}\n")
        return 0
    try:
        return _dispatch(arguments)
    except BulkError as exc:
        complain(exc.message, exc.hint)
        return exc.exit_code
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone: nothing to tell, and nobody to tell it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as exc:
        if exc.filename is None:
            return _defect(exc)
        complain(f"{exc.filename}: {exc.strerror}", "name another place for it")
        return 2
    except Exception as exc:
        return _defect(exc)


def _defect(exc: Exception) -> int:
    """Tell what was not foreseen; returns the exit code."""
    # The text of an unexpected exception can hold anything, a secret included.
    where = exc.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    place = f"{where.tb_frame.f_code.co_qualname}:{where.tb_lineno}" if where else "?"
    complain(
        f"a defect in bulkipacl {__version__}: {type(exc).__name__} at {place}",
        "please report this line; a run directory, if there is one, is intact",
    )
    return 70


def _dispatch(arguments: list[str]) -> int:
    import typer

    from bulkipacl.cli.app import app

    command = typer.main.get_command(app)
    try:
        # Not by `command.main`, which turns Ctrl-C into an exit code without a word.
        with command.make_context("bulkipacl", arguments or ["--help"]) as context:
            code = command.invoke(context)
    except typer.Exit as exc:
        return exc.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    except _argument_error() as exc:
        where = getattr(exc, "ctx", None)
        verb = where.command_path if where is not None else "bulkipacl"
        complain(_message_of(exc), f"`{verb} --help` shows what there is")
        return 2
    return code if isinstance(code, int) else 0


def _message_of(exc: Exception) -> str:
    tell = getattr(exc, "format_message", None)
    return " ".join(str(tell() if tell else exc).split())


def _argument_error() -> type[Exception]:
    """The base of all errors in arguments; typer exports only some of its heirs."""
    import typer

    base: type[Exception] = typer.BadParameter
    while base.__base__ not in (Exception, RuntimeError, None):
        base = base.__base__
    return base


def complain(message: str, hint: str | None = None) -> None:
    """One line on stderr, and one with what to do instead."""
    from bulkipacl.report import printable

    sys.stderr.write(f"bulkipacl: {printable(message)}\n")
    if hint:
        sys.stderr.write(f"  {printable(hint)}\n")
