"""How much an account may have in flight. Pure.

`Governor` answers one question, how many requests may be in flight just now, and is told of
every answer. Here the window is a number given by the user.
"""

from __future__ import annotations


class Governor:
    """The window of one account.

    Attributes:
        window: requests that may be in flight at once.
        throttled_in_row: answers of 429 since the last answer of another kind.
    """

    __slots__ = ("throttled_in_row", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.throttled_in_row = 0

    def on_answer(self) -> None:
        """An answer that was not a 429."""
        self.throttled_in_row = 0

    def on_throttled(self) -> None:
        """An answer of 429: the request was not processed."""
        self.throttled_in_row += 1
