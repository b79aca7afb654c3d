"""Progress of a run on stderr: a live display on a terminal, lines now and then elsewhere.

Both look at the engine from a thread of their own, several times a second or every few seconds,
so that showing costs the rows nothing.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Protocol

from bulkipacl.cli.options import ProgressMode
from bulkipacl.model import GOOD_OUTCOMES
from bulkipacl.report import counted
from bulkipacl.report.limits import LIMIT_NAMES
from bulkipacl.store import views

if TYPE_CHECKING:
    from rich.console import Group

    from bulkipacl.engine.sender import AccountFigures, Sender

REFRESH_PER_S = 8
PLAIN_EVERY_S = 10.0
SHOWN_ACCOUNTS = 6
ETA_FROM_ROWS = 10
DETAILED_ROWS = 1_000_000
"""Past it, counting the rows of each account would hold the first request up."""


class Progress(Protocol):
    """Something that shows how far a run is."""

    def stop(self) -> None:
        """Show it for the last time."""


def start_progress(mode: ProgressMode, engine: Sender, rows: int | None) -> Progress | None:
    """Begin to show; None where nothing is to be shown."""
    if mode is ProgressMode.NONE:
        return None
    is_terminal = sys.stderr.isatty()
    figures = _Figures(engine, rows, is_detailed=rows is not None and rows <= DETAILED_ROWS)
    if mode is ProgressMode.RICH or (mode is ProgressMode.AUTO and is_terminal):
        return _Rich(figures)
    return _Plain(figures)


class _Figures:
    """What is shown, read off the engine."""

    def __init__(self, engine: Sender, rows: int | None, *, is_detailed: bool) -> None:
        self.rows = rows
        self._engine = engine
        self._rows_of = views.rows_left_of_accounts(engine.directory) if is_detailed else {}
        self._started = time.monotonic()

    @property
    def ended(self) -> int:
        return self._engine.outcomes.total()

    @property
    def rate(self) -> float:
        return self.ended / max(time.monotonic() - self._started, 1e-6)

    def counts(self) -> str:
        found = {str(o): n for o, n in self._engine.outcomes.copy().items() if n}
        good = [f"{n:,} {o}" for o, n in found.items() if o in GOOD_OUTCOMES]
        bad = [f"{n:,} {o}" for o, n in found.items() if o not in GOOD_OUTCOMES]
        return " · ".join(good + bad) or "reading the lists"

    def traffic(self) -> str:
        engine = self._engine
        return (
            f"{self.rate:,.0f} rows/s · {engine.requests:,} requests · {engine.in_flight} in "
            f"flight · {engine.open_lists} lists open · {engine.throttled:,} throttled (429)"
        )

    def left(self) -> str:
        """The run takes as long as its slowest account, which goes on when others have ended."""
        all_s = [self._left_s((self.rows or 0) - self.ended, self.ended)]
        accounts = dict(self._engine.accounts).values()
        all_s += [self._left_s(self._left_of(one), one.ended) for one in accounts]
        return _seconds(max((one_s for one_s in all_s if one_s is not None), default=None))

    def _left_s(self, left: int, ended: int) -> float | None:
        if left <= 0 or ended < ETA_FROM_ROWS:
            return None
        return left * (time.monotonic() - self._started) / ended

    def accounts(self) -> list[tuple[str, ...]]:
        """The accounts with the most left to do: one line of cells for each."""
        # One that waits for its pace has nothing in flight most of the time, and is under way.
        found = [
            account
            for account in dict(self._engine.accounts).values()
            if account.in_flight or self._left_of(account) > 0
        ]
        found.sort(key=self._left_of, reverse=True)
        lines = [self._account(account) for account in found[:SHOWN_ACCOUNTS]]
        if len(found) > SHOWN_ACCOUNTS:
            lines.append((f"and {counted(len(found) - SHOWN_ACCOUNTS, 'more account')}",))
        return lines

    def _left_of(self, account: AccountFigures) -> int:
        return self._rows_of.get(account.number, 0) - account.ended

    def _account(self, account: AccountFigures) -> tuple[str, ...]:
        governor, ended = account.governor, account.ended
        pace, limit = governor.pace_per_s, LIMIT_NAMES.get(account.binding)
        left = self._left_of(account)
        return (
            f"{account.sid[:6]}…{account.sid[-4:]}",
            f"{ended:,} of {ended + left:,}" if left > 0 else f"{ended:,}",
            f"{account.in_flight} of {governor.window:.0f} in flight",
            f"pace {pace:,.1f}/s" if pace is not None else "",
            f"limit: {limit}" if limit else "",
            f"{governor.throttled:,} throttled" if governor.throttled else "",
            _seconds(self._left_s(left, ended)),
        )

    def lines(self) -> str:
        """The run on a line, and the accounts with the most left to do on one each."""
        of = f" of {self.rows:,}" if self.rows else ""
        run = (f"{self.ended:,}{of} rows", self.counts(), self.traffic(), self.left())
        lines = [_joined(run)] + [f"  {_joined(cells)}" for cells in self.accounts()]
        return "".join(f"{line}\n" for line in lines)


def _joined(cells: tuple[str, ...]) -> str:
    return " · ".join(cell for cell in cells if cell)


def _seconds(left_s: float | None) -> str:
    return "" if left_s is None else f"{left_s:,.0f} s left"


class _Plain:
    def __init__(self, figures: _Figures) -> None:
        self._figures = figures
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._show, name="progress", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _show(self) -> None:
        while not self._over.wait(PLAIN_EVERY_S):
            sys.stderr.write(self._figures.lines())
            sys.stderr.flush()


class _Rich:
    def __init__(self, figures: _Figures) -> None:
        from rich.console import Console
        from rich.live import Live

        self._figures = figures
        self._live = Live(
            get_renderable=self._render,
            console=Console(stderr=True),
            refresh_per_second=REFRESH_PER_S,
            redirect_stdout=False,
        )
        self._live.start(refresh=True)

    def stop(self) -> None:
        self._live.stop()

    def _render(self) -> Group:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        figures = self._figures
        head = Table.grid(padding=(0, 2))
        done = f"{figures.ended:,} of {figures.rows:,}" if figures.rows else f"{figures.ended:,}"
        head.add_row(
            Text(f"{done} rows", style="bold"),
            ProgressBar(total=figures.rows, completed=figures.ended, width=40),
            Text(figures.left()),
        )
        table = Table.grid(padding=(0, 2))
        for cells in figures.accounts():
            table.add_row(*(Text(cell, style="dim") for cell in cells))
        traffic = Text(figures.traffic(), style="dim")
        return Group(head, Text(figures.counts()), traffic, table)
