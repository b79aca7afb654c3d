"""Rows with their outcomes, put together.

records         one by one, as values
report_columns  some hundred at once, by column: what a report says of every row of a run
Columns         such a lot
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

from bulkipacl.model import Evidence, Outcome, RowRecord, RowResult
from bulkipacl.store.facts import sound
from bulkipacl.store.missing import Missing
from bulkipacl.store.rundir import RunDirectory

_RECORD = """
SELECT r.number, r.source_id, r.line, r.operation, r.list_id, r.sid, r.address, r.prefix, r.name,
       r.match_address, r.match_prefix, r.raw,
       o.outcome, o.evidence, o.reason, o.status, o.code, o.message, o.more_info, o.attempts,
       o.request_id, o.finished_at, o.duration_ms, o.suggestion, o.sid, o.address, o.prefix, o.name
FROM row r LEFT JOIN outcome o ON o.number = r.number
"""
_RESULT = 12
"""Where the outcome begins in it."""

# Each column that is not fetched saves 0.1 us a row; and few reports need more of the kept record
# than what was understood of it.
_REPORT = f"""
SELECT r.number, r.source_id, r.line, r.operation, r.list_id,
       COALESCE(o.sid, r.sid), COALESCE(o.address, r.address), COALESCE(o.prefix, r.prefix),
       COALESCE(o.name, r.name), CASE WHEN ? OR o.outcome = '{Outcome.INVALID}' THEN r.raw END,
       o.outcome, o.evidence, o.reason, o.status, o.code, o.message, o.more_info, o.attempts,
       o.request_id, o.finished_at, o.duration_ms, o.suggestion
FROM row r LEFT JOIN outcome o ON o.number = r.number
"""  # noqa: S608 - a word of ours
_REPORT_RESULT = 10

_ROWS_AT_ONCE = 500

_OUTCOMES = {str(outcome): outcome for outcome in Outcome}
_EVIDENCE: dict[str | None, Evidence | None] = {
    None: None,
    **{str(evidence): evidence for evidence in Evidence},
}


class Columns(NamedTuple):
    """Some rows with their outcomes, by column.

    `sid`, `address`, `prefix` and `name` are those of the entry as the row ended with it where that
    is known, else as the row names it. `outcome` and `evidence` are words, and checked to be known
    ones. `raw` is the kept record of rows that are invalid; of others, where it was asked for.
    """

    number: Sequence[int]
    source_id: Sequence[int]
    line: Sequence[int]
    operation: Sequence[int]
    account_sid: Sequence[str]
    list_sid: Sequence[str]
    sid: Sequence[str | None]
    address: Sequence[int | None]
    prefix: Sequence[int | None]
    name: Sequence[str | None]
    raw: Sequence[bytes | None]
    outcome: Sequence[str]
    evidence: Sequence[str | None]
    reason: Sequence[str]
    status: Sequence[int]
    code: Sequence[int]
    message: Sequence[str]
    more_info: Sequence[str]
    attempts: Sequence[int]
    request_id: Sequence[str]
    finished_at: Sequence[float]
    duration_ms: Sequence[float]
    suggestion: Sequence[str]


def records(run: RunDirectory, numbers: Iterable[int] | None = None) -> Iterator[RowRecord]:
    """Every row with its outcome, in row order; or those of the given numbers, in their order.

    Constant memory. About 5 us a row.
    """
    missing = Missing(run)
    names = _list_names(run)
    with sound(run):
        for rows in _selected(run, _RECORD, numbers):
            for fields in rows:
                number, *place, list_id = fields[:5]
                of_list = names(list_id)
                if fields[_RESULT] is None:
                    result = missing.result(number, list_id, of_list[0])
                else:
                    outcome, evidence = _OUTCOMES[fields[_RESULT]], _EVIDENCE[fields[_RESULT + 1]]
                    result = RowResult._make((number, outcome, evidence, *fields[_RESULT + 2 :]))
                yield RowRecord._make((*place, *of_list, *fields[5:_RESULT], result))


def report_columns(
    run: RunDirectory, numbers: Iterable[int] | None = None, *, with_raw: bool
) -> Iterator[Columns]:
    """What a report says of the same rows. Constant memory. About 3 us a row."""
    missing = Missing(run)
    names = _list_names(run)
    with sound(run):
        for rows in _selected(run, _REPORT, numbers, with_raw):
            columns = list(zip(*rows, strict=True))
            accounts, lists, _ = zip(*map(names, columns[4]), strict=True)
            results = columns[_REPORT_RESULT:]
            if None in results[0]:
                each = zip(rows, accounts, strict=True)
                results = list(zip(*(_result(row, sid, missing) for row, sid in each), strict=True))
            _check_words(results[0], _OUTCOMES)
            _check_words(results[1], _EVIDENCE)
            cells = (*columns[:4], accounts, lists, *columns[5:_REPORT_RESULT], *results)
            yield Columns._make(cells)


def _result(row: tuple[Any, ...], account_sid: str, missing: Missing) -> tuple[Any, ...]:
    result = row[_REPORT_RESULT:]
    if result[0] is None:
        return missing.result(row[0], row[4], account_sid)[1 : 1 + len(result)]
    return result


def _check_words(words: Iterable[str | None], known: dict[Any, Any]) -> None:
    for word in set(words):
        if word not in known:
            raise ValueError(f"{word!a} is no word of an outcome")


def _selected(
    run: RunDirectory, question: str, numbers: Iterable[int] | None, *parameters: object
) -> Iterator[list[tuple[Any, ...]]]:
    """The rows that a question about rows finds: all, or those of the given numbers."""
    if numbers is None:
        found = run.reader.execute(f"{question} ORDER BY r.number", parameters)
        while rows := found.fetchmany(_ROWS_AT_ONCE):
            yield rows
        return
    wanted = iter(numbers)
    while some := list(islice(wanted, _ROWS_AT_ONCE)):
        marks = ",".join("?" * len(some))
        found = run.reader.execute(f"{question} WHERE r.number IN ({marks})", (*parameters, *some))
        by_number = {row[0]: row for row in found.fetchall()}
        if by_number:
            yield [by_number[number] for number in some if number in by_number]


def _list_names(run: RunDirectory) -> Callable[[int | None], tuple[str, str, str]]:
    """Looks the account's sid, the list's sid and its name up."""

    @lru_cache(maxsize=4_096)
    def names(list_id: int | None) -> tuple[str, str, str]:
        if list_id is None:
            return ("", "", "")
        found = run.reader.execute(
            """SELECT a.sid, COALESCE(l.sid, ''), COALESCE(l.name, '') FROM list l
               JOIN account a ON a.id = l.account_id WHERE l.id = ?""",
            (list_id,),
        ).fetchone()
        return (str(found[0]), str(found[1]), str(found[2]))

    return names
