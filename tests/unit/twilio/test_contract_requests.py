"""Requests as they go out, pages and errors as they come in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest

from bulkipacl.model import ApiError, Attempt, Entry, Reach, Request
from bulkipacl.twilio import contract
from bulkipacl.twilio.contract import Page, ReadVerdict

AC = "AC" + "0a" * 16
AL = "AL" + "1B" * 16
IP = "IP" + "2c" * 16
LISTS = f"/2010-04-01/Accounts/{AC}/SIP/IpAccessControlLists"
BASE = f"{LISTS}/{AL}/IpAddresses"
OLD = Entry(IP, 0xC6336401, 32, "old name")


# --- requests -----------------------------------------------------------------------------


def test_paths() -> None:
    """Every request's method, path and body are exactly those of the vendor's page."""
    base = contract.entries_path(AC, AL)
    assert base == BASE
    assert contract.fetch_account(AC) == Request(AC, "GET", f"{LISTS}.json?PageSize=1")
    assert contract.read_lists(AC) == Request(AC, "GET", f"{LISTS}.json?PageSize=1000")
    assert contract.read_list(AC, AL) == Request(AC, "GET", f"{BASE}.json?PageSize=1000")
    assert contract.delete(AC, base, IP) == Request(AC, "DELETE", f"{BASE}/{IP}.json")
    assert contract.create(AC, base, 0xC6336400, 24, "an office") == Request(
        AC,
        "POST",
        f"{BASE}.json",
        b"FriendlyName=an+office&IpAddress=198.51.100.0&CidrPrefixLength=24",
    )


NAMES = [
    ("plain", "office-1_a.b~c", "office-1_a.b~c"),
    ("space", "two words", "two+words"),
    ("plus", "a+b", "a%2Bb"),
    ("ampersand and equals", "a&b=c", "a%26b%3Dc"),
    ("percent", "100% %41", "100%25+%2541"),
    ("quotes", '"it\'s"', "%22it%27s%22"),
    ("slash and question mark", "/a?b#c", "%2Fa%3Fb%23c"),
    ("semicolon, comma, colon", ";,:@", "%3B%2C%3A%40"),
    ("line break", "a\r\nHost: x", "a%0D%0AHost%3A+x"),
    ("nul", "a\x00b", "a%00b"),
    ("accent", "Genève", "Gen%C3%A8ve"),
    ("combining accent", "e\u0301", "e%CC%81"),
    ("emoji", "☎\U0001f600", "%E2%98%8E%F0%9F%98%80"),
    ("right to left", "\u202eabc", "%E2%80%AEabc"),
    ("empty", "", ""),
]


@pytest.mark.parametrize(
    ("name", "encoded"), [case[1:] for case in NAMES], ids=[case[0] for case in NAMES]
)
def test_names_are_form_encoded(name: str, encoded: str) -> None:
    """Any character of a name travels inside its field, and comes out again as it was."""
    created = contract.create(AC, BASE, OLD.address, 32, name)
    tail = "&IpAddress=198.51.100.1&CidrPrefixLength=32"
    assert created.body == f"FriendlyName={encoded}{tail}".encode("ascii")
    updated = contract.update(AC, BASE, OLD, Entry(IP, OLD.address, 32, name))
    assert updated.body == f"FriendlyName={encoded}".encode("ascii")
    parsed = parse_qs(created.body.decode("ascii"), keep_blank_values=True)
    assert parsed == {
        "FriendlyName": [name],
        "IpAddress": ["198.51.100.1"],
        "CidrPrefixLength": ["32"],
    }


def test_every_byte_of_a_name_is_safe() -> None:
    """No character below 256 can end its field or begin another one."""
    for code in range(256):
        body = contract.create(AC, BASE, 1, 1, chr(code)).body.decode("ascii")
        assert parse_qs(body, keep_blank_values=True)["FriendlyName"] == [chr(code)], code
        assert body.isprintable(), code


UPDATES = [
    ("name", Entry(IP, OLD.address, 32, "new"), b"FriendlyName=new"),
    (
        "address",
        Entry(IP, 0xC6336402, 32, "old name"),
        b"IpAddress=198.51.100.2&CidrPrefixLength=32",
    ),
    (
        "prefix",
        Entry(IP, OLD.address, 30, "old name"),
        b"IpAddress=198.51.100.1&CidrPrefixLength=30",
    ),
    (
        "all",
        Entry(IP, 0, 1, "new"),
        b"FriendlyName=new&IpAddress=0.0.0.0&CidrPrefixLength=1",
    ),
]


@pytest.mark.parametrize(
    ("new", "body"), [case[1:] for case in UPDATES], ids=[case[0] for case in UPDATES]
)
def test_update_sends_what_differs(new: Entry, body: bytes) -> None:
    """An update sends its changes alone; address and prefix go together or not at all."""
    assert contract.update(AC, BASE, OLD, new) == Request(AC, "POST", f"{BASE}/{IP}.json", body)


BENT = [
    ("empty", ""),
    ("short", "AL" + "1" * 31),
    ("long", "AL" + "1" * 33),
    ("not hex", "AL" + "g" * 32),
    ("unknown kind", "XX" + "1" * 32),
    ("lower case kind", "al" + "1" * 32),
    ("line break at the end", "AL" + "1" * 32 + "\n"),
    ("space before", " AL" + "1" * 32),
    ("up the path", "AL" + "1" * 15 + "/../" + "1" * 13),
    ("query", "AL" + "1" * 30 + "?a"),
    ("other digits", "AL" + "\u0661" * 32),
]


@pytest.mark.parametrize("sid", [case[1] for case in BENT], ids=[case[0] for case in BENT])
def test_bent_sids_bend_no_path(sid: str) -> None:
    """What does not match a sid's pattern never becomes part of a path."""
    calls: list[Callable[[], object]] = [
        lambda: contract.account_path(sid),
        lambda: contract.fetch_account(sid),
        lambda: contract.read_lists(sid),
        lambda: contract.read_list(sid, AL),
        lambda: contract.read_list(AC, sid),
        lambda: contract.entries_path(AC, sid),
        lambda: contract.delete(AC, BASE, sid),
        lambda: contract.update(AC, BASE, Entry(sid, 1, 32, "a"), Entry(sid, 1, 32, "b")),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="not a sid"):
            call()
    assert not contract.is_sid(sid, "AL")


