"""Holds a plan to the readings that its rows were made from.

A job makes rows from one reading of a list, and the plan reads the list once more. What somebody
else changes between the two would go unnoticed, were the plan's own reading the measure.
"""

from __future__ import annotations

from collections.abc import Iterable

from bulkipacl.model import Entry
from bulkipacl.store.plan import digest_of
from bulkipacl.store.rundir import RunDirectory

Reading = tuple[str, str, tuple[Entry, ...]]
"""Account sid, list sid, and what the list held."""


def hold_to(run: RunDirectory, readings: Iterable[Reading]) -> None:
    """Have a plan's lists count as changed unless they are as these readings found them."""
    with run.transaction() as db:
        db.executemany(
            """UPDATE plan SET digest = ? WHERE entries IS NOT NULL AND list_id IN
               (SELECT l.id FROM list l JOIN account a ON a.id = l.account_id
                WHERE a.sid = ? AND l.sid = ?)""",
            ((digest_of(entries), account, sid) for account, sid, entries in readings),
        )
