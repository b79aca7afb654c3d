"""What is asked of a run directory: rows to carry out, rows with their outcomes, counts, causes.

Reading only. What a row without an outcome means is derived here and nowhere else; see
`schema.py` for the rule.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import orjson

from bulkipacl.model import (
    GOOD_OUTCOMES,
    Cause,
    Entry,
    Evidence,
    Operation,
    Outcome,
    Row,
    RowRecord,
    RowResult,
    SourceInfo,
    Summary,
)
from bulkipacl.store.journal import KeptSnapshot, unpack
from bulkipacl.store.rundir import RunDirectory, is_locked

_ROW = """r.number, r.operation, r.sid, r.address, r.prefix, r.name, r.match_address,
 r.match_prefix"""

_RECORD = """
SELECT r.number, r.source_id, r.line, r.operation, r.list_id, r.sid, r.address, r.prefix, r.name,
       r.match_address, r.match_prefix, r.raw,
       o.outcome, o.evidence, o.reason, o.status, o.code, o.message, o.more_info, o.attempts,
       o.request_id, o.finished_at, o.duration_ms, o.suggestion, o.sid, o.address, o.prefix, o.name
FROM row r LEFT JOIN outcome o ON o.number = r.number
"""

_RESUME = "`bulkipacl resume` the run to settle it"
_CARRY_ON = "`bulkipacl resume` the run to carry it out"
_WHY_NOT_ATTEMPTED = {
    "invalid_input": "mend the invalid rows and apply the file again, or use --skip-invalid",
}


@dataclass(frozen=True, slots=True)
class ListInfo:
    """A list of a run. `sid` is "" until its name was looked up."""

    id: int
    account_id: int
    sid: str
    name: str


def get_meta(run: RunDirectory, key: str, default: str = "") -> str:
    """A fact of the run by name."""
    found = run.reader.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return str(found[0]) if found else default


def set_meta(run: RunDirectory, facts: Mapping[str, str]) -> None:
    """Keep facts of the run; durable when it returns."""
    with run.transaction() as db:
        db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(facts.items()))


def add_up(run: RunDirectory, figures: Mapping[str, float]) -> None:
    """Add figures to those that earlier sessions of the run left."""
    set_meta(run, {key: repr(float(get_meta(run, key, "0")) + x) for key, x in figures.items()})


def sources(run: RunDirectory) -> list[SourceInfo]:
    """All inputs of the run, in order."""
    found = run.reader.execute("SELECT id, name, format, columns FROM source ORDER BY id")
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


def open_rows(run: RunDirectory) -> Iterator[int]:
    """Numbers of the rows that have not truly ended, in row order."""
    found = run.reader.execute(
        """SELECT r.number FROM row r LEFT JOIN outcome o ON o.number = r.number
           WHERE o.number IS NULL OR o.outcome IN (?, ?) ORDER BY r.number""",
        (Outcome.UNKNOWN, Outcome.NOT_ATTEMPTED),
    )
    return (int(row[0]) for row in found)


def rows_left(run: RunDirectory) -> int:
    """Rows without an outcome."""
    done = int(run.reader.execute("SELECT COUNT(*) FROM outcome").fetchone()[0])
    return row_count(run) - done


def list_info(run: RunDirectory, list_id: int) -> ListInfo:
    """One list by its number."""
    found = run.reader.execute(
        "SELECT id, account_id, COALESCE(sid, ''), COALESCE(name, '') FROM list WHERE id = ?",
        (list_id,),
    ).fetchone()
    return ListInfo(*found)


def lists_to_do(run: RunDirectory, account_id: int) -> list[int]:
    """Numbers of an account's lists that have rows without an outcome, or an open snapshot."""
    found = run.reader.execute(
        """SELECT l.id FROM list l WHERE l.account_id = ? AND (
             EXISTS (SELECT 1 FROM snapshot s WHERE s.list_id = l.id AND s.is_open = 1)
             OR EXISTS (SELECT 1 FROM row r WHERE r.list_id = l.id AND NOT EXISTS
                        (SELECT 1 FROM outcome o WHERE o.number = r.number)))
           ORDER BY l.id""",
        (account_id,),
    )
    return [int(row[0]) for row in found]


