"""Faults by the hundred thousand, and `kill -9`: is anything there twice, lost, or unanswered?

    python benchmarks/campaign.py [--seed N] [--faults 100000] [--kills 300] [--processes 2]
                                  [--vendor] [--slice]

Part 1 runs engine and sandbox in virtual time, part 2 kills real processes (with `--processes`, of
runs that take several, the parent or one of the others), part 3 (`--vendor`)
drives the first rounds of part 1 with the vendor's async client. All rounds are drawn from the
seed, and judged by the sandbox's own ledger and state (see `campaign_judge`). Progress and
findings go to stderr, one Markdown table to stdout. Exit code 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import platform
import shlex
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context
from types import FrameType
from typing import Any

from campaign_faults import MODES, run_round
from campaign_judge import UNANSWERED, Finding
from campaign_kills import run_kill_round
from campaign_tally import FATAL, Tally, table

VENDOR_FAULTS = 10_000
SLICE_FAULTS = 1_500
SLICE_KILLS = 3
FAULT_WORKERS, SLICE_WORKERS = 6, 4
"""More than cores: in virtual time most of a round is waiting for the clock to jump."""
KILL_WORKERS = 2
ROUND_LIMIT_S = 120
"""Real seconds for one round in virtual time; those with processes have limits of their own."""
MAX_BROKEN = 20
"""Rounds that may break off, before the campaign does."""
TOLD_EVERY_S = 5.0
VENDOR = "the vendor's client"
SHOWN = 20
"""Findings told in full."""


def main() -> int:
    """Run what the arguments ask for; the exit code."""
    options = _options()
    seed = options.seed if options.seed is not None else time.time_ns() % 1_000_000
    _say(f"seed {seed}")
    started = time.monotonic()
    columns = _single(options, seed) if _is_single(options) else _all(options, seed)
    columns = {name: tally for name, tally in columns.items() if tally.rounds or tally.is_bad}
    seconds = time.monotonic() - started
    command = " ".join(shlex.quote(word) for word in sys.argv[1:])
    print(table(columns))
    print()
    print(f"`python benchmarks/campaign.py {command}`: seed {seed}, {_versions()}, {seconds:.0f} s")
    ours = [tally for name, tally in columns.items() if not name.startswith(VENDOR)]
    for tally in ours:
        _say(", ".join(f"{how} {times}" for how, times in sorted(tally.stops.items())))
        for text in tally.findings[:SHOWN]:
            _say(text)
        if len(tally.findings) > SHOWN:
            _say(f"and {len(tally.findings) - SHOWN} more findings")
    return int(any(tally.is_bad for tally in ours))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, help="of everything; by default drawn and printed")
    parser.add_argument("--faults", type=int, default=100_000, help="to inject in part 1; 0: skip")
    parser.add_argument("--kills", type=int, default=300, help="of part 2; 0: skip it")
    parser.add_argument("--processes", type=int, default=1, help="that runs of part 2 take each")
    parser.add_argument("--slice", action="store_true", help="a short one: 1,500 faults, 3 kills")
    parser.add_argument("--vendor", action="store_true", help="the vendor's client as well")
    parser.add_argument("--round", type=int, help="one round of part 1 (or 3), by its number")
    parser.add_argument("--kill-round", type=int, help="one round of part 2, by its number")
    parser.add_argument("--mode", choices=MODES, help="rounds of this duplicate mode alone")
    parser.add_argument(
        "--settle",
        type=float,
        help="seconds that part 1 waits for late effects; 0 shows what the judge can find",
    )
    options = parser.parse_args()
    if options.slice:
        options.faults = min(options.faults, SLICE_FAULTS)
        options.kills = min(options.kills, SLICE_KILLS)
    return options


def _is_single(options: argparse.Namespace) -> bool:
    return options.round is not None or options.kill_round is not None


def _single(options: argparse.Namespace, seed: int) -> dict[str, Tally]:
    """One round alone, as a finding names it."""
    if options.kill_round is not None:
        return {"kill -9": run_kill_round(seed, options.kill_round, options.processes)}
    if options.vendor:
        from campaign_vendor import run_vendor_round

        return {VENDOR: run_vendor_round(seed, options.round)}
    return {MODES[options.round % 2]: run_round(seed, options.round, options.settle)}


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of the campaign: its title, what starts a round, and how much of what it is to do.

    Attributes:
        replay: the flags that play one of its rounds again, its number last.
    """

    title: str
    submit: Callable[[int], Future[Tally]]
    counts: Callable[[Tally], int]
    wanted: int
    at_once: int
    replay: str


