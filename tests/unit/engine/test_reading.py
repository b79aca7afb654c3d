"""What a reading does next: page after page, to a whole or to nothing."""

from __future__ import annotations

import pytest
from engine_fakes import ACCOUNT, LIST, NO_ANSWER, NOT_SENT, FakeAccount, answer, as_sent, no
from engine_tools import entry

from bulkipacl.engine.reading import Reading
from bulkipacl.model import ApiError, Attempt, Entry
from bulkipacl.twilio import contract

FIRST = contract.read_list(ACCOUNT, LIST)
BARE = FIRST.path.partition("?")[0]
A, B = entry(1, 1), entry(2, 2)


def page(*entries: Entry, following: str | None = None) -> Attempt:
    """One page; the next one is told by its query."""
    uri = f"{BARE}?{following}" if following else None
    return answer(200, {"ip_addresses": [as_sent(e) for e in entries], "next_page_uri": uri})


def elsewhere(uri: str) -> Attempt:
    """A page whose next one is somewhere else."""
    return answer(200, {"ip_addresses": [], "next_page_uri": uri})


def walk(attempts: list[Attempt], retries: int = 2) -> tuple[Reading, FakeAccount, list[Reading]]:
    """A reading that meets these answers, as far as it asks."""
    account, ended = FakeAccount(retries), list[Reading]()
    reading = Reading(account, FIRST, "ip_addresses", ended.append)
    reading.start()
    for attempt in attempts:
        assert not ended, "it has ended, and is still asking"
        assert reading.may_send()
        reading.answered(attempt)
    return reading, account, ended


GARBAGE = answer(200, b"<html>")
SICK = no(503, 20503)

