"""What is worth a second look in the rows of one list; pure, O(n log n), never an error.

Not here: what stands in the way of sending them, and blocks inside blocks (`crosscheck`); one
address by itself (`checks`).

    lint_rows   all of it, in row order
    fold        a name as people hear it
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bulkipacl.intake.addresses import HOST_MASKS
from bulkipacl.intake.problems import shorten, warn
from bulkipacl.model import Operation, Problem, Row, cidr_text

MERGEABLE = "mergeable"
NEAR_NAMES = "near_names"

MIN_LETTERS = 3
"""Names of fewer letters are numbers and codes: one that is nearly another says nothing."""

_BETWEEN_DIGITS = re.compile(r"(?<=\d)[\W_]+(?=\d)")
_NO_WORD = re.compile(r"[^\w\0]|_")


def lint_rows(rows: Sequence[Row]) -> list[tuple[int, Problem]]:
    """Warnings about one list's rows, as (row number, problem) in row order. About 6 us a row."""
    made = [
        row
        for row in rows
        if row.operation in (Operation.CREATE, Operation.UPSERT) and row.address is not None
    ]
    return sorted([*_mergeable(made), *_near_names(made)], key=lambda pair: pair[0])


def fold(name: str) -> str:
    """The name without case, spaces and punctuation; "" where too little would be left.

    What stands between two digits counts: `Site 1-1` is not `Site 11`.
    """
    plain = _NO_WORD.sub("", _BETWEEN_DIGITS.sub("\0", name.casefold()))
    return plain if sum(map(str.isalpha, plain)) >= MIN_LETTERS else ""


def _near_names(rows: Sequence[Row]) -> Iterator[tuple[int, Problem]]:
    """Names that differ in case, spaces or punctuation alone, on different addresses.

    The very same name is no mistake: a site with two trunks may call both by its own.
    """
    first: dict[str, Row] = {}
    for row in rows:
        folded = fold(row.name or "")
        if not folded:
            continue
        other = first.setdefault(folded, row)
        if other.name != row.name and _key(other) != _key(row):
            why = f"row {other.number} calls another address nearly the same, '{_shown(other)}'"
            hint = "write both alike if they are one site, or tell them apart"
            yield row.number, warn("friendly_name", row.name or "", NEAR_NAMES, why, hint)


def _mergeable(rows: Sequence[Row]) -> Iterator[tuple[int, Problem]]:
    """Blocks that together are exactly one wider block, the widest such, said on its last row.

    In ascending order the halves of a block stand side by side, so that one stack is enough.
    """
    first_rows: dict[tuple[int, int], int] = {}
    for row in rows:
        address, prefix = _key(row)
        first_rows.setdefault((address & ~HOST_MASKS[prefix], prefix), row.number)
    stack: list[tuple[int, int, list[int]]] = []
    covered_to = -1
    for (start, prefix), number in sorted(first_rows.items()):
        end = start | HOST_MASKS[prefix]
        if end <= covered_to:
            continue  # It lies inside another one, which is said elsewhere.
        covered_to = end
        block = (start, prefix, [number])
        while stack and _are_halves(stack[-1], block):
            left_start, _, numbers = stack.pop()
            block = (left_start, block[1] - 1, numbers + block[2])
        stack.append(block)
    for start, prefix, numbers in stack:
        if len(numbers) > 1:
            yield _told(start, prefix, sorted(numbers))


def _are_halves(left: tuple[int, int, list[int]], right: tuple[int, int, list[int]]) -> bool:
    size = HOST_MASKS[left[1]] + 1
    return left[1] == right[1] > 1 and left[0] + size == right[0] and not left[0] & size


def _told(start: int, prefix: int, numbers: list[int]) -> tuple[int, Problem]:
    *others, last = numbers
    shown = ", ".join(map(str, others[:3])) + (" and others" if len(others) > 3 else "")
    block = cidr_text(start, prefix)
    word = "row" if len(others) == 1 else "rows"
    why = f"with {word} {shown} it is exactly {block}"
    counted = f"{len(others)} place" + ("s" if len(others) > 1 else "")
    hint = f"one entry for {block} would do, and leave {counted} free"
    return last, warn("ip_address", block, MERGEABLE, why, hint)


def _key(row: Row) -> tuple[int, int]:
    return row.address or 0, row.prefix or 32


def _shown(row: Row) -> str:
    return shorten(row.name or "")
