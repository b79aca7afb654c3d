"""Rows of one list in any interleaving, against a list that does as it is told.

Held       what the API holds, as a dict
Carrier    carries rows out lane by lane, as the engine does, in an order drawn at random
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from bulkipacl.engine.decide import Decision, ListState, Settled, Wait, Write, decide
from bulkipacl.engine.lanes import split_into_lanes
from bulkipacl.engine.order import Order
from bulkipacl.model import GOOD_OUTCOMES, Entry, Operation, Outcome, Row

CREATE, UPDATE = Operation.CREATE, Operation.UPDATE
DELETE, UPSERT = Operation.DELETE, Operation.UPSERT
DONE = {CREATE: Outcome.CREATED, UPDATE: Outcome.UPDATED, DELETE: Outcome.DELETED}
NAMES = ["a", "b", "c"]
Ended = tuple[Outcome, str]
Content = Counter[tuple[str, int, int, str]]


def sid_of(number: int) -> str:
    """An entry's sid."""
    return f"IP{number:032x}"


def content(entries: Sequence[Entry], kept: set[str]) -> Content:
    """What a list holds; the sids of new entries do not matter."""
    return Counter((e.sid if e.sid in kept else "", e.address, e.prefix, e.name) for e in entries)


class Held:
    """A list of the API, with a capacity, which knows nothing of uniqueness."""

    def __init__(self, entries: Sequence[Entry], capacity: int = 10_000) -> None:
        self.entries = {entry.sid: entry for entry in entries}
        self.capacity = capacity
        self.most = len(entries)
        self._next = 1_000

    def do(self, write: Write) -> Entry | None:
        """Carry a write out; None where it is refused for want of room."""
        entry = write.wanted
        if write.operation is DELETE:
            del self.entries[entry.sid]
            return entry
        if write.operation is CREATE:
            if len(self.entries) >= self.capacity:
                return None
            self._next += 1
            entry = entry._replace(sid=sid_of(self._next))
        else:
            assert entry.sid in self.entries
        self.entries[entry.sid] = entry
        self.most = max(self.most, len(self.entries))
        return entry


@dataclass
class Flight:
    """A write that is under way, and what the API made of it once it landed."""

    row: Row
    lane: deque[Row]
    write: Write
    has_landed: bool = False
    entry: Entry | None = None


@dataclass
class Carrier:
    """Carries rows out as the engine does: same questions in the same order, drawn interleaving.

    Attributes:
        ended: how each row ended, with every write's entry in `wrote`.
        forced: creates that were sent although the list had no room.
        waited: creates that waited for room.
    """

    held: Held
    rng: Random
    no_gap: bool = False
    ended: dict[int, Ended] = field(default_factory=dict)
    wrote: dict[int, tuple[Operation, Entry]] = field(default_factory=dict)
    forced: set[int] = field(default_factory=set)
    waited: set[int] = field(default_factory=set)

    def run(self, rows: Sequence[Row]) -> Carrier:
        """Carry all of them out."""
        self.state = ListState(self.held.entries.values())
        lanes = split_into_lanes(rows, self.state.entries.values())
        assert sorted(row.number for lane in lanes for row in lane) == [r.number for r in rows]
        self.order = Order(lanes, no_gap=self.no_gap)
        self.deletes = {row.number for row in rows if row.operation is DELETE}
        self.first: set[int] = set()  # Creates that no delete of their own lane stands before.
        for lane in lanes:
            numbers = [row.number for row in lane if row.number in self.deletes]
            end = min(numbers, default=len(rows) + 1)
            makes = [row.number for row in lane if row.operation in (CREATE, UPSERT)]
            self.first |= {number for number in makes if number < end}
        self.turns = [deque(lane) for lane in lanes]
        self.waiting: list[deque[Row]] = []
        self.flights: list[Flight] = []
        while self.turns or self.flights:
            pick = self.rng.randrange(len(self.turns) + len(self.flights))
            if pick < len(self.turns):
                self._turn(self.turns.pop(pick))
            else:
                self._move(self.flights[pick - len(self.turns)])
        assert not self.waiting, "a deadlock: rows wait, and nothing is under way"
        return self

    def _turn(self, lane: deque[Row]) -> None:
        row = lane[0]
        if row.operation is DELETE:
            if self.order.waits_for_creates(row):
                self.waiting.append(lane)
                return
            assert not self.no_gap or self.first <= self.ended.keys()
            if self.order.is_gap:
                self._end(row, lane, (Outcome.REFUSED, "no_gap"))
                return
        promised = sum(flight.write.operation is CREATE for flight in self.flights)
        before = self.order.creates_before(row)
        free = self.held.capacity - len(self.state) - promised - before
        decision: Decision = decide(
            row,
            self.state,
            free=free,
            may_wait=before > 0 or self.order.has_earlier_delete(row),
        )
        if isinstance(decision, Settled):
            self._end(row, lane, (decision.outcome, decision.reason))
        elif isinstance(decision, Wait):
            self.waited.add(row.number)
            self.waiting.append(lane)
        else:
            if decision.operation is CREATE and free <= 0:
                self.forced.add(row.number)
                earlier = [n for n in self.deletes if n < row.number and n not in self.ended]
                assert self.no_gap or not earlier, "sent without room, with a delete to wait for"
                assert before == 0, "sent without room, with an earlier create to wait for"
            self.order.sent(row)
            self.flights.append(Flight(row, lane, decision))

    def _move(self, flight: Flight) -> None:
        """Let a write land, or its answer come back."""
        if not flight.has_landed:
            flight.entry = self.held.do(flight.write)
            flight.has_landed = True
            return
        self.flights.remove(flight)
        entry, operation = flight.entry, flight.write.operation
        if entry is None:
            self._end(flight.row, flight.lane, (Outcome.FAILED, "full"))
            return
        if operation is DELETE:
            self.state.drop(entry.sid)
        else:
            self.state.put(entry)
        self.wrote[flight.row.number] = (operation, entry)
        self._end(flight.row, flight.lane, (DONE[operation], ""))

    def _end(self, row: Row, lane: deque[Row], ended: Ended) -> None:
        assert row.number not in self.ended
        self.ended[row.number] = ended
        assert lane.popleft() is row
        if lane:
            self.turns.append(lane)
        self.order.ended(row, is_good=ended[0] in GOOD_OUTCOMES)
        self.turns += self.waiting
        self.waiting.clear()


