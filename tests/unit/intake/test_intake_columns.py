"""Column names and headers."""

from __future__ import annotations

import pytest

from bulkipacl.errors import InputError
from bulkipacl.intake import field_of, near_misses
from bulkipacl.intake.columns import FIELDS, check_header, map_columns


@pytest.mark.parametrize(
    ("column", "field"),
    [
        ("operation", "operation"),
        ("Op", "operation"),
        ("ACTION", "operation"),
        ("AccountSid", "account_sid"),
        ("account", "account_sid"),
        ("IpAccessControlListSid", "ip_access_control_list_sid"),
        ("List SID", "ip_access_control_list_sid"),
        ("acl", "ip_access_control_list_sid"),
        ("list-name", "list_name"),
        ("Sid", "sid"),
        ("ip_address_sid", "sid"),
        ("IpAddress", "ip_address"),
        ("IP", "ip_address"),
        ("cidr", "ip_address"),
        (" Address ", "ip_address"),
        ("CidrPrefixLength", "cidr_prefix_length"),
        ("prefix", "cidr_prefix_length"),
        ("FriendlyName", "friendly_name"),
        ("name", "friendly_name"),
        ("Description", "friendly_name"),
        ("old_ip_address", "match_ip_address"),
        ("MatchIpAddress", "match_ip_address"),
        ("match_cidr_prefix_length", "match_cidr_prefix_length"),
        ("site", None),
        ("", None),
        ("name" * 100, None),
    ],
)
def test_recognises_column(column: str, field: str | None) -> None:
    """Case, spaces, hyphens and underscores do not matter."""
    assert field_of(column) == field


def test_maps_places() -> None:
    """Each field finds its column; others stay out of the way."""
    mapping = map_columns(["site", "ip", "Name"])
    assert mapping.places[FIELDS.index("ip_address")] == 1
    assert mapping.places[FIELDS.index("friendly_name")] == 2
    assert mapping.places[FIELDS.index("sid")] is None


@pytest.mark.parametrize(
    ("columns", "word"),
    [
        (["colour", "size"], "no column of the header is known"),
        (["op", "account", "list", "ip", "ip_address"], "both mean ip_address"),
        (["account", "list", "ip"], "no column operation"),
        (["op", "list", "ip"], "no column account_sid"),
        (["op", "account", "ip"], "no column list_sid"),
        (["op", "account", "list"], "no column ip_address"),
        (["op", "ip"], "account_sid and no column list_sid"),
    ],
)
def test_refuses_header(columns: list[str], word: str) -> None:
    """A header under which no row could be right is refused as a whole, with exit code 3."""
    with pytest.raises(InputError, match=word) as caught:
        check_header("f", columns, has_operation=False, has_account=False, has_list=False)
    assert caught.value.exit_code == 3
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_accepts_header_with_defaults() -> None:
    """What the command line says need not be a column."""
    check_header("f", ["ip"], has_operation=True, has_account=True, has_list=True)


def test_names_near_misses() -> None:
    """A misspelt column is named with what it probably means."""
    columns = ["ip_adress", "cidr_prefix_lenght", "site", "ip"]
    found = [("ip_adress", "ip_address"), ("cidr_prefix_lenght", "cidr_prefix_length")]
    assert near_misses(columns) == found


def test_hint_names_near_miss() -> None:
    """A missing column's hint points to the misspelt one."""
    columns = ["op", "account", "list", "ip_adress"]
    with pytest.raises(InputError) as caught:
        check_header("f", columns, has_operation=False, has_account=False, has_list=False)
    assert caught.value.hint
    assert "looks like ip_address" in caught.value.hint
