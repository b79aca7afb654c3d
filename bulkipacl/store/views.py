"""What is asked of a run directory: rows to carry out, rows with their outcomes, counts, causes.

Reading only. What a row without an outcome means is derived in `missing.py`, rows with their
outcomes are put together in `records.py`, and why rows did not end well is counted in `causes.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from bulkipacl.model import (
    Entry,
    Operation,
    Outcome,
    Row,
    SourceInfo,
    Summary,
    make,
)
from bulkipacl.settings import FEED_LISTS
from bulkipacl.store.causes import causes_of
from bulkipacl.store.facts import get_meta, set_meta, sound
from bulkipacl.store.journal import KeptSnapshot, unpack
from bulkipacl.store.missing import Missing
from bulkipacl.store.records import records
from bulkipacl.store.rundir import RunDirectory
from bulkipacl.store.samples import last_of_each

__all__ = [
    "ListInfo",
    "Missing",
    "account_sid",
    "accounts",
    "first_snapshot",
    "get_meta",
    "has_invalid_creates",
    "invalid_rows",
    "list_info",
    "list_of_sid",
    "lists_to_do",
    "make_row",
    "open_rows",
    "open_snapshot",
    "records",
    "row_count",
    "rows_left",
    "rows_of_list",
    "rows_to_do",
    "set_meta",
    "settled_rows",
    "sources",
    "summary",
    "unnamed_lists_to_do",
    "with_recorded",
]

_ROW = """r.number, r.operation, r.sid, r.address, r.prefix, r.name, r.match_address,
 r.match_prefix"""

_OPERATIONS = {operation.value: operation for operation in Operation}

_TO_DO = """NOT EXISTS
 (SELECT 1 FROM outcome o WHERE o.number = r.number AND o.outcome <> 'not_attempted')"""
"""A row is still to be done: it has no outcome, or was not attempted by an earlier session."""

_LIST_TO_DO = f"""(
 EXISTS (SELECT 1 FROM snapshot s WHERE s.list_id = l.id AND s.is_open = 1)
 OR EXISTS (SELECT 1 FROM row r WHERE r.list_id = l.id AND {_TO_DO}))"""  # noqa: S608 - a literal


@dataclass(frozen=True, slots=True)
class ListInfo:
    """A list of a run. `sid` is "" until its name was looked up.

    Attributes:
        rounds: how many it has had.
        is_open: the last of them did not come to its end.
    """

    id: int
    account_id: int
    sid: str
    name: str
    rounds: int = 0
    is_open: bool = False


def sources(run: RunDirectory) -> list[SourceInfo]:
    """All inputs of the run, in order."""
    found = run.reader.execute("SELECT id, name, format, columns FROM source ORDER BY id")
    with sound(run):
        return [SourceInfo(i, n, f, tuple(json.loads(columns))) for i, n, f, columns in found]


def accounts(run: RunDirectory) -> list[tuple[int, str]]:
    """(number, sid) of every account that a valid row names, in order of first sight."""
    return [
        (int(i), str(sid))
        for i, sid in run.reader.execute("SELECT id, sid FROM account ORDER BY id")
    ]


def account_sid(run: RunDirectory, account_id: int) -> str:
    """The sid of one account by its number."""
    found = run.reader.execute("SELECT sid FROM account WHERE id = ?", (account_id,)).fetchone()
    return str(found[0])


def row_count(run: RunDirectory) -> int:
    """Rows taken in."""
    return int(run.reader.execute("SELECT COUNT(*) FROM row").fetchone()[0])


def invalid_rows(run: RunDirectory) -> Iterator[int]:
    """Numbers of the rows that are invalid, in row order."""
    found = run.reader.execute(
        "SELECT number FROM outcome WHERE outcome = ? ORDER BY number", (Outcome.INVALID,)
    )
    return (int(row[0]) for row in found)


def settled_rows(run: RunDirectory) -> dict[Outcome, int]:
    """Rows that have an outcome and are not to be done any more, by outcome."""
    found = run.reader.execute(
        "SELECT outcome, COUNT(*) FROM outcome WHERE outcome <> ? GROUP BY 1",
        (Outcome.NOT_ATTEMPTED,),
    )
    with sound(run):
        return {Outcome(outcome): int(rows) for outcome, rows in found}


def open_rows(run: RunDirectory) -> Iterator[int]:
    """Numbers of the rows that have not truly ended, in row order."""
    found = run.reader.execute(
        """SELECT r.number FROM row r LEFT JOIN outcome o ON o.number = r.number
           WHERE o.number IS NULL OR o.outcome IN (?, ?) ORDER BY r.number""",
        (Outcome.UNKNOWN, Outcome.NOT_ATTEMPTED),
    )
    return (int(row[0]) for row in found)


def rows_left(run: RunDirectory) -> int:
    """Rows that are still to be done."""
    found = run.reader.execute(
        "SELECT COUNT(*) FROM outcome WHERE outcome <> ?", (Outcome.NOT_ATTEMPTED,)
    )
    return row_count(run) - int(found.fetchone()[0])


def rows_left_of_accounts(run: RunDirectory, after: int = 0) -> dict[int, int]:
    """Rows still to be done behind row `after`, by account number; about 0.3 us for each row."""
    found = run.reader.execute(
        f"""SELECT l.account_id, COUNT(*) FROM row r JOIN list l ON l.id = r.list_id
            WHERE r.number > ? AND {_TO_DO} GROUP BY 1""",  # noqa: S608 - a literal
        (after,),
    )
    return {int(number): int(rows) for number, rows in found}


def list_info(run: RunDirectory, list_id: int) -> ListInfo:
    """One list by its number."""
    found = run.reader.execute(
        """SELECT id, account_id, COALESCE(sid, ''), COALESCE(name, ''),
             (SELECT COALESCE(MAX(round) + 1, 0) FROM snapshot s WHERE s.list_id = list.id),
             EXISTS (SELECT 1 FROM snapshot s WHERE s.list_id = list.id AND s.is_open = 1)
           FROM list WHERE id = ?""",
        (list_id,),
    ).fetchone()
    number, account_id, sid, name, rounds, is_open = found
    return ListInfo(number, account_id, sid, name, rounds, bool(is_open))


def list_of_sid(run: RunDirectory, account_id: int, sid: str) -> int:
    """The number of the list that has this sid in this account, which is there."""
    found = run.reader.execute(
        "SELECT id FROM list WHERE account_id = ? AND sid = ?", (account_id, sid)
    ).fetchone()
    return int(found[0])


def lists_to_do(run: RunDirectory, account_id: int) -> Iterator[int]:
    """Numbers of an account's lists that have rows still to be done, or an open snapshot.

    Asked for in pages: what has changed in the store meanwhile is seen.
    """
    page, last = [0], 0
    while page:
        found = run.reader.execute(
            f"""SELECT l.id FROM list l WHERE l.account_id = ? AND l.id > ? AND {_LIST_TO_DO}
                ORDER BY l.id LIMIT {FEED_LISTS}""",  # noqa: S608 - literals
            (account_id, last),
        )
        page = [int(row[0]) for row in found]
        yield from page
        last = page[-1] if page else 0


def unnamed_lists_to_do(run: RunDirectory, account_id: int) -> dict[int, str]:
    """The names, by list number, of those of them whose sid is not known."""
    found = run.reader.execute(
        f"""SELECT l.id, l.name FROM list l
            WHERE l.account_id = ? AND l.sid IS NULL AND {_LIST_TO_DO} ORDER BY l.id""",  # noqa: S608 - literals
        (account_id,),
    )
    return {int(number): str(name) for number, name in found}


def rows_to_do(run: RunDirectory, list_id: int, limit: int) -> list[Row]:
    """The list's first `limit` rows that are still to be done, in row order; -1: all of them."""
    found = run.reader.execute(
        f"SELECT {_ROW} FROM row r WHERE r.list_id = ? AND {_TO_DO} ORDER BY r.number LIMIT ?",  # noqa: S608 - literals
        (list_id, limit),
    )
    with sound(run):
        return [make_row(fields) for fields in found]


