"""Group commits: what the engine writes, gathered and made durable together.

Outcomes wait a little for company; a snapshot, for which sending waits, does not. What has to
come after durability (the first write to a list, a line of a stream) is called from here. Where
a batch goes is not known here: to the run directory, or to the process that writes to it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import anyio

from bulkipacl.model import RowResult
from bulkipacl.settings import COMMIT_EVERY_S, COMMIT_ROWS
from bulkipacl.store import journal
from bulkipacl.store.journal import Batch
from bulkipacl.store.rundir import RunDirectory

Write = Callable[[Batch], Awaitable[None]]
"""Makes a batch durable, or raises a StoreError; not torn by cancellation."""

Offload = Callable[[Callable[[], None]], Awaitable[None]]
"""Runs a blocking call: in a thread, or at once where time is virtual."""


async def in_thread(call: Callable[[], None]) -> None:
    """Run a blocking call in a thread of anyio's; not torn by cancellation."""
    await anyio.to_thread.run_sync(call)


def to_journal(run: RunDirectory, offload: Offload) -> Write:
    """Writes batches to the run directory itself."""

    async def write(batch: Batch) -> None:
        await offload(lambda: journal.commit(run, batch))

    return write


class Committer:
    """One writer for the whole engine.

    Attributes:
        is_broken: a commit has failed, and nothing is written any more.
        batch: what is written with the next commit; add to it, then call `soon`.
    """

    def __init__(
        self, write: Write, on_ended: Callable[[Sequence[RowResult]], None] | None
    ) -> None:
        self.batch = Batch()
        self.is_broken = False
        self._write = write
        self._on_ended = on_ended
        self._is_urgent = False
        self._is_closed = False
        self._is_idle = True
        self._told = anyio.Event()

    def soon(self, *, is_urgent: bool = False) -> None:
        """Something was added to the batch."""
        if is_urgent or len(self.batch.results) >= COMMIT_ROWS:
            self._is_urgent = True
        if self._is_urgent or self._is_idle:
            self._told.set()

    def close(self) -> None:
        """Let `work` end once everything is written."""
        self._is_closed = True
        self.soon(is_urgent=True)

    async def work(self) -> None:
        """Commit until closed.

        Raises:
            StoreError: a batch could not be written; nothing that waits for it is sent.
        """
        while self.batch or not self._is_closed:
            if not self.batch:
                self._is_idle = True
                await self._told.wait()
                self._told = anyio.Event()
                continue
            self._is_idle = False
            if not self._is_urgent:
                with anyio.move_on_after(COMMIT_EVERY_S):
                    await self._told.wait()
            self._told = anyio.Event()
            self._is_urgent = self._is_closed
            await self.flush()

    async def flush(self) -> None:
        """Write what there is, now."""
        batch, self.batch = self.batch, Batch()
        if not batch or self.is_broken:
            return
        try:
            with anyio.CancelScope(shield=True):
                await self._write(batch)
        except BaseException:
            # What comes later may rest on what was lost (a round closed on outcomes that are not
            # there): so nothing is written any more.
            self.is_broken = True
            raise
        if self._on_ended is not None and batch.results:
            self._on_ended(batch.results)
        for call in batch.after:
            call()
