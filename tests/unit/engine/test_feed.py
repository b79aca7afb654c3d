"""Which list is opened next, and that none is opened twice or lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import pytest

from bulkipacl.engine.account import Account
from bulkipacl.engine.feed import Feed
from bulkipacl.settings import ACCOUNT_OPEN_LISTS


@dataclass(frozen=True)
class Numbered:
    """All that a feed wants to know of an account."""

    number: int


def account(number: int) -> Account:
    """An account of this number."""
    return cast(Account, Numbered(number))


ONE, TWO, THREE = account(1), account(2), account(3)
ALL = {1: ONE, 2: TWO, 3: THREE}


def feed_of(lists: Mapping[int, Sequence[int] | None]) -> Feed:
    """A feed of accounts with these lists; None: the account has nothing to be opened."""

    def start(number: int, sid: str) -> tuple[Account, Sequence[int]] | None:
        assert sid == f"AC{number}"
        known = lists[number]
        return None if known is None else (ALL[number], known)

    feed = Feed(start)
    feed.begin((number, f"AC{number}") for number in lists)
    return feed


def take_all(feed: Feed) -> list[tuple[int, int]]:
    """All that can be opened now, as (account, list)."""
    found = []
    while (taken := feed.take()) is not None:
        found.append((taken[0].number, taken[1]))
    return found


def is_done(feed: Feed) -> bool:
    """Whether nothing is left to be opened."""
    return feed.is_empty


# Each line: a word | the lists of each account | the first that are opened | all of the others.
TABLE: list[
    tuple[str, dict[int, Sequence[int] | None], list[tuple[int, int]], set[tuple[int, int]]]
] = [
    ("no accounts", {}, [], set()),
    ("nothing to do", {1: None}, [], set()),
    ("one list", {1: [7]}, [(1, 7)], set()),
    ("one account", {1: [7, 8, 9]}, [(1, 7), (1, 8), (1, 9)], set()),
    ("one list each", {1: [7], 2: [8], 3: [9]}, [(1, 7), (2, 8), (3, 9)], set()),
    ("a large one first", {1: [4, 5, 6], 2: [8], 3: [9]}, [(1, 4), (2, 8), (3, 9)],
     {(1, 5), (1, 6)}),
    ("an account without lists between", {1: [7], 2: None, 3: [9]}, [(1, 7), (3, 9)], set()),
    ("an empty account between", {1: [7], 2: [], 3: [9]}, [(1, 7), (3, 9)], set()),
    ("two large ones", {1: [3, 4, 5], 2: [6, 7, 8]}, [(1, 3), (2, 6)],
     {(1, 4), (1, 5), (2, 7), (2, 8)}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("lists", "first", "others"), [case[1:] for case in TABLE], ids=[case[0] for case in TABLE]
)
def test_table(
    lists: dict[int, Sequence[int] | None],
    first: list[tuple[int, int]],
    others: set[tuple[int, int]],
) -> None:
    """Each account has one list open before any has two, and each list is opened once."""
    feed = feed_of(lists)
    assert is_done(feed) is not bool(lists)
    taken = take_all(feed)
    assert taken[: len(first)] == first
    assert set(taken[len(first) :]) == others
    assert len(taken) == len(first) + len(others)
    assert is_done(feed)


def test_one_of_each_in_its_turn() -> None:
    """Accounts with many lists take turns from the first list on to the last."""
    feed = feed_of({1: [11, 12, 13], 2: [21, 22], 3: [31]})
    assert take_all(feed) == [(1, 11), (2, 21), (3, 31), (1, 12), (2, 22), (1, 13)]


def test_an_arriving_account_does_not_queue_behind_a_large_one() -> None:
    """Where lists arrive sorted by account, each still has one open before any has two."""
    feed = feed_of({})
    for list_id in (11, 12, 13):
        feed.queue(ONE, list_id)
    feed.queue(TWO, 21)
    assert take_all(feed)[:2] == [(1, 11), (2, 21)]


def test_a_full_account_leaves_room() -> None:
    """An account has so many lists open and no more; what closes makes room for its next one."""
    feed = feed_of({1: range(100, 103 + ACCOUNT_OPEN_LISTS), 2: [7]})
    taken = take_all(feed)
    assert len(taken) == ACCOUNT_OPEN_LISTS + 1
    assert (2, 7) in taken
    assert not is_done(feed)
    for closing in (100, 101, 102):
        assert feed.closed(closing, has_more=False) is ONE
        assert take_all(feed) == [(1, closing + ACCOUNT_OPEN_LISTS)]
    feed.closed(103, has_more=False)
    assert take_all(feed) == []
    assert is_done(feed)
    assert feed.has_left(ONE)  # Its others are still open.


def test_a_list_is_queued_once() -> None:
    """What arrives for a list that waits for its turn goes with that turn."""
    feed = feed_of({})
    feed.queue(ONE, 7)
    feed.queue(ONE, 7)
    assert take_all(feed) == [(1, 7)]


def test_a_list_is_open_once() -> None:
    """What arrives for an open list, or one that is not yet committed, is its next round."""
    feed = feed_of({1: [7]})
    assert take_all(feed) == [(1, 7)]
    feed.queue(ONE, 7)
    assert take_all(feed) == []
    assert not is_done(feed)
    feed.closed(7, has_more=False)
    feed.queue(ONE, 7)
    assert take_all(feed) == []
    assert feed.committed(7)
    feed.queue(ONE, 7)
    assert take_all(feed) == [(1, 7)]
    feed.closed(7, has_more=False)
    assert not feed.committed(7)
    assert is_done(feed)
    assert not feed.has_left(ONE)


def test_more_rows_are_another_round() -> None:
    """A list that had more rows than a round takes asks for its next one after the commit."""
    feed = feed_of({1: [7]})
    take_all(feed)
    feed.closed(7, has_more=True)
    assert not is_done(feed)
    assert feed.has_left(ONE)
    assert feed.committed(7)
    assert not feed.committed(7)


def test_put_back() -> None:
    """A list that is not opened after all can be queued again, and its place is free."""
    feed = feed_of({1: range(1, 2 + ACCOUNT_OPEN_LISTS)})
    take_all(feed)
    feed.put_back(1)
    assert take_all(feed) == [(1, 1 + ACCOUNT_OPEN_LISTS)]
    feed.queue(ONE, 1)
    assert take_all(feed) == []
    feed.closed(2, has_more=False)
    assert take_all(feed) == [(1, 1)]


def test_forgotten_account() -> None:
    """Of a forgotten account nothing more is opened, and the others keep their turns."""
    feed = feed_of({1: [3, 4, 5], 2: [6, 7]})
    assert [feed.take(), feed.take()] == [(ONE, 3), (TWO, 6)]
    feed.queue(ONE, 3)
    feed.forget(ONE)
    assert take_all(feed) == [(2, 7)]
    assert feed.closed(3, has_more=False) is ONE
    assert not feed.committed(3)
    assert not feed.has_left(ONE)
    assert is_done(feed)


def test_cleared() -> None:
    """After clearing nothing is opened, and what is open can still be closed."""
    feed = feed_of({1: [3, 4], 2: [5]})
    feed.take()
    feed.queue(ONE, 3)
    feed.clear()
    assert is_done(feed)
    assert take_all(feed) == []
    assert feed.closed(3, has_more=False) is ONE
    assert not feed.committed(3)
    assert take_all(feed) == []
    assert not feed.has_left(ONE)
