"""Every knob of a run, once: its unit, its range, and why it is what it is.

A `Settings` is a value made by the command line and handed down whole; nothing below reads the
environment. It holds no secret, so the store may keep it.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

from bulkipacl.errors import UsageError

DEFAULT_BASE_URL = "https://api.twilio.com"
API_VERSION = "2010-04-01"
AUTO_PROCESSES = 0
PAGE_SIZE = 1000
"""Entries asked for per page: the API's maximum (documented), ten times what a list can hold."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run is allowed to do, and how long it waits.

    Attributes:
        base_url: scheme and host of the API; plain http only to loopback.
        max_in_flight: requests in flight over all accounts, 1..10,000. Bounds sockets and workers.
        account_max_in_flight: requests in flight per account, 1..10,000: a cap of the user's.
            The API's own limit is unpublished; the account's governor finds it below this.
        headroom: the share of what an account allows that is left to its other users, 0..0.95.
        rate_per_s: requests per account and second, or None for no such limit. 0.01..100,000.
        retries: sendings of one row after its first, 0..100, answers of 429 not counted: those
            were never processed.
        timeout_s: one HTTP exchange as a whole, 0.1..3,600. Past it, what was sent is ambiguous.
        connect_timeout_s: name lookup, TCP and TLS, 0.1..3,600. Past it, nothing was sent.
        read_timeout_s: the longest silence while an answer is awaited or read.
        settle_s: how long an ambiguous write may still land after its connection was cut,
            0..600. The list is read only after it.
        patience_s: how long an account may give nothing but 429, server errors and silence before
            it is left alone, 1..86,400. Its rows are then not_attempted, and can be resumed.
        max_failures: stop the run when more rows than that did not end well; None: never.
        max_failures_percent: the same as a share of the rows that have ended, from 100 of them on.
        deadline_s: stop the run after so long; None: never.
        skip_invalid: answer invalid rows `invalid` and send the rest, instead of stopping.
        no_gap: deletes of a list wait until its creates have succeeded.
        allow_empty: a list may be left without an entry.
        allow_full: creates beyond a list's room are sent, for the API to refuse.
        allow_wide: blocks, as `10.0.0.0/8`, that may be opened however wide they are; just these.
        min_prefix: a row may open no wider block than that, 1..32.
        max_deletes: rows of the whole run that may ask for a delete; None: see below.
        max_deletes_percent: deletes as a share of a list's entries, 0..100; None: see below.
        check_first: all lists are read and checked before the first write; a refusal stops it.
        accept_drift: lists that changed since they were planned are decided afresh.
        tls_ca_file: a bundle of certificate authorities to trust instead of the system's.
        processes: over how many processes the accounts are spread, 0..256; `AUTO_PROCESSES`: as
            many as there are cores to use. No more are started than accounts have rows to do.
    """

    base_url: str = DEFAULT_BASE_URL
    max_in_flight: int = 2_000
    account_max_in_flight: int = 2_000
    headroom: float = 0.0
    rate_per_s: float | None = None
    retries: int = 5
    timeout_s: float = 30.0
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 30.0
    settle_s: float = 5.0
    patience_s: float = 300.0
    max_failures: int | None = None
    max_failures_percent: float | None = None
    deadline_s: float | None = None
    skip_invalid: bool = False
    no_gap: bool = False
    allow_empty: bool = False
    allow_full: bool = False
    allow_wide: tuple[str, ...] = ()
    min_prefix: int = 16
    max_deletes: int | None = None
    max_deletes_percent: float | None = None
    check_first: bool = False
    accept_drift: bool = False
    tls_ca_file: str | None = None
    processes: int = 1

    def __post_init__(self) -> None:
        _in_range("--max-in-flight", self.max_in_flight, 1, 10_000)
        _in_range("--account-max-in-flight", self.account_max_in_flight, 1, 10_000)
        _in_range("--headroom", self.headroom, 0, 0.95)
        if self.rate_per_s is not None:
            _in_range("--rate", self.rate_per_s, 0.01, 100_000)
        _in_range("--retries", self.retries, 0, 100)
        _in_range("--timeout", self.timeout_s, 0.1, 3_600)
        _in_range("--timeout", self.connect_timeout_s, 0.1, 3_600)
        _in_range("--timeout", self.read_timeout_s, 0.1, 3_600)
        _in_range("--settle", self.settle_s, 0, 600)
        _in_range("--patience", self.patience_s, 1, 86_400)
        if self.max_failures is not None:
            _in_range("--max-failures", self.max_failures, 0, 10**12)
        if self.max_failures_percent is not None:
            _in_range("--max-failures", self.max_failures_percent, 0, 100)
        _in_range("--min-prefix", self.min_prefix, 1, 32)
        if self.max_deletes is not None:
            _in_range("--max-deletes", self.max_deletes, 0, 10**12)
        if self.max_deletes_percent is not None:
            _in_range("--max-deletes", self.max_deletes_percent, 0, 100)
        # As the run directory gives them back, they are a list.
        object.__setattr__(self, "allow_wide", tuple(self.allow_wide))
        if self.deadline_s is not None:
            _in_range("--deadline", self.deadline_s, 0.001, 31_536_000)
        _in_range("--processes", self.processes, AUTO_PROCESSES, 256)

    def as_dict(self) -> dict[str, object]:
        """All settings by name, for the run directory."""
        return asdict(self)


MAX_BODY_BYTES = 4 * 1024 * 1024
"""The largest answer that is read: a page of 1,000 entries is about 600 kB."""

MAX_PAGES = 1_000
"""Pages of one reading, before a walk that never ends is given up."""

BACKOFF_BASE_S = 0.5
BACKOFF_CAP_S = 30.0
"""Full jitter inside the cap: `random(0, min(cap, base * 2^n))`."""

HINT_MIN_S = 0.05
HINT_MAX_S = 60.0
"""A server's Retry-After, clamped both ways: 0 would hammer it, a day would stop the run."""

