"""JSON records as Drafts: exactly one for each.

Not here: recognising the format (`formats`), arrays (`json_arrays`), judging a record (`checks`).

    ObjectReader   one JSON value to one Draft, whatever keys it has
    read_lines     one value a line
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from types import NoneType
from typing import Any, NamedTuple, cast

import orjson

from bulkipacl.intake.checks import Checker, Texts
from bulkipacl.intake.columns import FIELDS, map_columns
from bulkipacl.intake.problems import broken, cut_off, dump, long_line, make
from bulkipacl.intake.streams import CorruptError, LineBlocks, LongLineError, Peekable
from bulkipacl.model import Draft, Problem

MAX_COLUMNS = 1000
_MAX_COLUMN_CHARS = 1000
_KEPT_SHAPES = 200
_KEPT_SHAPE_KEYS = 64
"""Sets of keys whose mapping is kept; records of one file have few, and hostile ones no end."""

_GROUP = 100
"""Lines judged at once: past it a line gets no cheaper, and one odd line makes its group dear."""

_PREFIX_FIELDS = frozenset({"cidr_prefix_length", "match_cidr_prefix_length"})


class _Shape(NamedTuple):
    """How to take a record's values out of an object with certain keys.

    Attributes:
        keys: per field of `FIELDS` its key, or None.
    """

    keys: tuple[str | None, ...]
    pick: Callable[[Any], tuple[Any, ...]]
    twice: tuple[tuple[str, str, str], ...]


class ObjectReader:
    """Turns JSON values into Drafts.

    Attributes:
        columns: the keys seen so far, in order of first sight; shared with the source.
        row: the number of the next row.
    """

    def __init__(self, checker: Checker, columns: list[str], row: int) -> None:
        self.columns = columns
        self.row = row
        self._checker = checker
        self._shapes: dict[tuple[str, ...], _Shape] = {}
        self._seen = set(columns)

    def draft(self, place: int, value: object, raw: bytes) -> Draft:
        """The Draft of one value; `raw` is its JSON, `place` its line or its place in the array."""
        row = self.row
        self.row = row + 1
        if type(value) is not dict:
            text = raw.decode("utf-8", "replace")
            hint = 'write {"operation": "create", "ip_address": "...", ...}'
            return broken(place, text, "not_an_object", "a row is a JSON object", hint)
        record: dict[Any, Any] = value
        keys = tuple(record)
        shape = self._shapes.get(keys) or self._shape(keys)
        record[None] = ""  # what a missing field is read from; no JSON key is None
        values = shape.pick(record)
        found: list[Problem] = []
        if shape.twice:
            values = _without_doubles(values, shape, record, found)
        try:
            "".join(values)  # raises where a value is no text: the cheapest check of ten types
        except TypeError:
            values = tuple(
                given if type(given) is str else _as_text(field, given, found)
                for field, given in zip(FIELDS, values, strict=True)
            )
        texts = cast("Texts", values)
        if found:
            return self._checker.explain(place, row, texts, raw, tuple(found))
        return self._checker.draft(place, row, texts, raw)

    def plain(self, line: int, values: list[Any], raws: list[bytes]) -> list[Draft] | None:
        """The Drafts of values that are alike and all plainly right; None where one may not be.

        Args:
            line: that of the first; the others follow, a line each.
        """
        if set(map(type, values)) != {dict}:
            return None
        keys = tuple(values[0])
        shape = self._shapes.get(keys) or self._shape(keys)
        if shape.twice or list(map(tuple, values)).count(keys) != len(values):
            return None
        columns: list[Sequence[str]] = []
        for field, key in zip(FIELDS, shape.keys, strict=True):
            column = None if key is None else _texts(field, list(map(itemgetter(key), values)))
            if key is not None and column is None:
                return None
            columns.append(column or [""] * len(values))
        lines = range(line, line + len(values))
        drafts = self._checker.plain(lines, self.row, columns, raws)
        self.row += len(drafts or ())
        return drafts

    def skip_row(self) -> None:
        """Counts a row that was answered without its value."""
        self.row += 1

    def _shape(self, keys: tuple[str, ...]) -> _Shape:
        for key in keys:
            is_kept = len(self.columns) < MAX_COLUMNS and len(key) <= _MAX_COLUMN_CHARS
            if is_kept and key not in self._seen:
                self._seen.add(key)
                self.columns.append(key)
        mapping = map_columns(keys)
        picked = tuple(None if place is None else keys[place] for place in mapping.places)
        shape = _Shape(picked, itemgetter(*picked), mapping.twice)
        if len(keys) <= _KEPT_SHAPE_KEYS:
            if len(self._shapes) >= _KEPT_SHAPES:
                self._shapes.clear()
            self._shapes[keys] = shape
        return shape


def _without_doubles(
    values: tuple[Any, ...], shape: _Shape, record: dict[Any, Any], found: list[Problem]
) -> tuple[Any, ...]:
    """Two keys that mean one field: an empty one gives way, two filled ones contradict."""
    settled = list(values)
    for field, first, second in shape.twice:
        place = FIELDS.index(field)
        if settled[place] in (None, ""):
            settled[place] = record[second]
        elif record[second] not in (None, ""):
            why = f"the keys {first[:40]!a} and {second[:40]!a} both mean {field}"
            found.append(make(field, str(record[second])[:80], "field_twice", why, "keep one"))
    return tuple(settled)


def _texts(field: str, values: list[Any]) -> Sequence[str] | None:
    """The texts of a field's values; None where one of them is of a type that needs explaining."""
    types = set(map(type, values))
    if types == {str}:
        return values
    if types <= ({str, int, NoneType} if field in _PREFIX_FIELDS else {str, NoneType}):
        return ["" if value is None else str(value) for value in values]
    return None


