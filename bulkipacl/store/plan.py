"""What a plan keeps of each list, and what is asked of it afterwards.

digest_of, read_list, unread_list   values for the journal's next commit
planned_digest   the digest of one list, against which a later reading is held
planned_lists    every list that has rows to do, with what the plan read of it
rows_after, delete_rows, list_of_row   the rows that a plan is about
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import orjson

from bulkipacl.model import Entry, Operation, Outcome, Row, RowResult
from bulkipacl.store.facts import sound
from bulkipacl.store.journal import PlannedList, pack, unpack
from bulkipacl.store.missing import Missing
from bulkipacl.store.rundir import RunDirectory
from bulkipacl.store.views import make_row

_ROWS = """
SELECT r.number, r.operation, r.sid, r.address, r.prefix, r.name, r.match_address, r.match_prefix
FROM row r LEFT JOIN outcome o ON o.number = r.number
WHERE r.list_id = ? AND r.number > ? AND (o.number IS NULL OR o.outcome = 'not_attempted')
ORDER BY r.number LIMIT ?
"""
_LISTS = """
SELECT l.id, a.sid, COALESCE(l.sid, ''), COALESCE(l.name, ''), p.entries, p.why,
       (SELECT MIN(number) FROM row WHERE list_id = l.id)
FROM list l JOIN account a ON a.id = l.account_id LEFT JOIN plan p ON p.list_id = l.id
ORDER BY l.account_id, l.id
"""


@dataclass(frozen=True, slots=True)
class ReadList:
    """One list of a plan.

    Attributes:
        list_sid: "" where only its name is known.
        entries: what it held, or None where it could not be read.
        why: how its rows would end then, by the first of them; None where it was read.
    """

    id: int
    account_sid: str
    list_sid: str
    list_name: str
    entries: tuple[Entry, ...] | None
    why: RowResult | None


def digest_of(entries: Iterable[Entry]) -> str:
    """The same for the same entries in any order; about 1 us an entry."""
    lines = sorted((e.sid, e.address, e.prefix, e.name) for e in entries)
    return hashlib.sha256(orjson.dumps(lines)).hexdigest()


def read_list(list_id: int, taken_at: float, entries: tuple[Entry, ...]) -> PlannedList:
    """A list that was read."""
    return PlannedList(list_id, taken_at, digest_of(entries), pack(entries), None)


def unread_list(list_id: int, taken_at: float, result: RowResult) -> PlannedList:
    """A list that could not be read; its rows would end as this one."""
    return PlannedList(list_id, taken_at, "", None, orjson.dumps(list(result)).decode())


def planned_digest(run: RunDirectory, list_id: int) -> str:
    """The digest of what the plan read of a list; "" where it read nothing."""
    found = run.reader.execute("SELECT digest FROM plan WHERE list_id = ?", (list_id,)).fetchone()
    return str(found[0]) if found else ""


def planned_lists(run: RunDirectory) -> Iterator[ReadList]:
    """Every list that the rows name, in order of account and first sight. Constant memory."""
    missing = Missing(run)
    with sound(run):
        for list_id, account, sid, name, entries, why, first in run.reader.execute(_LISTS):
            if first is None:
                continue  # Its rows went to the list of the same name.
            result = None
            if why is not None:
                number, outcome, *rest = orjson.loads(why)
                result = RowResult(number, Outcome(outcome), *rest)
            elif entries is None:
                result = missing.result(first, list_id, account)
            kept = None if entries is None else unpack(entries)
            yield ReadList(list_id, account, sid, name, kept, result)


def rows_after(run: RunDirectory, list_id: int, number: int, limit: int) -> list[Row]:
    """A list's next rows that are still to be done, in row order, behind the row of this number."""
    found = run.reader.execute(_ROWS, (list_id, number, limit))
    with sound(run):
        return [make_row(fields) for fields in found]


def delete_rows(run: RunDirectory) -> int:
    """Rows of the whole run that ask for a delete, invalid ones left out."""
    found = run.reader.execute(
        """SELECT COUNT(*) FROM row r LEFT JOIN outcome o ON o.number = r.number
           WHERE r.operation = ? AND COALESCE(o.outcome, '') <> ?""",
        (Operation.DELETE, Outcome.INVALID),
    )
    return int(found.fetchone()[0])


def list_of_row(run: RunDirectory, number: int) -> int:
    """The number of the list that a row names."""
    found = run.reader.execute("SELECT list_id FROM row WHERE number = ?", (number,)).fetchone()
    return int(found[0])
