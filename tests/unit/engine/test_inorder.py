"""Chunks come out in order, whatever order they come in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bulkipacl.engine.inorder import InOrder

sizes = st.lists(st.integers(0, 4), max_size=6)


@given(sizes, st.randoms(use_true_random=False))
def test_any_order(counts: list[int], random: object) -> None:
    """Every chunk once, group by group and place by place, groups without any included."""
    wanted = [(group, place) for group, count in enumerate(counts) for place in range(count)]
    events: list[tuple[int, int | None]] = [*wanted, *((g, None) for g, _ in enumerate(counts))]
    getattr(random, "shuffle")(events)  # noqa: B009 - hypothesis gives it no type
    got: list[bytes] = []
    with InOrder(got.append) as order:
        for group, place in events:
            if place is None:
                order.complete(group, counts[group])
            else:
                order.put(group, place, f"{group}.{place}".encode())
    assert got == [f"{group}.{place}".encode() for group, place in wanted]


def test_what_has_its_turn_goes_at_once() -> None:
    """A chunk whose turn it is does not wait; one before its turn does."""
    got: list[bytes] = []
    with InOrder(got.append) as order:
        order.put(0, 0, b"a")
        order.put(1, 0, b"c")
        assert got == [b"a"]
        order.put(0, 1, b"b")
        assert got == [b"a", b"b"]
        order.complete(0, 2)
        assert got == [b"a", b"b", b"c"]
