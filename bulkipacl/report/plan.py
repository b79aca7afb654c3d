"""A plan for people and programs: as a table, as JSON, as Markdown for a pull request.

    PlanView, ListPlan, Verdict, Change   what is shown: made by the engine, which knows
    plan_text, plan_markdown, plan_json   the plan
    change_text, change_json              one row of it
    plan_exit_code                        the code of DESIGN's table

A run of thousands of lists is shown by its most telling ones; the others are counted. JSON has
all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from bulkipacl.model import GOOD_OUTCOMES, Outcome
from bulkipacl.report.cells import printable, shorten
from bulkipacl.report.words import counted

SHOWN_LISTS = 20
"""Lists in a table."""
SHOWN_VERDICTS = 20
SHOWN_ACCOUNTS = 10

CHANGED = (Outcome.CREATED, Outcome.UPDATED, Outcome.DELETED)
WOULD_BE = {
    Outcome.CREATED: "create",
    Outcome.UPDATED: "update",
    Outcome.DELETED: "delete",
    Outcome.UNCHANGED: "leave unchanged",
    Outcome.ALREADY_GONE: "find already gone",
    Outcome.INVALID: "leave out as invalid",
    Outcome.REFUSED: "refuse",
    Outcome.FAILED: "fail",
    Outcome.UNKNOWN: "unknown",
    Outcome.NOT_ATTEMPTED: "not attempt",
}


class Verdict(NamedTuple):
    """What a guard found in a list, and the override that allows it; `is_open`: it was given."""

    guard: str
    why: str
    override: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class ListPlan:
    """One list of a plan, in figures. Entries and addresses are None where it was not read.

    Attributes:
        outcomes: rows by how they would end; those that are not 0.
        covered_before, covered_after: addresses that the list covers, each counted once.
        free: places left afterwards.
        unread: why it could not be read, or "".
    """

    account_sid: str
    list_sid: str
    list_name: str
    outcomes: Mapping[Outcome, int]
    entries_before: int | None
    entries_after: int | None
    covered_before: int | None
    covered_after: int | None
    free: int | None
    verdicts: tuple[Verdict, ...] = ()
    unread: str = ""

    @property
    def changes(self) -> int:
        """Rows that would write something."""
        return sum(self.outcomes.get(outcome, 0) for outcome in CHANGED)

    def interest(self) -> tuple[int, int, int, int]:
        """How much a person should look at it: refusals, overrides, failures, then changes."""
        shut = sum(not one.is_open for one in self.verdicts)
        bad = sum(n for outcome, n in self.outcomes.items() if outcome not in GOOD_OUTCOMES)
        return shut, len(self.verdicts), bad, self.changes


@dataclass(frozen=True, slots=True)
class PlanView:
    """A plan in figures.

    Attributes:
        outcomes: rows by how they would end, all ten.
        lists: all lists, in order of account and first sight.
        shown: the most telling of them.
        requests: how many it takes to apply it.
        seconds: how long that takes; None where nothing is known of any account's limits.
        unknown_accounts: accounts of whose limits nothing is remembered.
    """

    run_dir: str
    rows: int
    outcomes: Mapping[Outcome, int]
    lists: tuple[ListPlan, ...]
    shown: tuple[ListPlan, ...]
    requests: int
    seconds: float | None
    unknown_accounts: int

    @property
    def changes(self) -> int:
        """Rows that would write something."""
        return sum(self.outcomes[outcome] for outcome in CHANGED)


class Change(NamedTuple):
    """One row that would do something, or end badly; `before` and `after` as `CIDR name`."""

    row: int
    account_sid: str
    list_sid: str
    outcome: Outcome
    before: str
    after: str
    reason: str
    suggestion: str


def plan_exit_code(view: PlanView, *, is_detailed: bool) -> int:
    """0, or 4 where there are changes and that is asked for; 6, 5 or 1 where rows would end so."""
    if any(one.unread == "credentials_refused" for one in view.lists):
        return 6
    if view.outcomes[Outcome.REFUSED]:
        return 5
    if any(view.outcomes[outcome] for outcome in Outcome if outcome not in GOOD_OUTCOMES):
        return 1
    return 4 if is_detailed and view.changes else 0


def plan_text(view: PlanView) -> str:
    """The plan as plain text: totals, the lists to look at, what guards say, the forecast."""
    lines = [f"{printable(view.run_dir)} (planned; nothing was sent)", f"  {_totals(view)}", ""]
    lines += [*_account_lines(view, "  "), ""]
    lines += _table(view, "  ".join, _text_cells)
    lines += ["", *_verdict_lines(view, "  - ")] if _has_verdicts(view) else []
    return "\n".join([*lines, "", _forecast(view), ""])


def plan_markdown(view: PlanView) -> str:
    """The plan as Markdown, for a pull request."""
    lines = [f"### Plan: {_totals(view)}", ""]
    lines += [*_account_lines(view, "- "), ""]
    lines += _table(view, lambda cells: f"| {' | '.join(cells)} |", _markdown_cells)
    lines += ["", *_verdict_lines(view, "- ", mark="**")] if _has_verdicts(view) else []
    return "\n".join([*lines, "", _forecast(view), ""])


def plan_json(view: PlanView) -> dict[str, Any]:
    """The plan with stable keys."""
    return {
        "run_dir": view.run_dir,
        "rows": view.rows,
        "outcomes": {str(outcome): view.outcomes[outcome] for outcome in Outcome},
        "changes": view.changes,
        "forecast": {
            "requests": view.requests,
            "seconds": None if view.seconds is None else round(view.seconds, 1),
            "accounts_unknown": view.unknown_accounts,
        },
        "accounts": _accounts_json(view.lists),
        "lists": [_list_json(one) for one in view.lists],
    }


def change_text(change: Change) -> str:
    """One row in one line, which cannot steer a terminal."""
    place = f"row {change.row}  {change.list_sid}"
    if change.reason or not (change.before or change.after):
        why = f": {change.suggestion}" if change.suggestion else ""
        return printable(f"{place}  {change.outcome} ({change.reason}){why}")
    arrow = " -> " if change.before and change.after else ""
    word = WOULD_BE[change.outcome]
    return printable(f"{place}  {word}  {change.before}{arrow}{change.after}")


def change_json(change: Change) -> dict[str, Any]:
    """One row with stable keys."""
    return {key: value or None for key, value in change._asdict().items()}


def _totals(view: PlanView) -> str:
    told = [f"{n:,} to {WOULD_BE[o]}" for o, n in view.outcomes.items() if n]
    return f"{counted(view.rows, 'row')}, {counted(len(view.lists), 'list')}: " + (
        ", ".join(told) or "nothing to do"
    )


_HEAD = ("list", "rows", "create", "update", "delete", "entries", "addresses", "free", "verdict")


def _table(view: PlanView, join: Any, cells_of: Any) -> list[str]:
    rows = [cells_of(one) for one in view.shown]
    head = list(_HEAD)
    widths = [max(len(line[n]) for line in [head, *rows]) for n in range(len(head))]
    aligned = [
        [
            c.ljust(w) if n in (0, 8) else c.rjust(w)
            for n, (c, w) in enumerate(zip(line, widths, strict=True))
        ]
        for line in [head, *rows]
    ]
    lines = [join(line).rstrip() for line in aligned]
    if cells_of is _markdown_cells:
        lines.insert(
            1, join(["-" * w if n in (0, 8) else "-" * (w - 1) + ":" for n, w in enumerate(widths)])
        )
    rest = view.lists[len(view.shown) :] and len(view.lists) - len(view.shown)
    return lines + ([f"and {counted(rest, 'more list')}"] if rest else [])


def _text_cells(one: ListPlan) -> list[str]:
    return [printable(cell) for cell in _cells(one)]


def _markdown_cells(one: ListPlan) -> list[str]:
    return [printable(cell).replace("|", "\\|") for cell in _cells(one)]


def _cells(one: ListPlan) -> list[str]:
    name = one.list_sid or one.list_name
    changes = [f"{one.outcomes.get(outcome, 0):,}" for outcome in CHANGED]
    verdict = ", ".join(dict.fromkeys(v.guard for v in one.verdicts if not v.is_open))
    verdict = verdict or one.unread or ("overridden" if one.verdicts else "")
    return [
        shorten(name, 40),
        f"{sum(one.outcomes.values()):,}",
        *changes,
        _step(one.entries_before, one.entries_after),
        _step(one.covered_before, one.covered_after),
        "?" if one.free is None else f"{one.free:,}",
        verdict,
    ]


def _step(before: int | None, after: int | None) -> str:
    return "?" if before is None or after is None else f"{before:,} > {after:,}"


def _has_verdicts(view: PlanView) -> bool:
    return any(one.verdicts for one in view.lists)


def _verdict_lines(view: PlanView, bullet: str, *, mark: str = "") -> list[str]:
    lines = [f"{mark}Guards{mark}:"]
    found = [(one, verdict) for one in view.lists for verdict in one.verdicts]
    found.sort(key=lambda pair: pair[1].is_open)
    if mark:
        lines.append("")
    for one, verdict in found[:SHOWN_VERDICTS]:
        name = one.list_sid or one.list_name
        word = "allowed by" if verdict.is_open else "refused; this allows it:"
        lines.append(printable(f"{bullet}{name}: {verdict.why}; {word} {verdict.override}"))
    rest = len(found) - SHOWN_VERDICTS
    return lines + ([f"{bullet}and {rest:,} more"] if rest > 0 else [])


def _forecast(view: PlanView) -> str:
    takes = f"Applying it takes {counted(view.requests, 'request')}"
    if view.seconds is None:
        return f"{takes}; how long is not known before a first run."
    some = f", without {counted(view.unknown_accounts, 'account')}" if view.unknown_accounts else ""
    return f"{takes} and about {max(1, round(view.seconds)):,} s{some}."


def _account_lines(view: PlanView, bullet: str) -> list[str]:
    """One line for each account, those with the most changes first."""
    found = _accounts_json(view.lists)
    found.sort(key=lambda one: -sum(one.get(str(outcome), 0) for outcome in CHANGED))
    lines = []
    for one in found[:SHOWN_ACCOUNTS]:
        told = [f"{one[str(o)]:,} to {WOULD_BE[o]}" for o in Outcome if one.get(str(o))]
        entries = f"{one['entries_before']:,} > {one['entries_after']:,} entries"
        figures = [counted(one["lists"], "list"), *told, entries]
        lines.append(f"{bullet}{printable(one['account_sid'])}: {', '.join(figures)}")
    rest = len(found) - SHOWN_ACCOUNTS
    return lines + ([f"{bullet}and {counted(rest, 'more account')}"] if rest > 0 else [])


def _accounts_json(lists: Iterable[ListPlan]) -> list[dict[str, Any]]:
    found: dict[str, Counter[str]] = {}
    for one in lists:
        figures = found.setdefault(one.account_sid, Counter())
        figures["lists"] += 1
        figures["entries_before"] += one.entries_before or 0
        figures["entries_after"] += one.entries_after or 0
        for outcome, rows in one.outcomes.items():
            figures[str(outcome)] += rows
    return [{"account_sid": sid, **figures} for sid, figures in found.items()]


def _list_json(one: ListPlan) -> dict[str, Any]:
    return {
        "account_sid": one.account_sid,
        "list_sid": one.list_sid or None,
        "list_name": one.list_name or None,
        "outcomes": {str(outcome): rows for outcome, rows in one.outcomes.items()},
        "entries_before": one.entries_before,
        "entries_after": one.entries_after,
        "addresses_before": one.covered_before,
        "addresses_after": one.covered_after,
        "free": one.free,
        "unread": one.unread or None,
        "guards": [verdict._asdict() for verdict in one.verdicts],
    }
