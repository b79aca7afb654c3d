"""How the workers of a run stand, put together for the display and the summary.

Standing   what they have last said, added up
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from bulkipacl.cluster.messages import Figures


class GovernorShown(NamedTuple):
    """An account's limits as its worker last told of them."""

    window: float
    pace_per_s: float | None
    throttled: int


class AccountShown(NamedTuple):
    """An account as its worker last told of it."""

    number: int
    sid: str
    in_flight: int
    ended: int
    binding: str
    governor: GovernorShown


class Standing:
    """What workers have last said of themselves.

    Attributes:
        accounts: those under way, by number.

    Args:
        sid_of: the sid of an account by its number.
    """

    def __init__(self, sid_of: Callable[[int], str]) -> None:
        self.accounts: dict[int, AccountShown] = {}
        self._sid_of = sid_of
        self._figures: dict[object, Figures] = {}

    def told(self, worker: object, figures: Figures) -> None:
        """A worker says how it stands."""
        before = self._figures.get(worker)
        for number, *_ in () if before is None else before.accounts:
            self.accounts.pop(number, None)
        self._figures[worker] = figures
        for number, in_flight, ended, binding, window, pace_per_s, throttled in figures.accounts:
            governor = GovernorShown(window, pace_per_s, throttled)
            sid = self._sid_of(number)
            self.accounts[number] = AccountShown(number, sid, in_flight, ended, binding, governor)

    def ended(self, worker: object, requests: int = 0, throttled: int = 0) -> None:
        """A worker has ended; what it has sent is as it last said, if that is more."""
        last = self._figures.get(worker)
        if last is not None:
            requests, throttled = max(requests, last.requests), max(throttled, last.throttled)
        self.told(worker, Figures(0, requests, throttled, 0, []))

    @property
    def in_flight(self) -> int:
        """Requests sent and unanswered."""
        return sum(one.in_flight for one in self._all())

    @property
    def requests(self) -> int:
        """Requests sent."""
        return sum(one.requests for one in self._all())

    @property
    def throttled(self) -> int:
        """Answers of 429."""
        return sum(one.throttled for one in self._all())

    @property
    def open_lists(self) -> int:
        """Lists under way."""
        return sum(one.open_lists for one in self._all())

    def _all(self) -> Iterable[Figures]:
        return list(self._figures.values())  # The display asks from a thread of its own.