def _as_text(field: str, value: object, found: list[Problem]) -> str:
    """The text of a value that came as another JSON type."""
    if value is None:
        return ""
    is_whole = type(value) is int
    if field in _PREFIX_FIELDS and is_whole and abs(cast("int", value)) < 10**9:
        return str(value)
    text = dump(value).decode()
    wanted = "a number from 1 to 32" if field in _PREFIX_FIELDS else "text in quotes"
    suggestion = f"write {wanted}"
    if isinstance(value, dict | list):
        suggestion = "write one object for each row"
    elif field in _PREFIX_FIELDS and text.endswith(".0"):
        suggestion = f"write {text.removesuffix('.0')}"
    elif is_whole:
        suggestion = f'write "{text[:40]}"'
    found.append(make(field, text, "bad_type", f"this field takes {wanted}", suggestion))
    return ""


def read_lines(source: Peekable, objects: ObjectReader) -> Iterator[Draft]:
    """One Draft for each line that is not blank; about 3 us each."""
    return chain.from_iterable(_groups(source, objects))


def _groups(source: Peekable, objects: ObjectReader) -> Iterator[list[Draft]]:
    """The Drafts, some at once; none of them waits for what has not arrived yet."""
    blocks = LineBlocks(source)
    line = 0
    while True:
        try:
            block = blocks.next_block()
        except LongLineError as exc:
            line += 1
            objects.skip_row()
            yield [long_line(line, exc.start)]
            continue
        except CorruptError as exc:
            objects.skip_row()
            yield [cut_off(line + 1, blocks.rest, exc)]
            return
        if not block:
            return
        lines = block.split(b"\n")
        if not lines[-1]:
            lines.pop()  # what follows the last line's end
        for start in range(0, len(lines), _GROUP):
            group = lines[start : start + _GROUP]
            yield _plain(line + 1, group, objects) or _each(line + 1, group, objects)
            line += len(group)


def _plain(line: int, group: list[bytes], objects: ObjectReader) -> list[Draft] | None:
    """The Drafts of lines that are all plainly right; None where one of them may not be."""
    try:
        return objects.plain(line, list(map(orjson.loads, group)), group)
    except orjson.JSONDecodeError:
        return None


def _each(line: int, group: list[bytes], objects: ObjectReader) -> list[Draft]:
    drafts: list[Draft] = []
    for number, text in enumerate(group, line):
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as exc:
            if text.strip():
                objects.skip_row()
                drafts.append(_unparsed(number, text, exc))
            continue
        drafts.append(objects.draft(number, value, text))
    return drafts


def _unparsed(line: int, text: bytes, exc: orjson.JSONDecodeError) -> Draft:
    shown = text.decode("utf-8", "surrogateescape")
    why = f"the line is not valid JSON (character {exc.pos + 1})"
    hint = "write one whole JSON object a line"
    if any("\ud800" <= char <= "\udfff" for char in shown):
        why, hint = "the line is not valid UTF-8", "save the file as UTF-8"
    return broken(line, shown, "bad_json", why, hint)
