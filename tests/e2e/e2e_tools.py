"""The command line as a real process, and readers of what it leaves behind.

Cli      runs `python -m bulkipacl` in a directory of the test's own, with a clean environment;
         and calls the same command line inside the test's process, where no process is the point
Box, Place   see `e2e_box`
"""

import csv
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, chdir, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest import mock

import orjson
import pytest
from e2e_box import PROGRAM as PROGRAM
from e2e_box import Box as Box
from e2e_box import Place as Place
from e2e_box import clean_environment as clean_environment

from bulkipacl.cli import main
from bulkipacl.report import verify
from bulkipacl.store.rundir import RunDirectory

LIMIT_S = 60.0
"""No process of a test lives longer."""

_WARNING = re.compile(r"^\S*\.py:\d+: \w*Warning|ResourceWarning|never awaited", re.MULTILINE)


def ip(number: int) -> str:
    """The n-th of many ordinary public addresses."""
    return f"62.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def until(what: Callable[[], Any], limit_s: float = 20.0) -> Any:
    """What `what` says, once it is true; it fails if that takes too long."""
    end = time.monotonic() + limit_s
    while not (found := what()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
    return found


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on stdout."""
        assert self.out.count("\n") == 1
        return orjson.loads(self.out)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The JSON Lines on stdout."""
        return [orjson.loads(line) for line in self.out.splitlines()]


class Running:
    """A command under way, in a session of its own."""

    def __init__(
        self,
        cli: "Cli",
        arguments: Sequence[str],
        environment: Mapping[str, str],
        stdin: int | None,
    ) -> None:
        self._cli = cli
        self.process = subprocess.Popen(
            [*PROGRAM, *arguments],
            stdin=stdin if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cli.cwd,
            env={**clean_environment(), "HOME": str(cli.cwd), **environment},
            start_new_session=True,
        )

    def write(self, data: bytes) -> None:
        """Put data into its standard input, and keep that open."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def signal(self, signum: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(signum)

    def end(self, stdin: bytes | None = None, limit_s: float = LIMIT_S) -> Ended:
        """Wait for its end; nothing that it said may be a secret, a warning or a traceback."""
        try:
            out, err = self.process.communicate(stdin, timeout=limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            raise AssertionError(f"no end after {limit_s} s: {err.decode()}") from None
        return self._cli.ended(self.process.returncode, out or b"", err)


@dataclass
class Cli:
    """Runs the command line; `box` is where `apply` sends to.

    Attributes:
        secrets: what must be seen nowhere.
    """

    cwd: Path
    box: Box
    secrets: list[str] = field(default_factory=list)
    running: list[Running] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.secrets += self.box.secrets

    def start(
        self,
        *arguments: str | Path,
        environment: Mapping[str, str] | None = None,
        stdin: int | None = None,
    ) -> Running:
        """Start any command; by default with the parent's token."""
        if environment is None:
            environment = self.box.token_environment
        running = Running(self, [str(each) for each in arguments], environment, stdin)
        self.running.append(running)
        return running

    def run(
        self,
        *arguments: str | Path,
        environment: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
    ) -> Ended:
        """Run any command to its end."""
        pipe = None if stdin is None else subprocess.PIPE
        return self.start(*arguments, environment=environment, stdin=pipe).end(stdin)

    def run_inside(
        self,
        *arguments: str | Path,
        environment: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
    ) -> Ended:
        """Run any command to its end inside this process: without a start, most of its cost.

        It is all that the process runs, but for what signals mean before and after a run.
        """
        given = self.box.token_environment if environment is None else environment
        variables = {**clean_environment(), "HOME": str(self.cwd), **given}
        with (
            mock.patch.dict(os.environ, variables, clear=True),
            standard_streams(stdin or b"") as (out, err),
            chdir(self.cwd),
        ):
            code = main.run([str(each) for each in arguments])
            for stream in (sys.stdout, sys.stderr):
                with suppress(ValueError):  # A run closes the one that it streams to.
                    stream.flush()
            return self.ended(code, out.read_bytes(), err.read_bytes())

    def ended(self, code: int, out: bytes, err: bytes) -> Ended:
        """How a command ended; nothing that it said may be a secret, a warning or a traceback."""
        ended = Ended(code, out.decode(), err.decode())
        for text in (ended.out, ended.err):
            assert "Traceback" not in text, text
            assert "a defect in bulkipacl" not in text, text
            assert not _WARNING.search(text), text
            assert not any(secret in text for secret in self.secrets)
        return ended

    def applying(self, *arguments: str | Path) -> list[str | Path]:
        """The arguments of an `apply` to the sandbox."""
        return ["apply", *arguments, "--base-url", self.box.url, *("--progress", "none")]

    def apply(
        self,
        *arguments: str | Path,
        environment: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
    ) -> Ended:
        """Run `apply` to its end, by default into `run`."""
        return self.run(*self._applying_to(arguments), environment=environment, stdin=stdin)

    def apply_inside(
        self,
        *arguments: str | Path,
        environment: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
    ) -> Ended:
        """The same inside this process."""
        return self.run_inside(*self._applying_to(arguments), environment=environment, stdin=stdin)

    def _applying_to(self, arguments: tuple[str | Path, ...]) -> list[str | Path]:
        more = () if "--run" in arguments else ("--run", "run")
        return self.applying(*arguments, *more)

    def start_apply(self, *arguments: str | Path, stdin: int | None = None) -> Running:
        """Start `apply` into `run`."""
        return self.start(*self.applying(*arguments, "--run", "run"), stdin=stdin)

    def file(self, name: str, text: str | bytes) -> Path:
        """Write an input."""
        path = self.cwd / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def report(self, run: str | Path = "run") -> list[dict[str, str]]:
        """The lines of report.csv."""
        return read_csv(self.cwd / run / "report.csv")

    def rejects(self, run: str | Path = "run") -> list[dict[str, str]]:
        """The lines of rejects.csv; none if there is no such file."""
        path = self.cwd / run / "rejects.csv"
        return read_csv(path) if path.exists() else []

    def outcomes(self, run: str | Path = "run") -> list[str]:
        """The outcome of each row, in order."""
        return [line["outcome"] for line in self.report(run)]

    def verify(self, run: str | Path = "run") -> None:
        """Nothing speaks against a run: what `bulkipacl verify` calls, without its start-up."""
        with RunDirectory.open(self.cwd / run, is_writable=False) as directory:
            assert verify(directory) == []
        numbers = [int(line["row"]) for line in self.report(run)]
        assert numbers == list(range(1, len(numbers) + 1))

    def close(self) -> None:
        """End what still runs, each by its id."""
        for running in self.running:
            if running.process.poll() is None:
                running.process.kill()
                running.process.communicate()
            for stream in (running.process.stdin, running.process.stdout, running.process.stderr):
                if stream is not None and not stream.closed:
                    stream.close()


@contextmanager
def standard_streams(stdin: bytes) -> Iterator[tuple[Path, Path]]:
    """Inside, the standard streams of this process are files; gives those of stdout and stderr.

    Standard input is so by its descriptor too, because that is what is read.
    """
    with TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        paths = [Path(place, name) for name in ("stdin", "stdout", "stderr")]
        paths[0].write_bytes(stdin)
        for path, mode in zip(paths, "rww", strict=True):
            file = stack.enter_context(path.open(mode, encoding="utf-8"))
            patch.setattr(sys, path.name, file)
        before = os.dup(0)
        stack.callback(os.close, before)
        stack.callback(os.dup2, before, 0)
        os.dup2(sys.stdin.fileno(), 0)
        yield paths[1], paths[2]


def read_csv(path: Path) -> list[dict[str, str]]:
    """A CSV file as dicts; no line is longer or shorter than the header."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert all(None not in line and None not in line.values() for line in lines)
    return lines


def csv_text(header: str, rows: Iterable[Sequence[object]]) -> str:
    """CSV with this header, which is given as one text."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header.split(","))
    writer.writerows(rows)
    return file.getvalue()


def creates(place: Place, count: int, start: int = 0, acl: str | None = None) -> str:
    """CSV with so many creates for one list."""
    return csv_text(
        "operation,account_sid,list_sid,ip_address,friendly_name",
        (
            ("create", place.account, acl or place.acl, ip(number), f"n{number}")
            for number in range(start, start + count)
        ),
    )
