"""The limits of accounts, for people and programs.

limits_text, limits_json     of one run;  limit_met: the one that an account met, in words
memory_text, memory_json     what is remembered of all runs
write_samples                the samples of a run over time, as CSV
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from bulkipacl.model import AccountLimits
from bulkipacl.report.cells import neutralise, printable
from bulkipacl.report.files import check_destination, replacing
from bulkipacl.store.limits import LimitRecord
from bulkipacl.store.rundir import RunDirectory
from bulkipacl.store.samples import samples

SAMPLE_COLUMNS = (
    *("at", "account_sid", "window", "pace_per_s", "binding"),
    *("in_flight", "throttled", "rows_ended"),
)
_WIDTHS = (34, 9, 9, 9, 8, 10)

LIMIT_NAMES = {"window": "in flight", "pace": "rate", "cap": "your own"}
"""What holds an account back, for people; nothing of these: it is as fast as its rows come."""


def limit_met(one: AccountLimits) -> str:
    """Which limit an account met, as in `LIMIT_NAMES`; empty where it met none.

    A run may be over before anybody has looked at what held it back; its refusals were counted.
    """
    if one.binding == "cap":
        return LIMIT_NAMES["cap"]
    if one.pace_per_s is not None:
        return LIMIT_NAMES["pace"]
    return LIMIT_NAMES["window"] if one.throttled else ""


def limits_text(found: Sequence[AccountLimits]) -> str:
    """A table, the accounts with the most answers of 429 first."""
    if not found:
        return "nothing was sent in this run, so nothing is known\n"
    lines = [_line("account", "in flight", "per s", "limit", "429s", "rows")]
    for one in found:
        pace = "" if one.pace_per_s is None else f"{one.pace_per_s:,.1f}"
        lines.append(
            _line(
                printable(one.account_sid),
                f"{one.window:,.0f}",
                pace,
                limit_met(one) or "none met",
                f"{one.throttled:,}",
                f"{one.ended:,}",
            )
        )
    return "".join(lines)


def limits_json(found: Iterable[AccountLimits]) -> list[dict[str, Any]]:
    """The same with stable keys."""
    return [
        {
            "account_sid": one.account_sid,
            "window": round(one.window, 1),
            "pace_per_s": None if one.pace_per_s is None else round(one.pace_per_s, 2),
            "binding": one.binding,
            "throttled": one.throttled,
            "rows_ended": one.ended,
        }
        for one in found
    ]


def memory_text(records: Sequence[LimitRecord], now: float, path: str) -> str:
    """What is remembered, as a table with its age."""
    if not records:
        return f"no limits are remembered in {printable(path)}\n"
    lines = [_line("account", "in flight", "per s", "round", "age", "host")]
    for one in records:
        learnt = one.learnt
        lines.append(
            _line(
                printable(one.account_sid),
                f"{learnt.window:,.0f}",
                "" if learnt.pace_per_s is None else f"{learnt.pace_per_s:,.1f}",
                f"{learnt.round_trip_s:.2f} s",
                _age(now - one.found_at),
                printable(one.origin),
            )
        )
    return "".join(lines)


def memory_json(records: Iterable[LimitRecord]) -> list[dict[str, Any]]:
    """The same with stable keys."""
    return [
        {
            "host": one.origin,
            "account_sid": one.account_sid,
            "window": round(one.learnt.window, 1),
            "pace_per_s": one.learnt.pace_per_s,
            "round_trip_s": one.learnt.round_trip_s,
            "found_at": one.found_at,
        }
        for one in records
    ]


def write_samples(run: RunDirectory, path: str, *, stdout: BinaryIO) -> None:
    """Write all samples of a run as CSV; `-` is standard output.

    Raises:
        UsageError: there can be no file of that name.
        StoreError: the file cannot be written.
    """
    if path == "-":
        _write(run, stdout)
        return
    check_destination(Path(path))
    with replacing(Path(path)) as file:
        _write(run, file)


def _write(run: RunDirectory, out: BinaryIO) -> None:
    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(SAMPLE_COLUMNS)
    for sid, one in samples(run):
        pace = "" if one.pace_per_s is None else f"{one.pace_per_s:.2f}"
        account, binding = neutralise(printable(sid)), neutralise(printable(one.binding))
        figures = (one.in_flight, one.throttled, one.ended)
        writer.writerow((f"{one.at:.3f}", account, f"{one.window:.1f}", pace, binding, *figures))
    text.flush()
    text.detach()


def _line(*cells: str) -> str:
    aligned = [cells[0].ljust(_WIDTHS[0])]
    pairs = zip(cells[1:], _WIDTHS[1:], strict=True)
    aligned += [cell.rjust(width) for cell, width in pairs]
    return "  ".join(aligned).rstrip() + "\n"


def _age(seconds: float) -> str:
    for unit, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:,.0f} {word}"
    return f"{max(seconds, 0):.0f} s"
