"""The README says what there is, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

import bulkipacl
from bulkipacl.cli.app import app
from bulkipacl.intake import field_of
from bulkipacl.model import Outcome

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_every_command_is_in_the_readme() -> None:
    """The table of commands has each verb, and no other."""
    told = set(re.findall(r"^\| `bulkipacl (\w+)", README, re.MULTILINE))
    assert told == set(COMMANDS)


def test_every_flag_in_the_readme_is_there() -> None:
    """No flag is told of that a command would refuse."""
    flags = {
        flag
        for command in typer.main.get_command(app).commands.values()  # type: ignore[attr-defined]
        for parameter in command.params
        for flag in (*parameter.opts, *parameter.secondary_opts)
    }
    told = set(re.findall(r"`(--[a-z-]+)", README)) | set(re.findall(r" (--[a-z][a-z-]+)", README))
    assert told - flags == {"--help"}


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_is_in_the_readme(outcome: Outcome) -> None:
    """The table of outcomes has all ten."""
    assert re.search(rf"^\|.*`{outcome}`", README, re.MULTILINE)


def test_every_column_in_the_readme_is_understood() -> None:
    """Each name in the table of columns means its field."""
    table = README.split("| column | also | meaning |")[1].split("\n\n")[0]
    rows = [line.split("|")[1:3] for line in table.splitlines()[2:]]
    assert len(rows) == 10
    for field, also in rows:
        name = field.strip(" `")
        synonyms = [s for s in also.replace("`", "").split(",") if ":" not in s]
        for synonym in synonyms:
            if synonym.strip():
                assert field_of(synonym.strip()) == name, synonym


def test_the_changelog_and_the_package_agree() -> None:
    """The version stands in one place, and the change log has a section for what comes."""
    assert f'version = "{bulkipacl.__version__}"' in (ROOT / "pyproject.toml").read_text()
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("room", ["intake", "report", "sandbox"])
def test_exported_members_are_there(room: str) -> None:
    """What a room says it exports can be had from it."""
    module = __import__(f"bulkipacl.{room}", fromlist=["__all__"])
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
