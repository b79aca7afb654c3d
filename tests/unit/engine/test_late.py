"""What is held back for writes that may land late, and what becomes of it."""

from __future__ import annotations

import pytest
from engine_fakes import NO_ANSWER, FakeAccount, FakeList
from engine_tools import CREATE, DELETE, UPDATE, create, entry, remove, rename

from bulkipacl.engine.decide import Write
from bulkipacl.engine.late import Late, is_plain_no
from bulkipacl.engine.repair import Found
from bulkipacl.engine.row import RowWork
from bulkipacl.model import Entry, Operation, Outcome, Row, RowResult

A = 0x14000001
MADE, LATE = entry(8, A, "new"), entry(9, A, "new")
OLD, NEW = entry(1, A), entry(1, A, "new")
LIST = FakeList.sid


def lost_create(of_list: FakeList, *followers: Row) -> RowWork:
    """A create whose answer was lost."""
    row = create(1, A)
    work = RowWork(row, [row, *followers], of_list)
    work.begin(Write(CREATE, Entry("", A, 32, "new")))
    work.answered(NO_ANSWER)
    return work


@pytest.mark.parametrize(
    ("outcome", "attempts", "is_late", "follows", "is_held"),
    [
        (Outcome.CREATED, 1, True, False, True),
        (Outcome.FAILED, 2, True, False, True),
        (Outcome.UNCHANGED, 1, True, False, True),
        (Outcome.UNKNOWN, 1, True, False, False),
        (Outcome.CREATED, 1, False, False, False),
        (Outcome.UPDATED, 1, False, True, True),
        (Outcome.UNCHANGED, 0, False, True, True),
        (Outcome.REFUSED, 0, False, True, True),
        (Outcome.FAILED, 0, False, True, True),
        (Outcome.FAILED, 1, False, True, False),
    ],
)
def test_what_is_held_back(
    outcome: Outcome, attempts: int, is_late: bool, follows: bool, is_held: bool
) -> None:
    """A row with a late write, and what follows it on its entry, but for a plain no of the API."""
    late = Late(5.0)
    work = lost_create(FakeList(FakeAccount()))
    work.follows_held = follows
    if is_late:
        late.add(work, 1.0)
    assert late.has(work) == bool(late) == is_late
    result = RowResult(1, outcome, attempts=attempts)
    assert late.holds_back(work, result) == is_held
    assert late.release() == [result] * is_held
    assert late.release() == []


def test_a_plain_no_was_asked_for() -> None:
    """Only where a request was answered does nothing but the outcome tell of it."""
    assert is_plain_no(RowResult(1, Outcome.FAILED, attempts=1))
    assert not is_plain_no(RowResult(1, Outcome.FAILED))
    assert not is_plain_no(RowResult(1, Outcome.DELETED, attempts=1))


def test_the_last_reading_counts_from_the_last_write() -> None:
    """The settle time runs from when the last of them was given up."""
    late, of_list = Late(5.0), FakeList(FakeAccount())
    late.add(lost_create(of_list), 3.0)
    late.add(lost_create(of_list), 7.0)
    assert late.at == 7.0


def lost_write(operation: Operation, *followers: Row) -> tuple[Late, FakeList, RowWork]:
    """An update or a delete that was given up as failed, its answers lost, with its list."""
    late, of_list = Late(5.0), FakeList(FakeAccount(0), [OLD])
    row = rename(1, A, "new") if operation is UPDATE else remove(1, 1)
    work = RowWork(row, [row, *followers], of_list)
    work.begin(Write(operation, NEW if operation is UPDATE else OLD, OLD))
    work.answered(NO_ANSWER)
    late.add(work, 2.0)
    work.settle([OLD])
    assert late.holds_back(work, of_list.results[-1])
    del work.lane[0]
    return late, of_list, work


@pytest.mark.parametrize(("operation", "now"), [(UPDATE, (NEW,)), (DELETE, ())])
def test_a_failure_that_happened_after_all_is_none(
    operation: Operation, now: tuple[Entry, ...]
) -> None:
    """It is looked for until two settle times are over, and its effect makes it done."""
    late, of_list, _ = lost_write(operation)
    assert late.at == 2.0 + 5.0
    assert late.settle(now, of_list.state, of_list.known, 12.0) == ([], [])
    assert [r.outcome for r in of_list.results] == [Outcome.FAILED, f"{operation.word}d"]
    assert late.release() == []


@pytest.mark.parametrize("operation", [UPDATE, DELETE])
def test_a_failure_that_did_not_happen_stays(operation: Operation) -> None:
    """The list is as it was: it failed, and nothing is put right."""
    late, of_list, _ = lost_write(operation)
    assert late.settle((OLD,), of_list.state, of_list.known, 12.0) == ([], [])
    assert [r.outcome for r in late.release()] == [Outcome.FAILED]


def test_a_late_delete_leaves_open_what_was_decided_without_it() -> None:
    """A later row found what is gone now: nobody may be told that it is there."""
    late, of_list, work = lost_write(DELETE, create(2, A, "old"))
    follows(late, of_list, work, RowResult(2, Outcome.UNCHANGED, None, "", sid=OLD.sid))
    assert late.settle((), of_list.state, of_list.known, 12.0) == ([], [1, 2])
    assert late.release() == []


