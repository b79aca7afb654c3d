"""A run directory that a broken disk has changed: told in a sentence, with what to do, always.

The commands run in this process, as `bulkipacl.cli.main` runs them; the files are damaged for real.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from report_runs import ACCOUNT, plain_run

from bulkipacl.cli.main import run as command
from bulkipacl.errors import StoreError
from bulkipacl.jobs.retry import drafts_to_retry
from bulkipacl.report import (
    check_store,
    explaining_damage,
    summary_text,
    verify,
    write_report,
    write_run_reports,
)
from bulkipacl.store import views
from bulkipacl.store.rundir import DATABASE, RunDirectory

Change = Callable[[bytearray], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with rejects, reported and closed."""
    path = tmp_path_factory.mktemp("damage") / "run"
    with plain_run(path, 80, failed=frozenset({3, 50})) as run:
        write_run_reports(run)
    return path


def damaged(whole: Path, place: Path, change: Change) -> Path:
    """A copy of the run with its database changed."""
    shutil.copytree(whole, place)
    data = bytearray((place / DATABASE).read_bytes())
    change(data)
    (place / DATABASE).write_bytes(data)
    return place


def overwrite(data: bytearray) -> None:
    """Put noise over the middle, many pages long."""
    half = len(data) // 2
    data[half : half + 20_000] = random.Random(1).randbytes(20_000)


def garble_schema(data: bytearray) -> None:
    """Make a word of the schema one that is no text, so that SQLite's complaint is none either."""
    at = data.index(b"CREATE TABLE row")
    data[at : at + 12] = b"CREATE TA\x8cLE"


def set_version(version: int) -> Change:
    """Change the version of the schema, which stands in the header."""

    def change(data: bytearray) -> None:
        data[60:64] = version.to_bytes(4, "big")

    return change


DAMAGE: dict[str, tuple[Change, str]] = {
    "overwritten in the middle": (overwrite, "is damaged"),
    "cut in half": (lambda data: data.__delitem__(slice(len(data) // 2, None)), "is damaged"),
    "an outcome of no kind": (
        lambda data: data.__setitem__(slice(None), data.replace(b"created", b"creatad")),
        "is damaged",
    ),
    "a schema that is no text": (garble_schema, "is damaged"),
    "its head gone": (lambda data: data.__setitem__(slice(0, 100), bytes(100)), "not a database"),
    "a text": (lambda data: data.__setitem__(slice(None), b"hello\n" * 900), "not a database"),
    "emptied": (lambda data: data.clear(), "is empty"),
    "of a later version": (set_version(9), "has schema 9"),
    "without a schema": (set_version(0), "nothing was sent"),
}
VERBS = [["report"], ["report", "--report", "-"], ["verify"], ["verify", "--json"], ["retry"]]


@pytest.mark.parametrize("kind", DAMAGE)
def test_every_verb(
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    """report, verify and retry say what is wrong and what to do; none of them is a defect."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", ACCOUNT)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "0" * 32)
    change, words = DAMAGE[kind]
    run = damaged(whole, tmp_path / "run", change)
    for verb, *flags in VERBS:
        code = command([verb, str(run), *flags])
        err = capfd.readouterr().err
        if verb == "verify" and code == 1:  # It could be opened: then these are discrepancies.
            continue
        assert code == 2, err
        message, hint = err.splitlines()
        assert message.startswith("bulkipacl: ")
        assert words in message, message
        assert hint.startswith("  ")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("seed", range(2))
def test_anywhere(whole: Path, tmp_path: Path, seed: int) -> None:
    """Wherever bytes are changed, all that reads a run says StoreError with a hint, or reads."""
    rng = random.Random(seed)
    place = damaged(whole, tmp_path / "run", lambda data: None)
    data = (place / DATABASE).read_bytes()
    used = [at for at, byte in enumerate(data) if byte and at >= 100]  # Much of a page is empty.
    refused = 0
    for _ in range(40):
        changed = bytearray(data)
        start, size = rng.choice(used), rng.choice([1, 3, 20, 400])
        patch = rng.choice([bytes(size), b"9" * size, rng.randbytes(size)])
        changed[start : start + size] = patch[: len(data) - start]
        (place / DATABASE).write_bytes(changed)
        for read in (_report, verify, _retry):
            try:
                with RunDirectory.open(place, is_writable=False) as run:
                    read(run)
            except StoreError as exc:
                refused += 1 if exc.hint else -1_000
    assert refused > 3


def _report(run: RunDirectory) -> None:
    with explaining_damage(run):
        write_report(run, run.path / "more.jsonl")
        write_run_reports(run)
        summary_text(views.summary(run))


def _retry(run: RunDirectory) -> None:
    check_store(run)
    list(drafts_to_retry(views.records(run)))


@pytest.mark.parametrize("name", ["more.csv", "more.jsonl"])
@pytest.mark.parametrize("column", ["outcome", "evidence"])
def test_a_word_that_is_none(whole: Path, tmp_path: Path, name: str, column: str) -> None:
    """No report passes a word on that is none of an outcome's."""
    shutil.copytree(whole, tmp_path / "run")
    with RunDirectory.open(tmp_path / "run", is_writable=True) as run:
        with run.transaction() as db:
            db.execute(f"UPDATE outcome SET {column} = 'creatad' WHERE number = 70")  # noqa: S608 - our own words
        with pytest.raises(StoreError, match="creatad"):
            write_report(run, tmp_path / name)
    assert not (tmp_path / name).exists()


WRONG_KINDS = [
    "UPDATE row SET address = 'x' WHERE number = 3",
    "UPDATE row SET raw = 'x' WHERE number = 3",
    "UPDATE outcome SET status = 'x' WHERE number = 3",
    "UPDATE outcome SET reason = x'ff' WHERE number = 3",
    "UPDATE outcome SET finished_at = 1e300 WHERE number = 3",
]


@pytest.mark.parametrize("change", WRONG_KINDS)
def test_values_that_were_never_written(
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    change: str,
) -> None:
    """A value of another kind than the column's is damage, found before anything is sent."""
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", ACCOUNT)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "0" * 32)
    shutil.copytree(whole, tmp_path / "run")
    db = sqlite3.connect(tmp_path / "run" / DATABASE)
    db.execute(change)
    db.commit()
    db.close()
    with RunDirectory.open(tmp_path / "run", is_writable=False) as run:
        assert any("row 3 " in line for line in verify(run))
        with pytest.raises(StoreError, match="is damaged"):
            check_store(run)
    assert command(["retry", str(tmp_path / "run"), "--run", str(tmp_path / "new")]) == 2
    assert "is damaged: row 3 " in capfd.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_defect_stays_one(whole: Path) -> None:
    """An error of our own over a sound store is not told as damage."""
    with (
        RunDirectory.open(whole, is_writable=False) as run,
        pytest.raises(ValueError, match="ours"),
        explaining_damage(run),
    ):
        raise ValueError("ours")
