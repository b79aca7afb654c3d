"""One row on its way: its attempts, and its outcome.

`RowWork` is a sendable. It is told what came back, has the contract judge it, and then ends,
goes back to its account to be sent again, or waits for its list to be read. It never waits by
itself, holds no permit, and knows nothing of other rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from bulkipacl.engine.decide import Settled, Write, find_ours
from bulkipacl.engine.ports import ListPort
from bulkipacl.model import (
    ApiError,
    Attempt,
    Entry,
    Evidence,
    Operation,
    Outcome,
    Request,
    Row,
    RowResult,
    cidr_text,
    make,
)
from bulkipacl.twilio import contract
from bulkipacl.twilio.contract import LIST_NOT_FOUND, Verdict, VerdictKind

DONE = {
    Operation.CREATE: Outcome.CREATED,
    Operation.UPDATE: Outcome.UPDATED,
    Operation.DELETE: Outcome.DELETED,
}
RESUME_TO_SETTLE = "`bulkipacl resume` the run to settle it"
CONTRADICTED = "contradicted"
"""Why a row failed: the API said that its list is not there, and the list can be read."""
_NO_ERROR = ApiError(0)
_NO_ENTRY = (None, None, None, None)
_WELL = {status: ApiError(status) for status in range(200, 300)}
_CREATE, _DELETE, _FAILED, _UNKNOWN, _ANSWER, _IS_DONE = (
    Operation.CREATE,
    Operation.DELETE,
    Outcome.FAILED,
    Outcome.UNKNOWN,
    Evidence.RESPONSE,
    VerdictKind.DONE,
)
_SUGGESTIONS: dict[str | int, str] = {
    21237: "the list is full: delete entries of it first",
    "list_not_found": "the account has no such list: check both sids",
    "unreadable": "the list could not be read, so nothing was sent: `bulkipacl retry` the run",
    "not_sent": "the API could not be reached: `bulkipacl retry` the run",
    "no_answer": "no answer came, and it is not done: `bulkipacl retry` the run",
    "server_error": "the API had an error, and it is not done: `bulkipacl retry` the run",
    "conflict": "somebody else was changing it: `bulkipacl retry` the run",
    "redirected": "something between here and the API sends writes elsewhere: check `--base-url`",
    CONTRADICTED: "the list can be read, and it is not in it: `bulkipacl retry` the run",
}
"""What to do about a failure, by the API's code or by our reason."""


