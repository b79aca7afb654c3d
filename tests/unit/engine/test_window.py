"""The search for a ceiling on requests in flight, answer by answer."""

from __future__ import annotations

import pytest

from bulkipacl.engine.window import START, Window

ROUND_TRIP_S = 0.1


class Full:
    """A window that is always in use: round trip after round trip is answered, or refused."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.sent = 0
        self.now_s = 0.0

    def round_trip(self, ceiling: int) -> None:
        """As many as are allowed are sent at once; those above the ceiling are refused first."""
        limit, first = self.window.limit, self.sent + 1
        self.sent += limit
        in_flight = limit
        for height in range(ceiling + 1, limit + 1):
            in_flight -= 1
            number = first + height - 1
            self.window.refused(self.now_s, height, in_flight, self.sent, ROUND_TRIP_S)
            assert self.window.is_recovering, number
        self.now_s += ROUND_TRIP_S
        for height in range(1, min(limit, ceiling) + 1):
            number = first + height - 1
            self.window.answered(self.now_s, number, height, in_flight, self.sent)
            in_flight -= 1

    def refusals(self, ceiling: int, round_trips: int) -> int:
        """How many refusals so many round trips cost."""
        count = 0
        for _ in range(round_trips):
            count += max(0, self.window.limit - ceiling)
            self.round_trip(ceiling)
        return count


@pytest.mark.parametrize("ceiling", [1, 2, 5, 40, 1_000])
def test_the_ceiling_is_found_and_kept(ceiling: int) -> None:
    """From two upwards to any ceiling; then it is looked past by one, once in a few hundred."""
    full = Full(Window(None))
    full.refusals(ceiling, 60)
    assert full.window.value == pytest.approx(ceiling, abs=max(1, ceiling * 0.05))
    round_trips = 100 + 3_000 // ceiling
    refused = full.refusals(ceiling, round_trips)
    assert refused <= 0.01 * ceiling * round_trips + 1
    assert full.window.value == pytest.approx(ceiling, abs=max(1, ceiling * 0.05))


def test_it_starts_small_and_doubles() -> None:
    """One more for each answer: two, four, eight, until the user's cap."""
    full = Full(Window(20))
    limits = []
    for _ in range(5):
        limits.append(full.window.limit)
        full.round_trip(1_000)
    assert limits[0] == START
    assert limits[1] == 2 * START - 1  # The last answer finds nearly all the others gone.
    assert limits == sorted(limits)
    for _ in range(20):
        full.round_trip(1_000)
    assert full.window.limit == 20


def test_a_refused_place_stays_empty() -> None:
    """Until the round trip is over a refusal takes its place with it, so none is sent for it."""
    window = Window(None, 10.0)
    window.refused(0.0, 10, 9, 10, ROUND_TRIP_S)
    assert window.limit == 9
    window.refused(0.01, 9, 8, 10, ROUND_TRIP_S)
    window.refused(0.01, 8, 7, 10, ROUND_TRIP_S)
    assert (window.limit, window.value) == (7, 9.0)
    # Answers of the same round trip do not end it; one of the next does, and that is the cut.
    assert not window.answered(0.05, 5, 5, 7, 11)
    assert window.answered(0.09, 11, 7, 7, 11)
    assert (window.limit, window.value, window.is_recovering) == (7, 7.0, False)


def test_a_refusal_of_the_next_round_trip_cuts_again() -> None:
    """Once a round trip, not once for all: where the ceiling fell far, it is followed down."""
    window = Window(None, 64.0)
    for round_trip in range(3):
        before = window.value
        for place in range(int(before)):
            at_s = round_trip * ROUND_TRIP_S + place * 1e-4
            window.refused(at_s, int(before), int(before) - 1 - place, 1_000, ROUND_TRIP_S)
        assert window.value >= before / 2 - 1
    window.answered(1.0, 1_001, 1, 1, 1_001)
    assert window.value <= 10


def test_an_idle_window_is_not_widened() -> None:
    """Answers to requests that were far from the top say nothing about the top."""
    window = Window(None, 10.0)
    for number in range(1, 2_000):
        window.answered(number * 0.01, number, 9, 9, number)
    assert window.value == 10


def test_what_was_refused_for_another_reason_is_given_back() -> None:
    """Where the refusals were about the rate the window is as wide again, or as wide as needed."""
    window = Window(50, 10.0)
    for place in range(3):
        window.refused(0.0, 10 - place, 9 - place, 10, ROUND_TRIP_S)
    window.open_to(4.0, 10)
    assert (window.limit, window.is_recovering) == (10, False)
    window.open_to(1_000.0, 10)
    assert window.limit == 50
    window.narrow_to(3.5)
    assert window.limit == 3
    window.narrow_to(0.0)
    assert window.limit == 1
