"""What really happened: every effect on the state, and counts of what was asked and answered.

A test judges a client by this, not by what the client was told. It decides nothing.

    Origin   who caused an effect: request id, fault, late or not, this client or another
    Effect   one change, with the values before and after
    Ledger   the effects in order
    Stats    counts of requests and injected faults
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Op = Literal["create", "update", "delete"]
Resource = Literal["entry", "list", "mapping", "account"]


class Values(NamedTuple):
    """What an entry holds; a list, mapping or account has a name alone."""

    name: str
    ip: str | None = None
    prefix: int | None = None


NOTHING = Values("")


class Origin(NamedTuple):
    """Who caused an effect. `by` is `client` for API requests, `other` for the admin path."""

    request_id: str
    late: bool = False
    fault: str | None = None
    by: Literal["client", "other"] = "client"


class Effect(NamedTuple):
    """One change of the state. `before` values are None on a create, `after` ones on a delete.

    A named tuple, since one is made per write: a frozen dataclass costs five times as much.
    """

    seq: int
    at_s: float
    """Monotonic, the event loop's clock."""
    wall_s: float
    op: Op
    resource: Resource
    account_sid: str
    list_sid: str | None
    sid: str
    ip_before: str | None
    prefix_before: int | None
    name_before: str | None
    ip_after: str | None
    prefix_after: int | None
    name_after: str | None
    request_id: str
    late: bool
    fault: str | None
    by: str

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON-ready keys and values."""
        return self._asdict()


class Ledger:
    """Effects in the order in which they landed; sequence numbers start at 1.

    Args:
        now_s: monotonic seconds.
        wall_s: seconds since the epoch.
    """

    def __init__(self, now_s: Callable[[], float], wall_s: Callable[[], float]) -> None:
        self.effects: list[Effect] = []
        self._now_s = now_s
        self._wall_s = wall_s

    def __len__(self) -> int:
        return len(self.effects)

    def since(self, seq: int) -> list[Effect]:
        """Effects with a sequence number above `seq`."""
        return self.effects[max(seq, 0) :]

    def of(self, op: Op, resource: Resource = "entry") -> list[Effect]:
        """Effects of one operation on one kind of resource."""
        return [e for e in self.effects if e.op == op and e.resource == resource]

    def record(
        self,
        what: tuple[Op, Resource],
        where: tuple[str, str | None, str],
        origin: Origin,
        *,
        before: Values | None = None,
        after: Values | None = None,
    ) -> None:
        """Append one effect; `where` is (account sid, list sid, sid)."""
        old, new = before or NOTHING, after or NOTHING
        op, resource = what
        account_sid, list_sid, sid = where
        self.effects.append(
            Effect(
                len(self.effects) + 1,
                self._now_s(),
                self._wall_s(),
                op,
                resource,
                account_sid,
                list_sid,
                sid,
                old.ip,
                old.prefix,
                old.name if before else None,
                new.ip,
                new.prefix,
                new.name if after else None,
                origin.request_id,
                origin.late,
                origin.fault,
                origin.by,
            )
        )


@dataclass(slots=True)
class Stats:
    """Counts. A request that got no answer (reset, hang) counts under status 0."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    redirects_followed: int = 0
    late_refused: int = 0
    """Late effects that the rules refused when they landed."""

    @property
    def total(self) -> int:
        """All API requests that were dealt with."""
        return self.requests.total()

    def answered(self, status: int) -> int:
        """Requests of any method answered with this status."""
        return sum(count for (_, code), count in self.requests.items() if code == status)
