"""Problems as lines for people, and records as JSON."""

from __future__ import annotations

import json

import pytest
from intake_tools import check

from bulkipacl.intake import describe
from bulkipacl.intake.problems import dump, shorten
from bulkipacl.model import Problem


def test_describes() -> None:
    """A line names file, line, column, value, why and what to write."""
    problem = check(ip_address="10.0.0.300").problems[0]
    text = describe(problem, source="a.csv", line=7)
    assert text == (
        "a.csv:7: column ip_address, value '10.0.0.300': an octet is over 255. "
        "Write four numbers from 0 to 255"
    )


@pytest.mark.parametrize("char", ["\x1b", "\n", "\r", "\x07", "\x9b", "\u202e", "\u2028", "\udce9"])
def test_escapes(char: str) -> None:
    """Input cannot drive the terminal, nor break a UTF-8 stream."""
    problem = Problem("ip_address", char, "r", f"why {char}", f"write {char}")
    text = describe(problem, source=f"a{char}", line=1)
    assert char not in text
    text.encode()


def test_describes_whole_record() -> None:
    """A problem of the whole record names no column."""
    assert describe(Problem("", "", "r", "bad"), source="-", line=1) == "-:1: bad"
    assert describe(Problem("", "v", "r", "bad"), source="-", line=1) == "-:1: 'v': bad"


def test_shortens() -> None:
    """A value is at most 60 characters, and bytes that are no text are shown as bytes."""
    assert len(shorten("x" * 1000)) == 60
    assert shorten("caf\udce9") == "caf\\xe9"
    assert shorten("\ud800") == "\\ud800"


@pytest.mark.parametrize("value", [["caf\udce9"], {"n": 10**30}, [1.5], "text"])
def test_dumps(value: object) -> None:
    """What orjson refuses is kept all the same."""
    assert json.loads(dump(value)) == value


def test_dumps_anything() -> None:
    """Nesting beyond all measure gives a text, never an error."""
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert b"cannot hold" in dump(deep)
