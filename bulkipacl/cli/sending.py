"""What the verbs that send have in common: settings from flags, and a job.

Not a verb itself, and no logic: it puts together what the library takes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bulkipacl.credentials import CredentialMap
from bulkipacl.engine.job import Job
from bulkipacl.errors import UsageError
from bulkipacl.settings import (
    Settings,
    parse_block,
    parse_duration,
    parse_headroom,
    parse_processes,
    parse_share,
)
from bulkipacl.store.limits import LimitsMemory, state_path
from bulkipacl.twilio.hosts import resolve_base_url

PER_SESSION = (
    "deadline_s",
    "max_failures",
    "max_failures_percent",
    "tls_ca_file",
    "check_first",
    "processes",
)
"""Settings that a resume does not take over from the session before."""


def make_settings(saved: Mapping[str, Any], given: Mapping[str, Any]) -> Settings:
    """Settings from flags, over those that a run was begun with; None: not given."""
    flags = dict(given)
    count, percent = _share(flags.pop("max_failures", None))
    deadline = flags.pop("deadline", None)
    timeout_s = flags.pop("timeout", None)
    ca_file = flags.pop("ca_file", None)
    headroom = flags.pop("headroom", None)
    processes = flags.pop("processes", None)
    blocks = flags.pop("allow_wide", None)
    deletes, deletes_percent = _max_deletes(flags.pop("max_deletes", None))
    if timeout_s is not None:
        connect_s = min(timeout_s, Settings().connect_timeout_s)
        flags |= {"timeout_s": timeout_s, "read_timeout_s": timeout_s}
        flags["connect_timeout_s"] = connect_s
    flags |= {
        "max_failures": count,
        "max_failures_percent": percent,
        "max_deletes": deletes,
        "max_deletes_percent": deletes_percent,
        "allow_wide": blocks and tuple(parse_block("--allow-wide", text) for text in blocks),
        "deadline_s": None if deadline is None else parse_duration("--deadline", deadline),
        "headroom": None if headroom is None else parse_headroom("--headroom", headroom),
        "processes": None if processes is None else parse_processes("--processes", processes),
        "tls_ca_file": None if ca_file is None else str(ca_file),
    }
    kept = {name: value for name, value in saved.items() if name not in PER_SESSION}
    return Settings(**kept | {name: value for name, value in flags.items() if value is not None})


def planned_run(
    files: Sequence[str], of_rows: Mapping[str, object], *, accept_drift: bool | None
) -> Path | None:
    """The run directory that is to be applied, where the argument is one; None: they are inputs.

    Args:
        of_rows: the flags that say something of inputs, by name; None: not given.

    Raises:
        UsageError: flags or arguments of one kind are given with those of the other.
    """
    runs = [path for path in files if path != "-" and Path(path).is_dir()]
    if not runs:
        if accept_drift:
            raise UsageError("--accept-drift belongs to a plan", hint="bulkipacl apply RUN")
        return None
    if len(files) > 1:
        raise UsageError(f"{runs[0]} is a run: it is applied alone", hint="one plan at a time")
    given = [flag for flag, value in of_rows.items() if value is not None]
    if given:
        hint = "make a new plan of the input with it"
        raise UsageError(f"{given[0]} belongs to an input, and {runs[0]} is a run", hint=hint)
    return Path(runs[0])


def make_job(
    run_path: Path,
    credentials: CredentialMap,
    base_url: str | None,
    settings: Settings,
    **streams: Any,
) -> Job:
    """A job on the host that the flag or the environment names."""
    base = resolve_base_url(base_url, os.environ)
    memory = LimitsMemory(state_path(os.environ))
    job = Job(run_path, settings, credentials, base, memory=memory, **streams)
    if settings.processes == 1:
        return job
    from bulkipacl.cluster.cluster import open_cluster

    return replace(job, spread=open_cluster)


def _max_deletes(texts: Sequence[str] | None) -> tuple[int | None, float | None]:
    """`--max-deletes`: once as a count, once as a share; the last of each holds."""
    count, percent = None, None
    for text in texts or ():
        one_count, one_percent = parse_share("--max-deletes", text)
        count = count if one_count is None else one_count
        percent = percent if one_percent is None else one_percent
    return count, percent


def _share(text: str | None) -> tuple[int | None, float | None]:
    return (None, None) if text is None else parse_share("--max-failures", text)
