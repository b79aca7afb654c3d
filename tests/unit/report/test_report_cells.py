"""Texts made safe for a spreadsheet, a file and a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkipacl.report.cells import (
    LOOK_CLOSER,
    Stamps,
    columns_of,
    encode,
    neutralise,
    printable,
    shorten,
)

RUN_BY_A_SPREADSHEET = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(A1:A9)",
    "\t=1+1",
    "\rtext",
    "\ntext",
    "  =1+1",
    "\u00a0=1+1",
    "\ufeff=1+1",
    "\uff1d1+1",
    "\uff0bcmd",
    "\uff0d1+cmd",
    "\uff20SUM(A1)",
    "+1 555 0100",
    "-",
    "=",
    "--5",
    "-5\n",
]
LEFT_ALONE = [
    "",
    "name",
    "a=b",
    "-5",
    "+1.5",
    "+15551234567",
    "-.5e-3",
    "5.",
    "203.0.113.7",
    "'quoted",
    "  spaced",
    "   ",
    "\u00e9t\u00e9",
]


@pytest.mark.parametrize("cell", RUN_BY_A_SPREADSHEET)
def test_neutralises_what_a_spreadsheet_would_run(cell: str) -> None:
    """A cell that could be a formula gets an apostrophe before it and is otherwise unchanged."""
    assert neutralise(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", LEFT_ALONE)
def test_leaves_other_cells_alone(cell: str) -> None:
    """Plain numbers, telephone numbers and texts stay as they are."""
    assert neutralise(cell) == cell


@given(st.text())
def test_neutralising_is_safe_and_happens_once(cell: str) -> None:
    """What was neutralised is not touched again, and what begins plainly never is."""
    once = neutralise(cell)
    assert neutralise(once) == once
    assert once in (cell, f"'{cell}")
    if cell[:1] not in LOOK_CLOSER:
        assert once == cell


@given(st.characters(categories=["Zs", "Zl", "Zp", "Cc"]))
def test_no_blank_hides_a_formula(blank: str) -> None:
    """A formula behind any white space is found."""
    if blank.isspace():
        assert neutralise(f"{blank}=1+1").startswith("'")


@given(st.binary())
def test_bytes_survive(data: bytes) -> None:
    """Bytes that are not UTF-8 leave as the bytes they came as."""
    assert encode(data.decode("utf-8", "surrogateescape")) == data


def test_what_utf8_cannot_hold_is_escaped() -> None:
    """A surrogate that stands for no byte is written as its escape."""
    assert encode("a\ud800b\udcff") == b"a\\ud800b\xff"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain \u00e9", "plain \u00e9"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\tc", "a\\x0ab\\x09c"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\udcff", "\\udcff"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    """Nothing that could steer a terminal gets through."""
    assert printable(text) == shown


@given(st.text(), st.integers(3, 50))
def test_shorten_keeps_to_its_width(text: str, width: int) -> None:
    """A shortened text is never wider than asked."""
    shown = printable(text)
    assert columns_of(shorten(shown, width)) <= width


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0.0, ""),
        (1_700_000_000.25, "2023-11-14T22:13:20.250Z"),
        (1_700_000_000.9996, "2023-11-14T22:13:21.000Z"),
        (1_700_000_000.0004, "2023-11-14T22:13:20.000Z"),
    ],
)
def test_stamps(at: float, text: str) -> None:
    """Milliseconds are rounded and carried; 0 is nothing."""
    stamps = Stamps()
    assert stamps.text(at) == text
    assert stamps.text(at) == text
