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
from itertools import islice, repeat
from typing import cast

import orjson

from bulkipacl.model import Draft, Outcome, Problem, RowResult, SourceInfo
from bulkipacl.settings import INTAKE_BATCH
from bulkipacl.store.journal import insert_outcomes
from bulkipacl.store.rundir import RunDirectory

KNOWN_LISTS = 20_000
"""Lists whose number is remembered; the others are looked up. About 6 MB."""

_NULLABLE = (
    "list_id", "sid", "address", "prefix", "name", "match_address", "match_prefix",
)  # fmt: skip


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
        self._lists: dict[tuple[str, str, str], tuple[int, int]] = {}

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
        if not batch:
            return set()
        first = self.rows + 1
        columns = list(zip(*batch, strict=True))
        places = self._places(db, list(zip(*columns[2:5], strict=True)))
        outcomes = [
            invalid_result(first + index, problems)
            for index, problems in enumerate(columns[12])
            if problems and batch[index].is_invalid
        ]
        invalid = {outcome.number - first for outcome in outcomes}
        valid = [place for n, place in enumerate(places) if n not in invalid] if invalid else places
        _insert_rows(db, first, source_id, [place and place[1] for place in places], columns)
        insert_outcomes(db, outcomes)
        self.rows += len(batch)
        self.invalid += sum(outcome.outcome is Outcome.INVALID for outcome in outcomes)
        self.last_invalid = [outcome.number for outcome in outcomes]
        return {place for place in set(valid) if place is not None}

    def _places(
        self, db: sqlite3.Connection, keys: Sequence[tuple[str, str, str]]
    ) -> list[tuple[int, int] | None]:
        """The numbers of account and list of each of these; None where the list is not known."""
        found = list(map(self._lists.get, keys))
        if None in found:
            # Kept here, because a full memory of lists is emptied in between.
            known = {
                key: self._lists.get(key) or self._find_list(db, key)
                for key in dict.fromkeys(keys)  # in order of first sight
                if key[0] and (key[1] or key[2])
            }
            found = list(map(known.get, keys))
        return found

    def _find_list(self, db: sqlite3.Connection, key: tuple[str, str, str]) -> tuple[int, int]:
        account_sid, list_sid, list_name = key
        account_id = self._accounts.get(account_sid)
        if account_id is None:
            account_id = self._accounts[account_sid] = _number_of(
                db, "account", {"sid": account_sid}
            )
        named = {"sid": list_sid} if list_sid else {"name": list_name}
        place = (account_id, _number_of(db, "list", {"account_id": account_id, **named}))
        if len(self._lists) >= KNOWN_LISTS:
            self._lists.clear()
        self._lists[key] = place
        return place


def _number_of(db: sqlite3.Connection, table: str, values: dict[str, int | str]) -> int:
    """The number of what has these values, which is made where it is not there."""
    names, texts = list(values), list(values.values())
    found = db.execute(
        f"SELECT id FROM {table} WHERE {' AND '.join(f'{name} = ?' for name in names)}",  # noqa: S608 - our own words
        texts,
    ).fetchone()
    if found is None:
        made = db.execute(
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",  # noqa: S608 - our own words
            texts,
        )
        return int(made.lastrowid or 0)
    return int(found[0])


def _insert_rows(
    db: sqlite3.Connection,
    first: int,
    source_id: int,
    list_ids: Sequence[int | None],
    columns: Sequence[Sequence[object]],
) -> None:
    """Insert drafts, given by column, as rows; about 2.5 us each.

    `sqlite3` looks for an adapter of every value that is no int, float, str or bytearray, and finds
    none: that would be a third of the time. So a column that holds nothing is left out, and
    raw records go in as bytearrays.
    """
    count = len(list_ids)
    nullable = zip(_NULLABLE, (list_ids, *columns[5:11]), strict=True)
    values: dict[str, Iterable[object]] = {
        "number": range(first, first + count),
        "source_id": repeat(source_id),
        "line": columns[0],
        "operation": columns[1],
        **{name: column for name, column in nullable if column.count(None) < count},
        "raw": map(bytearray, cast("Sequence[bytes]", columns[11])),
    }
    db.executemany(
        f"INSERT INTO row ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})",  # noqa: S608 - our own words
        zip(*values.values()),  # noqa: B905 - one of them has no end
    )


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
