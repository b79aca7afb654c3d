"""The nouns as values."""

from __future__ import annotations

import dataclasses

import pytest

from bulkipacl import model
from bulkipacl.model import (
    GOOD_OUTCOMES,
    Draft,
    Entry,
    Operation,
    Outcome,
    Problem,
    RowResult,
    cidr_text,
    ip_text,
)

ERROR = Problem("ip_address", "x", "bad_address", "no address")
WARNING = Problem("ip_address", "x", "private", "private", is_warning=True)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (0, "0.0.0.0"),  # noqa: S104 - an address, nothing is bound to it
        (1, "0.0.0.1"),
        (0x01020304, "1.2.3.4"),
        (0x7FFFFFFF, "127.255.255.255"),
        (0xFFFFFFFF, "255.255.255.255"),
    ],
)
def test_addresses_as_text(address: int, text: str) -> None:
    """An address is written in dotted decimal, alone and with its prefix."""
    assert ip_text(address) == text
    assert cidr_text(address, 24) == f"{text}/24"


def test_numbers_of_operations_stay() -> None:
    """The store keeps these numbers, so that they never change their meaning."""
    assert {one.word: int(one) for one in Operation} == {
        "create": 1,
        "update": 2,
        "delete": 3,
        "upsert": 4,
    }


def test_words_of_outcomes_stay() -> None:
    """The ten outcomes go by these words in every report, and five of them are good."""
    words = "created updated deleted unchanged already_gone"
    others = "invalid refused failed unknown not_attempted"
    assert [str(one) for one in Outcome] == f"{words} {others}".split()
    assert {str(one) for one in GOOD_OUTCOMES} == set(words.split())


@pytest.mark.parametrize(
    ("problems", "is_invalid"),
    [
        pytest.param((), False, id="none"),
        pytest.param((WARNING,), False, id="warning"),
        pytest.param((WARNING, WARNING), False, id="warnings"),
        pytest.param((ERROR,), True, id="error"),
        pytest.param((WARNING, ERROR), True, id="both"),
    ],
)
def test_only_errors_make_a_draft_invalid(problems: tuple[Problem, ...], is_invalid: bool) -> None:
    """A warning never stands in the way of sending a row."""
    draft = Draft(1, 1, "", "", "", None, None, None, None, None, None, b"[]", problems)
    assert draft.is_invalid is is_invalid


def test_key_is_address_and_prefix() -> None:
    """What makes two entries the same to a row leaves name and sid out."""
    assert Entry("IP1", 7, 24, "a").key == Entry("IP2", 7, 24, "b").key == (7, 24)


def test_values_do_not_change() -> None:
    """Every noun is frozen: what was handed on is what was meant."""
    nouns = [one for one in vars(model).values() if dataclasses.is_dataclass(one)]
    assert len(nouns) >= 5
    for noun in nouns:
        assert getattr(noun, "__dataclass_params__").frozen, noun  # noqa: B009 - not typed
    with pytest.raises(AttributeError):
        RowResult(1, Outcome.CREATED).number = 2  # type: ignore[misc]
