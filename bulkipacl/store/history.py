"""What a run did to each list, as far as it is kept: what an undo goes by. Reading only.

written_lists   the lists that a run may have written to
history_of      one of them: what it held before, and what became of its rows
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bulkipacl.model import Entry, Operation, Outcome, Row
from bulkipacl.store.facts import sound
from bulkipacl.store.journal import unpack
from bulkipacl.store.rundir import RunDirectory
from bulkipacl.store.views import make_row, open_snapshot, with_recorded

ECHO_MISMATCH = "echo_mismatch"
"""The reason of a row that failed because the API did something else than it was asked."""

_MAKING = (Operation.CREATE, Operation.UPSERT)

_DONE = f"""(o.outcome IN ('{Outcome.CREATED}', '{Outcome.UPDATED}', '{Outcome.DELETED}')
 OR (o.outcome = '{Outcome.FAILED}' AND o.reason = '{ECHO_MISMATCH}')) AND o.sid IS NOT NULL"""

_UNSETTLED = f"""r.list_id = ? AND (o.outcome = '{Outcome.UNKNOWN}'
 OR (o.number IS NULL AND r.number <= ?))"""


@dataclass(frozen=True, slots=True)
class Done:
    """What one row did: `entry` None is a delete, and `is_new` that it made the entry."""

    number: int
    sid: str
    entry: Entry | None
    is_new: bool


@dataclass(frozen=True, slots=True)
class History:
    """What a run did to one list.

    Attributes:
        before: what the list held before the run changed it.
        done: what rows are recorded to have done, in row order.
        unsettled: rows that may have done something, of which nothing is recorded.
        base: what the list held before these, with what is recorded of the same round.
        known: sids that are not theirs: there before them, or recorded to be another row's.
    """

    before: tuple[Entry, ...]
    done: tuple[Done, ...]
    unsettled: tuple[Row, ...] = ()
    base: tuple[Entry, ...] = ()
    known: frozenset[str] = frozenset()


def written_lists(run: RunDirectory) -> Iterator[tuple[int, str, str]]:
    """(number, account sid, list sid) of every list that the run wrote to, or may have.

    By account, and in order of first sight.
    """
    found = run.reader.execute(
        f"""SELECT l.id, a.sid, l.sid FROM list l JOIN account a ON a.id = l.account_id
            WHERE l.sid IS NOT NULL AND EXISTS (SELECT 1 FROM snapshot s WHERE s.list_id = l.id)
            AND EXISTS (SELECT 1 FROM row r LEFT JOIN outcome o ON o.number = r.number
              WHERE r.list_id = l.id AND (({_DONE}) OR o.outcome = '{Outcome.UNKNOWN}'
                OR (o.number IS NULL AND r.number <= (SELECT s.last_row FROM snapshot s
                      WHERE s.list_id = l.id AND s.is_open = 1))))
            ORDER BY l.account_id, l.id"""  # noqa: S608 - literals
    )
    return ((int(i), str(account), str(sid)) for i, account, sid in found)


def has_unsettled(run: RunDirectory) -> bool:
    """Whether a row may have been sent, and nothing is recorded of it."""
    found = run.reader.execute(
        """SELECT 1 FROM row r LEFT JOIN outcome o ON o.number = r.number
           LEFT JOIN snapshot s ON s.list_id = r.list_id AND s.is_open = 1
           WHERE o.outcome = ? OR (o.number IS NULL AND r.number <= s.last_row) LIMIT 1""",
        (Outcome.UNKNOWN,),
    )
    return found.fetchone() is not None


def history_of(run: RunDirectory, list_id: int) -> History:
    """One list of `written_lists`."""
    done = tuple(_done_of(run, list_id))
    before = _before(run, list_id, {one.sid for one in done if one.is_new})
    opened = open_snapshot(run, list_id)
    last_row = 0 if opened is None else opened.last_row
    found = run.reader.execute(
        f"""SELECT r.number, r.operation, r.sid, r.address, r.prefix, r.name, r.match_address,
                   r.match_prefix
            FROM row r LEFT JOIN outcome o ON o.number = r.number
            WHERE {_UNSETTLED} ORDER BY r.number""",  # noqa: S608 - literals
        (list_id, last_row),
    )
    with sound(run):
        unsettled = tuple(make_row(fields) for fields in found)
    if not unsettled:
        return History(before, done)
    start = before if opened is None else opened.entries
    base, made = with_recorded(run, list_id, start)
    known = frozenset({entry.sid for entry in start} | made)
    return History(before, done, unsettled, tuple(base.values()), known)


def _before(run: RunDirectory, list_id: int, made: set[str]) -> tuple[Entry, ...]:
    """What was there before the run changed it: the first snapshot, and of later rounds what others
    had added until then."""
    found = run.reader.execute(
        "SELECT entries FROM snapshot WHERE list_id = ? ORDER BY round", (list_id,)
    )
    before: dict[str, Entry] = {}
    with sound(run):
        for place, (blob,) in enumerate(found):
            for entry in unpack(blob):
                if not place or entry.sid not in made:
                    before.setdefault(entry.sid, entry)
    return tuple(before.values())


def _done_of(run: RunDirectory, list_id: int) -> Iterator[Done]:
    found = run.reader.execute(
        f"""SELECT o.number, o.outcome, r.operation, o.sid, o.address, o.prefix, o.name
            FROM row r JOIN outcome o ON o.number = r.number
            WHERE r.list_id = ? AND {_DONE} ORDER BY r.number""",  # noqa: S608 - literals
        (list_id,),
    )
    with sound(run):
        for number, outcome, operation, sid, address, prefix, name in found:
            if outcome == Outcome.DELETED:
                yield Done(number, sid, None, is_new=False)
            else:
                # A create whose echo differed has made an entry too.
                is_new = outcome == Outcome.CREATED or (
                    outcome == Outcome.FAILED and operation in _MAKING
                )
                yield Done(number, sid, Entry(sid, address, prefix, name), is_new=is_new)
