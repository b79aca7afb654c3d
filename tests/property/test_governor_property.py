"""The governor under anything that can come back, in any order, at any time, with any hint."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Any, NamedTuple

from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from bulkipacl.engine.governor import HINT_MAX_S, Governor, Ticket
from bulkipacl.engine.pace import BURST_S, FLOOR_PER_S, Spacing
from bulkipacl.engine.window import CUT, START, Window
from bulkipacl.model import Learnt

ROUND_TRIP_S = 0.1

ALL = 1_000
"""More than any window here: what is done to so many is done to all."""


class Event(NamedTuple):
    """After a gap, something happens to some of the requests under way, the `which`-th first."""

    kind: str
    gap_s: float
    times: int
    which: int
    concurrent: int | None
    retry_after_s: float | None


GAPS_S = st.sampled_from([0.0] * 5 + [1e-6, 0.001, 0.02, 0.1, 0.1, 1.0, 60.0, 1e5]) | st.floats(
    0, 2
)
EVENT = st.builds(
    Event,
    st.sampled_from(["send"] * 4 + ["answer"] * 2 + ["throttle", "throttle", "lose"]),
    GAPS_S,
    st.sampled_from([1, 1, 2, 5, ALL]),
    st.integers(0, 60),
    st.none() | st.integers(0, 999_999_999),
    # Any number that a float can be: nan, both infinities, below nothing, a day, an age.
    st.none() | st.sampled_from([0.0, 1.0, 86_400.0]) | st.floats(),
)
# Left to itself hypothesis draws short ones, in which hardly any pace is found.
EVENTS = st.lists(EVENT, max_size=10) | st.lists(EVENT, min_size=30, max_size=60)
LEARNT = st.none() | st.builds(
    Learnt,
    st.floats(1, 1e5),
    st.none() | st.floats(FLOOR_PER_S, 1e5),
    st.floats(1e-4, 60),
)
CAPS = st.integers(1, 4) | st.integers(1, 60)
HEADROOMS = st.just(0.0) | st.floats(0.01, 0.95)
STARTS_S = st.sampled_from([0.0, 2.0**20])
"""The loop's clock is the machine's: it does not begin at nothing."""


def sequences(examples: int) -> settings:
    """So many sequences; one that fails is not made shorter, which takes minutes here."""
    return settings(max_examples=examples, deadline=None, phases=(Phase.explicit, Phase.generate))


HINTED = [Event("send", 0.0, 1, 0, None, None), Event("throttle", 0.0, 1, 0, None, 1.0)] * 2
GIVEN_UP = Learnt(1.0, 1.0, 1.0)
"""A pace that was learnt is given up at the second of two refusals, and that one carries a hint."""


class Client:
    """Has always one more row, sends it as soon as it may, and holds the governor to its word.

    Attributes:
        sent: when each request was sent, and the pace that held then, in order.
        waited_s: the longest time that the pace made a request wait.
        slowest_s: the longest that an answer took.
    """

    def __init__(
        self, cap: int, headroom: float = 0.0, learnt: Learnt | None = None, now_s: float = 0.0
    ) -> None:
        self.governor = Governor(cap=cap, headroom=headroom, learnt=learnt)
        self.cap = cap
        self.now_s = now_s
        self.under_way: list[Ticket] = []
        self.sent: list[tuple[float, float | None]] = []
        self.waited_s = 0.0
        self.slowest_s = learnt.round_trip_s if learnt is not None else 0.2

    def play(self, events: list[Event]) -> None:
        """Live through all of it, looking at the governor after each."""
        for event in events:
            self.now_s += event.gap_s
            if event.kind == "send":
                for _ in range(min(event.times, self.cap)):
                    self.send()
            else:
                for _ in range(min(event.times, len(self.under_way))):
                    self.hear(event)
            self.look()

    def send(self) -> bool:
        """Send one more where the window has room for it, however long the pace makes it wait."""
        in_flight = len(self.under_way)
        if in_flight >= self.governor.window:
            assert not self.governor.may_send(self.now_s, in_flight)
            assert in_flight > 0, "nothing under way, and nothing may be sent: for ever"
            return False
        if not self.governor.may_send(self.now_s, in_flight):
            at_s = self.governor.wake_at_s(self.now_s)
            assert at_s is not None
            assert math.isfinite(at_s)
            assert at_s > self.now_s
            self.waited_s = max(self.waited_s, at_s - self.now_s)
            self.now_s = at_s
            assert self.governor.may_send(at_s, in_flight), "woken for nothing"
        assert self.governor.wake_at_s(self.now_s) is None
        self.under_way.append(self.governor.on_send(self.now_s, in_flight + 1))
        assert len(self.under_way) <= self.cap
        self.sent.append((self.now_s, self.governor.pace_per_s))
        return True

    def hear(self, event: Event) -> None:
        """One of the requests under way ends."""
        ticket = self.under_way.pop(event.which % len(self.under_way))
        took_s = self.now_s - ticket[2]
        if event.kind == "throttle":
            self.governor.on_throttled(self.now_s, ticket, event.concurrent, event.retry_after_s)
        elif event.kind == "lose":
            self.governor.on_no_lesson(self.now_s, ticket)
        else:
            self.slowest_s = max(self.slowest_s, took_s)
            self.governor.on_answered(self.now_s, ticket, event.concurrent, took_s)

    def look(self) -> None:
        """What is true at any time."""
        governor = self.governor
        assert 1 <= governor.window <= self.cap
        assert not governor.may_send(self.now_s, self.cap)
        pace = governor.pace_per_s
        assert pace is None or FLOOR_PER_S <= pace < math.inf


@sequences(50)
@given(EVENTS, CAPS, HEADROOMS, LEARNT, STARTS_S)
@example(events=HINTED, cap=2, headroom=0.0, learnt=GIVEN_UP, now_s=0.0)
@example(events=[], cap=2, headroom=0.01, learnt=Learnt(1.0, FLOOR_PER_S, 1e-4), now_s=0.0)
def test_never_above_the_cap_and_never_stuck(
    events: list[Event], cap: int, headroom: float, learnt: Learnt | None, now_s: float
) -> None:
    """Whatever happens: 1 <= window <= cap, the pace is a rate, and who waits is let through."""
    client = Client(cap, headroom, learnt, now_s)
    client.play(events)
    # And in the end still: all that is under way ends, and one more is sent.
    client.play([Event("lose", 0.0, ALL, 0, None, None)])
    assert client.send()


@sequences(50)
@given(EVENTS, CAPS, LEARNT)
@example(events=HINTED, cap=2, learnt=GIVEN_UP)
def test_nobody_waits_longer_than_ten_seconds(
    events: list[Event], cap: int, learnt: Learnt | None
) -> None:
    """Even where nothing is let in, one in ten seconds asks; longer where answers take long."""
    client = Client(cap, learnt=learnt)
    client.play(events)
    # The spread of a window over its round trip is at its widest at one in flight: half of it.
    assert client.waited_s <= max(HINT_MAX_S + 2 * BURST_S, client.slowest_s / 2 + BURST_S)


@sequences(50)
@given(EVENTS, CAPS, LEARNT)
@example(events=HINTED, cap=2, learnt=GIVEN_UP)
def test_the_pace_holds_in_any_interval(
    events: list[Event], cap: int, learnt: Learnt | None
) -> None:
    """While there is a pace: in any w seconds no more than w times its highest, and its burst."""
    client = Client(cap, learnt=learnt)
    client.play(events)
    stretch: list[tuple[float, float]] = []
    for at_s, pace in [*client.sent, (client.now_s, None)]:
        if pace is not None:
            stretch.append((at_s, pace))
            continue
        if stretch:
            per_s = max(pace for _, pace in stretch)
            assert_spaced([at_s for at_s, _ in stretch], per_s, max(1.0, per_s * BURST_S))
        stretch = []


def assert_spaced(times_s: list[float], per_s: float, burst: float) -> None:
    """From the n-th to the m-th: m - n + 1 <= per_s * (t_m - t_n) + burst, for every pair."""
    lead = [place - per_s * (at_s - times_s[0]) for place, at_s in enumerate(times_s)]
    lowest = list(accumulate(lead, min))
    # Times are floats: at 1e6 s and 1e5 a second, a step of the clock is 1e-5 of a request.
    most = burst - 1 + 1e-3
    assert all(last - first <= most for last, first in zip(lead, lowest, strict=True))


@given(
    st.floats(FLOOR_PER_S, 1e4),
    st.floats(1, 100),
    st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.0, 1e-5, 0.003]) | st.floats(0, 20), max_size=80),
)
def test_a_spacing_holds_in_any_interval(per_s: float, burst: float, gaps_s: list[float]) -> None:
    """In any w seconds at most per_s * w + burst are sent, by one who always asks."""
    spacing = Spacing(per_s, burst)
    now_s, times_s = 0.0, []
    for gap_s in gaps_s:
        now_s += gap_s
        if now_s >= spacing.ready_s:
            spacing.sent(now_s)
            times_s.append(now_s)
    assert_spaced(times_s, per_s, burst)


@given(st.floats(FLOOR_PER_S, 1e4), st.floats(1, 100), st.integers(1, 200))
def test_a_spacing_wastes_nothing(per_s: float, burst: float, count: int) -> None:
    """Who sends as soon as it may is as fast as said: the burst at once, then one per interval."""
    spacing = Spacing(per_s, burst, 0.0)
    now_s = 0.0
    for _ in range(count):
        now_s = max(now_s, spacing.ready_s)
        spacing.sent(now_s)
    assert now_s <= max(0.0, count - burst) / per_s + 1e-6


RECOVERED_AFTER = 25_000
"""Answers. The longest way up starts at the slowest pace when the rate is all but known: the creep
of 0.03 % per answer does not speed up then, so a pace of 0.1/s is 80/s after ln(800) / 0.0003 of
them, a tenth more as those under way count less. That of the window: 200 until it looks, and one
round trip for each place from 1 up to 8."""


@sequences(50)
@given(EVENTS, st.integers(1, 8), LEARNT, STARTS_S)
@example(events=HINTED, cap=2, learnt=GIVEN_UP, now_s=0.0)
def test_it_recovers_from_anything(
    events: list[Event], cap: int, learnt: Learnt | None, now_s: float
) -> None:
    """Where nothing is refused any more, so many answers on all is allowed that the user allows."""
    client = Client(cap, learnt=learnt, now_s=now_s)
    client.play(events)
    assert answers_until_free(client) <= RECOVERED_AFTER


@given(st.integers(0, 40), st.floats(0, 1) | st.none(), STARTS_S)
def test_it_recovers_from_refusals_alone(
    refusals: int, retry_after_s: float | None, now_s: float
) -> None:
    """One that has never seen anything but refusals, each on its own, does so in 200 answers."""
    client = Client(8, now_s=now_s)
    for _ in range(refusals):
        client.play(
            [
                Event("send", 0.0, 1, 0, None, None),
                Event("throttle", 0.02, 1, 0, None, retry_after_s),
            ]
        )
    # A rate that was never met is looked for by doubling; what is left is the window's rest.
    assert answers_until_free(client) <= 200 + 8 * 8


def answers_until_free(client: Client) -> int:
    """Send as fast as is allowed, everything is answered: how many until nothing holds it back."""
    governor = client.governor
    client.play([Event("lose", 0.0, ALL, 0, None, None)])
    for answers in range(RECOVERED_AFTER + 1):
        pace = governor.pace_per_s
        if governor.window == client.cap and (pace is None or pace * ROUND_TRIP_S >= client.cap):
            return answers
        under_way = client.under_way
        while len(under_way) < governor.window:
            if under_way and not governor.may_send(client.now_s, len(under_way)):
                # An answer that is due before the next one may be sent comes before it.
                at_s = governor.wake_at_s(client.now_s)
                assert at_s is not None
                if under_way[0][2] + ROUND_TRIP_S <= at_s:
                    break
            client.send()
        ticket = under_way.pop(0)
        client.now_s = max(client.now_s, ticket[2] + ROUND_TRIP_S)
        governor.on_answered(client.now_s, ticket, None, ROUND_TRIP_S)
    raise AssertionError("it never recovers")


@given(
    st.integers(1, 20),
    st.lists(st.tuples(st.integers(1, 20), GAPS_S), max_size=60),
    st.none() | st.builds(Learnt, st.floats(1, 100), st.none(), st.floats(1e-4, 60)),
)
def test_it_learns_only_while_the_window_is_in_use(
    most: int, turns: list[tuple[int, float]], learnt: Learnt | None
) -> None:
    """Who has never more than so many in flight has a window of at most twice as many, and one."""
    client = Client(2_000, learnt=learnt)
    at_first = client.governor.window
    for times, gap_s in turns:
        for _ in range(min(times, most - len(client.under_way))):
            client.send()
        client.play([Event("answer", gap_s, times, 0, None, None)])
        if learnt is None:
            assert client.governor.window <= max(START, 2 * most + 1)
        elif at_first > most:
            assert client.governor.window == at_first


@given(st.integers(2, 200), st.data())
def test_a_round_trip_cuts_the_window_once(width: int, data: st.DataObject) -> None:
    """However many of one round trip are refused, in whatever order: a place each, half at most."""
    window = Window(None, float(width))
    refused = data.draw(st.sets(st.integers(1, width), min_size=1))
    order = data.draw(st.permutations(sorted(refused)))
    in_flight = width
    for at, number in enumerate(order):
        in_flight -= 1
        before = window.limit
        window.refused(at * 1e-4, number, in_flight, width, ROUND_TRIP_S)
        # What is under way takes up all that is left: nothing is sent for a refused request.
        assert 1 <= window.limit <= max(1, before)
        assert window.limit <= max(in_flight, 1)
    for number in range(1, width + 1):
        if number not in refused:
            window.answered(0.05, number, number, in_flight, width)
            in_flight -= 1
    # A request of the next round trip is answered, which ends it.
    window.answered(0.06, width + 1, 1, 1, width + 1)
    assert not window.is_recovering
    assert window.value >= max(1.0, CUT * (width - 1))
    assert window.value >= width - len(refused) - 1
    assert window.value <= max(1, width - 1)


@sequences(40)
@given(EVENTS, HEADROOMS, LEARNT)
@example(events=HINTED, headroom=0.0, learnt=GIVEN_UP)
def test_no_lesson_is_none(events: list[Event], headroom: float, learnt: Learnt | None) -> None:
    """A request that says nothing about limits changes nothing but how many are in flight."""
    client = Client(20, headroom, learnt)
    client.play([*events, Event("send", 0.0, 1, 0, None, None)])
    client.play([Event("lose", 0.5, len(client.under_way) - 1, 0, None, None)])
    before = state_of(client.governor)
    client.play([Event("lose", 0.5, 1, 0, None, None)])
    after = state_of(client.governor)
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"_in_flight", "_reason"}
    assert after["_in_flight"] == 0


def state_of(part: Any) -> dict[str, Any]:
    """All that it knows, in its parts as well."""
    return {
        name: state_of(value) if hasattr(type(value), "__slots__") else value
        for name in type(part).__slots__
        for value in [getattr(part, name)]
    }
