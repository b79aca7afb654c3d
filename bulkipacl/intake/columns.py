"""Which column means which field.

Not here: what a field may hold (`checks`, `fields`).

    FIELDS                the fields in the order in which a record's values are handed on
    field_of              a column's field, whatever its case, spaces, hyphens or underscores
    Mapping, map_columns  the columns of one header, by field
    near_misses           columns that look like a misspelt field
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from bulkipacl.errors import InputError

FIELDS = (
    "operation",
    "account_sid",
    "ip_access_control_list_sid",
    "list_name",
    "sid",
    "ip_address",
    "cidr_prefix_length",
    "friendly_name",
    "match_ip_address",
    "match_cidr_prefix_length",
)
"""Every record is reduced to these ten texts, in this order, "" where it has none.

Account and list stand side by side: `checks` looks the three up as one slice.
"""

_SYNONYMS = {
    "operation": ("op", "action"),
    "account_sid": ("account",),
    "ip_access_control_list_sid": ("list_sid", "list", "acl", "acl_sid"),
    "list_name": ("acl_name",),
    "sid": ("ip_address_sid",),
    "ip_address": ("ip", "address", "cidr"),
    "cidr_prefix_length": ("prefix", "prefix_length"),
    "friendly_name": ("name", "description"),
    "match_ip_address": ("old_ip_address", "old_ip", "match_ip"),
    "match_cidr_prefix_length": ("old_cidr_prefix_length", "old_prefix", "match_prefix"),
}

_NOISE = re.compile(r"[\s_\-\ufeff\u200b]+")
_MAX_NAME = 100
"""A longer column name is nobody's synonym; it is not worth normalising."""


def _normalise(column: str) -> str:
    return _NOISE.sub("", column).lower()


_FIELD_BY_NAME = {
    _normalise(name): field for field, synonyms in _SYNONYMS.items() for name in (field, *synonyms)
}


def field_of(column: str) -> str | None:
    """The field that a column name means, or None where the column only travels along."""
    if len(column) > _MAX_NAME:
        return None
    return _FIELD_BY_NAME.get(_normalise(column))


@dataclass(frozen=True, slots=True)
class Mapping:
    """The columns of one header or one kind of JSON object.

    Attributes:
        places: per field of `FIELDS`, the index of its column, or None.
        twice: pairs of columns that mean the same field: (field, first, second).
    """

    places: tuple[int | None, ...]
    twice: tuple[tuple[str, str, str], ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether no column at all was recognised."""
        return all(place is None for place in self.places)

    def has(self, field: str) -> bool:
        """Whether a column means `field`."""
        return self.places[FIELDS.index(field)] is not None


def map_columns(columns: Sequence[str]) -> Mapping:
    """Finds each field's column; of two that mean one field, the first, and both are named."""
    found: dict[str, int] = {}
    twice: list[tuple[str, str, str]] = []
    for index, column in enumerate(columns):
        field = field_of(column)
        if field is None:
            continue
        if field in found:
            twice.append((field, columns[found[field]], column))
        else:
            found[field] = index
    return Mapping(tuple(found.get(field) for field in FIELDS), tuple(twice))


def near_misses(columns: Sequence[str]) -> list[tuple[str, str]]:
    """Columns that are probably a misspelt field, with that field.

    The API drops a parameter that it does not know without a word, so a mistyped prefix column
    would quietly turn a block into one address: it deserves to be said.
    """
    misses: list[tuple[str, str]] = []
    for column in columns[:1000]:
        plain = _normalise(column[:_MAX_NAME])
        if len(plain) < 4 or plain in _FIELD_BY_NAME:
            continue
        near = difflib.get_close_matches(plain, _FIELD_BY_NAME, n=1, cutoff=0.85)
        if near:
            misses.append((column, _FIELD_BY_NAME[near[0]]))
    return misses


def check_header(
    name: str, columns: Sequence[str], *, has_operation: bool, has_account: bool, has_list: bool
) -> Mapping:
    """The mapping of a header that can carry rows.

    Args:
        has_operation, has_account, has_list: whether the command line says what rows leave out.

    Raises:
        InputError: no column is known, two mean the same field, or every single row would lack
            something: one message then names all that is missing.
    """
    mapping = map_columns(columns)
    shown = ", ".join(_shown(column) for column in columns[:8])
    if mapping.is_empty:
        raise InputError(
            f"{name}: no column of the header is known: {shown}",
            hint="the first line names the columns, such as: operation,account_sid,list_sid,"
            "ip_address,friendly_name",
        )
    if mapping.twice:
        field, first, second = mapping.twice[0]
        raise InputError(
            f"{name}: the columns {_shown(first)} and {_shown(second)} both mean {field}",
            hint="rename or remove one of them",
        )
    missing: list[tuple[str, str]] = []
    if not (has_operation or mapping.has("operation")):
        missing.append(("operation", "--operation create (or update, delete, upsert)"))
    if not (has_account or mapping.has("account_sid")):
        missing.append(("account_sid", "--account AC..."))
    if not (has_list or mapping.has("ip_access_control_list_sid") or mapping.has("list_name")):
        missing.append(("list_sid (or list_name)", "--list AL..."))
    if not (mapping.has("ip_address") or mapping.has("sid") or mapping.has("match_ip_address")):
        missing.append(("ip_address (or sid)", ""))
    if missing:
        _refuse_missing(name, columns, missing)
    return mapping


def _refuse_missing(name: str, columns: Sequence[str], missing: list[tuple[str, str]]) -> None:
    names = " and no column ".join(field for field, _ in missing)
    hints = [flag for _, flag in missing if flag]
    near = [f"{_shown(column)} looks like {field}" for column, field in near_misses(columns)]
    hint = "; ".join([*near, *(f"add the column or give {flag}" for flag in hints)])
    raise InputError(
        f"{name}: there is no column {names}",
        hint=hint or "add the column: without it no row says which entry it means",
    )


def _shown(column: str) -> str:
    """A column name that is safe to print."""
    return ascii(column[:40])
