"""One walk over all pages of a list, a list of lists, or anything else that is paged.

A `Reading` is whole or it is nothing: a page that cannot be had, a page that comes back, a walk
that does not end, a next page elsewhere or a value twice make it incomplete, and what was read
of it is not used for a decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, assert_never

from bulkipacl.engine.ports import AccountPort
from bulkipacl.model import ApiError, Attempt, Entry, Request
from bulkipacl.settings import MAX_PAGES
from bulkipacl.twilio import contract
from bulkipacl.twilio.contract import LIST_NOT_FOUND, Page, ReadVerdict

UNREADABLE = "unreadable"


class Reading:
    """A sendable that follows `next_page_uri` to the end.

    Attributes:
        values: everything that was read, as the API sent it; empty unless `error` is None.
        error: why it is incomplete, or None.
        reason: a stable word for that; "" where it is whole.
        is_dropped: it is incomplete only because the account takes no more requests.
        started_at: when its first page was last asked for (loop time).
    """

    def __init__(
        self, account: AccountPort, first: Request, key: str, then: Callable[[Reading], None]
    ) -> None:
        self.request = first
        self.values: list[dict[str, Any]] = []
        self.error: ApiError | None = None
        self.reason = ""
        self.started_at = 0.0
        self.is_dropped = False
        self.attempt: Attempt | None = None
        self._account = account
        self._first = first
        self._key = key
        self._then = then
        self._seen: set[str] = set()
        self._failures = 0

    def start(self) -> None:
        """Queue the first page."""
        self._account.push(self)

    def may_send(self) -> bool:
        """Always: reading back is how a stopped run learns what it did."""
        if self.request is self._first:
            self.started_at = self._account.now()
        return True

    def answered(self, attempt: Attempt) -> None:
        """Take a page in and ask for the next one, or say that it ended."""
        self.attempt = attempt
        page = contract.read_page(attempt, self._key)
        if isinstance(page, Page):
            self._turn(page)
            return
        verdict, error = page
        match verdict:
            case ReadVerdict.THROTTLED:
                self._account.throttled(self, attempt)
            case ReadVerdict.AGAIN:
                self._again(error, UNREADABLE)
            case ReadVerdict.ACCOUNT_REFUSED:
                self._account.refused(self, error)
            case ReadVerdict.NOT_FOUND:
                self._end(LIST_NOT_FOUND, error)
            case ReadVerdict.FAILED:
                self._end(UNREADABLE, error)
            case _:
                assert_never(verdict)

    def dropped(self, reason: str, error: ApiError) -> None:
        """The account takes no more requests."""
        self.is_dropped = True
        self._end(reason, error)

    def entries(self, list_sid: str) -> tuple[Entry, ...] | None:
        """What was read of a list; None where it is not whole, or cannot be understood."""
        if self.error is not None:
            return None
        try:
            return tuple(contract.read_entry(value, list_sid) for value in self.values)
        except (ValueError, KeyError, TypeError):
            self.reason = UNREADABLE
            self.error = ApiError(200, 0, "the list holds an entry that cannot be understood")
            return None

    def _again(self, error: ApiError, reason: str) -> None:
        if not self._account.is_in_trouble:
            self._failures += 1
        if self._failures > self._account.retries:
            self._end(reason, error)
        else:
            self._account.again(self, max(self._failures - 1, 0), self.attempt)

    def _turn(self, page: Page) -> None:
        self.values += page.values
        self._seen.add(self.request.path)
        if page.next_page_uri is None:
            if _has_repeats(self.values):
                # The list moved under the walk: what was read is of no one moment.
                self._restart("the pages overlap")
            else:
                self._then(self)
            return
        following = contract.follow(self._first, page.next_page_uri)
        if following is None:
            self._end(UNREADABLE, ApiError(200, 0, "next_page_uri leads elsewhere"))
        elif following.path in self._seen or len(self._seen) >= MAX_PAGES:
            self._end(UNREADABLE, ApiError(200, 0, "the pages come round again"))
        else:
            self.request = following
            self._account.push(self)

    def _restart(self, why: str) -> None:
        self.request = self._first
        self.values = []
        self._seen.clear()
        self._again(ApiError(200, 0, why), UNREADABLE)

    def _end(self, reason: str, error: ApiError) -> None:
        self.values = []
        self.reason = reason
        self.error = error
        self._then(self)


def _has_repeats(values: Iterable[dict[str, Any]]) -> bool:
    sids = [str(value.get("sid")) for value in values if isinstance(value, dict)]
    return len(set(sids)) != len(sids)
