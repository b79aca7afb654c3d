"""What a plan would do, told from its run directory alone.

    judged_lists   every list with the judgement of each of its rounds
    JudgedList     one of them, and its figures
    forecast       requests, and how long they take

Nothing of this is kept: it follows from the rows, the readings and the settings of the run, by the
same `Admission` that the sending asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bulkipacl.engine.admission import Admission
from bulkipacl.engine.decide import Settled
from bulkipacl.engine.guards import Finding, union_size
from bulkipacl.engine.preview import Step
from bulkipacl.model import LIST_CAPACITY, Entry, Learnt, Outcome, RowResult
from bulkipacl.report.plan import ListPlan, Verdict
from bulkipacl.settings import ROUND_ROWS, Settings
from bulkipacl.store import plan, views
from bulkipacl.store.plan import ReadList
from bulkipacl.store.rundir import RunDirectory

Steps = tuple[Step, ...]


@dataclass(slots=True)
class JudgedList:
    """One list of a plan.

    Attributes:
        steps: how its rows would end, in row order.
        after: what it would hold; None where it could not be read.
        found: what guards found, open ones too; of all its rounds.
    """

    read: ReadList
    steps: list[Step] = field(default_factory=list)
    after: tuple[Entry, ...] | None = None
    found: list[Finding] = field(default_factory=list)

    @property
    def is_refused(self) -> bool:
        """Whether a guard is in the way of some of it."""
        return any(not one.is_open for one in self.found)

    def figures(self) -> ListPlan:
        """It in figures, for a report."""
        before, after = self.read.entries, self.after
        outcomes = Counter(step.outcome for step in self.steps)
        return ListPlan(
            account_sid=self.read.account_sid,
            list_sid=self.read.list_sid,
            list_name=self.read.list_name,
            outcomes={outcome: outcomes[outcome] for outcome in Outcome if outcomes[outcome]},
            entries_before=None if before is None else len(before),
            entries_after=None if after is None else len(after),
            covered_before=None if before is None else union_size(before),
            covered_after=None if after is None else union_size(after),
            free=None if after is None else LIST_CAPACITY - len(after),
            verdicts=tuple(Verdict(*one) for one in self.found),
            unread=self.read.why.reason if self.read.why is not None else "",
        )


def judged_lists(run: RunDirectory, settings: Settings) -> Iterator[JudgedList]:
    """Every list of a plan, in order of account and first sight; one at a time in memory."""
    admission = Admission(run, settings, lambda kind, text: None)
    has_stray_gap = settings.no_gap and views.has_invalid_creates(run, None)
    for read in plan.planned_lists(run):
        judged = JudgedList(read, after=read.entries)
        is_gap = settings.no_gap and (has_stray_gap or views.has_invalid_creates(run, read.id))
        last_row = 0
        while rows := plan.rows_after(run, read.id, last_row, ROUND_ROWS):
            last_row = rows[-1].number
            if judged.after is None:
                unread = _as_settled(read.why)
                judged.steps += [Step(row, unread) for row in rows]
                continue
            # The sending asks for each round, too.
            said = admission.judge(judged.after, rows, is_gap=is_gap)
            judged.steps += said.steps
            judged.found += said.found
            judged.after = said.after
        if judged.steps:
            yield judged


def _as_settled(why: RowResult | None) -> Settled:
    if why is None:
        raise AssertionError("a list that was not read says why")
    return Settled(why.outcome, why.reason, None, why.suggestion)


@dataclass(slots=True)
class Forecast:
    """How many requests a plan takes, and how long.

    Attributes:
        requests: one to read each list, and one for each write.
        unknown: accounts of whose limits nothing is remembered.
    """

    settings: Settings
    learnt: Mapping[str, Learnt]
    requests: int = 0
    unknown: int = 0
    _of: Counter[str] = field(default_factory=Counter)

    def add(self, judged: JudgedList) -> None:
        """Another list."""
        is_write = [not isinstance(step.decision, Settled) for step in judged.steps]
        self._of[judged.read.account_sid] += 1 + sum(is_write)

    def seconds(self) -> float | None:
        """The time of the slowest account, and of all together; None where none is known."""
        self.requests = self._of.total()
        slowest = all_s = 0.0
        self.unknown = 0
        for sid, requests in self._of.items():
            learnt = self.learnt.get(sid)
            if learnt is None:
                self.unknown += 1
                continue
            window = min(learnt.window, self.settings.account_max_in_flight)
            paces = [window / learnt.round_trip_s, learnt.pace_per_s, self.settings.rate_per_s]
            slowest = max(slowest, requests / min(pace for pace in paces if pace is not None))
            all_s += requests * learnt.round_trip_s / self.settings.max_in_flight
        return max(slowest, all_s) if self.unknown < len(self._of) else None
