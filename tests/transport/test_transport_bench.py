"""The benchmark of the transport runs; what it finds is no matter of a test."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "transport.py"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the keys")
def test_all_sides_and_loops_in_small() -> None:
    """Each scheme, loop and side has its line, with a figure for each number in flight."""
    pytest.importorskip("uvloop")
    arguments = ("--in-flight", "1", "3", "--times", "1", "--requests", "6")
    ended = subprocess.run(
        [sys.executable, str(BENCHMARK), *arguments], capture_output=True, text=True, check=True
    )
    lines = [line for line in ended.stdout.splitlines() if line.startswith("| http")]
    assert len(lines) == 2 * 2 * 3
    assert all(line.count(" (from ") == 2 for line in lines)
