"""Hidden limits: how much of what an account allows is used, and at how many answers of 429?

    python benchmarks/limits.py [--seeds 3] [--quick] [--no-engine] [--no-simulation]

Simulates every scenario of `limits_scenarios` with bulkipacl's governor, and the main ones with
the controllers of `limits_baselines` as well; then measures the real engine against the real
sandbox in virtual time, on one account and on many at once. Progress goes to stderr, Markdown
tables to stdout.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import version
from statistics import fmean

from limits_baselines import (
    BotocoreAdaptive,
    Fixed,
    HeaderGuided,
    NetflixAimd,
    TcpAimd,
    WindowAndPace,
)
from limits_scenarios import ENGINE, FURTHER, MAIN, Scenario
from limits_world import Controller, Knowing, Outcome, simulate

OURS = "**bulkipacl**"
WORST = "bulkipacl, the worst seed"
CAP = 2_000
"""The user's own limit on requests in flight: above every other, so that it decides nothing."""

QUICK_S = 15.0
"""Of each scenario of the engine, where it is to be quick."""


def main() -> int:
    """Run what the arguments ask for; the exit code."""
    options = _options()
    started = time.monotonic()
    workers = options.workers or os.cpu_count() or 1
    seeds = range(1, 1 + (1 if options.quick else options.seeds))
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        runs = list(_runs(options, seeds))
        done: list[Outcome] = []
        for run, outcome in zip(runs, pool.map(_play, runs), strict=True):
            done.append(outcome)
            _say(f"{len(done)} of {len(runs)}: {run.controller}, {run.scenario.name}, {run.seed}")
    found = _Found(dict(zip(runs, done, strict=True)))
    if not options.no_simulation:
        print(_main_table(found), end="\n\n")
        print(_further_table(found), end="\n\n")
    if not options.no_engine:
        print(_engine_table(found), end="\n\n")
        print(_sharing_table(found), end="\n\n")
    command = shlex.join(["python", "benchmarks/limits.py", *sys.argv[1:]])
    print(f"`{command}`: {_versions()}, {time.monotonic() - started:.0f} s")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="of each simulation, from 1 on")
    parser.add_argument(
        "--quick", action="store_true", help="one seed, and 15 s of the engine in A, B and D"
    )
    parser.add_argument("--no-engine", action="store_true", help="the simulation alone")
    parser.add_argument("--no-simulation", action="store_true", help="the engine alone")
    parser.add_argument("--workers", type=int, help="processes; by default one per core")
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error("--seeds must be 1 or more")
    return options


# --- who takes part -----------------------------------------------------------------------

Make = Callable[[Scenario, int], Controller]

CONTROLLERS: dict[str, Make] = {
    "knows the limits": lambda scenario, seed: Knowing(scenario),
    "fixed 200 + full jitter": lambda scenario, seed: Fixed(),
    "Netflix AIMD, defaults": lambda scenario, seed: NetflixAimd(),
    "TCP-like AIMD, cut to 0.5": lambda scenario, seed: TcpAimd(0.5),
    "TCP-like AIMD, cut to 0.9": lambda scenario, seed: TcpAimd(0.9),
    "botocore adaptive": lambda scenario, seed: BotocoreAdaptive(seed),
    "guided by Twilio-Concurrent-Requests (sketch)": lambda scenario, seed: HeaderGuided(),
    "window + pace, both must allow (sketch)": lambda scenario, seed: WindowAndPace(),
    OURS: lambda scenario, seed: _ours(),
}


def _ours() -> Controller:
    controller: Controller = import_module("bulkipacl.engine.governor").Governor(cap=CAP)
    return controller


@dataclass(frozen=True, slots=True)
class _Run:
    """One simulation; or one run of the engine, where `controller` begins with "engine"."""

    scenario: Scenario
    controller: str
    seed: int


ENGINE_RUN = "engine"
SHARING_RUN = "engine, sharing"
SHARING = Scenario("30 accounts, sorted")
"""The engine alone knows what this is like."""


def _runs(options: argparse.Namespace, seeds: Sequence[int]) -> Iterator[_Run]:
    # The engine's are the longest: they begin first.
    if not options.no_engine:
        for scenario in ENGINE:
            if options.quick:
                if max(scenario.turns()) >= QUICK_S:
                    continue  # Cut short, it would be another one.
                scenario = replace(scenario, seconds=QUICK_S)
            yield _Run(scenario, ENGINE_RUN, 1)
        yield from (_Run(SHARING, SHARING_RUN, seed) for seed in seeds)
    if not options.no_simulation:
        for seed in seeds:
            yield from (_Run(scenario, name, seed) for scenario in MAIN for name in CONTROLLERS)
            yield from (_Run(scenario, OURS, seed) for scenario in FURTHER)


