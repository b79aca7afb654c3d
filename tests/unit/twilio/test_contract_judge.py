"""What one answered, lost or unsent attempt of a write means: the whole table, cell by cell."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bulkipacl.model import Attempt, Entry, Operation, Reach
from bulkipacl.twilio.contract import Verdict, VerdictKind, judge

LIST = "AL" + "1b" * 16
ELSEWHERE = "AL" + "9f" * 16
SID = "IP" + "2c" * 16
OTHER_SID = "IP" + "3d" * 16
BLOCK = Entry(SID, 0xC6336400, 24, "head office")
NEW_BLOCK = Entry("", BLOCK.address, BLOCK.prefix, BLOCK.name)
GOOD_ECHO: dict[str, Any] = {
    "sid": SID,
    "account_sid": "AC" + "0a" * 16,
    "friendly_name": "head office",
    "ip_address": "198.51.100.0",
    "cidr_prefix_length": 24,
    "ip_access_control_list_sid": LIST,
    "date_created": "Mon, 20 Jul 2015 17:27:10 +0000",
    "date_updated": "Mon, 20 Jul 2015 17:27:10 +0000",
    "uri": f"/2010-04-01/Accounts/AC/SIP/IpAccessControlLists/{LIST}/IpAddresses/{SID}.json",
}
WRITES = {
    Operation.CREATE: NEW_BLOCK,
    Operation.UPDATE: BLOCK,
    Operation.DELETE: BLOCK,
}

DONE, EARLIER, GONE = VerdictKind.DONE, VerdictKind.DONE_EARLIER, VerdictKind.GONE
AGAIN, SLOWER, READ = VerdictKind.AGAIN, VerdictKind.THROTTLED, VerdictKind.READ_BACK
TAKEN, NO, NO_LIST = VerdictKind.TAKEN, VerdictKind.FAILED, VerdictKind.LIST_DOUBTED
ACCOUNT = VerdictKind.ACCOUNT_REFUSED


def echo(**changes: Any) -> bytes:
    """The body of a good answer, with some of its fields as given."""
    return orjson.dumps(GOOD_ECHO | changes)


def classic(code: int) -> bytes:
    """An error body as the API has always sent it."""
    return orjson.dumps({"status": 400, "code": code, "message": "no", "more_info": "https://x"})


def rfc(code: int) -> bytes:
    """An error body after RFC 9457."""
    return orjson.dumps({"type": f"https://x/docs/errors/{code}", "title": "no", "status": 400})


NOT_SENT = Attempt(Reach.NOT_SENT, error="cannot connect")
NO_ANSWER = Attempt(Reach.MAYBE_SENT, error="timed out")
HALF_READ = Attempt(Reach.MAYBE_SENT, status=201, error="the answer was cut short")


def answer(status: int, body: bytes = b"") -> Attempt:
    """A whole answer."""
    return Attempt(Reach.ANSWERED, status, body)


# Each line: what came back | sends that may have landed before | what it means for a create, an
# update, a delete | whether this attempt may still have its effect, or for which operation alone.
TABLE: list[
    tuple[str, Attempt, int, tuple[VerdictKind, VerdictKind, VerdictKind], bool | Operation | None]
] = [
    # Nothing was processed: the same for all, and an earlier landing changes nothing.
    ("not sent", NOT_SENT, 0, (AGAIN, AGAIN, AGAIN), False),
    ("not sent, one before", NOT_SENT, 1, (AGAIN, AGAIN, AGAIN), False),
    ("429 classic", answer(429, classic(20429)), 0, (SLOWER, SLOWER, SLOWER), False),
    ("429 empty", answer(429), 0, (SLOWER, SLOWER, SLOWER), False),
    ("429 html", answer(429, b"<html>busy</html>"), 2, (SLOWER, SLOWER, SLOWER), False),
    ("409 conflict", answer(409, classic(20409)), 0, (AGAIN, AGAIN, AGAIN), False),
    ("409, one before", answer(409), 1, (AGAIN, AGAIN, AGAIN), False),
    # It may have had its effect. Only a create cannot be sent again just so.
    ("no answer", NO_ANSWER, 0, (READ, AGAIN, AGAIN), True),
    ("no answer, one before", NO_ANSWER, 1, (READ, AGAIN, AGAIN), True),
    ("half an answer", HALF_READ, 0, (READ, AGAIN, AGAIN), True),
    ("500", answer(500, classic(20500)), 0, (READ, AGAIN, AGAIN), True),
    ("502 html", answer(502, b"<html>bad gateway</html>"), 0, (READ, AGAIN, AGAIN), True),
    ("503", answer(503, classic(20503)), 0, (READ, AGAIN, AGAIN), True),
    ("503, two before", answer(503), 2, (READ, AGAIN, AGAIN), True),
    ("504 empty", answer(504), 0, (READ, AGAIN, AGAIN), True),
    ("599 unknown", answer(599), 0, (READ, AGAIN, AGAIN), True),
    ("408", answer(408), 0, (READ, AGAIN, AGAIN), True),
    ("499", answer(499), 0, (READ, AGAIN, AGAIN), True),
    # A good answer. What a delete is answered with is 204 and nothing else.
    ("201 echo", answer(201, echo()), 0, (DONE, DONE, AGAIN), None),
    ("200 echo", answer(200, echo()), 0, (DONE, DONE, AGAIN), None),
    ("200 echo, one before", answer(200, echo()), 1, (DONE, DONE, AGAIN), None),
    ("204 empty", answer(204), 0, (READ, AGAIN, DONE), None),
    ("204 empty, one before", answer(204), 1, (READ, AGAIN, DONE), None),
    # A good status whose body says nothing.
    ("201 empty", answer(201), 0, (READ, AGAIN, AGAIN), True),
    ("202 html", answer(202, b"<html>accepted</html>"), 0, (READ, AGAIN, AGAIN), True),
    ("201 cut", answer(201, echo()[:-7]), 0, (READ, AGAIN, AGAIN), True),
    ("201 latin-1", answer(201, '{"sid":"é"}'.encode("latin-1")), 0, (READ, AGAIN, AGAIN), True),
    ("201 null", answer(201, b"null"), 0, (READ, AGAIN, AGAIN), True),
    ("201 number", answer(201, b"7"), 0, (READ, AGAIN, AGAIN), True),
    ("201 text", answer(201, b'"done"'), 0, (READ, AGAIN, AGAIN), True),
    ("201 array", answer(201, b"[" + echo() + b"]"), 0, (READ, AGAIN, AGAIN), True),
    ("201 object of nothing", answer(201, b"{}"), 0, (READ, AGAIN, AGAIN), True),
    ("201 without sid", answer(201, echo(sid=None)), 0, (READ, AGAIN, AGAIN), True),
    ("201 with a bent sid", answer(201, echo(sid="IP../..")), 0, (READ, AGAIN, AGAIN), True),
    ("201 with IPv6", answer(201, echo(ip_address="::1")), 0, (READ, AGAIN, AGAIN), True),
    ("201 with prefix 33", answer(201, echo(cidr_prefix_length=33)), 0, (READ, AGAIN, AGAIN), True),
    ("201 deep", answer(201, b"[" * 200_000), 0, (READ, AGAIN, AGAIN), True),
    ("201 huge", answer(201, b"x" * 4_000_000), 0, (READ, AGAIN, AGAIN), True),
    # Not there. For a create it is the list that is not there.
    ("404 classic", answer(404, classic(20404)), 0, (NO_LIST, NO, GONE), Operation.CREATE),
    ("404 rfc", answer(404, rfc(20404)), 0, (NO_LIST, NO, GONE), Operation.CREATE),
    ("404 empty", answer(404), 0, (NO_LIST, NO, GONE), Operation.CREATE),
    ("404 html", answer(404, b"<html>"), 0, (NO_LIST, NO, GONE), Operation.CREATE),
    ("404, one before", answer(404), 1, (NO_LIST, NO, EARLIER), Operation.CREATE),
    ("404, three before", answer(404), 3, (NO_LIST, NO, EARLIER), Operation.CREATE),
    # Refused because the list holds it already, perhaps. Only a create can look.
    ("400 21235 classic", answer(400, classic(21235)), 0, (TAKEN, NO, NO), False),
    ("400 21235 rfc", answer(400, rfc(21235)), 0, (TAKEN, NO, NO), False),
    ("400 21235, one before", answer(400, classic(21235)), 1, (TAKEN, NO, NO), False),
    ("422 21235", answer(422, classic(21235)), 0, (TAKEN, NO, NO), False),
    # The credential.
    ("401 classic", answer(401, classic(20003)), 0, (ACCOUNT, ACCOUNT, ACCOUNT), False),
    ("401 empty", answer(401), 0, (ACCOUNT, ACCOUNT, ACCOUNT), False),
    ("403 rfc", answer(403, rfc(20403)), 0, (ACCOUNT, ACCOUNT, ACCOUNT), False),
    ("403, one before", answer(403, b"<html>"), 1, (ACCOUNT, ACCOUNT, ACCOUNT), False),
    # Every other no.
    ("400 without a code", answer(400, b"{}"), 0, (NO, NO, NO), False),
    ("400 garbage", answer(400, b"\xff\xfe\x00"), 0, (NO, NO, NO), False),
    ("400 huge", answer(400, b"x" * 4_000_000), 0, (NO, NO, NO), False),
    ("400 21237 full", answer(400, classic(21237)), 0, (NO, NO, NO), False),
    ("400 20422", answer(400, rfc(20422)), 0, (NO, NO, NO), False),
    ("405", answer(405), 0, (NO, NO, NO), False),
    ("410", answer(410), 0, (NO, NO, NO), False),
    ("418", answer(418, classic(0)), 0, (NO, NO, NO), False),
    ("425", answer(425), 0, (NO, NO, NO), False),
    ("451", answer(451), 0, (NO, NO, NO), False),
    # Redirects are not followed, nor sent again; what sends elsewhere may have done it first.
    ("301", answer(301), 0, (NO, NO, NO), True),
    ("303", answer(303), 0, (NO, NO, NO), True),
    ("307, one before", answer(307), 1, (NO, NO, NO), True),
    ("304", answer(304), 0, (NO, NO, NO), True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("attempt", "landings", "kinds", "was_sent"),
    [case[1:] for case in TABLE],
    ids=[case[0] for case in TABLE],
)
def test_every_cell(
    attempt: Attempt,
    landings: int,
    kinds: tuple[VerdictKind, VerdictKind, VerdictKind],
    was_sent: bool | Operation | None,
) -> None:
    """Each answer means for each operation what the table says, and no more than that was sent."""
    for (operation, wanted), kind in zip(WRITES.items(), kinds, strict=True):
        verdict = judge(operation, attempt, wanted, LIST, landings)
        assert verdict.kind is kind, operation
        # A plain good answer leaves nothing open; one that says nothing does.
        is_open = kind not in (DONE,)
        if was_sent is not None:
            is_open = was_sent is True or was_sent is operation
        assert verdict.was_sent is is_open, operation
        if kind is not DONE:
            assert verdict.error is not None
            assert verdict.error.status == attempt.status
            assert len(verdict.error.message) <= 1_000
        if kind not in (DONE, EARLIER, GONE):
            assert verdict.reason


def test_words_are_unique() -> None:
    """No two lines of the table go by the same name."""
    assert len({case[0] for case in TABLE}) == len(TABLE)


def test_done_brings_the_entry() -> None:
    """A create and an update end with the entry as the API echoes it, its new sid included."""
    for operation in (Operation.CREATE, Operation.UPDATE):
        verdict = judge(operation, answer(201, echo()), WRITES[operation], LIST, 0)
        assert verdict == Verdict(DONE, entry=BLOCK)
    assert judge(Operation.DELETE, answer(204), BLOCK, LIST, 0) == Verdict(DONE)


MISMATCHES: list[tuple[str, dict[str, Any], set[Operation]]] = [
    ("address", {"ip_address": "198.51.100.1"}, {Operation.CREATE, Operation.UPDATE}),
    ("prefix", {"cidr_prefix_length": 32}, {Operation.CREATE, Operation.UPDATE}),
    ("prefix 0", {"cidr_prefix_length": 0}, {Operation.CREATE, Operation.UPDATE}),
    ("name", {"friendly_name": "Head office"}, {Operation.CREATE, Operation.UPDATE}),
    ("name with a space", {"friendly_name": "head office "}, {Operation.CREATE, Operation.UPDATE}),
    ("no name", {"friendly_name": None}, {Operation.CREATE, Operation.UPDATE}),
    (
        "list",
        {"ip_access_control_list_sid": ELSEWHERE},
        {Operation.CREATE, Operation.UPDATE},
    ),
    # A create is what gives the sid, so that any is right.
    ("sid", {"sid": OTHER_SID}, {Operation.UPDATE}),
]


@pytest.mark.parametrize(
    ("changes", "operations"),
    [case[1:] for case in MISMATCHES],
    ids=[case[0] for case in MISMATCHES],
)
def test_echo_that_differs(changes: dict[str, Any], operations: set[Operation]) -> None:
    """An echo that differs in one field is no success, and the verdict says what the API holds."""
    for operation in (Operation.CREATE, Operation.UPDATE):
        verdict = judge(operation, answer(200, echo(**changes)), WRITES[operation], LIST, 0)
        if operation not in operations:
            assert verdict.kind is DONE
            continue
        assert verdict.kind is VerdictKind.MISMATCH
        assert verdict.reason == "echo_mismatch"
        assert verdict.entry is not None
        assert verdict.error is not None
        assert "198.51.100.0/24" in verdict.error.message


def test_mismatch_message_is_bounded() -> None:
    """An echo with an absurd name does not make an absurd message."""
    body = echo(friendly_name="n" * 100_000)
    verdict = judge(Operation.CREATE, answer(201, body), NEW_BLOCK, LIST, 0)
    assert verdict.kind is VerdictKind.MISMATCH
    assert verdict.error is not None
    assert len(verdict.error.message) <= 1_000


@pytest.mark.parametrize(
    "list_sid",
    [
        pytest.param(None, id="null"),
        pytest.param(7, id="a number"),
        pytest.param("", id="empty"),
    ],
)
def test_echo_without_a_list(list_sid: object) -> None:
    """An echo that does not say which list it is in never counts as done."""
    for operation in (Operation.CREATE, Operation.UPDATE):
        body = echo(ip_access_control_list_sid=list_sid)
        verdict = judge(operation, answer(200, body), WRITES[operation], LIST, 0)
        assert verdict.kind is not DONE


def test_errors_are_kept_as_received() -> None:
    """Status, code, message and more_info of a refusal reach the verdict untouched."""
    body = orjson.dumps(
        {"status": 400, "code": 21237, "message": "50 % full; <b>é</b>", "more_info": "https://e/1"}
    )
    verdict = judge(Operation.CREATE, answer(400, body), NEW_BLOCK, LIST, 0)
    assert verdict.error is not None
    assert verdict.error.code == 21237
    assert verdict.error.message == "50 % full; <b>é</b>"
    assert verdict.error.more_info == "https://e/1"


def test_transport_words_are_kept() -> None:
    """Where nothing came back, the verdict carries what the transport said."""
    for attempt in (NOT_SENT, NO_ANSWER):
        verdict = judge(Operation.UPDATE, attempt, BLOCK, LIST, 0)
        assert verdict.error is not None
        assert verdict.error.message == attempt.error
