"""One worker process, as the parent sees it.

Worker        starts it, talks to it, ends it
environment   what it is given of the parent's environment: no secret
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, cast

import anyio

import bulkipacl
from bulkipacl.cluster.messages import Message
from bulkipacl.cluster.pipe import Pipe
from bulkipacl.errors import UsageError

MODULE = "bulkipacl.cluster.worker"

NOT_FOR_WORKERS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
"""A terminal sends them to all processes at once. The parent decides, and tells."""

_KEPT = ("PATH", "HOME", "LANG", "TZ", "TMPDIR")
_KEPT_BEGINNINGS = ("PYTHON", "LC_", "LD_", "DYLD_", "SSL_", "OPENSSL_", "MALLOC_", "COVERAGE_")


class Worker:
    """A worker process, from its start to its end.

    Attributes:
        ending: what it said of its end, or None.
        rows: how many it was given, to send or to wait for.
        is_over: nothing more comes of it.
        is_lost: it has ended without saying so.

    Args:
        hear: told of each message but the last.
        ended: told once, when it is over.

    Raises:
        UsageError: no process can be started.
    """

    def __init__(
        self, hear: Callable[[Worker, Message], None], ended: Callable[[Worker], None]
    ) -> None:
        self.ending: str | None = None
        self.rows = 0
        self.is_over = False
        self.is_lost = False
        self._ended = ended
        self._process = _start()
        self._pipe = Pipe(lambda message: hear(self, message), self._end)
        self._unsaid: list[Message] | None = []

    async def open(self) -> None:
        """Begin to hear it, and tell it what was to be told before."""
        stdout, stdin = self._process.stdout, self._process.stdin
        try:
            await self._pipe.open(cast("IO[bytes]", stdout), cast("IO[bytes]", stdin))
        except OSError:  # It was told nothing yet: it is as good as lost.
            self._process.kill()
            self._end()
            return
        unsaid, self._unsaid = self._unsaid or [], None
        for message in unsaid:
            self._pipe.say(message)

    def tell(self, message: Message) -> None:
        """Tell it something."""
        if self._unsaid is not None:
            self._unsaid.append(message)
        elif not self.is_over:
            self._pipe.say(message)

    def kill(self) -> None:
        """End it now."""
        self._process.kill()

    async def close(self) -> None:
        """End it, if it has not ended, and wait for that."""
        if not self.is_lost and self.ending is None:
            self._process.kill()
        if self._unsaid is None:
            await self._pipe.aclose()
        else:
            for file in (self._process.stdin, self._process.stdout):
                cast("IO[bytes]", file).close()
        await anyio.to_thread.run_sync(self._process.wait)

    @property
    def how(self) -> str:
        """How it ended by itself, for people; known once it is closed."""
        status = self._process.returncode
        if status >= 0:
            return f"exit status {status}"
        name = signal.Signals(-status).name
        return f"{name}, as where memory runs out" if -status == signal.SIGKILL else name

    def _end(self) -> None:
        self.is_over = True
        self.is_lost = self.ending is None
        self._ended(self)


def _start() -> subprocess.Popen[bytes]:
    # Inherited, so that no signal reaches it before it has seen to that itself.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, NOT_FOR_WORKERS)
    try:
        # -P: a file in the working directory must not be taken for a module of ours.
        return subprocess.Popen(  # noqa: S603 - this very program
            [sys.executable, "-P", "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=environment(os.environ),
        )
    except OSError as exc:
        raise UsageError(
            f"a process for a part of the accounts cannot be started: {exc.strerror}",
            hint="give fewer --processes",
        ) from exc
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a worker is started with: what Python itself needs, from wherever it was started.

    Not all of it, because credentials stand there; what a worker needs of these it is told.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if name in _KEPT or name.startswith(_KEPT_BEGINNINGS)
    }
    package = str(Path(bulkipacl.__file__).resolve().parents[1])
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [package, environ.get("PYTHONPATH")]))
    return kept
