"""Snapshots before, outcomes after: what the engine writes, one transaction per batch.

Batch    what happened since the last commit; all that the engine ever writes goes through it
Writes   the same as plain values, as SQLite takes them, and as processes pass them on
plain    makes the one of the other
commit   writes a batch whole or not at all;  write   the same for `Writes`, some at once
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from bulkipacl.model import Entry, Evidence, LimitSample, Outcome, RowResult
from bulkipacl.store.rundir import RunDirectory

# An outcome stands. Only one that left the row open gives way to what was found out later.
_INSERT_OUTCOME = (
    "INSERT INTO outcome VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "  # noqa: S608
    "ON CONFLICT (number) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in RowResult._fields[1:])
    + " WHERE outcome.outcome IN ('unknown', 'not_attempted')"
)
_TEXT: dict[str | None, str | None] = {each: str(each.value) for each in (*Outcome, *Evidence)}
_TEXT[None] = None


@dataclass(frozen=True, slots=True)
class KeptSnapshot:
    """A snapshot as the journal keeps it, with the rows that it covers.

    Attributes:
        untried: rows of an earlier session's round that it surely did not send. Keeping it again
            says that they may be sent from now on.
    """

    list_id: int
    round: int
    taken_at: float
    last_row: int
    entries: tuple[Entry, ...]
    untried: frozenset[int] = frozenset()


class PlannedList(NamedTuple):
    """What a plan keeps of one list: a line of the table `plan`, in its order.

    Attributes:
        digest: of the entries; "" where the list could not be read.
        entries: packed, or None where the list could not be read.
        why: JSON of how its rows would end then, or None.
    """

    list_id: int
    taken_at: float
    digest: str
    entries: bytes | None
    why: str | None


@dataclass(slots=True)
class Batch:
    """What happened since the last commit.

    Attributes:
        snapshots: new rounds, each of which closes the list's earlier ones; and rounds of an
            earlier session that go on, with rows that it did not try.
        results: rows that ended.
        closed: (list, round) whose rows have all ended.
        stopped: (account sid, JSON of the reason), for accounts for which nothing more is sent.
        notes: (kind, text).
        samples: what accounts' governors allowed.
        names: (account number, list number, sid): what lists are that were named by their
            FriendlyName. Where the input names such a list by sid too, the two become one.
        figures: (name, number), to be added to those that earlier sessions of the run left.
        planned: what a plan read, in place of what it read of the same lists before.
        after: called in the committing thread's caller once all of this is durable.
    """

    snapshots: list[KeptSnapshot] = field(default_factory=list)
    results: list[RowResult] = field(default_factory=list)
    closed: list[tuple[int, int]] = field(default_factory=list)
    stopped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    samples: list[LimitSample] = field(default_factory=list)
    names: list[tuple[int, int, str]] = field(default_factory=list)
    figures: list[tuple[str, float]] = field(default_factory=list)
    planned: list[PlannedList] = field(default_factory=list)
    after: list[Callable[[], None]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(
            self.snapshots
            or self.results
            or self.closed
            or self.stopped
            or self.notes
            or self.samples
            or self.names
            or self.figures
            or self.planned
            or self.after
        )


class Writes(NamedTuple):
    """A batch as nothing but lists and tuples of numbers, texts and bytes.

    Attributes:
        rounds: (list, round, taken at, last row, entries as kept): new rounds.
        untried: numbers of rows of rounds that go on, which were not attempted before.
        results: a `RowResult`'s fields, with plain texts for its words.
        samples: a `LimitSample`'s fields.
        planned: a `PlannedList`'s fields.
        names, closed, stopped, notes, figures: as in `Batch`.
    """

    names: Sequence[tuple[int, int, str]] = ()
    rounds: Sequence[tuple[int, int, float, int, bytes]] = ()
    untried: Sequence[int] = ()
    results: Sequence[tuple[Any, ...]] = ()
    closed: Sequence[tuple[int, int]] = ()
    stopped: Sequence[tuple[str, str]] = ()
    notes: Sequence[tuple[str, str]] = ()
    samples: Sequence[tuple[Any, ...]] = ()
    figures: Sequence[tuple[str, float]] = ()
    planned: Sequence[tuple[Any, ...]] = ()


def plain(batch: Batch) -> Writes:
    """What a batch writes; about 0.5 us a row."""
    return Writes(
        names=batch.names,
        rounds=[
            (kept.list_id, kept.round, kept.taken_at, kept.last_row, pack(kept.entries))
            for kept in batch.snapshots
            if not kept.untried
        ],
        untried=[number for kept in batch.snapshots for number in kept.untried],
        results=_plain_results(batch.results),
        closed=batch.closed,
        stopped=batch.stopped,
        notes=batch.notes,
        samples=[tuple(sample) for sample in batch.samples],
        figures=batch.figures,
        planned=[tuple(one) for one in batch.planned],
    )


def commit(run: RunDirectory, batch: Batch) -> None:
    """Write a batch in one transaction; it is durable when this returns.

    Raises:
        StoreError: nothing of it was written.
    """
    write(run, [plain(batch)])


def write(run: RunDirectory, some: Sequence[Writes]) -> None:
    """Write some batches in one transaction, one after the other; see `commit`."""
    with run.transaction() as db:
        for writes in some:
            _write(db, writes)


def _write(db: sqlite3.Connection, writes: Writes) -> None:
    for named in writes.names:
        _name_list(db, *named)
    db.executemany(
        "UPDATE snapshot SET is_open = 0 WHERE list_id = ? AND is_open = 1",
        [(kept[0],) for kept in writes.rounds],
    )
    db.executemany("INSERT INTO snapshot VALUES (?, ?, ?, ?, 1, ?)", writes.rounds)
    db.executemany(
        "DELETE FROM outcome WHERE number = ? AND outcome = ?",
        [(number, Outcome.NOT_ATTEMPTED) for number in writes.untried],
    )
    db.executemany(_INSERT_OUTCOME, writes.results)
    db.executemany("UPDATE snapshot SET is_open = 0 WHERE list_id = ? AND round = ?", writes.closed)
    db.executemany(
        "UPDATE account SET stopped = ? WHERE sid = ?",
        [(reason, sid) for sid, reason in writes.stopped],
    )
    add_notes(db, writes.notes)
    db.executemany("INSERT INTO limit_sample VALUES (?, ?, ?, ?, ?, ?, ?, ?)", writes.samples)
    db.executemany("INSERT OR REPLACE INTO plan VALUES (?, ?, ?, ?, ?)", writes.planned)
    for name, number in writes.figures:
        _add_up(db, name, number)


def _plain_results(results: Sequence[RowResult]) -> list[tuple[Any, ...]]:
    # Plain tuples of plain texts: for each other kind of value sqlite3 looks for an adapter first.
    return [(row[0], _TEXT[row[1]], _TEXT[row[2]], *row[3:]) for row in results]


def insert_outcomes(db: sqlite3.Connection, results: Sequence[RowResult]) -> None:
    """Keep how rows ended; about 4 us a row in batches."""
    db.executemany(_INSERT_OUTCOME, _plain_results(results))


def _add_up(db: sqlite3.Connection, name: str, number: float) -> None:
    found = db.execute("SELECT value FROM meta WHERE key = ?", (name,)).fetchone()
    total = number + (float(found[0]) if found else 0.0)
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, repr(total)))


def add_notes(db: sqlite3.Connection, notes: Sequence[tuple[str, str]]) -> None:
    """Keep (kind, text) pairs with the time."""
    db.executemany(
        "INSERT INTO note (at, kind, text) VALUES (?, ?, ?)",
        [(time.time(), kind, text) for kind, text in notes],
    )


def reopen(run: RunDirectory) -> None:
    """Make a run ready to be carried on: what had not truly ended has no outcome again.

    What was not attempted in a round that is open keeps saying so until the round goes on: of such
    a row, no outcome would mean that it may have been sent.
    """
    with run.transaction() as db:
        db.execute(
            """DELETE FROM outcome WHERE outcome = ? OR (outcome = ? AND NOT EXISTS (
                 SELECT 1 FROM row r JOIN snapshot s ON s.list_id = r.list_id AND s.is_open = 1
                 WHERE r.number = outcome.number AND r.number <= s.last_row))""",
            (Outcome.UNKNOWN, Outcome.NOT_ATTEMPTED),
        )
        db.execute("UPDATE account SET stopped = NULL")


def _name_list(db: sqlite3.Connection, account_id: int, list_id: int, sid: str) -> None:
    same = db.execute(
        "SELECT id FROM list WHERE account_id = ? AND sid = ?", (account_id, sid)
    ).fetchone()
    if same is None:
        db.execute("UPDATE list SET sid = ? WHERE id = ?", (sid, list_id))
    else:
        db.execute("UPDATE row SET list_id = ? WHERE list_id = ?", (same[0], list_id))


def pack(entries: Sequence[Entry]) -> bytes:
    """Entries as the journal keeps them."""
    return orjson.dumps([(e.sid, e.address, e.prefix, e.name) for e in entries])


def unpack(blob: bytes) -> tuple[Entry, ...]:
    """The entries of a kept snapshot."""
    return tuple(Entry(*fields) for fields in orjson.loads(blob))
