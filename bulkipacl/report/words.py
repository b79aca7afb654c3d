"""Words that messages for people share.

counted       a number with its word, in the singular where it is one
source_name   an input's name; standard input has one too
"""

from __future__ import annotations

from bulkipacl.report.cells import printable

STANDARD_INPUT = "-"
"""How a run directory and a report name it: what was given on the command line."""


def counted(count: int, word: str, words: str = "") -> str:
    """Such as `1 row` and `1,234 rows`.

    Args:
        words: the plural, where it is not the word with an s.
    """
    return f"{count:,} {word if count == 1 else words or f'{word}s'}"


def source_name(name: str) -> str:
    """An input's name as a person knows it, harmless to a terminal."""
    return "standard input" if name == STANDARD_INPUT else printable(name)
