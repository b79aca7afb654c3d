"""The way back of one list: from what a run did to it and what it holds now, to rows. Pure.

    Step        one thing to do, or one that is left alone because somebody else changed it
    way_back    all of them, in an order in which they can be carried out
    refusal     why one of them is left alone, as its row's problem

What counts is the difference: an entry that the run made is deleted, one that it deleted is made
again, one that it changed gets its values back, and all that is otherwise now than the run left it
belongs to somebody else and stays. What a run that was cut off has done without recording it is
found out as a resume does (`engine.resume`): what is there now, was not there before, and is
explained by its rows, was done by them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bulkipacl.engine.decide import ListState, Write, named_key
from bulkipacl.engine.resume import settle_prior
from bulkipacl.model import Entry, Operation, Problem, Row, cidr_text
from bulkipacl.store.history import Done, History

CHANGED_SINCE = "changed_since"
"""The reason of a row that is refused because somebody else has changed what it would undo."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do.

    Attributes:
        entry: a delete's as it is now, else as it is to be; the sid is "" for a create.
        undoes: what it takes back, for people, such as `created by row 7`.
        conflict: why it is left alone, or "".
    """

    operation: Operation
    entry: Entry
    undoes: str
    conflict: str = ""


def way_back(history: History, now: Sequence[Entry] | None) -> list[Step]:
    """Deletes, then updates, then creates, then what is left alone.

    Args:
        now: what the list holds; None: it is not there any more.
    """
    done = [*history.done, *_settled(history, now or ())]
    after = {entry.sid: entry for entry in history.before}
    before = dict(after)
    by_row: dict[str, int] = {}
    made: dict[str, None] = {}
    for one in done:
        by_row[one.sid] = one.number
        if one.entry is None:
            after.pop(one.sid, None)
        else:
            after[one.sid] = one.entry
        if one.is_new and one.sid not in before:
            made[one.sid] = None
    plan = _Plan(by_row, {entry.sid: entry for entry in now or ()})
    if now is None:
        for sid, entry in before.items():
            if after.get(sid) != entry:
                plan.leave(_restoring(entry, after), "the list is not there any more")
        return plan.steps()
    for sid in made:
        plan.unmake(sid, after.get(sid))
    for sid, entry in before.items():
        if after.get(sid) != entry:
            plan.restore(entry, after.get(sid))
    plan.doubt(history, {one.number for one in done}, after)
    return plan.steps()


def _settled(history: History, now: Sequence[Entry]) -> list[Done]:
    """What rows of which nothing is recorded have done, as far as the list as it is explains it."""
    if not history.unsettled:
        return []
    found = settle_prior(history.unsettled, history.base, now, set(history.known))
    done = []
    for row, step in found:
        if isinstance(step, Write) and step.wanted.sid:
            is_new = step.operation is Operation.CREATE
            entry = None if step.operation is Operation.DELETE else step.wanted
            done.append(Done(row.number, step.wanted.sid, entry, is_new=is_new))
    return done


def _restoring(entry: Entry, after: dict[str, Entry]) -> tuple[Operation, Entry]:
    is_there = entry.sid in after
    return (Operation.UPDATE if is_there else Operation.CREATE), entry


class _Plan:
    """What is to be done to one list, while it is found out."""

    def __init__(self, by_row: dict[str, int], now: dict[str, Entry]) -> None:
        self._by_row = by_row
        self._now = now
        self._state = ListState(now.values())
        self._deletes: dict[str, Entry] = {}
        self._updates: dict[str, Entry] = {}
        self._creates: dict[str, Entry] = {}
        self._left: list[Step] = []

    # --- what the run did -----------------------------------------------------------------

    def unmake(self, sid: str, left: Entry | None) -> None:
        """The run made this entry, and left it so."""
        there = self._now.get(sid)
        if there is None:
            return
        if there == left:
            self._deletes[sid] = there
        else:
            self.leave((Operation.DELETE, there), f"somebody else has changed it to {told(there)}")

    def restore(self, entry: Entry, left: Entry | None) -> None:
        """The run changed this entry, and left it so; `left` None: it deleted it."""
        there = self._now.get(entry.sid)
        if there == entry:
            return
        if left is None and there is None:
            self._creates[entry.sid] = entry
        elif there == left:
            self._updates[entry.sid] = entry
        elif there is None:
            self.leave((Operation.UPDATE, entry), "somebody else has deleted it")
        else:
            self.leave((Operation.UPDATE, entry), f"somebody else has changed it to {told(there)}")

    def doubt(self, history: History, settled: set[int], after: dict[str, Entry]) -> None:
        """Rows of which nothing is recorded, and that do not explain what is there now."""
        base = ListState(history.base)
        for row in history.unsettled:
            if row.number in settled:
                continue
            for sid in _touched(row, base):
                there = self._now.get(sid)
                if there != after.get(sid):
                    self._doubt(row, Operation.UPDATE, base.entries[sid])
            if row.operation in (Operation.CREATE, Operation.UPSERT):
                for entry in self._state.at(named_key(row)):
                    if entry.sid not in after and entry.sid not in history.known:
                        self._doubt(row, Operation.DELETE, entry)

    def _doubt(self, row: Row, operation: Operation, entry: Entry) -> None:
        if any(step.entry.sid == entry.sid for step in self._left):
            return
        why = f"row {row.number} may have done it, or somebody else: `bulkipacl resume` the run"
        self._left.append(Step(operation, entry, f"perhaps done by row {row.number}", why))

    def leave(self, step: tuple[Operation, Entry], why: str) -> None:
        """This would lead back, and is not done."""
        operation, entry = step
        self._left.append(Step(operation, entry, self._undoes(operation, entry.sid), why))

    # --- in what order --------------------------------------------------------------------

    def steps(self) -> list[Step]:
        """All of it, in order: an address is free before it is taken again."""
        self._leave_taken()
        order = self._in_order()
        steps = [self._step(Operation.DELETE, entry) for entry in self._deletes.values()]
        steps += [self._step(Operation.UPDATE, self._updates[sid]) for sid in order]
        steps += [self._step(Operation.CREATE, entry) for entry in self._creates.values()]
        return steps + self._left

    def _leave_taken(self) -> None:
        """What cannot get its address back, because another entry has it and keeps it."""
        is_changed = True
        while is_changed:
            is_changed = False
            for restored in (self._updates, self._creates):
                for sid, entry in list(restored.items()):
                    holder = self._holder(entry)
                    if holder is not None:
                        del restored[sid]
                        is_changed = True
                        self._leave_for(holder, entry, is_create=restored is self._creates)
        self._leave_twice()

    def _leave_for(self, holder: Entry, entry: Entry, *, is_create: bool) -> None:
        if is_create and holder.name == entry.name:
            return  # Somebody has made it again already.
        operation = Operation.CREATE if is_create else Operation.UPDATE
        self.leave((operation, entry), f"somebody else has put {told(holder)} there")

    def _holder(self, entry: Entry) -> Entry | None:
        """The entry that has this one's address, and will still have it."""
        for holder in self._state.at(entry.key):
            moves = self._updates.get(holder.sid)
            is_leaving = holder.sid in self._deletes or (moves and moves.key != holder.key)
            if holder.sid != entry.sid and not is_leaving:
                return holder
        return None

    def _leave_twice(self) -> None:
        """An address that the list held twice is made once: the API may refuse the second."""
        wanted = Counter(entry.key for entry in self._updates.values())
        for sid, entry in list(self._creates.items()):
            wanted[entry.key] += 1
            if wanted[entry.key] > 1:
                del self._creates[sid]
                why = "the list held this address twice: a second one is not made again"
                self.leave((Operation.CREATE, entry), why)

    def _in_order(self) -> list[str]:
        """The updates' sids, each behind those that leave the address which it gets back.

        Where they stand in a ring, one of it is deleted and made again.
        """
        at: dict[int, list[str]] = {}
        for sid, entry in self._updates.items():
            if self._now[sid].address != entry.address:
                at.setdefault(self._now[sid].address, []).append(sid)
        order: dict[str, None] = {}
        for first in list(self._updates):
            path, waiting = set[str](), [first]
            while waiting:
                sid = waiting[-1]
                ahead = [one for one in self._before(sid, at) if one not in order]
                if not ahead:
                    order[sid] = None
                    path.discard(waiting.pop())
                elif ahead[0] in path:
                    self._break(ahead[0])
                else:
                    path.add(sid)
                    waiting.append(ahead[0])
        return [sid for sid in order if sid in self._updates]

    def _before(self, sid: str, at: dict[int, list[str]]) -> list[str]:
        """The updates that leave the address which this one gets back."""
        entry = self._updates.get(sid)
        if entry is None:
            return []
        leaving = at.get(entry.address, ())
        return [other for other in leaving if other != sid and other in self._updates]

    def _break(self, sid: str) -> None:
        self._deletes[sid] = self._now[sid]
        self._creates[sid] = self._updates.pop(sid)

    def _step(self, operation: Operation, entry: Entry) -> Step:
        return Step(operation, entry, self._undoes(operation, entry.sid))

    def _undoes(self, operation: Operation, sid: str) -> str:
        verb = {Operation.DELETE: "created", Operation.CREATE: "deleted"}.get(operation, "updated")
        return f"{verb} by row {self._by_row[sid]}" if sid in self._by_row else verb


def _touched(row: Row, base: ListState) -> Iterable[str]:
    """The sids, of those that were there, that a row may have changed or deleted."""
    if row.sid is not None and row.operation not in (Operation.CREATE, Operation.UPSERT):
        return [row.sid] if row.sid in base.entries else []
    return [entry.sid for entry in base.at(named_key(row))]


def refusal(why: str, suggestion: str) -> Problem:
    """What keeps a row from taking back what somebody else has done."""
    return Problem("", "", CHANGED_SINCE, why, suggestion, is_refusal=True)


def told(entry: Entry) -> str:
    """An entry for people."""
    return f"{cidr_text(*entry.key)} {entry.name!r}"
