"""How fast an account is driven, with no limit known beforehand. Pure: time comes in.

One governor per account. It looks for two hidden limits at once, on requests in flight (`window`)
and on requests per second (`pace`), and a request may be sent when both allow it. Which of them
a refusal is about is told from what was let in around it:

- a limit on requests in flight refuses at the top alone: what was accepted was never as high;
- a limit on the rate refuses and lets in by turns at the same height, or even at height one.

The second is a suspicion, not a proof: a ceiling that blurs (requests under way, other clients
that come and go) looks alike. So the pace is a trial: where pacing does not end the refusals, it is
given up. It sends nothing, sleeps never, and draws no random number; the rows' own back-off
is in `retry`.

    Governor   the whole
"""

from __future__ import annotations

import math
from typing import Literal

from bulkipacl.engine.headroom import Headroom
from bulkipacl.engine.pace import BURST_S, MEASURED, Pace, Refusals, Spacing
from bulkipacl.engine.queueing import Queueing
from bulkipacl.engine.window import SMALL, Heights, Window
from bulkipacl.model import Learnt

Binding = Literal["window", "pace", "cap", "demand"]
"""What holds an account back: a hidden limit of either kind, the user's own, or nothing."""

Ticket = tuple[int, int, float]
"""A request: its number from 1, its height (in flight when it was sent, itself included), when."""

SUSPICIONS = 1.5
SUSPECTS_LET_IN = 5
"""Turns of refused and let in, and requests let in meanwhile, that make a rate limit likely."""

SPARED = 500
"""Answers for which the rate is then above suspicion; doubled each time."""

ROUND_TRIP_S = 0.2
"""Assumed until the first answer."""

IDLE = 2.0
"""Round trips without anything to send, after which a measurement begins anew."""

SPREAD = 2.0
"""A window is spread over its round trip at this multiple of its own rate, as TCP paces (Linux:
twice in slow start): otherwise answers that come together make sends that go together, and a
limit on the rate refuses them though the rate is low. Twice leaves room for growth."""

SPREAD_LOOK = 1.25
"""The same while a small window is looked past: a place more that is refused at even gaps is one
too many, and not one too soon."""

SPREAD_EVERY = 16
"""Answers after which the spread follows the round trip; it follows the window at once."""

HINT_MAX_S = 10.0
"""A Retry-After stops a whole account only where nothing else is let in, and no longer than this:
a row that was given the hint waits for itself, and one row in 200 is meant to be refused."""

GOODPUT_OVER = 16
"""Answers over which the goodput is measured, for want of two refusals to measure between. It will
do for a small window; in a wide one the goodput alone shows nothing."""

BLIND = 0.15
"""Where one request alone is refused and nothing was measured, the rate is looked for from so many
a round trip on: it is doubled from there, and each refusal costs."""

SHARE_OVER = 128.0
CHANCE, CHANCE_MOST = 2.0, 0.1
"""Refusals that pacing did not end are no lesson while the rate is above suspicion, until they are
twice the share of requests that they were then (over about so many), or one in ten."""

ALONE_MOST = 10
"""Doublings of the wait where one request alone is refused, and that is not about the rate."""

AHEAD = 1.25
"""A pace that is so much faster than the goodput is cut by any refusal, whatever that was about."""


