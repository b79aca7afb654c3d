"""A sandbox as a process of its own, and commands run against it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from typing import Any, Self

import orjson

from bulkipacl.cli.options import ProgressMode
from bulkipacl.errors import BulkError


class Sandboxed:
    """Starts a sandbox on a free port, and ends it.

    Attributes:
        url: where it is.
    """

    def __init__(self, switches: str) -> None:
        self.url = ""
        self._switches = switches.split()
        self._ready: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "bulkipacl",
                "sandbox",
                "--port",
                "0",
                "--json",
                *self._switches,
            ],
            stdout=subprocess.PIPE,
            # Ctrl-C is for the run: the sandbox ends when the run has.
            start_new_session=True,
        )
        try:
            line = self._process.stdout.readline() if self._process.stdout else b""
            if not line:
                raise BulkError("the sandbox did not start")
        except BaseException:  # Ctrl-C too: a session of its own would outlive this one.
            self.__exit__()
            raise
        self._ready = orjson.loads(line)
        self.url = self._ready["url"]
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.terminate()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def state(self) -> dict[str, Any]:
        """All that the sandbox holds."""
        with urllib.request.urlopen(f"{self.url}/sandbox/state") as answer:  # noqa: S310 - ours
            found: dict[str, Any] = orjson.loads(answer.read())
        return found

    def run(self, arguments: list[str], *, progress: ProgressMode) -> int:
        """Run a command with the sandbox's parent credential in the environment."""
        account_sid, token = next(iter(self._ready["accounts"].items()))
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TWILIO_")},
            "TWILIO_ACCOUNT_SID": account_sid,
            "TWILIO_AUTH_TOKEN": token,
        }
        command = [sys.executable, "-m", "bulkipacl", *arguments, "--progress", str(progress)]
        process = subprocess.Popen(command, env=environment)
        # SIGTERM comes to this process alone, unlike Ctrl-C; a second SIGHUP does no harm.
        before = {
            signum: signal.signal(signum, lambda signum, _: process.send_signal(signum))
            for signum in (signal.SIGTERM, signal.SIGHUP)
            if signal.getsignal(signum) is not signal.SIG_IGN
        }
        try:
            while True:
                try:
                    code = process.wait()
                except KeyboardInterrupt:
                    continue  # The command got it too, and ends in its own way.
                return code if code >= 0 else 128 - code
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)


def say(text: str) -> None:
    """A line on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
