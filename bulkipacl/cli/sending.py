"""What the verbs that send have in common: settings from flags, and a job.

Not a verb itself, and no logic: it puts together what the library takes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bulkipacl.credentials import CredentialMap
from bulkipacl.engine.job import Job
from bulkipacl.settings import (
    Settings,
    parse_duration,
    parse_headroom,
    parse_processes,
    parse_share,
)
from bulkipacl.store.limits import LimitsMemory, state_path
from bulkipacl.twilio.hosts import resolve_base_url

PER_SESSION = ("deadline_s", "max_failures", "max_failures_percent", "tls_ca_file", "processes")
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
    if timeout_s is not None:
        connect_s = min(timeout_s, Settings().connect_timeout_s)
        flags |= {"timeout_s": timeout_s, "read_timeout_s": timeout_s}
        flags["connect_timeout_s"] = connect_s
    flags |= {
        "max_failures": count,
        "max_failures_percent": percent,
        "deadline_s": None if deadline is None else parse_duration("--deadline", deadline),
        "headroom": None if headroom is None else parse_headroom("--headroom", headroom),
        "processes": None if processes is None else parse_processes("--processes", processes),
        "tls_ca_file": None if ca_file is None else str(ca_file),
    }
    kept = {name: value for name, value in saved.items() if name not in PER_SESSION}
    return Settings(**kept | {name: value for name, value in flags.items() if value is not None})


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


def _share(text: str | None) -> tuple[int | None, float | None]:
    return (None, None) if text is None else parse_share("--max-failures", text)
