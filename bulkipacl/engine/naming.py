"""Lists named by their FriendlyName, looked up: one reading of an account's lists for all of them.

Naming      reads, lets the lists have their sids in the store, and hands them over to be opened
find_sids   pure: names against what the API holds
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bulkipacl.engine.account import Account
from bulkipacl.engine.reading import Reading
from bulkipacl.model import ApiError, Outcome, RowResult
from bulkipacl.store import views
from bulkipacl.store.rundir import RunDirectory
from bulkipacl.twilio import contract


@dataclass(frozen=True, slots=True)
class Unnamed:
    """Why a name does not lead to one list."""

    reason: str
    suggestion: str


def find_sids(
    names: Mapping[int, str], lists: Sequence[Mapping[str, Any]]
) -> tuple[dict[int, str], dict[int, Unnamed]]:
    """The sid for each list number, and why there is none for the others."""
    by_name: dict[str, list[str]] = {}
    for value in lists:
        sid = value.get("sid")
        if isinstance(sid, str) and contract.is_sid(sid, "AL"):
            by_name.setdefault(str(value.get("friendly_name") or ""), []).append(sid)
    sids: dict[int, str] = {}
    missing: dict[int, Unnamed] = {}
    for number, name in names.items():
        found = by_name.get(name, [])
        if len(found) == 1:
            sids[number] = found[0]
        elif found:
            missing[number] = Unnamed(
                "list_name_ambiguous", f"{len(found)} lists have this name: give the list's sid"
            )
        else:
            missing[number] = Unnamed(
                "list_name_not_found", "no list of the account has this name: give its sid"
            )
    return sids, missing


class Host(Protocol):
    """The run, seen from here."""

    directory: RunDirectory

    def wall_clock(self) -> float:
        """Unix seconds."""

    def name_list(self, account_id: int, list_id: int, sid: str) -> None:
        """A list has been found by its name."""

    def after_commit(self, then: Callable[[], None]) -> None:
        """Call `then` once what has been said so far is durable."""

    def queue_list(self, account: Account, list_id: int) -> None:
        """A list has rows to carry out."""

    def record(self, result: RowResult) -> None:
        """A row has its outcome."""

    def go_on(self) -> None:
        """Something has come back."""


@dataclass(slots=True)
class _Search:
    """What waits for the reading of one account's lists.

    Attributes:
        names: of the lists to look up, by number.
        then: lists to open afterwards.
    """

    names: dict[int, str]
    then: list[int]


class Naming:
    """Looks names up, one reading of an account's lists at a time."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._searches: dict[int, _Search] = {}

    @property
    def pending(self) -> int:
        """Readings under way."""
        return len(self._searches)

    def is_busy(self, account: Account) -> bool:
        """Whether lists of this account are being looked up."""
        return account.number in self._searches

    def look_up(self, account: Account, names: Mapping[int, str], then: Sequence[int] = ()) -> None:
        """Give the lists of these numbers their sids; open them, and `then`, afterwards."""
        search = self._searches.get(account.number)
        if search is not None:
            search.names.update(names)
            search.then.extend(then)
            return
        search = self._searches[account.number] = _Search(dict(names), list(then))
        Reading(
            account.own,
            contract.read_lists(account.sid),
            "ip_access_control_lists",
            lambda reading: self._looked_up(account, search, reading),
        ).start()

    def _looked_up(self, account: Account, search: _Search, reading: Reading) -> None:
        # What is asked for from now on is not in this reading: it waits for another one.
        later = self._searches[account.number] = _Search({}, [])
        sids: dict[int, str] = {}
        missing: dict[int, Unnamed] = {}
        if reading.error is None:
            sids, missing = find_sids(search.names, reading.values)
        elif not reading.is_dropped:
            missing = dict.fromkeys(search.names, Unnamed(reading.reason, ""))
        for list_id, sid in sids.items():
            self._host.name_list(account.number, list_id, sid)
        for list_id, why in missing.items():
            self._fail(list_id, why, reading.error or ApiError(0))
        # The store says what a list is that has more than one name, and which rows are done.
        self._host.after_commit(lambda: self._named(account, [*sids.values()], search.then, later))

    def _named(
        self, account: Account, sids: Sequence[str], then: Sequence[int], later: _Search
    ) -> None:
        del self._searches[account.number]
        lists = [views.list_of_sid(self._host.directory, account.number, sid) for sid in sids]
        for list_id in (*lists, *then):
            self._host.queue_list(account, list_id)
        if later.names:
            self.look_up(account, later.names, later.then)
        else:
            for list_id in later.then:
                self._host.queue_list(account, list_id)
        self._host.go_on()

    def _fail(self, list_id: int, why: Unnamed, error: ApiError) -> None:
        for row in views.rows_of_list(self._host.directory, list_id):
            self._host.record(
                RowResult.of_error(
                    row.number,
                    Outcome.FAILED,
                    why.reason,
                    error,
                    finished_at=self._host.wall_clock(),
                    suggestion=why.suggestion,
                )
            )