def rows_of_list(run: RunDirectory, list_id: int) -> list[Row]:
    """All rows of a list that are still to be done, in row order."""
    return rows_to_do(run, list_id, -1)


def has_invalid_creates(run: RunDirectory, list_id: int | None) -> bool:
    """Whether a row that is invalid may have meant to create an entry in this list.

    Args:
        list_id: None asks for rows whose list was not understood either.
    """
    found = run.reader.execute(
        """SELECT 1 FROM row r JOIN outcome o ON o.number = r.number
           WHERE r.list_id IS ? AND o.outcome = ? AND r.operation NOT IN (?, ?) LIMIT 1""",
        (list_id, Outcome.INVALID, Operation.UPDATE, Operation.DELETE),
    )
    return found.fetchone() is not None


def make_row(fields: tuple[Any, ...]) -> Row:
    """A `Row` from the columns of `_ROW`."""
    return make(Row, (fields[0], _OPERATIONS[fields[1]], *fields[2:]))


def with_recorded(
    run: RunDirectory, list_id: int, entries: Iterable[Entry]
) -> tuple[dict[str, Entry], set[str]]:
    """A snapshot's entries by sid, with what rows of the list are recorded to have written since.

    Returns the sids of entries that these rows made, too.
    """
    held = {entry.sid: entry for entry in entries}
    made: set[str] = set()
    found = run.reader.execute(
        """SELECT o.outcome, o.sid, o.address, o.prefix, o.name FROM row r
           JOIN outcome o ON o.number = r.number
           WHERE r.list_id = ? AND o.outcome IN (?, ?, ?) AND o.sid IS NOT NULL
           ORDER BY r.number""",
        (list_id, Outcome.CREATED, Outcome.UPDATED, Outcome.DELETED),
    )
    for outcome, sid, address, prefix, name in found:
        if outcome == Outcome.DELETED:
            held.pop(sid, None)
        else:
            held[sid] = Entry(sid, address, prefix, name)
        if outcome == Outcome.CREATED:
            made.add(sid)
    return held, made


