"""What a round that was cut off has done. Pure.

Rows on one entry run one after the other, so of such a lane a prefix was carried out. Carrying it
out in thought, from the snapshot kept before the round's first write, gives the state after each
row; the reading now says which of them the list is in. The shortest prefix that explains it is
taken, so that no row is said to be done that need not have been; the rest is decided afresh.
Nothing depends on knowing how far the run had come.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bulkipacl.engine.decide import Key, ListState, Settled, Wait, Write, decide
from bulkipacl.engine.lanes import split_into_lanes
from bulkipacl.model import Entry, Operation, Row

_NEW = "new:"
"""The start of a sid that only exists in thought."""


def settle_prior(
    rows: Sequence[Row], before: Sequence[Entry], now: Iterable[Entry], known: set[str]
) -> list[tuple[Row, Write | Settled]]:
    """The rows without an outcome that have had their turn, each with what it wrote, if anything.

    A row that wrote nothing but stands before one that did has had its turn as well.

    Args:
        rows: the rows of the round that have no outcome, in row order.
        before: the snapshot of the round.
        now: a whole reading, taken when nothing of the round can still land.
        known: sids that were there before, or that a recorded row made.
    """
    found = tuple(now)
    done: list[tuple[Row, Write | Settled]] = []
    for lane in split_into_lanes(rows, before):
        done += _settle_lane(lane, before, found, known)
    return sorted(done, key=lambda pair: pair[0].number)


def _settle_lane(
    lane: Sequence[Row], before: Sequence[Entry], now: tuple[Entry, ...], known: set[str]
) -> list[tuple[Row, Write | Settled]]:
    """The shortest prefix of a lane after which the list is as it is; none if none explains it."""
    thought = ListState(before)
    steps = [(row, _carry_out(row, thought)) for row in lane]
    writes = [step for _, step in steps if isinstance(step, Write)]
    wanted = {(write.wanted.key, write.wanted.name) for write in writes}
    touched = {write.wanted.sid for write in writes}
    thought = ListState(before)
    if _explains(thought, now, known, touched, wanted) is not None:
        return []
    for count, (row, step) in enumerate(steps, start=1):
        _carry_out(row, thought)
        if isinstance(step, Write):
            real = _explains(thought, now, known, touched, wanted)
            if real is not None:
                return [(row, _with_sid(step, real)) for row, step in steps[:count]]
    return []


def _carry_out(row: Row, thought: ListState) -> Write | Settled:
    """Carry a row out in thought."""
    decision = decide(row, thought, free=1, may_wait=False)
    if isinstance(decision, Wait):
        raise AssertionError("nothing waits in thought")
    if isinstance(decision, Settled):
        return decision
    if decision.operation is Operation.DELETE:
        thought.drop(decision.wanted.sid)
        return decision
    if decision.operation is Operation.CREATE:
        sid = f"{_NEW}{row.number}"
        decision = decision._replace(wanted=decision.wanted._replace(sid=sid))
    thought.put(decision.wanted)
    return decision


def _explains(
    thought: ListState,
    now: tuple[Entry, ...],
    known: set[str],
    touched: set[str],
    wanted: set[tuple[Key, str]],
) -> dict[str, str] | None:
    """Whether what a lane touches is as thought; then the real sids of what it made.

    Two entries where one was wanted are explained too: one of them landed late, and is found again
    by the last reading.
    """
    held = {entry.sid: entry for entry in now}
    made: dict[tuple[Key, str], str] = {}
    for entry in now:
        if entry.sid not in known and (entry.key, entry.name) in wanted:
            made.setdefault((entry.key, entry.name), entry.sid)
    real: dict[str, str] = {}
    for sid in touched:
        expected = thought.entries.get(sid)
        if not sid.startswith(_NEW):
            if held.get(sid) != expected:
                return None
        elif expected is not None:
            found = made.pop((expected.key, expected.name), None)
            if found is None:
                return None
            real[sid] = found
    return None if made else real


def _with_sid(step: Write | Settled, real: dict[str, str]) -> Write | Settled:
    """The same, with the real sid of what the lane made; what is gone again keeps none."""
    entry = step.wanted if isinstance(step, Write) else step.entry
    if entry is None or not entry.sid.startswith(_NEW):
        return step
    entry = entry._replace(sid=real.get(entry.sid, ""))
    if isinstance(step, Write):
        return step._replace(wanted=entry)
    return step._replace(entry=entry)
