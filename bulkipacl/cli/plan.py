"""`bulkipacl plan`: what `apply` would do, and nothing sent."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from bulkipacl.cli import options as o


def plan(
    files: o.Files,
    run: o.NewRun = None,
    operation: o.OperationDefault = None,
    account: o.AccountDefault = None,
    list_: o.ListDefault = None,
    name_template: o.NameTemplate = None,
    format_: o.Format = None,
    skip_invalid: o.SkipInvalid = False,
    no_gap: o.NoGap = None,
    allow_empty: o.AllowEmpty = None,
    allow_full: o.AllowFull = None,
    allow_wide: o.AllowWide = None,
    min_prefix: o.MinPrefix = None,
    max_deletes: o.MaxDeletes = None,
    credentials: o.Credentials = None,
    base_url: o.BaseUrl = None,
    ca_file: o.CaFile = None,
    max_in_flight: o.MaxInFlight = None,
    account_max_in_flight: o.AccountMaxInFlight = None,
    rate: o.Rate = None,
    headroom: o.Headroom = None,
    retries: o.Retries = None,
    timeout: o.Timeout = None,
    settle: o.Settle = None,
    patience: o.Patience = None,
    changes: o.Changes = False,
    is_detailed: Annotated[
        bool,
        typer.Option("--detailed-exitcode", help="Exit with 4 where there are changes."),
    ] = False,
    progress: o.Progress = o.ProgressMode.AUTO,
    as_json: o.AsJson = False,
    as_markdown: o.AsMarkdown = False,
) -> int:
    """Take rows in, read every list that they name, and show what `apply` would do.

    No write is sent. What was read is kept in the run directory, and `bulkipacl apply RUN` carries
    out just that: where a list has changed since, its rows are refused.
    """
    flags = o.settings_of(locals())
    from bulkipacl.cli.planned import show
    from bulkipacl.cli.sending import make_job, make_settings
    from bulkipacl.cli.terminal import Terminal
    from bulkipacl.credentials import load_credentials
    from bulkipacl.engine import plan as library
    from bulkipacl.engine.job import Inputs, check_outputs
    from bulkipacl.intake import parse_defaults
    from bulkipacl.store.rundir import default_run_path

    path = run or default_run_path(files[0])
    check_outputs([], files, path)
    settings = make_settings({}, flags)
    known = load_credentials(os.environ, credentials)
    defaults = parse_defaults(operation, account or known.default_account, list_, name_template)
    with Terminal(progress, as_json=as_json) as terminal:
        job = make_job(path, known, base_url, settings, **terminal.outputs)
        summary = library.plan(job, Inputs(files, defaults, format_, terminal.stdin), terminal)
    return show(
        job,
        summary,
        as_json=as_json,
        as_markdown=as_markdown,
        with_changes=changes,
        is_detailed=is_detailed,
    )
