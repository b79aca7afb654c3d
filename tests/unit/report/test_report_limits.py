"""The limits of accounts as tables, JSON and CSV, and in the summary."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report_runs import plain_run

from bulkipacl.cli.main import run as command
from bulkipacl.errors import StoreError, UsageError
from bulkipacl.model import AccountLimits, Learnt, LimitSample, Summary
from bulkipacl.report import (
    limits_json,
    limits_text,
    memory_json,
    memory_text,
    summary_json,
    summary_text,
    write_samples,
)
from bulkipacl.report.limits import LIMIT_NAMES, SAMPLE_COLUMNS, limit_met
from bulkipacl.store.journal import Batch, commit
from bulkipacl.store.limits import LimitRecord, LimitsMemory
from bulkipacl.store.rundir import DATABASE, RunDirectory
from bulkipacl.store.samples import last_of_each, samples

A, B = "AC" + "a" * 32, "AC" + "b" * 32
HOSTILE = "\x1b]0;owned\x07=\u202e,\n"
NOW = 1_700_000_000.0


def limits(binding: str = "demand", pace: float | None = None, throttled: int = 0) -> AccountLimits:
    """How an account stood."""
    return AccountLimits(A, 1_234.0, pace, binding, throttled, 5_678)


MET: list[tuple[AccountLimits, str]] = [
    (limits(), ""),
    (limits("window"), ""),
    (limits("window", throttled=3), "in flight"),
    (limits(throttled=3), "in flight"),
    (limits(pace=2.0, throttled=3), "rate"),
    (limits("pace", pace=2.0), "rate"),
    (limits("cap"), "your own"),
    (limits("cap", pace=2.0, throttled=3), "your own"),
]


@pytest.mark.parametrize(("one", "name"), MET)
def test_which_limit_was_met(one: AccountLimits, name: str) -> None:
    """A limit was met where something was refused, held back by a pace, or by the user."""
    assert limit_met(one) == name
    assert name in ("", *LIMIT_NAMES.values())


def test_table_of_a_run() -> None:
    """One line for each account, in columns, under a heading."""
    text = limits_text([limits(throttled=19, pace=41.27), limits()])
    assert text == (
        f"{'account':34}  in flight      per s      limit      429s        rows\n"
        f"{A}      1,234       41.3       rate        19       5,678\n"
        f"{A}      1,234              none met         0       5,678\n"
    )
    assert limits_text([]) == "nothing was sent in this run, so nothing is known\n"


def test_json_of_a_run() -> None:
    """The same with stable keys; the limit is as the governor names it."""
    value = limits_json([limits("pace", pace=41.2749, throttled=19)])
    assert json.loads(json.dumps(value)) == value
    assert value == [
        {
            "account_sid": A,
            "window": 1_234.0,
            "pace_per_s": 41.27,
            "binding": "pace",
            "throttled": 19,
            "rows_ended": 5_678,
        }
    ]
    assert limits_json([limits()])[0]["pace_per_s"] is None


@pytest.mark.parametrize(
    ("age_s", "told"),
    [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (7_200, "2 h"), (86_400 * 30, "30 d")],
)
def test_table_of_what_is_remembered(age_s: float, told: str) -> None:
    """Each account with how long ago its limits were found, and on which host."""
    records = [LimitRecord("https://h", A, Learnt(8.4, 2.5, 0.123), NOW - age_s)]
    heading, line = memory_text(records, NOW, "x").splitlines()
    assert heading.split() == ["account", "in", "flight", "per", "s", "round", "age", "host"]
    assert line.split() == [A, "8", "2.5", "0.12", "s", *told.split(), "https://h"]


def test_nothing_is_remembered() -> None:
    """It says where it looked; the path cannot steer the terminal."""
    text = memory_text([], NOW, f"/a{HOSTILE}b")
    assert text.startswith("no limits are remembered in /a")
    assert text[:-1].isprintable()


def test_json_of_what_is_remembered() -> None:
    """The same with stable keys."""
    (value,) = memory_json([LimitRecord("https://h", A, Learnt(8.44, None, 0.1), NOW)])
    assert value == {
        "host": "https://h",
        "account_sid": A,
        "window": 8.4,
        "pace_per_s": None,
        "round_trip_s": 0.1,
        "found_at": NOW,
    }


def test_hostile_texts_are_shown_as_text() -> None:
    """What a file may hold under an account's name cannot steer the terminal."""
    tables = limits_text([AccountLimits(HOSTILE, 1.0, None, HOSTILE, 1, 0)])
    tables += memory_text([LimitRecord(HOSTILE, HOSTILE, Learnt(1.0), NOW)], NOW, "x")
    assert tables.replace("\n", "").isprintable()
    assert len(tables.splitlines()) == 4


