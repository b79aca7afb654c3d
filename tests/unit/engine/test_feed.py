"""Which list is opened next, and that none is opened twice or lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import length_hint
from typing import cast

import pytest

from bulkipacl.engine.account import Account
from bulkipacl.engine.feed import Feed
from bulkipacl.settings import FAIR_LISTS, FEED_LISTS


@dataclass
class Numbered:
    """All that a feed wants to know of an account."""

    number: int
    wants_more: bool = True
    is_well: bool = True


def account(number: int, *, wants_more: bool = True) -> Account:
    """An account of this number."""
    return cast(Account, Numbered(number, wants_more))


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


# Each line: a word | the lists of each account | what is opened, in its order.
TABLE: list[tuple[str, dict[int, Sequence[int] | None], list[tuple[int, int]]]] = [
    ("no accounts", {}, []),
    ("nothing to do", {1: None}, []),
    ("one list", {1: [7]}, [(1, 7)]),
    ("one account", {1: [7, 8, 9]}, [(1, 7), (1, 8), (1, 9)]),
    ("one list each", {1: [7], 2: [8], 3: [9]}, [(1, 7), (2, 8), (3, 9)]),
    ("a large one first", {1: [4, 5, 6], 2: [8], 3: [9]},
     [(1, 4), (1, 5), (2, 8), (1, 6), (3, 9)]),
    ("an account without lists between", {1: [7], 2: None, 3: [9]}, [(1, 7), (3, 9)]),
    ("an empty account between", {1: [7], 2: [], 3: [9]}, [(1, 7), (3, 9)]),
    ("two large ones", {1: [3, 4, 5], 2: [6, 7, 8]},
     [(1, 3), (1, 4), (2, 6), (1, 5), (2, 7), (2, 8)]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("lists", "opened"), [case[1:] for case in TABLE], ids=[case[0] for case in TABLE]
)
def test_table(lists: dict[int, Sequence[int] | None], opened: list[tuple[int, int]]) -> None:
    """A new account and a further list of one that is known, by turns; each list once."""
    feed = feed_of(lists)
    assert is_done(feed) is not bool(lists)
    assert take_all(feed) == opened
    assert is_done(feed)


def test_an_arriving_account_does_not_queue_behind_a_large_one() -> None:
    """Where lists arrive sorted by account, the accounts take turns."""
    feed = feed_of({})
    for list_id in (11, 12, 13):
        feed.queue(ONE, list_id)
    feed.queue(TWO, 21)
    assert take_all(feed)[:2] == [(1, 11), (2, 21)]


def test_an_account_with_rows_enough_leaves_room() -> None:
    """An account opens a further list when it is hungry, or when one of its lists closes."""
    full = account(4, wants_more=False)
    feed = Feed(lambda number, sid: (TWO, [7]), is_roomy=lambda: False)
    feed.begin([(2, "")])
    for list_id in (101, 102, 103, 104):
        feed.queue(full, list_id)
    assert sorted(take_all(feed)) == [(2, 7), (4, 101)]
    assert not is_done(feed)
    feed.closed(101, has_more=False)
    assert take_all(feed) == [(4, 102)]
    cast(Numbered, full).wants_more = True
    assert take_all(feed) == []  # Nobody has told.
    assert feed.hungry(full)
    assert take_all(feed) == [(4, 103), (4, 104)]
    assert not feed.hungry(full)
    assert feed.has_left(full)  # They are still open.
    assert is_done(feed)


def test_some_lists_are_open_for_fairness() -> None:
    """Where memory allows it, a few lists of an account share it, however many rows each has."""
    full = account(4, wants_more=False)
    feed = feed_of({})
    for list_id in range(2 * FAIR_LISTS):
        feed.queue(full, list_id)
    assert len(take_all(feed)) == FAIR_LISTS
    feed.closed(0, has_more=False)
    assert len(take_all(feed)) == 1


def test_an_account_that_has_not_answered_has_one_list() -> None:
    """Hundreds of accounts that hang do not take the places of one that answers."""
    silent = account(5)
    cast(Numbered, silent).is_well = False
    feed = feed_of({})
    for list_id in range(20):
        feed.queue(silent, list_id)
    assert take_all(feed) == [(5, 0)]
    cast(Numbered, silent).is_well = True
    assert feed.hungry(silent)
    assert len(take_all(feed)) == 19


def test_new_accounts_and_further_lists_take_turns() -> None:
    """Neither a flood of new accounts nor the further lists of one wait for all of the other."""
    feed = Feed(lambda number, sid: (account(number), [number * 10]))
    for list_id in range(1, 6):
        feed.queue(ONE, list_id)
    feed.begin((number, "") for number in range(2, 7))
    opened = [owner for owner, _ in take_all(feed)]
    assert all(1 in opened[place : place + 2] for place in range(0, 10, 2))
    assert sorted(opened) == [1] * 5 + [2, 3, 4, 5, 6]


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
    """A list that is not opened after all can be queued again."""
    feed = feed_of({1: [1, 2]})
    take_all(feed)
    feed.put_back(1)
    assert take_all(feed) == []
    feed.queue(ONE, 1)
    assert take_all(feed) == [(1, 1)]


def test_forgotten_account() -> None:
    """Of a forgotten account nothing more is opened, and the others keep their turns."""
    feed = feed_of({1: [3, 4, 5], 2: [6, 7]})
    assert [feed.take() for _ in range(3)] == [(ONE, 3), (ONE, 4), (TWO, 6)]
    feed.queue(ONE, 3)
    feed.forget(ONE)
    assert take_all(feed) == [(2, 7)]
    feed.closed(3, has_more=False)
    feed.closed(4, has_more=False)
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
    feed.closed(3, has_more=False)
    assert not feed.committed(3)
    assert take_all(feed) == []
    assert not feed.has_left(ONE)


def test_very_many_lists_are_asked_for_a_few_at_a_time() -> None:
    """All lists of an account are opened once and in order, few of them known ahead."""
    last = 2 * FEED_LISTS + 10
    left = iter(range(1, last + 1))
    feed = Feed(lambda number, sid: (ONE, left))
    feed.begin([(1, "AC1")])
    for number in range(1, last + 1):
        assert not feed.is_empty
        assert feed.take() == (ONE, number)
        assert feed.has_left(ONE)
        assert last - length_hint(left) <= number + FEED_LISTS
        feed.closed(number, has_more=False)
        assert not feed.committed(number)
    assert feed.take() is None
    assert feed.is_empty
    assert not feed.has_left(ONE)
