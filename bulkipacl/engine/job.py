"""What a job is asked to do, and who is told while it happens.

Inputs      where rows come from, and what holds for those that do not say it
Job         settings, credentials, where reports go
Spread      spreads it over processes
Observer    the command line, or a test
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from bulkipacl.credentials import CredentialMap
from bulkipacl.engine.sender import OnEnded, Sender
from bulkipacl.errors import BulkError, UsageError
from bulkipacl.intake import Defaults, Source, near_misses, open_source
from bulkipacl.model import Draft, Learnt, Problem, SourceInfo
from bulkipacl.settings import DEFAULT_BASE_URL, Settings
from bulkipacl.store.limits import LimitsMemory
from bulkipacl.store.rundir import RunDirectory
from bulkipacl.twilio.hosts import BaseUrl

KEPT_NAMES = ("run.sqlite", "report.csv", "rejects.csv")
"""What every run directory holds."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Where rows come from.

    Attributes:
        files: paths; `-` is standard input.
        defaults: what holds for rows that do not say it.
        format: the inputs' format, where it is not to be recognised.
        stdin: for `-`.
    """

    files: Sequence[str]
    defaults: Defaults
    format: str | None = None
    stdin: BinaryIO | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """What to do.

    Attributes:
        reports: further reports to write at the end; the ending says the format.
        stream: takes JSON Lines of rows as they end, or None.
        stdout: for a report to `-`.
        memory: where what is found out about accounts' limits is kept for the next run, or None.
        spread: spreads it over processes, or None.
    """

    run_path: Path
    settings: Settings
    credentials: CredentialMap
    base: BaseUrl
    reports: Sequence[str] = ()
    stream: Callable[[bytes], object] | None = None
    stdout: BinaryIO | None = None
    memory: LimitsMemory | None = None
    spread: Spread | None = None


class Spread(Protocol):
    """Opens what carries a run out in several processes."""

    def __call__(
        self,
        directory: RunDirectory,
        job: Job,
        learnt: Mapping[str, Learnt],
        on_ended: OnEnded | None,
        *,
        is_input_open: bool,
    ) -> Sender | None:
        """The sender; None where one process does as well."""


class Observer(Protocol):
    """Who is told while it happens."""

    def taken_in(self, rows: int) -> None:
        """So many rows are in the store."""

    def problem(self, source: str, line: int, problem: Problem) -> None:
        """Something is wrong with a row of the input."""

    def cut_off(self, error: BulkError) -> None:
        """The input cannot be read on; what came before is carried out."""

    def checked(self, rows: int, invalid: int) -> None:
        """The input is complete."""

    def sending(self, engine: Sender, rows: int | None) -> None:
        """Sending begins; `rows` None: more arrive."""

    def stopping(self, signals: int) -> None:
        """The n-th signal to stop has come; after `ended`: while the reports are written."""

    def ended(self) -> None:
        """Sending has ended."""


def resume_command(job: Job) -> str:
    """The command that carries the run of a job on."""
    return command_of(job, "resume")


def command_of(job: Job, verb: str) -> str:
    """The command that does this with the run of a job, on the same host as the same account."""
    words = ["bulkipacl", verb, str(job.run_path)]
    if job.credentials.file is not None:
        words += ["--credentials", str(job.credentials.file)]
    if job.base.origin != DEFAULT_BASE_URL:
        words += ["--base-url", job.base.origin]
    return shlex.join(words)


def check_outputs(outputs: Sequence[str | None], files: Sequence[str], run_path: Path) -> None:
    """Refuse outputs that would overwrite an input, each other, or what the run keeps.

    Raises:
        UsageError: two of them are one file, or the directory of one is not there.
    """
    kept = {os.path.realpath(run_path / name): f"{name} of the run" for name in KEPT_NAMES}
    inputs = {os.path.realpath(path): path for path in files if path != "-"}
    for real in kept.keys() & inputs.keys():
        raise UsageError(
            f"{kept[real]} would overwrite the input {inputs[real]}",
            hint="name another directory with --run",
        )
    seen = kept | {real: f"the input {path}" for real, path in inputs.items()}
    for path in outputs:
        if path is None or path == "-":
            continue
        real = os.path.realpath(path)
        if not Path(real).parent.is_dir():
            raise UsageError(f"{path}: there is no such directory", hint="make it first")
        if real in seen and not real.startswith("/dev/"):
            raise UsageError(
                f"{path} would overwrite {seen[real]}", hint="name another file for it"
            )
        seen[real] = f"the output {path}"


def open_input(inputs: Inputs, path: str, first_row: int) -> Source:
    """Open one of the inputs; `first_row` is the number of its first row in the run."""
    return open_source(
        path, inputs.defaults, format=inputs.format, stdin=inputs.stdin, first_row=first_row
    )


def info_of(source_id: int, source: Source) -> SourceInfo:
    """What the store keeps of an input."""
    return SourceInfo(source_id, source.name, source.format, tuple(source.columns))


def warn_of_columns(observer: Observer, source: Source) -> None:
    """Tell of columns that look like a misspelt one: they would travel, and say nothing."""
    for column, meant in near_misses(source.columns):
        why = f"it is not a column that is understood; is it meant to be {meant}?"
        problem = Problem(column, column, "unknown_column", why, f"call it {meant}", True)
        observer.problem(source.name, 1, problem)


def tell(observer: Observer, source: str, drafts: Sequence[Draft]) -> None:
    """Tell of all problems of these drafts."""
    for draft in drafts:
        for problem in draft.problems:
            observer.problem(source, draft.line, problem)
