"""Words that messages share."""

from __future__ import annotations

import pytest

from bulkipacl.report import counted, source_name


@pytest.mark.parametrize(
    ("count", "words", "text"),
    [
        (0, "", "0 rows"),
        (1, "", "1 row"),
        (2, "", "2 rows"),
        (1_234, "", "1,234 rows"),
        (1, "rowlets", "1 row"),
        (2, "rowlets", "2 rowlets"),
    ],
)
def test_counted(count: int, words: str, text: str) -> None:
    """One is singular, everything else plural, with commas."""
    assert counted(count, "row", words) == text


@pytest.mark.parametrize(
    ("name", "text"), [("-", "standard input"), ("./-", "./-"), ("a\nb.csv", "a\\x0ab.csv")]
)
def test_source_name(name: str, text: str) -> None:
    """Standard input has a name, and no name can drive the terminal."""
    assert source_name(name) == text
