"""The limits of accounts, for people and programs.

limits_text, limits_json     of one run
memory_text, memory_json     what is remembered of all runs
write_samples                the samples of a run over time, as CSV
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from bulkipacl.errors import UsageError
from bulkipacl.model import AccountLimits
from bulkipacl.report.cells import printable
from bulkipacl.store.limits import LimitRecord
from bulkipacl.store.rundir import RunDirectory
from bulkipacl.store.samples import samples

SAMPLE_COLUMNS = (
    *("at", "account_sid", "window", "pace_per_s", "binding"),
    *("in_flight", "throttled", "rows_ended"),
)
_WIDTHS = (34, 9, 9, 8, 8, 10)


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
                printable(one.binding),
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
        UsageError: the file cannot be written.
    """
    if path == "-":
        _write(run, stdout)
        return
    try:
        with Path(path).open("wb") as file:
            _write(run, file)
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror}", hint="name another place for it") from exc


def _write(run: RunDirectory, out: BinaryIO) -> None:
    text = io.TextIOWrapper(out, encoding="ascii", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(SAMPLE_COLUMNS)
    for sid, one in samples(run):
        pace = "" if one.pace_per_s is None else f"{one.pace_per_s:.2f}"
        figures = (one.in_flight, one.throttled, one.ended)
        writer.writerow((f"{one.at:.3f}", sid, f"{one.window:.1f}", pace, one.binding, *figures))
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
