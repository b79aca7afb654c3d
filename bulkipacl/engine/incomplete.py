"""What could not be read of many lists, and what follows from it: nothing is made of the rest.

Unread            counts it, and keeps some of it to be shown
IncompleteError   ends what needed all of it
exit_code         the code that goes with the reasons
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from bulkipacl.engine.account import BLOCKED, CREDENTIALS_REFUSED
from bulkipacl.engine.gather import Found
from bulkipacl.errors import BulkError
from bulkipacl.report import counted

SHOWN = 20


class Unread:
    """What could not be read, by reason.

    Attributes:
        reasons: how often each.
        shown: the first of them.
    """

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self.shown: list[Found] = []

    def __bool__(self) -> bool:
        return bool(self.reasons)

    def add(self, found: Found) -> None:
        """One more."""
        self.reasons[found.reason] += 1
        if len(self.shown) < SHOWN:
            self.shown.append(found)

    def lines(self) -> list[str]:
        """Some of them, a line each, for people."""
        lines = []
        for found in self.shown:
            what = found.list_sid or "its lists"
            parts = (found.account_sid, what, found.reason, found.error.message)
            lines.append("  ".join(part for part in parts if part))
        left = self.reasons.total() - len(self.shown)
        return [*lines, f"and {left:,} more"] if left else lines


class IncompleteError(BulkError):
    """Something could not be read.

    Attributes:
        unread: what.
    """

    def __init__(self, what: str, unread: Unread) -> None:
        count = counted(unread.reasons.total(), "list")
        super().__init__(
            f"{what}, because it would not be complete: {count} could not be read",
            hint=f"because of {', '.join(sorted(unread.reasons))}; mend that, and try again",
        )
        self.unread = unread
        self.exit_code = exit_code(unread.reasons)


def exit_code(reasons: Iterable[str]) -> int:
    """7 for an account in trouble, 6 for a credential that is refused, else 1."""
    found = set(reasons)
    if BLOCKED in found:
        return 7
    return 6 if CREDENTIALS_REFUSED in found else 1
