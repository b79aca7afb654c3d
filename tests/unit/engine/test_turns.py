"""The order in which the lists of one account send."""

from __future__ import annotations

from typing import Any, cast

from bulkipacl.engine.ports import Sendable
from bulkipacl.engine.turns import Place, Turns


def one(name: str) -> Sendable:
    """Something to send."""
    return cast(Sendable, name)


def popped(turns: Turns) -> list[Any]:
    """All that waits, in its order."""
    return [turns.pop() for _ in range(turns.size)]


def test_lists_take_turns() -> None:
    """A long list does not keep a short one waiting; each list's rows stay in their order."""
    turns, large, small = Turns(), Place(), Place()
    for number in range(4):
        turns.push(large, one(f"L{number}"))
    turns.push(small, one("S0"))
    turns.push(small, one("S1"))
    assert popped(turns) == ["L0", "S0", "L1", "S1", "L2", "L3"]
    turns.push(small, one("S2"))
    assert popped(turns) == ["S2"]


def test_what_is_put_first_comes_first() -> None:
    """A request that decides whether the account goes on overtakes all others."""
    turns, place = Turns(), Place()
    turns.push(place, one("later"))
    turns.put_first(one("first"))
    assert popped(turns) == ["first", "later"]


def test_rows_that_are_still_to_be_sent() -> None:
    """They are counted down by what is sent; what is sent again does not count below nothing."""
    turns, first, second = Turns(), Place(), Place()
    turns.expect(first, 2)
    turns.expect(second, 5)
    assert turns.rows == 7
    for _ in range(4):
        turns.push(first, one("again and again"))
        turns.pop()
    assert turns.rows == 5
    turns.closed(second, is_ended=True)
    assert turns.done == 7
    turns.closed(first, is_ended=False)
    assert turns.rows == 0
    assert turns.done == 7


def test_drained() -> None:
    """All that waited is handed back, and nothing is left."""
    turns, place = Turns(), Place()
    turns.push(place, one("a"))
    turns.push(Place(), one("b"))
    turns.put_first(one("c"))
    assert list(map(str, turns.drain())) == ["c", "a", "b"]
    assert turns.size == 0
    turns.push(place, one("d"))
    assert popped(turns) == ["d"]
