"""Snapshots before, outcomes after: what the engine writes, one transaction per batch.

`Batch` gathers what happened since the last commit; `commit` writes it whole or not at all.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from bulkipacl.model import Entry, LimitSample, Outcome, RowResult
from bulkipacl.store.rundir import RunDirectory

# An outcome stands. Only one that left the row open gives way to what was found out later.
_INSERT_OUTCOME = (
    "INSERT INTO outcome VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "  # noqa: S608
    "ON CONFLICT (number) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in RowResult._fields[1:])
    + " WHERE outcome.outcome IN ('unknown', 'not_attempted')"
)


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
        planned: what a plan read, in place of what it read of the same lists before.
        after: called in the committing thread's caller once all of this is durable.
    """

    snapshots: list[KeptSnapshot] = field(default_factory=list)
    results: list[RowResult] = field(default_factory=list)
    closed: list[tuple[int, int]] = field(default_factory=list)
    stopped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    samples: list[LimitSample] = field(default_factory=list)
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
            or self.planned
            or self.after
        )


def commit(run: RunDirectory, batch: Batch) -> None:
    """Write a batch in one transaction; it is durable when this returns.

    Raises:
        StoreError: nothing of it was written.
    """
    begun = [kept for kept in batch.snapshots if not kept.untried]
    untried = [number for kept in batch.snapshots for number in kept.untried]
    with run.transaction() as db:
        db.executemany(
            "UPDATE snapshot SET is_open = 0 WHERE list_id = ? AND is_open = 1",
            [(kept.list_id,) for kept in begun],
        )
        db.executemany(
            "INSERT INTO snapshot VALUES (?, ?, ?, ?, 1, ?)",
            [
                (kept.list_id, kept.round, kept.taken_at, kept.last_row, pack(kept.entries))
                for kept in begun
            ],
        )
        db.executemany(
            "DELETE FROM outcome WHERE number = ? AND outcome = ?",
            [(number, Outcome.NOT_ATTEMPTED) for number in untried],
        )
        insert_outcomes(db, batch.results)
        db.executemany(
            "UPDATE snapshot SET is_open = 0 WHERE list_id = ? AND round = ?", batch.closed
        )
        db.executemany(
            "UPDATE account SET stopped = ? WHERE sid = ?",
            [(reason, sid) for sid, reason in batch.stopped],
        )
        add_notes(db, batch.notes)
        db.executemany("INSERT INTO limit_sample VALUES (?, ?, ?, ?, ?, ?, ?, ?)", batch.samples)
        db.executemany("INSERT OR REPLACE INTO plan VALUES (?, ?, ?, ?, ?)", batch.planned)


def insert_outcomes(db: sqlite3.Connection, results: Sequence[RowResult]) -> None:
    """Keep how rows ended; about 2 us a row in batches."""
    db.executemany(_INSERT_OUTCOME, results)


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


def name_lists(run: RunDirectory, account_id: int, sids: Mapping[int, str]) -> list[int]:
    """Give lists that were named by their FriendlyName their sids; returns their numbers.

    Where the input names the same list by sid too, the two become one: the other's number is
    returned, and it has the rows of both.
    """
    numbers = []
    with run.transaction() as db:
        for list_id, sid in sids.items():
            same = db.execute(
                "SELECT id FROM list WHERE account_id = ? AND sid = ?", (account_id, sid)
            ).fetchone()
            if same is None:
                db.execute("UPDATE list SET sid = ? WHERE id = ?", (sid, list_id))
            else:
                db.execute("UPDATE row SET list_id = ? WHERE list_id = ?", (same[0], list_id))
            numbers.append(list_id if same is None else int(same[0]))
    return numbers


def pack(entries: Sequence[Entry]) -> bytes:
    """Entries as the journal keeps them."""
    return orjson.dumps([(e.sid, e.address, e.prefix, e.name) for e in entries])


def unpack(blob: bytes) -> tuple[Entry, ...]:
    """The entries of a kept snapshot."""
    return tuple(Entry(*fields) for fields in orjson.loads(blob))
