"""`bulkipacl verify`: the conservation law, proved from the files alone."""

from __future__ import annotations

import sys

from bulkipacl.cli import options as o

SHOWN = 20


def verify(run: o.RunPath, as_json: o.AsJson = False) -> int:
    """Prove that every row of a run has exactly one outcome, and that its reports say so.

    Exit code 0 if all holds, 1 if not.
    """
    from bulkipacl.cli.terminal import print_json
    from bulkipacl.report import printable
    from bulkipacl.report import verify as library
    from bulkipacl.store import views
    from bulkipacl.store.rundir import RunDirectory

    with RunDirectory.open(run, is_writable=False) as directory:
        found = library(directory)
        rows = views.row_count(directory)
    if as_json:
        print_json({"rows": rows, "discrepancies": found})
    elif found:
        for line in found[:SHOWN]:
            sys.stderr.write(f"{printable(line)}\n")
        if len(found) > SHOWN:
            sys.stderr.write(f"and {len(found) - SHOWN:,} more\n")
        sys.stderr.write(f"{len(found):,} discrepancies in {rows:,} rows\n")
    else:
        sys.stderr.write(f"{rows:,} rows, each with exactly one outcome; the reports agree\n")
    return 1 if found else 0
