"""A sandbox and the command line as real processes, and readers of what they leave behind.

Box      a running sandbox: its accounts and lists, and what its own paths say
Cli      runs `python -m bulkipacl` in a directory of the test's own, with a clean environment
Place    an account and its lists that no other test touches
"""

import csv
import io
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from bulkipacl.report import verify
from bulkipacl.store.rundir import RunDirectory

PROGRAM = (sys.executable, "-m", "bulkipacl")
LIMIT_S = 60.0
"""No process of a test lives longer."""

_KEPT = ("PATH", "LANG", "TMPDIR", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
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


class Box:
    """A sandbox as a process.

    Attributes:
        accounts: sid to token, the parent first.
        lists: the sids of each account's lists.
        keys: each account's API key and secret.
    """

    def __init__(self, *switches: str) -> None:
        self.process = subprocess.Popen(
            [*PROGRAM, "sandbox", "--port", "0", "--json", *switches],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=clean_environment(),
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"no sandbox: {self.process.communicate(timeout=10)[1]!r}")
        ready = orjson.loads(line)
        self.url: str = ready["url"]
        self.accounts: dict[str, str] = ready["accounts"]
        self.lists: dict[str, list[str]] = ready["lists"]
        self.keys: dict[str, list[str]] = ready["api_keys"]
        self._unused = list(self.accounts)
        self._is_killed = False

    @property
    def parent(self) -> str:
        """The sid of the account that owns the others."""
        return next(iter(self.accounts))

    @property
    def secrets(self) -> list[str]:
        """Everything that must never be seen."""
        return [*self.accounts.values(), *(secret for _, secret in self.keys.values())]

    @property
    def token_environment(self) -> dict[str, str]:
        """The parent's token, which reaches every account."""
        return {"TWILIO_ACCOUNT_SID": self.parent, "TWILIO_AUTH_TOKEN": self.accounts[self.parent]}

    def place(self) -> "Place":
        """An account that no test has had yet."""
        sid = self._unused.pop()
        return Place(self, sid, self.lists[sid])

    def get(self, path: str) -> Any:
        """What one of the sandbox's own paths answers."""
        with urllib.request.urlopen(f"{self.url}/sandbox/{path}", timeout=10) as answer:  # noqa: S310 - ours
            return orjson.loads(answer.read())

    def state(self) -> dict[str, dict[str, dict[str, tuple[str, int, str]]]]:
        """All entries: account sid, list sid, sid to (address, prefix, name)."""
        return {
            account["sid"]: {
                acl["sid"]: {
                    entry["sid"]: (
                        entry["ip_address"],
                        entry["cidr_prefix_length"],
                        entry["friendly_name"],
                    )
                    for entry in acl["entries"]
                }
                for acl in account["lists"]
            }
            for account in self.get("state")["accounts"]
        }

    def stats(self) -> dict[str, Any]:
        """Counts of requests, faults and peaks."""
        found: dict[str, Any] = self.get("stats")
        return found

    def requests(self) -> dict[str, int]:
        """Requests so far by method, whatever they were answered."""
        return {method: sum(by.values()) for method, by in self.stats()["requests"].items()}

    def ledger(self, since: int = 0) -> list[dict[str, Any]]:
        """Every effect on the state after the `since`-th."""
        found: list[dict[str, Any]] = self.get(f"ledger?since={since}")
        return found

    def kill(self) -> None:
        """End it in the middle of everything; nobody listens there from then on."""
        self.process.kill()
        self.process.communicate(timeout=10)
        self._is_killed = True

    def close(self) -> None:
        """End it by its id; SIGTERM ends it with 0 and without a word."""
        if self._is_killed:
            return
        if self.process.poll() is None:
            self.process.terminate()
        _, errors = self.process.communicate(timeout=10)
        assert (self.process.returncode, errors) == (0, b"")


@dataclass(frozen=True)
class Place:
    """An account of a sandbox, and its lists, for one test alone."""

    box: Box
    account: str
    lists: list[str]

    @property
    def acl(self) -> str:
        """Its first list."""
        return self.lists[0]

    def entries(self, acl: str | None = None) -> dict[str, tuple[str, int, str]]:
        """What a list holds: sid to (address, prefix, name)."""
        return self.box.state()[self.account][acl or self.acl]

    def held(self, acl: str | None = None) -> list[tuple[str, int, str]]:
        """What a list holds, without sids, in order."""
        return sorted(self.entries(acl).values())

    def effects(self) -> list[dict[str, Any]]:
        """What happened to this account."""
        return [one for one in self.box.ledger() if one["account_sid"] == self.account]


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


def clean_environment() -> dict[str, str]:
    """An environment without anything of the person who runs the tests.

    Byte code is not written: some of these processes are killed or run out of room while they
    write, and half a file of byte code would break all that come after.
    """
    kept = {name: value for name in _KEPT if (value := os.environ.get(name))}
    kept["PYTHONDONTWRITEBYTECODE"] = "1"
    return {**kept, "PYTHONWARNINGS": "default", "NO_COLOR": "1"}


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
        ended = Ended(self.process.returncode, (out or b"").decode(), err.decode())
        for text in (ended.out, ended.err):
            assert "Traceback" not in text, text
            assert "a defect in bulkipacl" not in text, text
            assert not _WARNING.search(text), text
            assert not any(secret in text for secret in self._cli.secrets)
        return ended


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
        if "--run" not in arguments:
            arguments = (*arguments, "--run", "run")
        return self.run(*self.applying(*arguments), environment=environment, stdin=stdin)

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
