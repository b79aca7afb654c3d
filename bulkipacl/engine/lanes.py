"""Row order inside a list. Pure.

Rows on the same entry run one after the other, in row order; all else is concurrent. Two rows are
taken to be on the same entry where they name the same address (whatever the prefix) or the same
sid, and a sid that the snapshot knows is the same as its address. An update that moves an entry
to another address ties both addresses together for the whole list. That orders a little more
than it must, and never less.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bulkipacl.engine.decide import named_key
from bulkipacl.model import Entry, Operation, Row

Name = int | str
"""An address, or a sid that the snapshot does not hold."""


def split_into_lanes(rows: Sequence[Row], entries: Iterable[Entry]) -> list[list[Row]]:
    """The rows in groups that may run at once; inside a group, in row order. About 1 us a row."""
    address_of = {entry.sid: entry.address for entry in entries}
    joined: dict[Name, Name] = {}
    firsts: list[Name] = []
    for row in rows:
        name = _name(row, address_of)
        firsts.append(name)
        if row.operation is Operation.UPDATE and row.address is not None:
            a, b = _root(joined, name), _root(joined, row.address)
            if a != b:
                joined[b] = a
    lanes: dict[Name, list[Row]] = {}
    for row, name in zip(rows, firsts, strict=True):
        lanes.setdefault(_root(joined, name) if joined else name, []).append(row)
    return list(lanes.values())


def _name(row: Row, address_of: dict[str, int]) -> Name:
    if row.sid is None or row.operation in (Operation.CREATE, Operation.UPSERT):
        return named_key(row)[0]
    return address_of.get(row.sid, row.sid)


def _root(joined: dict[Name, Name], name: Name) -> Name:
    while name in joined:
        name = joined[name]
    return name