def in_row_order(rows: Sequence[Row], held: Held) -> Carrier:
    """One row after the other, as a person would do it."""
    carrier = Carrier(held, Random(0))
    for row in rows:
        carrier.run([row])
    return carrier


addresses, names = st.integers(1, 4), st.sampled_from(NAMES)
prefixes = st.sampled_from([32, 32, 32, 24])


@st.composite
def lists(draw: st.DrawFn, *, is_unique: bool = False) -> list[Entry]:
    """What a list holds: by and by the same address twice, as the API may allow."""
    keys = draw(st.lists(st.tuples(addresses, prefixes), max_size=5, unique=is_unique))
    return [Entry(sid_of(n), *key, draw(names)) for n, key in enumerate(keys, start=1)]


@st.composite
def rows_of(
    draw: st.DrawFn, held: Sequence[Entry], *, most: int = 8, moves: bool = True
) -> list[Row]:
    """Rows as the input's checks let them through, on few entries, so that they meet."""
    sids = [entry.sid for entry in held] + [sid_of(99)]
    kinds = ["create", "upsert", "rename", "delete", "delete_sid", "rename_sid"]
    if moves:
        kinds += ["move", "move", "move_sid"]
    rows = []
    for number in range(1, draw(st.integers(0, most)) + 1):
        kind = draw(st.sampled_from(kinds))
        address, prefix, name = draw(addresses), draw(prefixes), draw(names)
        to, to_prefix = draw(addresses), draw(st.sampled_from([None, 32, 24]))
        maybe_name = draw(st.none() | names)
        sid = draw(st.sampled_from(sids))
        row = {
            "create": Row(number, CREATE, None, address, prefix, name),
            "upsert": Row(number, UPSERT, None, address, prefix, maybe_name),
            "rename": Row(number, UPDATE, None, address, prefix, name),
            "delete": Row(number, DELETE, None, address, prefix),
            "delete_sid": Row(number, DELETE, sid),
            "rename_sid": Row(number, UPDATE, sid, None, None, name),
            "move": Row(number, UPDATE, None, to, to_prefix, maybe_name, address, prefix),
            "move_sid": Row(number, UPDATE, sid, to, to_prefix, maybe_name),
        }[kind]
        rows.append(row)
    return rows


@st.composite
def cases(draw: st.DrawFn, *, moves: bool = True) -> tuple[list[Entry], list[Row]]:
    """A list and rows for it."""
    held = draw(lists())
    return held, draw(rows_of(held, moves=moves))


