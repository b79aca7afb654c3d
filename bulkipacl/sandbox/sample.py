"""A sample input for a sandbox: what `bulkipacl demo` carries out.

    make_sample   rows for every account and list, as CSV

Made from what a sandbox says of itself (`Sandbox.ready()` and `GET /sandbox/state`), so that
updates and deletes name entries that are there. Some rows are such that the API refuses them.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator
from typing import Any

HEADER = ("operation", "account_sid", "list_sid", "sid", "ip_address", "friendly_name", "ticket")
CAPACITY = 100
"""Entries a list can hold (documented)."""

SITES = ("Lisbon", "Oslo", "Quito", "Perth", "Turin", "Leeds", "Kyoto", "Minsk")


def make_sample(state: dict[str, Any], rows: int, seed: int = 0) -> str:
    """About `rows` rows of all four operations, in an order that mixes accounts and lists.

    Every tenth list is asked to hold five entries more than it can.

    Args:
        state: what `GET /sandbox/state` answers.
    """
    rng = random.Random(seed)  # noqa: S311 - a sample, no secret
    lists = [(a["sid"], each) for a in state["accounts"] for each in a["lists"]]
    made: list[tuple[str, ...]] = []
    for place, (account_sid, each) in enumerate(lists):
        entries = rng.sample(each["entries"], len(each["entries"]))
        steps = _overfull(entries, rng) if place % 10 == 9 else _mixed(entries, rows, lists, rng)
        for operation, sid, address, name in steps:
            ticket = f"CHG-{rng.randrange(10_000):04}"
            made.append((operation, account_sid, each["sid"], sid, address, name, ticket))
    rng.shuffle(made)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(made)
    return text.getvalue()


Step = tuple[str, str, str, str]
"""Operation, sid, address, name."""


def _mixed(
    entries: list[dict[str, Any]], rows: int, lists: list[Any], rng: random.Random
) -> Iterator[Step]:
    """Six creates, two updates, a delete and an upsert out of ten."""
    count = max(10, rows // len(lists))
    known = iter(entries)
    for place in range(count):
        kind = place % 10
        if kind < 6:
            yield "create", "", _address(rng), _name(rng)
            continue
        entry = next(known, None)
        if entry is None or (kind == 9 and place % 20 == 9):
            yield "upsert", "", _address(rng), _name(rng)
        elif kind < 8:
            yield "update", entry["sid"], "", _name(rng)
        elif kind == 8:
            # By sid and by address in turn: both are ordinary.
            by_sid = place % 20 == 8
            yield "delete", entry["sid"] if by_sid else "", _cidr(entry) if not by_sid else "", ""
        else:
            yield "upsert", "", _cidr(entry), _name(rng)


def _overfull(entries: list[dict[str, Any]], rng: random.Random) -> Iterator[Step]:
    for _ in range(CAPACITY - len(entries) + 5):
        yield "create", "", _address(rng), _name(rng)


def _address(rng: random.Random) -> str:
    # Addresses out of ranges that no check warns of; they never leave the machine.
    return f"{rng.randrange(20, 90)}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(256)}"


def _cidr(entry: dict[str, Any]) -> str:
    return f"{entry['ip_address']}/{entry['cidr_prefix_length']}"


def _name(rng: random.Random) -> str:
    return f"{rng.choice(SITES)} trunk {rng.randrange(1, 1_000)}"
