"""What runs found out about the limits of accounts, for the next run to start from.

One JSON file in the user's state directory, `limits.json`: per API host and account the window,
the pace and when they were found. It saves a run the search, and nothing rests on it: a file that
is damaged, missing or unwritable costs a few refused requests, never a row.

    LimitsMemory   the file
    LimitRecord    what it holds of one account
    state_path     where it lies
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bulkipacl.model import Learnt

FILE_NAME = "limits.json"
STATE_DIR = "BULKIPACL_STATE_DIR"

MAX_AGE_S = 30 * 86_400.0
"""What is older starts nothing: an account's limits are raised and lowered by its vendor."""

MAX_ACCOUNTS = 20_000
"""Accounts kept, the newest: about 3 MB."""

MAX_FILE_BYTES = 16 * 1024 * 1024

LOCK_WAIT_S = 2.0
"""Another run that ends holds the file for milliseconds. One that was halted just there may hold it
for ever, and then what was found is not worth waiting for."""

_WINDOW = (1.0, 10_000.0)
_PACE_PER_S = (0.01, 1_000_000.0)
_ROUND_TRIP_S = (1e-4, 3_600.0)


@dataclass(frozen=True, slots=True)
class LimitRecord:
    """What is known of one account's limits.

    Attributes:
        origin: scheme and host of the API.
        found_at: when, in Unix seconds.
    """

    origin: str
    account_sid: str
    learnt: Learnt
    found_at: float


def state_path(environ: Mapping[str, str]) -> Path:
    """The file: under BULKIPACL_STATE_DIR, or where the platform keeps a user's state."""
    given = environ.get(STATE_DIR)
    if given:
        return Path(given) / FILE_NAME
    # The names of that place differ by platform and by XDG_STATE_HOME; and it imports slowly.
    from platformdirs import user_state_path

    return user_state_path("bulkipacl", appauthor=False) / FILE_NAME


class LimitsMemory:
    """The limits that earlier runs found."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def records(self) -> list[LimitRecord]:
        """All that is known, in order of host and account; what is not understood is left out.

        Raises:
            OSError: the file is there and cannot be read, or is no regular file.
        """
        return sorted(self._read(), key=lambda record: (record.origin, record.account_sid))

    def of_host(self, origin: str, now: float) -> dict[str, Learnt]:
        """What is known of the accounts of one host and is not too old; nothing on any trouble."""
        try:
            found = self._read()
        except OSError:
            return {}
        return {
            record.account_sid: record.learnt
            for record in found
            if record.origin == origin and 0.0 <= now - record.found_at <= MAX_AGE_S
        }

    def keep(self, origin: str, found: Mapping[str, Learnt], now: float) -> None:
        """Add what a run found, in place of what was known.

        Raises:
            OSError: it cannot be written.
        """
        if not found:
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            known = {(record.origin, record.account_sid): record for record in self._read()}
            for sid, learnt in found.items():
                known[origin, sid] = LimitRecord(origin, sid, learnt, now)
            newest = sorted(known.values(), key=lambda record: record.found_at, reverse=True)
            self._write(newest[:MAX_ACCOUNTS])

    def forget(self) -> int:
        """Forget everything; returns of how many accounts something was known.

        Raises:
            OSError: the file cannot be removed.
        """
        if not self.path.exists():
            return 0
        with self._locked():  # A run that ends just now must not put back what it has read.
            count = len(self._read())
            self.path.unlink(missing_ok=True)
        return count

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # Two runs may end at once; neither's knowledge is lost.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        lock = os.open(self.path.with_suffix(".lock"), flags, 0o600)
        try:
            _wait_for(lock)
            yield
        finally:
            os.close(lock)

    def _read(self) -> list[LimitRecord]:
        try:
            with open(self.path, "rb", opener=_open_now) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise OSError(errno.EINVAL, "Not a regular file", str(self.path))
                content = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return []
        try:
            values = orjson.loads(content[:MAX_FILE_BYTES])
        except orjson.JSONDecodeError:
            return []
        if not isinstance(values, list):
            return []
        return [record for record in map(_as_record, values) if record is not None]

    def _write(self, records: list[LimitRecord]) -> None:
        # Renamed into its place, so that a reader sees the old file or the new one. One name is
        # enough under the lock; what a killed run left there goes, a link is not followed.
        beside = self.path.with_suffix(".tmp")
        beside.unlink(missing_ok=True)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(beside, flags, 0o600), "wb") as file:
                file.write(orjson.dumps([_as_json(record) for record in records]))
            beside.replace(self.path)
        finally:
            beside.unlink(missing_ok=True)


def _open_now(path: str, flags: int) -> int:
    # A FIFO that nobody writes to would keep whoever opens it waiting for ever.
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _wait_for(lock: int) -> None:
    until_s = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.01)
        else:
            return


def _as_json(record: LimitRecord) -> dict[str, Any]:
    learnt = record.learnt
    return {
        "host": record.origin,
        "account_sid": record.account_sid,
        "window": round(learnt.window, 1),
        "pace_per_s": None if learnt.pace_per_s is None else round(learnt.pace_per_s, 3),
        "round_trip_s": round(learnt.round_trip_s, 4),
        "found_at": round(record.found_at, 1),
    }


def _as_record(value: Any) -> LimitRecord | None:
    """A record of the file, or None where anything in it is not what was written."""
    if not isinstance(value, dict):
        return None
    origin, sid = value.get("host"), value.get("account_sid")
    window = _number(value.get("window"), _WINDOW)
    round_trip_s = _number(value.get("round_trip_s"), _ROUND_TRIP_S)
    found_at = _number(value.get("found_at"), (0.0, 1e11))
    pace_per_s = _number(value.get("pace_per_s"), _PACE_PER_S)
    if not isinstance(origin, str) or not isinstance(sid, str):
        return None
    if window is None or round_trip_s is None or found_at is None:
        return None
    return LimitRecord(origin, sid, Learnt(window, pace_per_s, round_trip_s), found_at)


def _number(value: Any, bounds: tuple[float, float]) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if bounds[0] <= value <= bounds[1] else None
