"""`bulkipacl retry`: a new run of the rows that did not end well."""

from __future__ import annotations

import os

from bulkipacl.cli import options as o


def retry(
    source: o.RunPath,
    run: o.NewRun = None,
    no_gap: o.NoGap = None,
    allow_empty: o.AllowEmpty = None,
    allow_full: o.AllowFull = None,
    allow_wide: o.AllowWide = None,
    min_prefix: o.MinPrefix = None,
    max_deletes: o.MaxDeletes = None,
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
    """Make a new run of the rows of RUN that did not end well.

    Invalid rows stay invalid: mend them in rejects.csv and apply that. A run that has unknown rows
    must be resumed first. Flags that are not given are those with which RUN was begun, but for
    --deadline, --max-failures and --base-url.
    """
    flags = o.settings_of(locals())
    from bulkipacl.cli.sending import make_job, make_settings
    from bulkipacl.cli.terminal import Terminal, end
    from bulkipacl.credentials import load_credentials
    from bulkipacl.engine import apply as library
    from bulkipacl.jobs import retry as jobs
    from bulkipacl.store.rundir import default_run_path

    settings = make_settings(library.saved_settings(source), flags)
    known = load_credentials(os.environ, credentials)
    with Terminal(progress, stream=stream, reports=report or [], as_json=as_json) as terminal:
        path = run or default_run_path(f"{source.name}-retry")
        job = make_job(path, known, base_url, settings, **terminal.outputs)
        summary = jobs.retry(source, job, terminal)
    return end(summary, as_json=as_json, resume=library.resume_line(job, summary))