class RowWork:
    """A row that its list has taken up.

    Attributes:
        lane: the rows on the same entry, this one first.
        write: what is sent for it, once decided.
        sends: requests sent for it that were processed or may have been.
        landings: how many of them may have had their effect without saying so.
        failures: sends that have to be made again, answers of 429 left out.
        read_after: from when on a reading of the list may settle it (loop time).
        follows_held: an earlier row on the same entry holds its outcome back, so this one does.
        echo: what the API said that it did, where that is not what was asked.
        is_in_flight: sent and unanswered.
        last_word: nothing more is sent; the next reading says how it ended.
        error: the last thing that the API or the transport said against it.
    """

    __slots__ = (
        "_list",
        "_request_id",
        "_spent_s",
        "_status",
        "echo",
        "error",
        "failures",
        "finished_at",
        "follows_held",
        "is_in_flight",
        "landings",
        "lane",
        "last_word",
        "read_after",
        "reason",
        "row",
        "sends",
        "write",
    )

    write: Write

    def __init__(self, row: Row, lane: list[Row], of_list: ListPort) -> None:
        self.row = row
        self.lane = lane
        self.sends = 0
        self.landings = 0
        self.failures = 0
        self.read_after = 0.0
        self.last_word = False
        self.echo: Entry | None = None
        self.is_in_flight = False
        self.follows_held = False
        self.error = _NO_ERROR
        self.reason = ""
        self.finished_at = 0.0
        self._list = of_list
        self._request_id = ""
        self._spent_s = 0.0
        self._status = 0

    def begin(self, write: Write) -> None:
        """Send this."""
        self.write = write
        self._list.account.push(self)

    @property
    def request(self) -> Request:
        """What to send; made when it is asked for, since rows that wait are many."""
        operation, wanted, old = self.write
        sid, base = self._list.account.sid, self._list.base
        if operation is _CREATE:
            _, address, prefix, name = wanted
            return contract.create(sid, base, address, prefix, name)
        if operation is Operation.UPDATE:
            return contract.update(sid, base, old or wanted, wanted)
        return contract.delete(sid, base, wanted.sid)

    def may_send(self) -> bool:
        """Ask the list, which may have been halted meanwhile."""
        self.is_in_flight = may_go_on = self._list.may_go_on(self)
        return may_go_on

    def dropped(self, reason: str, error: ApiError) -> None:
        """The account takes no more requests."""
        self._list.take_back(self)

    def answered(self, attempt: Attempt) -> None:
        """One attempt ended."""
        self.is_in_flight = False
        self._spent_s += attempt.duration_s
        self._status = attempt.status
        self.finished_at = attempt.finished_at
        self._request_id = attempt.request_id or self._request_id
        of_list, write = self._list, self.write
        verdict = contract.judge(write.operation, attempt, write.wanted, of_list.sid, self.landings)
        if verdict.kind is _IS_DONE:
            self.sends += 1
            self.done(verdict.entry or write.wanted, _ANSWER)
            return
        if verdict.error is not None:
            self.error = verdict.error
            self.reason = verdict.reason
        if verdict.kind is not VerdictKind.THROTTLED:
            self.sends += 1
        if verdict.was_sent:
            self.landings += 1
            of_list.maybe_landed(self)
        self._act(verdict, attempt)

    def _act(self, verdict: Verdict, attempt: Attempt) -> None:
        match verdict.kind:
            case VerdictKind.DONE:
                raise AssertionError("it is done")
            case VerdictKind.DONE_EARLIER:
                self.done(self.write.wanted, Evidence.READ_BACK)
            case VerdictKind.GONE:
                self._list.state.drop(self.write.wanted.sid)
                self.end(Outcome.ALREADY_GONE, entry=self.write.wanted)
            case VerdictKind.THROTTLED:
                self._unsent()
                self._list.account.throttled(self, attempt)
            case VerdictKind.AGAIN:
                self._unsent()
                self._again(attempt)
            case VerdictKind.READ_BACK:
                self._list.read_back(self, self._list.settle_s)
            case VerdictKind.TAKEN:
                self.last_word = True
                self._list.read_back(self, self._list.settle_s if self.landings else 0.0)
            case VerdictKind.MISMATCH:
                self._differs(verdict.entry or self.write.wanted)
            case VerdictKind.FAILED:
                self._fail()
            case VerdictKind.LIST_DOUBTED:
                self._list.doubt(self)
            case VerdictKind.ACCOUNT_REFUSED:
                self._unsent()
                self._list.account.refused(self, self.error)
            case _:
                assert_never(verdict.kind)

    def _unsent(self) -> None:
        if not self.landings:
            self._list.not_sent(self)

    def _differs(self, echo: Entry) -> None:
        """The API says that it did something else than asked: what it did, the list has to say."""
        self.echo = echo
        self._list.read_back(self, 0.0)

    def _again(self, attempt: Attempt | None) -> None:
        account = self._list.account
        if attempt is None or not account.is_in_trouble:
            self.failures += 1
        if self.failures <= account.retries:
            account.again(self, max(self.failures - 1, 0), attempt)
        else:
            self._fail()

    def _fail(self) -> None:
        """The end, unless an earlier send may have done it after all: then a reading says."""
        if self.landings:
            self.last_word = True
            self._list.read_back(self, self._list.settle_s)
        else:
            self.end(Outcome.FAILED)

    def settle(self, now: Iterable[Entry]) -> None:
        """A whole reading of the list, taken when a write could not be told from its answer."""
        write = self.write
        if self.reason == LIST_NOT_FOUND:
            self.reason = CONTRADICTED
        if self.echo is not None:
            self._settle_mismatch(self.echo, now)
            return
        if write.operation is Operation.CREATE:
            self._settle_create(now)
            return
        entry = next((e for e in now if e.sid == write.wanted.sid), None)
        if entry == (None if write.operation is Operation.DELETE else write.wanted):
            self.done(write.wanted, Evidence.READ_BACK)
        else:
            self.end(Outcome.FAILED, entry=entry)

    def _settle_mismatch(self, echo: Entry, now: Iterable[Entry]) -> None:
        """A failure whatever the list holds: an answer that lies once is not to be relied on."""
        entry = next((entry for entry in now if entry.sid == echo.sid), None)
        if entry is not None:
            self._list.state.put(entry)
            self._list.known.add(entry.sid)
        else:
            self._list.state.drop(echo.sid)
        self.end(Outcome.FAILED, entry=entry or echo, suggestion=self._told_of(echo, entry))

    def _told_of(self, echo: Entry, entry: Entry | None) -> str:
        """What the list holds, where the API's answer was not what was asked for."""
        if entry is None:
            return f"the list holds no entry {echo.sid}: `bulkipacl retry` the run"
        holds = f"the list holds {cidr_text(*entry.key)} {entry.name!r} as {entry.sid}"
        if entry._replace(sid="") == self.write.wanted._replace(sid=""):
            return f"{holds}, which is what was asked for: only the answer said otherwise"
        return f"{holds}: it is not what was asked for"

    def _settle_create(self, now: Iterable[Entry]) -> None:
        wanted, of_list = self.write.wanted, self._list
        found = find_ours(wanted, now, of_list.known)
        if found is None:
            if self.last_word:
                self.end(Outcome.FAILED)
            else:
                self._again(None)
            return
        entry, is_new = found
        if is_new and self.landings:
            self.done(entry, Evidence.READ_BACK)
            return
        of_list.state.put(entry)
        self.error = _NO_ERROR
        self.reason = "" if entry.name == wanted.name else "other_name"
        self.end(Outcome.UNCHANGED, entry=entry)

    @property
    def may_be_recognised(self) -> bool:
        """Whether a failure of it is forgotten where its effect can be seen by its sid after all.

        Not where the API said that it did something else.
        """
        return self.write.operation is not Operation.CREATE and self.echo is None

    def recognise(self, now: Iterable[Entry]) -> bool:
        """A whole reading, after which nothing more is sent: whether it ends by what that shows."""
        wanted = self.write.wanted
        if self.write.operation is Operation.CREATE:
            ours = find_ours(wanted, now, self._list.known)
            is_done, entry = (False, wanted) if ours is None else (ours[1], ours[0])
        else:
            there = next((entry for entry in now if entry.sid == wanted.sid), None)
            is_done = there == (None if self.write.operation is Operation.DELETE else wanted)
            entry = wanted
        if is_done:
            self.done(entry, Evidence.READ_BACK)
        return is_done

    def recognised(self, write: Write) -> None:
        """A run that was cut off has done this; the list's state shows it already."""
        self.write = write
        self.landings = 1
        if write.operation is Operation.CREATE and write.wanted.sid:
            self._list.known.add(write.wanted.sid)
        self.end(DONE[write.operation], Evidence.READ_BACK, entry=write.wanted)

    def done(self, entry: Entry, evidence: Evidence) -> None:
        """It took effect."""
        of_list, operation = self._list, self.write.operation
        if operation is _DELETE:
            of_list.state.drop(entry.sid)
        else:
            of_list.state.put(entry)
            if operation is _CREATE:
                of_list.known.add(entry.sid)
        # What was said against it on the way is no part of a good end.
        self.reason = ""
        self.error = _WELL[self._status] if evidence is _ANSWER else _NO_ERROR
        self.end(DONE[operation], evidence, entry=entry)

    def settled(self, decision: Settled) -> None:
        """It ends without a request."""
        self.reason = decision.reason
        self.end(decision.outcome, entry=decision.entry, suggestion=decision.suggestion)

    def unknown(self, reason: str, error: ApiError) -> None:
        """It may have taken effect, and the list could not be read either."""
        self.reason, self.error = reason, error
        self.end(Outcome.UNKNOWN, suggestion=RESUME_TO_SETTLE)

    def end(
        self,
        outcome: Outcome,
        evidence: Evidence | None = None,
        *,
        entry: Entry | None = None,
        suggestion: str = "",
    ) -> None:
        """The row has its outcome; its list is told."""
        if outcome is _FAILED and not suggestion:
            suggestion = _SUGGESTIONS.get(self.error.code) or _SUGGESTIONS.get(self.reason, "")
        sid, address, prefix, name = entry or _NO_ENTRY
        result = make(
            RowResult,
            (
                self.row.number,
                outcome,
                evidence,
                self.reason,
                *self.error,
                self.sends,
                self._request_id,
                self.finished_at or self._list.wall_clock(),
                int(self._spent_s * 10_000.0 + 0.5) / 10.0,
                suggestion,
                sid or None,
                address,
                prefix,
                name,
            ),
        )
        self._list.ended(self, result, is_certain=outcome is not _UNKNOWN)
