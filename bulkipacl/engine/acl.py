"""One list on its way: read, kept, decided, written to, read back, closed.

A round is the unit of everything that can go wrong: the reading before its first write is kept
before that write is sent, so that after a lost answer, or a crash, reading the list again says
which writes were ours. A row whose write was ambiguous holds its outcome back until the list has
been read once more at the end, a settle time after the last of them: what landed late and twice
is removed then, and the report says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bulkipacl.engine.decide import ListState, Settled, Write, decide, free_places
from bulkipacl.engine.lanes import split_into_lanes
from bulkipacl.engine.late import is_plain_no
from bulkipacl.engine.order import AFTER_UNKNOWN, NO_GAP, Order
from bulkipacl.engine.ports import RunPort, SharePort
from bulkipacl.engine.readback import ReadBack
from bulkipacl.engine.reading import Reading
from bulkipacl.engine.resume import settle_prior
from bulkipacl.engine.row import RowWork
from bulkipacl.model import GOOD_OUTCOMES, ApiError, Operation, Outcome, Row, RowResult
from bulkipacl.store import views
from bulkipacl.store.journal import KeptSnapshot
from bulkipacl.store.views import ListInfo
from bulkipacl.twilio import contract
from bulkipacl.twilio.contract import LIST_NOT_FOUND

_CREATE, _DELETE = Operation.CREATE, Operation.DELETE


class OpenList:
    """One round of a list.

    Attributes:
        state: what the list is believed to hold.
        known: sids that were there before, or are a row's.
        moving: rows that are on their way, and not waiting for a reading.
        gone: what the API said of a list that is not there any more.
        has_rows: the rows of the round are loaded.
        rows_count: how many they are.
    """

    def __init__(
        self,
        run: RunPort,
        account: SharePort,
        info: ListInfo,
        *,
        is_gap: bool = False,
    ) -> None:
        self.account = account
        self.sid = info.sid
        self.base = contract.entries_path(account.sid, info.sid)
        self.state = ListState()
        self.known: set[str] = set()
        self.moving: set[RowWork] = set()
        self.gone: ApiError | None = None
        self.settle_s = run.settings.settle_s
        self._run = run
        self._id = info.id
        self._next_round = info.rounds
        self._is_gap = is_gap
        self._prior = views.open_snapshot(run.directory, info.id) if info.is_open else None
        self._rows: list[Row] = []
        self._has_more = False
        self._round: int | None = None
        self.rows_count = 0
        self._order = Order((), no_gap=False)
        self._turns: deque[RowWork] = deque()
        self._no_room: list[RowWork] = []
        self._no_gap: list[RowWork] = []
        self._promised = 0
        self._back = ReadBack(self, run)
        # Rows that have not ended, and whether anything of them was sent that may count.
        self._pending: dict[int, bool] = {}
        self._commits = 0
        self._is_halted = False
        self._is_turning = False
        self._is_closed = False
        self._is_waiting = False
        self._has_begun = False
        self.has_rows = False

    def wall_clock(self) -> float:
        """Unix seconds."""
        return self._run.wall_clock()

    # --- the reading before ---------------------------------------------------------------

    def start(self) -> None:
        """Read the list; after a crash not before what was in flight can have landed."""
        prior = self._prior
        # Until its account has answered, only that: else those that never do would fill memory.
        if prior is not None or self.account.is_alive:
            self._take_rows()
            if not self._rows:
                self._close(None if prior is None else prior.round)
                return
        if prior is None:
            self._read_first()
        else:
            self._is_waiting = True
            self._run.call_later(self.settle_s, self._read_first)

    def _take_rows(self) -> None:
        """Load what this round is to do."""
        if self.has_rows:
            return
        self.has_rows = True
        rows, self._has_more = self._run.rows_of_round(self._id)
        if self._prior is not None:
            covered = self._prior.last_row
            self._has_more = self._has_more or any(row.number > covered for row in rows)
            rows = [row for row in rows if row.number <= covered]
        self._rows = rows
        self.rows_count = len(rows)
        self._pending = dict.fromkeys([row.number for row in rows], False)
        self._run.took_rows(self.account, len(rows))

    def _read_first(self) -> None:
        if self._is_closed:
            return
        self._is_waiting = False
        request = contract.read_list(self.account.sid, self.sid)
        Reading(self.account, request, "ip_addresses", self._on_first).start()

    def _on_first(self, reading: Reading) -> None:
        if self._is_closed:
            return  # A stop did not wait for it.
        entries = reading.entries(self.sid)
        if entries is None:
            self._fail_unread(reading)
            return
        if self._is_halted:
            self._close(None)
            return
        self._take_rows()
        self.state = ListState(entries)
        self.known = {entry.sid for entry in entries}
        if self._prior is not None:
            # The same round goes on: what was there before its first write stays the measure.
            self._round = self._prior.round
            if self._prior.untried:
                self._run.keep(self._prior, self._begin)
            else:
                self._begin()
            return
        refused = self._run.admission.refused(self._id, entries, self._rows, is_gap=self._is_gap)
        if refused is not None:
            for step in refused:
                RowWork(step.row, [], self).settled(step.settled)
            self._close(None)
            return
        self._round = self._next_round
        last_row = self._rows[-1].number if self._rows else 0
        kept = KeptSnapshot(self._id, self._round, self.wall_clock(), last_row, entries)
        self._run.keep(kept, self._begin)

    def _fail_unread(self, reading: Reading) -> None:
        """The list cannot be read: nothing is decided on, nothing is sent."""
        prior, error = self._prior, reading.error or ApiError(0)
        is_gone = reading.reason == LIST_NOT_FOUND
        if not reading.is_dropped:
            self._take_rows()
        elif prior is None:
            self._has_more = False
        works = [RowWork(row, [], self) for row in self._rows]
        if is_gone or (prior is None and not reading.is_dropped):
            for work in works:
                work.reason, work.error = reading.reason, error
                work.end(Outcome.FAILED)
        elif prior is not None:
            # The session before may have sent them. Their round stays open, for a resume.
            self._back.is_unsettled = True
            for work in works:
                if work.row.number not in prior.untried:
                    work.unknown(reading.reason, error)
        self._close(prior.round if is_gone and prior is not None else None)

    # --- rows, in their order -------------------------------------------------------------

    def _begin(self) -> None:
        """The snapshot is durable: writes may be sent."""
        with self.at_once():
            rows: Sequence[Row] = self._rows
            if self._prior is not None:
                rows = self._settle_prior(self._prior)
            self._has_begun = True
            lanes = split_into_lanes(rows, self.state.entries.values())
            self._order = Order(lanes, no_gap=self._run.settings.no_gap, is_gap=self._is_gap)
            for lane in lanes:
                self._next(lane)
        self.go_on()

    def _settle_prior(self, prior: KeptSnapshot) -> list[Row]:
        """Find out what a round that was cut off has done; returns the rows still to do."""
        before, made = views.with_recorded(self._run.directory, self._id, prior.entries)
        known = {entry.sid for entry in prior.entries} | made
        done = settle_prior(self._rows, list(before.values()), self.state.entries.values(), known)
        # What is there and was not before is ours only if a row claims it: till then it is new.
        self.known &= known
        for row, step in done:
            work = RowWork(row, [row], self)
            if isinstance(step, Write):
                self.maybe_landed(work)
                work.recognised(step)
            else:
                work.settled(step)
        ended = {row.number for row, _ in done}
        return [row for row in self._rows if row.number not in ended]

    def _next(self, lane: list[Row], *, follows_held: bool = False) -> None:
        if lane and not self._is_halted:
            work = RowWork(lane[0], lane, self)
            work.follows_held = follows_held
            if self._prior is not None:
                work.landings = 1  # The run that was cut off may have sent it.
            self._turns.append(work)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """What happens inside it is one step: rows that it lets go begin after it."""
        self._is_turning = True
        yield
        self._is_turning = False

    def go_on(self) -> None:
        """Begin what can begin, or close. A loop and not a recursion: a lane can be long."""
        if self._is_turning:
            return
        turns = self._turns
        if turns:
            self._is_turning = True
            while turns:
                self._turn(turns.popleft())
            self._is_turning = False
        if not self.moving:
            self._close_if_done()

    def _turn(self, work: RowWork) -> None:
        row = work.row
        if self.gone is not None:
            self.fail_gone(work)
            return
        order, state = self._order, self.state
        if row.operation is _DELETE:
            if order.waits_for_creates(row):
                self._no_gap.append(work)
                return
            if order.is_gap:
                work.settled(NO_GAP)
                return
        free = free_places(state) - self._promised
        if free >= len(order.unsent):
            decision = decide(row, state, free=1, may_wait=False)  # There is room for all.
        else:
            # As many places as earlier creates may need are theirs, wherever these are held up.
            before = order.creates_before(row)
            may_wait = before > 0 or order.has_earlier_delete(row)
            decision = decide(row, state, free=free - before, may_wait=may_wait)
        if isinstance(decision, Write):
            self._send(work, decision)
        elif isinstance(decision, Settled):
            work.settled(decision)
        else:
            self._no_room.append(work)

    def _send(self, work: RowWork, write: Write) -> None:
        self.moving.add(work)
        self._order.sent(work.row)
        if write.operation is _CREATE:
            self._promised += 1
        work.begin(write)
        if work.landings:
            self.maybe_landed(work)

    def may_go_on(self, work: RowWork) -> bool:
        """Asked by a row that is about to be sent."""
        if self.gone is not None:
            self.fail_gone(work)
            return False
        if self._is_halted:
            self.take_back(work)
            return False
        if self._back.is_doubted:
            self._back.park(work)
            return False
        self._pending[work.row.number] = True
        return True

    def not_sent(self, work: RowWork) -> None:
        """All that was sent for the row was surely not processed."""
        self._pending[work.row.number] = False

    def take_back(self, work: RowWork) -> None:
        """The row is not sent any more. It gets no outcome: that says not_attempted."""
        self.moving.discard(work)
        self._close_if_done()

    def ended(self, work: RowWork, result: RowResult, *, is_certain: bool = True) -> None:
        """A row has its outcome: keep it, and let go what waited for it."""
        self._pending.pop(result.number, None)
        if work in self.moving:
            self.moving.remove(work)
            if work.write.operation is _CREATE:
                self._promised -= 1
        late = self._back.late
        if not (late.works or work.follows_held) or not late.holds_back(work, result):
            self._run.record(result)
        lane = work.lane
        if not lane:
            return
        del lane[0]
        if lane:
            self._follow(work, result, is_certain=is_certain)
        self._order.ended(work.row, is_good=result.outcome in GOOD_OUTCOMES)
        if self._no_room or self._no_gap:
            self._let_go()
        if self._turns or not self.moving:
            self.go_on()

    def _follow(self, work: RowWork, result: RowResult, *, is_certain: bool) -> None:
        """The next row on the same entry has its turn."""
        is_late = self._back.late.has(work)
        is_held = work.follows_held or is_late
        if not is_certain or (is_late and is_plain_no(result)):
            # It may still land, and what is decided on its failure would be wrong then; and after
            # a crash the later row's effect would speak for this one, too.
            self._skip(work.lane)
        elif is_plain_no(result):
            # After a crash nothing but its outcome tells of it: that is durable before what comes
            # next can change the list.
            self._commits += 1
            self._run.after_commit(lambda: self._committed(work.lane, follows_held=is_held))
        else:
            self._next(work.lane, follows_held=is_held)

    def _committed(self, lane: list[Row], *, follows_held: bool) -> None:
        self._commits -= 1
        self._next(lane, follows_held=follows_held)
        self.go_on()

    def _skip(self, lane: list[Row]) -> None:
        for row in lane:
            RowWork(row, [], self).settled(AFTER_UNKNOWN)
            self._order.ended(row, is_good=False)
        lane.clear()

    def _let_go(self) -> None:
        self._turns.extend(self._no_room)
        self._no_room.clear()
        if self._no_gap and not self._order.waits_for_creates(self._no_gap[0].row):
            self._turns.extend(self._no_gap)
            self._no_gap.clear()

    def doubt(self, work: RowWork) -> None:
        """The API says that the list is not there. If so, all its rows fail at once."""
        if self.gone is not None:
            self.fail_gone(work)
        else:
            self.moving.discard(work)
            self._back.doubt(work)

    def fail_gone(self, work: RowWork) -> None:
        """A row ends because its list is not there any more."""
        work.reason, work.error = LIST_NOT_FOUND, self.gone or ApiError(0)
        work.end(Outcome.FAILED)

    def halt(self) -> None:
        """Begin nothing more; what is in flight or ambiguous still comes to its end."""
        self._is_halted = True
        self._turns.clear()
        self._no_room.clear()
        self._no_gap.clear()
        for work in [work for work in self.moving if not work.is_in_flight]:
            self.moving.discard(work)
        if self._is_waiting or (self._round is None and not self._is_closed):
            self._close(None)  # Nothing of it was sent in this session.
        elif self._has_begun:
            self._close_if_done()

    def never_sent(self) -> list[int]:
        """Numbers of rows of this round of which nothing was sent, or nothing came of it.

        Of a round that was cut off, a reading tells: what it does not show was not done.
        """
        if self._prior is not None and not self._has_begun:
            return sorted(self._prior.untried)  # The session before may have sent the others.
        return [number for number, is_sent in self._pending.items() if not is_sent]

    # --- reading back ---------------------------------------------------------------------

    def maybe_landed(self, work: RowWork) -> None:
        """A write of the row may have had its effect, or may yet."""
        self._back.late.add(work, self.account.now())

    def read_back(self, work: RowWork, after_s: float) -> None:
        """The row goes on when the list was read, `after_s` from now or later."""
        self.moving.discard(work)
        self._back.wait(work, after_s)

    # --- the end --------------------------------------------------------------------------

    def _close_if_done(self) -> None:
        if self._is_closed or self._is_turning or self._back.is_busy:
            return
        if self.moving or self._commits or self._turns:
            return
        if self._back.late and self.gone is None:
            self._back.read_last()
            return
        for result in self._back.late.release():
            self._run.record(result)
        self._close(None if self._back.is_unsettled else self._round)

    def _close(self, round_number: int | None) -> None:
        self._is_closed = True
        if round_number is None and self._round is not None:
            # The round stays open: only what was sent is unknown.
            self._run.leave(self.account, self.never_sent())
        has_more = self._has_more and not (self._is_halted or self._back.is_unsettled)
        self._run.list_closed(
            self._id, round_number, has_more=has_more, is_unsettled=self._back.is_unsettled
        )
