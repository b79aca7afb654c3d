"""Rounds with `kill -9`: the command line and the sandbox as processes of their own.

`apply` is killed at a moment that the round's seed draws, and so are some of the resumes after it
(where they take several processes, the parent or one of the others); after every kill, `report` and
`verify` must answer for every row. When the run has come to its end, it is judged by the sandbox's
ledger and state.

    run_kill_round   a round, judged
"""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from campaign_judge import UNANSWERED, Answer, Case, Change, Finding, State
from campaign_plan import HEADER, Held, PlanRow, Scene, csv_lines, draw_plan
from campaign_tally import Tally

from bulkipacl.errors import BulkError
from bulkipacl.store import views
from bulkipacl.store.rundir import RunDirectory

PROGRAM = (sys.executable, "-m", "bulkipacl")
LIMIT_S = 60.0
"""No process lives longer."""
MAX_KILLS = 4
MAX_APPLIES = 4
MAX_ENDINGS = 6
"""Resumes that may come to their end, until nothing is unknown any more."""

LATE_S, SETTLE_S = 0.3, 0.6
_POLL_S = 0.005
_FAULTS = ("429", "500", "502", "503", "504", "reset", "garbage", "truncated_after", "close_after")
_MOMENTS = ("start", "begin", "first", "effects", "effects", "settle", "report", "any")


