"""The reading that a plan is made of: every list that rows name, and not one write.

    read_lists     read them all, and keep what they hold
    Planner        an engine that opens lists to read them;  ListReading   one such list

Accounts, limits, names, stops and commits are the engine's own.
"""

from __future__ import annotations

from bulkipacl.engine.account import Share
from bulkipacl.engine.ports import OpenedList
from bulkipacl.engine.reading import Reading
from bulkipacl.engine.run import Engine
from bulkipacl.engine.session import Stage, carry_out
from bulkipacl.model import ApiError, Outcome, RowResult
from bulkipacl.store import plan, views
from bulkipacl.store.journal import PlannedList
from bulkipacl.store.views import ListInfo
from bulkipacl.twilio import contract

PLANNED = "planned"
"""The ending of a run that was planned and is not applied."""
MAKING, MADE, APPLIED = "making", "made", "applied"
"""What the fact `plan` of a run says; one that is no plan, and was not checked first, has none."""


def read_lists(stage: Stage) -> str:
    """Read every list that the rows name, and keep what it holds; returns `planned`, or why not.

    What cannot be read is kept with its reason: it is for who looks at the plan.

    Raises:
        StoreError: the run directory cannot be written.
    """
    ending = carry_out(stage, make=Planner)
    if ending not in ("finished", "breaker"):
        return ending
    views.set_meta(stage.run, {"plan": MADE})
    return PLANNED


class Planner(Engine):
    """Reads the lists of a run directory, and answers no row."""

    round_rows = 1

    def open_list(self, share: Share, info: ListInfo, *, is_gap: bool) -> OpenedList:
        """A list that is only read; of its rows it needs one, to say whose fault a failure is."""
        return ListReading(self, share, info)

    def record(self, result: RowResult) -> None:
        """A row would end so without its list having been read: it is kept as the list's."""
        if result.outcome is Outcome.NOT_ATTEMPTED:
            return
        list_id = plan.list_of_row(self.directory, result.number)
        self.keep_plan(plan.unread_list(list_id, self.wall_clock(), result))

    def keep_plan(self, line: PlannedList) -> None:
        """What was read of a list."""
        self._committer.batch.planned.append(line)
        self._committer.soon()


class ListReading:
    """One list, from its reading to its place in the plan."""

    has_rows = True

    def __init__(self, run: Planner, account: Share, info: ListInfo) -> None:
        self._rows, _ = run.rows_of_round(info.id)
        self.rows_count = len(self._rows)
        self._run = run
        self._account = account
        self._info = info
        self._is_closed = False

    def start(self) -> None:
        """Ask for it."""
        self._run.took_rows(self._account, self.rows_count)
        request = contract.read_list(self._account.sid, self._info.sid)
        Reading(self._account, request, "ip_addresses", self._read).start()

    def halt(self) -> None:
        """Wait for nothing more."""
        if not self._is_closed:
            self._close()

    def never_sent(self) -> list[int]:
        """No row of it was, and that is nothing to be told of."""
        return []

    def _read(self, reading: Reading) -> None:
        if self._is_closed:
            return
        entries = reading.entries(self._info.sid)
        now = self._run.wall_clock()
        if entries is not None:
            self._run.keep_plan(plan.read_list(self._info.id, now, entries))
        elif not reading.is_dropped and self._rows:
            number, error = self._rows[0].number, reading.error or ApiError(0)
            self._run.record(
                RowResult.of_error(number, Outcome.FAILED, reading.reason, error, finished_at=now)
            )
        self._close()

    def _close(self) -> None:
        self._is_closed = True
        self._run.list_closed(self._info.id, None, has_more=False, is_unsettled=False)
