"""Records that are judged many at once mean what each of them means by itself."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from intake_tools import AC, AL, ALL, IP, read, reasons

from bulkipacl.intake import Defaults, open_source
from bulkipacl.intake.checks import Checker
from bulkipacl.intake.columns import FIELDS
from bulkipacl.model import Draft

OK = "198.41.0.4"
PLAIN = ("create", AC, AL, "", "", OK, "32", "n", "", "")
# Each line: a word | the field that is changed | its text | whether two such records are plain.
TOGETHER = [
    ("nothing", "operation", "create", True),
    ("another operation", "operation", "Delete", True),
    ("a list by name", "list_name", "Office", False),
    ("no prefix", "cidr_prefix_length", "", True),
    ("a block", "cidr_prefix_length", "30", True),
    ("host bits", "cidr_prefix_length", "24", False),
    ("no name", "friendly_name", "", True),
    ("spaces around a name", "friendly_name", " n ", True),
    ("an unknown operation", "operation", "make", False),
    ("a sid", "sid", IP, False),
    ("a block behind a slash", "ip_address", "8.0.0.0/8", False),
    ("a private address", "ip_address", "10.0.0.1", False),
    ("a match", "match_ip_address", OK, False),
    ("a prefix to match", "match_cidr_prefix_length", "32", False),
    ("a long name", "friendly_name", "n" * 256, False),
    ("a control character", "friendly_name", "a\tb", False),
    ("half a character", "ip_address", "8.0.0.\udc80", False),
]


@pytest.mark.parametrize(
    ("field", "text", "is_plain"), [case[1:] for case in TOGETHER], ids=[c[0] for c in TOGETHER]
)
def test_what_is_plain(field: str, text: str, is_plain: bool) -> None:
    """What is taken column by column is what by far most records are, and nothing unusual."""
    texts = [text if name == field else given for name, given in zip(FIELDS, PLAIN, strict=True)]
    columns = list(zip(PLAIN, texts, strict=True))
    found = Checker(Defaults()).plain([1, 2], 1, columns, [b"1", b"2"])
    assert (found is not None) == is_plain


def test_together_remembers_boundedly() -> None:
    """Ever new accounts do not make the memory of checked ones grow, many at once either."""
    checker = Checker(ALL)
    for start in range(0, 10_000, 100):
        accounts = [f"AC{number:032x}" for number in range(start, start + 100)]
        columns = [[text] * 100 for text in PLAIN]
        columns[1] = accounts
        drafts = checker.plain(range(100), 1, columns, [b""] * 100)
        assert drafts is not None
        assert [draft.account_sid for draft in drafts] == accounts
    assert len(checker.targets) <= 4096


def _numbered(count: int) -> list[str]:
    return [f"198.41.{number // 250}.{number % 250 + 1},name {number}" for number in range(count)]


# Each line: a word | the odd record at line 130 | how many lines it takes | what is said of it.
ODD = {
    "invalid": ("1.2.3,x", 1, ["not_an_address"]),
    "a warning": ("10.0.0.1,x", 1, ["private"]),
    "quoted": ('8.0.0.1,"a, b"', 1, []),
    "over three lines": ('8.0.0.1,"a\n\nb"', 3, ["control_character"]),
    "badly quoted": ('8.0.0.1,"a"b', 1, ["bad_quoting"]),
    "too many cells": ("8.0.0.1,a,b", 1, ["too_many_cells"]),
    "no UTF-8": ("8.0.0.1,\udcff", 1, ["not_utf8"]),
    "a carriage return": ("8.0.0.1,a\r8.0.0.2,b", 2, []),
}


class Pieces(io.RawIOBase):
    """Bytes that arrive in these pieces; counts how often it was asked."""

    def __init__(self, *pieces: str) -> None:
        self.asked = 0
        self._pieces = [piece.encode("utf-8", "surrogateescape") for piece in pieces]

    def read(self, size: int = -1) -> bytes:
        """The next piece."""
        self.asked += 1
        return self._pieces.pop(0) if self._pieces else b""


def read_pieces(*pieces: str, defaults: Defaults = ALL, format: str = "csv") -> list[Draft]:  # noqa: A002 - as in the interface
    """The Drafts of an input that arrives in these pieces."""
    stdin: Any = Pieces(*pieces)
    return list(open_source("-", defaults, format=format, stdin=stdin).drafts())


@pytest.mark.parametrize("header", ["ip,name\n", "ip,name\n8.0.0.1,first\n"])
@pytest.mark.parametrize("kind", ODD)
def test_an_odd_line_among_many(kind: str, header: str) -> None:
    """An odd line changes nothing of those before and behind it, but for what it moves these by."""
    odd, lines, said = ODD[kind]
    rows = [f"{row}\n" for row in _numbered(250)]
    alone = read_pieces(header, "".join(rows))
    found = read_pieces(header, "".join([*rows[:128], f"{odd}\n", *rows[128:]]))
    at, more = len(alone) - 122, len(found) - len(alone)
    assert found[:at] == alone[:at]
    assert found[at + more :] == [one._replace(line=one.line + lines) for one in alone[at:]]
    first = header.count("\n") + 129
    assert [one.line for one in found[at : at + more]] == list(range(first, first + more))
    assert [reasons(one) for one in found if reasons(one)] == ([said] if said else [])


@pytest.mark.parametrize("is_quoted", [True, False])
def test_pieces_of_a_file(is_quoted: bool) -> None:
    """What is quoted is read as what is not, wherever in it the pieces end."""
    name = '"n"' if is_quoted else "n"
    rows = [f"8.0.{n // 250}.{n % 250},{name}\r\n" for n in range(300)]
    whole = read_pieces("ip,name\r\n" + "".join(rows))
    for at in (1, 100, 101, 250):
        assert read_pieces("ip,name\r\n", "".join(rows[:at]), "".join(rows[at:])) == whole
    assert [one.line for one in whole] == list(range(2, 302))
    assert {one.name for one in whole} == {"n"}


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_rows_are_numbered_in_names(format: str) -> None:  # noqa: A002 - as in the interface
    """A name from the template has the number of its row, whatever rows are between."""
    rows = _numbered(250)
    odd = ["", "1.2.3,x", '8.0.0.1,"']
    if format == "jsonl":
        rows = [json.dumps({"ip": row.split(",")[0]}) for row in rows]
        odd = ["", "{", "[]"]
    else:
        rows = [row.split(",")[0] + "," for row in rows]
    lines = [*rows[:120], *odd[:2], *rows[120:], odd[2]]
    defaults = replace(ALL, name_template="row {row}")
    header = "ip,name\n" if format == "csv" else f"{rows[0]}\n"
    found = read_pieces(header, "\n".join([*lines, ""]), defaults=defaults, format=format)
    for number, draft in enumerate(found, 1):
        assert draft.is_invalid or draft.name == f"row {number}"
    assert sum(draft.is_invalid for draft in found) == 2


def test_an_odd_json_line_among_many() -> None:
    """JSON Lines before and behind a broken one, and other keys, are what they are without."""
    lines = [json.dumps({"ip": f"198.41.0.{n}", "prefix": 32}) for n in range(1, 201)]
    alone = read("\n".join(lines), format="jsonl")
    odd = ["{", "", json.dumps({"name": "x", "ip": "8.0.0.1"})]
    found = read("\n".join([*lines[:130], *odd, *lines[130:]]), format="jsonl")
    assert found[:130] == alone[:130]
    assert [(one.line, reasons(one)) for one in found[130:132]] == [(131, ["bad_json"]), (133, [])]
    assert found[132:] == [one._replace(line=one.line + 3) for one in alone[130:]]


def test_rows_do_not_wait_for_the_next_piece() -> None:
    """What has arrived of a pipe is handed on before more is asked for."""
    stdin: Any = Pieces("ip,name\n", "\n".join([*_numbered(3), ""]))
    drafts = open_source("-", ALL, format="csv", stdin=stdin).drafts()
    assert [(next(drafts).line, stdin.asked) for _ in range(3)] == [(2, 2), (3, 2), (4, 2)]
    assert list(drafts) == []
