"""Reads many lists of many accounts: the one reading that export and undo go by.

    Wanted     which lists of one account
    Found      one list as it was read, or why it could not be
    Gatherer   reads them, many accounts at once, each under its own governor
    gather     does so, over a link
    subaccounts   the accounts that belong to one

A list is read whole or not at all: every page is followed to the end, nothing may come twice, and
what cannot be had is a `Found` that says why. So whoever counts no error has everything. The order
is stable: accounts as they were asked for, lists as the API gives them, whatever comes first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from bulkipacl.engine.account import Account
from bulkipacl.engine.inorder import InOrder
from bulkipacl.engine.reader import FORBIDDEN, Forbearing, Link, Reader, read
from bulkipacl.engine.reading import UNREADABLE, Reading
from bulkipacl.engine.selection import Selection
from bulkipacl.model import ApiError, Entry, Learnt
from bulkipacl.settings import Settings
from bulkipacl.twilio import contract, resources
from bulkipacl.twilio.transport import Transport

ACCOUNTS_AT_ONCE = 100
"""Accounts under way at once: a thousand full ones hold a million lists."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lists of one account: those of these sids, unlooked for, or those a selection takes."""

    account_sid: str
    lists: tuple[str, ...] | Selection


@dataclass(frozen=True, slots=True)
class Found:
    """One list as it was read, or why it could not be.

    Attributes:
        list_sid: "" where the account's lists, or its domains, could not be read at all.
        list_name: its FriendlyName; "" where it was wanted by its sid.
        entries: empty where they were not asked for.
        domains: the names of the SIP domains that map it; None where they were not asked for, or
            the credential may not see them.
        reason: a stable word for why it could not be read, or "".
    """

    account_sid: str
    list_sid: str = ""
    list_name: str = ""
    entries: tuple[Entry, ...] = ()
    domains: tuple[str, ...] | None = None
    reason: str = ""
    error: ApiError = field(default_factory=lambda: ApiError(0))


def gather(
    link: Link,
    wanted: Iterable[Wanted],
    then: Callable[[Found], None],
    *,
    has_entries: bool = True,
    has_domains: bool = False,
) -> int:
    """Read them, and hand each to `then` in order; returns the requests that were sent.

    Args:
        has_entries: read the entries of each list too, not the lists alone.
        has_domains: find out which SIP domains map each list: a request for each domain.

    Raises:
        CredentialError: an account has none; it is asked for when its turn comes.
        KeyboardInterrupt: a signal to stop came.
    """
    with InOrder(lambda chunk: then(unpack(chunk))) as order:

        def make(
            settings: Settings, transport: Transport, learnt: Mapping[str, Learnt]
        ) -> Gatherer:
            return Gatherer(
                (settings, transport, learnt),
                wanted,
                order,
                has_entries=has_entries,
                has_domains=has_domains,
            )

        return read(link, make).requests


@dataclass(eq=False, slots=True)
class _Walk:
    """One account on its way.

    Attributes:
        waiting: (place, list sid, name) of the lists that are still to be asked for.
        open: how many are being read.
        domains: per list the domains that map it; None where they cannot be seen.
        unmapped: domains whose mappings are still to come.
        is_ready: all that comes before its lists' entries is in.
        is_opening: its lists are being opened just now.
        is_over: all of it is in.
    """

    account: Account
    wanted: Wanted
    waiting: deque[tuple[int, str, str]] = field(default_factory=deque)
    open: int = 0
    domains: dict[str, list[str]] | None = None
    unmapped: int = 0
    is_ready: bool = False
    is_opening: bool = False
    is_over: bool = False


