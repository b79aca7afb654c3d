"""What accounts' governors allowed while a run was under way: for the summary and for plots.

samples        all of them, in order of time
last_of_each   how each account stood at the last look
"""

from __future__ import annotations

from collections.abc import Iterator

from bulkipacl.model import AccountLimits, LimitSample
from bulkipacl.store.facts import sound
from bulkipacl.store.rundir import RunDirectory


def samples(run: RunDirectory) -> Iterator[tuple[str, LimitSample]]:
    """(account sid, sample) of all sessions of the run, in order of time."""
    found = run.reader.execute(
        """SELECT a.sid, s.* FROM limit_sample s JOIN account a ON a.id = s.account_id
           ORDER BY s.at, s.rowid"""
    )
    with sound(run):
        for sid, *fields in found:
            yield str(sid), LimitSample(*fields)


def last_of_each(run: RunDirectory) -> list[AccountLimits]:
    """The accounts with the most answers of 429 first, as they stood at the last look."""
    found = run.reader.execute(
        """SELECT a.sid, s.window, s.pace_per_s, s.binding, s.throttled, s.ended
           FROM limit_sample s JOIN account a ON a.id = s.account_id
           WHERE s.rowid IN (SELECT MAX(rowid) FROM limit_sample GROUP BY account_id)
           ORDER BY s.throttled DESC, a.id"""
    )
    with sound(run):
        return [AccountLimits(*fields) for fields in found]
