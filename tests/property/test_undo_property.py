"""The way back, for any list and any rows, against a list that is only thought.

Simulated   a list as the API keeps it: a sid for each entry, an address once
Ran         what a run of some rows did to it, recorded up to some row
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bulkipacl.engine.decide import ListState, Write, decide
from bulkipacl.jobs.back import Step, way_back
from bulkipacl.model import Entry, Operation, Row
from bulkipacl.store.history import Done, History

C, U, D, S = Operation.CREATE, Operation.UPDATE, Operation.DELETE, Operation.UPSERT
Key = tuple[int, int, str]

places = st.integers(1, 6)
names = st.sampled_from(["a", "b", "c"])


class Simulated:
    """A list as the API keeps it."""

    def __init__(self, entries: list[Entry]) -> None:
        self.state = ListState(entries)
        self._made = 0

    def write(self, operation: Operation, entry: Entry) -> Entry:
        """Do it, or fail as the API would; returns the entry as it is then, or was."""
        if operation is D:
            assert entry.sid in self.state.entries
            self.state.drop(entry.sid)
            return entry
        if operation is C:
            self._made += 1
            entry = entry._replace(sid=f"new{self._made}")
        else:
            assert entry.sid in self.state.entries
        assert all(other.sid == entry.sid for other in self.state.at(entry.key))
        self.state.put(entry)
        return entry

    @property
    def entries(self) -> list[Entry]:
        """What it holds."""
        return list(self.state.entries.values())

    @property
    def values(self) -> Counter[Key]:
        """What it holds, but for sids."""
        return Counter((e.address, e.prefix, e.name) for e in self.entries)


def undo(simulated: Simulated, steps: list[Step]) -> None:
    """Carry the way back out, in its order."""
    for step in steps:
        if not step.conflict:
            simulated.write(step.operation, step.entry)


@st.composite
def befores(draw: st.DrawFn) -> list[Entry]:
    """Some entries on different addresses."""
    held = draw(st.lists(places, unique=True, max_size=5))
    return [Entry(f"old{at}", at, 32, draw(names)) for at in held]


def row(number: int, asked: tuple[Operation, int, int, str, bool]) -> Row:
    """A row from what was drawn for it."""
    operation, at, to, name, by_sid = asked
    if operation in (C, S):
        return Row(number, operation, None, at, 32, name)
    if operation is D:
        return Row(number, D, f"old{at}") if by_sid else Row(number, D, None, at, 32)
    if by_sid:
        return Row(number, U, f"old{at}", to, 32, name)
    return Row(number, U, None, to, 32, name, match_address=at, match_prefix=32)


asked_rows = st.lists(
    st.tuples(st.sampled_from([C, U, U, D, S]), places, places, names, st.booleans()), max_size=9
).map(lambda all_asked: [row(n, asked) for n, asked in enumerate(all_asked, start=1)])


@dataclass
class Ran:
    """What came of a run.

    Attributes:
        done: what each row did that wrote.
        last: the last row that had its turn.
    """

    done: list[Done]
    last: int


def carry_out(simulated: Simulated, rows: list[Row], last: int) -> Ran:
    """Carry rows out up to one of them."""
    done = []
    for one in rows[:last]:
        decision = decide(one, simulated.state, free=100, may_wait=False)
        if isinstance(decision, Write):
            entry = simulated.write(decision.operation, decision.wanted)
            is_delete = decision.operation is D
            is_new = decision.operation is C
            done.append(Done(one.number, entry.sid, None if is_delete else entry, is_new=is_new))
    return Ran(done, last)


def history_of(before: list[Entry], rows: list[Row], ran: Ran, recorded: int) -> History:
    """What the run directory knows, where rows after `recorded` left nothing in it."""
    done = [one for one in ran.done if one.number <= recorded]
    base = {entry.sid: entry for entry in before}
    for one in done:
        if one.entry is None:
            base.pop(one.sid, None)
        else:
            base[one.sid] = one.entry
    known = {entry.sid for entry in before} | {one.sid for one in done if one.is_new}
    unsettled = tuple(one for one in rows if one.number > recorded)
    return History(tuple(before), tuple(done), unsettled, tuple(base.values()), frozenset(known))


@settings(max_examples=150)
@given(befores(), asked_rows)
def test_undone_is_as_before(before: list[Entry], rows: list[Row]) -> None:
    """After the way back every list is as it was but for sids; there is nothing more to undo."""
    simulated = Simulated(before)
    wanted = simulated.values
    ran = carry_out(simulated, rows, len(rows))
    history = history_of(before, rows, ran, len(rows))
    steps = way_back(history, simulated.entries)
    assert not any(step.conflict for step in steps)
    undo(simulated, steps)
    assert simulated.values == wanted
    assert way_back(history, simulated.entries) == []


@settings(max_examples=150)
@given(befores(), asked_rows, st.data())
def test_cut_off_at_any_row(before: list[Entry], rows: list[Row], data: st.DataObject) -> None:
    """Cut off after any row, with any number of the last ones unrecorded: undone just as well."""
    last = data.draw(st.integers(0, len(rows)))
    recorded = data.draw(st.integers(0, last))
    simulated = Simulated(before)
    wanted = simulated.values
    ran = carry_out(simulated, rows, last)
    steps = way_back(history_of(before, rows, ran, recorded), simulated.entries)
    undo(simulated, steps)
    assert simulated.values == wanted
    assert not any(step.conflict for step in steps)


@settings(max_examples=150)
@given(befores(), asked_rows, st.data())
def test_others_are_left_alone(before: list[Entry], rows: list[Row], data: st.DataObject) -> None:
    """What others change after the run is there afterwards as they left it; all else goes back
    that does not stand in its way, and what does not go back is told."""
    simulated = Simulated(before)
    ran = carry_out(simulated, rows, len(rows))
    touched: dict[str, Entry | None] = {}
    for number in range(data.draw(st.integers(1, 3))):
        held = simulated.entries
        kind = data.draw(st.sampled_from(["add", "rename", "drop"]))
        if kind == "add":
            at = data.draw(places)
            assume(not simulated.state.at((at, 32)))
            entry = Entry(f"theirs{number}", at, 32, "theirs")
            simulated.state.put(entry)
            touched[entry.sid] = entry
        elif held:
            entry = data.draw(st.sampled_from(held))
            simulated.state.drop(entry.sid)
            touched[entry.sid] = None
            if kind == "rename":
                entry = entry._replace(name="theirs")
                simulated.state.put(entry)
                touched[entry.sid] = entry
    steps = way_back(history_of(before, rows, ran, len(rows)), simulated.entries)
    undo(simulated, steps)
    for sid, left in touched.items():
        assert simulated.state.entries.get(sid) == left
    told = {step.entry.sid for step in steps if step.conflict}
    for old in before:
        is_back = any((e.key, e.name) == (old.key, old.name) for e in simulated.state.at(old.key))
        changed = {one.sid for one in ran.done}
        if old.sid in changed and not is_back:
            assert old.sid in told


@settings(max_examples=150)
@given(st.permutations(range(1, 8)), st.permutations(range(1, 8)), st.integers(1, 6))
def test_moved_anywhere(old: list[int], new: list[int], count: int) -> None:
    """Entries that a run has moved to each other's addresses, in chains and rings, all go back."""
    before = [Entry(f"old{n}", old[n], 32, f"n{n}") for n in range(count)]
    after = [entry._replace(address=new[n]) for n, entry in enumerate(before)]
    simulated = Simulated(after)
    done = [Done(n, entry.sid, entry, is_new=False) for n, entry in enumerate(after, start=1)]
    steps = way_back(History(tuple(before), tuple(done)), simulated.entries)
    assert not any(step.conflict for step in steps)
    undo(simulated, steps)
    assert simulated.values == Simulated(before).values
