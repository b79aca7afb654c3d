"""`bulkipacl resume`: carry a run on."""

from __future__ import annotations

import os

from bulkipacl.cli import options as o


def resume(
    run: o.RunPath,
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
    """Carry a run on from wherever it stopped, a crash included.

    Rows that ended are not touched; what was in flight is settled by reading its list. The input
    is not needed. Flags that are not given are those with which the run was begun, but for
    --deadline, --max-failures and --base-url.
    """
    flags = o.settings_of(locals())
    from bulkipacl.cli.sending import make_job, make_settings
    from bulkipacl.cli.terminal import Terminal, end
    from bulkipacl.credentials import load_credentials
    from bulkipacl.engine import apply as library
    from bulkipacl.engine.job import check_outputs

    check_outputs([*(report or []), stream], [], run)
    settings = make_settings(library.saved_settings(run), flags)
    known = load_credentials(os.environ, credentials)
    with Terminal(progress, stream=stream, reports=report or [], as_json=as_json) as terminal:
        job = make_job(run, known, base_url, settings, **terminal.outputs)
        summary = library.resume(job, terminal)
    return end(summary, as_json=as_json, resume=library.resume_line(job, summary))
