"""`bulkipacl validate`: the checks alone, without network."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from bulkipacl.cli import options as o


def validate(
    files: o.Files,
    operation: o.OperationDefault = None,
    account: o.AccountDefault = None,
    list_: o.ListDefault = None,
    name_template: o.NameTemplate = None,
    format_: o.Format = None,
    progress: o.Progress = o.ProgressMode.AUTO,
    as_json: o.AsJson = False,
) -> int:
    """Check rows as `apply` does before it sends; nothing is sent, no run directory is kept.

    The account of rows that name none is --account, or else TWILIO_ACCOUNT_SID. --json lists every
    problem with its severity and what to write instead.
    """
    from bulkipacl.cli.listing import Listing, print_listing
    from bulkipacl.cli.terminal import Terminal
    from bulkipacl.engine.apply import validate as library
    from bulkipacl.engine.job import Inputs
    from bulkipacl.intake import parse_defaults

    defaults = parse_defaults(
        operation, account or os.environ.get("TWILIO_ACCOUNT_SID") or None, list_, name_template
    )
    with tempfile.TemporaryDirectory(prefix="bulkipacl-") as place:
        listed = Path(place) / "problems"
        with Listing(progress, listed) if as_json else Terminal(progress) as terminal:
            inputs = Inputs(files, defaults, format_, terminal.stdin)
            rows, invalid = library(Path(place), inputs, terminal)
        if as_json:
            print_listing({"rows": rows, "invalid": invalid, "warnings": terminal.warnings}, listed)
    return 3 if invalid else 0
