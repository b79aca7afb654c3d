"""One record to one Draft: every problem at once."""

from __future__ import annotations

import pytest
from intake_tools import AC, AL, ALL, IP, address, check, reasons

from bulkipacl.intake import Defaults
from bulkipacl.intake.checks import Checker
from bulkipacl.model import Draft, Operation

OK = "198.41.0.4"
"""An address that gives no cause for a warning."""


@pytest.mark.parametrize(
    ("text", "reason", "suggestion"),
    [
        ("10.0.0.300", "bad_octet", "0 to 255"),
        ("010.0.0.1", "leading_zeros", "10.0.0.1"),
        ("2001:db8::1", "ipv6", "IPv4"),
        ("[::1]:5060", "ipv6", "IPv4"),
        ("203.0.113.*", "wildcard", "203.0.113.0/24"),
        ("10.20.*.*", "wildcard", "10.20.0.0/16"),
        ("*", "wildcard", "CIDR"),
        ("203.0.113.0-203.0.113.7", "range", "203.0.113.0/29"),
        ("203.0.113.1-2", "range", "203.0.113.1/32, 203.0.113.2/32"),
        ("203.0.113.9-203.0.113.1", "range", "one row"),
        ("203.0.113.1-203.0.113.254", "range", "blocks cover it"),
        ("198.41.0.4:5060", "port", "198.41.0.4"),
        ("sip.example.com", "not_an_address", "resolves"),
        ("198.41.0", "not_an_address", "203.0.113.7"),
        ("198.41.0.4, 198.41.0.5", "not_an_address", "one row"),
        ("???", "not_an_address", ""),
        ("198.41.0.0/0", "prefix_zero", "1 to 32"),
        ("198.41.0.0/33", "bad_prefix", ""),
        ("198.41.0.0/", "bad_prefix", "/1 to /32"),
        ("198.41.0.0/255.255.255.0", "netmask", "24"),
        ("١٩٨.41.0.4", "not_an_address", ""),
        ("198.41.0.4\x00", "not_an_address", ""),
    ],
)
def test_refuses_address(text: str, reason: str, suggestion: str) -> None:
    """Each way of writing no address has its own word, and says what to write instead."""
    draft = check(ip_address=text)
    assert reasons(draft) == [reason]
    assert draft.problems[0].field == "ip_address"
    assert suggestion in draft.problems[0].suggestion
    assert draft.is_invalid


@pytest.mark.parametrize(
    "text", [OK, f" {OK} ", f"'{OK}'", f"{OK}/32", f"{OK} / 32", f"\u200b{OK}"]
)
def test_accepts_address(text: str) -> None:
    """Spaces and quotes around a known field are taken off without a word."""
    draft = check(ip_address=text)
    assert draft.problems == ()
    assert (draft.address, draft.prefix) == (address(OK), 32)


@pytest.mark.parametrize("text", ["24", "/24", " 24 ", '"24"'])
def test_accepts_prefix(text: str) -> None:
    """A prefix may carry its slash."""
    assert check(ip_address="198.41.0.0", cidr_prefix_length=text).prefix == 24


@pytest.mark.parametrize(
    ("text", "reason", "suggestion"),
    [
        ("0", "prefix_zero", "1 to 32"),
        ("00", "prefix_zero", "1 to 32"),
        ("33", "bad_prefix", ""),
        ("-1", "bad_prefix", ""),
        ("24.0", "bad_prefix", "24"),
        ("024", "bad_prefix", "24"),
        ("255.255.255.0", "netmask", "24"),
        ("0.0.0.255", "netmask", "24"),
        ("255.0.255.0", "netmask", ""),
        ("wide", "bad_prefix", ""),
    ],
)
def test_refuses_prefix(text: str, reason: str, suggestion: str) -> None:
    """A prefix is a whole number from 1 to 32; 0 is refused with why."""
    draft = check(ip_address="198.41.0.0", cidr_prefix_length=text)
    assert reasons(draft) == [reason]
    assert suggestion in draft.problems[0].suggestion


def test_prefixes_must_agree() -> None:
    """A prefix column that says other than the address is a problem, the same is none."""
    same = check(ip_address="198.41.0.0/24", cidr_prefix_length="24")
    other = check(ip_address="198.41.0.0/24", cidr_prefix_length="25")
    assert same.problems == ()
    assert reasons(other) == ["prefix_disagrees"]


@pytest.mark.parametrize(
    ("text", "reason", "why"),
    [
        ("10.1.2.3", "private", "10.0.0.0/8"),
        ("172.31.255.255", "private", "172.16.0.0/12"),
        ("192.168.0.1", "private", "192.168.0.0/16"),
        ("127.0.0.1", "reserved_range", "loopback"),
        ("169.254.1.1", "reserved_range", "link-local"),
        ("224.0.0.1", "reserved_range", "multicast"),
        ("203.0.113.5", "reserved_range", "documentation"),
        ("198.18.0.1", "reserved_range", "benchmark"),
        ("100.64.0.1", "reserved_range", "carrier"),
        ("240.0.0.1", "reserved_range", "future"),
        ("0.0.0.1", "reserved_range", "this network"),
        ("8.0.0.0/5", "private", "10.0.0.0/8"),
        ("198.41.0.4/29", "host_bits", "first address"),
    ],
)
def test_warns_of_address(text: str, reason: str, why: str) -> None:
    """Host bits and special ranges are only said: the row stays valid."""
    draft = check(ip_address=text)
    assert reasons(draft) == [reason]
    assert why in draft.problems[0].why
    assert not draft.is_invalid