class Gatherer(Reader):
    """Reads the lists of many accounts, and hands them over in order.

    Args:
        base: settings, transport, and what is known of the accounts' limits.
    """

    def __init__(
        self,
        base: tuple[Settings, Transport, Mapping[str, Learnt]],
        wanted: Iterable[Wanted],
        order: InOrder,
        *,
        has_entries: bool = True,
        has_domains: bool = False,
    ) -> None:
        super().__init__(*base)
        self._wanted = enumerate(wanted)
        self._order = order
        self._has_entries = has_entries
        self._has_domains = has_domains
        self._walks: dict[int, _Walk] = {}
        self._is_starting = False

    # --- accounts -------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin as many accounts as may be under way at once."""
        if self._is_starting:
            return
        self._is_starting = True
        while len(self._walks) < ACCOUNTS_AT_ONCE:
            following = next(self._wanted, None)
            if following is None:
                break
            number, wanted = following
            walk = _Walk(self.open_account(number, wanted.account_sid), wanted)
            self._walks[number] = walk
            self._begin(walk)
        self._is_starting = False
        if not self._walks:
            self.finish()

    def _begin(self, walk: _Walk) -> None:
        account, lists = walk.account, walk.wanted.lists
        if isinstance(lists, tuple):
            self._listed(walk, [(sid, "") for sid in lists])
            return
        Reading(
            account.own,
            contract.read_lists(account.sid),
            "ip_access_control_lists",
            lambda reading: self._read_lists(walk, lists, reading),
        ).start()

    def _read_lists(self, walk: _Walk, selection: Selection, reading: Reading) -> None:
        values = _texts(reading, "AL", "friendly_name")
        if values is None:
            self._fail(walk, reading)
        else:
            self._listed(walk, [pair for pair in values if selection.takes(*pair)])

    def _listed(self, walk: _Walk, lists: list[tuple[str, str]]) -> None:
        walk.waiting.extend((place, *pair) for place, pair in enumerate(lists))
        self._order.complete(walk.account.number, len(lists))
        if self._has_domains and lists:
            self._read_domains(walk)
        else:
            self._ready(walk)

    def _fail(self, walk: _Walk, reading: Reading) -> None:
        """Nothing of the account can be told: one `Found` stands for it."""
        number, sid = walk.account.number, walk.account.sid
        self._put(number, 0, Found(sid, reason=reading.reason, error=reading.error or ApiError(0)))
        self._order.complete(number, 1)
        self._close(walk)

    def _close(self, walk: _Walk) -> None:
        if walk.is_over:
            return
        walk.is_over = True
        del self._walks[walk.account.number]
        self.close_account(walk.account)
        self.begin()

    # --- domains --------------------------------------------------------------------------

    def _read_domains(self, walk: _Walk) -> None:
        account = walk.account
        Reading(
            Forbearing(account.own),
            resources.read_domains(account.sid),
            "domains",
            lambda reading: self._read_mappings(walk, reading),
        ).start()

    def _read_mappings(self, walk: _Walk, reading: Reading) -> None:
        domains = _texts(reading, "SD", "domain_name")
        if domains is None:
            self._not_mapped(walk, reading)
            return
        walk.domains, walk.unmapped = {}, len(domains)
        for sid, name in domains:
            Reading(
                Forbearing(walk.account.own),
                resources.read_mappings(walk.account.sid, sid),
                "contents",
                partial(self._mapped, walk, name),
            ).start()
        if not domains:
            self._ready(walk)

    def _mapped(self, walk: _Walk, name: str, reading: Reading) -> None:
        lists = _texts(reading, "AL", "friendly_name")
        if walk.domains is None:
            return  # Another domain of the account could not be read.
        if lists is None:
            self._not_mapped(walk, reading)
            return
        for sid, _ in lists:
            walk.domains.setdefault(sid, []).append(name)
        walk.unmapped -= 1
        if not walk.unmapped:
            self._ready(walk)

    def _not_mapped(self, walk: _Walk, reading: Reading) -> None:
        """Domains that the credential may not see are left out; others must not be missing."""
        walk.domains = None
        if reading.reason != FORBIDDEN:
            for place, sid, name in walk.waiting:
                error = reading.error or ApiError(0)
                found = Found(walk.account.sid, sid, name, reason=reading.reason, error=error)
                self._put(walk.account.number, place, found)
            walk.waiting.clear()
        self._ready(walk)

    # --- entries --------------------------------------------------------------------------

    def hungry(self, account: Account) -> None:
        """An account could do with more to read."""
        walk = self._walks.get(account.number)
        if walk is not None and walk.is_ready and walk.waiting:
            self._loop.call_soon(self._go_on, walk)

    def _ready(self, walk: _Walk) -> None:
        walk.is_ready = True
        self._go_on(walk)

    def _go_on(self, walk: _Walk) -> None:
        """Ask for as many lists as keep the account's window full. A loop: a walk can be long."""
        if walk.is_opening or walk.is_over:
            return
        walk.is_opening = True
        account = walk.account
        while walk.waiting and (
            not self._has_entries or not walk.open or account.wants_more or account.stopped
        ):
            place, sid, name = walk.waiting.popleft()
            if self._has_entries:
                self._read_list(walk, place, sid, name)
            else:
                found = Found(account.sid, sid, name, domains=_domains_of(walk, sid))
                self._put(account.number, place, found)
        walk.is_opening = False
        if not walk.waiting and not walk.open:
            self._close(walk)

    def _read_list(self, walk: _Walk, place: int, sid: str, name: str) -> None:
        account = walk.account
        walk.open += 1
        share = account.share()
        share.expect(1)

        def done(reading: Reading) -> None:
            walk.open -= 1
            account.closed(share, is_ended=True)
            entries = reading.entries(sid)
            domains = _domains_of(walk, sid)
            error = reading.error or ApiError(0)
            found = Found(account.sid, sid, name, entries or (), domains, reading.reason, error)
            _let_go(reading)
            self._put(account.number, place, found)
            self._go_on(walk)

        Reading(share, contract.read_list(account.sid, sid), "ip_addresses", done).start()

    def _put(self, number: int, place: int, found: Found) -> None:
        self._order.put(number, place, pack(found))


