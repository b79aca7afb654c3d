"""A few rounds of the campaign, and of its part with `kill -9`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).resolve().parents[2] / "benchmarks" / "campaign.py"
ZEROS: tuple[str, ...] = (
    "duplicates",
    "lost",
    "rows unanswered",
    "unknown in the end",
    "false failures",
)
ZEROS += ("false successes", "others' entries touched")


@pytest.mark.parametrize(
    ("flags", "faults", "kills"),
    [
        (("--slice", "--faults", "40", "--seed", "3"), 40, 3),
        (("--processes", "2", "--kill-round", "2", "--seed", "5"), 1, 1),
    ],
    ids=["three kills", "kills where there are several processes"],
)
def test_kills(flags: tuple[str, ...], faults: int, kills: int) -> None:
    """Runs killed at any moment and resumed: nothing twice, lost, unanswered or untrue."""
    done = subprocess.run(
        [sys.executable, str(CAMPAIGN), *flags],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    figures = {
        title.strip("* "): sum(int(cell.replace(",", "")) for cell in re.findall(r"[\d,]+", cells))
        for title, cells in re.findall(r"^\|(.+?)\|((?: +[\d,]+ \|)+)$", done.stdout, re.MULTILINE)
    }
    assert figures["faults injected"] >= faults
    assert figures["kill -9"] >= kills
    assert {title: figures[title] for title in ZEROS} == dict.fromkeys(ZEROS, 0), done.stderr
    assert done.returncode == 0, done.stderr