@dataclass(slots=True)
class _Box:
    """A sandbox as a process."""

    process: subprocess.Popen[bytes]
    ready: dict[str, Any]

    @classmethod
    def start(cls, *switches: str) -> _Box:
        process = subprocess.Popen(
            [*PROGRAM, "sandbox", "--port", "0", "--json", *switches],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        line = process.stdout.readline() if process.stdout else b""
        if not line:
            process.kill()
            process.wait()
            raise RuntimeError("the sandbox did not start")
        return cls(process, orjson.loads(line))

    def ask(self, path: str, data: bytes | None = None) -> Any:
        """What one of the sandbox's own paths answers."""
        url = f"{self.ready['url']}/sandbox/{path}"
        with urllib.request.urlopen(url, data=data, timeout=LIMIT_S) as answer:  # noqa: S310 - ours
            return orjson.loads(answer.read())

    def scenes(self) -> list[Scene]:
        """All lists as they are now."""
        return [
            Scene(account["sid"], acl["sid"], acl["friendly_name"], _entries_of(acl))
            for account in self.ask("state")["accounts"]
            for acl in account["lists"]
        ]

    def changes(self) -> list[Change]:
        """The ledger."""
        return [_change_of(e) for e in self.ask("ledger") if e["resource"] == "entry"]

    def environment(self) -> dict[str, str]:
        """The parent's token, and nothing of whoever runs this."""
        sid, token = next(iter(self.ready["accounts"].items()))
        names = ("PATH", "PYTHONPATH", "TMPDIR")
        kept = {name: os.environ[name] for name in names if name in os.environ}
        state = {"BULKIPACL_STATE_DIR": "state"}  # Beside the run: each round has its own.
        return {**kept, **state, "TWILIO_ACCOUNT_SID": sid, "TWILIO_AUTH_TOKEN": token}

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(timeout=LIMIT_S)
        if self.process.stdout:
            self.process.stdout.close()


def _entries_of(acl: Mapping[str, Any]) -> dict[str, Held]:
    return {
        e["sid"]: Held(e["ip_address"], e["cidr_prefix_length"], e["friendly_name"])
        for e in acl["entries"]
    }


def _change_of(effect: Mapping[str, Any]) -> Change:
    held = [
        None if effect[f"ip_{when}"] is None
        else Held(effect[f"ip_{when}"], effect[f"prefix_{when}"], effect[f"name_{when}"])
        for when in ("before", "after")
    ]  # fmt: skip
    where = (effect["list_sid"], effect["sid"])
    return Change(effect["op"], *where, held[0], held[1], effect["fault"], effect["by"])


@dataclass(slots=True)
class _Round:
    """One round under way; `run` is the run directory that counts."""

    box: _Box
    folder: Path
    rng: random.Random
    rows: list[PlanRow]
    where: str
    processes: int
    tally: Tally = field(default_factory=Tally)
    applies: int = 0
    kills: int = 0
    moment: str = ""
    errors: list[str] = field(default_factory=list)

    @property
    def run(self) -> Path:
        """The run directory of the latest apply."""
        return self.folder / f"run-{self.applies}"

    def play(self) -> None:
        """Apply, kill, resume, until it has ended."""
        code = self._apply()
        ended = 0
        while code != 0 and ended < MAX_ENDINGS:
            if code is None:
                self._check_answers()
            if not self._is_taken_in():
                code = self._apply()
                continue
            code = self._session("resume", str(self.run))
            if code is not None:
                ended += 1
                if code == 1:  # Finished, and some rows could not be done.
                    break

    def _apply(self) -> int | None:
        self.applies += 1
        path = self.folder / "rows.csv"
        return self._session("apply", str(path), "--run", str(self.run), *_FLAGS)

    def _session(self, *arguments: str) -> int | None:
        """One process; None where it was killed."""
        may_kill = self.kills < MAX_KILLS and (self.applies <= MAX_APPLIES or self.kills == 0)
        is_first = self.kills == 0
        wants_kill = may_kill and (is_first or self.rng.random() < 0.6)
        base = ["--base-url", self.box.ready["url"], "--progress", "none"]
        base += ["--processes", str(self.processes)] if self.processes > 1 else []
        is_worker_killed = False
        process = subprocess.Popen(
            [*PROGRAM, *arguments, *base],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self.box.environment(),
            cwd=self.folder,
            start_new_session=True,
        )
        try:
            if wants_kill and self._wait_for_moment(process):
                is_worker_killed = self._kill(process)
            _, errors = process.communicate(timeout=LIMIT_S)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode == -9 or (is_worker_killed and process.returncode == 7):
            who = " of a worker" if is_worker_killed else ""
            self.kills += 1
            self.tally.stops["kill"] += 1
            self.tally.stops[f"{arguments[0]}, {self.moment}{who}"] += 1
            return None
        if process.returncode in (2, 70, 9) or b"Traceback" in errors:
            text = f"{arguments[0]} ended with {process.returncode}: {errors.decode()[-500:]}"
            self.errors.append(text)
        return process.returncode

    def _kill(self, process: subprocess.Popen[bytes]) -> bool:
        """Kill the run, or one of its worker processes; whether it was one of these."""
        if self.processes > 1 and self.rng.random() < 0.5:
            workers = _children(process.pid)
            if workers:
                with suppress(ProcessLookupError):
                    os.kill(self.rng.choice(workers), signal.SIGKILL)
                return True
        process.kill()
        return False

    def _wait_for_moment(self, process: subprocess.Popen[bytes]) -> bool:
        """Wait for the moment to kill; False where the process ended before."""
        moment = self.moment = self.rng.choice(_MOMENTS)
        until = time.monotonic() + LIMIT_S / 2
        is_time = self._moment(moment)
        while process.poll() is None and time.monotonic() < until:
            if is_time():
                time.sleep(self.rng.uniform(0.0, 0.1) if moment == "effects" else 0.0)
                return process.poll() is None
            time.sleep(_POLL_S)
        return False

    def _moment(self, moment: str) -> Callable[[], bool]:
        started, effects = time.monotonic(), self._effects()
        spread_s = {"start": 0.3, "begin": 0.9, "any": 4.0}.get(moment)
        if spread_s is not None:
            at = started + self.rng.uniform(0.0, spread_s)
            return lambda: time.monotonic() >= at
        if moment in ("first", "effects"):
            share = 0.0 if moment == "first" else self.rng.random() ** 2
            wanted = effects + max(1, round(share * len(self.rows)))
            return lambda: self._effects() >= wanted
        report = self.run / "report.csv"
        if moment == "report":
            was, left = _mark(report), set(self.run.glob(".report*"))
            return lambda: _mark(report) != was or set(self.run.glob(".report*")) != left
        return self._quiet(self.rng.uniform(0.1, 0.1 + SETTLE_S), effects)

    def _quiet(self, quiet_s: float, effects: int) -> Callable[[], bool]:
        """When something happened, and then nothing for so long: while it settles."""
        last = [effects, time.monotonic()]

        def is_time() -> bool:
            now = self._effects()
            if now != last[0]:
                last[:] = [now, time.monotonic()]
            return now != effects and time.monotonic() - last[1] > quiet_s

        return is_time

    def _effects(self) -> int:
        return int(self.box.ask("stats")["effects"])

    def _is_taken_in(self) -> bool:
        with suppress(BulkError), RunDirectory.open(self.run, is_writable=False) as run:
            return views.get_meta(run, "taken_in") == "yes"
        return False

    def _check_answers(self) -> None:
        """After a kill: report and verify answer for every row."""
        if not self._is_taken_in():
            return
        for verb in ("report", "verify"):
            done = subprocess.run(
                [*PROGRAM, verb, str(self.run)],
                capture_output=True,
                env=self.box.environment(),
                timeout=LIMIT_S,
                check=False,
            )
            if done.returncode in (2, 70) or (verb == "verify" and done.returncode):
                self.errors.append(f"{verb} after a kill: {done.stderr.decode()[-500:]}")
        numbers = sorted(self.answers())
        if numbers != list(range(1, len(self.rows) + 1)):
            self.errors.append(f"after a kill, {len(numbers)} of {len(self.rows)} rows answered")

    def answers(self) -> dict[int, list[Answer]]:
        """What report.csv answers each row with."""
        found: dict[int, list[Answer]] = {}
        with (self.run / "report.csv").open(encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                answer = Answer(line["outcome"], line["sid"], line["friendly_name"], line["reason"])
                found.setdefault(int(line["row"]), []).append(answer)
        return found


_FLAGS = ("--settle", str(SETTLE_S), "--timeout", "1", "--retries", "12")


def _mark(path: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        found = path.stat()
        return found.st_ino, found.st_mtime_ns
    return None


def _children(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            found += [int(place.name)] if parent == pid else []
    return sorted(found)


def _switches(rng: random.Random, number: int, processes: int) -> list[str]:
    share = rng.uniform(0.05, 0.2) / len(_FAULTS)
    faults = [word for kind in _FAULTS for word in ("--fault", f"{kind}={share:.4f}")]
    duplicates = ("refuse", "accept")[number % 2]
    switches = ["--seed", str(rng.getrandbits(31)), "--duplicates", duplicates]
    accounts = max(min(processes, 2), rng.randint(1, 3))
    switches += ["--accounts", str(accounts), "--lists", str(rng.randint(1, 3))]
    switches += ["--entries", str(rng.choice((5, 15, 30))), "--latency", "0.02~0.3"]
    switches += ["--fault", "hang=0.005", "--hang", "2", "--late", str(LATE_S)]
    return [*switches, *faults]


def run_kill_round(seed: int, number: int, processes: int = 1) -> Tally:
    """One round with kills, judged; each run in so many processes."""
    rng = random.Random(f"{seed}/{number}/kills")
    box = _Box.start(*_switches(rng, number, processes))
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _play(box, Path(folder), rng, f"kill round {number}", processes)
    finally:
        box.close()


def _play(box: _Box, folder: Path, rng: random.Random, where: str, processes: int) -> Tally:
    scenes = box.scenes()
    before: State = {scene.list_sid: scene.entries for scene in scenes}
    rows = draw_plan(rng, scenes, max(4, min(50, rng.randint(100, 200) // len(scenes))))
    (folder / "rows.csv").write_text("\n".join([HEADER, *csv_lines(rows), ""]), encoding="utf-8")
    one = _Round(box, folder, rng, rows, where, processes)
    one.play()
    box.ask("flush", b"")
    after: State = {scene.list_sid: scene.entries for scene in box.scenes()}
    one.tally.judged(Case(rows, one.answers(), before, after, box.changes()), where)
    one.tally.found([Finding(UNANSWERED, 1, text) for text in one.errors], where)
    stats = box.ask("stats")
    one.tally.faults.update(stats["faults"])
    one.tally.requests = stats["total"]
    return one.tally