# --- the summary --------------------------------------------------------------------------------


def summary(*found: AccountLimits) -> Summary:
    """A summary with these limits."""
    return Summary("runs/x", 0, limits=found)


def test_summary_without_limits() -> None:
    """Where no account met a limit, the summary does not speak of any."""
    assert "Limits" not in summary_text(summary(limits(), limits("window")))


def test_summary_of_limits_met() -> None:
    """Each account that met a limit, with the figure that was found, and its refusals."""
    found = (
        limits("window", throttled=1_900),
        limits("pace", pace=49.96, throttled=2),
        limits("cap"),
        limits(),
    )
    text = summary_text(summary(*found))
    assert text.endswith(
        "\nLimits met:\n"
        f"  {A}: 1,234 in flight, 1,900 answered 429\n"
        f"  {A}: 50.0 requests/s, 2 answered 429\n"
        f"  {A}: your own limit\n"
    )
    assert summary_json(summary(*found))["limits"] == limits_json(found)


def test_summary_of_many_accounts() -> None:
    """A thousand accounts do not make a thousand lines; programs get all of them."""
    found = [limits(throttled=1)] * 1_000
    text = summary_text(summary(*found))
    assert text.count("answered 429") == 10
    assert text.endswith("  and 990 more accounts\n")
    assert len(summary_json(summary(*found))["limits"]) == 1_000
    hostile = summary_text(summary(AccountLimits(HOSTILE, 1.0, None, "window", 1, 0)))
    assert hostile.replace("\n", "").isprintable()


# --- samples of a run ---------------------------------------------------------------------------

TAKEN = [
    LimitSample(NOW, 1, 2.0, None, "window", 2, 0, 3),
    LimitSample(NOW + 1, 2, 8.0, 2.5, "pace", 1, 4, 5),
    LimitSample(NOW + 1, 1, 9.0, None, "demand", 7, 0, 90),
    LimitSample(NOW + 2.0625, 2, 9.0, None, "demand", 0, 6, 7),
]


@pytest.fixture
def sampled(tmp_path: Path) -> Path:
    """A run of two accounts with samples."""
    with plain_run(tmp_path / "run", 3) as run:
        with run.transaction() as db:
            db.execute("UPDATE account SET sid = ? WHERE id = 1", (A,))
            db.execute("INSERT INTO account (id, sid) VALUES (2, ?)", (B,))
        commit(run, Batch(samples=list(TAKEN)))
    return tmp_path / "run"


def change(run: Path, statement: str, *values: Any) -> None:
    """Change what a run holds, as damage does."""
    with sqlite3.connect(run / DATABASE) as db:
        db.execute(statement, values)
    db.close()


def test_samples_come_back_in_order(sampled: Path) -> None:
    """All samples with their accounts, in order of time."""
    with RunDirectory.open(sampled, is_writable=False) as run:
        assert list(samples(run)) == list(zip([A, B, A, B], TAKEN, strict=True))


def test_how_each_account_stood(sampled: Path) -> None:
    """The last figures of each, the most refused first; and what held it back before its end."""
    with RunDirectory.open(sampled, is_writable=False) as run:
        assert last_of_each(run) == [
            AccountLimits(B, 9.0, None, "pace", 6, 7),
            AccountLimits(A, 9.0, None, "window", 0, 90),
        ]


def test_samples_as_csv(sampled: Path, tmp_path: Path) -> None:
    """One line per sample, to a file or to standard output, and a file is replaced whole."""
    out = io.BytesIO()
    path = tmp_path / "out.csv"
    path.write_text("x" * 10_000)
    with RunDirectory.open(sampled, is_writable=False) as run:
        write_samples(run, "-", stdout=out)
        write_samples(run, str(path), stdout=io.BytesIO())
    assert path.read_bytes() == out.getvalue()
    assert out.getvalue().decode().splitlines() == [
        ",".join(SAMPLE_COLUMNS),
        f"1700000000.000,{A},2.0,,window,2,0,3",
        f"1700000001.000,{B},8.0,2.50,pace,1,4,5",
        f"1700000001.000,{A},9.0,,demand,7,0,90",
        f"1700000002.062,{B},9.0,,demand,0,6,7",
    ]