def _domains_of(walk: _Walk, sid: str) -> tuple[str, ...] | None:
    return None if walk.domains is None else tuple(walk.domains.get(sid, ()))


def _texts(reading: Reading, kind: str, name: str) -> list[tuple[str, str]] | None:
    """The (sid, name) of what was read; None where it is not whole, or not what it should be."""
    if reading.error is not None:
        return None
    found = [(value.get("sid"), value.get(name)) for value in reading.values]
    _let_go(reading)
    if all(isinstance(sid, str) and contract.is_sid(sid, kind) for sid, _ in found):
        return [(str(sid), str(text or "")) for sid, text in found]
    reading.reason, reading.error = (
        UNREADABLE,
        ApiError(200, 0, f"not every sid of it is an {kind}"),
    )
    return None


def _let_go(reading: Reading) -> None:
    """What was read is taken over: a full list is 200 kB, and accounts come with their tokens.

    The worker that carried it holds it until it has another one.
    """
    reading.values, reading.attempt = [], None


def pack(found: Found) -> bytes:
    """A `Found` as bytes."""
    entries = [(e.sid, e.address, e.prefix, e.name) for e in found.entries]
    error = found.error
    fields = (error.status, error.code, error.message, error.more_info)
    return orjson.dumps(
        (
            found.account_sid, found.list_sid, found.list_name, entries, found.domains,
            found.reason, fields,
        )
    )  # fmt: skip


def unpack(chunk: bytes) -> Found:
    """What `pack` has packed."""
    account, sid, name, entries, domains, reason, error = orjson.loads(chunk)
    return Found(
        account,
        sid,
        name,
        tuple(Entry(*fields) for fields in entries),
        None if domains is None else tuple(domains),
        reason,
        ApiError(*error),
    )


class _Owned(Reader):
    """Reads which accounts belong to one."""

    def __init__(self, owner: str, *base: Any) -> None:
        super().__init__(*base)
        self._owner = owner
        self.accounts: list[tuple[str, str]] = []
        self.reason = ""
        self.error = ApiError(0)

    def begin(self) -> None:
        account = self.open_account(0, self._owner)
        request = resources.read_accounts(self._owner)
        Reading(account.own, request, "accounts", self._ended).start()

    def _ended(self, reading: Reading) -> None:
        found = _texts(reading, "AC", "status")
        self.accounts = found or []
        self.reason, self.error = reading.reason, reading.error or self.error
        self.finish()


def subaccounts(link: Link, owner: str) -> tuple[list[tuple[str, str]], Found | None]:
    """(sid, status) of an account and all that belong to it; or why they cannot be told.

    An API key may not ask this: it takes the account's auth token.
    """
    reader = read(link, lambda *base: _Owned(owner, *base))
    if reader.reason:
        return [], Found(owner, reason=reader.reason, error=reader.error)
    return reader.accounts, None
