"""How a plan is shown: bounded, harmless, with the exit code that it means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bulkipacl.engine.planview import Forecast
from bulkipacl.model import Learnt, Outcome
from bulkipacl.report.plan import (
    SHOWN_LISTS,
    Change,
    ListPlan,
    PlanView,
    Verdict,
    change_json,
    change_text,
    plan_exit_code,
    plan_json,
    plan_markdown,
    plan_text,
)
from bulkipacl.settings import Settings

REFUSAL = Verdict("left_empty", "the list would be left empty", "--allow-empty", False)


def one_list(number: int, outcome: Outcome = Outcome.CREATED, **more: Any) -> ListPlan:
    """A list with one row."""
    figures: dict[str, Any] = {
        "account_sid": f"AC{number % 3}",
        "list_sid": f"AL{number}",
        "list_name": "",
        "outcomes": {outcome: 1},
        "entries_before": 1,
        "entries_after": 2,
        "covered_before": 1,
        "covered_after": 257,
        "free": 98,
    }
    return ListPlan(**figures | more)


def view_of(*lists: ListPlan, **more: Any) -> PlanView:
    """A plan of these lists."""
    outcomes = dict.fromkeys(Outcome, 0)
    for one in lists:
        for outcome, rows in one.outcomes.items():
            outcomes[outcome] += rows
    figures: dict[str, Any] = {
        "run_dir": "runs/x",
        "rows": len(lists),
        "outcomes": outcomes,
        "lists": lists,
        "shown": tuple(sorted(lists, key=ListPlan.interest, reverse=True)[:SHOWN_LISTS]),
        "requests": 2 * len(lists),
        "seconds": None,
        "unknown_accounts": 3,
    }
    return PlanView(**figures | more)


def test_thousands_of_lists_are_shown_by_the_most_telling() -> None:
    """A refused list comes first wherever it stands; those that are not shown are counted."""
    lists = [one_list(n) for n in range(3_000)]
    lists[2_500] = one_list(2_500, Outcome.REFUSED, verdicts=(REFUSAL,))
    for shown in (plan_text(view_of(*lists)), plan_markdown(view_of(*lists))):
        assert len(shown.splitlines()) < 2 * SHOWN_LISTS
        assert "and 2,980 more lists" in shown
        table = [line for line in shown.splitlines() if "left_empty" in line]
        assert len(table) == 1
        assert "AL2500" in table[0]
        assert "refused; this allows it: --allow-empty" in shown
    assert len(plan_json(view_of(*lists))["lists"]) == 3_000


def test_names_cannot_steer_what_shows_them() -> None:
    """Neither a terminal nor a Markdown table, nor the block that holds the changes."""
    evil = "a|b\x1b[2J\u202e"
    view = view_of(one_list(1, list_sid="", list_name=evil))
    assert "\x1b" not in plan_text(view) + plan_markdown(view)
    assert "a\\|b" in plan_markdown(view)
    change = Change(1, "AC", "AL", Outcome.UPDATED, f"1.2.3.4/32 {evil}", "1.2.3.4/32 b", "", "")
    assert "\x1b" not in change_text(change)
    assert change_text(change).count("\n") == 0
    assert json.loads(json.dumps(change_json(change)))["outcome"] == "updated"


@pytest.mark.parametrize(
    ("outcome", "more", "code", "detailed"),
    [
        (Outcome.UNCHANGED, {}, 0, 0),
        (Outcome.ALREADY_GONE, {}, 0, 0),
        (Outcome.CREATED, {}, 0, 4),
        (Outcome.DELETED, {"verdicts": (REFUSAL._replace(is_open=True),)}, 0, 4),
        (Outcome.FAILED, {"unread": "list_not_found"}, 1, 1),
        (Outcome.INVALID, {}, 1, 1),
        (Outcome.REFUSED, {"verdicts": (REFUSAL,)}, 5, 5),
        (Outcome.NOT_ATTEMPTED, {"unread": "credentials_refused"}, 6, 6),
    ],
)
def test_the_exit_code(outcome: Outcome, more: dict[str, Any], code: int, detailed: int) -> None:
    """What the rows would end like decides; changes count only where that is asked for."""
    view = view_of(one_list(1, outcome, **more))
    assert plan_exit_code(view, is_detailed=False) == code
    assert plan_exit_code(view, is_detailed=True) == detailed


def test_the_forecast_is_that_of_the_slowest_account() -> None:
    """By the window and the round trip, or the pace, or the user's own rate; else it is unknown."""
    learnt = {"AC1": Learnt(10.0, None, 0.5), "AC2": Learnt(100.0, 4.0, 0.1)}
    forecast = Forecast(Settings(), learnt)
    forecast._of.update({"AC1": 100, "AC2": 20, "AC3": 7})
    assert forecast.seconds() == pytest.approx(5.0)
    assert (forecast.requests, forecast.unknown) == (127, 1)
    forecast.settings = Settings(rate_per_s=2.0)
    assert forecast.seconds() == pytest.approx(50.0)
    assert Forecast(Settings(), {}, _of=forecast._of).seconds() is None
    assert "about 50 s, without 1 account" in plan_text(
        view_of(one_list(1), seconds=50.2, unknown_accounts=1)
    )
