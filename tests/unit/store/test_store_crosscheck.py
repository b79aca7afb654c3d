"""Which lists are looked at when rows are checked against each other, and what is kept of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from store_tools import AL1, AL2, BAD, SOURCE, draft, make, record, sid_of

from bulkipacl.model import Draft, Operation, Outcome, SourceInfo
from bulkipacl.store import views
from bulkipacl.store.crosscheck import cross_check, index_rows
from bulkipacl.store.intake import Intake
from bulkipacl.store.rundir import RunDirectory

UPDATE, DELETE, UPSERT = Operation.UPDATE, Operation.DELETE, Operation.UPSERT
NET = 0xC6336400  # 198.51.100.0


def many(count: int, operation: Operation = Operation.CREATE, start: int = 0) -> list[Draft]:
    """Rows on different addresses."""
    return [draft(NET + n, operation=operation) for n in range(start, start + count)]


# Each line: a word | the rows of a list | the (row, reason) of what is said about them.
TABLE: list[tuple[str, list[Draft], list[tuple[int, str]]]] = [
    ("nothing", [], []),
    ("one row", [draft()], []),
    ("different addresses", [draft(1), draft(2)], []),
    ("neighbouring blocks", [draft(NET, prefix=25), draft(NET + 128, prefix=25)], []),
    ("repeat", [draft(1), draft(1)], [(2, "repeat")]),
    ("repeat, far apart", [draft(1), *many(50), draft(1)], [(52, "repeat")]),
    ("contradiction", [draft(1), draft(1, name="b")], [(2, "contradiction")]),
    ("two operations", [draft(1, operation=DELETE), draft(1)], []),
    ("repeated delete", [draft(1, operation=DELETE, name=None)] * 2, [(2, "repeat")]),
    ("repeated delete by sid",
     [draft(None, operation=DELETE, sid=sid_of(1), prefix=None, name=None)] * 2, [(2, "repeat")]),
    ("deletes of two sids",
     [draft(None, operation=DELETE, sid=sid_of(n), prefix=None, name=None) for n in (1, 2)], []),
    ("repeated change by sid", [draft(None, operation=UPDATE, sid=sid_of(1), prefix=None)] * 2,
     [(2, "repeat")]),
    ("repeated move", [draft(5, operation=UPDATE, prefix=None, match=9)] * 2, [(2, "repeat")]),
    ("repeated rename of a match",
     [draft(None, operation=UPDATE, prefix=None, name="b", match=9)] * 2, [(2, "repeat")]),
    ("repeated upsert", [draft(1, operation=UPSERT)] * 2, [(2, "repeat")]),
    ("inside a block", [draft(NET, prefix=24), draft(NET + 7)], [(2, "overlap")]),
    ("inside a block, first", [draft(NET + 7), draft(NET, prefix=24)], [(1, "overlap")]),
    ("same start", [draft(NET, prefix=24), draft(NET, prefix=25)], [(2, "overlap")]),
    ("inside a block with host bits", [draft(NET + 200, prefix=24), draft(NET + 7)],
     [(2, "overlap")]),
    ("two blocks with host bits", [draft(NET + 200, prefix=24), draft(NET + 100, prefix=25)],
     [(2, "overlap")]),
    ("everything", [draft(0, prefix=1), draft(7)], [(2, "overlap")]),
    ("a delete inside a block", [draft(NET, prefix=24), draft(NET + 7, operation=DELETE)], []),
    ("a hundred creates", many(100), []),
    ("a hundred and one", many(101), [(101, "too_many_creates")]),
    ("a hundred and one upserts", many(101, UPSERT), [(101, "too_many_creates")]),
    ("creates and upserts", [*many(60), *many(60, UPSERT, 60)],
     [(n, "too_many_creates") for n in range(101, 121)]),
    ("a delete makes room", [*many(100), draft(NET, operation=DELETE), *many(1, start=100)], []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("drafts", "said"), [case[1:] for case in TABLE], ids=[case[0] for case in TABLE]
)
def test_table(tmp_path: Path, drafts: list[Draft], said: list[tuple[int, str]]) -> None:
    """Every list that has something to say is found, whatever the others of the run are."""
    quiet = [draft(NET + n, acl=AL2) for n in range(20)]
    numbered = [one._replace(line=n) for n, one in enumerate([*drafts, *quiet], start=1)]
    with make(tmp_path, numbered) as run:
        index_rows(run)
        index_rows(run)  # Once is enough.
        assert [(line, problem.reason) for _, line, problem in cross_check(run)] == said


def test_a_list_is_checked_by_itself(tmp_path: Path) -> None:
    """The same address in two lists is nobody's repeat."""
    with make(tmp_path, [draft(1), draft(1, acl=AL2), draft(1, account="AC" + "9" * 32)]) as run:
        assert list(cross_check(run)) == []


def test_errors_become_outcomes(tmp_path: Path) -> None:
    """A row that contradicts another one is invalid afterwards; a warning changes nothing."""
    drafts = [draft(1), draft(1, name="b"), draft(1), draft(2)]
    with make(tmp_path, drafts) as run:
        reasons = [problem.reason for _, _, problem in cross_check(run)]
        assert reasons == ["contradiction", "repeat"]
        outcomes = [one.result.outcome for one in views.records(run)]
        assert outcomes == [
            Outcome.NOT_ATTEMPTED, Outcome.INVALID, Outcome.NOT_ATTEMPTED, Outcome.NOT_ATTEMPTED,
        ]  # fmt: skip
        assert [row.number for row in views.rows_to_do(run, 1, 9)] == [1, 3, 4]
        assert list(views.invalid_rows(run)) == [2]


def test_invalid_rows_take_no_part(tmp_path: Path) -> None:
    """A row that is not sent neither repeats nor contradicts one that is."""
    drafts = [draft(1, name="b", problems=(BAD,)), draft(1)]
    with make(tmp_path, drafts) as run:
        assert list(cross_check(run)) == []


def test_a_contradiction_stays_one(tmp_path: Path) -> None:
    """An outcome that a row has already is not replaced by a check made once more."""
    with make(tmp_path, [draft(1), draft(1, name="b")]) as run:
        list(cross_check(run))
        first = next(iter(views.records(run, [2]))).result
        list(cross_check(run))
        assert next(iter(views.records(run, [2]))).result == first
        record(run, 1)
        assert views.summary(run).outcomes[Outcome.INVALID] == 1


def test_places_are_said_by_source(tmp_path: Path) -> None:
    """A problem between two files is said at the line of the later row, in its own file."""
    other = SourceInfo(2, "more.csv", "csv", ())
    with RunDirectory.create(tmp_path) as run:
        intake = Intake(run)
        for source in (SOURCE, other):
            for _ in intake.take(source, [draft(1, line=source.id * 10, acl=AL1)]):
                pass
        found = [(source, line) for source, line, _ in cross_check(run)]
    assert found == [(other, 20)]
