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
        typer.Argument(metavar="RUN", help="A run directory. Without it: what is remembered."),
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
    from bulkipacl.errors import UsageError

    if run is None:
        if samples is not None:
            raise UsageError("--samples belongs to a run", hint="bulkipacl limits RUN --samples -")
        _of_all(forget=forget, as_json=as_json)
    elif forget:
        raise UsageError("--forget takes no run", hint="a run directory is not changed")
    elif samples == "-" and as_json:
        raise UsageError("--samples - and --json both want stdout", hint="give --samples a file")
    else:
        _of_run(run, samples, as_json=as_json)
    return 0


def _of_all(*, forget: bool, as_json: bool) -> None:
    from bulkipacl.cli.terminal import print_json
    from bulkipacl.report import counted, memory_json, memory_text
    from bulkipacl.store.limits import LimitsMemory, state_path

    memory = LimitsMemory(state_path(os.environ))
    if forget:
        count = memory.forget()
        sys.stderr.write(f"forgot the limits of {counted(count, 'account')}\n")
        if as_json:
            print_json({"path": str(memory.path), "forgotten": count})
        return
    records = memory.records()
    if as_json:
        print_json({"path": str(memory.path), "accounts": memory_json(records)})
    else:
        sys.stdout.write(memory_text(records, time.time(), str(memory.path)))


def _of_run(run: Path, samples: str | None, *, as_json: bool) -> None:
    from bulkipacl.cli.terminal import print_json
    from bulkipacl.engine.job import check_outputs
    from bulkipacl.report import explaining_damage, limits_json, limits_text, write_samples
    from bulkipacl.store.rundir import RunDirectory
    from bulkipacl.store.samples import last_of_each

    check_outputs([samples], [], run)
    with RunDirectory.open(run, is_writable=False) as directory, explaining_damage(directory):
        if samples is not None:
            write_samples(directory, samples, stdout=sys.stdout.buffer)
        found = last_of_each(directory)
    if as_json:
        print_json({"accounts": limits_json(found)})
    elif samples is None:
        sys.stdout.write(limits_text(found))
