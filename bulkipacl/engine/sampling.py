"""What the accounts' governors allow, sampled now and then, for the summary and for plots.

Sampler   which accounts are sampled when: bounded whatever the number of accounts and the time
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from bulkipacl.engine.account import Account
from bulkipacl.model import LimitSample
from bulkipacl.settings import SAMPLE_EVERY_S, SAMPLES_AT_ONCE, SAMPLES_FULL_S


class Sampler:
    """Samples accounts in turn.

    Args:
        accounts: those under way, by number; it changes.
        began_s: the event loop's time when sending began.
    """

    def __init__(self, accounts: Mapping[int, Account], began_s: float) -> None:
        self._accounts = accounts
        self._began_s = began_s
        self._turns: deque[int] = deque()

    def next_in_s(self, now_s: float) -> float:
        """Seconds until the next samples: the longer a run goes on, the longer."""
        return SAMPLE_EVERY_S * max(1.0, (now_s - self._began_s) / SAMPLES_FULL_S)

    def take(self, at: float) -> list[LimitSample]:
        """The next samples, with the wall clock's time `at`."""
        if not self._turns:
            self._turns.extend(self._accounts)
        found = []
        for _ in range(min(SAMPLES_AT_ONCE, len(self._turns))):
            account = self._accounts.get(self._turns.popleft())
            if account is not None:
                found.append(sample(account, at))
        return found


def sample(account: Account, at: float) -> LimitSample:
    """One account at one moment."""
    governor = account.governor
    return LimitSample(
        at,
        account.number,
        governor.window,
        governor.pace_per_s,
        account.binding,
        account.in_flight,
        governor.throttled,
        account.ended,
    )
