"""Which lists are meant: by sid, by name, by a pattern of names, or all of them. Pure.

Selection         asked for each list of an account
parse_selection   one from the words of a command line
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import translate

from bulkipacl.errors import UsageError
from bulkipacl.twilio.contract import is_sid

_GLOB_SIGNS = frozenset("*?[")


class Selection:
    """Lists by what a person wrote; no word at all means every list.

    Attributes:
        unmatched: the words that no list has matched so far, as they were written.
    """

    def __init__(self, words: Sequence[str], tests: Sequence[Callable[[str, str], bool]]) -> None:
        self._tests = list(zip(words, tests, strict=True))
        self.unmatched = dict.fromkeys(words)

    def takes(self, sid: str, name: str) -> bool:
        """Whether this list is meant."""
        is_meant = not self._tests
        for word, test in self._tests:
            if test(sid, name):
                self.unmatched.pop(word, None)
                is_meant = True
        return is_meant


def parse_selection(words: Sequence[str]) -> Selection:
    """A list's sid, `/regular expression/`, a glob (it holds `*`, `?` or `[`), or a name as it is.

    Case counts. A regular expression may match anywhere in the name, a glob matches all of it.

    Raises:
        UsageError: a regular expression is none.
    """
    return Selection(words, [_test(word) for word in words])


def _test(word: str) -> Callable[[str, str], bool]:
    if is_sid(word, "AL"):
        return lambda sid, name: sid == word
    if len(word) > 1 and word.startswith("/") and word.endswith("/"):
        try:
            search = re.compile(word[1:-1]).search
        except re.error as exc:
            raise UsageError(f"--list {word!a} is no regular expression: {exc}") from exc
        return lambda sid, name: search(name) is not None
    if _GLOB_SIGNS & set(word):
        match = re.compile(translate(word)).match
        return lambda sid, name: match(name) is not None
    return lambda sid, name: name == word
