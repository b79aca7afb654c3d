"""What each row means against each state of its list, as one table."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from engine_tools import (
    CREATE,
    DELETE,
    UPDATE,
    change,
    create,
    delete,
    entry,
    move,
    remove,
    rename,
    sid_of,
    upsert,
)

from bulkipacl.engine.decide import (
    WAIT,
    Decision,
    ListState,
    Settled,
    Write,
    decide,
    find_ours,
    free_places,
)
from bulkipacl.model import LIST_CAPACITY, Entry, Operation, Outcome, Row

A, B, C = 0xC6336401, 0xC6336402, 0xC6336403
OLD = entry(1, A)
WIDE = entry(2, A, prefix=24)
TWIN = entry(3, A, "twin")
OTHER = entry(4, B)
UNCHANGED, GONE = Outcome.UNCHANGED, Outcome.ALREADY_GONE
REFUSED, FAILED = Outcome.REFUSED, Outcome.FAILED


def creates(name: str, address: int = A, prefix: int = 32) -> Write:
    """A create that is sent."""
    return Write(CREATE, Entry("", address, prefix, name))


def updates(old: Entry, **changes: object) -> Write:
    """An update that is sent."""
    fields = {"address": old.address, "prefix": old.prefix, "name": old.name} | changes
    return Write(UPDATE, Entry(old.sid, *fields.values()), old)  # type: ignore[arg-type]


def deletes(old: Entry) -> Write:
    """A delete that is sent."""
    return Write(DELETE, old, old)


# Each line: a word | what the list holds | the row | what is sent, or (outcome, reason, entry).
TABLE: list[
    tuple[str, tuple[Entry, ...], Row, Write | tuple[Outcome, str, Entry | None]]
] = [
    # create
    ("create, empty list", (), create(1, A), creates("new")),
    ("create, beside another", (OTHER,), create(1, A), creates("new")),
    ("create, no prefix", (), create(1, A, prefix=None), creates("new")),
    ("create, no name", (), create(1, A, None), creates("198.51.100.1/32")),
    ("create, same", (OLD,), create(1, A, "old"), (UNCHANGED, "", OLD)),
    ("create, same, no prefix", (OLD,), create(1, A, "old", None), (UNCHANGED, "", OLD)),
    ("create, same, no name", (OLD,), create(1, A, None), (UNCHANGED, "", OLD)),
    ("create, other name", (OLD,), create(1, A, "new"), (UNCHANGED, "other_name", OLD)),
    ("create, other prefix", (WIDE,), create(1, A, "old"), creates("old")),
    ("create, two, one is the same", (OLD, TWIN), create(1, A, "twin"), (UNCHANGED, "", TWIN)),
    ("create, two of other names", (OLD, TWIN), create(1, A), (UNCHANGED, "other_name", OLD)),
    ("create, block", (OLD,), create(1, A, prefix=24), creates("new", prefix=24)),
    ("create, block, no name", (), create(1, A, None, 24), creates("198.51.100.1/24", prefix=24)),
    ("create, block, same", (OLD, WIDE), create(1, A, "old", 24), (UNCHANGED, "", WIDE)),
    # upsert
    ("upsert, empty list", (), upsert(1, A), creates("new")),
    ("upsert, no name", (), upsert(1, A, None), creates("198.51.100.1/32")),
    ("upsert, same", (OLD,), upsert(1, A, "old"), (UNCHANGED, "", OLD)),
    ("upsert, same, no name", (OLD,), upsert(1, A, None), (UNCHANGED, "", OLD)),
    ("upsert, other name", (OLD,), upsert(1, A, "new"), updates(OLD, name="new")),
    ("upsert, other prefix", (WIDE,), upsert(1, A, "old"), creates("old")),
    ("upsert, two, one is the same", (OLD, TWIN), upsert(1, A, "twin"), (UNCHANGED, "", TWIN)),
    (
        "upsert, two of other names",
        (OLD, TWIN),
        upsert(1, A),
        (REFUSED, "ambiguous_address", OLD),
    ),
    ("upsert, block, other name", (OLD, WIDE), upsert(1, A, "new", 24), updates(WIDE, name="new")),
    # update by the address that it keeps
    ("rename", (OLD, OTHER), rename(1, A, "new"), updates(OLD, name="new")),
    ("rename, same", (OLD,), rename(1, A, "old"), (UNCHANGED, "", OLD)),
    ("rename, not there", (OTHER,), rename(1, A, "new"), (FAILED, "entry_not_found", None)),
    ("rename, other prefix", (WIDE,), rename(1, A, "new"), (FAILED, "entry_not_found", None)),
    ("rename, two", (OLD, TWIN), rename(1, A, "new"), (REFUSED, "ambiguous_address", OLD)),
    ("rename, block", (OLD, WIDE), Row(1, UPDATE, None, A, 24, "new"), updates(WIDE, name="new")),
    # update by another address
    ("move", (OLD,), move(1, A, B), updates(OLD, address=B)),
    ("move and rename", (OLD,), move(1, A, B, "new"), updates(OLD, address=B, name="new")),
    ("move, prefix kept", (entry(1, A),), Row(1, UPDATE, None, B, None, None, A, None),
     updates(OLD, address=B)),
    ("move, new prefix", (OLD,), Row(1, UPDATE, None, A, 24, None, A, 32),
     updates(OLD, prefix=24)),
    ("move, prefix alone", (OLD,), Row(1, UPDATE, None, None, 24, None, A, 32),
     updates(OLD, prefix=24)),
    ("move, name alone", (OLD,), move(1, A, None, "new"), updates(OLD, name="new")),
    ("move, to where it is", (OLD,), move(1, A, A), (UNCHANGED, "", OLD)),
    ("move, taken", (OLD, OTHER), move(1, A, B), (REFUSED, "address_taken", OTHER)),
    ("move, moved before", (OTHER,), move(1, A, B), (UNCHANGED, "", OTHER)),
    ("move, moved before, same name", (OTHER,), move(1, A, B, "old"), (UNCHANGED, "", OTHER)),
    (
        "move, another stands there",
        (OTHER,),
        move(1, A, B, "new"),
        (FAILED, "entry_not_found", None),
    ),
    ("move, nothing anywhere", (), move(1, A, B), (FAILED, "entry_not_found", None)),
    ("move, two", (OLD, TWIN), move(1, A, B), (REFUSED, "ambiguous_address", OLD)),
    ("move, block", (OLD, WIDE), Row(1, UPDATE, None, B, None, None, A, 24),
     updates(WIDE, address=B)),
    ("move, block, moved before", (entry(2, B, prefix=24),),
     Row(1, UPDATE, None, B, None, None, A, 24), (UNCHANGED, "", entry(2, B, prefix=24))),
    ("move, block, new prefix, moved before", (OTHER,), Row(1, UPDATE, None, B, 32, None, A, 24),
     (UNCHANGED, "", OTHER)),
    ("move, prefix alone, moved before", (WIDE,), Row(1, UPDATE, None, None, 24, None, A, 32),
     (UNCHANGED, "", WIDE)),
    # update by sid
    ("change name", (OLD, TWIN), change(1, 1, None, "new"), updates(OLD, name="new")),
    ("change address", (OLD,), change(1, 1, B), updates(OLD, address=B)),
    ("change prefix", (OLD,), Row(1, UPDATE, sid_of(1), None, 24), updates(OLD, prefix=24)),
    ("change nothing", (OLD,), change(1, 1, A, "old"), (UNCHANGED, "", OLD)),
    ("change, no such sid", (OTHER,), change(1, 1, B), (FAILED, "entry_not_found", None)),
    ("change, taken", (OLD, OTHER), change(1, 1, B), (REFUSED, "address_taken", OTHER)),
    # A sid goes before an address that the entry is said to have.
    ("change by sid, match elsewhere", (OLD, OTHER), Row(1, UPDATE, sid_of(1), C, None, None, B),
     updates(OLD, address=C)),
    ("change, no such sid, moved before", (OTHER,), Row(1, UPDATE, sid_of(1), B, None, None, A),
     (FAILED, "entry_not_found", None)),
    # delete
    ("delete", (OLD, OTHER), delete(1, A), deletes(OLD)),
    ("delete, no prefix", (OLD,), delete(1, A, None), deletes(OLD)),
    ("delete, empty list", (), delete(1, A), (GONE, "", None)),
    ("delete, other prefix", (WIDE,), delete(1, A), (GONE, "", None)),
    ("delete, block", (OLD, WIDE), delete(1, A, 24), deletes(WIDE)),
    ("delete, two", (OLD, TWIN), delete(1, A), (REFUSED, "ambiguous_address", OLD)),
    ("delete by sid", (OLD, TWIN), remove(1, 3), deletes(TWIN)),
    ("delete by sid, gone", (OLD,), remove(1, 3), (GONE, "", None)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("held", "row", "meant"), [case[1:] for case in TABLE], ids=[case[0] for case in TABLE]
)
def test_table(
    held: tuple[Entry, ...], row: Row, meant: Write | tuple[Outcome, str, Entry | None]
) -> None:
    """Each row against each state sends what it has to and nothing else."""
    decision = decide(row, ListState(held), free=1, may_wait=False)
    if isinstance(meant, Write):
        assert decision == meant
    else:
        assert isinstance(decision, Settled)
        assert (decision.outcome, decision.reason, decision.entry) == meant


def test_repeats_are_unchanged() -> None:
    """Whatever a row writes, the same row after it has nothing left to write."""
    for word, held, row, meant in TABLE:
        if not isinstance(meant, Write):
            continue
        state = ListState(held)
        if meant.operation is DELETE:
            state.drop(meant.wanted.sid)
        else:
            new = meant.wanted
            state.put(new if new.sid else Entry(sid_of(99), new.address, new.prefix, new.name))
        again = decide(row, state, free=1, may_wait=False)
        assert isinstance(again, Settled), word
        assert again.outcome in (UNCHANGED, GONE), word


@pytest.mark.parametrize("operation", [create, upsert], ids=["create", "upsert"])
@pytest.mark.parametrize(
    ("free", "may_wait", "waits"),
    [
        pytest.param(1, True, False, id="room"),
        pytest.param(0, True, True, id="full, a delete comes"),
        pytest.param(-3, True, True, id="more than full, a delete comes"),
        pytest.param(0, False, False, id="full, no delete comes"),
    ],
)
def test_waiting(
    operation: Callable[[int, int], Row], free: int, may_wait: bool, waits: bool
) -> None:
    """Only a create that finds no room, and has a delete to wait for, waits."""
    state = ListState([entry(n, n + 1_000) for n in range(LIST_CAPACITY)])
    decision: Decision = decide(operation(1, A), state, free=free, may_wait=may_wait)
    assert (decision is WAIT) is waits
    if not waits:
        assert decision == creates("new")


def test_no_room_is_needed() -> None:
    """A row that makes no entry does not wait, however full the list is."""
    state = ListState([OLD, *(entry(n, n + 1_000) for n in range(10, 109))])
    assert free_places(state) == 0
    rows = [create(1, A, "old"), create(1, A, "x"), upsert(1, A, "x"), rename(1, A, "x")]
    for row in [*rows, move(1, A, B), delete(1, A), delete(1, C)]:
        assert decide(row, state, free=0, may_wait=True) is not WAIT


def test_places_may_be_negative() -> None:
    """A list that holds more than is documented has less than no room."""
    assert free_places(ListState()) == LIST_CAPACITY
    assert free_places(ListState([entry(n, n) for n in range(LIST_CAPACITY + 2)])) == -2


def test_near_miss_is_said() -> None:
    """A delete that misses an entry by its prefix alone says which one the list holds."""
    missed = decide(delete(1, A), ListState([WIDE]), free=1, may_wait=False)
    assert isinstance(missed, Settled)
    assert "198.51.100.1/24" in missed.suggestion
    plain = decide(delete(1, C), ListState([WIDE]), free=1, may_wait=False)
    assert isinstance(plain, Settled)
    assert plain.suggestion == ""


OURS = [
    ("nothing", (), set(), None),
    ("elsewhere", (OTHER,), set(), None),
    ("other prefix", (WIDE,), set(), None),
    ("new and the same", (OLD,), set(), (OLD, True)),
    ("known", (OLD,), {OLD.sid}, (OLD, False)),
    ("other name", (TWIN,), set(), (TWIN, False)),
    ("other name and ours", (TWIN, OLD), set(), (OLD, True)),
    ("ours and other name", (OLD, TWIN), set(), (OLD, True)),
    ("known and ours", (OLD, entry(9, A)), {OLD.sid}, (entry(9, A), True)),
]


@pytest.mark.parametrize(
    ("now", "known", "found"), [case[1:] for case in OURS], ids=[case[0] for case in OURS]
)
def test_find_ours(
    now: tuple[Entry, ...], known: set[str], found: tuple[Entry, bool] | None
) -> None:
    """Only a new entry with our address, prefix and name is ours."""
    assert find_ours(Entry("", A, 32, "old"), now, known) == found


def test_state_by_sid_and_by_key() -> None:
    """A state finds entries both ways through every change, double keys included."""
    state = ListState([OLD, TWIN])
    assert state.at((A, 32)) == [OLD, TWIN]
    moved = entry(1, B)
    state.put(moved)
    assert state.at((A, 32)) == [TWIN]
    assert state.at((B, 32)) == [moved]
    assert len(state) == 2
    state.drop(TWIN.sid)
    state.drop(TWIN.sid)
    assert state.at((A, 32)) == []
    assert list(state.entries.values()) == [moved]


def test_operations_are_all_decided() -> None:
    """There is no operation that the table leaves out."""
    assert {row.operation for _, _, row, _ in TABLE} == set(Operation)
