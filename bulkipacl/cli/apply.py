"""`bulkipacl apply`: the main job, from files or from a plan."""

from __future__ import annotations

import os

from bulkipacl.cli import options as o


def apply(
    files: o.FilesOrRun,
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
    check_first: o.CheckFirst = None,
    accept_drift: o.AcceptDrift = None,
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

    With the run directory of a plan instead of files, carry out that plan, once: rows of lists
    that have changed since are refused. Flags that are not given are those that it was made with.

    Credentials come from TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN (or TWILIO_API_KEY and
    TWILIO_API_SECRET), or from --credentials. By default one invalid row stops the run before
    the first request.
    """
    flags = o.settings_of(locals())
    from bulkipacl.cli.sending import make_job, make_settings, planned_run
    from bulkipacl.cli.terminal import Terminal, end
    from bulkipacl.credentials import load_credentials
    from bulkipacl.engine import apply as library
    from bulkipacl.engine.job import Inputs, check_outputs
    from bulkipacl.engine.plan import apply_plan
    from bulkipacl.intake import parse_defaults
    from bulkipacl.store.rundir import default_run_path

    of_rows = {
        "--run": run,
        "--operation": operation,
        "--account": account,
        "--list": list_,
        "--name-template": name_template,
        "--format": format_,
        "--skip-invalid": skip_invalid or None,
        "--check-first": check_first,
    }
    planned = planned_run(files, of_rows, accept_drift=accept_drift)
    path = planned or run or default_run_path(files[0])
    inputs = [] if planned else files
    check_outputs([*(report or []), stream], inputs, path)
    settings = make_settings(library.saved_settings(path) if planned else {}, flags)
    known = load_credentials(os.environ, credentials)
    defaults = parse_defaults(operation, account or known.default_account, list_, name_template)
    with Terminal(progress, stream=stream, reports=report or [], as_json=as_json) as terminal:
        job = make_job(path, known, base_url, settings, **terminal.outputs)
        if planned:
            summary = apply_plan(job, terminal)
        else:
            summary = library.apply(
                job, Inputs(inputs, defaults, format_, terminal.stdin), terminal
            )
    return end(summary, as_json=as_json, resume=library.resume_line(job, summary))
