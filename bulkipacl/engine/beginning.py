"""What has to be true before anything is sent, and what is kept of a run from its beginning.

check_reports, check_inputs   what can be refused before a run directory is made
check_host, resolve_credentials   whom it is sent to, and as whom
describe_run   what the run is
"""

from __future__ import annotations

import shlex
import time
import uuid
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import orjson

from bulkipacl import __version__
from bulkipacl.engine.admission import note_overrides
from bulkipacl.engine.job import Inputs, Job, resume_command
from bulkipacl.engine.planning import MADE, MAKING
from bulkipacl.errors import CredentialError, UsageError
from bulkipacl.intake import open_source
from bulkipacl.report import check_report_path
from bulkipacl.store import views
from bulkipacl.store.rundir import RunDirectory


def check_reports(job: Job) -> None:
    """Refuse reports that could not be written, before a run directory is made for them."""
    for path in job.reports:
        check_report_path(path)


def check_inputs(inputs: Inputs) -> None:
    """Refuse inputs that cannot be opened, before a run directory is made for them."""
    for path in inputs.files:
        if path != "-":
            open_source(path, inputs.defaults, format=inputs.format).close()


def resolve_credentials(job: Job, run: RunDirectory) -> None:
    """Find out now, and not in the middle, that an account has no credential."""
    try:
        job.credentials.resolve(sid for _, sid in views.accounts(run))
    except CredentialError as exc:
        then = f"then: {_goes_on_with(job, run)}"
        hint = f"{exc.hint}; {then}" if exc.hint else f"mend it; {then}"
        raise CredentialError(exc.message, hint=hint) from exc


def check_host(run: RunDirectory, job: Job) -> None:
    """Refuse to send a run elsewhere than it was sent, or planned.

    Raises:
        UsageError: the job is for another host.
    """
    sent_to = views.get_meta(run, "base_url")
    if sent_to != job.base.origin:
        # The credential goes where the person at the keyboard says, not where a file does.
        raise UsageError(
            f"this run was sent to {sent_to}, and not to {job.base.origin}",
            hint=f"give --base-url {sent_to}, if you trust that host with your credential",
        )


def describe_run(
    run: RunDirectory,
    job: Job,
    command: str,
    streamed: Sequence[str] = (),
    facts: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Keep what the run is.

    Args:
        streamed: the inputs that are taken in while rows are sent.
        facts: more of them.
    """
    names = [path.encode("utf-8", "replace").decode() for path in streamed]
    views.set_meta(
        run,
        {
            "id": uuid.uuid4().hex,
            "command": command,
            "is_streamed": "yes" if streamed else "no",
            "inputs": orjson.dumps(names).decode(),
            "version": __version__,
            "created_at": repr(time.time()),
            "settings": orjson.dumps(job.settings.as_dict()).decode(),
            "base_url": job.base.origin,
            **facts,
        },
    )
    note_overrides(run, job.settings)


def _goes_on_with(job: Job, run: RunDirectory) -> str:
    state = views.get_meta(run, "plan")
    if state == MADE:
        return shlex.join(["bulkipacl", "apply", str(job.run_path)])
    return "plan it again" if state == MAKING else resume_command(job)
