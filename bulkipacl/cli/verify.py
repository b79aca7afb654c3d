"""`bulkipacl verify`: the conservation law, proved from the files alone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bulkipacl.cli import options as o

if TYPE_CHECKING:  # It brings sqlite3 along, which `--help` can do without.
    from bulkipacl.store.rundir import RunDirectory

SHOWN = 20


def verify(run: o.RunPath, as_json: o.AsJson = False) -> int:
    """Prove that every row of a run has exactly one outcome, and that its reports say so.

    Exit code 0 if all holds, 1 if not.
    """
    from bulkipacl.cli.terminal import print_json
    from bulkipacl.report import verify as library
    from bulkipacl.store.rundir import RunDirectory

    with RunDirectory.open(run, is_writable=False) as directory, directory.reading():
        found = library(directory)
        rows = _rows(directory)
    if as_json:
        print_json({"rows": rows, "discrepancies": found})
    else:
        sys.stderr.write(_text(rows, found))
    return 1 if found else 0


def _rows(run: RunDirectory) -> int | None:
    """How many rows there are, if the store can say that much."""
    from bulkipacl.errors import StoreError
    from bulkipacl.store import views

    try:
        return views.row_count(run)
    except StoreError:
        return None


def _text(rows: int | None, found: list[str]) -> str:
    from bulkipacl.report import counted, printable

    of_rows = "" if rows is None else counted(rows, "row")
    if not found:
        each = "with" if rows == 1 else "each with"
        return f"{of_rows}, {each} exactly one outcome; the reports agree\n"
    lines = [printable(line) for line in found[:SHOWN]]
    if len(found) > SHOWN:
        lines.append(f"and {len(found) - SHOWN:,} more")
    where = f" in {of_rows}" if of_rows else ""
    lines.append(f"{counted(len(found), 'discrepancy', 'discrepancies')}{where}")
    return "\n".join([*lines, ""])
