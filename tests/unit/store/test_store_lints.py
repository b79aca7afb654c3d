"""Lints over a whole input: every list by itself, and what is invalid takes no part."""

from __future__ import annotations

from pathlib import Path

import pytest
from store_tools import AL2, BAD, draft, make

from bulkipacl.store import lints
from bulkipacl.store.crosscheck import index_rows


def test_lists_by_themselves(tmp_path: Path) -> None:
    """Halves in one list are found, at the line of the later; halves in two lists are not."""
    drafts = [
        draft(62 << 24, prefix=25, line=2),
        draft(63 << 24, prefix=25, line=3),
        draft((62 << 24) + 128, prefix=25, line=4),
        draft((63 << 24) + 128, prefix=25, line=5, acl=AL2),
    ]
    with make(tmp_path, drafts) as run:
        index_rows(run)
        found = [(source.id, line, problem.value) for source, line, problem in lints.lint(run)]
        assert found == [(1, 4, "62.0.0.0/24")]


def test_invalid_rows_take_no_part(tmp_path: Path) -> None:
    """A row that is not sent makes no half of a block."""
    drafts = [draft(62 << 24, prefix=25, problems=(BAD,)), draft((62 << 24) + 128, prefix=25)]
    with make(tmp_path, drafts) as run:
        index_rows(run)
        assert list(lints.lint(run)) == []


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a list with more rows than are looked at, the first are; the next list is seen again."""
    monkeypatch.setattr(lints, "LINTED_ROWS", 3)
    drafts = [draft((62 << 24) + n, line=n) for n in range(1, 7)]
    drafts += [draft((63 << 24) + n, line=10 + n, acl=AL2) for n in range(2)]
    with make(tmp_path, drafts) as run:
        index_rows(run)
        assert [line for _, line, _ in lints.lint(run)] == [3, 11]