def open_snapshot(run: RunDirectory, list_id: int) -> KeptSnapshot | None:
    """The snapshot of a round that did not come to its end, if there is one.

    It comes with the rows of the round that are recorded not to have been attempted.
    """
    found = run.reader.execute(
        """SELECT list_id, round, taken_at, last_row, entries FROM snapshot
           WHERE list_id = ? AND is_open = 1""",
        (list_id,),
    ).fetchone()
    if found is None:
        return None
    list_id, number, taken_at, last_row, entries = found
    untried = run.reader.execute(
        """SELECT r.number FROM row r JOIN outcome o ON o.number = r.number
           WHERE r.list_id = ? AND r.number <= ? AND o.outcome = ?""",
        (list_id, last_row, Outcome.NOT_ATTEMPTED),
    )
    with sound(run):
        numbers = frozenset(int(row[0]) for row in untried)
        return KeptSnapshot(list_id, number, taken_at, last_row, unpack(entries), numbers)


def first_snapshot(run: RunDirectory, list_id: int) -> tuple[Entry, ...] | None:
    """The entries of a list before the run's first write to it."""
    found = run.reader.execute(
        "SELECT entries FROM snapshot WHERE list_id = ? ORDER BY round LIMIT 1", (list_id,)
    ).fetchone()
    with sound(run):
        return unpack(found[0]) if found else None


def summary(run: RunDirectory) -> Summary:
    """The run in figures, as it stands now: all of them of one instant, so that they add up."""
    with run.reading(), sound(run):
        missing = Missing(run)
        derived, causes = causes_of(run, missing)
        outcomes: dict[Outcome, int] = dict.fromkeys(Outcome, 0) | derived
        found = run.reader.execute("SELECT outcome, COUNT(*) FROM outcome GROUP BY 1")
        for outcome, rows in found:
            outcomes[Outcome(outcome)] += rows
        return Summary(
            run_dir=str(run.path),
            rows=row_count(run),
            outcomes=outcomes,
            causes=tuple(causes),
            ending=missing.ending,
            notes=_texts(run, "SELECT text FROM note ORDER BY id"),
            requests=int(float(get_meta(run, "requests", "0"))),
            throttled=int(float(get_meta(run, "throttled", "0"))),
            elapsed_s=float(get_meta(run, "elapsed_s", "0")),
            accounts_stopped=_texts(
                run, "SELECT sid FROM account WHERE stopped IS NOT NULL ORDER BY id"
            ),
            limits=tuple(last_of_each(run)),
        )


def _texts(run: RunDirectory, question: str) -> tuple[str, ...]:
    return tuple(str(row[0]) for row in run.reader.execute(question))