def test_is_sid_knows_kinds() -> None:
    """A good sid is one of its own kind only."""
    assert contract.is_sid(AL, "AL")
    assert not contract.is_sid(AL, "AC")
    assert not contract.is_sid(IP, "AL")


# --- paging -------------------------------------------------------------------------------

FIRST = contract.read_list(AC, AL)
NEXT = f"{BASE}.json?PageSize=1000&Page=1&PageToken=PAIP{'2c' * 16}"

ELSEWHERE = [
    ("another host", f"https://evil.example{NEXT}"),
    ("the same host, absolute", f"https://api.twilio.com{NEXT}"),
    ("scheme-relative", f"//evil.example{NEXT}"),
    ("scheme-relative, user", f"//api.twilio.com@evil.example{NEXT}"),
    ("three slashes", f"///evil.example{NEXT}"),
    ("backslashes", f"\\\\evil.example{NEXT}"),
    ("slash and backslash", f"/\\evil.example{NEXT}"),
    ("another scheme", f"file://{NEXT}"),
    ("scheme without a host", f"http:{NEXT}"),
    ("another list", NEXT.replace(AL, "AL" + "9f" * 16)),
    ("another account", NEXT.replace(AC, "AC" + "9f" * 16)),
    ("the list of lists", f"{LISTS}.json?Page=1"),
    ("up the path", f"{BASE}/../IpAddresses.json?Page=1"),
    ("encoded path", f"{BASE.replace('SIP', '%53IP')}.json?Page=1"),
    ("a query alone", "?Page=1"),
    ("empty", ""),
    ("fragment", f"{NEXT}#part"),
    ("empty fragment", f"{NEXT}#"),
    ("line break", f"{NEXT}\r\nX-Other: 1"),
    ("tab inside", NEXT.replace("Page=1", "Pa\tge=1")),
    ("nul", f"{NEXT}\x00"),
    ("delete", f"{NEXT}\x7f"),
    ("space at the end", f"{NEXT} HTTP/1.1"),
    ("space before", f" {NEXT}"),
    ("line separator", f"{NEXT}\u2028"),
    ("unclosed bracket", f"//[evil{NEXT}"),
    ("bracket in a host", "https://[::1/2010-04-01"),
    ("not ASCII", f"{NEXT}&x=é"),
]


def test_next_page_is_followed_verbatim() -> None:
    """A relative address of the same resource is asked for as it is, by the same account."""
    assert contract.follow(FIRST, NEXT) == Request(AC, "GET", NEXT)
    same_page = contract.follow(FIRST, FIRST.path)
    assert same_page == FIRST  # A walk in a circle is the reading's to notice.


@pytest.mark.parametrize(
    "uri", [case[1] for case in ELSEWHERE], ids=[case[0] for case in ELSEWHERE]
)
def test_next_page_elsewhere_is_refused(uri: str) -> None:
    """The credential goes nowhere but to the resource that is being read."""
    assert contract.follow(FIRST, uri) is None


ENTRY: dict[str, Any] = {
    "sid": IP,
    "ip_address": "198.51.100.1",
    "cidr_prefix_length": 32,
    "friendly_name": "old name",
    "ip_access_control_list_sid": AL,
}


