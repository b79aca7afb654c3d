"""Flags that several verbs share, each described once.

What a flag means as a setting, and its range, stands in `settings.Settings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from bulkipacl.settings import Settings

_DEFAULT = Settings()


_SETTINGS = {
    **{
        name: name
        for name in (
            "skip_invalid", "no_gap", "allow_empty", "allow_full", "allow_wide", "min_prefix",
            "max_deletes", "check_first", "accept_drift", "ca_file", "max_in_flight",
            "account_max_in_flight", "headroom", "retries", "timeout", "max_failures", "deadline",
            "processes",
        )
    },
    "rate": "rate_per_s",
    "settle": "settle_s",
    "patience": "patience_s",
}  # fmt: skip
"""The arguments of verbs that are settings, and what `sending.make_settings` calls them."""


def settings_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The settings among a verb's arguments: its `locals()`, before it has made any other."""
    return {_SETTINGS[name]: arguments[name] for name in arguments if name in _SETTINGS}


class ProgressMode(StrEnum):
    """How progress is shown on stderr."""

    AUTO = "auto"
    RICH = "rich"
    PLAIN = "plain"
    NONE = "none"


def _flag(name: str, text: str, metavar: str | None = None, default: object = None) -> Any:
    shown = f"{text} [default: {default:g}]" if isinstance(default, int | float) else text
    return typer.Option(name, help=shown, metavar=metavar)


Files = Annotated[
    list[str], typer.Argument(metavar="FILE...", help="CSV, JSON Lines or JSON; - is stdin.")
]
FilesOrRun = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE...|RUN", help="CSV, JSON Lines or JSON; - is stdin. Or a planned run."
    ),
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]
NewRun = Annotated[
    Path | None,
    _flag("--run", "The run directory. [default: runs/<stem>-<UTC time>]", "DIR"),
]

# --- what rows leave out ----------------------------------------------------------------------
Format = Annotated[str | None, _flag("--format", "csv, jsonl, json or page.", "FORMAT")]
OperationDefault = Annotated[
    str | None, _flag("--operation", "The operation of rows that name none.", "OP")
]
AccountDefault = Annotated[
    str | None, _flag("--account", "The account of rows that name none.", "AC...")
]
ListDefault = Annotated[
    str | None, _flag("--list", "The list of rows that name none.", "AL...|NAME")
]
NameTemplate = Annotated[
    str | None,
    _flag(
        "--name-template",
        "The name of a create without one; {cidr} {ip} {prefix} {row}. [default: {cidr}]",
        "TEXT",
    ),
]
SkipInvalid = Annotated[
    bool, _flag("--skip-invalid", "Answer invalid rows `invalid`, send the rest.")
]

# --- whom to ask ------------------------------------------------------------------------------
Credentials = Annotated[
    Path | None, _flag("--credentials", "A TOML file with a table per account.", "FILE")
]
BaseUrl = Annotated[
    str | None, _flag("--base-url", "Another host; http only to the loopback.", "URL")
]
CaFile = Annotated[
    Path | None, _flag("--ca-file", "Certificate authorities to trust (PEM).", "FILE")
]

# --- how to send ------------------------------------------------------------------------------
NoGap = Annotated[
    bool | None, _flag("--no-gap", "A list's deletes wait until its creates succeeded.")
]
AllowEmpty = Annotated[bool | None, _flag("--allow-empty", "Lists may be left without any entry.")]
AllowFull = Annotated[
    bool | None, _flag("--allow-full", "Send creates that a list has no room for, too.")
]
AllowWide = Annotated[
    list[str] | None,
    _flag("--allow-wide", "Open just this block, however wide it is. Repeatable.", "CIDR"),
]
MinPrefix = Annotated[
    int | None,
    _flag("--min-prefix", "Open no block that is wider.", "N", _DEFAULT.min_prefix),
]
MaxDeletes = Annotated[
    list[str] | None,
    _flag(
        "--max-deletes",
        "Allow N deletes in all, or P% of a list. Repeatable. [default: none for rows of yours,"
        " 1000 and 30% for rows that a command made]",
        "N|P%",
    ),
]
CheckFirst = Annotated[
    bool | None,
    _flag("--check-first", "Read and check all lists first; write nothing if one is refused."),
]
AcceptDrift = Annotated[
    bool | None, _flag("--accept-drift", "Of a plan: decide lists afresh that have changed since.")
]
MaxInFlight = Annotated[
    int | None,
    _flag("--max-in-flight", "Requests in flight over all accounts.", "N", _DEFAULT.max_in_flight),
]
AccountMaxInFlight = Annotated[
    int | None,
    _flag(
        "--account-max-in-flight",
        "Requests in flight per account.",
        "N",
        _DEFAULT.account_max_in_flight,
    ),
]
Rate = Annotated[float | None, _flag("--rate", "Requests per account and second.", "R")]
Headroom = Annotated[
    str | None,
    _flag("--headroom", "The share of an account's limit left to its other users.", "P%"),
]
Retries = Annotated[
    int | None, _flag("--retries", "Sendings of a row after its first.", "N", _DEFAULT.retries)
]
Timeout = Annotated[
    float | None,
    _flag("--timeout", "Seconds for one request as a whole.", "S", _DEFAULT.timeout_s),
]
Settle = Annotated[
    float | None,
    _flag(
        "--settle",
        "Seconds that a write may still land after its answer was lost.",
        "S",
        _DEFAULT.settle_s,
    ),
]
Patience = Annotated[
    float | None,
    _flag(
        "--patience",
        "Seconds of nothing but trouble after which an account is left alone.",
        "S",
        _DEFAULT.patience_s,
    ),
]
MaxFailures = Annotated[
    str | None,
    _flag("--max-failures", "Stop when more rows than that did not end well.", "N|P%"),
]
Deadline = Annotated[
    str | None, _flag("--deadline", "Stop after so long: 90s, 10m, 1h30m.", "DURATION")
]

Processes = Annotated[
    str | None,
    _flag("--processes", "Spread the accounts over processes; auto: all cores.", "N|auto", 1),
]

# --- what to show -----------------------------------------------------------------------------
Reports = Annotated[
    list[str] | None,
    _flag(
        "--report",
        "A further report: .csv, .jsonl, .json (also .gz); - is JSON Lines. Repeatable.",
        "PATH",
    ),
]
Stream = Annotated[str | None, _flag("--stream", "JSON Lines of rows as they end.", "PATH|-")]
AsJson = Annotated[bool, _flag("--json", "Print the result as one JSON object.")]
AsMarkdown = Annotated[bool, _flag("--markdown", "Print the plan as Markdown, for a review.")]
Changes = Annotated[bool, _flag("--changes", "Print each change, too.")]
Progress = Annotated[ProgressMode, _flag("--progress", "How progress is shown on stderr.")]