# Each line: a word | answers | what it asked of its account | the entries and the reason that it
# ended with, or None while it goes on.
TABLE: list[tuple[str, list[Attempt], list[str], tuple[list[Entry] | None, str] | None]] = [
    ("one page", [page(A, B)], ["push"], ([A, B], "")),
    ("an empty list", [page()], ["push"], ([], "")),
    ("two pages", [page(A, following="Page=1"), page(B)], ["push"] * 2, ([A, B], "")),
    ("an empty page in between", [page(A, following="Page=1"), page(following="Page=2"), page(B)],
     ["push"] * 3, ([A, B], "")),
    ("throttled", [no(429)] * 5, ["push", *["throttled"] * 5], None),
    ("throttled, then read", [no(429), page(A)], ["push", "throttled"], ([A], "")),
    ("not sent", [NOT_SENT], ["push", "again 0"], None),
    ("lost", [NO_ANSWER], ["push", "again 0"], None),
    ("sick", [SICK], ["push", "again 0"], None),
    ("conflict", [no(409)], ["push", "again 0"], None),
    ("garbage", [GARBAGE], ["push", "again 0"], None),
    ("sick, then read", [SICK, SICK, page(A)], ["push", "again 0", "again 1"], ([A], "")),
    ("sick to the end", [SICK] * 3, ["push", "again 0", "again 1"], (None, "unreadable")),
    ("lost to the end", [NO_ANSWER] * 3, ["push", "again 0", "again 1"], (None, "unreadable")),
    ("sick on the second page", [page(A, following="Page=1"), SICK, page(B)],
     ["push", "push", "again 0"], ([A, B], "")),
    ("lost on the second page", [page(A, following="Page=1"), *[NO_ANSWER] * 3],
     ["push", "push", "again 0", "again 1"], (None, "unreadable")),
    ("not there", [no(404, 20404)], ["push"], (None, "list_not_found")),
    ("refused", [no(400)], ["push"], (None, "unreadable")),
    ("redirect", [answer(302)], ["push"], (None, "unreadable")),
    ("credential", [no(401)], ["push", "refused 401"], None),
    ("forbidden", [no(403)], ["push", "refused 403"], None),
    ("the same page again", [page(A, following=FIRST.path.partition("?")[2])], ["push"],
     (None, "unreadable")),
    ("two pages in turn", [page(A, following="Page=1"), page(B, following="Page=2"),
     page(following="Page=1")], ["push"] * 3, (None, "unreadable")),
    ("another host", [elsewhere(f"http://127.0.0.2{BARE}?Page=1")], ["push"],
     (None, "unreadable")),
    ("another list", [elsewhere(BARE.replace(LIST, "AL" + "9" * 32))], ["push"],
     (None, "unreadable")),
    ("overlapping pages", [page(A, following="Page=1"), page(A)], ["push", "push", "again 0"],
     None),
    ("overlapping, then whole", [page(A, following="Page=1"), page(A), page(A, B)],
     ["push", "push", "again 0"], ([A, B], "")),
    ("overlapping to the end", [page(A, A)] * 3, ["push", "again 0", "again 1"],
     (None, "unreadable")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("attempts", "log", "end"), [case[1:] for case in TABLE], ids=[case[0] for case in TABLE]
)
def test_what_comes_next(
    attempts: list[Attempt], log: list[str], end: tuple[list[Entry] | None, str] | None
) -> None:
    """After each answer it asks for the next page, asks again, or ends: whole, or with nothing."""
    reading, account, ended = walk(attempts)
    assert account.log == log
    if end is None:
        assert not ended
        return
    assert ended == [reading]
    entries = reading.entries(LIST)
    assert (None if entries is None else list(entries), reading.reason) == end
    assert (reading.error is None) == (entries is not None)
    assert reading.values == [] or entries is not None


def test_a_walk_that_overlaps_begins_anew() -> None:
    """The second walk asks for the first page, and nothing of the first walk is in it."""
    reading, _, _ = walk([page(A, following="Page=1"), page(A)])
    assert reading.request is FIRST
    assert reading.values == []


def test_the_time_of_a_reading_is_that_of_its_first_page() -> None:
    """A row may be settled by a reading that began after its settle time, and by no older page."""
    account = FakeAccount()
    reading = Reading(account, FIRST, "ip_addresses", lambda reading: None)
    for time, attempt in ((3.0, page(A, following="Page=1")), (4.0, SICK), (5.0, page(A))):
        account.time = time
        assert reading.may_send()
        reading.answered(attempt)
    assert reading.started_at == 3.0
    account.time = 6.0
    reading.may_send()
    assert reading.started_at == 6.0


def test_trouble_of_the_account_costs_no_retry() -> None:
    """While an account as a whole is in trouble its patience decides."""
    account, ended = FakeAccount(), list[Reading]()
    reading = Reading(account, FIRST, "ip_addresses", ended.append)
    account.is_in_trouble = True
    for _ in range(10):
        reading.answered(SICK)
    assert account.log == ["again 0"] * 10
    assert not ended


def test_a_dropped_reading_says_so() -> None:
    """An account that takes no more requests is no fault of the list."""
    reading, _, ended = walk([])
    reading.dropped("blocked", ApiError(503, 20503, "no"))
    assert ended == [reading]
    assert reading.is_dropped
    assert (reading.reason, reading.entries(LIST)) == ("blocked", None)


@pytest.mark.parametrize(
    "bad",
    [
        {"cidr_prefix_length": None},
        {"ip_address": "2001:db8::1"},
        {"sid": "../x"},
        {"ip_access_control_list_sid": "AL" + "9" * 32},
    ],
)
def test_one_entry_that_cannot_be_understood(bad: dict[str, object]) -> None:
    """A list of which one entry is not understood is not decided on at all."""
    body = {"ip_addresses": [as_sent(A), as_sent(B) | bad], "next_page_uri": None}
    reading, _, ended = walk([answer(200, body)])
    assert ended == [reading]
    assert reading.error is None
    assert reading.entries(LIST) is None
    assert reading.reason == "unreadable"
    assert reading.error is not None
