"""Which rows of a list may run at once."""

from __future__ import annotations

import pytest
from engine_tools import change, create, delete, entry, move, remove, rename, upsert

from bulkipacl.engine.lanes import split_into_lanes
from bulkipacl.model import Entry, Row

A, B, C, D = 1, 2, 3, 4

# Each line: a word | what the list holds | the rows | their numbers by lane.
TABLE: list[tuple[str, list[Entry], list[Row], list[list[int]]]] = [
    ("nothing", [], [], []),
    ("different addresses", [], [create(1, A), create(2, B)], [[1], [2]]),
    ("one address", [], [create(1, A), create(2, B), delete(3, A)], [[1, 3], [2]]),
    ("one address, two prefixes", [], [create(1, A), create(2, A, prefix=24)], [[1, 2]]),
    ("every operation", [], [create(1, A), upsert(2, A), rename(3, A, "x"), delete(4, A)],
     [[1, 2, 3, 4]]),
    ("a sid the list holds", [entry(7, A)], [remove(1, 7), create(2, A), create(3, B)],
     [[1, 2], [3]]),
    ("a sid it does not hold", [entry(7, A)], [remove(1, 8), create(2, A), remove(3, 8)],
     [[1, 3], [2]]),
    ("a move ties both ends", [], [create(1, A), create(2, B), move(3, A, B)], [[1, 2, 3]]),
    ("also for rows after it", [], [move(1, A, B), delete(2, B), create(3, A)], [[1, 2, 3]]),
    ("a chain of moves", [], [move(1, A, B), move(2, C, D), move(3, B, C), create(4, D)],
     [[1, 2, 3, 4]]),
    ("a circle of moves", [], [move(1, A, B), move(2, B, C), move(3, C, A)], [[1, 2, 3]]),
    ("moves apart", [], [move(1, A, B), move(2, C, D)], [[1], [2]]),
    ("a change by sid ties", [entry(7, A)], [change(1, 7, B), create(2, B), delete(3, A)],
     [[1, 2, 3]]),
    ("a change of an unknown sid ties", [], [change(1, 7, B), create(2, B), remove(3, 7)],
     [[1, 2, 3]]),
    ("a rename ties nothing", [], [rename(1, A, "x"), rename(2, B, "y")], [[1], [2]]),
    ("twins by sid", [entry(7, A), entry(8, A)], [remove(1, 7), remove(2, 8)], [[1, 2]]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("held", "rows", "lanes"), [case[1:] for case in TABLE], ids=[case[0] for case in TABLE]
)
def test_table(held: list[Entry], rows: list[Row], lanes: list[list[int]]) -> None:
    """Rows that can touch one entry share a lane, in row order, and others do not."""
    found = split_into_lanes(rows, held)
    assert [[row.number for row in lane] for lane in found] == lanes


def test_long_chain() -> None:
    """A round full of moves, each from where the last one went, is one lane."""
    rows = [move(n, n, n + 1) for n in range(1, 501)]
    assert split_into_lanes(rows, []) == [rows]
    backwards = [move(n, 1_000 - n, 999 - n) for n in range(1, 501)]
    assert split_into_lanes(backwards, []) == [backwards]
