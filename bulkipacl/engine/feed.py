"""Which list is opened next: one of each account in its turn.

New accounts come in the order of the input, by turns with those that want further lists: those
whose open lists hold too few rows to keep their window full. So an account never keeps another one
waiting, however large or slow it is. A list that is open, or whose outcomes are not yet
in the store, is not opened a second time: what arrives for it meanwhile is its next round.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from bulkipacl.engine.account import Account
from bulkipacl.settings import ACCOUNT_OPEN_LISTS, FAIR_LISTS, FEED_LISTS


class Feed:
    """The lists that are still to be opened.

    Args:
        start: makes an account known by its (number, sid), and says which of its lists can be
            opened; they are asked for a few at a time, as there may be very many.
        is_roomy: whether memory allows lists to be open for the sake of fairness alone.
    """

    def __init__(
        self,
        start: Callable[[int, str], tuple[Account, Iterable[int]] | None],
        is_roomy: Callable[[], bool] = lambda: True,
    ) -> None:
        self._start = start
        self._is_roomy = is_roomy
        self._unseen: deque[tuple[int, str]] = deque()
        self._turns: deque[Account] = deque()
        self._in_turn: set[int] = set()
        self._is_new_next = True
        self._backlog: dict[int, deque[int]] = {}
        # What comes behind the backlog of an account, which is never empty before this is.
        self._further: dict[int, Iterator[int]] = {}
        self._queued: set[int] = set()
        self._open: dict[int, Account] = {}
        self._open_of: Counter[int] = Counter()
        self._closing: set[int] = set()
        self._again: set[int] = set()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to be opened, now or after a commit."""
        return not (self._unseen or self._queued or self._again)

    def begin(self, accounts: Iterable[tuple[int, str]]) -> None:
        """Accounts, as (number, sid), whose lists are to be opened."""
        self._unseen.extend(accounts)

    def queue(self, account: Account, list_id: int) -> None:
        """A list has rows to carry out."""
        if list_id in self._open or list_id in self._closing:
            self._again.add(list_id)
        elif list_id not in self._queued:
            self._queued.add(list_id)
            self._backlog.setdefault(account.number, deque()).append(list_id)
            self._wait(account)

    def take(self) -> tuple[Account, int] | None:
        """The next list to open, which then counts as open."""
        is_new_next, self._is_new_next = self._is_new_next, not self._is_new_next
        if is_new_next:
            return self._take_new() or self._take_further()
        return self._take_further() or self._take_new()

    def _take_new(self) -> tuple[Account, int] | None:
        while self._unseen:
            started = self._start(*self._unseen.popleft())
            if started is not None:
                account, lists = started
                self._further[account.number] = iter(lists)
                if self._fetch(account):
                    return self._take_of(account)
        return None

    def _fetch(self, account: Account) -> bool:
        """Fill an account's empty backlog; whether there was anything left."""
        further = self._further.get(account.number)
        if further is None:
            return False
        for list_id in islice(further, FEED_LISTS):
            self.queue(account, list_id)
        if self._backlog.get(account.number):
            return True
        del self._further[account.number]
        return False

    def _take_further(self) -> tuple[Account, int] | None:
        while self._turns:
            account = self._turns.popleft()
            self._in_turn.discard(account.number)
            if self._backlog.get(account.number) and not self._is_full(account):
                return self._take_of(account)
            # A full one comes back when it is hungry, or when one of its lists closes.
        return None

    def _is_full(self, account: Account) -> bool:
        open_lists = self._open_of[account.number]
        if not open_lists:
            return False
        if open_lists >= ACCOUNT_OPEN_LISTS or not account.is_well:
            return True
        return not account.wants_more and (open_lists >= FAIR_LISTS or not self._is_roomy())

    def hungry(self, account: Account) -> bool:
        """The account can do with another list; whether it has one."""
        has_backlog = bool(self._backlog.get(account.number))
        if has_backlog:
            self._wait(account)
        return has_backlog

    def _take_of(self, account: Account) -> tuple[Account, int]:
        backlog = self._backlog[account.number]
        list_id = backlog.popleft()
        self._queued.discard(list_id)
        self._open[list_id] = account
        self._open_of[account.number] += 1
        if backlog or self._fetch(account):
            self._wait(account)
        return account, list_id

    def _wait(self, account: Account) -> None:
        """One place in the row of accounts, however many lists wait."""
        if account.number not in self._in_turn:
            self._in_turn.add(account.number)
            self._turns.append(account)

    def put_back(self, list_id: int) -> None:
        """A list that was taken is not opened after all."""
        self._leave(list_id)

    def closed(self, list_id: int, *, has_more: bool) -> None:
        """A list is done with, but for the commit of what it had to say."""
        self._leave(list_id)
        self._closing.add(list_id)
        if has_more:
            self._again.add(list_id)

    def committed(self, list_id: int) -> bool:
        """All that a closed list had to say is in the store; whether it is to be opened again."""
        self._closing.discard(list_id)
        is_again = list_id in self._again
        self._again.discard(list_id)
        return is_again

    def _leave(self, list_id: int) -> None:
        account = self._open.pop(list_id)
        self._open_of[account.number] -= 1
        if self._backlog.get(account.number):
            self._wait(account)

    def has_left(self, account: Account) -> bool:
        """Whether an account has lists open or, as far as is known, still to be opened."""
        number = account.number
        return bool(self._backlog.get(number) or self._open_of[number] or self._again)

    def forget(self, account: Account) -> None:
        """Nothing of this account is opened any more."""
        self._further.pop(account.number, None)
        self._queued -= set(self._backlog.pop(account.number, ()))
        self._again -= {n for n, owner in self._open.items() if owner is account}
        if not self._open_of[account.number]:
            del self._open_of[account.number]

    def clear(self) -> None:
        """Nothing is opened any more."""
        for waiting in (self._unseen, self._turns, self._further, self._backlog, self._queued):
            waiting.clear()
        self._again.clear()
        self._in_turn.clear()
