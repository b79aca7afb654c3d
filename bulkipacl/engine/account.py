"""One account on its way: its window, its pace, its credential's standing, its open lists.

`Account` is a lane of the scheduler: what its lists, rows and readings want to send lies in its
queue, and it says whether one more may be in flight. It opens its lists one after the other, as
many as keep the window full. Nothing of one account is ever waited for by another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from aiolimiter import AsyncLimiter
from anyio import Event

from bulkipacl.engine.governor import Governor
from bulkipacl.engine.ports import Sendable
from bulkipacl.engine.retry import RetryBudget, backoff_s
from bulkipacl.engine.scheduler import Lane
from bulkipacl.model import ApiError, Attempt, Reach
from bulkipacl.settings import CONFIRM_S, PACE_BURST_S, TROUBLED_AT_ONCE, Settings
from bulkipacl.twilio import contract

CREDENTIALS_REFUSED = "credentials_refused"
BLOCKED = "blocked"


class Host(Protocol):
    """The run, seen from an account."""

    settings: Settings

    @property
    def is_stopping(self) -> bool:
        """Nothing new is begun any more."""

    def now(self) -> float:
        """The event loop's time."""

    def uniform(self, low: float, high: float) -> float:
        """A random number."""

    def call_later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call it from the event loop after so long."""

    def wake(self, lane: Lane) -> None:
        """The account may have become able to send."""

    def account_stopped(self, number: int, sid: str, reason: str, error: ApiError) -> None:
        """Nothing more is sent for the account."""


class Account:
    """What one account has to send, and whether it may.

    Attributes:
        in_flight: requests sent and unanswered.
        throttled_count: answers of 429.
        stopped: why nothing more is sent, or None.
    """

    def __init__(self, host: Host, number: int, sid: str) -> None:
        settings = host.settings
        self.number = number
        self.sid = sid
        self.retries = settings.retries
        self.governor = Governor(settings.account_max_in_flight)
        self.in_flight = 0
        self.throttled_count = 0
        self.stopped: tuple[str, ApiError] | None = None
        self.is_scheduled = False
        self._host = host
        self._queue: deque[Sendable] = deque()
        self._suspect: Sendable | None = None
        self._is_confirming = False
        self._tokens = 0
        self._budget = RetryBudget()
        self._trouble_since: float | None = None
        self._troubled: set[int] = set()
        self._rate_per_s = settings.rate_per_s
        self._wants_tokens = Event()

    # --- the scheduler's side -------------------------------------------------------------

    def can_send(self) -> bool:
        """Whether there is something that the window, the pace and the credential allow."""
        # In trouble: one request at a time finds out whether it is over.
        window = 1 if self._budget.is_empty else self.governor.window
        if not self._queue or self.in_flight >= window:
            return False
        if self._suspect is not None and not self._is_confirming:
            return False
        if self._rate_per_s is not None and self._tokens <= 0:
            self._wants_tokens.set()
            return False
        return True

    def take(self) -> Sendable | None:
        """The next one, with its permit; None where it took itself back."""
        sendable = self._queue.popleft()
        if not sendable.may_send():
            if sendable is self._suspect:  # It was taken back; the next one will show.
                self._suspect = None
            return None
        self._is_confirming = False
        if self._rate_per_s is not None:
            self._tokens -= 1
        self.in_flight += 1
        return sendable

    def returned(self, sendable: Sendable, attempt: Attempt) -> None:
        """An attempt ended: the permit is free again, and the sendable is told."""
        self.in_flight -= 1
        self._learn(sendable, attempt)
        if sendable is self._suspect and attempt.status not in (401, 403):
            self._suspect = None
        sendable.answered(attempt)

    def _learn(self, sendable: Sendable, attempt: Attempt) -> None:
        """The account's health, from the answer alone."""
        status = attempt.status
        if status == 429:
            self.governor.on_throttled()
            self.throttled_count += 1
        elif attempt.reach is not Reach.ANSWERED or status >= 500:
            self._budget.failed(is_silence=status == 0)
        else:
            self.governor.on_answer()
            self._budget.went_well()
            self._trouble_since = None
            self._troubled.clear()
            return
        if len(self._troubled) < TROUBLED_AT_ONCE:
            self._troubled.add(id(sendable))
        if self._trouble_since is None:
            self._trouble_since = self.now()
        if self.now() - self._trouble_since > self._host.settings.patience_s:
            text = f"nothing but trouble for {self._host.settings.patience_s:g} s"
            error = contract.read_error(attempt) if status else ApiError(0, 0, attempt.error)
            message = f"{text}, the last: {error.message}"
            self.stop(BLOCKED, ApiError(error.status, error.code, message, error.more_info))

    @property
    def queued(self) -> int:
        """Requests waiting for a permit."""
        return len(self._queue)

    async def keep_pace(self) -> None:
        """Fetch a token for each request, under `--rate`. Runs until cancelled.

        One waiter per account, not one per worker: waiters of aiolimiter wake each other. Its
        burst is small, since its usual shape lets twice the rate through in the first second.
        """
        if self._rate_per_s is None:
            return
        burst = max(1.0, self._rate_per_s * PACE_BURST_S)
        limiter = AsyncLimiter(burst, burst / self._rate_per_s)
        while True:
            await self._wants_tokens.wait()
            self._wants_tokens = Event()
            if self._tokens <= 0:
                await limiter.acquire()
                self._tokens += 1
            self._host.wake(self)

    # --- what lists, rows and readings ask ------------------------------------------------

    def now(self) -> float:
        """The event loop's time, in seconds."""
        return self._host.now()

    @property
    def is_in_trouble(self) -> bool:
        """Whether the account as a whole gets nothing but trouble, and not one request of it."""
        return len(self._troubled) >= TROUBLED_AT_ONCE and not self._host.is_stopping

    def push(self, sendable: Sendable) -> None:
        """Queue it; or drop it, if the account is stopped."""
        if self.stopped is not None:
            sendable.dropped(*self.stopped)
            return
        self._queue.append(sendable)
        self._host.wake(self)

    def again(self, sendable: Sendable, failures: int, attempt: Attempt | None) -> None:
        """Queue it after a back-off. Meanwhile it holds nothing."""
        hint_s = attempt.retry_after_s if attempt is not None else None
        if self.is_in_trouble:
            failures = max(failures, 4)
        self._host.call_later(
            backoff_s(failures, hint_s, self._host.uniform), lambda: self.push(sendable)
        )

    def throttled(self, sendable: Sendable, attempt: Attempt) -> None:
        """It was answered 429: not processed, so it is sent again and that costs no attempt."""
        self.again(sendable, min(self.governor.throttled_in_row - 1, 6), attempt)

    def refused(self, sendable: Sendable, error: ApiError) -> None:
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
            self._queue.append(sendable)

    def _confirm(self) -> None:
        if self._suspect is not None and self.stopped is None:
            self._queue.appendleft(self._suspect)
            self._is_confirming = True
            self._host.wake(self)

    def stop(self, reason: str, error: ApiError) -> None:
        """Send nothing more for this account."""
        if self.stopped is not None:
            return
        self.stopped = (reason, error)
        self._host.account_stopped(self.number, self.sid, reason, error)
        queue, self._queue = self._queue, deque()
        for sendable in queue:
            sendable.dropped(reason, error)
