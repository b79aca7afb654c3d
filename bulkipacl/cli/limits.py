"""`bulkipacl limits`: what is known of the limits of accounts."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from bulkipacl.cli import options as o


def limits(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN]", help="A run directory. Without it: what is remembered."),
    ] = None,
    samples: Annotated[
        str | None,
        typer.Option(
            "--samples",
            metavar="PATH",
            help="Write the run's samples over time as CSV, for plots; - is stdout.",
        ),
    ] = None,
    forget: Annotated[
        bool,
        typer.Option("--forget", help="Forget what is remembered: the next run searches anew."),
    ] = False,
    as_json: o.AsJson = False,
) -> int:
    """Show the limits that runs found: requests in flight, requests per second.

    With a run directory: how its accounts stood at the end. Without: what is remembered of all
    accounts, and starts the next run near it.
    """
    from bulkipacl.cli.terminal import print_json
    from bulkipacl.errors import UsageError
    from bulkipacl.report import (
        counted,
        explaining_damage,
        limits_json,
        limits_text,
        memory_json,
        memory_text,
        write_samples,
    )
    from bulkipacl.store.limits import LimitsMemory, state_path
    from bulkipacl.store.rundir import RunDirectory
    from bulkipacl.store.samples import last_of_each

    if run is None:
        if samples is not None:
            raise UsageError("--samples belongs to a run", hint="bulkipacl limits RUN --samples -")
        memory = LimitsMemory(state_path(os.environ))
        if forget:
            sys.stderr.write(f"forgot the limits of {counted(memory.forget(), 'account')}\n")
            return 0
        records = memory.records()
        if as_json:
            print_json({"path": str(memory.path), "accounts": memory_json(records)})
        else:
            sys.stdout.write(memory_text(records, time.time(), str(memory.path)))
        return 0
    if forget:
        raise UsageError("--forget takes no run", hint="a run directory is not changed")
    if samples == "-" and as_json:
        raise UsageError("--samples - and --json both want stdout", hint="give --samples a file")
    with RunDirectory.open(run, is_writable=False) as directory, explaining_damage(directory):
        if samples is not None:
            write_samples(directory, samples, stdout=sys.stdout.buffer)
        found = last_of_each(directory)
    if as_json:
        print_json({"accounts": limits_json(found)})
    elif samples is None:
        sys.stdout.write(limits_text(found))
    return 0
