"""Rows and entries in one line each, for the tests of the engine's pure parts."""

from __future__ import annotations

from bulkipacl.model import Entry, Operation, Row

CREATE, UPDATE = Operation.CREATE, Operation.UPDATE
DELETE, UPSERT = Operation.DELETE, Operation.UPSERT


def sid_of(number: int) -> str:
    """An entry's sid."""
    return f"IP{number:032x}"


def entry(number: int, address: int, name: str = "old", prefix: int = 32) -> Entry:
    """An entry that a list holds."""
    return Entry(sid_of(number), address, prefix, name)


def create(number: int, address: int, name: str | None = "new", prefix: int | None = 32) -> Row:
    """A create."""
    return Row(number, CREATE, None, address, prefix, name)


def upsert(number: int, address: int, name: str | None = "new", prefix: int | None = 32) -> Row:
    """An upsert."""
    return Row(number, UPSERT, None, address, prefix, name)


def rename(number: int, address: int, name: str) -> Row:
    """An update of the entry at an address, which gives it another name."""
    return Row(number, UPDATE, None, address, 32, name)


def move(number: int, old: int, new: int | None, name: str | None = None) -> Row:
    """An update of the entry at an address, which gives it another one."""
    return Row(number, UPDATE, None, new, None, name, old, 32)


def change(number: int, sid: int, new: int | None, name: str | None = None) -> Row:
    """An update of the entry with a sid."""
    return Row(number, UPDATE, sid_of(sid), new, None, name)


def delete(number: int, address: int, prefix: int | None = 32) -> Row:
    """A delete of the entry at an address."""
    return Row(number, DELETE, None, address, prefix)


def remove(number: int, sid: int) -> Row:
    """A delete of the entry with a sid."""
    return Row(number, DELETE, sid_of(sid))
