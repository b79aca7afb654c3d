"""A slice of the fault campaign, and the proof that its judge can find something.

The rounds are played in this process: `test_e2e_campaign` runs the campaign as people do.
"""

import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from no_waiting import MEMORY, PromptTimeLoop

CAMPAIGN = Path(__file__).resolve().parents[2] / "benchmarks" / "campaign.py"


@pytest.fixture
def campaign(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The campaign's module, whose rounds wait for no thread and no disk."""
    monkeypatch.syspath_prepend(str(CAMPAIGN.parent))
    monkeypatch.setattr(import_module("campaign_faults"), "VirtualTimeLoop", PromptTimeLoop)
    monkeypatch.setattr(tempfile, "tempdir", MEMORY)
    return import_module("campaign")


@pytest.mark.parametrize("seed", [1, 2])
def test_a_slice_of_faults(campaign: Any, seed: int) -> None:
    """Faults in both duplicate modes: nothing twice, lost, unanswered or answered falsely."""
    modes = [campaign.Tally(), campaign.Tally()]
    number = 0
    while sum(mode.faults.total() for mode in modes) < 250 or min(m.rows for m in modes) <= 100:
        modes[number % 2].add(campaign.run_round(seed, number))
        number += 1
    for mode in modes:
        assert {kind: mode.wrong[kind] for kind in campaign.FATAL} == dict.fromkeys(
            campaign.FATAL, 0
        ), mode.findings


def test_the_judge_finds_duplicates(
    campaign: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With no time to settle, late effects make duplicates, and the campaign fails by them."""
    codes = []
    for number in ("25", "31", "35"):
        arguments = ["--seed", "1", "--round", number, "--settle", "0"]
        monkeypatch.setattr(sys, "argv", [str(CAMPAIGN), *arguments])
        codes.append(campaign.main())
        has_duplicates = "| **duplicates** | 0 |" not in capsys.readouterr().out
        assert codes[-1] == int(has_duplicates), number
    assert 1 in codes
