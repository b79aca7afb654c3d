"""Run directories in a few lines, for the tests of the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from bulkipacl.model import Draft, Entry, Operation, Outcome, Problem, RowResult, SourceInfo
from bulkipacl.store.intake import Intake
from bulkipacl.store.journal import Batch, KeptSnapshot, commit
from bulkipacl.store.rundir import RunDirectory

AC1, AC2 = "AC" + "1" * 32, "AC" + "2" * 32
AL1, AL2 = "AL" + "1" * 32, "AL" + "2" * 32
SOURCE = SourceInfo(1, "rows.csv", "csv", ("ip", "name"))
BAD = Problem("ip_address", "x", "bad_address", "this is no address", "write 198.51.100.1")


def sid_of(number: int) -> str:
    """An entry's sid."""
    return f"IP{number:032x}"


def draft(
    address: int | None = 1,
    *,
    line: int = 1,
    operation: Operation = Operation.CREATE,
    account: str = AC1,
    acl: str = AL1,
    list_name: str = "",
    sid: str | None = None,
    prefix: int | None = 32,
    name: str | None = "a",
    match: int | None = None,
    problems: tuple[Problem, ...] = (),
) -> Draft:
    """A record as intake understood it."""
    return Draft(
        line, int(operation), account, acl, list_name, sid, address, prefix, name,
        match, None if match is None else 32, b"[]", problems,
    )  # fmt: skip


def take(run: RunDirectory, drafts: Iterable[Draft], source: SourceInfo = SOURCE) -> Intake:
    """Take drafts in."""
    intake = Intake(run)
    for _ in intake.take(source, drafts):
        pass
    return intake


def make(path: Path, drafts: Iterable[Draft]) -> RunDirectory:
    """A run with these rows."""
    run = RunDirectory.create(path)
    take(run, drafts)
    return run


def ended(*numbers: int, outcome: Outcome = Outcome.CREATED) -> list[RowResult]:
    """Rows that ended in the same way."""
    return [RowResult(number, outcome) for number in numbers]


def record(run: RunDirectory, *numbers: int, outcome: Outcome = Outcome.CREATED) -> None:
    """Commit how rows ended."""
    commit(run, Batch(results=ended(*numbers, outcome=outcome)))


def snapshot(
    list_id: int, round_number: int, last_row: int, entries: Sequence[Entry] = ()
) -> KeptSnapshot:
    """A snapshot to be kept."""
    return KeptSnapshot(list_id, round_number, 1.5, last_row, tuple(entries))
