"""Who carries a run out, as the session, the arrival of input and the display see it.

Sender          `run.Engine`, or what stands in its place where several processes do it
AccountFigures  one account as the display shows it
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from bulkipacl.model import Learnt, Outcome, RowResult
from bulkipacl.store.rundir import RunDirectory

OnEnded = Callable[[Sequence[RowResult]], None]
"""Told of rows whose outcome has just become durable."""


class GovernorFigures(Protocol):
    """What an account's limits are taken for."""

    @property
    def window(self) -> float:
        """Requests that may be in flight."""

    @property
    def pace_per_s(self) -> float | None:
        """Requests per second, or None where only the window limits them."""

    @property
    def throttled(self) -> int:
        """Answers of 429 so far."""


class AccountFigures(Protocol):
    """One account that is under way."""

    @property
    def number(self) -> int:
        """Its number in the run."""

    @property
    def sid(self) -> str:
        """Its sid."""

    @property
    def in_flight(self) -> int:
        """Requests sent and unanswered."""

    @property
    def ended(self) -> int:
        """Rows that have ended, or that were sent at least once."""

    @property
    def binding(self) -> str:
        """What holds it back just now."""

    @property
    def governor(self) -> GovernorFigures:
        """Its limits."""


class Sender(Protocol):
    """Carries out all rows of a run directory that have no outcome.

    Attributes:
        outcomes: rows that ended in this session, by outcome.
        stopping: why nothing new is begun any more, or "".
        learnt: what was found out about the limits of accounts, by sid, as far as they are done.
    """

    directory: RunDirectory
    outcomes: Counter[Outcome]
    stopping: str
    learnt: dict[str, Learnt]

    async def execute(self, *, is_input_open: bool = False) -> None:
        """Carry everything out. Returns when every row ended, or after `stop`."""

    def stop(self, reason: str) -> None:
        """Begin nothing new; what is in flight ends, what is ambiguous is read back."""

    def stop_now(self, reason: str) -> None:
        """Cut what is in flight. Its rows are unknown until a resume settles them."""

    def arrived(self, pairs: Iterable[tuple[int, int]], last_row: int | None = None) -> None:
        """Lists, as (account, list) numbers, have new rows in the store, up to a number."""

    def input_ended(self) -> None:
        """No more rows arrive."""

    @property
    def ending(self) -> str:
        """How the run ended, once it has."""

    @property
    def is_stopping(self) -> bool:
        """Nothing new is begun any more."""

    @property
    def in_flight(self) -> int:
        """Requests sent and unanswered."""

    @property
    def requests(self) -> int:
        """Requests sent in this session."""

    @property
    def throttled(self) -> int:
        """Answers of 429 in this session."""

    @property
    def open_lists(self) -> int:
        """Lists under way."""

    @property
    def accounts(self) -> Mapping[int, AccountFigures]:
        """Those under way, by number; it changes, but for a copy."""