CONFIRM_S = 0.5
"""After a refused credential, so long until one request is sent to confirm it."""

MIN_PREFIX = 16
"""A wider block is a finding of a guard: 65,536 addresses are more than any office has."""

UNION_FACTOR = 16
UNION_FROM = 1 << 20
"""A list may come to cover 16 times what it covered, or as much as sixteen /16, or as one block of
`--min-prefix`, whichever is most: past that, its union is a finding."""

GENERATED_MAX_DELETES = 1_000
GENERATED_MAX_DELETES_PERCENT = 30.0
"""Deletes in all, and of one list, that rows made by a program may ask for."""

PACE_BURST_S = 0.05
"""What `--rate` may let through at once, as seconds of the rate."""

INTAKE_BATCH = 1_000
"""Rows per insert: past it the cost per row no longer falls (measured)."""

INTAKE_BUFFER = 20_000
"""Records read ahead of the store, where rows are sent while they arrive."""

COMMIT_EVERY_S = 0.05
COMMIT_ROWS = 2_000
"""A group commit closes after so long, or so many outcomes, whichever comes first."""

FEED_LISTS = 1_000
"""Lists of one account whose numbers are held ready to be opened; the store has the others."""

ROUND_ROWS = 500
"""Rows of one list held in memory at once; what is over waits for the list's next round."""

OPEN_LISTS = 3_000
ACCOUNT_OPEN_LISTS = 1_000
"""Lists read and not yet ended, over all accounts and of one: what bounds the engine's memory. An
account that has not answered, or gives nothing but trouble, has one of them."""

SPARE_FILES = 100
"""Open files that a process needs besides one for each request in flight."""

OPEN_ROWS = 10_000
UNREAD_ROWS = 50
"""No further list is opened while the open ones hold so many rows, each about 1 kB; one that is not
read yet holds none, and counts as if it held the second number."""

OPEN_MORE = 50
OPEN_MORE_S = 0.1
"""Unless more could be sent: then so many lists are opened all the same, each time after so long,
since the rows that are held may be those of accounts that crawl."""

FAIR_LISTS = 8
"""Lists that an account has open so that they share it, however many rows each has, as long as
there is room for them."""

