"""A slice of the fault campaign, and the proof that its judge can find something."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).resolve().parents[2] / "benchmarks" / "campaign.py"
ZEROS: tuple[str, ...] = ("**duplicates**", "**lost**", "**rows unanswered**", "unknown in the end")
ZEROS += ("false failures", "false successes", "others' entries touched")


def campaign(*arguments: str) -> tuple[int, dict[str, list[int]], str]:
    """Run it; returns the exit code, the table's figures by line, and what went to stderr."""
    done = subprocess.run(
        [sys.executable, str(CAMPAIGN), *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    found = re.findall(r"^\| (\S.*?) \|((?: +[\d,]+ \|)+)$", done.stdout, re.MULTILINE)
    figures = {
        title: [int(cell.replace(",", "")) for cell in re.findall(r"[\d,]+", cells)]
        for title, cells in found
    }
    return done.returncode, figures, done.stderr


@pytest.mark.parametrize("seed", ["1", "2"])
def test_a_slice_of_faults(seed: str) -> None:
    """Faults in both duplicate modes: nothing twice, lost, unanswered or answered falsely."""
    code, figures, errors = campaign("--slice", "--faults", "250", "--kills", "0", "--seed", seed)
    assert sum(figures["faults injected"]) >= 250
    assert min(figures["rows"]) > 100
    assert {title: sum(figures[title]) for title in ZEROS} == dict.fromkeys(ZEROS, 0), errors
    assert code == 0, errors


def test_the_judge_finds_duplicates() -> None:
    """With no time to settle, late effects make duplicates, and the campaign fails by them."""
    code, figures, _ = campaign(
        "--faults", "200", "--kills", "0", "--seed", "1", "--mode", "accept", "--settle", "0"
    )
    assert figures["**duplicates**"][0] > 0
    assert code == 1
