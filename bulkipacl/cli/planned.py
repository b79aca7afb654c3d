"""What a plan is shown by; for every verb that makes one. Not a verb itself."""

from __future__ import annotations

import sys

import orjson

from bulkipacl.cli.terminal import end
from bulkipacl.engine import plan as library
from bulkipacl.engine.job import Job, command_of
from bulkipacl.engine.planning import PLANNED
from bulkipacl.errors import UsageError
from bulkipacl.model import Summary
from bulkipacl.report import printable
from bulkipacl.report.plan import (
    change_json,
    change_text,
    plan_exit_code,
    plan_json,
    plan_markdown,
    plan_text,
)


def show(
    job: Job,
    summary: Summary,
    *,
    as_json: bool = False,
    as_markdown: bool = False,
    with_changes: bool = False,
    is_detailed: bool = False,
) -> int:
    """Print a plan on stdout, and on stderr the command that applies it; returns the exit code.

    Args:
        summary: what making it came to. Where that did not come to its end, that is shown instead.
        with_changes: each row, too.
        is_detailed: 4 where there are changes.

    Raises:
        UsageError: it is to be shown in two ways at once.
    """
    if as_json and as_markdown:
        raise UsageError("--json and --markdown both want stdout", hint="give one of them")
    if summary.ending != PLANNED:
        return end(summary, as_json=as_json)
    view = library.view(job.run_path, job=job)
    out = sys.stdout
    if as_json:
        text = orjson.dumps(plan_json(view)).decode()
        out.write(text[:-1] if with_changes else f"{text}\n")
    else:
        out.write(plan_markdown(view) if as_markdown else plan_text(view))
    if with_changes:
        _write_changes(job, as_json=as_json, as_markdown=as_markdown)
    out.flush()
    sys.stderr.write(f"{'apply':<8} {printable(command_of(job, 'apply'))}\n")
    return plan_exit_code(view, is_detailed=is_detailed)


def _write_changes(job: Job, *, as_json: bool, as_markdown: bool) -> None:
    """Each change as it comes: there can be millions."""
    out = sys.stdout
    found = library.changes(job.run_path)
    if as_json:
        out.write(',"changes":[')
        for count, change in enumerate(found):
            out.write(("," if count else "") + orjson.dumps(change_json(change)).decode())
        out.write("]}\n")
        return
    out.write("\n```\n" if as_markdown else "\n")
    for change in found:
        # No name can end the block of a Markdown page.
        out.write(change_text(change).replace("```", "'''") + "\n")
    out.write("```\n" if as_markdown else "")