@pytest.mark.parametrize("text", ["9.255.255.255", "11.0.0.0", "172.32.0.0", "223.255.255.255"])
def test_does_not_warn_beside_range(text: str) -> None:
    """The neighbours of a special range are plain addresses."""
    assert check(ip_address=text).problems == ()


def test_suggests_network() -> None:
    """Host bits come with the block that was probably meant."""
    draft = check(ip_address="195.178.188.70/29")
    assert draft.problems[0].suggestion == "write 195.178.188.64/29"


@pytest.mark.parametrize(
    ("field", "text", "why", "suggestion"),
    [
        ("account_sid", "AC12", "this one has 4", "32 characters"),
        ("account_sid", "SD" + "0" * 32, "SIP domain", "starts with AC"),
        ("account_sid", "ac" + "0" * 32, "capitals", "AC" + "0" * 32),
        ("account_sid", "AC" + "g" * 32, "0-9 and a-f", "AC"),
        ("account_sid", "AC" + "0" * 31 + "/", "0-9 and a-f", "AC"),
        ("sid", AL, "IP access control list", "starts with IP"),
        ("ip_access_control_list_sid", "Office", "starts with AL", "list_name"),
    ],
)
def test_refuses_sid(field: str, text: str, why: str, suggestion: str) -> None:
    """A wrong sid is told by kind, length, case or characters."""
    draft = check(operation="delete", **{"sid": IP, "ip_address": OK, field: text})
    assert reasons(draft) == ["bad_sid"]
    assert draft.problems[0].field == field
    assert why in draft.problems[0].why
    assert suggestion in draft.problems[0].suggestion


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("delte", "write delete"),
        ("add", "write create"),
        ("remove", "write delete"),
        ("creat", "write create"),
        ("frobnicate", "create, update, delete or upsert"),
    ],
)
def test_refuses_operation(text: str, suggestion: str) -> None:
    """A misspelt operation is suggested, never guessed, and the default does not replace it."""
    draft = check(operation=text, ip_address=OK)
    assert reasons(draft) == ["bad_operation"]
    assert suggestion in draft.problems[0].suggestion
    assert draft.operation == 0


@pytest.mark.parametrize("text", ["create", "CREATE", "Create", " cReAtE ", ""])
def test_accepts_operation(text: str) -> None:
    """Case does not matter, and the default stands in for an empty cell."""
    assert check(operation=text, ip_address=OK).operation == Operation.CREATE


def test_says_all_that_is_missing() -> None:
    """A row with neither operation, account nor list has three problems at once."""
    draft = check(Defaults(), ip_address="10.0.0.300")
    assert reasons(draft) == ["no_account", "no_list", "bad_octet", "no_operation"]
    assert {problem.field for problem in draft.problems} == {
        "account_sid",
        "ip_access_control_list_sid",
        "ip_address",
        "operation",
    }


@pytest.mark.parametrize(
    ("name", "reason", "suggestion"),
    [
        ("a" * 256, "name_too_long", "write " + "a" * 255),
        ("a\nb", "control_character", "write a b"),
        ("a\x7fb", "control_character", "write a b"),
        ("caf\udce9", "not_utf8", "UTF-8"),
    ],
)
def test_refuses_name(name: str, reason: str, suggestion: str) -> None:
    """A name that the API would refuse or mangle comes with a mended one."""
    draft = check(ip_address=OK, friendly_name=name)
    assert reasons(draft) == [reason]
    assert suggestion in draft.problems[0].suggestion
    assert all(len(problem.value) <= 60 for problem in draft.problems)


@pytest.mark.parametrize(
    ("template", "name"),
    [("{cidr}", "198.41.0.0/24"), ("{ip} of {row} /{prefix}", "198.41.0.0 of 1 /24"), ("x", "x")],
)
def test_fills_name(template: str, name: str) -> None:
    """A create without a name takes the template, an empty cell counting as none."""
    defaults = Defaults(Operation.CREATE, AC, AL, name_template=template)
    assert check(defaults, ip_address="198.41.0.0/24", friendly_name=" ").name == name
    assert check(defaults, ip_address="198.41.0.0/24", friendly_name="n").name == "n"


def test_list_by_name() -> None:
    """A row's own list, of either kind, wins over the default; both in one row contradict."""
    by_name = check(ip_address=OK, list_name="Office")
    assert (by_name.list_sid, by_name.list_name) == ("", "Office")
    named = Defaults(Operation.CREATE, AC, list_name="Office")
    assert check(named, ip_address=OK).list_name == "Office"
    own = check(named, ip_address=OK, ip_access_control_list_sid=AL)
    assert (own.list_sid, own.list_name) == (AL, "")
    both = check(ip_address=OK, list_name="Office", ip_access_control_list_sid=AL)
    assert reasons(both) == ["list_twice"]


