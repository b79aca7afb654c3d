"""A run in figures: for a person, for a program, and as an exit code.

    summary_text   some lines of plain text, without colour
    summary_json   the same as a JSON object with stable keys
    exit_code      the code of DESIGN's table that the run ends with

The figures themselves are counted by `store.views.summary`.
"""

from __future__ import annotations

import textwrap
from typing import Any

from bulkipacl.model import GOOD_OUTCOMES, Cause, Outcome, Summary
from bulkipacl.report.cells import columns_of, printable, shorten
from bulkipacl.report.limits import LIMIT_NAMES, limit_met, limits_json
from bulkipacl.report.words import counted, source_name

MAX_CAUSES = 10
MAX_NOTES = 10
MAX_LIMITS = 10
_MAX_MESSAGE = 240

CREDENTIALS_REFUSED = "credentials_refused"

_NOT_BEGUN = frozenset({"failed", "no_credential"})
"""The endings of a run that could not begin, for a reason that is no row's."""

_NOT_EARLY = frozenset({"", "finished", "invalid_input", "running", "planned", "checked_first"})
"""The endings that are no early stop; what is not known here is one, and resumable."""


def exit_code(summary: Summary) -> int:
    """The exit code; where several hold, the first of 130, 7, 6, 8, 5, 1."""
    outcomes = summary.outcomes
    if summary.ending == "interrupted":
        return 130
    if summary.ending == "invalid_input":
        return 3
    if summary.ending in _NOT_BEGUN:
        return 2
    if summary.ending not in _NOT_EARLY:
        return 7
    if any(cause.reason == CREDENTIALS_REFUSED for cause in summary.causes):
        return 6
    if outcomes.get(Outcome.UNKNOWN):
        return 8
    if outcomes.get(Outcome.REFUSED):
        return 5
    return 1 if any(outcomes.get(outcome) for outcome in Outcome if _is_bad(outcome)) else 0


def summary_json(summary: Summary) -> dict[str, Any]:
    """The summary with stable keys; all ten outcomes are there, and all causes."""
    return {
        "run_dir": summary.run_dir,
        "ending": summary.ending,
        "exit_code": exit_code(summary),
        "rows": summary.rows,
        "outcomes": {str(outcome): summary.outcomes.get(outcome, 0) for outcome in Outcome},
        "elapsed_s": round(summary.elapsed_s, 3),
        "rows_per_s": round(_rows_per_s(summary), 1),
        "requests": summary.requests,
        "throttled": summary.throttled,
        "accounts_stopped": list(summary.accounts_stopped),
        "limits": limits_json(summary.limits),
        "notes": list(summary.notes),
        "causes": [_cause_json(cause) for cause in summary.causes],
    }


def summary_text(summary: Summary, *, width: int = 100) -> str:
    """The summary for people, each line ended; only a path can make a line wider than `width`.

    Whatever came from the input or the server cannot steer the terminal.
    """
    ending = f" ({printable(summary.ending)})" if summary.ending else ""
    lines = [f"{printable(summary.run_dir)}{ending}", *_figures(summary)]
    if summary.causes:
        lines += ["", "Rows that did not end well:"]
        for cause in summary.causes[:MAX_CAUSES]:
            lines += _cause_lines(cause, width)
        lines += _rest(len(summary.causes) - MAX_CAUSES, "cause")
    if summary.accounts_stopped:
        lines += ["", "Accounts that were stopped:"]
        lines += [f"  {printable(sid)}" for sid in summary.accounts_stopped[:MAX_CAUSES]]
        lines += _rest(len(summary.accounts_stopped) - MAX_CAUSES, "account")
    lines += _limits(summary)
    if summary.notes:
        lines += ["", "Notes:"]
        for note in summary.notes[:MAX_NOTES]:
            lines += _wrapped(printable(note), width, "  - ")
        lines += _rest(len(summary.notes) - MAX_NOTES, "note")
    return "\n".join([*lines, ""])


def _is_bad(outcome: Outcome) -> bool:
    return outcome not in GOOD_OUTCOMES


def _rows_per_s(summary: Summary) -> float:
    """Rows carried out a second: what was never tried took no time."""
    idle = summary.outcomes.get(Outcome.INVALID, 0) + summary.outcomes.get(Outcome.NOT_ATTEMPTED, 0)
    return (summary.rows - idle) / summary.elapsed_s if summary.elapsed_s > 0 else 0.0


def _figures(summary: Summary) -> list[str]:
    counts = [("rows", summary.rows)]
    counts += [(str(o), summary.outcomes[o]) for o in Outcome if summary.outcomes.get(o)]
    digits = max(len(f"{count:,}") for _, count in counts)
    lines = [f"  {word:<14}{count:>{digits},}" for word, count in counts]
    if summary.requests or summary.elapsed_s:
        lines.append(
            f"  {_duration(summary.elapsed_s)}, {_rows_per_s(summary):,.0f} rows/s, "
            f"{counted(summary.requests, 'request')}, "
            f"{summary.throttled:,} answered 429"
        )
    return lines


def _limits(summary: Summary) -> list[str]:
    """The limits that were met; an account that met none was as fast as its rows."""
    met = [one for one in summary.limits if one.throttled or limit_met(one)]
    if not met:
        return []
    lines = ["", "Limits met:"]
    for one in met[:MAX_LIMITS]:
        what = f"{one.window:,.0f} in flight"
        if one.binding == "cap":
            what = f"{LIMIT_NAMES['cap']} limit"
        elif one.pace_per_s is not None:
            what = f"{one.pace_per_s:,.1f} requests/s"
        answers = f", {one.throttled:,} answered 429" if one.throttled else ""
        lines.append(f"  {printable(one.account_sid)}: {what}{answers}")
    return lines + _rest(len(met) - MAX_LIMITS, "account")


def _cause_lines(cause: Cause, width: int) -> list[str]:
    what = [printable(cause.reason)] if cause.reason else []
    what += [f"HTTP {cause.status}"] if cause.status else []
    what += [f"code {cause.code}"] if cause.code else []
    head = f"{cause.rows:,} {cause.outcome}" + (f" ({', '.join(what)})" if what else "")
    message = printable(cause.message)
    if message:
        head = f"{head}: {shorten(message, _MAX_MESSAGE)}"
    lines = _wrapped(head, width, "  ")
    lines.append(f"      first: {source_name(cause.first_source)}:{cause.first_line}")
    if cause.suggestion:
        suggestion = shorten(printable(cause.suggestion), _MAX_MESSAGE)
        lines += _wrapped(f"try: {suggestion}", width, "      ")
    return lines


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    """Lines of at most `width` columns; wide characters, two columns each, are allowed for."""
    room = width - 2
    if columns_of(text) > len(text):
        room = max(10 + len(indent), room // 2)
    return textwrap.wrap(
        text,
        room,
        initial_indent=indent,
        subsequent_indent=" " * (len(indent) + 2),
        break_on_hyphens=False,
    )


def _rest(count: int, word: str) -> list[str]:
    return [f"  and {counted(count, f'more {word}')}"] if count > 0 else []


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _cause_json(cause: Cause) -> dict[str, Any]:
    return {
        "outcome": str(cause.outcome),
        "reason": cause.reason or None,
        "http_status": cause.status or None,
        "error_code": cause.code or None,
        "error_message": cause.message or None,
        "suggestion": cause.suggestion or None,
        "rows": cause.rows,
        "first": {
            "row": cause.first_row,
            "source": cause.first_source,
            "line": cause.first_line,
        },
    }
