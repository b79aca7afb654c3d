"""What a worker process does that has lost its parent."""

from __future__ import annotations

import subprocess
import sys

ORPHAN = """
import os, sys, time
from bulkipacl.cluster.worker import Orphanless

class Wire:
    def send(self, request):
        os.write(1, request)

read, write = os.pipe()
parent = os.getpid()
if os.fork():
    os.read(read, 1)
    os._exit(0)
wire = Orphanless(Wire())
wire.send(b"before ")
os.write(write, b".")
while os.getppid() == parent:
    time.sleep(0.005)
wire.send(b"after ")
os.write(1, b"end")
"""


def test_nothing_is_sent_without_a_parent() -> None:
    """The next request after the parent's end is not sent, and the worker is gone."""
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN], capture_output=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == (b"before ", b"")
