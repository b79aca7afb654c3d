"""What the levels of the engine ask of each other, as protocols.

    Sendable      what is sent: a row's write, a page of a reading, a repair
    AccountPort   what a row or a reading asks of its account;  SharePort   what a list does
    ListPort      what a row asks of its list
    RunPort       what a list asks of the run;  OpenedList   what the run asks of a list

The levels import these instead of each other, so that none can reach around its neighbour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from bulkipacl.engine.admission import Admission
from bulkipacl.engine.decide import ListState
from bulkipacl.model import ApiError, Attempt, Request, Row, RowResult
from bulkipacl.settings import Settings
from bulkipacl.store.journal import KeptSnapshot
from bulkipacl.store.rundir import RunDirectory


class Sendable(Protocol):
    """A request waiting to be sent."""

    @property
    def request(self) -> Request:
        """What to send."""

    def may_send(self) -> bool:
        """Asked once, just before it is sent; False: it took itself back."""

    def answered(self, attempt: Attempt) -> None:
        """What came back. Called once per send."""

    def dropped(self, reason: str, error: ApiError) -> None:
        """It will not be sent, because its account takes no more requests."""


class AccountPort(Protocol):
    """The account, seen from below."""

    @property
    def sid(self) -> str:
        """The account's sid."""

    @property
    def retries(self) -> int:
        """Sendings of one row, or of one page, after the first."""

    @property
    def is_in_trouble(self) -> bool:
        """Whether a failure is the account's trouble rather than the request's."""

    def now(self) -> float:
        """The event loop's time, in seconds."""

    def push(self, sendable: Sendable) -> None:
        """Queue it."""

    def again(self, sendable: Sendable, failures: int, attempt: Attempt | None) -> None:
        """Queue it after a back-off; `failures` earlier ones in a row, from 0."""

    def throttled(self, sendable: Sendable, attempt: Attempt) -> None:
        """It was answered 429: queue it when the account has calmed down."""

    def refused(self, sendable: Sendable, error: ApiError) -> None:
        """The credential was refused: confirm that, or stop the account."""


class SharePort(AccountPort, Protocol):
    """The account, seen from one of its lists."""

    @property
    def is_alive(self) -> bool:
        """Whether the account has answered a request yet."""

    def expect(self, rows: int) -> None:
        """So many rows more will want to be sent."""


class RunPort(Protocol):
    """The run, seen from a list."""

    settings: Settings
    directory: RunDirectory
    admission: Admission

    @property
    def is_stopping(self) -> bool:
        """Nothing new is begun any more; what is under way comes to its end."""

    def wall_clock(self) -> float:
        """Unix seconds."""

    def call_later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call it from the event loop after so long."""

    def rows_of_round(self, list_id: int) -> tuple[list[Row], bool]:
        """The rows of a list's next round, and whether it may have more."""

    def took_rows(self, share: SharePort, count: int) -> None:
        """A list has loaded so many rows."""

    def keep(self, snapshot: KeptSnapshot, then: Callable[[], None]) -> None:
        """Make a snapshot durable, and call `then` once it is."""

    def record(self, result: RowResult) -> None:
        """A row has its outcome."""

    def after_commit(self, then: Callable[[], None]) -> None:
        """Call `then` once what has been recorded so far is durable."""

    def leave(self, account: Any, numbers: Iterable[int]) -> None:
        """These rows were never sent, and are not in this session: not_attempted."""

    def note(self, kind: str, text: str) -> None:
        """What a person should know besides the rows."""

    def list_closed(
        self, list_id: int, round_number: int | None, *, has_more: bool, is_unsettled: bool
    ) -> None:
        """A list is done with; its open round, if a number is given, is closed."""


class OpenedList(Protocol):
    """A list that is under way, seen from the run."""

    @property
    def has_rows(self) -> bool:
        """Whether its rows are loaded."""

    @property
    def rows_count(self) -> int:
        """How many they are."""

    def start(self) -> None:
        """Read it."""

    def halt(self) -> None:
        """Begin nothing more; what is under way comes to its end."""

    def never_sent(self) -> list[int]:
        """Numbers of its rows of which nothing was sent, or nothing came of it."""


class ListPort(Protocol):
    """The list, seen from one of its rows (`work` is that row's `RowWork`)."""

    sid: str
    base: str
    state: ListState
    known: set[str]
    settle_s: float

    @property
    def account(self) -> AccountPort:
        """Its account."""

    def wall_clock(self) -> float:
        """Unix seconds."""

    def ended(self, work: Any, result: RowResult, *, is_certain: bool = True) -> None:
        """The row has its outcome; not certain: what follows on its entry is not sent."""

    def read_back(self, work: Any, after_s: float) -> None:
        """The row cannot go on before the list was read, `after_s` from now or later."""

    def maybe_landed(self, work: Any) -> None:
        """A write of the row may have had its effect, or may yet."""

    def doubt(self, work: Any) -> None:
        """The API said to the row that the list is not there."""

    def may_go_on(self, work: Any) -> bool:
        """Whether the row may still be sent; False: it was taken back."""

    def not_sent(self, work: Any) -> None:
        """All that was sent for the row was surely not processed."""

    def take_back(self, work: Any) -> None:
        """The row is not sent any more; it ends with its list."""