@settings(max_examples=120, deadline=None)
@given(case=cases(), rng=st.randoms(use_true_random=False), no_gap=st.booleans())
def test_any_interleaving_is_row_order(
    case: tuple[list[Entry], list[Row]], rng: Random, no_gap: bool
) -> None:
    """Where there is room, what is concurrent ends as if each row had waited for the one before."""
    entries, rows = case
    kept = {entry.sid for entry in entries}
    carried = Carrier(Held(entries), rng, no_gap).run(rows)
    assert carried.ended.keys() == {row.number for row in rows}
    assert not carried.forced
    keys = Counter(entry.key for entry in carried.held.entries.values())
    before = Counter(entry.key for entry in entries)
    assert all(count <= max(1, before[key]) for key, count in keys.items())
    if carried.order.is_gap:
        return  # Deletes were refused, which row order knows nothing of.
    plain = in_row_order(rows, Held(entries))
    assert carried.ended == plain.ended
    assert content([*carried.held.entries.values()], kept) == content(
        [*plain.held.entries.values()], kept
    )
    believed = [*carried.state.entries.values()]
    assert content(believed, kept) == content([*carried.held.entries.values()], kept)


BEHIND_IT = (
    [Entry(sid_of(1), 1, 32, "a")],
    [Row(1, CREATE, None, 2, 32, "a"), Row(2, DELETE, None, 2, 32)],
)
"""A full list, and the only delete stands behind the create in its own lane."""


@settings(max_examples=150, deadline=None)
@given(
    case=cases(),
    rng=st.randoms(use_true_random=False),
    no_gap=st.booleans(),
    room=st.integers(-1, 1),
)
@example(case=BEHIND_IT, rng=Random(0), no_gap=False, room=0)
@example(case=BEHIND_IT, rng=Random(0), no_gap=True, room=0)
def test_a_full_list(
    case: tuple[list[Entry], list[Row]], rng: Random, no_gap: bool, room: int
) -> None:
    """Without room nothing deadlocks; a create is sent only if it has no delete to wait for."""
    entries, rows = case
    capacity = len(entries) + room
    carried = Carrier(Held(entries, capacity), rng, no_gap).run(rows)
    assert carried.ended.keys() == {row.number for row in rows}
    assert carried.held.most <= max(capacity, len(entries))
    full = {n for n, ended in carried.ended.items() if ended == (Outcome.FAILED, "full")}
    assert carried.forced or not full
    refused = {n for n, ended in carried.ended.items() if ended[1] == "no_gap"}
    assert refused <= carried.deletes
    assert carried.order.is_gap or not refused


@st.composite
def swaps(draw: st.DrawFn) -> tuple[list[Entry], list[Row]]:
    """A full list of which some entries make room for others, the deletes in front."""
    count = draw(st.integers(1, 6))
    entries = [Entry(sid_of(n), n, 32, "a") for n in range(1, count + 1)]
    gone = draw(st.lists(st.sampled_from(entries), unique_by=lambda e: e.sid, min_size=1))
    rows = [Row(n, DELETE, None, e.address, 32) for n, e in enumerate(gone, start=1)]
    rows += [Row(len(gone) + n, CREATE, None, 100 + n, 32, "b") for n in range(1, len(gone) + 1)]
    return entries, rows


@settings(max_examples=40, deadline=None)
@given(case=swaps(), rng=st.randoms(use_true_random=False))
def test_a_full_list_is_turned_over(case: tuple[list[Entry], list[Row]], rng: Random) -> None:
    """Creates take the places of as many deletes before them, and not one is refused."""
    entries, rows = case
    carried = Carrier(Held(entries, len(entries)), rng).run(rows)
    assert {outcome for outcome, _ in carried.ended.values()} == {Outcome.DELETED, Outcome.CREATED}
    assert not carried.forced


@st.composite
def peaceful(draw: st.DrawFn) -> tuple[list[Entry], list[Row]]:
    """Rows that do not contradict each other: each address, and each sid, in one row only."""
    entries = draw(lists(is_unique=True))
    rows: list[Row] = []
    seen: set[int] = set()
    address_of = {entry.sid: entry.address for entry in entries}
    for row in draw(rows_of(entries, most=12)):
        named = {row.address, row.match_address, address_of.get(row.sid or "")} - {None}
        if not named & seen:
            seen |= {address for address in named if address is not None}
            rows.append(row._replace(number=len(rows) + 1))
    return entries, rows


@settings(max_examples=80, deadline=None)
@given(case=peaceful(), rng=st.randoms(use_true_random=False))
def test_a_second_time_writes_nothing(case: tuple[list[Entry], list[Row]], rng: Random) -> None:
    """The same rows again find everything as they want it."""
    entries, rows = case
    held = Held(entries)
    first = Carrier(held, rng).run(rows)
    after = dict(held.entries)
    second = Carrier(held, rng).run(rows)
    assert held.entries == after
    assert not second.wrote
    for number, (outcome, reason) in second.ended.items():
        if first.ended[number][0] in GOOD_OUTCOMES:
            assert outcome in (Outcome.UNCHANGED, Outcome.ALREADY_GONE)
        else:
            assert (outcome, reason) == first.ended[number]
