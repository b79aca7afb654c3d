"""Putting right what landed late.

    find_repairs   pure: what a last reading of a list shows that our own late writes explain
    Repair         one request that puts such a thing right

A cut connection does not mean that the API has finished: a create that was given up and made
again may land after all, and an old update may land on top of a newer one. Only what is provably
ours is touched: an entry that was not there before, that no row's answer or reading claims, with
the address, prefix and name of a create of this run whose answer was lost; or an entry that holds
exactly what an update of this run whose answer was lost asked for, where a later row asked
otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bulkipacl.engine.decide import ListState, Write
from bulkipacl.engine.ports import AccountPort
from bulkipacl.model import ApiError, Attempt, Entry, Operation
from bulkipacl.twilio import contract
from bulkipacl.twilio.contract import VerdictKind


@dataclass(frozen=True, slots=True)
class LateWrite:
    """A write of a row that may land late.

    Attributes:
        may_adopt: the row found no entry and nothing came after it, so that an entry that turns
            up is the row's own and stays.
    """

    number: int
    write: Write
    may_adopt: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What one late write did.

    Attributes:
        write: the request that puts it right, or None where the entry is the row's own.
    """

    number: int
    entry: Entry
    write: Write | None


def find_repairs(
    late: Sequence[LateWrite], state: ListState, known: set[str], now: Iterable[Entry]
) -> list[Found]:
    """What the last reading shows that late writes explain.

    Args:
        state: what the list should hold.
        known: sids that were there before, or are claimed by a row.
        now: the reading.
    """
    creates: dict[tuple[tuple[int, int], str], list[LateWrite]] = {}
    updates: dict[str, list[LateWrite]] = {}
    for one in late:
        wanted = one.write.wanted
        if one.write.operation is Operation.CREATE:
            creates.setdefault((wanted.key, wanted.name), []).append(one)
        elif one.write.operation is Operation.UPDATE:
            updates.setdefault(wanted.sid, []).append(one)
    found: list[Found] = []
    adopted: set[int] = set()
    for entry in now:
        if entry.sid not in known:
            causes = creates.get((entry.key, entry.name), ())
            heir = next((c for c in causes if c.may_adopt and c.number not in adopted), None)
            if heir is not None and not state.at(entry.key):
                adopted.add(heir.number)
                state.put(entry)
                found.append(Found(heir.number, entry, None))
            elif causes:
                removal = Write(Operation.DELETE, entry, entry)
                found.append(Found(causes[0].number, entry, removal))
            continue
        expected = state.entries.get(entry.sid)
        if expected is None or expected == entry:
            continue
        number = _explained_by(entry, expected, updates.get(entry.sid, ()))
        if number is not None:
            found.append(Found(number, entry, Write(Operation.UPDATE, expected, entry)))
    return found


def _explained_by(entry: Entry, expected: Entry, late: Sequence[LateWrite]) -> int | None:
    """The row whose late update explains how an entry differs; None where somebody else did it.

    An update sends only what it changes, so that its name and its address explain for themselves.
    """
    number = None
    for differs, changes in (
        (entry.name != expected.name, _name_change),
        (entry.key != expected.key, _key_change),
    ):
        if differs:
            number = next((one.number for one in late if changes(one.write, entry)), None)
            if number is None:
                return None
    return number


def _name_change(write: Write, entry: Entry) -> bool:
    old, wanted = write.old, write.wanted
    return wanted.name == entry.name and (old is None or old.name != wanted.name)


def _key_change(write: Write, entry: Entry) -> bool:
    old, wanted = write.old, write.wanted
    return wanted.key == entry.key and (old is None or old.key != wanted.key)


class Repair:
    """A sendable that carries one repair out, as often as its account's retries allow."""

    def __init__(
        self,
        account: AccountPort,
        list_sid: str,
        found: Found,
        then: Callable[[Found, ApiError | None], None],
    ) -> None:
        if found.write is None:
            raise AssertionError("nothing to put right")
        base = contract.entries_path(account.sid, list_sid)
        self._write = found.write
        self._account = account
        self._list_sid = list_sid
        self._found = found
        self._then = then
        self._failures = 0
        if self._write.operation is Operation.DELETE:
            self.request = contract.delete(account.sid, base, self._write.wanted.sid)
        else:
            self.request = contract.update(account.sid, base, found.entry, self._write.wanted)

    def start(self) -> None:
        """Queue it."""
        self._account.push(self)

    def may_send(self) -> bool:
        """Always: a stopping run still puts right what it did."""
        return True

    def dropped(self, reason: str, error: ApiError) -> None:
        """The account takes no more requests."""
        self._then(self._found, error)

    def answered(self, attempt: Attempt) -> None:
        """Done, again, or given up."""
        write = self._write
        verdict = contract.judge(write.operation, attempt, write.wanted, self._list_sid, 1)
        error = verdict.error or ApiError(attempt.status)
        if verdict.kind in (VerdictKind.DONE, VerdictKind.DONE_EARLIER):
            self._then(self._found, None)
        elif verdict.kind is VerdictKind.THROTTLED:
            self._account.throttled(self, attempt)
        elif verdict.kind is VerdictKind.ACCOUNT_REFUSED:
            self._account.refused(self, error)
        elif verdict.kind is VerdictKind.AGAIN and self._failures < self._account.retries:
            self._failures += 1
            self._account.again(self, self._failures - 1, attempt)
        else:
            self._then(self._found, error)
