"""How far an input was taken in that was sent while it arrived, and the note that says so.

LastRow, last_row   the last row that there is
keep_note           the note, once, before all others
"""

from __future__ import annotations

import time
from typing import NamedTuple

from bulkipacl.store.rundir import RunDirectory

_FIRST = 0
"""Before the notes of the sending, which count from 1: a summary shows only so many."""


class LastRow(NamedTuple):
    """The row that was taken in last: its number in the run, and where it came from."""

    number: int
    source_id: int
    source: str
    line: int


def last_row(run: RunDirectory) -> LastRow | None:
    """The last row that was taken in; None where there is none."""
    found = run.reader.execute(
        """SELECT r.number, r.source_id, s.name, r.line FROM row r
           JOIN source s ON s.id = r.source_id ORDER BY r.number DESC LIMIT 1"""
    ).fetchone()
    return None if found is None else LastRow(*found)


def keep_note(run: RunDirectory, text: str) -> None:
    """Keep what is to be said of the input; a later session says the same again."""
    with run.transaction() as db:
        db.execute(
            "INSERT OR REPLACE INTO note VALUES (?, ?, 'input_unfinished', ?)",
            (_FIRST, time.time(), text),
        )
