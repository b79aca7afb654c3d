"""JSON arrays and the API's page bodies as records, in constant memory.

Not here: turning a value into a Draft (`json_records`).

    read_array   one Draft for each value of arrays, pages, or objects that follow each other
    _Cursor      a place in JSON text of which only a window is held

The standard library's parser reads one value at a time off the window, so its text can be kept as
it came, and whatever stands between the values is seen. (ijson 3.6, the usual means, is slower;
its parser in C ends the process with a segmentation fault on an integer of 5,000 digits, and what
does not match its path is passed over in silence: here, that would be a lost row.)
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator

from bulkipacl.intake.json_records import ObjectReader
from bulkipacl.intake.problems import broken, cut_off, dump
from bulkipacl.intake.streams import CHUNK_BYTES, MAX_LINE_BYTES, CorruptError, Peekable
from bulkipacl.model import Draft

_PAGE_KEY = "ip_addresses"

_MAX_VALUE_CHARS = 2 * MAX_LINE_BYTES
"""Read without completing one value, before the rest of a source is given up."""

_SPACE = re.compile(r"[ \t\r\n]*")
_LONGEST_TOKEN = 16
"""An error this close to the end of the window may be a token that is only not here yet."""


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


class _BrokenError(Exception):
    """The JSON cannot be read any further; the text says why."""


class _Cursor:
    """A place in JSON text of which only a window is held.

    Attributes:
        line: the physical line at which the window begins.
    """

    def __init__(self, source: Peekable) -> None:
        self._source = source
        # As in CSV, bytes that are no UTF-8 stay recognisable instead of being replaced.
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        self._scan = json.JSONDecoder(parse_constant=_no_constant).raw_decode
        self._text = ""
        self._at = 0
        self._is_ended = False
        self.line = 1

    def char(self) -> str:
        """The next character that is no space, left where it is; "" at the end."""
        if self._at < len(self._text) and self._text[self._at] > " ":
            return self._text[self._at]
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, wanted: str) -> bool:
        """Takes the next character if it is the wanted one."""
        if self.char() != wanted:
            return False
        self._at += 1
        return True

    def expect(self, wanted: str) -> None:
        """Takes the next character, which must be the wanted one."""
        found = self.char()
        if found != wanted:
            raise _BrokenError(f"{_shown(found)} stands where {wanted} should")
        self._at += 1

    def value(self) -> tuple[object, bytes]:
        """The next value and its JSON, on one line."""
        self.char()
        while True:
            try:
                value, end = self._scan(self._text, self._at)
            except json.JSONDecodeError as exc:
                # Not all of the value may be here yet: then any error is at the window's end, but
                # for that of an open string, which is reported where the string begins.
                is_open = exc.msg.startswith("Unterminated")
                is_near_end = exc.pos >= len(self._text) - _LONGEST_TOKEN
                if (is_open or is_near_end) and self._more():
                    continue
                self._at = min(exc.pos, len(self._text))
                raise _BrokenError(exc.msg[:1].lower() + exc.msg[1:]) from exc
            except RecursionError as exc:
                raise _BrokenError("the value is nested too deeply") from exc
            except ValueError as exc:
                raise _BrokenError(str(exc)[:100]) from exc
            # A number that ends with the window may go on after it.
            if end == len(self._text) and type(value) not in (dict, list, str) and self._more():
                continue
            text, self._at = self._text[self._at : end], end
            return value, _one_line(text, value)

    def where(self) -> int:
        """The physical line of this place."""
        return self.line + self._text.count("\n", 0, self._at)

    def _more(self) -> bool:
        """Lengthens the window, letting go of what was read; False at the end."""
        if self._is_ended:
            return False
        if len(self._text) - self._at > _MAX_VALUE_CHARS:
            raise _BrokenError("a value is longer than 2 MiB")
        data = self._source.read(CHUNK_BYTES)
        self._is_ended = not data
        self.line = self.where()
        self._text = self._text[self._at :] + self._decode(data, not data)
        self._at = 0
        return True


def _one_line(text: str, value: object) -> bytes:
    """A value's JSON as it came, but on one line and in UTF-8."""
    if "\n" not in text and "\r" not in text:
        try:
            return text.encode()
        except UnicodeEncodeError:
            pass
    return dump(value)


def _shown(char: str) -> str:
    return ascii(char) if char else "the end"


def read_array(source: Peekable, objects: ObjectReader, *, is_page: bool) -> Iterator[Draft]:
    """One Draft for each value; about 6 us each.

    Args:
        is_page: whether an object is a body that holds its rows under `ip_addresses`; else it is
            a row itself. Several bodies, arrays or objects may follow each other.
    """
    cursor = _Cursor(source)
    place = 0
    try:
        for value, raw in _values(cursor, is_page=is_page):
            place += 1
            if isinstance(value, _ErrorBody):
                objects.skip_row()
                why = "this body is not a page of addresses: the reading is incomplete"
                yield broken(place, value.text, "not_a_page", why, "read the list anew")
            else:
                yield objects.draft(place, value, raw)
    except CorruptError as exc:
        objects.skip_row()
        yield cut_off(place + 1, b"", exc)
    except _BrokenError as exc:
        objects.skip_row()
        why = f"the JSON breaks off at line {cursor.where()}, in value {place + 1}: {exc}"
        hint = "mend it there; nothing after this place was read"
        yield broken(place + 1, "", "bad_json", why, hint)


class _ErrorBody:
    """A body without addresses among pages: the API's error answer, most likely."""

    def __init__(self, text: str) -> None:
        self.text = text


def _values(cursor: _Cursor, *, is_page: bool) -> Iterator[tuple[object, bytes]]:
    """The values of all documents, one after another."""
    while first := cursor.char():
        if first == "[":
            yield from _elements(cursor)
        elif first == "{" and is_page:
            yield from _page(cursor)
        else:
            yield cursor.value()


def _elements(cursor: _Cursor) -> Iterator[tuple[object, bytes]]:
    cursor.expect("[")
    if cursor.take("]"):
        return
    while True:
        yield cursor.value()
        if not cursor.take(","):
            cursor.expect("]")
            return


def _page(cursor: _Cursor) -> Iterator[tuple[object, bytes]]:
    """The addresses of one page body, wherever in it they stand."""
    cursor.expect("{")
    has_addresses = False
    others: dict[str, object] = {}
    is_last = cursor.take("}")
    while not is_last:
        if cursor.char() != '"':
            raise _BrokenError(f"{_shown(cursor.char())} stands where a key should")
        key = str(cursor.value()[0])
        cursor.expect(":")
        if key == _PAGE_KEY and cursor.char() == "[":
            has_addresses = True
            yield from _elements(cursor)
        else:
            value, _ = cursor.value()
            if len(others) < 8:
                others[key] = value
        is_last = not cursor.take(",")
        if is_last:
            cursor.expect("}")
    if not has_addresses:
        yield _ErrorBody(dump(others).decode()[:200]), b""
