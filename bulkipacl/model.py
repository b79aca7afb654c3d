"""The nouns of bulkipacl as values; no I/O, no clock, no randomness.

What is made for every row or every request is a tuple, which costs a third of a frozen dataclass.

Rows and what they ask:      Operation, Draft, Row, Problem
What the API holds:          Entry, Snapshot
What went over the wire:     Request, Attempt, Reach, ApiError
What an account allows:      Learnt, LimitSample, AccountLimits
How a row ended:             Outcome, Evidence, RowResult, GOOD_OUTCOMES
What a report is made of:    RowRecord, SourceInfo, Summary, Cause
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from socket import inet_ntoa
from typing import NamedTuple

make = tuple.__new__
"""Makes one of the tuples below from all of its fields, as in `make(Entry, (sid, ...))`.

For the few places that every row passes: it costs a third of `Entry(...)`, some 0.4 us less.
"""

LIST_CAPACITY = 100
"""Entries a list can hold (vendor documentation; an older error text says 25)."""


class Operation(IntEnum):
    """What a row asks. The numbers are what the store keeps."""

    CREATE = 1
    UPDATE = 2
    DELETE = 3
    UPSERT = 4

    @property
    def word(self) -> str:
        """The word used in input and report."""
        return self.name.lower()


class Outcome(StrEnum):
    """The final state of a row. Exactly one per row."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    UNCHANGED = "unchanged"
    ALREADY_GONE = "already_gone"
    INVALID = "invalid"
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"
    NOT_ATTEMPTED = "not_attempted"


GOOD_OUTCOMES = frozenset(
    {
        Outcome.CREATED,
        Outcome.UPDATED,
        Outcome.DELETED,
        Outcome.UNCHANGED,
        Outcome.ALREADY_GONE,
    }
)
"""The outcomes with which a row ended well."""


class Evidence(StrEnum):
    """How it is known that this run did it."""

    RESPONSE = "response"
    READ_BACK = "read_back"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one place of the input.

    Attributes:
        field: the field of DESIGN's table, or "" for the whole record.
        value: what stood there, shortened for people.
        reason: a stable word, such as `bad_sid`.
        why: one sentence.
        suggestion: what to write instead, or "".
        is_warning: a warning never stops a run.
        is_refusal: the row is understood, and a guard keeps it from being sent.
    """

    field: str
    value: str
    reason: str
    why: str
    suggestion: str = ""
    is_warning: bool = False
    is_refusal: bool = False

    @property
    def severity(self) -> str:
        """`error` where it stands in the way of sending the row, else `warning`."""
        return "warning" if self.is_warning else "error"


class Draft(NamedTuple):
    """One input record as intake understood it; the store numbers it and makes it a row.

    A tuple, because intake makes one per record and the store's `executemany` wants tuples.

    Attributes:
        line: the physical line it began at (CSV, JSON Lines) or its place in the array, from 1.
        operation: an `Operation`'s number, or 0 where it was not understood.
        account_sid: "" where it was not understood.
        list_sid: "" where the list is named by `list_name` or was not understood.
        list_name: the FriendlyName to look up, or "".
        name: the friendly_name to send; None where the input gave none (never on a create).
        raw: the record itself as JSON: an array of a CSV record's cells, or the JSON value.
        problems: what is wrong with it; it is invalid if one of them is not a warning.
    """

    line: int
    operation: int
    account_sid: str
    list_sid: str
    list_name: str
    sid: str | None
    address: int | None
    prefix: int | None
    name: str | None
    match_address: int | None
    match_prefix: int | None
    raw: bytes
    problems: tuple[Problem, ...] = ()

    @property
    def is_invalid(self) -> bool:
        """Whether a problem that is not a warning stands in the way of sending it."""
        return any(not problem.is_warning for problem in self.problems)


class Row(NamedTuple):
    """One checked input row, ready to be decided.

    `address` and `match_address` are integers (IPv4, host order), as `prefix` None means that
    the input gave none: a create then means /32, and a row that names an entry by address means
    the /32 entry.
    """

    number: int
    operation: Operation
    sid: str | None = None
    address: int | None = None
    prefix: int | None = None
    name: str | None = None
    match_address: int | None = None
    match_prefix: int | None = None


class Entry(NamedTuple):
    """One IpAddress as the API holds it."""

    sid: str
    address: int
    prefix: int
    name: str

    @property
    def key(self) -> tuple[int, int]:
        """The address and prefix: what makes two entries the same to a row."""
        return (self.address, self.prefix)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All entries of a list at one complete reading."""

    entries: tuple[Entry, ...] = ()


class Request(NamedTuple):
    """One request to the API, without host and credential.

    Attributes:
        account_sid: the account whose path, limits and credential it uses.
        method: GET, POST or DELETE.
        path: from the host on, such as `/2010-04-01/Accounts/AC.../SIP/....json?PageSize=1000`.
        body: the form-encoded body, or b"".
    """

    account_sid: str
    method: str
    path: str
    body: bytes = b""


class Reach(StrEnum):
    """How far a request came."""

    NOT_SENT = "not_sent"
    """Not a byte of it can have been processed."""
    MAYBE_SENT = "maybe_sent"
    """It may have taken effect, or may yet: nothing readable came back."""
    ANSWERED = "answered"
    """A whole HTTP answer came back."""


