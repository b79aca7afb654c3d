"""Problems of the input: made here, and written as one line for people here.

Not here: finding them (`fields`, `checks`, `crosscheck`).
"""

from __future__ import annotations

import json
import re

import orjson

from bulkipacl.model import Draft, Problem

MAX_VALUE_CHARS = 60

_ESCAPED = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def shorten(value: str) -> str:
    """A value for people: at most 60 characters, and always encodable as UTF-8.

    What was no UTF-8 in the input came in as a lone surrogate; it is shown as its byte.
    """
    if len(value) > MAX_VALUE_CHARS:
        value = value[: MAX_VALUE_CHARS - 1] + "…"
    return value if value.isascii() else _SURROGATE.sub(_byte_text, value)


def _byte_text(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def make(field: str, value: str, reason: str, why: str, suggestion: str = "") -> Problem:
    """A problem that stands in the way of sending the row."""
    return Problem(field, shorten(value), reason, why, shorten_text(suggestion))


def warn(field: str, value: str, reason: str, why: str, suggestion: str = "") -> Problem:
    """A problem that is only worth saying."""
    return Problem(field, shorten(value), reason, why, shorten_text(suggestion), is_warning=True)


def shorten_text(text: str) -> str:
    """A suggestion that may quote input: encodable, and no longer than a line or two."""
    text = text[:320]
    return text if text.isascii() else _SURROGATE.sub(_byte_text, text)


def describe(problem: Problem, *, source: str, line: int) -> str:
    """One line for people: `FILE:LINE: column C, value 'V': why. suggestion`.

    Control and direction characters are escaped: input must not be able to drive the terminal.
    """
    where = f"{source}:{line}: "
    if problem.field:
        where += f"column {problem.field}, value {_quoted(problem.value)}: "
    elif problem.value:
        where += f"{_quoted(problem.value)}: "
    text = where + problem.why
    if problem.suggestion:
        text = f"{text.rstrip('.')}. {problem.suggestion[:1].upper()}{problem.suggestion[1:]}"
    return _ESCAPED.sub(_escape, shorten_line(text))


def shorten_line(text: str) -> str:
    """Text without lone surrogates, so that any UTF-8 stream takes it."""
    return _SURROGATE.sub(_byte_text, text)


def _quoted(value: str) -> str:
    return f"'{value}'"


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def dump(value: object) -> bytes:
    """A record as JSON.

    orjson refuses lone surrogates (bytes that were no UTF-8), integers over 64 bits and deep
    nesting; the standard library writes the first two, and what is left is not worth keeping.
    """
    try:
        return orjson.dumps(value, default=float)
    except TypeError:
        pass
    try:
        return json.dumps(value, default=float).encode()
    except (TypeError, ValueError, RecursionError):
        return b'"(a record that JSON cannot hold)"'


def broken(line: int, text: str, reason: str, why: str, suggestion: str = "") -> Draft:
    """The Draft of a record that could not be read at all, so that it too is answered."""
    problem = make("", text.strip(), reason, why, suggestion)
    raw = dump(text)
    return Draft(line, 0, "", "", "", None, None, None, None, None, None, raw, (problem,))


def long_line(line: int, start: bytes) -> Draft:
    """The Draft of an over-long line, of which only the start is kept."""
    text = start.decode("utf-8", "surrogateescape")
    hint = "check that the file is what its name says"
    return broken(line, text, "line_too_long", "the line is longer than 1 MiB", hint)


def cut_off(line: int, rest: bytes, cause: Exception) -> Draft:
    """The Draft that stands for all that could not be read after this place."""
    text = rest[:1000].decode("utf-8", "surrogateescape")
    why = f"{cause}; nothing after this place can be read"
    return broken(line, text, "corrupt", why, "make the file anew and check it")