def rows_to_do(run: RunDirectory, list_id: int, limit: int) -> list[Row]:
    """The list's first `limit` rows without an outcome, in row order; -1: all of them."""
    found = run.reader.execute(
        f"""SELECT {_ROW} FROM row r WHERE r.list_id = ? AND NOT EXISTS
            (SELECT 1 FROM outcome o WHERE o.number = r.number) ORDER BY r.number LIMIT ?""",  # noqa: S608 - a literal
        (list_id, limit),
    )
    return [make_row(fields) for fields in found]


def rows_of_list(run: RunDirectory, list_id: int) -> list[Row]:
    """All rows of a list that have no outcome, in row order."""
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
    return Row(fields[0], Operation(fields[1]), *fields[2:])


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
    """The snapshot of a round that did not come to its end, if there is one."""
    found = run.reader.execute(
        """SELECT list_id, round, taken_at, last_row, entries FROM snapshot
           WHERE list_id = ? AND is_open = 1""",
        (list_id,),
    ).fetchone()
    if found is None:
        return None
    list_id, number, taken_at, last_row, entries = found
    return KeptSnapshot(list_id, number, taken_at, last_row, unpack(entries))


def next_round(run: RunDirectory, list_id: int) -> int:
    """The number of the list's next round, from 0."""
    found = run.reader.execute(
        "SELECT COALESCE(MAX(round) + 1, 0) FROM snapshot WHERE list_id = ?", (list_id,)
    ).fetchone()
    return int(found[0])


def first_snapshot(run: RunDirectory, list_id: int) -> tuple[Entry, ...] | None:
    """The entries of a list before the run's first write to it."""
    found = run.reader.execute(
        "SELECT entries FROM snapshot WHERE list_id = ? ORDER BY round LIMIT 1", (list_id,)
    ).fetchone()
    return unpack(found[0]) if found else None


class Missing:
    """What rows without an outcome mean in this run, as it stands now."""

    def __init__(self, run: RunDirectory) -> None:
        self._ending = get_meta(run, "ending") or ("running" if is_locked(run.path) else "killed")
        self._open: dict[int, int] = dict(
            run.reader.execute("SELECT list_id, last_row FROM snapshot WHERE is_open = 1")
        )
        self._stopped: dict[str, dict[str, object]] = {
            sid: orjson.loads(reason)
            for sid, reason in run.reader.execute(
                "SELECT sid, stopped FROM account WHERE stopped IS NOT NULL"
            )
        }

    @property
    def ending(self) -> str:
        """How the run ended; `running` or `killed` where it did not say."""
        return self._ending

    def result(self, number: int, list_id: int | None, account_sid: str) -> RowResult:
        """The outcome of a row that has none in the store."""
        if list_id is not None and number <= self._open.get(list_id, 0):
            return RowResult(number, Outcome.UNKNOWN, reason=self._ending, suggestion=_RESUME)
        stop = self._stopped.get(account_sid)
        if stop is not None:
            return RowResult(
                number,
                Outcome.NOT_ATTEMPTED,
                reason=str(stop["reason"]),
                status=int(str(stop["status"])),
                code=int(str(stop["code"])),
                message=str(stop["message"]),
                more_info=str(stop["more_info"]),
                suggestion=str(stop["suggestion"]),
            )
        why = _WHY_NOT_ATTEMPTED.get(self._ending, _CARRY_ON)
        return RowResult(number, Outcome.NOT_ATTEMPTED, reason=self._ending, suggestion=why)


def records(run: RunDirectory, numbers: Iterable[int] | None = None) -> Iterator[RowRecord]:
    """Every row with its outcome, in row order; or those of the given numbers, in their order.

    Constant memory. About 4 us a row.
    """
    missing = Missing(run)
    names = _list_names(run)
    if numbers is None:
        for fields in run.reader.execute(f"{_RECORD} ORDER BY r.number"):
            yield _record(fields, names, missing)
    else:
        for number in numbers:
            for fields in run.reader.execute(f"{_RECORD} WHERE r.number = ?", (number,)):
                yield _record(fields, names, missing)


def _list_names(run: RunDirectory) -> Callable[[int], tuple[str, str, str]]:
    @lru_cache(maxsize=4_096)
    def names(list_id: int) -> tuple[str, str, str]:
        found = run.reader.execute(
            """SELECT a.sid, COALESCE(l.sid, ''), COALESCE(l.name, '') FROM list l
               JOIN account a ON a.id = l.account_id WHERE l.id = ?""",
            (list_id,),
        ).fetchone()
        return (str(found[0]), str(found[1]), str(found[2]))

    return names


