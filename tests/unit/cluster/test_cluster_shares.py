"""Accounts over processes, and what each process may do of the whole."""

from __future__ import annotations

import pytest

from bulkipacl.cluster.messages import Figures
from bulkipacl.cluster.shares import cores, divide, how_many, share_out
from bulkipacl.cluster.standing import Standing
from bulkipacl.errors import UsageError
from bulkipacl.settings import AUTO_PROCESSES, Settings, parse_processes


@pytest.mark.parametrize(
    ("rows", "count", "shares"),
    [
        ({1: 10, 2: 10}, 2, [[1], [2]]),
        ({1: 1, 2: 9, 3: 4, 4: 4}, 2, [[2], [1, 3, 4]]),
        ({1: 100, 2: 1, 3: 1, 4: 1}, 2, [[1], [2, 3, 4]]),
        ({1: 5, 2: 0, 3: 0}, 2, [[1], [2, 3]]),
        ({3: 1, 2: 1, 1: 1}, 3, [[3], [2], [1]]),
    ],
    ids=["equal", "largest first", "one large", "without rows", "one each"],
)
def test_share_out(rows: dict[int, int], count: int, shares: list[list[int]]) -> None:
    """Each account goes to the process with the fewest rows, those with the most rows first."""
    assert share_out(list(rows), rows, count) == shares


@pytest.mark.parametrize(
    ("total", "count", "shares"), [(7, 2, [4, 3]), (8, 4, [2] * 4), (2, 2, [1, 1]), (5, 1, [5])]
)
def test_divide(total: int, count: int, shares: list[int]) -> None:
    """The shares of a cap add up to it."""
    assert divide(total, count) == shares


@pytest.mark.parametrize(
    ("asked", "accounts", "max_in_flight", "usable", "count"),
    [
        (4, 9, 100, 2, 4),
        (4, 3, 100, 2, 3),
        (4, 9, 2, 2, 2),
        (4, None, 100, 2, 4),
        (4, 0, 100, 2, 1),
        (AUTO_PROCESSES, 9, 100, 2, 2),
        (AUTO_PROCESSES, 1, 100, 2, 1),
        (AUTO_PROCESSES, None, 100, 2, 2),
    ],
)
def test_how_many(
    asked: int, accounts: int | None, max_in_flight: int, usable: int, count: int
) -> None:
    """As many as asked for, or as cores are there, but none that would have nothing to do."""
    assert how_many(asked, accounts, max_in_flight, usable) == count
    assert cores() >= 1


def test_how_many_are_asked_for() -> None:
    """A number from 1 to 256, or auto; by default one."""
    assert (parse_processes("--processes", "3"), Settings().processes) == (3, 1)
    assert parse_processes("--processes", "auto") == AUTO_PROCESSES
    for text in ("0", "-1", "two", "", "1.5"):
        with pytest.raises(UsageError, match="is no number of processes"):
            parse_processes("--processes", text)
    with pytest.raises(UsageError, match="between 0 and 256"):
        Settings(processes=257)


def test_standing() -> None:
    """What workers have said adds up; one that has ended is left with what it had sent."""
    standing = Standing({1: "AC1", 2: "AC2"}.__getitem__)
    standing.told("a", Figures(3, 10, 1, 2, [(1, 3, 7, "pace", 5.0, 2.5, 1)]))
    standing.told("b", Figures(4, 20, 0, 1, [(2, 4, 9, "window", 8.0, None, 0)]))
    assert (standing.in_flight, standing.requests) == (7, 30)
    assert (standing.throttled, standing.open_lists) == (1, 3)
    assert [one.sid for one in standing.accounts.values()] == ["AC1", "AC2"]
    assert standing.accounts[1].governor == (5.0, 2.5, 1)
    standing.ended("a")
    standing.ended("b", requests=25, throttled=2)
    assert (standing.in_flight, standing.requests, standing.throttled) == (0, 35, 3)
    assert standing.accounts == {}