CASES: list[tuple[str, dict[str, str], list[str], tuple[object, ...]]] = [
    # word, fields, reasons, (sid, prefix, name, match prefix)
    ("create_plain", {"ip_address": OK}, [], (None, 32, f"{OK}/32", None)),
    ("create_nowhere", {}, ["no_address"], (None, None, None, None)),
    (
        "create_with_sid",
        {"ip_address": OK, "sid": IP},
        ["sid_ignored"],
        (None, 32, f"{OK}/32", None),
    ),
    (
        "create_with_match",
        {"ip_address": OK, "match_ip_address": OK},
        ["sid_ignored"],
        (None, 32, f"{OK}/32", None),
    ),
    ("upsert_unnamed", {"operation": "upsert", "ip_address": OK}, [], (None, 32, None, None)),
    ("delete_by_sid", {"operation": "delete", "sid": IP}, [], (IP, None, None, None)),
    (
        "delete_by_both",
        {"operation": "delete", "sid": IP, "ip_address": OK},
        [],
        (IP, None, None, None),
    ),
    (
        "delete_by_address",
        {"operation": "delete", "ip_address": "10.0.0.1"},
        [],
        (None, 32, None, None),
    ),
    ("delete_nothing", {"operation": "delete"}, ["no_entry"], (None, None, None, None)),
    (
        "delete_by_match",
        {"operation": "delete", "match_ip_address": OK},
        ["no_entry"],
        (None, None, None, None),
    ),
    (
        "delete_match_too",
        {"operation": "delete", "sid": IP, "match_ip_address": OK},
        ["match_ignored"],
        (IP, None, None, None),
    ),
    (
        "update_name",
        {"operation": "update", "sid": IP, "friendly_name": "n"},
        [],
        (IP, None, "n", None),
    ),
    (
        "update_prefix",
        {"operation": "update", "sid": IP, "cidr_prefix_length": "30"},
        [],
        (IP, 30, None, None),
    ),
    (
        "update_address",
        {"operation": "update", "sid": IP, "ip_address": OK},
        [],
        (IP, None, None, None),
    ),
    (
        "update_warns",
        {"operation": "update", "sid": IP, "ip_address": "10.0.0.1"},
        ["private"],
        (IP, None, None, None),
    ),
    (
        "update_by_match",
        {"operation": "update", "match_ip_address": OK, "friendly_name": "n"},
        [],
        (None, None, "n", 32),
    ),
    (
        "update_by_block",
        {"operation": "update", "match_ip_address": "198.41.0.0/24", "ip_address": OK},
        [],
        (None, None, None, 24),
    ),
    (
        "update_by_address",
        {"operation": "update", "ip_address": "10.0.0.1", "friendly_name": "n"},
        [],
        (None, 32, "n", None),
    ),
    (
        "update_no_name",
        {"operation": "update", "ip_address": OK},
        ["nothing_to_update"],
        (None, 32, None, None),
    ),
    (
        "update_no_value",
        {"operation": "update", "sid": IP},
        ["nothing_to_update"],
        (IP, None, None, None),
    ),
    (
        "update_match_no_value",
        {"operation": "update", "match_ip_address": OK},
        ["nothing_to_update"],
        (None, None, None, 32),
    ),
    (
        "update_no_entry",
        {"operation": "update", "friendly_name": "n"},
        ["no_entry"],
        (None, None, "n", None),
    ),
    (
        "update_match_prefix",
        {"operation": "update", "match_cidr_prefix_length": "24", "friendly_name": "n"},
        ["no_entry"],
        (None, None, "n", 24),
    ),
    (
        "update_twice",
        {"operation": "update", "sid": IP, "match_ip_address": OK, "friendly_name": "n"},
        ["entry_twice"],
        (IP, None, "n", 32),
    ),
]


@pytest.mark.parametrize(
    ("fields", "found", "values"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_operation_needs(
    fields: dict[str, str], found: list[str], values: tuple[object, ...]
) -> None:
    """What each operation needs, ignores and fills in."""
    draft = check(**fields)
    assert reasons(draft) == found
    assert (draft.sid, draft.prefix, draft.name, draft.match_prefix) == values


def test_bad_field_is_not_missing() -> None:
    """A field that is wrong is told once, not as absent too."""
    assert reasons(check(operation="delete", sid="IP1")) == ["bad_sid"]
    assert reasons(check(operation="update", sid="IP1", friendly_name="a\tb")) == [
        "bad_sid",
        "control_character",
    ]


def test_remembers_boundedly() -> None:
    """Ever new accounts do not make the memory of checked ones grow."""
    checker = Checker(ALL)
    for number in range(10_000):
        texts = ("create", f"AC{number:032x}", "", "", "", OK, "", "n", "", "")
        draft: Draft = checker.draft(1, 1, texts, b"")
        assert draft.account_sid == texts[1]
    assert len(checker.targets) <= 4096
