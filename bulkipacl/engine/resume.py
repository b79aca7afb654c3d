"""What a round that was cut off has done. Pure.

The snapshot kept before the round's first write, and a reading now: a row whose effect is there
now and was not there before was carried out. All others are decided afresh, so nothing depends on
knowing how far the run had come.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from bulkipacl.engine.decide import ListState, Write, decide
from bulkipacl.model import Entry, Operation, Row


def settle_prior(
    rows: Sequence[Row], before: Iterable[Entry], now: ListState, known: set[str]
) -> list[tuple[Row, Write]]:
    """The rows without an outcome that were carried out, each with what it wrote.

    Args:
        rows: the rows of the round that have no outcome, in row order.
        before: the snapshot of the round.
        now: a whole reading, taken when nothing of the round can still land.
        known: sids that were there before, or that a recorded row made.
    """
    was = ListState(before)
    names = {row.name for row in rows}
    claimed = set(known)
    done: list[tuple[Row, Write]] = []
    for row in rows:
        decision = decide(row, was, free=1, may_wait=False)
        if not isinstance(decision, Write):
            continue
        write = _seen(decision, now, claimed, names)
        if write is None:
            continue
        done.append((row, write))
        if write.operation is Operation.DELETE:
            was.drop(write.wanted.sid)
        else:
            claimed.add(write.wanted.sid)
            was.put(write.wanted)
    return done


def _seen(write: Write, now: ListState, claimed: set[str], names: set[str | None]) -> Write | None:
    """The write, with the sid that it got, where its effect can be seen."""
    wanted = write.wanted
    if write.operation is Operation.CREATE:
        for entry in now.at(wanted.key):
            # A later row of the round may have renamed it already.
            if entry.sid not in claimed and (entry.name == wanted.name or entry.name in names):
                return replace(write, wanted=replace(wanted, sid=entry.sid))
        return None
    there = now.entries.get(wanted.sid)
    if write.operation is Operation.DELETE:
        return write if there is None else None
    return write if there == wanted else None
