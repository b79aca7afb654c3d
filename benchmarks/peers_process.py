"""Processes that are measured: on which cores they run, what they cost, how much memory they take.

    Cores           which cores are whose;  on_cores   what is started inside runs there
    run_measured    runs a command to its end -> Cost
    clean_environment   an environment without anything of the person who runs this

CPU is the system's own account of a process and all its children (user and system). Memory is the
sum over a process and its children, looked at every 20 ms, of the most that each has taken so far
(VmHWM). The system's `ru_maxrss` would not do: it begins with the size of whoever starts a process.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

LOOKED_EVERY_S = 0.02
_KEPT = ("PATH", "LANG", "TMPDIR", "PYTHONDONTWRITEBYTECODE")


class Cores(NamedTuple):
    """Cores by number; the far end's are among the clients' only where there are too few.

    Attributes:
        clients: what a contestant may use, the first of them first; empty: nothing can be pinned.
        far_end: the last one.
    """

    clients: tuple[int, ...]
    far_end: tuple[int, ...]

    @property
    def text(self) -> str:
        """Who runs where, in words."""
        if not self.clients:
            return (
                "nothing is pinned to a core: there are fewer than two, or it cannot be done here"
            )
        return (
            f"far end on core {self.far_end[0]}, contestants on core {self.clients[0]}, those with "
            "more processes on further ones too"
        )


def find_cores() -> Cores:
    """The cores that this process may use, shared out."""
    if not hasattr(os, "sched_getaffinity"):
        return Cores((), ())
    found = sorted(os.sched_getaffinity(0))
    return Cores(tuple(found), tuple(found[-1:])) if len(found) > 1 else Cores((), ())


@contextmanager
def on_cores(cores: Sequence[int]) -> Iterator[None]:
    """Inside, this thread and what it starts runs on these cores; on any where there are none."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Cost(NamedTuple):
    """What a process and its children took.

    Attributes:
        wall_s: from its start to its end.
        cpu_s: user and system.
        peak_mb: at most, all together; None where the system does not tell.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float | None


def run_measured(
    command: Sequence[str], environment: Mapping[str, str], cores: Sequence[int], cwd: Path
) -> Cost:
    """Run a command to its end.

    Raises:
        RuntimeError: it ended with another code than 0; what it said is in the message.
    """
    with (cwd / "said.txt").open("w+b") as said:
        began = time.perf_counter()
        with on_cores(cores):
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=cwd,
            )
        looking = _Looking(process.pid)
        looking.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            wall_s = time.perf_counter() - began
            looking.stop()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            text = said.read().decode(errors="replace")[-2_000:]
            raise RuntimeError(f"{Path(command[0]).name} ended with {process.returncode}: {text}")
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, looking.peak_mb)


class _Looking(threading.Thread):
    """Looks at the memory of a process and its children until it is told to stop."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._ended = threading.Event()
        self._peak_kb = 0

    @property
    def peak_mb(self) -> float | None:
        """The most that was seen."""
        return self._peak_kb / 1024 if self._peak_kb else None

    def run(self) -> None:
        """Look every now and then."""
        while not self._ended.wait(LOOKED_EVERY_S):
            self._peak_kb = max(self._peak_kb, sum(map(_peak_kb, _tree(self._pid))))

    def stop(self) -> None:
        """Look no more."""
        self._ended.set()
        self.join()


def _tree(pid: int) -> Iterator[int]:
    """A process and all below it, as far as the system tells."""
    yield pid
    with suppress(OSError):
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in path.read_text().split():
                yield from _tree(int(child))


def _peak_kb(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0


def clean_environment(home: Path, **further: str) -> dict[str, str]:
    """What a contestant gets: no proxy, no credential and no memory of anybody's."""
    kept = {name: value for name in _KEPT if (value := os.environ.get(name))}
    state = {"HOME": str(home), "BULKIPACL_STATE_DIR": str(home), "NO_COLOR": "1"}
    return kept | state | further
