"""What a run has to say to the store, and what it counts on the way.

    Recorder   the half of the run that has to do with outcomes, notes and samples

It opens nothing and sends nothing: `run.Engine` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from bulkipacl.engine.account import CREDENTIALS_REFUSED, Account, Share
from bulkipacl.engine.committer import Committer
from bulkipacl.engine.sampling import sample
from bulkipacl.model import (
    GOOD_OUTCOMES,
    ApiError,
    Learnt,
    LimitSample,
    Outcome,
    RowResult,
)
from bulkipacl.settings import COMMIT_ROWS, PERCENT_FROM_ROWS, Settings
from bulkipacl.store.journal import KeptSnapshot
from bulkipacl.store.rundir import RunDirectory

_CREDENTIALS_HINT = "check the credential of this account (`bulkipacl check`), then resume"
_RESUME_HINT = "`bulkipacl resume` the run to carry it out"


class Recorder:
    """Gathers what is written with the next commit.

    Attributes:
        outcomes: rows that ended in this session, by outcome.
        failures: how many of them did not end well.
        stopping: why nothing new is begun any more, or "".
        accounts: those under way, by number.
        learnt: what was found out about the limits of accounts, by sid, as far as they are done.
    """

    def __init__(
        self,
        directory: RunDirectory,
        settings: Settings,
        committer: Committer,
        wall_clock: Callable[[], float],
    ) -> None:
        self.directory = directory
        self.settings = settings
        self.wall_clock = wall_clock
        self.outcomes: Counter[Outcome] = Counter()
        self.failures = 0
        self.stopping = ""
        self.accounts: dict[int, Account] = {}
        self.learnt: dict[str, Learnt] = {}
        self._committer = committer
        self._throttled_before = 0

    def too_many_failures(self) -> None:
        """More rows than `--max-failures` did not end well."""
        raise NotImplementedError

    def keep(self, snapshot: KeptSnapshot, then: Callable[[], None]) -> None:
        """Make a snapshot durable, and call `then` once it is."""
        self._committer.batch.snapshots.append(snapshot)
        self._committer.batch.after.append(then)
        self._committer.soon(is_urgent=True)

    def after_commit(self, then: Callable[[], None]) -> None:
        """Call `then` once what has been recorded so far is durable."""
        self._committer.batch.after.append(then)
        self._committer.soon(is_urgent=True)

    def name_list(self, account_id: int, list_id: int, sid: str) -> None:
        """A list has been found by its name."""
        self._committer.batch.names.append((account_id, list_id, sid))

    def record(self, result: RowResult) -> None:
        """A row has its outcome."""
        outcome = result.outcome
        self.outcomes[outcome] += 1
        if outcome not in GOOD_OUTCOMES and outcome is not Outcome.NOT_ATTEMPTED:
            self.failures += 1
            self._watch_failures()
        results = self._committer.batch.results
        results.append(result)
        if len(results) == 1 or len(results) >= COMMIT_ROWS:
            self._committer.soon()

    def leave(self, account: Account | Share, numbers: Iterable[int]) -> None:
        """These rows were never sent, and are not in this session: not_attempted."""
        reason, error = account.stopped or (self.stopping, ApiError(0))
        for number in numbers:
            self.record(
                RowResult.of_error(
                    number,
                    Outcome.NOT_ATTEMPTED,
                    reason,
                    error,
                    finished_at=self.wall_clock(),
                    suggestion=hint_for(reason),
                )
            )

    def _watch_failures(self) -> None:
        if not self.stopping and are_too_many(self.settings, self.failures, self.outcomes.total()):
            self.too_many_failures()

    def note(self, kind: str, text: str) -> None:
        """What a person should know besides the rows."""
        self._committer.batch.notes.append((kind, text))
        self._committer.soon()

    def add_samples(self, samples: Sequence[LimitSample]) -> None:
        """What accounts' governors allow."""
        self._committer.batch.samples += samples
        self._committer.soon()

    def take_leave(self, account: Account) -> None:
        """An account is done with: keep what was found out about it."""
        governor = account.governor
        learnt = governor.learnt()
        if learnt is not None:
            self.learnt[account.sid] = learnt
        if governor.sent:
            self.add_samples([sample(account, self.wall_clock())])

    @property
    def throttled(self) -> int:
        """Answers of 429 in this session."""
        return self._throttled_before + sum(a.governor.throttled for a in self.accounts.values())


def are_too_many(settings: Settings, failures: int, ended: int) -> bool:
    """Whether more rows did not end well, of those that have ended, than are to be borne."""
    most, percent = settings.max_failures, settings.max_failures_percent
    if most is not None and failures > most:
        return True
    is_share = percent is not None and ended >= PERCENT_FROM_ROWS
    return is_share and failures > ended * (percent or 0.0) / 100


def hint_for(reason: str) -> str:
    """What to do about rows that were not attempted."""
    return _CREDENTIALS_HINT if reason == CREDENTIALS_REFUSED else _RESUME_HINT
