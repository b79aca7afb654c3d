"""One account on its way: its limits, its credential's standing, what its lists want to send.

    Account   a lane of the scheduler; says whether one more request may be in flight
    Share     the account as one of its lists sees it

What lists, rows and readings want to send lies in the account's queue, each list's in a place of
its own, and the lists take turns. Nothing of one account is ever waited for by another.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from aiolimiter import AsyncLimiter
from anyio import Event

from bulkipacl.engine.governor import Binding, Governor, Ticket
from bulkipacl.engine.ports import Sendable
from bulkipacl.engine.retry import RetryBudget, backoff_s
from bulkipacl.engine.scheduler import Lane
from bulkipacl.engine.turns import Place, Turns
from bulkipacl.model import ApiError, Attempt, Learnt, Reach
from bulkipacl.settings import CONFIRM_S, PACE_BURST_S, READY_ROWS, TROUBLED_AT_ONCE, Settings
from bulkipacl.twilio import contract

CREDENTIALS_REFUSED = "credentials_refused"
BLOCKED = "blocked"

_ANSWERED = Reach.ANSWERED


class Host(Protocol):
    """The run, seen from an account."""

    settings: Settings

    @property
    def is_stopping(self) -> bool:
        """Nothing new is begun any more."""

    @property
    def now(self) -> Callable[[], float]:
        """The event loop's clock, in seconds."""

    def uniform(self, low: float, high: float) -> float:
        """A random number."""

    def call_later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call it from the event loop after so long."""

    def wake(self, lane: Lane) -> None:
        """The account may have become able to send."""

    def hungry(self, account: Account) -> None:
        """The account could do with more rows to send."""

    def account_stopped(self, number: int, sid: str, reason: str, error: ApiError) -> None:
        """Nothing more is sent for the account."""


class Account:
    """What one account has to send, and whether it may.

    Attributes:
        own: its place in its own queue, for what belongs to no list.
        governor: its window and its pace.
        in_flight: requests sent and unanswered.
        is_alive: it has answered a request.
        is_sated: it can send nothing more until an attempt returns, or it wakes its host.
        stopped: why nothing more is sent, or None.

    Args:
        learnt: what an earlier run found out about its limits.
    """

    def __init__(self, host: Host, number: int, sid: str, learnt: Learnt | None = None) -> None:
        settings = host.settings
        self.number = number
        self.sid = sid
        self.retries = settings.retries
        self.governor = Governor(
            cap=min(settings.account_max_in_flight, settings.max_in_flight),
            headroom=settings.headroom,
            learnt=learnt,
        )
        self.in_flight = 0
        self.stopped: tuple[str, ApiError] | None = None
        self.is_scheduled = False
        self.is_sated = True
        self.now = host.now
        self._host = host
        self._queue = Turns()
        self.own = Share(self)
        self._is_hungry = False
        self._timer_at = math.inf
        self._throttled: dict[Sendable, int] = {}
        self.is_alive = False
        self._is_over = False
        self._suspect: Sendable | None = None
        self._is_confirming = False
        self._tokens = 0
        self._budget = RetryBudget()
        self._trouble_since: float | None = None
        self._troubled: set[int] = set()
        self._rate_per_s = settings.rate_per_s
        self._wants_tokens = Event()

    # --- the scheduler's side -------------------------------------------------------------

    def _may_send(self, now_s: float) -> bool:
        """Whether the window, the pace and the credential allow one more."""
        if self._budget.is_empty and self.in_flight:
            return False  # In trouble: one request at a time finds out whether it is over.
        if self._suspect is not None and not self._is_confirming:
            return False
        if not self.governor.may_send(now_s, self.in_flight):
            at_s = self.governor.wake_at_s(now_s)
            if at_s is not None and at_s < self._timer_at:
                self._timer_at = at_s
                self._host.call_later(at_s - now_s, self._pace_allows)
            return False
        if self._rate_per_s is not None and self._tokens <= 0:
            self._wants_tokens.set()
            return False
        return True

    def _pace_allows(self) -> None:
        self._timer_at = math.inf
        self._host.wake(self)

    def take(self) -> tuple[Sendable, Ticket] | None:
        """The next one, with its permit; None where none may be sent now."""
        queue, now_s = self._queue, self.now()
        while queue.size and self._may_send(now_s):
            sendable = queue.pop()
            if sendable.may_send():
                ticket = self._permit(now_s)
                self.is_sated = not (queue.size and self._may_send(now_s))
                return sendable, ticket
            if sendable is self._suspect:  # It was taken back; the next one will show.
                self._suspect = None
        return None

    def _permit(self, now_s: float) -> Ticket:
        self._is_confirming = False
        if self._rate_per_s is not None:
            self._tokens -= 1
        self.in_flight = in_flight = self.in_flight + 1
        if not self._is_hungry and self.wants_more:
            self._is_hungry = True
            self._host.hungry(self)
        return self.governor.on_send(now_s, in_flight)

    def returned(self, sendable: Sendable, ticket: Ticket, attempt: Attempt) -> None:
        """An attempt ended: the permit is free again, and the sendable is told."""
        self.in_flight -= 1
        status = attempt.status
        if attempt.reach is _ANSWERED and status < 500 and status != 429:
            now_s = self.now()
            self.governor.on_answered(now_s, ticket, attempt.concurrent, attempt.duration_s)
            if self._trouble_since is not None or not (self.is_alive and self._budget.is_full):
                self._went_well()
        else:
            self._learn(sendable, ticket, attempt)
        if self._throttled and status != 429:
            self._throttled.pop(sendable, None)
        if sendable is self._suspect and status not in (401, 403):
            self._suspect = None
        sendable.answered(attempt)

    def _went_well(self) -> None:
        """An answer that was no trouble, where that is news."""
        self._budget.went_well()
        if self._trouble_since is not None or not self.is_alive:
            self.is_alive = True
            self._trouble_since = None
            self._troubled.clear()
            self._host.hungry(self)

    def _learn(self, sendable: Sendable, ticket: Ticket, attempt: Attempt) -> None:
        """The account's limits and its health, from what is no good answer."""
        status, governor, now_s = attempt.status, self.governor, self.now()
        if status == 429:
            governor.on_throttled(now_s, ticket, attempt.concurrent, attempt.retry_after_s)
            self._throttled[sendable] = self._throttled.get(sendable, 0) + 1
        else:
            governor.on_no_lesson(now_s, ticket)
            self._budget.failed(is_silence=status == 0)
        if len(self._troubled) < TROUBLED_AT_ONCE:
            self._troubled.add(id(sendable))
        if self._trouble_since is None:
            self._trouble_since = now_s
        if now_s - self._trouble_since > self._host.settings.patience_s:
            text = f"nothing but trouble for {self._host.settings.patience_s:g} s"
            error = contract.read_error(attempt) if status else ApiError(0, 0, attempt.error)
            message = f"{text}, the last: {error.message}"
            self.stop(BLOCKED, ApiError(error.status, error.code, message, error.more_info))

    @property
    def ended(self) -> int:
        """Rows that have ended, or that were sent at least once."""
        return self._queue.done

    @property
    def binding(self) -> Binding:
        """What holds the account back just now."""
        if self._rate_per_s is not None and self._tokens <= 0 and self._queue.size:
            return "cap"
        return self.governor.binding

    async def keep_pace(self) -> None:
        """Fetch a token for each request, under `--rate`. Runs until the account retires.

        One waiter per account, not one per worker: waiters of aiolimiter wake each other. Its
        burst is small, since its usual shape lets twice the rate through in the first second.
        """
        if self._rate_per_s is None:
            return
        burst = max(1.0, self._rate_per_s * PACE_BURST_S)
        limiter = AsyncLimiter(burst, burst / self._rate_per_s)
        while not self._is_over:
            await self._wants_tokens.wait()
            self._wants_tokens = Event()
            if self._tokens <= 0 and not self._is_over:
                await limiter.acquire()
                self._tokens += 1
            self._host.wake(self)

    # --- what lists, rows and readings ask ------------------------------------------------

    def share(self) -> Share:
        """A place in the queue for one more list."""
        self._is_hungry = False
        return Share(self)

    def expect(self, place: Place, rows: int) -> None:
        """A list has so many rows to send."""
        self._queue.expect(place, rows)

    def closed(self, share: Share, *, is_ended: bool) -> None:
        """A list is done with; `is_ended`: all its rows have ended."""
        self._queue.closed(share, is_ended=is_ended)

    def retire(self) -> None:
        """It has nothing left to send."""
        self._is_over = True
        self._wants_tokens.set()

    @property
    def wants_more(self) -> bool:
        """Whether the open lists hold fewer rows, not yet sent, than keep the window full.

        Not while the account gives nothing but trouble: then it would hoard lists.
        """
        is_short = self._queue.rows < 2.0 * self.governor.window + READY_ROWS
        return is_short and self.is_well

    @property
    def is_well(self) -> bool:
        """Whether it has answered, and nothing but trouble has not come since."""
        return self.is_alive and self._trouble_since is None

    @property
    def is_in_trouble(self) -> bool:
        """Whether the account as a whole gets nothing but trouble, and not one request of it."""
        return len(self._troubled) >= TROUBLED_AT_ONCE and not self._host.is_stopping

    def enqueue(self, place: Place, sendable: Sendable) -> None:
        """Queue it in its list's place; or drop it, if the account is stopped."""
        if self.stopped is not None:
            sendable.dropped(*self.stopped)
            return
        self._queue.push(place, sendable)
        if self.in_flight < self.governor.window:  # Else the next answer makes room.
            self._host.wake(self)

    def after_backoff(
        self, place: Place, sendable: Sendable, failures: int, attempt: Attempt | None
    ) -> None:
        """Queue it later. Meanwhile it holds no permit."""
        hint_s = attempt.retry_after_s if attempt is not None else None
        if self._host.is_stopping:
            failures = min(failures, 1)  # Somebody waits for the end.
        elif self.is_in_trouble:
            failures = max(failures, 4)
        self._host.call_later(
            backoff_s(failures, hint_s, self._host.uniform), lambda: self.enqueue(place, sendable)
        )

    def throttled_before(self, sendable: Sendable) -> int:
        """How often just this one was answered 429 before, in a row."""
        return self._throttled.get(sendable, 1) - 1

    def confirm(self, place: Place, sendable: Sendable, error: ApiError) -> None:
        """The credential was refused. Once may be a passing fault: it is confirmed, alone."""
        if self.stopped is not None:
            sendable.dropped(*self.stopped)
        elif self._suspect is None:
            self._suspect = sendable
            self._host.call_later(CONFIRM_S, self._confirm)
        elif sendable is self._suspect:
            self.stop(CREDENTIALS_REFUSED, error)
            sendable.dropped(CREDENTIALS_REFUSED, error)
        else:
            self._queue.push(place, sendable)

    def _confirm(self) -> None:
        if self._suspect is not None and self.stopped is None:
            self._queue.put_first(self._suspect)
            self._is_confirming = True
            self._host.wake(self)

    def stop(self, reason: str, error: ApiError) -> None:
        """Send nothing more for this account."""
        if self.stopped is not None:
            return
        self.stopped = (reason, error)
        self._host.account_stopped(self.number, self.sid, reason, error)
        for sendable in self._queue.drain():
            sendable.dropped(reason, error)


