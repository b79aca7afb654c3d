"""The rows of one list against each other."""

from __future__ import annotations

from time import process_time

import pytest
from intake_tools import IP, address

from bulkipacl.intake import check_rows
from bulkipacl.model import Operation, Row

C, U, D, S = Operation.CREATE, Operation.UPDATE, Operation.DELETE, Operation.UPSERT


def row(number: int, operation: Operation, ip: str, name: str | None = None) -> Row:
    """A row that names its entry by address, with or without a prefix."""
    host, _, bits = ip.partition("/")
    return Row(number, operation, None, address(host), int(bits or 32), name)


def by_sid(number: int, operation: Operation, name: str | None = None) -> Row:
    """A row that names its entry by sid."""
    return Row(number, operation, IP, name=name)


def by_match(number: int, ip: str, name: str) -> Row:
    """An update that names its entry by its old address."""
    return Row(number, U, None, name=name, match_address=address(ip), match_prefix=32)


A, B = "198.41.0.4", "198.41.0.5"

CASES: list[tuple[str, list[Row], list[tuple[int, str]]]] = [
    ("nothing", [], []),
    ("two_entries", [row(1, C, A, "a"), row(2, C, B, "a")], []),
    ("two_names", [row(1, C, A, "a"), row(2, C, A, "b")], [(2, "contradiction")]),
    (
        "three_names",
        [row(1, C, A, "a"), row(2, C, A, "b"), row(3, C, A, "a")],
        [(2, "contradiction"), (3, "repeat")],
    ),
    ("delete_between", [row(1, C, A, "a"), row(2, D, A), row(3, C, A, "b")], []),
    ("update_between", [row(1, C, A, "a"), row(2, U, A, "c"), row(3, C, A, "b")], []),
    ("match_between", [row(1, C, A, "a"), by_match(2, A, "c"), row(3, C, A, "b")], []),
    (
        "sid_between",
        [row(1, C, A, "a"), by_sid(2, D), row(3, C, A, "b")],
        [(3, "contradiction")],
    ),
    ("create_repeat", [row(1, C, A, "a"), row(2, C, A, "a")], [(2, "repeat")]),
    ("delete_repeat", [row(1, D, A), row(2, D, A)], [(2, "repeat")]),
    ("sid_repeat", [by_sid(1, U, "a"), by_sid(2, U, "a")], [(2, "repeat")]),
    ("match_repeat", [by_match(1, A, "a"), by_match(2, A, "a")], [(2, "repeat")]),
    ("two_updates", [by_sid(1, U, "a"), by_sid(2, U, "b"), by_sid(3, U, "a")], []),
    ("two_upserts", [row(1, S, A, "a"), row(2, S, A, "b")], []),
    ("replace", [row(1, D, A), row(2, C, A, "a")], []),
    ("undo", [row(1, C, A, "a"), row(2, D, A)], []),
    ("inside", [row(1, C, "198.41.0.0/24", "a"), row(2, C, A, "b")], [(2, "overlap")]),
    ("around", [row(1, C, A, "b"), row(2, S, "198.41.0.0/24", "a")], [(1, "overlap")]),
    ("beside", [row(1, C, "198.41.0.0/24", "a"), row(2, C, "198.41.1.0/24", "b")], []),
    (
        "one_block",
        [row(1, C, "198.41.0.1/24", "a"), row(2, C, "198.41.0.2/24", "b")],
        [(2, "overlap")],
    ),
    ("delete_inside", [row(1, C, "198.41.0.0/24", "a"), row(2, D, A)], []),
]


@pytest.mark.parametrize(
    ("rows", "found"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_finds(rows: list[Row], found: list[tuple[int, str]]) -> None:
    """Contradictions, repeats and overlaps, each on the later or inner row."""
    assert [(number, problem.reason) for number, problem in check_rows(rows)] == found


def test_names_the_other_row() -> None:
    """A contradiction names the earlier row and its name, and stops the row; a repeat warns."""
    ((_, contradiction),) = check_rows([row(7, C, A, "a"), row(9, C, A, "b")])
    assert "row 7" in contradiction.why
    assert "'a'" in contradiction.why
    assert not contradiction.is_warning
    ((_, repeat),) = check_rows([row(7, C, A, "a"), row(9, C, A, "a")])
    assert "row 7" in repeat.why
    assert repeat.is_warning


def hosts(first: int, count: int, operation: Operation = C) -> list[Row]:
    """Rows for `count` neighbouring addresses, numbered as their last parts."""
    start = address("198.41.0.0")
    return [
        Row(number, operation, None, start + number, 32, f"n{number}")
        for number in range(first, first + count)
    ]


def too_many(rows: list[Row]) -> list[int]:
    """The rows over the capacity of the list."""
    return [number for number, found in check_rows(rows) if found.reason == "too_many_creates"]


def test_counts_creates() -> None:
    """The 101st create and all after it are refused; repeats need no room."""
    assert too_many(hosts(1, 100)) == []
    assert too_many(hosts(1, 102)) == [101, 102]
    assert too_many([*hosts(1, 100), *hosts(1, 5)]) == []
    assert too_many(hosts(1, 101, S)) == [101]


def test_deletes_make_room() -> None:
    """A delete between makes room for one create, by sid too; one before all makes none."""
    assert too_many([*hosts(1, 100), *hosts(1, 1, D), *hosts(101, 2)]) == [102]
    assert too_many([*hosts(1, 100), by_sid(500, D), *hosts(101, 1)]) == []
    assert too_many([*hosts(1, 50, D), *hosts(101, 101)]) == [201]


def test_is_not_quadratic() -> None:
    """100,000 nested and overlapping rows take seconds, not hours."""
    rows = [
        Row(number, S, None, number % 65_536 << 8, 8 + number % 25, "n")
        for number in range(1, 100_001)
    ]
    began = process_time()
    check_rows(rows)
    assert process_time() - began < 10
