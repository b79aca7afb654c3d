"""Lists named by their FriendlyName, against what an account holds."""

from __future__ import annotations

from typing import Any

import pytest

from bulkipacl.engine.naming import find_sids

ONE, TWO = "AL" + "1" * 32, "AL" + "2" * 32


def acl(sid: object, name: object) -> dict[str, Any]:
    """A list as the API sends it."""
    return {"sid": sid, "friendly_name": name, "account_sid": "AC" + "0" * 32}


# Each line: a word | what the account holds | the sid that "office" leads to, or why to none.
TABLE: list[tuple[str, list[Any], str]] = [
    ("no lists", [], "list_name_not_found"),
    ("found", [acl(ONE, "office")], ONE),
    ("found among others", [acl(TWO, "home"), acl(ONE, "office")], ONE),
    ("another name", [acl(ONE, "home")], "list_name_not_found"),
    ("case differs", [acl(ONE, "Office")], "list_name_not_found"),
    ("a space more", [acl(ONE, "office ")], "list_name_not_found"),
    ("two of one name", [acl(ONE, "office"), acl(TWO, "office")], "list_name_ambiguous"),
    ("bent sid", [acl("AL/../x", "office")], "list_name_not_found"),
    ("sid of another kind", [acl("IP" + "1" * 32, "office")], "list_name_not_found"),
    ("sid is a number", [acl(1, "office")], "list_name_not_found"),
    ("no sid", [{"friendly_name": "office"}], "list_name_not_found"),
    ("no name", [{"sid": ONE}], "list_name_not_found"),
    ("name is null", [acl(ONE, None)], "list_name_not_found"),
]


@pytest.mark.parametrize(
    ("lists", "answer"), [case[1:] for case in TABLE], ids=[case[0] for case in TABLE]
)
def test_table(lists: list[Any], answer: str) -> None:
    """A name leads to the one list that has it, and to none where there is a doubt."""
    sids, missing = find_sids({5: "office"}, lists)
    if answer.startswith("AL"):
        assert (sids, missing) == ({5: answer}, {})
    else:
        assert sids == {}
        assert list(missing) == [5]
        assert missing[5].reason == answer
        assert missing[5].suggestion


def test_a_list_without_a_name_is_not_called_none() -> None:
    """A list that the API gives no name is not found by the word for nothing."""
    sids, missing = find_sids({1: "None"}, [acl(ONE, None), {"sid": TWO}])
    assert sids == {}
    assert missing[1].reason == "list_name_not_found"


def test_every_name_is_answered() -> None:
    """Each asked name is in exactly one of the two answers."""
    names = {n: f"list {n % 7}" for n in range(20)}
    lists = [acl(f"AL{n:032x}", f"list {n % 5}") for n in range(8)]
    sids, missing = find_sids(names, lists)
    assert sids.keys() | missing.keys() == names.keys()
    assert not sids.keys() & missing.keys()
