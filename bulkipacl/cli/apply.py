"""`bulkipacl apply`: the main job."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from bulkipacl.cli import options as o
from bulkipacl.settings import Settings

_DEFAULT = Settings()


def apply(
    files: o.Files,
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run directory. [default: runs/<stem>-<UTC time>]"),
    ] = None,
    operation: o.OperationDefault = None,
    account: o.AccountDefault = None,
    list_: o.ListDefault = None,
    name_template: o.NameTemplate = None,
    format_: o.Format = None,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Answer invalid rows `invalid`, send the rest.")
    ] = False,
    no_gap: Annotated[
        bool, typer.Option("--no-gap", help="A list's deletes wait until its creates succeeded.")
    ] = False,
    report: o.Reports = None,
    stream: Annotated[
        str | None,
        typer.Option(metavar="PATH|-", help="JSON Lines of rows as they end."),
    ] = None,
    credentials: o.Credentials = None,
    base_url: o.BaseUrl = None,
    ca_file: o.CaFile = None,
    max_in_flight: Annotated[
        int, typer.Option(metavar="N", help="Requests in flight over all accounts.")
    ] = _DEFAULT.max_in_flight,
    account_max_in_flight: Annotated[
        int, typer.Option(metavar="N", help="Requests in flight per account.")
    ] = _DEFAULT.account_max_in_flight,
    rate: Annotated[
        float | None, typer.Option(metavar="R", help="Requests per account and second.")
    ] = None,
    retries: Annotated[
        int, typer.Option(metavar="N", help="Sendings of a row after its first.")
    ] = _DEFAULT.retries,
    timeout: Annotated[
        float, typer.Option(metavar="S", help="Seconds for one request as a whole.")
    ] = _DEFAULT.timeout_s,
    settle: Annotated[
        float,
        typer.Option(metavar="S", help="Seconds that a write may still land after a lost answer."),
    ] = _DEFAULT.settle_s,
    progress: o.Progress = o.ProgressMode.AUTO,
    as_json: o.AsJson = False,
) -> int:
    """Take rows in, check them all, send them, and answer for every one.

    Credentials come from TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN (or TWILIO_API_KEY and
    TWILIO_API_SECRET), or from --credentials. By default one invalid row stops the run before
    the first request.
    """
    from bulkipacl.cli.terminal import Terminal, end
    from bulkipacl.credentials import load_credentials
    from bulkipacl.engine import apply as library
    from bulkipacl.engine.job import Inputs, Job
    from bulkipacl.intake import parse_defaults
    from bulkipacl.store.rundir import default_run_path
    from bulkipacl.twilio.hosts import resolve_base_url

    known = load_credentials(os.environ, credentials)
    with Terminal(progress, stream=stream, reports=report or [], as_json=as_json) as terminal:
        defaults = parse_defaults(operation, account or known.default_account, list_, name_template)
        job = Job(
            inputs=Inputs(files, defaults, format_, terminal.stdin),
            run_path=run or default_run_path(files[0]),
            settings=Settings(
                max_in_flight=max_in_flight,
                account_max_in_flight=account_max_in_flight,
                rate_per_s=rate,
                retries=retries,
                timeout_s=timeout,
                read_timeout_s=timeout,
                connect_timeout_s=min(timeout, _DEFAULT.connect_timeout_s),
                settle_s=settle,
                skip_invalid=skip_invalid,
                no_gap=no_gap,
                tls_ca_file=str(ca_file) if ca_file else None,
            ),
            credentials=known,
            base=resolve_base_url(base_url, os.environ),
            reports=report or [],
            stream=terminal.stream,
            stdout=terminal.stdout,
        )
        summary = library.apply(job, terminal)
    return end(summary, as_json=as_json)
