"""`bulkipacl apply`: the main job."""

from __future__ import annotations

import os

from bulkipacl.cli import options as o


def apply(
    files: o.Files,
    run: o.NewRun = None,
    operation: o.OperationDefault = None,
    account: o.AccountDefault = None,
    list_: o.ListDefault = None,
    name_template: o.NameTemplate = None,
    format_: o.Format = None,
    skip_invalid: o.SkipInvalid = False,
    no_gap: o.NoGap = None,
    report: o.Reports = None,
    stream: o.Stream = None,
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
    max_failures: o.MaxFailures = None,
    deadline: o.Deadline = None,
    processes: o.Processes = None,
    progress: o.Progress = o.ProgressMode.AUTO,
    as_json: o.AsJson = False,
) -> int:
    """Take rows in, check them all, send them, and answer for every one.

    Credentials come from TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN (or TWILIO_API_KEY and
    TWILIO_API_SECRET), or from --credentials. By default one invalid row stops the run before
    the first request.
    """
    from bulkipacl.cli.sending import make_job, make_settings
    from bulkipacl.cli.terminal import Terminal, end
    from bulkipacl.credentials import load_credentials
    from bulkipacl.engine import apply as library
    from bulkipacl.engine.job import Inputs, check_outputs
    from bulkipacl.intake import parse_defaults
    from bulkipacl.store.rundir import default_run_path

    flags = {
        "skip_invalid": skip_invalid,
        "no_gap": no_gap,
        "ca_file": ca_file,
        "max_in_flight": max_in_flight,
        "account_max_in_flight": account_max_in_flight,
        "rate_per_s": rate,
        "headroom": headroom,
        "retries": retries,
        "timeout": timeout,
        "settle_s": settle,
        "patience_s": patience,
        "max_failures": max_failures,
        "deadline": deadline,
        "processes": processes,
    }
    path = run or default_run_path(files[0])
    check_outputs([*(report or []), stream], files, path)
    settings = make_settings({}, flags)
    known = load_credentials(os.environ, credentials)
    defaults = parse_defaults(operation, account or known.default_account, list_, name_template)
    with Terminal(progress, stream=stream, reports=report or [], as_json=as_json) as terminal:
        job = make_job(path, known, base_url, settings, **terminal.outputs)
        inputs = Inputs(files, defaults, format_, terminal.stdin)
        summary = library.apply(job, inputs, terminal)
    return end(summary, as_json=as_json, resume=library.resume_line(job, summary))
