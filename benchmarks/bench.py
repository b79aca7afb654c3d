"""`bulkipacl apply` beside its peers: the same creates, the same far end, turn by turn.

    python benchmarks/bench.py                          all of it: about 15 minutes
    python benchmarks/bench.py --rows 5000 --rounds 1   a look
    python benchmarks/bench.py --parts tls --only 'aiohttp, bare' --only 'bulkipacl apply'

`apply` does the whole of its work: CSV in, checks, SQLite, readings of the lists, governor, echo
check, outcomes, report.csv. The peers send and read the answer. The far end (see `far_end`) is a
process of its own on a core of its own, and its share of that core is shown: one sees whether
it was the bottleneck. Further parts: how long `--version` takes, and what a second `apply` of an
input costs that was carried out before. Tables in Markdown go to stdout, progress to stderr.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from far_end import FarEnd, measure
from peers import BARE, CONTESTANTS, ROWS_PER_LIST, Arena, Contestant, Turn, missing, take_turns
from peers_process import Cores, clean_environment, find_cores, on_cores, run_measured

PARTS = ("http", "tls", "start", "again")
PACKAGES = ("bulkipacl", "aiohttp", "uvloop", "orjson", "twilio", "requests", "httpx", "aiometer")
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
_HEADER = (
    "contestant",
    "loop",
    "rows x rounds",
    "rows/s",
    "slowest to fastest round",
    "to the bare loop",
    "to it by CPU",
    "rows/s with its start",
    "CPU us a row",
    "CPU us a row with its start",
    "peak MB",
    "far end's CPU",
)


def main() -> None:
    """Print the tables that are asked for."""
    options = _options()
    # So that nothing that was started here goes on by itself.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    cores = find_cores()
    chosen = [one for one in CONTESTANTS if not options.only or one.name in options.only]
    print(f"{_machine(cores)}\n\n`python benchmarks/bench.py {shlex.join(sys.argv[1:])}`")
    with tempfile.TemporaryDirectory() as name, on_cores(cores.far_end):
        folder = Path(name)
        for part in options.parts:
            if part == "start":
                _print_start(cores, folder, options.starts)
            elif part == "again":
                with FarEnd() as far:
                    _print_again(Arena(far, folder, cores), options.again_rows)
            elif part == "http":
                with FarEnd() as far:
                    _print_turns("Plain HTTP", Arena(far, folder, cores), chosen, options)
            elif (tls := _certificate(folder)) is None:
                print("\n### TLS\n\nLeft out: openssl, which makes the certificate, is not there.")
            else:
                with FarEnd(tls) as far:
                    _print_turns("TLS", Arena(far, folder, cores), chosen, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000, help="creates, 50 to a list")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--again-rows", type=int, default=100_000, help="of the part `again`")
    parser.add_argument("--starts", type=int, default=20, help="of the part `start`")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument(
        "--only", action="append", choices=[one.name for one in CONTESTANTS], metavar="NAME"
    )
    return parser.parse_args()


def _machine(cores: Cores) -> str:
    """Machine, cores and versions."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            model = line.partition(": ")[2]
            break
    versions = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            versions.append(f"no {name}")
    python = f"{platform.python_implementation()} {platform.python_version()}"
    system = f"{platform.system()} {platform.release()}"
    return (
        f"{model}, {os.cpu_count()} cores, {system}; {python}, {', '.join(versions)}; {cores.text}"
    )


