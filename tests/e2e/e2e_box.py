"""A sandbox as a real process.

Box      a running sandbox: its accounts and lists, and what its own paths say
Part     some of its accounts, for a test that asks what all of its sandbox holds
Place    an account and its lists that no other test touches
"""

import os
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from typing import Any

import orjson

PROGRAM = (sys.executable, "-m", "bulkipacl")

_KEPT = ("PATH", "LANG", "TMPDIR", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")


def clean_environment() -> dict[str, str]:
    """An environment without anything of the person who runs the tests.

    Byte code is not written: some of these processes are killed or run out of room while they
    write, and half a file of byte code would break all that come after.
    """
    kept = {name: value for name in _KEPT if (value := os.environ.get(name))}
    kept["PYTHONDONTWRITEBYTECODE"] = "1"
    return {**kept, "PYTHONWARNINGS": "default", "NO_COLOR": "1"}


class Box:
    """A sandbox as a process.

    Attributes:
        accounts: sid to token, the parent first.
        lists: the sids of each account's lists.
        keys: each account's API key and secret.
    """

    def __init__(self, *switches: str) -> None:
        self.process = subprocess.Popen(
            [*PROGRAM, "sandbox", "--port", "0", "--json", *switches],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=clean_environment(),
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"no sandbox: {self.process.communicate(timeout=10)[1]!r}")
        ready = orjson.loads(line)
        self.url: str = ready["url"]
        self.accounts: dict[str, str] = ready["accounts"]
        self.lists: dict[str, list[str]] = ready["lists"]
        self.keys: dict[str, list[str]] = ready["api_keys"]
        self._unused = list(self.accounts)
        self._is_killed = False

    @property
    def parent(self) -> str:
        """The sid of the account that owns the others."""
        return next(iter(self.accounts))

    @property
    def secrets(self) -> list[str]:
        """Everything that must never be seen."""
        return [*self.accounts.values(), *(secret for _, secret in self.keys.values())]

    @property
    def token_environment(self) -> dict[str, str]:
        """The parent's token, which reaches every account."""
        return {"TWILIO_ACCOUNT_SID": self.parent, "TWILIO_AUTH_TOKEN": self.accounts[self.parent]}

    def place(self) -> "Place":
        """An account that no test has had yet."""
        sid = self._unused.pop()
        return Place(self, sid, self.lists[sid])

    def get(self, path: str) -> Any:
        """What one of the sandbox's own paths answers."""
        with urllib.request.urlopen(f"{self.url}/sandbox/{path}", timeout=10) as answer:  # noqa: S310 - ours
            return orjson.loads(answer.read())

    def state(self) -> dict[str, dict[str, dict[str, tuple[str, int, str]]]]:
        """All entries: account sid, list sid, sid to (address, prefix, name)."""
        return {
            account["sid"]: {
                acl["sid"]: {
                    entry["sid"]: (
                        entry["ip_address"],
                        entry["cidr_prefix_length"],
                        entry["friendly_name"],
                    )
                    for entry in acl["entries"]
                }
                for acl in account["lists"]
            }
            for account in self.get("state")["accounts"]
        }

    def stats(self) -> dict[str, Any]:
        """Counts of requests, faults and peaks."""
        found: dict[str, Any] = self.get("stats")
        return found

    def requests(self) -> dict[str, int]:
        """Requests so far by method, whatever they were answered."""
        return {method: sum(by.values()) for method, by in self.stats()["requests"].items()}

    def ledger(self, since: int = 0) -> list[dict[str, Any]]:
        """Every effect on the state after the `since`-th."""
        found: list[dict[str, Any]] = self.get(f"ledger?since={since}")
        return found

    def kill(self) -> None:
        """End it in the middle of everything; nobody listens there from then on."""
        self.process.kill()
        self.process.communicate(timeout=10)
        self._is_killed = True

    def close(self) -> None:
        """End it by its id; SIGTERM ends it with 0 and without a word."""
        if self._is_killed:
            return
        if self.process.poll() is None:
            self.process.terminate()
        _, errors = self.process.communicate(timeout=10)
        assert (self.process.returncode, errors) == (0, b"")


class Part(Box):
    """Some accounts of a running sandbox, which no test has had yet: they are all that it shows.

    The parent of them all is the one whose token reaches them.
    """

    def __init__(self, whole: Box, accounts: int) -> None:
        self._whole = whole
        self.url = whole.url
        self.accounts, self.keys = whole.accounts, whole.keys
        places = [whole.place() for _ in range(accounts)]
        self.lists = {place.account: place.lists for place in places}
        self._since = len(whole.ledger())

    def stats(self) -> dict[str, Any]:
        """Counts of requests, faults and peaks: of all accounts, but for those in flight."""
        found = self._whole.stats()
        in_flight = found["in_flight"]
        return found | {"in_flight": {sid: in_flight.get(sid, 0) for sid in self.lists}}

    def ledger(self, since: int = 0) -> list[dict[str, Any]]:
        """Every effect on these accounts."""
        found = self._whole.ledger(self._since)
        return [one for one in found if one["account_sid"] in self.lists][since:]

    def close(self) -> None:
        """Whoever started the sandbox ends it."""


@dataclass(frozen=True)
class Place:
    """An account of a sandbox, and its lists, for one test alone."""

    box: Box
    account: str
    lists: list[str]

    @property
    def acl(self) -> str:
        """Its first list."""
        return self.lists[0]

    def entries(self, acl: str | None = None) -> dict[str, tuple[str, int, str]]:
        """What a list holds: sid to (address, prefix, name)."""
        return self.box.state()[self.account][acl or self.acl]

    def held(self, acl: str | None = None) -> list[tuple[str, int, str]]:
        """What a list holds, without sids, in order."""
        return sorted(self.entries(acl).values())

    def effects(self) -> list[dict[str, Any]]:
        """What happened to this account."""
        return [one for one in self.box.ledger() if one["account_sid"] == self.account]
