"""What processes say to each other, over real pipes."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from bulkipacl.cluster.messages import Committed, Failed, Message, Stop, Wrote
from bulkipacl.cluster.pipe import Pipe, frame
from bulkipacl.cluster.process import environment
from bulkipacl.model import Entry, Evidence, LimitSample, Outcome, RowResult
from bulkipacl.store.journal import Batch, KeptSnapshot, Writes, plain

BATCH = Batch(
    snapshots=[
        KeptSnapshot(1, 0, 1.5, 9, (Entry("IP1", 1, 32, "n\u00e9"),)),
        KeptSnapshot(2, 3, 1.5, 9, (), frozenset({4, 5})),
    ],
    results=[RowResult(7, Outcome.CREATED, Evidence.READ_BACK, sid="IP2", address=2**32 - 1)],
    closed=[(1, 0)],
    stopped=[("AC1", "{}")],
    notes=[("late", "a text")],
    samples=[LimitSample(1.0, 1, 2.0, None, "pace", 3, 4, 5)],
    names=[(1, 2, "AL1")],
    figures=[("requests", 3.0)],
)
SAID: list[Message] = [
    Wrote(tuple(plain(BATCH))),
    Committed(),
    Wrote(tuple(plain(Batch(results=[RowResult(n, Outcome.UNKNOWN) for n in range(3_000)])))),
    Stop("interrupted"),
    Failed("StoreError", "no", None),
]


class End:
    """One end of a pipe, and what it has heard."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self.is_over = asyncio.Event()
        self.pipe = Pipe(self.heard.append, self.is_over.set)


@pytest.fixture
def anyio_backend() -> str:
    """These are asyncio's pipes."""
    return "asyncio"


@pytest.mark.anyio
async def test_messages(anyio_backend: str) -> None:
    """All that one end says the other hears, in order and whole, and then that it has ended."""
    one, other = End(), End()
    (read_a, write_a), (read_b, write_b) = os.pipe(), os.pipe()
    await one.pipe.open(os.fdopen(read_a, "rb", 0), os.fdopen(write_b, "wb", 0))
    await other.pipe.open(os.fdopen(read_b, "rb", 0), os.fdopen(write_a, "wb", 0))
    for message in SAID:
        one.pipe.say(message)
    await one.pipe.aclose()
    await asyncio.wait_for(other.is_over.wait(), 10)
    assert other.heard == SAID
    writes = Writes(*other.heard[0].writes)  # type: ignore[union-attr]
    assert writes == plain(BATCH)
    assert (writes.rounds[0][:4], writes.untried) == ((1, 0, 1.5, 9), [4, 5])
    await other.pipe.aclose()


@pytest.mark.anyio
async def test_frames_in_pieces(anyio_backend: str) -> None:
    """It does not matter in which pieces frames come."""
    end = End()
    data = b"".join(map(frame, [*SAID[:2], *SAID[3:]]))
    for byte in data:
        end.pipe.data_received(bytes([byte]))
    end.pipe.data_received(data)
    assert end.heard == [*SAID[:2], *SAID[3:]] * 2


def test_environment() -> None:
    """A worker finds this package and its settings of Python, and is given no secret."""
    given = {
        "PATH": "/bin",
        "PYTHONPATH": "elsewhere",
        "LC_ALL": "C",
        "TWILIO_AUTH_TOKEN": "secret",
        "OFFICE_TOKEN": "secret",
        "HTTPS_PROXY": "http://user:secret@proxy",
    }
    found = environment(given)
    assert "secret" not in repr(found)
    assert (found["PATH"], found["LC_ALL"]) == ("/bin", "C")
    package, elsewhere = found["PYTHONPATH"].split(os.pathsep)
    assert (Path(package) / "bulkipacl/cluster/worker.py").exists()
    assert elsewhere == "elsewhere"