def _record(
    fields: tuple[Any, ...], names: Callable[[int], tuple[str, str, str]], missing: Missing
) -> RowRecord:
    number, source_id, line, operation, list_id = fields[:5]
    of_list = names(list_id) if list_id is not None else ("", "", "")
    if fields[12] is None:
        result = missing.result(number, list_id, of_list[0])
    else:
        evidence = fields[13]
        result = RowResult(
            number, Outcome(fields[12]), Evidence(evidence) if evidence else None, *fields[14:]
        )
    return RowRecord._make((source_id, line, operation, *of_list, *fields[5:12], result))


def summary(run: RunDirectory) -> Summary:
    """The run in figures, as it stands now."""
    missing = Missing(run)
    causes = _recorded_causes(run) + _missing_causes(run, missing)
    outcomes: dict[Outcome, int] = dict.fromkeys(Outcome, 0)
    for outcome, rows in run.reader.execute("SELECT outcome, COUNT(*) FROM outcome GROUP BY 1"):
        outcomes[Outcome(outcome)] += rows
    for cause in causes:
        if cause.is_missing:
            outcomes[cause.outcome] += cause.rows
    refused = run.reader.execute("SELECT sid FROM account WHERE stopped IS NOT NULL ORDER BY id")
    return Summary(
        run_dir=str(run.path),
        rows=row_count(run),
        outcomes=outcomes,
        causes=tuple(sorted(causes, key=lambda cause: -cause.rows)),
        ending=missing.ending,
        notes=tuple(str(row[0]) for row in run.reader.execute("SELECT text FROM note ORDER BY id")),
        requests=int(float(get_meta(run, "requests", "0"))),
        throttled=int(float(get_meta(run, "throttled", "0"))),
        elapsed_s=float(get_meta(run, "elapsed_s", "0")),
        accounts_stopped=tuple(str(row[0]) for row in refused),
    )


def _recorded_causes(run: RunDirectory) -> list[Cause]:
    found = run.reader.execute(
        f"""SELECT o.outcome, o.reason, o.status, o.code, o.message, o.suggestion, COUNT(*),
                   MIN(o.number) FROM outcome o
            WHERE o.outcome NOT IN ({",".join("?" * len(GOOD_OUTCOMES))})
            GROUP BY o.outcome, o.reason, o.status, o.code""",  # noqa: S608 - placeholders only
        sorted(GOOD_OUTCOMES),
    )
    return [
        Cause(
            outcome=Outcome(outcome),
            reason=reason,
            status=status,
            code=code,
            message=message,
            suggestion=suggestion,
            rows=rows,
            first_row=first,
            **_place(run, first),
        )
        for outcome, reason, status, code, message, suggestion, rows, first in found
    ]


def _missing_causes(run: RunDirectory, missing: Missing) -> list[Cause]:
    """Rows without an outcome, counted per list and then by what that means."""
    found = run.reader.execute(
        """SELECT r.list_id, a.sid, r.number <= COALESCE(s.last_row, 0), COUNT(*), MIN(r.number)
           FROM row r JOIN list l ON l.id = r.list_id JOIN account a ON a.id = l.account_id
           LEFT JOIN snapshot s ON s.list_id = r.list_id AND s.is_open = 1
           WHERE NOT EXISTS (SELECT 1 FROM outcome o WHERE o.number = r.number)
           GROUP BY 1, 3"""
    )
    causes: dict[tuple[str, str, int], Cause] = {}
    for list_id, account_sid, _, rows, first in found:
        result = missing.result(first, list_id, account_sid)
        key = (result.outcome, result.reason, result.status)
        known = causes.get(key)
        causes[key] = Cause(
            outcome=result.outcome,
            reason=result.reason,
            status=result.status,
            code=result.code,
            message=result.message,
            suggestion=result.suggestion,
            rows=rows + (known.rows if known else 0),
            first_row=min(first, known.first_row) if known else first,
            first_source="",
            first_line=0,
            is_missing=True,
        )
    return [replace(cause, **_place(run, cause.first_row)) for cause in causes.values()]


def _place(run: RunDirectory, number: int) -> dict[str, Any]:
    source, line = run.reader.execute(
        "SELECT s.name, r.line FROM row r JOIN source s ON s.id = r.source_id WHERE r.number = ?",
        (number,),
    ).fetchone()
    return {"first_source": str(source), "first_line": int(line)}
