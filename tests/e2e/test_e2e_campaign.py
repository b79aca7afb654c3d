"""A few rounds of the campaign with `kill -9`."""

import re
import subprocess
import sys
from pathlib import Path

CAMPAIGN = Path(__file__).resolve().parents[2] / "benchmarks" / "campaign.py"
ZEROS: tuple[str, ...] = (
    "duplicates",
    "lost",
    "rows unanswered",
    "unknown in the end",
    "false failures",
)
ZEROS += ("false successes", "others' entries touched")


def test_three_kills() -> None:
    """Runs killed at any moment and resumed: nothing twice, lost, unanswered or untrue."""
    done = subprocess.run(
        [sys.executable, str(CAMPAIGN), "--slice", "--faults", "0", "--seed", "3"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    figures = {
        title.strip("* "): sum(int(cell.replace(",", "")) for cell in re.findall(r"[\d,]+", cells))
        for title, cells in re.findall(r"^\|(.+?)\|((?: +[\d,]+ \|)+)$", done.stdout, re.MULTILINE)
    }
    assert figures["kill -9"] >= 3
    assert {title: figures[title] for title in ZEROS} == dict.fromkeys(ZEROS, 0), done.stderr
    assert done.returncode == 0, done.stderr