def _certificate(folder: Path) -> tuple[Path, Path] | None:
    """A certificate for the loopback that nobody has signed, and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    if shutil.which("openssl") is None:
        return None
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=far end", *_KEY),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def _print_turns(
    title: str, arena: Arena, chosen: Sequence[Contestant], options: argparse.Namespace
) -> None:
    """A table of all contestants on one kind of wire."""
    with on_cores(arena.cores.clients[:1]):
        speed = measure(arena.far, max(2_000, min(40_000, options.rows)))
    print(f"\n### {title}\n")
    print(
        f"The far end alone: {speed.per_s:,.0f} requests/s where many come at once, and "
        f"{speed.one_by_one_us:.0f} us of its CPU for one that comes by itself.\n"
    )
    able = [one for one in chosen if not missing(one)]
    turns: dict[str, list[Turn]] = {one.name: [] for one in able}
    try:
        for contestant, number, turn in take_turns(arena, able, options.rows, options.rounds):
            turns[contestant.name].append(turn)
            per_s = turn.rows / _took_s(turn)
            _say(f"{title}, round {number + 1}: {contestant.name}, {per_s:,.0f} rows/s")
    finally:  # What there is, also where it is interrupted.
        bare = turns.get(BARE, [])
        _print_table(_HEADER, [_cells(name, of, bare) for name, of in turns.items() if of])
    for contestant in chosen:
        if lacks := missing(contestant):
            print(f"\nLeft out: {contestant.name}, for want of {lacks}.")


def _took_s(turn: Turn) -> float:
    """Seconds without the start, where that is known."""
    return turn.whole.wall_s if turn.took_s is None else turn.took_s


def _cpu_us(turn: Turn) -> float:
    """CPU us a row, without the start where that is known."""
    return (turn.whole.cpu_s if turn.cpu_s is None else turn.cpu_s) / turn.rows * 1e6


def _cells(name: str, turns: Sequence[Turn], bare: Sequence[Turn]) -> list[str]:
    """A line of the table: medians."""
    per_s = [turn.rows / _took_s(turn) for turn in turns]
    cpu_us = [_cpu_us(turn) for turn in turns]
    # Round by round, because what else the machine does changes from one to the next.
    pairs = list(zip(turns, bare, strict=False))
    ratios = [each.rows / _took_s(each) * _took_s(one) / one.rows for each, one in pairs]
    by_cpu = [_cpu_us(one) / _cpu_us(each) for each, one in pairs]
    rows = turns[0].rows
    peaks = [turn.whole.peak_mb for turn in turns if turn.whole.peak_mb is not None]
    return [
        name,
        turns[0].loop,
        f"{rows:,} x {len(turns)}",
        f"{median(per_s):,.0f}",
        f"{min(per_s):,.0f} to {max(per_s):,.0f}",
        f"{median(ratios):.2f}" if pairs else "",
        f"{median(by_cpu):.2f}" if pairs else "",
        f"{median(rows / turn.whole.wall_s for turn in turns):,.0f}",
        f"{median(cpu_us):,.1f}",
        f"{median(turn.whole.cpu_s for turn in turns) / rows * 1e6:,.1f}",
        f"{median(peaks):.0f}" if peaks else "",
        f"{median(turn.far_share for turn in turns):.0%}",
    ]


def _print_start(cores: Cores, folder: Path, times: int) -> None:
    """How long a process takes that says its version, and one of Python that does nothing."""
    table = []
    words = {"bulkipacl --version": ["-m", "bulkipacl", "--version"], "python -c pass": ["-c", ""]}
    with _fresh(folder) as place:
        for name, arguments in words.items():
            command = [sys.executable, *arguments]
            runs = [
                run_measured(command, clean_environment(place), cores.clients[:1], place)
                for _ in range(times)
            ]
            walls = [run.wall_s for run in runs]
            table.append([name, f"{median(walls):.3f}", f"{min(walls):.3f} to {max(walls):.3f}"])
    print(f"\n### Start, {times} times\n")
    _print_table(("command", "s, median", "least to most"), table)


def _print_again(arena: Arena, rows: int) -> None:
    """An input that was carried out, applied once more: what the far end is asked then."""
    ours = next(one for one in CONTESTANTS if one.is_ours)
    arena.far.forget()
    first, told = arena.send(ours, rows, arena.far.tell())
    asked = dict(told.asked)
    again, after = arena.send(ours, rows, told)
    creates, reads = (after.asked[kind] - asked[kind] for kind in ("create", "read"))
    if after.held != rows:
        raise RuntimeError(f"the far end holds {after.held} entries, not {rows}")
    table = [
        _again_cells("first", first, asked["create"], asked["read"]),
        _again_cells("again", again, creates, reads),
    ]
    print(f"\n### The same {rows:,} rows twice, {-(-rows // ROWS_PER_LIST):,} lists\n")
    _print_table(("apply", "creates", "readings", "s", "CPU us a row", "peak MB"), table)


def _again_cells(name: str, turn: Turn, creates: int, reads: int) -> list[str]:
    peak = "" if turn.whole.peak_mb is None else f"{turn.whole.peak_mb:.0f}"
    cpu_us = turn.whole.cpu_s / turn.rows * 1e6
    return [name, f"{creates:,}", f"{reads:,}", f"{turn.whole.wall_s:.1f}", f"{cpu_us:.1f}", peak]


def _print_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    print(f"| {' | '.join(header)} |")
    print(f"|---|{'---:|' * (len(header) - 1)}")
    for line in lines:
        print(f"| {' | '.join(line)} |", flush=True)


@contextmanager
def _fresh(folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        yield Path(name)


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