def test_hostile_samples(sampled: Path) -> None:
    """A text that a spreadsheet would run, or that breaks a line, is a plain cell."""
    change(sampled, "UPDATE account SET sid = ? WHERE id = 1", HOSTILE[HOSTILE.index("=") :])
    out = io.BytesIO()
    with RunDirectory.open(sampled, is_writable=False) as run:
        write_samples(run, "-", stdout=out)
    rows = list(csv.reader(io.StringIO(out.getvalue().decode(), newline="")))
    assert [len(row) for row in rows] == [8] * 5
    assert rows[1][1] == "'=\\u202e,\\x0a"


@pytest.mark.parametrize("place", ["", "missing/out.csv"], ids=["a directory", "no directory"])
def test_samples_in_no_place(sampled: Path, tmp_path: Path, place: str) -> None:
    """A place that cannot be written is told, and nothing is left there."""
    with (
        RunDirectory.open(sampled, is_writable=False) as run,
        pytest.raises(UsageError),
    ):
        write_samples(run, str(tmp_path / place), stdout=io.BytesIO())
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("read", [last_of_each, lambda run: list(samples(run))])
def test_damaged_samples(sampled: Path, read: Callable[[RunDirectory], object]) -> None:
    """A figure that is none is damage, told as such."""
    change(sampled, "UPDATE limit_sample SET window = 'wide'")
    with (
        RunDirectory.open(sampled, is_writable=False) as run,
        pytest.raises(StoreError, match="damaged"),
    ):
        read(run)


# --- the command --------------------------------------------------------------------------------

USAGE: dict[str, tuple[list[str], str]] = {
    "samples of no run": (["--samples", "-"], "--samples belongs to a run"),
    "forget a run": (["RUN", "--forget"], "--forget takes no run"),
    "two for stdout": (["RUN", "--samples", "-", "--json"], "both want stdout"),
    "over the database": (["RUN", "--samples", "RUN/run.sqlite"], "would overwrite"),
    "over the report": (["RUN", "--samples", "RUN/report.csv"], "would overwrite"),
    "no such directory": (["RUN", "--samples", "nowhere/x.csv"], "no such directory"),
    "no run": (["nowhere"], "nowhere"),
}


@pytest.mark.parametrize(("arguments", "told"), USAGE.values(), ids=USAGE)
def test_usage(
    sampled: Path,
    arguments: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What makes no sense is exit 2 and a sentence, and the run is as it was."""
    monkeypatch.setenv("BULKIPACL_STATE_DIR", str(sampled.parent / "state"))
    before = (sampled / DATABASE).read_bytes()
    words = [word.replace("RUN", str(sampled)) for word in arguments]
    assert command(["limits", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert (sampled / DATABASE).read_bytes() == before


def test_a_run_as_json(sampled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` is one object, also beside samples that go to a file."""
    path = sampled.parent / "out.csv"
    assert command(["limits", str(sampled), "--json", "--samples", str(path)]) == 0
    out, err = capsys.readouterr()
    accounts = [one["account_sid"] for one in json.loads(out)["accounts"]]
    assert (accounts, err) == ([B, A], "")
    assert len(path.read_text().splitlines()) == 5


def test_what_is_remembered_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a run, `--json` tells where the memory lies and what is in it."""
    monkeypatch.setenv("BULKIPACL_STATE_DIR", str(tmp_path))
    memory = LimitsMemory(tmp_path / "limits.json")
    memory.keep("https://h", {A: Learnt(8.0, None, 0.1)}, NOW)
    assert command(["limits", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value == {"path": str(memory.path), "accounts": memory_json(memory.records())}


def test_a_run_that_sent_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is known of it, and that is no error."""
    plain_run(tmp_path / "run", 1).close()
    assert command(["limits", str(tmp_path / "run")]) == 0
    assert "nothing is known" in capsys.readouterr().out