class Governor:
    """The window and the pace of one account.

    Attributes:
        sent: requests so far.
        throttled: answers of 429 so far.

    Args:
        cap: the user's own limit on requests in flight.
        headroom: the share of what the account allows that is left to its other users, 0 to
            below 1; what they use beside it is taken from `Twilio-Concurrent-Requests`.
        learnt: what an earlier run found out: the search starts a quarter below it.

    Cost: about 1 us a request for `may_send`, `on_send` and `on_answered` together.
    """

    __slots__ = (
        "_alone",
        "_answered",
        "_answered_from_s",
        "_cap",
        "_chance",
        "_clean_from",
        "_goodput",
        "_has_waited",
        "_headroom",
        "_heard_s",
        "_heights",
        "_in_flight",
        "_is_timed",
        "_limit",
        "_pace",
        "_queueing",
        "_reason",
        "_round_trip_s",
        "_share",
        "_spacing",
        "_spared",
        "_spared_next",
        "_spread",
        "_suspect",
        "_used_share",
        "_window",
        "sent",
        "throttled",
    )

    def __init__(
        self,
        *,
        cap: int,
        headroom: float = 0.0,
        learnt: Learnt | None = None,
    ) -> None:
        self._cap = cap
        self._window = Window(cap, learnt.window * 0.75 if learnt is not None else None)
        self._headroom = Headroom(headroom) if headroom else None
        self._used_share = 1.0 - headroom
        self._limit = self._window.limit
        self._pace: Pace | None = None
        self._round_trip_s, self._is_timed = ROUND_TRIP_S, False
        self._queueing = Queueing()
        self._heights = Heights()
        self._spread = self._spacing = Spacing(1.0, 1.0)
        self.sent = self.throttled = 0
        self._in_flight = 0
        self._reason: Binding = "demand"
        self._suspect = Refusals()
        self._alone = self._spared = 0
        self._share = self._chance = 0.0
        self._spared_next = SPARED
        self._clean_from = 0
        self._heard_s = -math.inf
        self._has_waited = False
        self._answered, self._answered_from_s = 0, 0.0
        self._goodput = (0, 1.0)
        if learnt is not None and learnt.pace_per_s is not None:
            pace = self._begin_pace(0.0, learnt.pace_per_s * 0.75, MEASURED)
            if headroom:
                pace.begin_known(learnt.pace_per_s)
        self._follow()

    # --- whether to send --------------------------------------------------------------------

    def may_send(self, now_s: float, in_flight: int) -> bool:
        """Whether one more request may be sent now, beside so many in flight."""
        if in_flight >= self._limit:
            self._reason = "window"
            self._has_waited = True
            return False
        if now_s < self._spacing.ready_s:
            self._reason = "window"
            self._has_waited = True
            if self._pace is not None:
                self._reason = "pace"
                self._pace.held_back(now_s)
            return False
        self._reason = "demand"
        return True

    def wake_at_s(self, now_s: float) -> float | None:
        """When the pace allows the next one, or None where it does so now."""
        ready_s = self._spacing.ready_s
        return ready_s if ready_s > now_s else None

    # --- what happened ----------------------------------------------------------------------

    def on_send(self, now_s: float, in_flight: int) -> Ticket:
        """A request was sent, the n-th in flight. Its ending is told with what this returns."""
        if (
            in_flight == 1
            and not self._has_waited
            and now_s - self._heard_s > IDLE * self._round_trip_s
        ):
            # There was nothing to send: what was let in meanwhile measures nothing.
            self._suspect.anchor(self.sent, now_s)
            self._answered, self._answered_from_s = 0, now_s
        self._has_waited = False
        self.sent = number = self.sent + 1
        self._in_flight = in_flight
        self._spacing.sent(now_s)
        return (number, in_flight, now_s)

    def on_answered(
        self, now_s: float, ticket: Ticket, concurrent: int | None, duration_s: float
    ) -> None:
        """An answer that shows that the request was processed, whatever it says.

        Args:
            concurrent: the account's requests in flight by `Twilio-Concurrent-Requests`.
        """
        number, height, _ = ticket
        in_flight = self._in_flight
        self._heard_s = now_s
        if self._is_timed:
            self._round_trip_s += 0.1 * (duration_s - self._round_trip_s)
        else:
            self._round_trip_s, self._is_timed = max(duration_s, 1e-4), True
        window = self._window
        settled = window.answered(now_s, number, height, in_flight, self.sent)
        if self._headroom is not None:
            self._headroom.answered(window, concurrent, in_flight, height, settled=settled)
        self._in_flight = in_flight - 1
        if number > self._clean_from:
            self._heights.let_in(height)
        if self._suspect.score:
            self._suspect.forget(self._limit)
        if self._spared:
            self._spared -= 1
        if self._share:
            self._share -= self._share / SHARE_OVER
        self._answered += 1
        if (
            self._answered >= GOODPUT_OVER
            and now_s - self._answered_from_s > 2.0 * self._round_trip_s
        ):
            self._goodput = (self._answered, now_s - self._answered_from_s)
            self._answered, self._answered_from_s = 0, now_s
        if self._pace is not None:
            self._pace.answered(now_s, self._round_trip_s)
            if self._pace.per_s * self._round_trip_s > 2.0 * window.limit + 2.0:
                self._end_pace()
        limit, is_due = self._allowed(), not number % SPREAD_EVERY
        if is_due:
            window.is_crowded = self._queueing.is_crowded(now_s, self._round_trip_s)
        if limit != self._limit or is_due:
            self._limit = limit
            self._follow()

    def on_throttled(
        self, now_s: float, ticket: Ticket, concurrent: int | None, retry_after_s: float | None
    ) -> None:
        """An answer of 429: the request was not processed."""
        number, height, sent_s = ticket
        self._heard_s = now_s
        self.throttled += 1
        self._in_flight -= 1
        self._share += (1.0 - self._share) / SHARE_OVER
        if self._spared and self._share < self._chance:
            return  # By chance: no pace ended these, and they are no more than they were then.
        refusals = self._suspect
        raised_at = self._window.raised_at if self._pace is None else 0
        refusals.add(ticket, self._heights.top, raised_at)
        if height <= SMALL and self._heights.contradict(height):
            refusals.score += SUSPICIONS
        self._clean_from = self.sent
        let_in, over_s = refusals.measured(number, sent_s)
        if self._pace is not None:
            self._throttled_paced(now_s, self._pace, ticket, (let_in, over_s), retry_after_s)
        elif height == 1:
            self._throttled_alone(now_s, let_in, over_s, retry_after_s)
        elif refusals.score >= SUSPICIONS and not self._spared:
            if let_in < SUSPECTS_LET_IN or over_s < self._round_trip_s / 2:
                let_in, over_s = self._goodput if height <= SMALL else (0, 1.0)
            self._throttled_suspected(now_s, height, let_in, over_s)
        else:
            self._refused_window(now_s, height)
        if let_in >= MEASURED:
            refusals.anchor(number, sent_s)
        self._limit = self._allowed()
        self._follow()

    def _throttled_paced(
        self,
        now_s: float,
        pace: Pace,
        ticket: Ticket,
        measured: tuple[int, float],
        retry_after_s: float | None,
    ) -> None:
        """Where a rate is followed: a refusal above all that was let in is about the window."""
        number, height, _ = ticket
        if height > self._heights.top and height > 1:
            self._refused_window(now_s, height)
            answered, took_s = self._goodput
            if height <= SMALL and pace.per_s > AHEAD * answered / took_s:
                self._refused_pace(pace, number, *measured)
            return
        self._refused_pace(pace, number, *measured)
        if self._suspect.let_in_between == 0 and height == 1 and retry_after_s is not None:
            hint_s = min(max(retry_after_s, 0.0), HINT_MAX_S)
            self._spacing.pause_until(now_s + hint_s)

    def _throttled_alone(
        self, now_s: float, let_in: int, over_s: float, retry_after_s: float | None
    ) -> None:
        """Nothing else of ours was in flight, so it cannot be about that."""
        if not self._spared:
            is_blind = let_in < 2 or over_s <= 0.0
            per_s = BLIND / self._round_trip_s if is_blind else let_in / over_s
            self._begin_pace(now_s, per_s, 0 if is_blind else let_in)
            return
        # Nor is it about the rate: ask now and then, the later the longer it goes on.
        self._alone = min(self._alone + 1, ALONE_MOST) if self._suspect.let_in_between == 0 else 0
        hint_s = max(retry_after_s or 0.0, self._round_trip_s * 2.0**self._alone)
        self._spread.pause_until(now_s + min(hint_s, HINT_MAX_S))

    def _throttled_suspected(self, now_s: float, height: int, let_in: int, over_s: float) -> None:
        """A rate is likely: follow what was let in, where that could be measured."""
        if let_in:
            self._begin_pace(now_s, let_in / over_s, let_in)
        else:
            self._refused_window(now_s, height)

    def _allowed(self) -> int:
        """What the window comes down to beside the account's other users."""
        limit = self._window.limit
        return limit if self._headroom is None else self._headroom.limit(limit)

    def on_no_lesson(self, now_s: float, ticket: Ticket) -> None:
        """A timeout, a reset, a server error: it says nothing about the account's limits."""
        self._in_flight -= 1

    def _refused_window(self, now_s: float, height: int) -> None:
        self._window.refused(now_s, height, self._in_flight, self.sent, self._round_trip_s)
        self._heights.forget_top()

    def _refused_pace(self, pace: Pace, number: int, let_in: int, over_s: float) -> None:
        pace.refused(number, self.sent, let_in, over_s)
        if pace.is_futile or pace.is_sinking:
            per_s = pace.sank_from_per_s if pace.is_sinking else pace.per_s
            self._window.narrow_to(per_s * self._round_trip_s)
            self._window.is_beset = pace.is_sinking
            self._chance = min(CHANCE * self._share, CHANCE_MOST)
            self._end_pace()
            self._spared, self._spared_next = self._spared_next, 2 * self._spared_next

    def _begin_pace(self, now_s: float, per_s: float, let_in: int) -> Pace:
        pace = self._pace = Pace(now_s, per_s, self.sent, let_in, self._used_share)
        self._spacing = pace.spacing
        if self._headroom is not None:
            self._headroom.forget()
        self._suspect.score = 0.0
        self._window.open_to(2.0 * pace.per_s * self._round_trip_s + 2.0, self.sent)
        return pace

    def _end_pace(self) -> None:
        self._pace = None
        self._spacing = self._spread
        self._suspect.score = 0.0

    def _follow(self) -> None:
        is_look = self._limit <= SMALL and self._window.is_looking
        per_s = (SPREAD_LOOK if is_look else SPREAD) * self._limit / self._round_trip_s
        self._spread.set(per_s, max(1.0, per_s * BURST_S))

    # --- what is shown ----------------------------------------------------------------------

    @property
    def window(self) -> float:
        """Requests that may be in flight."""
        return float(self._limit)

    @property
    def pace_per_s(self) -> float | None:
        """Requests per second that may be sent, or None where only the window limits them."""
        return self._pace.per_s if self._pace is not None else None

    @property
    def binding(self) -> Binding:
        """What held the last request back; "demand" where nothing does."""
        if self._reason == "window":
            if self._in_flight < self._limit:
                return "demand"
            return "cap" if self._limit == self._cap else "window"
        return self._reason

    def learnt(self) -> Learnt | None:
        """What was found out so far; None where no limit was met."""
        if not self.throttled:
            return None
        pace = self._pace
        if pace is not None and not pace.is_known:
            return None  # An outage looks so, too: it would slow the next run down for nothing.
        per_s = pace.found_per_s if pace is not None else None
        return Learnt(self._window.value, per_s, self._round_trip_s)
