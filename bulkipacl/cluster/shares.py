"""Which account goes to which process, and what each process may do of the whole. Pure, but for
`cores`.

    cores       how many this process may use
    how_many    processes that a run takes
    share_out   accounts over processes, by their rows
    divide      a cap over processes
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Mapping, Sequence

from bulkipacl.settings import AUTO_PROCESSES


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def how_many(processes: int, accounts: int | None, max_in_flight: int, usable: int) -> int:
    """Processes for a run: never more than can be of use.

    Args:
        processes: as asked for.
        accounts: those with rows to do; None: they are still to arrive.
        max_in_flight: of all processes together; each needs one at least.
        usable: cores.
    """
    wanted = usable if processes == AUTO_PROCESSES else processes
    if accounts is not None:
        wanted = min(wanted, accounts)
    return max(1, min(wanted, max_in_flight))


def share_out(accounts: Sequence[int], rows: Mapping[int, int], count: int) -> list[list[int]]:
    """Accounts over `count` processes, those with the most rows first, each to the least loaded.

    Returns:
        The accounts of each process, in their order. None of them is without rows as long as there
        are accounts enough that have some.
    """
    shares: list[list[int]] = [[] for _ in range(count)]
    loads = [(0, place) for place in range(count)]
    for account in sorted(accounts, key=lambda one: -rows.get(one, 0)):
        load, place = heapq.heappop(loads)
        shares[place].append(account)
        heapq.heappush(loads, (load + rows.get(account, 0), place))
    return [sorted(share) for share in shares]


def divide(total: int, count: int) -> list[int]:
    """A cap as shares that add up to it and differ by one at most."""
    each, more = divmod(total, count)
    return [each + (place < more) for place in range(count)]
