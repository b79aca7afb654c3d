"""What the command line says for all rows."""

from __future__ import annotations

import pytest
from intake_tools import AC, AL

from bulkipacl.errors import UsageError
from bulkipacl.intake import Defaults, parse_defaults
from bulkipacl.model import Operation


def test_parses_all() -> None:
    """Each text becomes its value; a list that looks like a sid is one."""
    found = parse_defaults("DELETE", AC, AL, "site {row}")
    assert found == Defaults(Operation.DELETE, AC, AL, None, "site {row}")
    assert parse_defaults(list_="Main office").list_name == "Main office"
    assert parse_defaults() == Defaults()


@pytest.mark.parametrize(
    ("texts", "message", "hint"),
    [
        (("delte", None, None, None), "--operation", "delete"),
        ((" ", None, None, None), "--operation", "create"),
        ((None, "AC1", None, None), "--account", "32"),
        ((None, "", None, None), "--account", ""),
        ((None, None, AC, None), "--list", "AL"),
        ((None, None, "", None), "--list", ""),
        ((None, None, "a\nb", None), "--list", "a b"),
        ((None, None, None, "{name}"), "placeholder", "{cidr}"),
        ((None, None, None, ""), "--name-template", ""),
        ((None, None, None, "a" * 250 + "{cidr}"), "--name-template", "a"),
    ],
)
def test_refuses_text(
    texts: tuple[str | None, str | None, str | None, str | None], message: str, hint: str
) -> None:
    """A wrong flag is a usage error with a suggestion."""
    with pytest.raises(UsageError, match=message) as caught:
        parse_defaults(*texts)
    assert hint in (caught.value.hint or "")
    assert "\n" not in caught.value.message
