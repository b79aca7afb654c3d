"""Flags that several verbs share, each described once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class ProgressMode(StrEnum):
    """How progress is shown on stderr."""

    AUTO = "auto"
    RICH = "rich"
    PLAIN = "plain"
    NONE = "none"


def _option(*flags: str, help: str, metavar: str | None = None) -> object:  # noqa: A002 - typer's word
    return typer.Option(*flags, help=help, metavar=metavar)


Files = Annotated[
    list[str], typer.Argument(metavar="FILE...", help="CSV, JSON Lines or JSON; - is stdin.")
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]
Format = Annotated[
    str | None, _option("--format", metavar="FORMAT", help="csv, jsonl, json or page.")
]
OperationDefault = Annotated[
    str | None,
    _option("--operation", metavar="OP", help="The operation of rows that name none."),
]
AccountDefault = Annotated[
    str | None, _option("--account", metavar="AC...", help="The account of rows that name none.")
]
ListDefault = Annotated[
    str | None,
    _option("--list", metavar="AL...|NAME", help="The list of rows that name none."),
]
NameTemplate = Annotated[
    str | None,
    _option(
        "--name-template",
        metavar="TEXT",
        help="The name of a create without one; {cidr} {ip} {prefix} {row}. [default: {cidr}]",
    ),
]
Credentials = Annotated[
    Path | None,
    _option("--credentials", metavar="FILE", help="A TOML file with a table per account."),
]
BaseUrl = Annotated[
    str | None,
    _option("--base-url", metavar="URL", help="Another host; http only to the loopback."),
]
CaFile = Annotated[
    Path | None,
    _option("--ca-file", metavar="FILE", help="Certificate authorities to trust (PEM)."),
]
Reports = Annotated[
    list[str] | None,
    _option(
        "--report",
        metavar="PATH",
        help="A further report: .csv, .jsonl, .json (also .gz); - is JSON Lines. Repeatable.",
    ),
]
AsJson = Annotated[bool, _option("--json", help="Print the result as one JSON object.")]
Progress = Annotated[ProgressMode, _option("--progress", help="How progress is shown on stderr.")]