class Attempt(NamedTuple):
    """One HTTP exchange, as the transport saw it.

    Attributes:
        status: the HTTP status, or 0 where there was no answer.
        body: the body as received, b"" where there was none.
        error: what the transport says, without secrets; "" where it was answered.
        retry_after_s: the server's hint, unclamped, or None.
        concurrent: the account's requests in flight by `Twilio-Concurrent-Requests`, or None.
        duration_s: from the first byte sent to the last one read.
        finished_at: wall clock, Unix seconds.
    """

    reach: Reach
    status: int = 0
    body: bytes = b""
    error: str = ""
    retry_after_s: float | None = None
    concurrent: int | None = None
    request_id: str = ""
    duration_s: float = 0.0
    finished_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a governor found out about an account's limits.

    Attributes:
        window: requests in flight.
        pace_per_s: requests per second, or None where the rate was not the limit.
        round_trip_s: how long an answer takes.
    """

    window: float
    pace_per_s: float | None = None
    round_trip_s: float = 0.2


class LimitSample(NamedTuple):
    """What an account's governor allowed at one moment, as the store keeps it, for plots.

    Attributes:
        at: wall clock, Unix seconds.
        account: the account's number in the run.
        pace_per_s: requests per second, or None where only the window limits them.
        binding: what held the account back: window, pace, cap (the user's own), or demand.
        throttled, ended: answers of 429, and rows that have ended, in this session so far.
    """

    at: float
    account: int
    window: float
    pace_per_s: float | None
    binding: str
    in_flight: int
    throttled: int
    ended: int


class AccountLimits(NamedTuple):
    """How an account stood when it was last looked at; the same fields as in `LimitSample`."""

    account_sid: str
    window: float
    pace_per_s: float | None
    binding: str
    throttled: int
    ended: int


class ApiError(NamedTuple):
    """An error as the API sent it; `code` 0 where it gave none."""

    status: int
    code: int = 0
    message: str = ""
    more_info: str = ""


class RowResult(NamedTuple):
    """How one row ended, as the store keeps it and the report shows it.

    A tuple, because one is made per row and goes into the store as it is: its fields are the
    columns of the table `outcome`, in order.

    `duration_ms` is the time of all its attempts together; `finished_at` is Unix seconds.
    `sid`, `address`, `prefix` and `name` are those of the entry that it ended with, where known.
    """

    number: int
    outcome: Outcome
    evidence: Evidence | None = None
    reason: str = ""
    status: int = 0
    code: int = 0
    message: str = ""
    more_info: str = ""
    attempts: int = 0
    request_id: str = ""
    finished_at: float = 0.0
    duration_ms: float = 0.0
    suggestion: str = ""
    sid: str | None = None
    address: int | None = None
    prefix: int | None = None
    name: str | None = None

    @classmethod
    def of_error(
        cls,
        number: int,
        outcome: Outcome,
        reason: str,
        error: ApiError,
        *,
        finished_at: float,
        suggestion: str = "",
    ) -> RowResult:
        """How a row ended that this error kept from being carried out or told apart."""
        return cls(
            number,
            outcome,
            reason=reason,
            status=error.status,
            code=error.code,
            message=error.message,
            more_info=error.more_info,
            finished_at=finished_at,
            suggestion=suggestion,
        )


class RowRecord(NamedTuple):
    """One row with its outcome: what a report line is made of.

    `columns` of its source (see `SourceInfo`) say how to read `raw`. Where the row is not
    invalid, the fields of the row are as understood; `result` always has an outcome.
    """

    source_id: int
    line: int
    operation: int
    account_sid: str
    list_sid: str
    list_name: str
    sid: str | None
    address: int | None
    prefix: int | None
    name: str | None
    match_address: int | None
    match_prefix: int | None
    raw: bytes
    result: RowResult


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """One input of a run: its name as given, its format, and all its columns."""

    id: int
    name: str
    format: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """A run in figures.

    Attributes:
        rows: rows taken in.
        outcomes: rows by outcome; their sum is `rows`.
        causes: rows that did not end well, by outcome, reason, status and code; most first.
        ending: how the run ended, such as `finished` or `interrupted`; "" while it is running.
        notes: what a person should know besides the rows, oldest first.
        requests: HTTP requests sent, over all sessions of the run.
        throttled: how many of them were answered 429.
        elapsed_s: time spent sending, over all sessions of the run.
        accounts_stopped: accounts for which sending ended early.
        limits: how each account stood at the last look, those with the most 429 first.
    """

    run_dir: str
    rows: int
    outcomes: dict[Outcome, int] = field(default_factory=dict)
    causes: tuple[Cause, ...] = ()
    ending: str = ""
    notes: tuple[str, ...] = ()
    requests: int = 0
    throttled: int = 0
    elapsed_s: float = 0.0
    accounts_stopped: tuple[str, ...] = ()
    limits: tuple[AccountLimits, ...] = ()


@dataclass(frozen=True, slots=True)
class Cause:
    """Rows that did not end well in the same way for the same reason, with the first of them.

    `message` and `suggestion` are those of one of them. `is_missing`: they have no outcome in
    the store, and what they are is derived.
    """

    outcome: Outcome
    reason: str
    status: int
    code: int
    message: str
    suggestion: str
    rows: int
    first_row: int
    first_source: str
    first_line: int
    is_missing: bool = False


def ip_text(address: int) -> str:
    """Dotted decimal of an IPv4 address; about 0.2 us."""
    return inet_ntoa(address.to_bytes(4, "big"))


def cidr_text(address: int, prefix: int) -> str:
    """Address and prefix as `203.0.113.0/24`."""
    return f"{ip_text(address)}/{prefix}"
