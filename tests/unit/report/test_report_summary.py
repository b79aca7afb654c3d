"""The summary as text and JSON, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from report_runs import plain_run

from bulkipacl.model import Cause, Outcome, Summary
from bulkipacl.report import exit_code, summary_json, summary_text
from bulkipacl.store import views


def cause(
    outcome: Outcome = Outcome.FAILED, reason: str = "bad_request", **fields: object
) -> Cause:
    """A cause of one row."""
    values: dict[str, object] = {
        "status": 400,
        "code": 20001,
        "message": "no",
        "suggestion": "",
        "rows": 1,
        "first_row": 1,
        "first_source": "orders.csv",
        "first_line": 2,
    }
    return Cause(outcome, reason, **{**values, **fields})  # type: ignore[arg-type]


def summary(*causes: Cause, ending: str = "finished", created: int = 1) -> Summary:
    """A summary with these causes."""
    outcomes = dict.fromkeys(Outcome, 0)
    outcomes[Outcome.CREATED] = created
    for one in causes:
        outcomes[one.outcome] += one.rows
    return Summary("runs/x", sum(outcomes.values()), outcomes, causes, ending)


FAILED = cause()
UNKNOWN = cause(Outcome.UNKNOWN, "killed")
REFUSED = cause(Outcome.REFUSED, "would_empty_list")
CREDENTIALS = cause(Outcome.NOT_ATTEMPTED, "credentials_refused", status=401)
NOT_ATTEMPTED = cause(Outcome.NOT_ATTEMPTED, "deadline")


@pytest.mark.parametrize(
    ("code", "causes", "ending"),
    [
        (0, (), "finished"),
        (0, (), "running"),
        (1, (FAILED,), "finished"),
        (1, (NOT_ATTEMPTED,), "finished"),
        (5, (FAILED, REFUSED), "finished"),
        (8, (FAILED, REFUSED, UNKNOWN), "finished"),
        (6, (FAILED, REFUSED, UNKNOWN, CREDENTIALS), "finished"),
        (6, (cause(reason="credentials_refused", status=401),), "finished"),
        (7, (FAILED, REFUSED, UNKNOWN, CREDENTIALS), "deadline"),
        (7, (), "max_failures"),
        (7, (), "breaker"),
        (7, (), "input_unfinished"),
        (7, (), "store_failed"),
        (7, (UNKNOWN,), "killed"),
        (130, (FAILED, REFUSED, UNKNOWN, CREDENTIALS), "interrupted"),
        (3, (cause(Outcome.INVALID, "bad_sid"), NOT_ATTEMPTED), "invalid_input"),
    ],
)
def test_exit_code(code: int, causes: tuple[Cause, ...], ending: str) -> None:
    """Of several codes that hold, the first of 130, 7, 6, 8, 5, 1 is given."""
    assert exit_code(summary(*causes, ending=ending)) == code


def test_text(tmp_path: Path) -> None:
    """Counts, figures, and each cause with its first place and what to do."""
    with plain_run(tmp_path / "run", 1_234, failed=frozenset({7, 9})) as run:
        views.set_meta(run, {"requests": "1240.0", "throttled": "3.0", "elapsed_s": "12.34"})
        text = summary_text(views.summary(run))
    assert text == (
        f"{tmp_path / 'run'} (finished)\n"
        "  rows          1,234\n"
        "  created       1,232\n"
        "  failed            2\n"
        "  12.3 s, 100 rows/s, 1,240 requests, 3 answered 429\n"
        "\n"
        "Rows that did not end well:\n"
        "  2 failed (bad_request, HTTP 400, code 20001)\n"
        "      first: orders.csv:8\n"
    )


def test_text_is_bounded_and_harmless() -> None:
    """Long and hostile texts are cut, wrapped and escaped; a list of causes has an end."""
    hostile = "\x1b]0;owned\x07\u202e " + "\u6f22\u5b57 " * 200 + "x" * 300
    causes = [
        cause(message=hostile, suggestion=hostile, reason=f"r{i}", first_source="a\nb.csv")
        for i in range(12)
    ]
    value = summary(*causes)
    value = Summary(
        **{name: getattr(value, name) for name in ("run_dir", "rows", "outcomes", "causes")},
        notes=tuple(f"note {i} {hostile}" for i in range(11)),
    )
    text = summary_text(value)
    assert text.replace("\n", "").isprintable()
    assert "and 2 more causes" in text
    assert "and 1 more note\n" in text
    assert "first: a\\x0ab.csv:2" in text
    assert max(map(len, text.split("\n"))) <= 100


def test_standard_input_has_a_name() -> None:
    """People read `standard input`; programs read what was given."""
    value = summary(cause(first_source="-"), cause(reason="a", first_source="./-"))
    text = summary_text(value)
    assert "first: standard input:2" in text
    assert "first: ./-:2" in text
    assert summary_json(value)["causes"][0]["first"]["source"] == "-"


def test_one_request() -> None:
    """One is told in the singular."""
    text = summary_text(Summary("runs/x", 0, elapsed_s=1.0, requests=1))
    assert ", 1 request, " in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(59.94, "59.9 s"), (125.0, "2 min 05 s"), (7_260.0, "2 h 01 min")]
)
def test_durations(seconds: float, text: str) -> None:
    """Long runs are told in minutes and hours."""
    assert f"  {text}, " in summary_text(Summary("runs/x", 0, elapsed_s=seconds))


def test_json() -> None:
    """The JSON has all ten outcomes, all causes, and can be dumped."""
    value = summary_json(summary(CREDENTIALS, FAILED))
    assert json.loads(json.dumps(value)) == value
    assert list(value["outcomes"]) == [str(outcome) for outcome in Outcome]
    assert value["exit_code"] == 6
    assert value["rows"] == 3
    assert value["causes"][0] == {
        "outcome": "not_attempted",
        "reason": "credentials_refused",
        "http_status": 401,
        "error_code": 20001,
        "error_message": "no",
        "suggestion": None,
        "rows": 1,
        "first": {"row": 1, "source": "orders.csv", "line": 2},
    }