def _all(options: argparse.Namespace, seed: int) -> dict[str, Tally]:
    """The whole campaign: a column for each part and duplicate mode."""
    first, step = (0, 1) if options.mode is None else (MODES.index(options.mode), 2)
    numbers = range(first, 10**9, step)
    workers = SLICE_WORKERS if options.slice else FAULT_WORKERS
    columns: dict[str, Tally] = {}
    with (
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
        ThreadPoolExecutor(KILL_WORKERS) as threads,
    ):
        for part in _parts(options, seed, pool, threads):
            titles = [f"{part.title}, duplicates: {mode}" for mode in MODES]
            columns |= {title: Tally() for title in titles}
            for number, tally in _rounds(part, numbers):
                replay = f"  python benchmarks/campaign.py --seed {seed} {part.replay} {number}"
                tally.findings = [f"{text}\n{replay}" for text in tally.findings]
                columns[titles[number % 2]].add(tally)
    return columns


def _parts(
    options: argparse.Namespace, seed: int, pool: Executor, threads: Executor
) -> Iterator[_Part]:
    settle_s = options.settle
    workers = SLICE_WORKERS if options.slice else FAULT_WORKERS
    flags = "" if settle_s is None else f"--settle {settle_s:g} "
    processes = options.processes
    spread = f"--processes {processes} " if processes > 1 else ""
    yield _Part(
        "faults",
        lambda number: pool.submit(_bounded, run_round, seed, number, settle_s),
        lambda tally: tally.faults.total(),
        options.faults,
        workers,
        f"{flags}--round",
    )
    yield _Part(
        "kill -9",
        lambda number: threads.submit(run_kill_round, seed, number, processes),
        lambda tally: tally.stops["kill"],
        options.kills,
        KILL_WORKERS,
        f"{spread}--kill-round",
    )
    if options.vendor:
        from campaign_vendor import run_vendor_round

        yield _Part(
            VENDOR,
            lambda number: pool.submit(_bounded, run_vendor_round, seed, number),
            lambda tally: tally.faults.total(),
            min(VENDOR_FAULTS, options.faults),
            workers,
            "--vendor --round",
        )


def _rounds(part: _Part, numbers: Iterable[int]) -> Iterator[tuple[int, Tally]]:
    """Rounds in their order, a few at once, until they add up to what is wanted."""
    pending: deque[tuple[int, Future[Tally]]] = deque()
    upcoming, told_at = iter(numbers), time.monotonic()
    total = wrong = broken = 0
    while total < part.wanted:
        while len(pending) < part.at_once:
            number = next(upcoming)
            pending.append((number, part.submit(number)))
        number, future = pending.popleft()
        tally = _result(future)
        broken += tally.rounds == 0
        if broken > MAX_BROKEN:
            raise SystemExit("too many rounds broke off")
        total += part.counts(tally)
        wrong += sum(tally.wrong[kind] for kind in FATAL)
        if time.monotonic() - told_at > TOLD_EVERY_S or total >= part.wanted:
            told_at = time.monotonic()
            _say(f"{part.title}: {total:,} of {part.wanted:,}, round {number:,}, {wrong} wrong")
        yield number, tally
    for _, future in pending:
        future.cancel()


def _bounded(play: Callable[..., Tally], *arguments: Any) -> Tally:
    """Play a round in a worker process; TimeoutError where it does not end."""

    def give_up(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"no end after {ROUND_LIMIT_S} s")

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(ROUND_LIMIT_S)
    try:
        return play(*arguments)
    finally:
        signal.alarm(0)


def _result(future: Future[Tally]) -> Tally:
    """A round's figures; one that broke off answered for none of its rows."""
    try:
        return future.result()
    except BrokenExecutor:
        raise
    except Exception as exc:
        tally, text = Tally(), "".join(traceback.format_exception(exc))
        tally.found([Finding(UNANSWERED, 1, text)], "the round broke off")
        return tally


def _versions() -> str:
    parts = [f"bulkipacl {version('bulkipacl')}", f"Python {platform.python_version()}"]
    parts += [f"{name} {version(name)}" for name in ("aiohttp", "twilio")]
    return ", ".join(parts)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
