"""The README says what there is, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

import bulkipacl
from bulkipacl.cli.app import app
from bulkipacl.credentials import load_credentials
from bulkipacl.intake import field_of
from bulkipacl.model import Outcome
from bulkipacl.report.limits import LIMIT_NAMES
from bulkipacl.sandbox import ALIASES, KINDS, parse_fault, parse_latency, parse_limit
from bulkipacl.sandbox import parse_limit_steps as parse_steps
from bulkipacl.settings import PACE_BURST_S, Settings
from bulkipacl.store.limits import FILE_NAME, MAX_AGE_S, STATE_DIR

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CAPS = "| flag | what it bounds | default |"
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


def table(header: str) -> list[list[str]]:
    """The cells of a table of the README."""
    body = README.split(header)[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines()[2:]]


def test_the_caps_of_the_readme_are_the_defaults() -> None:
    """What bounds the speed is told with the default that it has."""
    caps = {flag.strip("`").split()[0]: default for flag, _, default in table(CAPS)}
    settings = Settings()
    assert caps == {
        "--account-max-in-flight": f"{settings.account_max_in_flight:,}",
        "--max-in-flight": f"{settings.max_in_flight:,}",
        "--rate": "none" if settings.rate_per_s is None else str(settings.rate_per_s),
        "--headroom": f"{settings.headroom:.0%}",
    }
    assert f"R/{1 / PACE_BURST_S:.0f} of them" in README


def test_the_readme_tells_how_limits_are_named_and_kept() -> None:
    """Each limit by both of its names, the file, its place and how long it counts."""
    section = README.split("## How fast it goes")[1].split("\n## ")[0]
    for name in (*LIMIT_NAMES, *LIMIT_NAMES.values(), STATE_DIR, FILE_NAME):
        assert f"`{name}`" in section, name
    assert f"older than {MAX_AGE_S / 86_400:.0f} days" in " ".join(section.split())
    given = set(re.findall(r"^\$ bulkipacl limits.*? (--[a-z]+)", section, re.MULTILINE))
    command = typer.main.get_command(app).commands["limits"]  # type: ignore[attr-defined]
    flags = {flag for parameter in command.params for flag in parameter.opts}
    assert given == {flag for flag in flags if flag.startswith("--")} - {"--json", "--help"}


def test_every_fault_is_in_the_readme() -> None:
    """The table of faults has each kind once, beside the short name that draws from it."""
    told: dict[str, tuple[str, ...]] = {}
    alone = []
    for name, kinds, seen in table("| fault | kinds | what the client sees |"):
        listed = tuple(kinds.replace("`", "").split())
        if name and listed:
            told[name.strip("`")] = listed
        else:
            alone.append((name or kinds).strip("`"))
        assert seen
    assert told == ALIASES
    assert sorted(alone) == sorted(
        set(KINDS) - {kind for kinds in ALIASES.values() for kind in kinds}
    )


def test_every_trouble_of_the_sandbox_is_in_the_readme() -> None:
    """The table of switches has all that make trouble; what it gives as examples is understood."""
    rows = table("| switch | meaning |")
    given = [re.fullmatch(r"`(--[a-z-]+) (.+)`", row[0]) for row in rows]
    examples = [(found[1], found[2]) for found in given if found]
    assert len(examples) == len(rows)
    command = typer.main.get_command(app).commands["sandbox"]  # type: ignore[attr-defined]
    flags = {flag for parameter in command.params for flag in parameter.opts}
    plain = {"--host", "--port", "--accounts", "--lists", "--entries", "--seed", "--json", "--help"}
    rules = {"--duplicates", "--unique", "--errors", "--headers"}
    assert {flag for flag, _ in examples} == flags - plain - rules
    parsers = {"--limit": parse_limit, "--limit-steps": parse_steps, "--latency": parse_latency}
    for flag, value in examples:
        if flag in parsers:
            parsers[flag](re.sub(r"\b[NRS]\b", "5", value))
    example = README.split("$ bulkipacl sandbox ")[1].split("\n")[0].split()
    for flag, value in zip(example[::2], example[1::2], strict=True):
        assert flag in flags
        {**parsers, "--fault": parse_fault}.get(flag, int)(value)


def test_the_credentials_file_of_the_readme_is_understood(tmp_path: Path) -> None:
    """The example can be used as it stands; `default` is the account of rows that name none."""
    path = tmp_path / "credentials.toml"
    path.write_text(README.split("```toml\n")[1].split("```")[0].replace("SK...", "SK" + "0" * 32))
    path.chmod(0o600)
    found = load_credentials({"PARENT_TOKEN": "x"}, path)
    assert found.default_account == "AC" + "fedcba9876543210" * 2
    assert found.for_account("AC" + "1" * 32).username == "AC" + "0123456789abcdef" * 2


def test_the_changelog_and_the_package_agree() -> None:
    """The version stands in one place, and the change log has a section for what comes."""
    assert f'version = "{bulkipacl.__version__}"' in (ROOT / "pyproject.toml").read_text()
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("room", ["intake", "report", "sandbox"])
def test_exported_members_are_there(room: str) -> None:
    """What a room says it exports can be had from it."""
    module = __import__(f"bulkipacl.{room}", fromlist=["__all__"])
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
