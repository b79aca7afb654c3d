"""What the rows of a list would do, without the doing. Pure.

    preview   rows against a snapshot, one after the other, every write taken as done
    Step      what one row would do;  Preview   all of them, and what the list would hold

It asks the same `decide` as the sending does. That carries rows out in many orders, and all of them
end as the order of the rows does, but for rows that find no room there: which of several creates
the API refuses then is decided by which of them comes last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bulkipacl.engine.decide import ListState, Settled, Wait, Write, decide, free_places
from bulkipacl.engine.lanes import split_into_lanes
from bulkipacl.engine.order import CREATES, NO_GAP
from bulkipacl.model import GOOD_OUTCOMES, Entry, Operation, Outcome, Row

LIST_FULL = "list_full"
NO_ROOM = Settled(
    Outcome.FAILED, LIST_FULL, None, "the list has no room for it: put deletes before the creates"
)
"""How a create ends for which the list has no room, and no earlier row will make any."""

DONE = {
    Operation.CREATE: Outcome.CREATED,
    Operation.UPDATE: Outcome.UPDATED,
    Operation.DELETE: Outcome.DELETED,
}


@dataclass(frozen=True, slots=True)
class Step:
    """What one row would do."""

    row: Row
    decision: Write | Settled

    @property
    def outcome(self) -> Outcome:
        """How it would end."""
        if isinstance(self.decision, Settled):
            return self.decision.outcome
        return DONE[self.decision.operation]

    @property
    def settled(self) -> Settled:
        """Its decision, where there is nothing to write."""
        if isinstance(self.decision, Settled):
            return self.decision
        raise AssertionError("a row that may not be written has a write to send")


@dataclass(frozen=True, slots=True)
class Preview:
    """What rows would do to a list.

    Attributes:
        steps: one for each row, in row order.
        before, after: the entries; those that would be made have sids of no form of the API's.
    """

    steps: tuple[Step, ...]
    before: tuple[Entry, ...]
    after: tuple[Entry, ...]

    def writes(self, *operations: Operation) -> list[Write]:
        """What would be written by these operations, in row order."""
        found = [step.decision for step in self.steps]
        return [one for one in found if isinstance(one, Write) and one.operation in operations]


def preview(
    rows: Sequence[Row], entries: Iterable[Entry], *, no_gap: bool = False, is_gap: bool = False
) -> Preview:
    """What rows would do to a list; about 4 us a row.

    Args:
        rows: of one list, in row order.
        entries: what it holds.
        no_gap: deletes wait until creates have succeeded (`--no-gap`).
        is_gap: a row that may have been a create of this list is invalid.
    """
    state = ListState(entries)
    before = tuple(state.entries.values())
    behind = _behind_deletes(rows, before) if no_gap else frozenset()
    order = sorted(rows, key=lambda row: (row.number in behind, row.number)) if no_gap else rows
    steps = []
    for row in order:
        if is_gap and row.operation is Operation.DELETE:
            steps.append(Step(row, NO_GAP))
            continue
        step = Step(row, _carry_out(row, state))
        steps.append(step)
        is_awaited = no_gap and row.operation in CREATES and row.number not in behind
        is_gap = is_gap or (is_awaited and step.outcome not in GOOD_OUTCOMES)
    steps.sort(key=lambda step: step.row.number)
    return Preview(tuple(steps), before, tuple(state.entries.values()))


def unwritten(rows: Iterable[Row], entries: Iterable[Entry], instead: Settled) -> list[Step]:
    """How rows end where nothing may be written: as they are already, or so `instead`."""
    state = ListState(entries)
    steps = []
    for row in rows:
        decision = decide(row, state, free=1, may_wait=False)
        steps.append(Step(row, decision if isinstance(decision, Settled) else instead))
    return steps


def _carry_out(row: Row, state: ListState) -> Write | Settled:
    free = free_places(state)
    decision = decide(row, state, free=free, may_wait=False)
    if isinstance(decision, Settled):
        return decision
    if isinstance(decision, Wait):
        raise AssertionError("nothing waits in a preview")
    if decision.operation is Operation.DELETE:
        state.drop(decision.wanted.sid)
        return decision
    if decision.operation is Operation.CREATE:
        if free <= 0:
            return NO_ROOM
        new = decision.wanted
        entry = Entry(f"new:{row.number}", new.address, new.prefix, new.name)
        decision = Write(Operation.CREATE, entry)
    state.put(decision.wanted)
    return decision


def _behind_deletes(rows: Sequence[Row], entries: Iterable[Entry]) -> frozenset[int]:
    """Numbers of the rows before which, or at which, there is a delete on the same entry."""
    behind: set[int] = set()
    for lane in split_into_lanes(rows, entries):
        deletes = [row.number for row in lane if row.operation is Operation.DELETE]
        behind |= {row.number for row in lane if deletes and row.number >= deletes[0]}
    return frozenset(behind)