def _play(run: _Run) -> Outcome:
    if run.controller == ENGINE_RUN:
        from limits_engine import measure

        return measure(run.scenario, run.seed)
    if run.controller == SHARING_RUN:
        from limits_engine import share_out

        return share_out(run.seed)
    controller = CONTROLLERS[run.controller](run.scenario, run.seed)
    return simulate(run.scenario, controller, run.seed)


# --- what is printed ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Found:
    """What came of every run."""

    outcomes: dict[_Run, Outcome]

    def of(self, controller: str, scenario: Scenario) -> list[Outcome]:
        """One per seed."""
        return [
            outcome
            for run, outcome in self.outcomes.items()
            if run.controller == controller and run.scenario == scenario
        ]

    @property
    def seeds(self) -> int:
        """How many."""
        return len({run.seed for run in self.outcomes if run.controller == OURS})


def _main_table(found: _Found) -> str:
    """Every controller in the main scenarios."""
    lines = [
        f"Simulated, {found.seeds} seeds: share of the ideal throughput in percent / answers of "
        "429 per 1,000 rows",
        "",
        "| controller | " + " | ".join(scenario.name for scenario in MAIN) + " |",
        "|---|" + "---:|" * len(MAIN),
    ]
    for name in CONTROLLERS:
        cells = (_cell(_mean(found.of(name, scenario))) for scenario in MAIN)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    cells = (_cell(_worst(found.of(OURS, scenario))) for scenario in MAIN)
    lines.append(f"| {WORST} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _further_table(found: _Found) -> str:
    """Ours in the further scenarios."""
    lines = [
        f"Simulated, bulkipacl, {found.seeds} seeds, the same figures. With ten rows the share is "
        "the time of a client that knows the limits over the time taken; with a network, or others "
        "who come and go, the ideal cannot be reached.",
        "",
        "| scenario | seconds | rows | mean | the worst seed |",
        "|---|---:|---:|---:|---:|",
    ]
    for scenario in FURTHER:
        outcomes = found.of(OURS, scenario)
        rows = round(fmean(outcome.done for outcome in outcomes))
        seconds = fmean(outcome.ended_s for outcome in outcomes)
        cells = f"{_cell(_mean(outcomes))} | {_cell(_worst(outcomes))}"
        lines.append(f"| {scenario.name} | {seconds:.3g} | {rows:,} | {cells} |")
    return "\n".join(lines)


def _engine_table(found: _Found) -> str:
    """The real engine."""
    lines = [
        "The engine against the sandbox, in virtual time, its default settings, one seed; requests "
        "are counted, readings of lists included, from the first on",
        "",
        "| scenario | virtual s | requests | ideal | most in flight | share / 429 per 1,000 |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for run, outcome in found.outcomes.items():
        if run.controller == ENGINE_RUN:
            figures = f"{outcome.done:,} | {outcome.ideal:,.0f} | {outcome.peak:,}"
            cell = _cell((outcome.share, outcome.per_1000))
            lines.append(f"| {run.scenario.name} | {outcome.ended_s:g} | {figures} | {cell} |")
    return "\n".join(lines)


def _sharing_table(found: _Found) -> str:
    """The real engine with many accounts."""
    from limits_engine import FAIR_ACCOUNTS, FAIR_IDEAL_S, FAIR_PER_S

    lines = [
        f"The engine with {FAIR_ACCOUNTS} accounts at once, the input sorted by account, each "
        f"limited to {FAIR_PER_S:g} requests a second; one alone takes {FAIR_IDEAL_S:g} s at least",
        "",
        "| seed | rows | virtual s | times the ideal of one account | 429 per 1,000 |",
        "|---:|---:|---:|---:|---:|",
    ]
    for run, outcome in found.outcomes.items():
        if run.controller == SHARING_RUN:
            ratio = outcome.ended_s / FAIR_IDEAL_S
            cells = f"{outcome.done:,} | {outcome.ended_s:.2f} | {ratio:.3f}"
            lines.append(f"| {run.seed} | {cells} | {outcome.per_1000:.1f} |")
    return "\n".join(lines)


def _mean(outcomes: list[Outcome]) -> tuple[float, float]:
    return fmean(o.share for o in outcomes), fmean(o.per_1000 for o in outcomes)


def _worst(outcomes: list[Outcome]) -> tuple[float, float]:
    return min(o.share for o in outcomes), max(o.per_1000 for o in outcomes)


def _cell(figures: tuple[float, float]) -> str:
    share, per_1000 = figures
    return f"{share:.1f} / {per_1000:,.{1 if per_1000 < 100 else 0}f}"


def _versions() -> str:
    parts = [f"bulkipacl {version('bulkipacl')}", f"Python {platform.python_version()}"]
    parts += [f"aiohttp {version('aiohttp')}", platform.system(), f"{os.cpu_count()} cores"]
    return ", ".join(parts)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
