"""The tables of `run.sqlite`, and what each of them promises.

A row's state is never written while it is on its way; it follows from what is there:

    an `outcome` of the row                                    that outcome
    none, and its list has an open `snapshot` that covers it   unknown: it may have been sent
    none otherwise                                             not_attempted

So a run that was killed at any instant reads true without a repair step. A `snapshot` is made
durable before the first write that it covers is sent; it is closed in the transaction that
records the last outcome it covers. An outcome `not_attempted` leaves its row to be done: where an
open snapshot covers it, it stands until a later session has read the list, and is taken away,
durably, before that session sends the row. `source.columns` and `row.raw` keep the input itself, so
nothing ever needs the input file again. A `plan` row is a reading that nothing was sent on; it says
nothing of a row's state. No table holds a secret.
"""

from __future__ import annotations

APPLICATION_ID = 0x42_49_50_41
"""Stands in the file's header ("BIPA"), so that another SQLite file is told apart."""

SCHEMA_VERSION = 3

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- One input. columns: JSON array of all column names, in order of first sight.
CREATE TABLE source (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, format TEXT NOT NULL, columns TEXT NOT NULL
);

-- stopped: JSON of why nothing more is sent for this account, or NULL.
CREATE TABLE account (id INTEGER PRIMARY KEY, sid TEXT NOT NULL UNIQUE, stopped TEXT);

-- A list by sid, or by a FriendlyName that is not yet looked up (sid NULL).
CREATE TABLE list (
    id INTEGER PRIMARY KEY, account_id INTEGER NOT NULL, sid TEXT, name TEXT,
    UNIQUE (account_id, sid), UNIQUE (account_id, name)
);
CREATE INDEX list_of_account ON list (account_id);

-- list_id NULL: the row is invalid, and its list was not understood. address: IPv4 as an integer.
CREATE TABLE row (
    number INTEGER PRIMARY KEY, source_id INTEGER NOT NULL, line INTEGER NOT NULL,
    operation INTEGER NOT NULL, list_id INTEGER, sid TEXT, address INTEGER, prefix INTEGER,
    name TEXT, match_address INTEGER, match_prefix INTEGER, raw BLOB NOT NULL
);

-- entries: JSON array of [sid, address, prefix, name]. A round covers the list's rows up to
-- last_row; the first round of a list is the state to which an undo goes back.
CREATE TABLE snapshot (
    list_id INTEGER NOT NULL, round INTEGER NOT NULL, taken_at REAL NOT NULL,
    last_row INTEGER NOT NULL, is_open INTEGER NOT NULL, entries BLOB NOT NULL,
    PRIMARY KEY (list_id, round)
);
CREATE INDEX snapshot_open ON snapshot (list_id) WHERE is_open = 1;

-- What a plan read of a list: `digest` is that of its entries, and shows whether it has changed
-- since. entries NULL: it could not be read, and why is JSON of how its rows would end.
CREATE TABLE plan (
    list_id INTEGER PRIMARY KEY, taken_at REAL NOT NULL, digest TEXT NOT NULL,
    entries BLOB, why TEXT
);

CREATE TABLE outcome (
    number INTEGER PRIMARY KEY, outcome TEXT NOT NULL, evidence TEXT, reason TEXT NOT NULL,
    status INTEGER NOT NULL, code INTEGER NOT NULL, message TEXT NOT NULL,
    more_info TEXT NOT NULL, attempts INTEGER NOT NULL, request_id TEXT NOT NULL,
    finished_at REAL NOT NULL, duration_ms REAL NOT NULL, suggestion TEXT NOT NULL,
    sid TEXT, address INTEGER, prefix INTEGER, name TEXT
);

-- What an account's governor allowed, now and then: for the summary and for plots.
CREATE TABLE limit_sample (
    at REAL NOT NULL, account_id INTEGER NOT NULL, window REAL NOT NULL, pace_per_s REAL,
    binding TEXT NOT NULL, in_flight INTEGER NOT NULL, throttled INTEGER NOT NULL,
    ended INTEGER NOT NULL
);

-- What a person should know of the run besides its rows: a late duplicate removed, a guard
-- overridden.
CREATE TABLE note (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL
);
"""

ROW_INDEX = "CREATE INDEX IF NOT EXISTS row_of_list ON row (list_id) WHERE list_id IS NOT NULL"
"""Made after a whole input was taken in: sorting once is cheaper than keeping it in order."""
