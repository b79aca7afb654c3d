"""Who waits for whom inside a list."""

from __future__ import annotations

import pytest
from engine_tools import create, delete, remove, rename, upsert

from bulkipacl.engine.order import Order

A, B, C = 1, 2, 3


def test_create_waits_for_earlier_deletes_only() -> None:
    """A create has something to wait for until the last delete before it has ended."""
    early, late = delete(1, A), delete(5, B)
    order = Order([[early], [late], [create(3, C)]], no_gap=False)
    assert order.has_earlier_delete(create(3, C))
    assert not order.has_earlier_delete(create(0, C))
    order.ended(early, is_good=True)
    assert not order.has_earlier_delete(create(3, C))
    assert order.has_earlier_delete(create(6, C))
    order.ended(late, is_good=False)  # However it ended, nothing more is to come of it.
    assert not order.has_earlier_delete(create(6, C))


def test_places_of_earlier_creates() -> None:
    """A create that is not sent yet may need a place, until it is sent or ends without one."""
    rows = [create(1, A), upsert(4, B), create(7, C)]
    order = Order([[rows[2]], [rename(3, B, "x"), rows[1]], [rows[0]]], no_gap=False)
    assert [order.creates_before(row) for row in (*rows, create(9, 9))] == [0, 1, 2, 3]
    order.sent(rows[0])
    order.sent(rename(3, B, "x"))
    assert [order.creates_before(row) for row in rows] == [0, 0, 1]
    order.ended(rows[0], is_good=True)
    order.ended(rows[1], is_good=False)
    assert order.creates_before(rows[2]) == 0


def test_deletes_end_in_any_order() -> None:
    """Deletes that end before earlier ones do not hide those."""
    rows = [delete(n, n) for n in (1, 2, 3)]
    order = Order([[row] for row in rows], no_gap=False)
    order.ended(rows[2], is_good=True)
    order.ended(rows[1], is_good=True)
    assert order.has_earlier_delete(create(4, 9))
    order.ended(rows[0], is_good=True)
    assert not order.has_earlier_delete(create(4, 9))


def test_without_no_gap_no_delete_waits() -> None:
    """Deletes run at once unless they are told to leave no gap."""
    order = Order([[create(1, A)], [delete(2, B)]], no_gap=False)
    assert not order.waits_for_creates(delete(2, B))


def test_no_gap() -> None:
    """With no gap allowed a delete waits for every create, and no create for a delete."""
    made, put = create(1, A), upsert(2, B)
    order = Order([[made], [put], [delete(3, C)]], no_gap=True)
    assert not order.has_earlier_delete(create(9, 9))
    order.ended(made, is_good=True)
    assert order.waits_for_creates(delete(3, C))
    assert not order.waits_for_creates(rename(4, C, "x"))
    order.ended(put, is_good=True)
    assert not order.waits_for_creates(delete(3, C))
    assert not order.is_gap


def test_no_gap_keeps_no_places_before_its_deletes() -> None:
    """Creates that deletes wait for wait for nothing; those behind deletes leave places again."""
    made, lane = create(2, A), [delete(1, B), create(3, B), create(5, B)]
    order = Order([[made], lane], no_gap=True)
    assert order.creates_before(lane[1]) == 0
    assert not order.has_earlier_delete(made)
    order.sent(made)
    order.ended(made, is_good=True)
    assert order.creates_before(lane[2]) == 1
    assert order.has_earlier_delete(lane[1])


def test_no_gap_leaves_out_circles() -> None:
    """A create behind a delete of its own lane is not waited for: neither would ever begin."""
    lane = [delete(1, A), create(2, A)]
    order = Order([lane], no_gap=True)
    assert not order.waits_for_creates(lane[0])
    order.ended(lane[0], is_good=True)
    order.ended(lane[1], is_good=False)
    assert not order.is_gap


def test_gap_is_remembered() -> None:
    """One create that did not end well is a gap, whatever comes after it."""
    rows = [create(1, A), create(2, B)]
    order = Order([[row] for row in rows], no_gap=True)
    order.ended(rows[0], is_good=False)
    order.ended(rows[1], is_good=True)
    assert order.is_gap
    assert not order.waits_for_creates(remove(3, 9))


@pytest.mark.parametrize("no_gap", [False, True], ids=["at once", "no gap"])
def test_gap_from_before(no_gap: bool) -> None:
    """A create that could not even be understood is a gap from the start."""
    order = Order([[create(1, A)]], no_gap=no_gap, is_gap=True)
    order.ended(create(1, A), is_good=True)
    assert order.is_gap
