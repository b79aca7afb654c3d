"""Input that is sent while it arrives.

A thread reads, since a read of a pipe can wait for ever; the event loop takes what it has read
every few milliseconds, stores it and tells the engine. So a row never waits for the next one to
arrive, and what was not yet stored when a run is stopped was never a row of it.

Arrival     takes inputs in
unread      what a run has not taken in of its inputs, as a sentence
"""

from __future__ import annotations

import threading
from collections import deque

import anyio
import orjson

from bulkipacl.engine.committer import Offload, in_thread
from bulkipacl.engine.job import Inputs, Observer, info_of, open_input, tell, warn_of_columns
from bulkipacl.engine.sender import Sender
from bulkipacl.intake import Source
from bulkipacl.model import Draft
from bulkipacl.report import StreamLines, source_name
from bulkipacl.settings import COMMIT_EVERY_S, INTAKE_BATCH, INTAKE_BUFFER
from bulkipacl.store import views
from bulkipacl.store.intake import Intake
from bulkipacl.store.rundir import RunDirectory
from bulkipacl.store.unread import last_row


class Arrival:
    """Takes inputs into a run that is already under way."""

    def __init__(
        self,
        run: RunDirectory,
        inputs: Inputs,
        observer: Observer,
        engine: Sender,
        stream: StreamLines | None = None,
        offload: Offload = in_thread,
    ) -> None:
        self._run = run
        self._inputs = inputs
        self._observer = observer
        self._engine = engine
        self._stream = stream
        self._offload = offload
        self._intake = Intake(run)
        self._read = 0
        self._buffer: deque[tuple[int, Source, Draft]] = deque()
        self._has_room = threading.Event()
        self._has_room.set()
        self._is_over = False
        self._error: BaseException | None = None

    async def work(self) -> None:
        """Take in until the inputs end, or the run is stopped: then no further row is begun.

        Raises:
            BulkError: an input cannot be read any further, or the store cannot be written.
        """
        threading.Thread(target=self._read_all, name="intake", daemon=True).start()
        try:
            while not (self._is_over and not self._buffer):
                if self._engine.is_stopping:
                    return
                await anyio.sleep(COMMIT_EVERY_S)
                # Storing is not to be cancelled, so that a stop has to be asked for.
                while self._buffer and not self._engine.is_stopping:
                    await self._take_in()
            if self._error is not None:
                raise self._error
            views.set_meta(self._run, {"taken_in": "yes"})
            self._observer.checked(self._intake.rows, self._intake.invalid)
            self._engine.input_ended()
        finally:
            self._is_over = True
            self._has_room.set()

    async def _take_in(self) -> None:
        """Store what has been read, a batch of one source at a time."""
        source_id, source, _ = self._buffer[0]
        drafts: list[Draft] = []
        while self._buffer and self._buffer[0][0] == source_id and len(drafts) < INTAKE_BATCH:
            drafts.append(self._buffer.popleft()[2])
        self._has_room.set()
        touched: set[tuple[int, int]] = set()

        def insert() -> None:
            self._intake.describe(info_of(source_id, source))
            touched.update(self._intake.insert(source_id, drafts))

        with anyio.CancelScope(shield=True):
            await self._offload(insert)
        tell(self._observer, source.name, drafts)
        self._observer.taken_in(self._intake.rows)
        if self._stream is not None:
            self._stream.emit(self._intake.last_invalid)
        self._engine.arrived(touched, self._intake.rows)

    def _read_all(self) -> None:
        """In the thread: every record of every input, no more of them ahead than the bound."""
        try:
            for source_id, path in enumerate(self._inputs.files, start=1):
                source = open_input(self._inputs, path, self._read + 1)
                try:
                    self._read_source(source_id, source)
                finally:
                    source.close()
        except BaseException as exc:  # Handed over: the loop raises it.
            self._error = exc
        self._is_over = True

    def _read_source(self, source_id: int, source: Source) -> None:
        warn_of_columns(self._observer, source)
        for draft in source.drafts():
            if self._is_over:
                return
            self._read += 1
            self._buffer.append((source_id, source, draft))
            if len(self._buffer) >= INTAKE_BUFFER:
                self._has_room.clear()
                if len(self._buffer) >= INTAKE_BUFFER:
                    self._has_room.wait()


def unread(run: RunDirectory) -> str:
    """What a run that was sent while it arrived has not taken in, and what to do about it."""
    names = orjson.loads(views.get_meta(run, "inputs", "[]"))
    last = last_row(run)
    if last is None:
        return "Nothing of the input was taken in: apply it again."
    after = f"what comes after line {last.line} of {source_name(last.source)}"
    left = [f"{after} (row {last.number})"]
    left += [f"all of {source_name(name)}" for name in names[last.source_id :]]
    return (
        f"The input was not read to its end. Not taken in: {' and '.join(left)}. A resume cannot"
        " know it: apply the rest as an input of its own, or the whole input again (what is done"
        " already is not done twice)."
    )
