"""An account and a list that keep what they are asked, for tests of what is sent through them.

FakeAccount   the queue, the back-off and the breaker as a log
FakeList      the list of one row: a state, and a log
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from bulkipacl.engine.decide import ListState
from bulkipacl.engine.ports import AccountPort, Sendable
from bulkipacl.model import ApiError, Attempt, Entry, Reach, RowResult, ip_text
from bulkipacl.twilio import contract

ACCOUNT = "AC" + "0a" * 16
LIST = "AL" + "1b" * 16
BASE = contract.entries_path(ACCOUNT, LIST)

NOT_SENT = Attempt(Reach.NOT_SENT, error="cannot connect")
NO_ANSWER = Attempt(Reach.MAYBE_SENT, error="timed out")


def answer(status: int, body: object = b"", **more: Any) -> Attempt:
    """A whole answer; a body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return Attempt(Reach.ANSWERED, status, content, **more)


def no(status: int, code: int = 0) -> Attempt:
    """An error as the API sends it."""
    return answer(
        status, {"status": status, "code": code, "message": "no", "more_info": "https://x"}
    )


def as_sent(entry: Entry) -> dict[str, object]:
    """An entry as the API sends it."""
    return {
        "sid": entry.sid,
        "ip_access_control_list_sid": LIST,
        "friendly_name": entry.name,
        "ip_address": ip_text(entry.address),
        "cidr_prefix_length": entry.prefix,
    }


def echo(entry: Entry, status: int = 200) -> Attempt:
    """A good answer to a write."""
    return answer(status, as_sent(entry))


class FakeAccount:
    """Keeps what it is asked.

    Attributes:
        log: what was asked, in words, such as `push`, or `again 2` for after two failures.
    """

    sid = ACCOUNT

    def __init__(self, retries: int = 2) -> None:
        self.retries = retries
        self.is_in_trouble = False
        self.log: list[str] = []
        self.time = 0.0
        self.pushed: list[Sendable] = []

    def now(self) -> float:
        """The event loop's time."""
        return self.time

    def push(self, sendable: Sendable) -> None:
        """Queue it."""
        self.log.append("push")
        self.pushed.append(sendable)

    def again(self, sendable: Sendable, failures: int, attempt: Attempt | None) -> None:
        """Queue it after a back-off."""
        self.log.append(f"again {failures}")

    def throttled(self, sendable: Sendable, attempt: Attempt) -> None:
        """It was answered 429."""
        self.log.append("throttled")

    def refused(self, sendable: Sendable, error: ApiError) -> None:
        """The credential was refused."""
        self.log.append(f"refused {error.status}")


class FakeList:
    """Keeps what one row asks of its list.

    Attributes:
        log: what was asked, in words; how the row ended is in `results`.
        unsent: rows of which nothing was processed.
    """

    sid = LIST
    base = BASE
    settle_s = 5.0

    def __init__(self, account: FakeAccount, entries: Iterable[Entry] = ()) -> None:
        self.account: AccountPort = account
        self.state = ListState(entries)
        self.known = set(self.state.entries)
        self.log: list[str] = []
        self.unsent: set[int] = set()
        self.results: list[RowResult] = []
        self.may_send = True

    def wall_clock(self) -> float:
        """Unix seconds."""
        return 1_700_000_000.0

    def ended(self, work: Any, result: RowResult, *, is_certain: bool = True) -> None:
        """The row has its outcome."""
        self.log.append(f"{result.outcome}{'' if is_certain else '?'}")
        self.results.append(result)

    def read_back(self, work: Any, after_s: float) -> None:
        """The row waits for a reading."""
        self.log.append(f"read after {after_s:g}")

    def maybe_landed(self, work: Any) -> None:
        """A write may have had its effect."""
        self.log.append("maybe landed")

    def doubt(self, work: Any) -> None:
        """The API said that the list is not there."""
        self.log.append("doubt")

    def may_go_on(self, work: Any) -> bool:
        """Whether the row may still be sent."""
        return self.may_send

    def not_sent(self, work: Any) -> None:
        """Nothing that was sent for the row was processed."""
        self.unsent.add(work.row.number)

    def take_back(self, work: Any) -> None:
        """The row is not sent any more."""
        self.log.append("taken back")