def page(body: Any, status: int = 200) -> Attempt:
    """An answer with this as its JSON."""
    return Attempt(Reach.ANSWERED, status, orjson.dumps(body))


def test_page() -> None:
    """A page brings its values as they were sent, and where the next one is."""
    values = [ENTRY, ENTRY | {"sid": IP[:-1] + "d"}]
    read = contract.read_page(page({"ip_addresses": values, "next_page_uri": NEXT}), "ip_addresses")
    assert read == Page(values, NEXT)
    last = contract.read_page(page({"contents": [], "next_page_uri": None}), "contents")
    assert last == Page([], None)
    blank = contract.read_page(page({"contents": [], "next_page_uri": ""}), "contents")
    assert blank == Page([], None)


NO_PAGES = [
    ("not sent", Attempt(Reach.NOT_SENT, error="no"), ReadVerdict.AGAIN),
    ("no answer", Attempt(Reach.MAYBE_SENT, error="no"), ReadVerdict.AGAIN),
    ("empty", Attempt(Reach.ANSWERED, 200), ReadVerdict.AGAIN),
    ("html", Attempt(Reach.ANSWERED, 200, b"<html></html>"), ReadVerdict.AGAIN),
    ("cut short", Attempt(Reach.ANSWERED, 200, b'{"ip_addresses":[{"si'), ReadVerdict.AGAIN),
    ("deep", Attempt(Reach.ANSWERED, 200, b"[" * 200_000), ReadVerdict.AGAIN),
    ("an array", page([]), ReadVerdict.AGAIN),
    ("a number", page(1), ReadVerdict.AGAIN),
    ("null", page(None), ReadVerdict.AGAIN),
    ("other key", page({"contents": [], "next_page_uri": None}), ReadVerdict.AGAIN),
    ("no next page", page({"ip_addresses": []}), ReadVerdict.AGAIN),
    ("values are an object", page({"ip_addresses": {}, "next_page_uri": None}), ReadVerdict.AGAIN),
    ("values are null", page({"ip_addresses": None, "next_page_uri": None}), ReadVerdict.AGAIN),
    ("next page is a number", page({"ip_addresses": [], "next_page_uri": 2}), ReadVerdict.AGAIN),
    ("a value is a number", page({"ip_addresses": [1], "next_page_uri": None}), ReadVerdict.AGAIN),
    ("a value is null", page({"ip_addresses": [None], "next_page_uri": None}), ReadVerdict.AGAIN),
    ("201", page({"ip_addresses": [], "next_page_uri": None}, 201), ReadVerdict.FAILED),
    ("302", page({}, 302), ReadVerdict.FAILED),
    ("400", page({}, 400), ReadVerdict.FAILED),
    ("401", page({}, 401), ReadVerdict.ACCOUNT_REFUSED),
    ("403", page({}, 403), ReadVerdict.ACCOUNT_REFUSED),
    ("404", page({}, 404), ReadVerdict.NOT_FOUND),
    ("408", page({}, 408), ReadVerdict.AGAIN),
    ("409", page({}, 409), ReadVerdict.AGAIN),
    ("429", page({}, 429), ReadVerdict.THROTTLED),
    ("500", page({}, 500), ReadVerdict.AGAIN),
    ("503", Attempt(Reach.ANSWERED, 503, b"<html>"), ReadVerdict.AGAIN),
]


@pytest.mark.parametrize(
    ("attempt", "verdict"), [case[1:] for case in NO_PAGES], ids=[case[0] for case in NO_PAGES]
)
def test_no_page(attempt: Attempt, verdict: ReadVerdict) -> None:
    """What is not a whole page is never taken for one, and says what to do instead."""
    read = contract.read_page(attempt, "ip_addresses")
    assert isinstance(read, tuple)
    assert read[0] is verdict
    assert read[1].status == attempt.status


# --- entries ------------------------------------------------------------------------------


def test_entry() -> None:
    """An entry is read as it stands, a missing name as an empty one."""
    assert contract.read_entry(ENTRY, AL) == OLD
    assert contract.read_entry(ENTRY) == OLD
    assert contract.read_entry(ENTRY | {"friendly_name": None}).name == ""
    assert contract.read_entry(ENTRY | {"ip_address": "255.255.255.255"}).address == 2**32 - 1


