"""What a person sees while a job runs: problems, progress, the summary. All of it on stderr.

Terminal   the observer of a job; owns where data on stdout goes
end        the summary at the end, and the exit code

stdout carries data alone: a stream, a report to `-`, a `--json` summary. Only one of them at once.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import orjson

from bulkipacl.cli.options import ProgressMode
from bulkipacl.cli.progress import Progress, start_progress
from bulkipacl.errors import BulkError, UsageError
from bulkipacl.intake import describe
from bulkipacl.model import Problem, Summary
from bulkipacl.report import (
    counted,
    exit_code,
    printable,
    source_name,
    summary_json,
    summary_text,
)

if TYPE_CHECKING:
    from bulkipacl.engine.sender import Sender

SHOWN_ERRORS = 20
SHOWN_WARNINGS = 3
"""Problems of one kind shown in full; the rest are counted (and errors are in the report)."""


class Terminal:
    """The observer of a job.

    Attributes:
        warnings: how many there were.
        stream: where `--stream` writes, or None.
    """

    def __init__(
        self,
        mode: ProgressMode,
        *,
        stream: str | None = None,
        reports: Sequence[str] = (),
        as_json: bool = False,
    ) -> None:
        _one_for_stdout(stream, reports, as_json=as_json)
        self.warnings = 0
        self._seen: Counter[str] = Counter()
        self._unseen: Counter[str] = Counter()
        self.stdout = _stdout()
        self.stdin: BinaryIO | None = None
        self.stream: Callable[[bytes], object] | None = None
        self._mode = mode
        self._reports = reports
        self._stream_path = stream
        self._stream_file: BinaryIO | None = None
        self._is_stream_broken = False
        self._progress: Progress | None = None
        self._is_sent = False
        self._told_at = time.monotonic()

    def __enter__(self) -> Self:
        with suppress(OSError):  # It may be closed, and not be needed.
            # Unbuffered and on its own: a thread may still be reading it when the process ends.
            self.stdin = open(0, "rb", buffering=0, closefd=False)
        if self._stream_path is not None:
            self.stream = self._write_stream
        return self

    @property
    def outputs(self) -> dict[str, Any]:
        """What a job takes of this."""
        return {"reports": self._reports, "stream": self.stream, "stdout": self.stdout}

    def __exit__(self, *exc_info: object) -> None:
        self.ended()
        if self._stream_file is not None:
            with suppress(OSError):
                self._stream_file.close()

    # --- what a job tells -----------------------------------------------------------------

    def taken_in(self, rows: int) -> None:
        """So many rows are in the store."""
        now = time.monotonic()
        if now - self._told_at >= 2.0 and self._progress is None and self._is_shown():
            self._told_at = now
            self._say(f"{counted(rows, 'row')} taken in")

    def problem(self, source: str, line: int, problem: Problem) -> None:
        """Something is wrong with a row of the input."""
        self._seen[problem.reason] += 1
        if problem.is_warning:
            self.warnings += 1
        most = SHOWN_WARNINGS if problem.is_warning else SHOWN_ERRORS
        if self._seen[problem.reason] <= most:
            word = "warning: " if problem.is_warning else ""
            self._say(word + describe(problem, source=source_name(source), line=line))
        else:
            self._unseen[problem.reason] += 1

    def cut_off(self, error: BulkError) -> None:
        """The input cannot be read on; what came before is carried out."""
        self._tell_unseen()
        self._say(f"bulkipacl: {printable(error.message)}")
        self._say(
            "  the rows before that are carried out; mend the input, and apply all of it again"
        )

    def checked(self, rows: int, invalid: int) -> None:
        """The input is complete."""
        self._tell_unseen()
        if invalid:
            are = "is" if invalid == 1 else "are"
            self._say(f"{invalid:,} of {counted(rows, 'row')} {are} invalid")
        elif self._is_shown():
            self._say(f"{counted(rows, 'row')} taken in, none invalid")

    def sending(self, engine: Sender, rows: int | None) -> None:
        """Sending begins."""
        self._progress = start_progress(self._mode, engine, rows)

    def stopping(self, signals: int) -> None:
        """The n-th signal to stop has come."""
        if self._is_sent:
            self._say("the reports are being written; Ctrl-C again leaves them unfinished")
        elif signals == 1:
            self._say("stopping: what is in flight is finished; Ctrl-C again stops now")
        else:
            self._say("stopping now: what was in flight is unknown until a resume")

    def ended(self) -> None:
        """Sending has ended."""
        self._is_sent = True
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    # --- inside ---------------------------------------------------------------------------

    def _tell_unseen(self) -> None:
        for reason, count in self._unseen.items():
            self._say(f"and {count:,} more of `{reason}`")
        self._unseen.clear()

    def _is_shown(self) -> bool:
        return self._mode is not ProgressMode.NONE

    def _say(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def _write_stream(self, data: bytes) -> None:
        """Write to the stream; when that fails, say so once: the run and its report go on."""
        if self._is_stream_broken:
            return
        try:
            if self._stream_file is None:
                path = self._stream_path or "-"
                # Only now: a run that cannot begin must not empty a file.
                self._stream_file = self.stdout if path == "-" else Path(path).open("wb")  # noqa: SIM115
            self._stream_file.write(data)
            self._stream_file.flush()
        except OSError as exc:
            self._is_stream_broken = True
            if self._stream_path == "-":  # Nothing that is left in a buffer can go there either.
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            self._say(f"--stream cannot be written any more ({exc.strerror}): the run goes on")


def end(summary: Summary, *, as_json: bool = False, resume: str | None = None) -> int:
    """Print the summary; returns the exit code.

    Args:
        resume: the command that carries the run on, where something is left of it.
    """
    code = exit_code(summary)
    sys.stderr.write(summary_text(summary) + "\n")
    for name in ("report.csv", "rejects.csv"):
        path = Path(summary.run_dir) / name
        if path.exists():
            sys.stderr.write(f"{name.split('.')[0]:<8} {printable(str(path))}\n")
    if resume is not None:
        sys.stderr.write(f"{'resume':<8} {printable(resume)}\n")
    sys.stderr.flush()
    if as_json:
        print_json(summary_json(summary))
    return code


def print_json(value: object) -> None:
    """One JSON object on stdout."""
    out = _stdout()
    out.write(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE))
    out.flush()


def _stdout() -> BinaryIO:
    """Standard output, or nowhere if it is closed."""
    return sys.stdout.buffer if sys.stdout is not None else Path(os.devnull).open("wb")


def _one_for_stdout(stream: str | None, reports: Sequence[str], *, as_json: bool) -> None:
    wanted = [f"--report {path}" for path in reports if path == "-"]
    wanted += ["--stream -"] if stream == "-" else []
    wanted += ["--json"] if as_json else []
    if len(wanted) > 1:
        raise UsageError(
            f"{' and '.join(wanted)} all want stdout", hint="give files for all but one of them"
        )
