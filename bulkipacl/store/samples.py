"""What accounts' governors allowed while a run was under way: for the summary and for plots.

samples        all of them, in order of time
last_of_each   how each account stood at the last look, and what held it back
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
        for sid, at, account, *fields in found:
            window, pace_per_s, binding, in_flight, throttled, ended = fields
            yield (
                str(sid),
                LimitSample(
                    float(at),
                    int(account),
                    float(window),
                    _pace(pace_per_s),
                    str(binding),
                    int(in_flight),
                    int(throttled),
                    int(ended),
                ),
            )


def last_of_each(run: RunDirectory) -> list[AccountLimits]:
    """The accounts with the most answers of 429 first, as they stood at the last look.

    Only `binding` is what last held the account back, if anything was seen to: at its end, when
    nothing is left to send, an account is held back by nothing.
    """
    found = run.reader.execute(
        """WITH last AS (SELECT MAX(rowid) AS number FROM limit_sample GROUP BY account_id),
                held AS (SELECT account_id, binding, MAX(rowid) FROM limit_sample
                         WHERE binding <> 'demand' GROUP BY account_id)
           SELECT a.sid, s.window, s.pace_per_s, COALESCE(held.binding, s.binding), s.throttled,
                  s.ended
           FROM last JOIN limit_sample s ON s.rowid = last.number
           JOIN account a ON a.id = s.account_id LEFT JOIN held USING (account_id)
           ORDER BY s.throttled DESC, a.id"""
    )
    with sound(run):
        return [
            AccountLimits(
                str(sid), float(window), _pace(pace), str(binding), int(throttled), int(ended)
            )
            for sid, window, pace, binding, throttled, ended in found
        ]


def _pace(value: Any) -> float | None:
    return None if value is None else float(value)
