"""What deserves a second look: blocks that could be one, and names that are nearly the same."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from intake_tools import address

from bulkipacl.intake import lint_rows
from bulkipacl.intake.addresses import HOST_MASKS
from bulkipacl.intake.lints import fold
from bulkipacl.model import Operation, Row

C, D, S, U = Operation.CREATE, Operation.DELETE, Operation.UPSERT, Operation.UPDATE


def rows_of(*texts: str, operation: Operation = C) -> list[Row]:
    """Rows on these blocks, numbered from 1, under names that have nothing in common."""
    rows = []
    for number, text in enumerate(texts, start=1):
        host, _, bits = text.partition("/")
        name = chr(96 + number) * 3
        rows.append(Row(number, operation, None, address(host), int(bits or 32), name))
    return rows


MERGES: list[tuple[str, list[str], list[tuple[int, str]]]] = [
    ("nothing", [], []),
    ("one", ["62.0.0.0/25"], []),
    ("two halves", ["62.0.0.0/25", "62.0.0.128/25"], [(2, "62.0.0.0/24")]),
    ("the upper half first", ["62.0.0.128/25", "62.0.0.0/25"], [(2, "62.0.0.0/24")]),
    ("neighbours that are no halves", ["62.0.0.128/25", "62.0.1.0/25"], []),
    ("two sizes", ["62.0.0.0/25", "62.0.0.128/26"], []),
    ("four quarters", ["62.0.0.3", "62.0.0.1", "62.0.0.0", "62.0.0.2"], [(4, "62.0.0.0/30")]),
    ("a half and two quarters", ["62.0.0.0/31", "62.0.0.2", "62.0.0.3"], [(3, "62.0.0.0/30")]),
    ("a pair and one more", ["62.0.0.0", "62.0.0.1", "62.0.0.2"], [(2, "62.0.0.0/31")]),
    ("with host bits", ["62.0.0.9/25", "62.0.0.200/25"], [(2, "62.0.0.0/24")]),
    ("a hole", ["62.0.0.0", "62.0.0.1", "62.0.0.3"], [(2, "62.0.0.0/31")]),
    ("one inside a half", ["62.0.0.0/25", "62.0.0.7", "62.0.0.128/25"], [(3, "62.0.0.0/24")]),
    ("a repeat", ["62.0.0.0/25", "62.0.0.0/25", "62.0.0.128/25"], [(3, "62.0.0.0/24")]),
    ("everything", ["0.0.0.0/1", "128.0.0.0/1"], []),
]


@pytest.mark.parametrize(
    ("texts", "found"), [case[1:] for case in MERGES], ids=[case[0] for case in MERGES]
)
def test_blocks_that_could_be_one(texts: list[str], found: list[tuple[int, str]]) -> None:
    """The widest block that rows are exactly, said once, on the last of them."""
    problems = lint_rows(rows_of(*texts))
    assert [(number, problem.value) for number, problem in problems] == found
    assert all(problem.reason == "mergeable" for _, problem in problems)


def test_what_is_deleted_is_not_merged() -> None:
    """Deletes and updates make no entry: nothing is said of them."""
    halves = ("62.0.0.0/25", "62.0.0.128/25")
    assert lint_rows(rows_of(*halves, operation=D)) == []
    assert lint_rows(rows_of(*halves, operation=U)) == []
    assert len(lint_rows(rows_of(*halves, operation=S))) == 1


def test_what_is_said() -> None:
    """The other rows, the block, and how many places it saves; it is a warning."""
    ((_, problem),) = lint_rows(rows_of("62.0.0.0", "62.0.0.1", "62.0.0.2", "62.0.0.3"))
    assert problem.why == "with rows 1, 2, 3 it is exactly 62.0.0.0/30"
    assert problem.suggestion == "one entry for 62.0.0.0/30 would do, and leave 3 places free"
    assert (problem.is_warning, problem.severity) == (True, "warning")


@given(st.lists(st.tuples(st.integers(0, 31), st.integers(27, 32)), max_size=12))
def test_merged_blocks_cover_the_same(blocks: list[tuple[int, int]]) -> None:
    """Each block that is proposed is covered by the rows, whole, and by none of them alone."""
    rows = [Row(n, C, None, at, prefix, "") for n, (at, prefix) in enumerate(blocks, start=1)]
    spans = [range(at & ~HOST_MASKS[p], (at | HOST_MASKS[p]) + 1) for at, p in blocks]
    covered = {place for span in spans for place in span}
    for _, problem in lint_rows(rows):
        host, _, bits = problem.value.partition("/")
        start = address(host)
        proposed = range(start, start + HOST_MASKS[int(bits)] + 1)
        assert set(proposed) <= covered
        assert not any(set(proposed) <= set(span) for span in spans)


NAMES: list[tuple[str, str, bool]] = [
    ("Lisbon trunk", "Lisbon-Trunk", True),
    ("Lisbon trunk", "lisbontrunk", True),
    ("Lisbon trunk", "Lisbon  trunk.", True),
    ("Straße", "STRASSE", True),
    ("Lisbon 1", "Lisbon #1", True),
    # The very same name twice is no mistake.
    ("Lisbon trunk", "Lisbon trunk", False),
    ("Lisbon 1", "Lisbon 2", False),
    ("Lisbon trunk", "Lisbon trunks", False),
    # What stands between digits tells them apart.
    ("Site 1-1", "Site 11", False),
    ("Site 1-1", "Site 1.1", True),
    ("62.0.0.11/32", "62.0.01.1/32", False),
    # Too little to say anything.
    ("A+", "a", False),
    ("#12", "12", False),
]


@pytest.mark.parametrize(("one", "other", "is_near"), NAMES, ids=[f"{a}|{b}" for a, b, _ in NAMES])
def test_near_names(one: str, other: str, is_near: bool) -> None:
    """Names on two addresses that differ in case, spaces and punctuation alone."""
    rows = [Row(1, C, None, 8, 32, one), Row(2, C, None, 90, 32, other)]
    found = lint_rows(rows)
    assert [(number, problem.reason) for number, problem in found] == [(2, "near_names")] * is_near


def test_one_address_has_one_name() -> None:
    """Two rows on one address are no near names: that is a contradiction, or a change."""
    assert lint_rows([Row(1, S, None, 8, 32, "Lisbon A"), Row(2, S, None, 8, 32, "lisbon a")]) == []


@given(st.text(max_size=20))
def test_fold_takes_anything(text: str) -> None:
    """Any name is folded, and case makes no difference to ASCII."""
    folded = fold(text)
    assert "_" not in folded
    if text.isascii():
        assert fold(text.upper()) == folded


def test_is_not_quadratic() -> None:
    """100,000 rows that all merge, under names that are all nearly the same, take seconds."""
    rows = [Row(n, C, None, n, 32, "Lisbon" + "." * (n % 50)) for n in range(1, 100_001)]
    began = process_time()
    lint_rows(rows)
    assert process_time() - began < 10