def test_a_stopped_row_that_is_not_seen_is_looked_for_once_more() -> None:
    """One settle time after it was given up is too early to say that nothing came of it."""
    late, of_list = Late(5.0), FakeList(FakeAccount())
    late.add(lost_create(of_list), 2.0)
    assert late.settle((), of_list.state, of_list.known, 7.0) == ([], [])
    assert (bool(late), late.at) == (True, 7.0)
    assert late.settle((), of_list.state, of_list.known, 12.0) == ([], [])
    assert not late


def test_a_row_stopped_on_its_way_is_recognised() -> None:
    """It has no outcome yet; where its effect can be seen it ends well, and nothing is repaired."""
    late, of_list = Late(5.0), FakeList(FakeAccount())
    late.add(lost_create(of_list), 0.0)
    assert late.settle((MADE,), of_list.state, of_list.known, 5.0) == ([], [])
    assert [(r.outcome, r.sid) for r in of_list.results] == [(Outcome.CREATED, MADE.sid)]
    assert not late


def test_a_row_stopped_on_its_way_that_is_not_seen_stays_open() -> None:
    """Without an effect it gets no outcome: a resume will settle it."""
    late, of_list = Late(5.0), FakeList(FakeAccount())
    late.add(lost_create(of_list), 0.0)
    assert late.settle((), of_list.state, of_list.known, 10.0) == ([], [])
    assert of_list.results == []


def ended(late: Late, of_list: FakeList, work: RowWork, found: Entry | None) -> None:
    """The row reaches its end, which is held back; `found` is the entry that is its own."""
    late.add(work, 0.0)
    if found is not None:
        work.settle([found])
    else:
        work.end(Outcome.FAILED)
    del work.lane[0]
    assert late.holds_back(work, of_list.results[-1])


def test_a_create_given_up_gets_the_entry_that_turns_up() -> None:
    """Its failure is forgotten: it was created after all."""
    late, of_list = Late(5.0), FakeList(FakeAccount())
    ended(late, of_list, lost_create(of_list), None)
    assert late.settle((LATE,), of_list.state, of_list.known, 10.0) == ([], [])
    assert [r.outcome for r in of_list.results] == [Outcome.FAILED, Outcome.CREATED]
    assert of_list.results[-1].sid == LATE.sid
    assert late.release() == []


def follows(late: Late, of_list: FakeList, work: RowWork, result: RowResult) -> None:
    """A later row of the same lane ends, and is held back."""
    row = work.lane[0]
    follower = RowWork(row, work.lane, of_list)
    follower.follows_held = True
    assert late.holds_back(follower, result)
    del work.lane[0]


def test_nothing_is_adopted_where_a_row_followed() -> None:
    """A later row on the entry was decided without it, so what turns up is too much."""
    late, of_list = Late(5.0), FakeList(FakeAccount())
    work = lost_create(of_list, rename(2, A, "x"))
    ended(late, of_list, work, None)
    follows(late, of_list, work, RowResult(2, Outcome.FAILED, reason="entry_not_found"))
    ((found,), _) = late.settle((LATE,), of_list.state, of_list.known, 10.0)
    assert found == Found(1, LATE, Write(DELETE, LATE, LATE))


def test_a_second_entry_is_to_be_removed_and_the_row_says_so() -> None:
    """The row keeps its own entry; what landed beside it is removed, with a note."""
    late, of_list = Late(5.0), FakeList(FakeAccount())
    ended(late, of_list, lost_create(of_list), MADE)
    ((found,), _) = late.settle((MADE, LATE), of_list.state, of_list.known, 10.0)
    assert found == Found(1, LATE, Write(DELETE, LATE, LATE))
    kind, text = late.repaired(found, is_done=True, list_sid=LIST)
    assert kind == "late_duplicate_removed"
    assert all(word in text for word in ("row 1", "20.0.0.1/32", LATE.sid, LIST, "removed"))
    (result,) = late.release()
    assert (result.outcome, result.sid, result.reason) == (Outcome.CREATED, MADE.sid, kind)


def test_an_update_that_was_set_right_says_so() -> None:
    """The note tells an entry set right from one removed."""
    late = Late(5.0)
    found = Found(1, LATE, Write(UPDATE, MADE, LATE))
    kind, text = late.repaired(found, is_done=True, list_sid=LIST)
    assert (kind, text.endswith("was set right")) == ("late_update_undone", True)


def test_what_could_not_be_put_right_leaves_all_of_them_open() -> None:
    """Later rows may rest on what is not so: none of the held outcomes is told."""
    late, of_list = Late(5.0), FakeList(FakeAccount())
    ended(late, of_list, lost_create(of_list), MADE)
    ((found,), _) = late.settle((MADE, LATE), of_list.state, of_list.known, 10.0)
    kind, text = late.repaired(found, is_done=False, list_sid=LIST)
    assert kind == "late_left"
    assert "resume" in text
    assert late.drop() == [1]
    assert late.release() == []


def test_a_last_reading_that_failed_leaves_all_of_them_open() -> None:
    """Nothing is told of rows that could not be settled."""
    late, of_list = Late(5.0), FakeList(FakeAccount())
    ended(late, of_list, lost_create(of_list), MADE)
    assert late.drop() == [1]
    assert not late
    assert late.release() == []