BAD_ENTRIES: list[tuple[str, Any]] = [
    *[(f"no {key}", {k: v for k, v in ENTRY.items() if k != key}) for key in ENTRY],
    ("null", None),
    ("a list", [ENTRY]),
    ("bent sid", ENTRY | {"sid": "IP/../" + "1" * 28}),
    ("sid is a number", ENTRY | {"sid": 1}),
    ("sid of a list", ENTRY | {"sid": AL}),
    ("another list", ENTRY | {"ip_access_control_list_sid": "AL" + "9f" * 16}),
    ("IPv6", ENTRY | {"ip_address": "::1"}),
    ("octet 256", ENTRY | {"ip_address": "198.51.100.256"}),
    ("three octets", ENTRY | {"ip_address": "198.51.100"}),
    ("five octets", ENTRY | {"ip_address": "198.51.100.1.1"}),
    ("other digits", ENTRY | {"ip_address": "١٩٨.51.100.1"}),
    ("line break", ENTRY | {"ip_address": "198.51.100.1\n"}),
    ("empty address", ENTRY | {"ip_address": ""}),
    ("address is null", ENTRY | {"ip_address": None}),
    ("address is a number", ENTRY | {"ip_address": 3325256705}),
    ("prefix 33", ENTRY | {"cidr_prefix_length": 33}),
    ("prefix -1", ENTRY | {"cidr_prefix_length": -1}),
    ("prefix as text", ENTRY | {"cidr_prefix_length": "32"}),
    ("prefix null", ENTRY | {"cidr_prefix_length": None}),
    ("prefix true", ENTRY | {"cidr_prefix_length": True}),
    ("prefix 32.0", ENTRY | {"cidr_prefix_length": 32.0}),
]


@pytest.mark.parametrize(
    "value", [case[1] for case in BAD_ENTRIES], ids=[c[0] for c in BAD_ENTRIES]
)
def test_bad_entries_are_refused(value: Any) -> None:
    """What is not an entry of the list is refused with one of three errors, never guessed."""
    with pytest.raises((ValueError, KeyError, TypeError)):
        contract.read_entry(value, AL)


# --- errors -------------------------------------------------------------------------------

ERRORS = [
    (
        "classic",
        {"status": 404, "code": 20404, "message": "gone", "more_info": "https://e/20404"},
        ApiError(400, 20404, "gone", "https://e/20404"),
    ),
    ("classic, no code", {"status": 400, "message": "bad"}, ApiError(400, 0, "bad")),
    ("code as text", {"code": "20404", "message": "gone"}, ApiError(400, 20404, "gone")),
    ("code is true", {"code": True, "message": "x"}, ApiError(400, 0, "x")),
    ("code is null", {"code": None, "message": "x"}, ApiError(400, 0, "x")),
    ("code is an object", {"code": {}, "message": "x"}, ApiError(400, 0, "x")),
    (
        "rfc 9457",
        {"type": "https://x/errors/20404", "title": "Not found", "detail": "no such list"},
        ApiError(400, 20404, "no such list", "https://x/errors/20404"),
    ),
    (
        "rfc 9457 with a code",
        {"type": "https://x/errors/1", "title": "Not found", "code": 20404},
        ApiError(400, 20404, "Not found", "https://x/errors/1"),
    ),
    ("about:blank", {"type": "about:blank", "title": "T"}, ApiError(400, 0, "T", "about:blank")),
    ("message is a number", {"message": 7}, ApiError(400, 0, "7")),
]


@pytest.mark.parametrize(
    ("body", "error"), [case[1:] for case in ERRORS], ids=[case[0] for case in ERRORS]
)
def test_error_bodies(body: dict[str, Any], error: ApiError) -> None:
    """Both kinds of body are read, with what they say kept as it is."""
    assert contract.read_error(page(body, 400)) == error


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>Bad Request</html>", id="html"),
        pytest.param(b"\xff\xfe\x00\xd8", id="bytes"),
        pytest.param(b"{" * 100_000, id="deep"),
        pytest.param(b"[1]", id="array"),
        pytest.param(b"null", id="null"),
        pytest.param(b"{}", id="empty object"),
        pytest.param(b'{"message":""}', id="empty message"),
        pytest.param(b'{"message":"\\ud800"}', id="half a character"),
    ],
)
def test_error_without_words(body: bytes) -> None:
    """A body that says nothing still gives a message with the status."""
    error = contract.read_error(Attempt(Reach.ANSWERED, 502, body))
    assert error == ApiError(502, 0, "HTTP 502 without a readable message")


def test_error_text_is_bounded() -> None:
    """No answer can make a message longer than a report can use."""
    body = {"message": "m" * 1_000_000, "more_info": "i" * 1_000_000}
    error = contract.read_error(page(body, 400))
    assert (len(error.message), len(error.more_info)) == (1_000, 1_000)


@pytest.mark.parametrize("code", [2**63, 2**64 - 1], ids=["one too large", "largest of JSON"])
def test_error_code_can_be_kept(code: int) -> None:
    """A code fits the store's integers, whatever the answer claims: one answer ends no run."""
    error = contract.read_error(page({"code": code, "message": "x"}, 400))
    assert -(2**63) <= error.code < 2**63
