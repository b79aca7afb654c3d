"""What the parent and its worker processes say to each other: plain data, described here alone.

Every field is a number, a text, bytes, or a list, tuple or dict of these.

    down   Begin, Arrived, InputEnded, Stop, StopNow, Committed
    up     Wrote, Figures, Done, Failed

A worker has one batch on its way at a time: it goes on writing once the parent has said
`Committed`. `Done` and `Failed` are the last that a worker says.
"""

from __future__ import annotations

from typing import Any, NamedTuple

AccountFields = tuple[int, str, tuple[str, str] | str, tuple[float, float | None, float] | None]
"""An account for a worker: number, sid, (username, secret) or why there is no credential, and what
earlier runs found out about its limits, the fields of `Learnt`."""


class Begin(NamedTuple):
    """The first message: what to do.

    Attributes:
        run_path: the run directory.
        settings: by name; caps are this worker's share.
        base: scheme, host and port of the API.
        proxies: variables of the environment that name proxies, which can hold a password.
        accounts: those to carry out; none where their rows are still to arrive.
    """

    run_path: str
    settings: dict[str, Any]
    base: tuple[str, str, int]
    proxies: dict[str, str]
    accounts: list[AccountFields]
    is_input_open: bool


class Arrived(NamedTuple):
    """Lists, as (account, list) numbers, have new rows in the store, up to a row.

    Attributes:
        accounts: those of them that this worker has not had before.
    """

    accounts: list[AccountFields]
    pairs: list[tuple[int, int]]
    last_row: int | None


class InputEnded(NamedTuple):
    """No more rows arrive."""


class Stop(NamedTuple):
    """Begin nothing new; what is in flight ends."""

    reason: str


class StopNow(NamedTuple):
    """Cut what is in flight."""

    reason: str


class Committed(NamedTuple):
    """The worker's batch is durable."""


class Wrote(NamedTuple):
    """A batch to be made durable: the fields of `store.journal.Writes`."""

    writes: tuple[Any, ...]


class Figures(NamedTuple):
    """How it stands, for the display.

    Attributes:
        accounts: number, in flight, ended, binding, window, pace, throttled of each under way.
    """

    in_flight: int
    requests: int
    throttled: int
    open_lists: int
    accounts: list[tuple[int, int, int, str, float, float | None, int]]


class Done(NamedTuple):
    """The worker has ended, and all that it wrote is durable.

    Attributes:
        learnt: sid and the fields of `Learnt` of each account that was found out about.
    """

    ending: str
    requests: int
    throttled: int
    learnt: list[tuple[str, float, float | None, float]]


class Failed(NamedTuple):
    """The worker cannot go on.

    Attributes:
        kind: the name of the error's class, where it is one of `bulkipacl.errors`.
    """

    kind: str
    message: str
    hint: str | None


Message = (
    Begin | Arrived | InputEnded | Stop | StopNow | Committed | Wrote | Figures | Done | Failed
)
KINDS: tuple[type[Message], ...] = (
    Begin, Arrived, InputEnded, Stop, StopNow, Committed, Wrote, Figures, Done, Failed,
)  # fmt: skip
"""What stands for a kind on the way is its place here: both ends are the same program."""
