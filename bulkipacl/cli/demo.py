"""`bulkipacl demo`: a sandbox, a sample and a run, in one go and offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bulkipacl.cli import options as o

ACCOUNTS, LISTS, ENTRIES = 5, 8, 60
SWITCHES = (
    "--latency 0.15~0.35 --limit concurrent=25 --fault 429=0.005 --fault 503_after=0.002"
    " --fault reset_after=0.002"
)
FLAGS = "--settle 1 --allow-full"
"""The second one has the API say that a list is full: a guard would say so before it is asked."""


def demo(
    rows: Annotated[int, typer.Option(metavar="N", min=400, max=3_000)] = 2_000,
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run directory. [default: runs/<stem>-<UTC time>]"),
    ] = None,
    progress: o.Progress = o.ProgressMode.AUTO,
) -> int:
    """Start a sandbox on a free port, and carry a sample of about 2,000 rows out on it.

    The sandbox answers like an account with a limit does, loses an answer now and then, and some
    of its lists are too full for what the sample asks: so there is something to see.
    """
    from bulkipacl.cli.sandboxed import Sandboxed, say
    from bulkipacl.sandbox import make_sample
    from bulkipacl.store.rundir import default_run_path

    place = run or default_run_path("demo")
    sample = place.with_name(place.name + ".csv")
    with Sandboxed(
        f"--accounts {ACCOUNTS} --lists {LISTS} --entries {ENTRIES} {SWITCHES}"
    ) as sandboxed:
        sample.parent.mkdir(parents=True, exist_ok=True)
        sample.write_text(make_sample(sandboxed.state(), rows), encoding="utf-8")
        say(f"A sandbox is running at {sandboxed.url} (bulkipacl sandbox {SWITCHES})")
        say(f"The sample is {sample}; the same by hand:")
        say(f"  bulkipacl apply {sample} --base-url {sandboxed.url} {FLAGS}\n")
        code = sandboxed.run(
            f"apply {sample} --run {place} --base-url {sandboxed.url} {FLAGS}".split(),
            progress=progress,
        )
    if code not in (0, 1):
        say("\nThe sandbox has ended with all that it held, so this run cannot be resumed.")
        return code
    if code:
        say("\nThe rows that failed did so on purpose: their lists were full.")
        say(f"Look at {place}/report.csv, and at {place}/rejects.csv: what to mend, and why.")
    else:
        say(f"\nLook at {place}/report.csv.")
    return 0
