"""What the intake tests share: sids, and ways to read a few rows."""

from __future__ import annotations

import io
from collections.abc import Iterable

from bulkipacl.intake import Defaults, open_source
from bulkipacl.intake.checks import Checker, Texts
from bulkipacl.intake.columns import FIELDS
from bulkipacl.model import Draft, Operation

AC = "AC" + "0a" * 16
AL = "AL" + "1b" * 16
IP = "IP" + "2c" * 16
ALL = Defaults(operation=Operation.CREATE, account_sid=AC, list_sid=AL)


def address(text: str) -> int:
    """An address as its number."""
    number = 0
    for octet in text.split("."):
        number = number * 256 + int(octet)
    return number


def read(
    data: bytes | str,
    defaults: Defaults = ALL,
    *,
    format: str | None = None,  # noqa: A002 - as in the interface
    first_row: int = 1,
) -> list[Draft]:
    """The Drafts of an input given on standard input."""
    if isinstance(data, str):
        data = data.encode()
    source = open_source("-", defaults, format=format, stdin=io.BytesIO(data), first_row=first_row)
    return list(source.drafts())


def check(defaults: Defaults = ALL, /, **fields: str) -> Draft:
    """The Draft of one record, given by its fields."""
    texts = tuple(fields.pop(field, "") for field in FIELDS)
    assert not fields
    return Checker(defaults).draft(1, 1, as_texts(texts), b"[]")


def as_texts(texts: Iterable[str]) -> Texts:
    """Ten texts, typed."""
    a, b, c, d, e, f, g, h, i, j = texts
    return (a, b, c, d, e, f, g, h, i, j)


def reasons(draft: Draft) -> list[str]:
    """The reason words of a Draft's problems, warnings included."""
    return [problem.reason for problem in draft.problems]
