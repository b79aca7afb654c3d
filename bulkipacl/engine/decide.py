"""What a row means against what its list holds. Pure: no I/O, no clock.

    ListState   what a list is believed to hold: its snapshot and what was written since
    decide      a row against it -> Write (send this), Settled (nothing to send) or Wait
    find_ours   whether an entry that has turned up is the one that a create asked for

`decide` is asked when all earlier rows on the same entry have ended, so the state it sees is
the one in which the row would act; a preview asks it in row order with every write taken as
done, and so says the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from bulkipacl.model import (
    LIST_CAPACITY,
    Entry,
    Operation,
    Outcome,
    Row,
    cidr_text,
    ip_text,
    make,
)

Key = tuple[int, int]
_CREATE = Operation.CREATE


class ListState:
    """Entries of one list by sid, and their sids by address and prefix.

    The API may hold one address and prefix twice.
    """

    __slots__ = ("by_key", "entries")

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.entries: dict[str, Entry] = {}
        self.by_key: dict[Key, list[str]] = {}
        for entry in entries:
            self.put(entry)

    def put(self, entry: Entry) -> None:
        """The list holds this entry, in place of what it held under the same sid."""
        sid, address, prefix, _ = entry
        if sid in self.entries:
            self.drop(sid)
        self.entries[sid] = entry
        key = (address, prefix)
        sids = self.by_key.get(key)
        if sids is None:
            self.by_key[key] = [sid]
        else:
            sids.append(sid)

    def drop(self, sid: str) -> None:
        """The list holds no entry of this sid."""
        entry = self.entries.pop(sid, None)
        if entry is not None:
            sids = self.by_key[entry.key]
            sids.remove(sid)
            if not sids:
                del self.by_key[entry.key]

    def at(self, key: Key) -> list[Entry]:
        """The entries with this address and prefix."""
        sids = self.by_key.get(key)
        return [self.entries[sid] for sid in sids] if sids else []

    def __len__(self) -> int:
        return len(self.entries)


class Write(NamedTuple):
    """One request to send: `old` is the entry as it stands (None for a create)."""

    operation: Operation
    wanted: Entry
    old: Entry | None = None


class Settled(NamedTuple):
    """A row that ends without a request."""

    outcome: Outcome
    reason: str = ""
    entry: Entry | None = None
    suggestion: str = ""


class Wait:
    """A create that has to wait for earlier deletes of its list, because the list is full."""


WAIT = Wait()
Decision = Write | Settled | Wait


def decide(row: Row, state: ListState, *, free: int, may_wait: bool) -> Decision:
    """What a row means now.

    Args:
        free: places left in the list, those promised to creates in flight taken off.
        may_wait: earlier deletes of the list have not ended yet.
    """
    operation = row.operation
    if operation is _CREATE or operation is Operation.UPSERT:
        return _decide_create(row, state, free, may_wait)
    if operation is Operation.UPDATE:
        return _decide_update(row, state)
    return _decide_delete(row, state)


def free_places(state: ListState) -> int:
    """Places left in a list; may be negative if the API allows more than it documents."""
    return LIST_CAPACITY - len(state)


def find_ours(
    wanted: Entry, now: Iterable[Entry], known: frozenset[str] | set[str]
) -> tuple[Entry, bool] | None:
    """The entry that stands where a create wanted one, and whether the create made it.

    It is ours where its sid is new (neither in the snapshot before nor another row's) and its
    address, prefix and name are what we sent; one of another name is somebody else's.
    """
    others = None
    for entry in now:
        if entry.key == wanted.key:
            if entry.sid not in known and entry.name == wanted.name:
                return entry, True
            others = entry
    return None if others is None else (others, False)


def _decide_create(row: Row, state: ListState, free: int, may_wait: bool) -> Decision:
    address, prefix = _address(row.address), row.prefix or 32
    if (address, prefix) in state.by_key:
        there = state.at((address, prefix))
        entry = there[0]
        same = [e for e in there if row.name is None or e.name == row.name]
        if same:
            return Settled(Outcome.UNCHANGED, entry=same[0])
        if row.operation is Operation.CREATE:
            return Settled(
                Outcome.UNCHANGED, "other_name", entry, "use upsert to change the entry's name too"
            )
        if len(there) > 1:
            return _ambiguous(entry, len(there))
        return Write(Operation.UPDATE, entry._replace(name=row.name or ""), entry)
    if free <= 0 and may_wait:
        return WAIT
    name = row.name if row.name is not None else cidr_text(address, prefix)
    return make(Write, (_CREATE, make(Entry, ("", address, prefix, name)), None))


def _decide_update(row: Row, state: ListState) -> Decision:
    old = _named_entry(row, state)
    if isinstance(old, Settled):
        return old
    if old is None:
        return _already_moved(row, state) or Settled(
            Outcome.FAILED, "entry_not_found", None, "the list holds no such entry"
        )
    has_new_place = row.sid is not None or row.match_address is not None
    new = Entry(
        old.sid,
        row.address if has_new_place and row.address is not None else old.address,
        row.prefix if has_new_place and row.prefix is not None else old.prefix,
        old.name if row.name is None else row.name,
    )
    if new == old:
        return Settled(Outcome.UNCHANGED, entry=old)
    if new.key != old.key and state.at(new.key):
        return Settled(
            Outcome.REFUSED,
            "address_taken",
            state.at(new.key)[0],
            f"{cidr_text(*new.key)} is an entry of its own already: delete one of the two",
        )
    return Write(Operation.UPDATE, new, old)


def _already_moved(row: Row, state: ListState) -> Settled | None:
    """An update from one address to another that an earlier run has carried out already."""
    if row.sid is not None or row.match_address is None:
        return None
    address = row.match_address if row.address is None else row.address
    prefix = (row.match_prefix or 32) if row.prefix is None else row.prefix
    for entry in state.at((address, prefix)):
        if row.name is None or row.name == entry.name:
            return Settled(Outcome.UNCHANGED, entry=entry)
    return None


def _decide_delete(row: Row, state: ListState) -> Decision:
    old = _named_entry(row, state)
    if isinstance(old, Entry):
        return Write(Operation.DELETE, old, old)
    return old or Settled(Outcome.ALREADY_GONE, suggestion=_near_miss(row, state))


def _named_entry(row: Row, state: ListState) -> Entry | Settled | None:
    if row.sid is not None:
        return state.entries.get(row.sid)
    there = state.at(named_key(row))
    if len(there) > 1:
        return _ambiguous(there[0], len(there))
    return there[0] if there else None


def named_key(row: Row) -> Key:
    """The address and prefix by which a row names its entry (a row without a sid)."""
    if row.match_address is not None:
        return (row.match_address, row.match_prefix or 32)
    return (_address(row.address), row.prefix or 32)


def _address(address: int | None) -> int:
    if address is None:
        raise AssertionError("a checked row has an address here")
    return address


def _ambiguous(entry: Entry, count: int) -> Settled:
    return Settled(
        Outcome.REFUSED,
        "ambiguous_address",
        entry,
        f"the list holds {cidr_text(*entry.key)} {count} times: name the entry by its sid",
    )


def _near_miss(row: Row, state: ListState) -> str:
    """A word of warning where a delete missed an entry of the same address by its prefix."""
    if row.sid is not None:
        return ""
    address = named_key(row)[0]
    near = [e for e in state.entries.values() if e.address == address]
    if not near:
        return ""
    return f"the list holds {ip_text(address)}/{near[0].prefix}: give its prefix to delete it"
