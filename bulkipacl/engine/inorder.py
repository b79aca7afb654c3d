"""Hands over in order what comes in any order, in flat memory.

What comes before its turn lies in an unnamed temporary file until then, so that a slow account
keeps no other one from being read, however many lists these have.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from types import TracebackType
from typing import Self


class InOrder:
    """Chunks of bytes by (group, place), handed over group by group and place by place.

    Args:
        then: is given each chunk in its turn.
    """

    def __init__(self, then: Callable[[bytes], None]) -> None:
        self._then = then
        self._group = 0
        self._place = 0
        self._sizes: dict[int, int] = {}
        self._early: dict[tuple[int, int], tuple[int, int]] = {}
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as this
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def put(self, group: int, place: int, chunk: bytes) -> None:
        """A chunk has come.

        Raises:
            OSError: there is no room for what comes early.
        """
        if (group, place) == (self._group, self._place):
            self._place += 1
            self._then(chunk)
            self._go_on()
            return
        self._file.seek(self._end)
        self._file.write(chunk)
        self._early[group, place] = (self._end, len(chunk))
        self._end += len(chunk)

    def complete(self, group: int, size: int) -> None:
        """A group has so many chunks, places 0 to size - 1."""
        self._sizes[group] = size
        self._go_on()

    def _go_on(self) -> None:
        while True:
            if self._sizes.get(self._group) == self._place:
                del self._sizes[self._group]
                self._group, self._place = self._group + 1, 0
                continue
            found = self._early.pop((self._group, self._place), None)
            if found is None:
                return
            self._place += 1
            self._file.seek(found[0])
            self._then(self._file.read(found[1]))
