"""The benchmark beside the peers runs, with a hundred rows and without looking at a time."""

import re
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "benchmarks" / "bench.py"
APPLY, BARE, MAY_BE_MISSING = "bulkipacl apply", "aiohttp, bare", "httpx"
NO_TLS = "openssl, which makes the certificate, is not there"


def bench(*arguments: str) -> str:
    """What it prints with a hundred rows; it fails if not every row arrives once."""
    sizes = ("--rows", "100", "--again-rows", "100", "--rounds", "1", "--starts", "1")
    command = [sys.executable, str(BENCH), *sizes, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as running:
        try:
            printed, errors = running.communicate(timeout=100)
        finally:
            running.terminate()  # It ends what it has started, where it has not ended by itself.
    assert running.returncode == 0, errors
    return printed


def cells(printed: str, name: str) -> list[list[str]]:
    """The cells behind this name, of every line of a table that it begins."""
    found = re.findall(rf"^\| {name} \| (.+) \|$", printed, re.MULTILINE)
    return [line.split(" | ") for line in found]


def test_peers_take_turns_over_http() -> None:
    """A peer has a line in the table; one that is not installed is told instead."""
    printed = bench("--parts", "http", "start", "--only", BARE, "--only", MAY_BE_MISSING)
    assert [line[1] for line in cells(printed, BARE)] == ["100 x 1"]
    is_left_out = f"Left out: {MAY_BE_MISSING}, for want of {MAY_BE_MISSING}." in printed
    assert is_left_out != bool(cells(printed, MAY_BE_MISSING))
    assert len(cells(printed, "bulkipacl --version")) == 1


def test_apply_takes_its_turn_over_tls_and_writes_nothing_again() -> None:
    """A second apply of what was carried out costs a reading of each list and no create."""
    printed = bench("--parts", "tls", "again", "--only", APPLY)
    assert [line[1] for line in cells(printed, APPLY)] == ([] if NO_TLS in printed else ["100 x 1"])
    assert [cells(printed, name)[0][:2] for name in ("first", "again")] == [
        ["100", "2"],
        ["0", "2"],
    ]
