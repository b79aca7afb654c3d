"""The API as pure functions: requests out, verdicts in. No I/O, no clock.

    requests     read_list, read_lists, create, update, delete, fetch_account, follow
    judge        one attempt of a write -> Verdict: the table of what came back
    read_page    one attempt of a read -> a page's values and where the next one lies

Paths are built from sids that matched their pattern, so nothing in an input can bend a path.
Sources: the vendor's page on the SIP IpAddress resource (fields, paths, statuses), its error
dictionary (codes). Which HTTP status goes with 21235 is an assumption, so only the code counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from socket import AF_INET, inet_pton
from struct import Struct
from typing import Any, Final, NamedTuple, assert_never
from urllib.parse import quote_plus

import orjson

from bulkipacl.model import ApiError, Attempt, Entry, Operation, Reach, Request, ip_text, make
from bulkipacl.settings import API_VERSION, PAGE_SIZE

VALIDATION_FAILED = 21235
"""A bad parameter, or a name or an address that the list already holds: only reading tells."""

LIST_NOT_FOUND = "list_not_found"
"""The reason of what failed because its list is not there."""

_QUERY = re.compile(r"(\?[!\"$-~]*)?")
_SID = re.compile(r"(AC|AL|IP|SD)[0-9a-fA-F]{32}")
_unpack = Struct("!I").unpack
_is_entry_sid = re.compile(r"IP[0-9a-fA-F]{32}").fullmatch
_is_unquoted = re.compile(r"[A-Za-z0-9_.~-]*").fullmatch
_IPV4 = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})")
_GIVEN_UP = (408, 499)
"""Somebody on the way waited no longer (499 is nginx's word for that): it may have been done.

Not so 425 (RFC 8470): what is answered so was surely not processed.
"""
_MAX_CODE = 999_999
_MAX_TEXT = 1_000


class VerdictKind(StrEnum):
    """What one attempt of a write means."""

    DONE = "done"
    """It took effect. `entry` is the echo (not for a delete)."""
    DONE_EARLIER = "done_earlier"
    """An earlier send of the same delete took effect."""
    GONE = "gone"
    """A delete of what is not there, and no send of ours can have removed it."""
    AGAIN = "again"
    """It did not take effect, or doing it twice is doing it once: send it again."""
    THROTTLED = "throttled"
    """It was not processed, because the account does too much at once: send it again."""
    READ_BACK = "read_back"
    """It may have taken effect, and sending it again could do it twice: read the list."""
    TAKEN = "taken"
    """It was refused, perhaps because the list holds it already: read the list."""
    MISMATCH = "mismatch"
    """It took effect otherwise than asked. `entry` is what the API now holds."""
    FAILED = "failed"
    """The API said no."""
    LIST_DOUBTED = "list_doubted"
    """The list is not there, or something on the way says so: read it."""
    ACCOUNT_REFUSED = "account_refused"
    """The credential is not accepted for this account."""


class Verdict(NamedTuple):
    """The reading of one attempt.

    Attributes:
        reason: a stable word where it is not plain success.
        was_sent: whether this attempt may have reached the API and had its effect, now or later.
    """

    kind: VerdictKind
    reason: str = ""
    entry: Entry | None = None
    error: ApiError | None = None
    was_sent: bool = False


_DELETED = Verdict(VerdictKind.DONE)

# What every row asks for: a name of the module is found faster than a member of an enumeration.
_ANSWERED: Final = Reach.ANSWERED
_DELETE: Final = Operation.DELETE
_DONE: Final = VerdictKind.DONE


# --- requests -----------------------------------------------------------------------------


def account_path(account_sid: str) -> str:
    """The path of everything that belongs to an account, without a suffix."""
    return f"/{API_VERSION}/Accounts/{_checked(account_sid)}"


def fetch_account(account_sid: str) -> Request:
    """The cheapest request that shows whether a credential reaches an account's lists."""
    path = f"{account_path(account_sid)}/SIP/IpAccessControlLists.json?PageSize=1"
    return Request(account_sid, "GET", path)


def read_lists(account_sid: str) -> Request:
    """The first page of an account's lists."""
    path = f"{account_path(account_sid)}/SIP/IpAccessControlLists.json?PageSize={PAGE_SIZE}"
    return Request(account_sid, "GET", path)


def entries_path(account_sid: str, list_sid: str) -> str:
    """The path of a list's entries, without a suffix."""
    return f"{account_path(account_sid)}/SIP/IpAccessControlLists/{_checked(list_sid)}/IpAddresses"


def read_list(account_sid: str, list_sid: str) -> Request:
    """The first page of a list's entries; the only one, by the API's documented limit of 100."""
    path = f"{entries_path(account_sid, list_sid)}.json?PageSize={PAGE_SIZE}"
    return Request(account_sid, "GET", path)


def create(account_sid: str, base: str, address: int, prefix: int, name: str) -> Request:
    """Create an entry; `base` is `entries_path`."""
    quoted = name if _is_unquoted(name) else quote_plus(name)
    body = f"FriendlyName={quoted}&IpAddress={ip_text(address)}&CidrPrefixLength={prefix}"
    return make(Request, (account_sid, "POST", f"{base}.json", body.encode()))


def update(account_sid: str, base: str, old: Entry, new: Entry) -> Request:
    """Change an entry; sends only what differs, but address and prefix both or neither.

    Whether the API resets the prefix when it is given the address alone is not documented.
    """
    fields = []
    if old.name != new.name:
        fields.append(f"FriendlyName={quote_plus(new.name)}")
    if old.key != new.key:
        fields.append(f"IpAddress={ip_text(new.address)}&CidrPrefixLength={new.prefix}")
    path = f"{base}/{_checked(old.sid)}.json"
    return Request(account_sid, "POST", path, "&".join(fields).encode())


def delete(account_sid: str, base: str, sid: str) -> Request:
    """Delete an entry by its sid."""
    return Request(account_sid, "DELETE", f"{base}/{_checked(sid)}.json")


def follow(first: Request, next_page_uri: str) -> Request | None:
    """The request for a next page, or None where it leads away from what is being read.

    The API gives a relative one; an absolute one, another host or another resource is refused,
    because the credential would travel there.
    """
    # Byte for byte the same path, and a query of visible ASCII: nothing is left to interpretation.
    path, _, _ = first.path.partition("?")
    if not _QUERY.fullmatch(next_page_uri.removeprefix(path)):
        return None
    if not next_page_uri.startswith(path):
        return None
    return Request(first.account_sid, "GET", next_page_uri)


# --- verdicts -----------------------------------------------------------------------------


def judge(
    operation: Operation, attempt: Attempt, wanted: Entry, list_sid: str, sends_before: int
) -> Verdict:
    """What one attempt of a write means. About 3 us.

    Args:
        operation: create, update or delete.
        wanted: what was asked for; its sid is "" for a create.
        list_sid: the list that was written to.
        sends_before: earlier sends of the same write that may have had their effect.
    """
    reach = attempt.reach
    if reach is _ANSWERED:
        if 200 <= attempt.status < 300:
            return _judge_success(operation, attempt, wanted, list_sid)
        return _judge_error(operation, attempt, sends_before)
    if reach is Reach.MAYBE_SENT:
        return _maybe_sent(operation, "no_answer", _transport_error(attempt))
    if reach is Reach.NOT_SENT:
        return Verdict(VerdictKind.AGAIN, "not_sent", error=_transport_error(attempt))
    assert_never(reach)


def _judge_error(operation: Operation, attempt: Attempt, sends_before: int) -> Verdict:
    status = attempt.status
    error = read_error(attempt)
    if status == 429:
        return Verdict(VerdictKind.THROTTLED, "throttled", error=error)
    if status >= 500 or status in _GIVEN_UP:
        return _maybe_sent(operation, "server_error", error)
    if 300 <= status < 400:
        # Not followed. What sends elsewhere may have had its effect first, as a form does with 303;
        # once more it would say the same.
        return Verdict(VerdictKind.FAILED, "redirected", error=error, was_sent=True)
    if status in (401, 403):
        return Verdict(VerdictKind.ACCOUNT_REFUSED, "credentials_refused", error=error)
    if status == 404:
        return _judge_not_found(operation, error, sends_before)
    if status == 409:
        # "Being updated simultaneously": refused as it stands, and fit to be sent again.
        return Verdict(VerdictKind.AGAIN, "conflict", error=error)
    if operation is Operation.CREATE and error.code == VALIDATION_FAILED:
        return Verdict(VerdictKind.TAKEN, "validation_failed", error=error)
    return Verdict(VerdictKind.FAILED, "rejected", error=error)


def _judge_success(operation: Operation, attempt: Attempt, wanted: Entry, list_sid: str) -> Verdict:
    if operation is _DELETE:
        # 204 is the documented answer; another 2xx came from something else on the way.
        if attempt.status == 204:
            return _DELETED
        return _maybe_sent(operation, "unreadable_answer", _unreadable(attempt))
    try:
        body = orjson.loads(attempt.body)
        echo = read_entry(body)
        echo_list = body["ip_access_control_list_sid"]
    except (ValueError, KeyError, TypeError):
        return _maybe_sent(operation, "unreadable_answer", _unreadable(attempt))
    sid = wanted[0]
    is_same = echo[1:] == wanted[1:] and (not sid or echo[0] == sid) and echo_list == list_sid
    if is_same:
        return make(Verdict, (_DONE, "", echo, None, False))
    message = f"asked for {_told(wanted)}, the API answered {_told(echo)} in {echo_list}"
    error = ApiError(attempt.status, 0, message[:_MAX_TEXT])
    return Verdict(VerdictKind.MISMATCH, "echo_mismatch", entry=echo, error=error)


def _judge_not_found(operation: Operation, error: ApiError, sends_before: int) -> Verdict:
    if operation is Operation.CREATE:
        # A gateway says it too, and what stood behind it may have been done.
        return Verdict(VerdictKind.LIST_DOUBTED, LIST_NOT_FOUND, error=error, was_sent=True)
    if operation is Operation.DELETE:
        kind = VerdictKind.DONE_EARLIER if sends_before else VerdictKind.GONE
        return Verdict(kind, error=error)
    return Verdict(VerdictKind.FAILED, "not_found", error=error)


def _maybe_sent(operation: Operation, reason: str, error: ApiError) -> Verdict:
    # An update or delete names its entry by sid, so that doing it twice is doing it once. A
    # create that is sent twice can make two entries.
    kind = VerdictKind.READ_BACK if operation is Operation.CREATE else VerdictKind.AGAIN
    return Verdict(kind, reason, error=error, was_sent=True)


# --- reading bodies -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a reading: its values as the API sent them, and the next page's place."""

    values: list[dict[str, Any]]
    next_page_uri: str | None


class ReadVerdict(StrEnum):
    """What one attempt of a read means, where it brought no page."""

    AGAIN = "again"
    THROTTLED = "throttled"
    NOT_FOUND = "not_found"
    ACCOUNT_REFUSED = "account_refused"
    FAILED = "failed"


def read_page(attempt: Attempt, key: str) -> Page | tuple[ReadVerdict, ApiError]:
    """The page that a GET brought, or why it brought none.

    Args:
        key: the array's name: `ip_addresses`, `ip_access_control_lists`, ...
    """
    if attempt.reach is not Reach.ANSWERED:
        return ReadVerdict.AGAIN, _transport_error(attempt)
    status = attempt.status
    if status == 200:
        try:
            body = orjson.loads(attempt.body)
            values, following = body[key], body["next_page_uri"]
        except (ValueError, KeyError, TypeError):
            return ReadVerdict.AGAIN, _unreadable(attempt)
        is_page = isinstance(values, list) and all(isinstance(value, dict) for value in values)
        if is_page and (following is None or isinstance(following, str)):
            return Page(values, following or None)
        return ReadVerdict.AGAIN, _unreadable(attempt)
    error = read_error(attempt)
    if status == 429:
        return ReadVerdict.THROTTLED, error
    if status >= 500 or status == 409 or status in _GIVEN_UP:
        return ReadVerdict.AGAIN, error
    if status in (401, 403):
        return ReadVerdict.ACCOUNT_REFUSED, error
    return (ReadVerdict.NOT_FOUND if status == 404 else ReadVerdict.FAILED), error


def read_entry(value: Mapping[str, Any], list_sid: str = "") -> Entry:
    """An entry from the API's JSON.

    Raises:
        ValueError, KeyError, TypeError: it is not an entry (of this list, where one is given).
    """
    sid, prefix, text = value["sid"], value["cidr_prefix_length"], value["ip_address"]
    try:
        (address,) = _unpack(inet_pton(AF_INET, text))
    except OSError:
        address = _read_odd_address(text)
    if _is_entry_sid(sid) is None or type(prefix) is not int or not 0 <= prefix <= 32:
        raise ValueError("not an entry")
    if list_sid and value["ip_access_control_list_sid"] != list_sid:
        raise ValueError("an entry of another list")
    return make(Entry, (sid, address, prefix, str(value["friendly_name"] or "")))


def _read_odd_address(text: str) -> int:
    """An address that the C library does not read, such as one with leading zeros."""
    found = _IPV4.fullmatch(text)
    if found is None:
        raise ValueError("not an address")
    a, b, c, d = map(int, found.groups())
    if a > 255 or b > 255 or c > 255 or d > 255:
        raise ValueError("not an IPv4 address")
    return a << 24 | b << 16 | c << 8 | d


def read_error(attempt: Attempt) -> ApiError:
    """The error that an answer carries: the classic body, RFC 9457, or whatever came.

    Text is kept as received, but no more of it than a report can use.
    """
    try:
        body = orjson.loads(attempt.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        return ApiError(attempt.status, 0, _http_text(attempt))
    message = body.get("message") or body.get("detail") or body.get("title") or ""
    code = body.get("code")
    return ApiError(
        attempt.status,
        code if type(code) is int and 0 <= code <= _MAX_CODE else _code_of(body),
        str(message)[:_MAX_TEXT] or _http_text(attempt),
        str(body.get("more_info") or body.get("type") or "")[:_MAX_TEXT],
    )


def _code_of(body: Mapping[str, Any]) -> int:
    code = body.get("code")
    text = code if isinstance(code, str) else body.get("type")
    found = re.search(r"([0-9]{5})$", text) if isinstance(text, str) else None
    return int(found[1]) if found else 0


def _http_text(attempt: Attempt) -> str:
    return f"HTTP {attempt.status} without a readable message"


def _transport_error(attempt: Attempt) -> ApiError:
    return ApiError(attempt.status, 0, attempt.error)


def _unreadable(attempt: Attempt) -> ApiError:
    return ApiError(attempt.status, 0, f"HTTP {attempt.status} with a body that cannot be read")


def _told(entry: Entry) -> str:
    return f"{ip_text(entry.address)}/{entry.prefix} {entry.name!r}"


def is_sid(text: str, kind: str) -> bool:
    """Whether it is a sid of this kind: `AC`, `AL`, `IP` or `SD`."""
    return text.startswith(kind) and _SID.fullmatch(text) is not None


def _checked(sid: str) -> str:
    if not _SID.fullmatch(sid):
        raise ValueError("not a sid")
    return sid
