"""Drafts in, numbered rows out.

`Intake` gives every draft of every source its number, finds or makes its account and list, and
inserts in batches. An invalid draft is a row like any other: it is kept with the outcome
`invalid`, so that nothing that came in can be missing from a report.

It does not check anything: `bulkipacl.intake` did.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence
from itertools import islice

import orjson

from bulkipacl.model import Draft, Outcome, Problem, RowResult, SourceInfo
from bulkipacl.settings import INTAKE_BATCH
from bulkipacl.store.journal import insert_outcomes
from bulkipacl.store.rundir import RunDirectory

KNOWN_LISTS = 20_000
"""Lists whose number is remembered; the others are looked up. About 4 MB."""


class Intake:
    """Takes sources into a run, one after the other.

    Attributes:
        rows: rows taken in so far.
        invalid: how many of them are invalid.
        last_invalid: the numbers of those of the last batch.
    """

    def __init__(self, run: RunDirectory) -> None:
        self.rows = 0
        self.invalid = 0
        self.last_invalid: list[int] = []
        self._run = run
        self._accounts: dict[str, int] = {}
        self._lists: dict[tuple[str, str, str], int] = {}

    def take(self, source: SourceInfo, drafts: Iterable[Draft]) -> Iterable[Sequence[Draft]]:
        """Insert all drafts of a source; yields each batch once it is in the database.

        The caller's loop over the batches drives it, and sees problems while they come.
        """
        self.describe(source)
        stream = iter(drafts)
        while batch := list(islice(stream, INTAKE_BATCH)):
            self.insert(source.id, batch)
            yield batch

    def describe(self, source: SourceInfo) -> None:
        """Keep a source's name and columns; again when its columns have grown."""
        with self._run.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO source VALUES (?, ?, ?, ?)",
                (source.id, _text(source.name), source.format, _json_text(source.columns)),
            )

    def insert(self, source_id: int, batch: Sequence[Draft]) -> set[tuple[int, int]]:
        """Insert drafts of a source; returns the (account, list) numbers that have new rows."""
        try:
            with self._run.transaction() as db:
                return self._insert(db, source_id, batch)
        except BaseException:
            # The numbers of what was not inserted after all must not be taken for known.
            self._accounts.clear()
            self._lists.clear()
            raise

    def _insert(
        self, db: sqlite3.Connection, source_id: int, batch: Sequence[Draft]
    ) -> set[tuple[int, int]]:
        number = self.rows
        touched: set[tuple[int, int]] = set()
        rows: list[tuple[object, ...]] = []
        outcomes: list[RowResult] = []
        known = self._lists
        for draft in batch:
            number += 1
            key = (draft.account_sid, draft.list_sid, draft.list_name)
            list_id = known.get(key)
            if list_id is None and key[0] and (key[1] or key[2]):
                list_id = self._find_list(db, key)
            if draft.problems and draft.is_invalid:
                outcomes.append(invalid_result(number, draft.problems))
            elif list_id is not None:
                touched.add((self._accounts[draft.account_sid], list_id))
            rows.append((number, source_id, draft[0], draft[1], list_id, *draft[5:12]))
        db.executemany("INSERT INTO row VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", rows)
        insert_outcomes(db, outcomes)
        self.rows = number
        self.invalid += sum(outcome.outcome is Outcome.INVALID for outcome in outcomes)
        self.last_invalid = [outcome.number for outcome in outcomes]
        return touched

    def _find_list(self, db: sqlite3.Connection, key: tuple[str, str, str]) -> int:
        account_sid, list_sid, list_name = key
        account_id = self._accounts.get(account_sid)
        if account_id is None:
            db.execute("INSERT OR IGNORE INTO account (sid) VALUES (?)", (account_sid,))
            found = db.execute("SELECT id FROM account WHERE sid = ?", (account_sid,)).fetchone()
            account_id = self._accounts[account_sid] = int(found[0])
        column, value = ("sid", list_sid) if list_sid else ("name", list_name)
        db.execute(
            f"INSERT OR IGNORE INTO list (account_id, {column}) VALUES (?, ?)",  # noqa: S608 - one of two literals
            (account_id, value),
        )
        found = db.execute(
            f"SELECT id FROM list WHERE account_id = ? AND {column} = ?",  # noqa: S608 - one of two literals
            (account_id, value),
        ).fetchone()
        if len(self._lists) >= KNOWN_LISTS:
            self._lists.clear()
        self._lists[key] = int(found[0])
        return int(found[0])


def invalid_result(number: int, problems: Iterable[Problem]) -> RowResult:
    """The outcome of a row that cannot be sent: all its problems in one line.

    It is `refused` where the row is understood, and a guard alone stands against it.
    """
    errors = [problem for problem in problems if not problem.is_warning]
    is_refused = all(problem.is_refusal for problem in errors)
    return RowResult(
        number,
        Outcome.REFUSED if is_refused else Outcome.INVALID,
        reason=errors[0].reason,
        message="; ".join(
            f"{problem.field}: {problem.why}" if problem.field else problem.why
            for problem in errors
        ),
        finished_at=time.time(),
        suggestion="; ".join(problem.suggestion for problem in errors if problem.suggestion),
    )


def _text(name: str) -> str:
    """A file's name as text that the database can hold; a name can be any bytes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _json_text(columns: Sequence[str]) -> str:
    """JSON of column names; names that are not Unicode are kept by escaping."""
    try:
        return orjson.dumps(list(columns)).decode()
    except orjson.JSONEncodeError:
        import json

        return json.dumps(list(columns))