class Share(Place):
    """The account as one of its lists sees it: its own place in the queue."""

    __slots__ = ("_account", "retries", "sid")

    def __init__(self, account: Account) -> None:
        super().__init__()
        self._account = account
        self.sid = account.sid
        self.retries = account.retries

    @property
    def stopped(self) -> tuple[str, ApiError] | None:
        """Why nothing more is sent for the account, or None."""
        return self._account.stopped

    @property
    def is_in_trouble(self) -> bool:
        """Whether the account as a whole gets nothing but trouble."""
        return self._account.is_in_trouble

    @property
    def is_alive(self) -> bool:
        """Whether the account has answered a request yet."""
        return self._account.is_alive

    def expect(self, rows: int) -> None:
        """So many rows more will want to be sent."""
        self._account.expect(self, rows)

    def now(self) -> float:
        """The event loop's time, in seconds."""
        return self._account.now()

    def push(self, sendable: Sendable) -> None:
        """Queue it; or drop it, if the account is stopped."""
        self._account.enqueue(self, sendable)

    def again(self, sendable: Sendable, failures: int, attempt: Attempt | None) -> None:
        """Queue it after a back-off. Meanwhile it holds nothing."""
        self._account.after_backoff(self, sendable, failures, attempt)

    def throttled(self, sendable: Sendable, attempt: Attempt) -> None:
        """It was answered 429: not processed, so it is sent again and that costs no attempt."""
        failures = min(self._account.throttled_before(sendable), 6)
        self._account.after_backoff(self, sendable, failures, attempt)

    def refused(self, sendable: Sendable, error: ApiError) -> None:
        """The credential was refused: confirm that, or stop the account."""
        self._account.confirm(self, sendable, error)
