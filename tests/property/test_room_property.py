"""Lists near their capacity: what fits one row after the other fits at once, too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from test_decide_property import (
    CREATE,
    DELETE,
    UPDATE,
    UPSERT,
    Carrier,
    Held,
    content,
    rows_of,
    sid_of,
)

from bulkipacl.engine.lanes import split_into_lanes
from bulkipacl.model import GOOD_OUTCOMES, Entry, Outcome, Row

TIMES = 12
FULL = (Outcome.FAILED, "full")
Case = tuple[list[Entry], list[Row]]


def entries_at(*addresses: int) -> list[Entry]:
    """A list that holds these addresses."""
    return [Entry(sid_of(n), address, 32, "a") for n, address in enumerate(addresses, start=1)]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A few addresses of which some are there, and rows that come back to them."""
    held = entries_at(*draw(st.lists(st.integers(1, 4), max_size=4, unique=True)))
    return held, draw(rows_of(held, most=12))


@st.composite
def turnovers(draw: st.DrawFn) -> Case:
    """Many addresses, created, deleted and renamed in any order."""
    held = entries_at(*range(1, draw(st.integers(1, 5)) + 1))
    rows = []
    for number in range(1, draw(st.integers(2, 14)) + 1):
        address = draw(st.integers(1, 9))
        kind = draw(st.sampled_from(["create", "create", "delete", "rename", "upsert"]))
        operation = {"create": CREATE, "delete": DELETE, "rename": UPDATE, "upsert": UPSERT}[kind]
        name = None if operation is DELETE else draw(st.sampled_from(["a", "b"]))
        rows.append(Row(number, operation, None, address, 32, name))
    return held, rows


def one_by_one(case: Case, capacity: int, order: Sequence[Row]) -> Carrier:
    """One row after the other, in this order; cases in which a row finds no room are left out."""
    carrier = Carrier(Held(case[0], capacity), Random(0))
    for row in order:
        carrier.run([row])
    assume(FULL not in carrier.ended.values())
    return carrier


def interleavings(
    case: Case, capacity: int, seed: int, *, no_gap: bool = False
) -> Iterator[Carrier]:
    """The rows at once, several times over: what overtakes what is another draw each time."""
    entries, rows = case
    for nth in range(TIMES):
        yield Carrier(Held(entries, capacity), Random(seed + nth), no_gap).run(rows)


HELD_UP: Case = (
    entries_at(1, 2),
    [
        Row(1, UPDATE, None, 3, None, None, 1, 32),
        Row(2, CREATE, None, 1, 32, "a"),
        Row(3, DELETE, None, 2, 32),
        Row(4, CREATE, None, 4, 32, "a"),
    ],
)
"""With one place free: the last create must not take it from the one that waits for the move."""


@settings(max_examples=150, deadline=None)
@given(case=cases() | turnovers(), seed=st.integers(0, 10**6), room=st.integers(0, 2))
@example(case=HELD_UP, seed=0, room=1)
def test_what_fits_in_row_order_fits_at_once(case: Case, seed: int, room: int) -> None:
    """Rows that fit one after the other end the same way, whatever overtakes what."""
    entries, rows = case
    capacity = len(entries) + room
    kept = {entry.sid for entry in entries}
    plain = one_by_one(case, capacity, rows)
    for carried in interleavings(case, capacity, seed):
        assert carried.ended == plain.ended
        assert not carried.forced
        assert content([*carried.held.entries.values()], kept) == content(
            [*plain.held.entries.values()], kept
        )


@settings(max_examples=70, deadline=None)
@given(case=cases() | turnovers(), seed=st.integers(0, 10**6), room=st.integers(0, 3))
def test_what_fits_without_a_gap_fits_at_once(case: Case, seed: int, room: int) -> None:
    """With no gap allowed, the order is that of the rows, but for deletes and what follows them."""
    entries, rows = case
    capacity = len(entries) + room
    behind = set()
    for lane in split_into_lanes(rows, entries):
        first = min((row.number for row in lane if row.operation is DELETE), default=len(rows) + 1)
        behind |= {row.number for row in lane if row.number >= first}
    plain = one_by_one(
        case, capacity, sorted(rows, key=lambda row: (row.number in behind, row.number))
    )
    makes = [row.number for row in rows if row.operation in (CREATE, UPSERT)]
    assume(all(plain.ended[number][0] in GOOD_OUTCOMES for number in makes))
    for carried in interleavings(case, capacity, seed, no_gap=True):
        assert carried.ended == plain.ended
        assert not carried.forced


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 8), rng=st.randoms(use_true_random=False), room=st.integers(8, 12))
def test_far_from_the_limit_nothing_waits(count: int, rng: Random, room: int) -> None:
    """While there is room for every create, each is sent as soon as its own entry lets it."""
    entries = entries_at(1, 2)
    rows = [Row(n, CREATE, None, 10 + n, 32, "a") for n in range(1, count + 1)]
    carrier = Carrier(Held(entries, len(entries) + room), rng)
    carrier.run(rows)
    assert not carrier.waited
