"""What a round that was cut off has done, told from the list alone."""

from __future__ import annotations

import pytest
from engine_tools import (
    DELETE,
    UPDATE,
    change,
    create,
    delete,
    entry,
    move,
    remove,
    rename,
    upsert,
)

from bulkipacl.engine.decide import Settled, Write
from bulkipacl.engine.resume import settle_prior
from bulkipacl.model import Entry, Outcome, Row

A, B, C = 1, 2, 3
OLD = entry(1, A)
NEW = entry(9, A, "new")

# Each line: a word | the list before | rows without an outcome | the list now | those now done.
TABLE: list[tuple[str, list[Entry], list[Row], list[Entry], list[int]]] = [
    ("nothing", [], [], [], []),
    ("create, not done", [], [create(1, A)], [], []),
    ("create, done", [], [create(1, A)], [NEW], [1]),
    ("create, another stands there", [], [create(1, A)], [entry(9, A, "theirs")], []),
    ("create, one of two", [], [create(1, A), create(2, B)], [entry(9, B, "new")], [2]),
    ("upsert, done", [OLD], [upsert(1, A)], [entry(1, A, "new")], [1]),
    ("upsert, not done", [OLD], [upsert(1, A)], [OLD], []),
    ("update, done", [OLD], [rename(1, A, "new")], [entry(1, A, "new")], [1]),
    ("update, not done", [OLD], [rename(1, A, "new")], [OLD], []),
    ("update, somebody else's", [OLD], [rename(1, A, "new")], [entry(1, A, "theirs")], []),
    ("update, deleted by another", [OLD], [rename(1, A, "new")], [], []),
    ("delete, done", [OLD], [delete(1, A)], [], [1]),
    ("delete, not done", [OLD], [delete(1, A)], [OLD], []),
    ("delete by sid, done", [OLD], [remove(1, 1)], [], [1]),
    ("move, done", [OLD], [move(1, A, B)], [entry(1, B)], [1]),
    ("change by sid, done", [OLD], [change(1, 1, B, "x")], [entry(1, B, "x")], [1]),
    # Several rows on one entry: what is done is a beginning of them.
    ("two names, none", [OLD], [rename(1, A, "b"), rename(2, A, "c")], [OLD], []),
    ("two names, one", [OLD], [rename(1, A, "b"), rename(2, A, "c")], [entry(1, A, "b")], [1]),
    ("two names, both", [OLD], [rename(1, A, "b"), rename(2, A, "c")], [entry(1, A, "c")], [1, 2]),
    ("there and back", [OLD], [rename(1, A, "b"), rename(2, A, "old")], [OLD], []),
    ("delete and create, one", [OLD], [delete(1, A), create(2, A)], [], [1]),
    ("delete and create, both", [OLD], [delete(1, A), create(2, A)], [NEW], [1, 2]),
    ("create and delete", [], [create(1, A), delete(2, A)], [], []),
    ("create and delete, one", [], [create(1, A), delete(2, A)], [NEW], [1]),
    ("create and rename", [], [create(1, A, "a"), upsert(2, A)], [NEW], [1, 2]),
    ("create and move", [], [create(1, A), move(2, A, B)], [entry(9, B, "new")], [1, 2]),
    ("unchanged before the last", [OLD], [create(1, A, "old"), delete(2, A)], [], [1, 2]),
    ("unchanged after the last", [OLD], [rename(1, A, "x"), create(2, A, "x")],
     [entry(1, A, "x")], [1]),
    ("create, delete, create, none", [], [create(1, A), delete(2, A), create(3, A)], [], []),
    # One create or both: the list looks the same, and the fewest rows are said to be done.
    ("create, delete, create", [], [create(1, A), delete(2, A), create(3, A)], [NEW], [1]),
    ("create, delete, other create", [], [create(1, A), delete(2, A), create(3, A, "last")],
     [entry(9, A, "last")], [1, 2, 3]),
    ("a repeat after the last", [], [create(1, A), create(2, A)], [NEW], [1]),
    ("a repeat before the last", [], [create(1, A), create(2, A), rename(3, A, "last")],
     [entry(9, A, "last")], [1, 2, 3]),
    ("landed twice", [], [create(1, A)], [NEW, entry(8, A, "new")], [1]),
    ("done beside a stranger", [], [create(1, A)], [entry(7, A, "theirs"), NEW], [1]),
    ("two lanes, one each", [OLD], [rename(1, A, "b"), create(2, B), rename(3, A, "c"),
     delete(4, B)], [entry(1, A, "b"), entry(9, B, "new")], [1, 2]),
    ("a chain of moves", [OLD], [move(1, A, B), move(2, B, C)], [entry(1, C)], [1, 2]),
    ("a chain of moves, one", [OLD], [move(1, A, B), move(2, B, C)], [entry(1, B)], [1]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "rows", "now", "done"),
    [case[1:] for case in TABLE],
    ids=[case[0] for case in TABLE],
)
def test_table(before: list[Entry], rows: list[Row], now: list[Entry], done: list[int]) -> None:
    """The shortest beginning of the rows that explains the list is taken as done."""
    known = {held.sid for held in before}
    assert [row.number for row, _ in settle_prior(rows, before, now, known)] == done


def test_known_entries_are_not_ours() -> None:
    """An entry that a recorded row made is not made once more by another row."""
    assert settle_prior([create(2, A)], [], [NEW], {NEW.sid}) == []


def test_writes_are_told() -> None:
    """A created row gets the sid that its entry has now; a changed one what it wrote."""
    done = settle_prior([create(1, B)], [OLD], [OLD, entry(9, B, "new")], {OLD.sid})
    (step,) = [step for _, step in done]
    assert isinstance(step, Write)
    assert step.wanted == entry(9, B, "new")
    (step,) = [
        step for _, step in settle_prior([rename(1, A, "x")], [OLD], [entry(1, A, "x")], {OLD.sid})
    ]
    assert step == Write(UPDATE, entry(1, A, "x"), OLD)
    (step,) = [step for _, step in settle_prior([delete(1, A)], [OLD], [], {OLD.sid})]
    assert step == Write(DELETE, OLD, OLD)


def test_no_thought_of_sid_gets_out() -> None:
    """What was made and is gone again has no sid, and least of all an invented one."""
    rows = [create(1, A), delete(2, A), create(3, A, "last")]
    done = settle_prior(rows, [], [entry(9, A, "last")], set())
    assert [row.number for row, _ in done] == [1, 2, 3]
    sids = [step.wanted.sid for _, step in done if isinstance(step, Write)]
    assert sids == ["", "", entry(9, A).sid]


def test_rows_that_wrote_nothing_are_said_to() -> None:
    """A row before the last one done that had nothing to write ends as it would have."""
    done = settle_prior([create(1, A, "x"), delete(2, A)], [OLD], [], {OLD.sid})
    assert isinstance(done[0][1], Settled)
    assert (done[0][1].outcome, done[0][1].reason) == (Outcome.UNCHANGED, "other_name")


def test_a_repeat_gets_the_real_entry() -> None:
    """A row that found what an earlier one had made ends with that entry's sid, as it is now."""
    rows = [create(1, A), create(2, A), rename(3, A, "last")]
    done = settle_prior(rows, [], [entry(9, A, "last")], set())
    assert [type(step) for _, step in done] == [Write, Settled, Write]
    repeat = done[1][1]
    assert isinstance(repeat, Settled)
    assert repeat.outcome is Outcome.UNCHANGED
    assert repeat.entry is not None
    assert repeat.entry.sid == entry(9, A).sid