READY_ROWS = 4
"""An account opens another list while those that are open hold fewer rows, not yet sent, than two
windows and so many: a list's reading takes a round trip, and its commit a little more."""

RETRY_BUDGET = 500.0
RETRY_COST = 5.0
RETRY_COST_SILENCE = 10.0
"""A retry budget per account, after botocore's retry quota: a failed send costs 5, one without an
answer 10, a good answer gives 1 back. With nothing left, one request at a time goes out."""

TROUBLED_AT_ONCE = 10
"""When so many different requests of an account have failed and none has gone well in between, the
trouble is the account's: a failure then costs a row no attempt, and the account's patience
decides."""

PERCENT_FROM_ROWS = 100
"""A share of failures says nothing before so many rows have ended."""

SAMPLE_EVERY_S = 1.0
SAMPLES_AT_ONCE = 50
SAMPLES_FULL_S = 600.0
"""What each account's governor allows is sampled every second, of so many accounts at most; after
ten minutes the interval grows with the run's age, so that a day's run keeps 3,600 moments."""

FIGURES_EVERY_S = 0.5
"""How often a worker process says how it stands, for the display."""

STOP_NOW_S = 10.0
"""A worker process that has not ended so long after it was told to stop now is killed."""

_DURATION = re.compile(r"(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+(?:\.[0-9]+)?)s)?")


def parse_duration(flag: str, text: str) -> float:
    """Seconds of `90`, `90s`, `10m`, `1h30m`.

    Raises:
        UsageError: it is none of these.
    """
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return float(text)
    found = _DURATION.fullmatch(text)
    if found is None or not text:
        raise UsageError(f"{flag} {text!a} is not a duration", hint="such as 90s, 10m or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return hours * 3_600 + minutes * 60 + seconds


def parse_share(flag: str, text: str) -> tuple[int | None, float | None]:
    """`N` as a count, `P%` as a share.

    Raises:
        UsageError: it is neither.
    """
    found = re.fullmatch(r"([0-9]{1,12})|([0-9]+(?:\.[0-9]+)?)%", text)
    if found is None:
        raise UsageError(f"{flag} {text!a} is neither a count nor a share", hint="10, or 5%")
    return (int(found[1]), None) if found[1] else (None, float(found[2]))


def parse_processes(flag: str, text: str) -> int:
    """A number of processes, or `AUTO_PROCESSES` for `auto`.

    Raises:
        UsageError: it is neither.
    """
    if text == "auto":
        return AUTO_PROCESSES
    if not re.fullmatch(r"0*[1-9][0-9]{0,5}", text):
        raise UsageError(f"{flag} {text!a} is no number of processes", hint="2, or auto")
    return int(text)


def parse_block(flag: str, text: str) -> str:
    """A block as `10.0.0.0/8`, without leading zeros.

    Raises:
        UsageError: it is none, or has host bits.
    """
    found = re.fullmatch(
        r"([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})/([0-9]{1,2})", text
    )
    numbers = [int(part) for part in found.groups()] if found else []
    if not numbers or max(numbers[:4]) > 255 or not 1 <= numbers[4] <= 32:
        raise UsageError(f"{flag} {text!a} is not a block", hint="such as 198.48.0.0/12")
    a, b, c, d, prefix = numbers
    address = a << 24 | b << 16 | c << 8 | d
    first = address >> (32 - prefix) << (32 - prefix)
    if first != address:
        octets = ".".join(str(first >> shift & 255) for shift in (24, 16, 8, 0))
        raise UsageError(f"{flag} {text} has host bits", hint=f"{octets}/{prefix} is the block")
    return f"{a}.{b}.{c}.{d}/{prefix}"


def parse_headroom(flag: str, text: str) -> float:
    """A share from `20%` or `0.2`.

    Raises:
        UsageError: it is neither.
    """
    found = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]+)?)(%?)", text)
    if found is None:
        raise UsageError(f"{flag} {text!a} is not a share", hint="20%, or 0.2")
    return float(found[1]) / (100.0 if found[2] else 1.0)


def _in_range(flag: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # Not a number is neither.
        raise UsageError(f"{flag} is {value}: it must be between {low:,} and {high:,}")
