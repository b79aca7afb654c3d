"""`--check-first`: no list is written to before every list was read and passed the guards."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bulkipacl.engine.decide import Settled
from bulkipacl.engine.planning import APPLIED, PLANNED, read_lists
from bulkipacl.engine.planview import JudgedList, judged_lists
from bulkipacl.engine.session import Stage
from bulkipacl.model import Outcome, RowResult
from bulkipacl.settings import COMMIT_ROWS
from bulkipacl.store import journal, views
from bulkipacl.store.journal import Batch

CHECKED_FIRST = "checked_first"
"""The ending of a run of which nothing was written, because a guard refused one of its lists."""


def check_first(stage: Stage) -> str:
    """Read and check all lists; returns how the run ends, or "" where nothing is in the way.

    Where a list is refused, its rows have their outcomes, and those of all others are left to be
    done: a resume carries them out, if their lists have not changed since.

    Raises:
        StoreError: the run directory cannot be written.
    """
    run = stage.run
    ending = read_lists(stage)
    if ending != PLANNED:
        return ending
    views.set_meta(run, {"plan": APPLIED})
    batch, is_refused = Batch(), False
    for judged in judged_lists(run, stage.job.settings):
        refused = list(_refused(judged))
        is_refused = is_refused or bool(refused)
        batch.results += refused
        if len(batch.results) >= COMMIT_ROWS:
            journal.commit(run, batch)
            batch = Batch()
    journal.commit(run, batch)
    return CHECKED_FIRST if is_refused else ""


def _refused(judged: JudgedList) -> Iterator[RowResult]:
    """The rows of a list that a guard refuses; what its other rows come to is not known yet."""
    guards = {one.guard for one in judged.found if not one.is_open}
    for step in judged.steps:
        how = step.decision
        if isinstance(how, Settled) and how.outcome is Outcome.REFUSED and how.reason in guards:
            yield RowResult(
                step.row.number,
                how.outcome,
                reason=how.reason,
                finished_at=time.time(),
                suggestion=how.suggestion,
            )
