"""Whether credentials reach their accounts: one cheap GET for each.

Answer           what one account said
check_accounts   all of them at once
check_sids       whether they can be accounts at all
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import anyio

from bulkipacl.credentials import CredentialMap
from bulkipacl.errors import CredentialError, UsageError
from bulkipacl.model import Reach
from bulkipacl.settings import Settings
from bulkipacl.twilio import contract
from bulkipacl.twilio.hosts import BaseUrl
from bulkipacl.twilio.transport import Transport, open_transport

AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What one account said.

    Attributes:
        verdict: `ok`, `refused` (the credential, by the API), `no_credential` (there is none, or it
            cannot be read), `unreachable`, or `failed` (anything else).
    """

    account_sid: str
    verdict: str
    status: int = 0
    code: int = 0
    message: str = ""

    @property
    def text(self) -> str:
        """One line for people."""
        parts = [self.verdict]
        if self.status and self.verdict != "ok":
            parts.append(f"HTTP {self.status}")
        if self.code:
            parts.append(f"code {self.code}")
        if self.message:
            parts.append(self.message)
        return "  ".join(parts)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def check_accounts(
    credentials: CredentialMap, base: BaseUrl, settings: Settings, more: Sequence[str] = ()
) -> list[Answer]:
    """Try every account that has a credential, and `more`.

    Raises:
        UsageError: one of `more` is no account sid.
    """
    check_sids(more)
    accounts = list(dict.fromkeys([*credentials.accounts(), *more]))
    return anyio.run(_check_all, credentials, base, settings, accounts)


def check_sids(accounts: Sequence[str]) -> None:
    """Refuse what is no account sid.

    Raises:
        UsageError: one of them is none.
    """
    for sid in accounts:
        if not contract.is_sid(sid, "AC"):
            shown = re.sub(r"[^ -~]", "?", sid)[:60]
            raise UsageError(f"--account {shown!r} is not an account sid: AC and 32 hex digits")


def exit_code(answers: Sequence[Answer]) -> int:
    """0 if all are ok; 2 if a credential is missing, 6 if one was refused, 1 otherwise."""
    verdicts = {answer.verdict for answer in answers}
    # First, as in a run: one that lacks a credential ends before it asks anybody.
    if "no_credential" in verdicts:
        return 2
    if "refused" in verdicts:
        return 6
    return 0 if verdicts <= {"ok"} else 1


async def _check_all(
    credentials: CredentialMap, base: BaseUrl, settings: Settings, accounts: Sequence[str]
) -> list[Answer]:
    transport = open_transport(settings, base, credentials)
    answers: dict[str, Answer] = {}
    waiting = iter(accounts)

    async def work() -> None:
        for sid in waiting:
            answers[sid] = await _check_one(transport, credentials, sid)

    try:
        async with anyio.create_task_group() as group:
            for _ in range(min(AT_ONCE, len(accounts))):
                group.start_soon(work)
    finally:
        await transport.aclose()
    return [answers[sid] for sid in accounts]


async def _check_one(transport: Transport, credentials: CredentialMap, sid: str) -> Answer:
    try:
        await anyio.to_thread.run_sync(credentials.for_account, sid)
    except CredentialError as exc:
        hint = f" ({exc.hint})" if exc.hint else ""
        return Answer(sid, "no_credential", message=f"{exc.message}{hint}")
    attempt = await transport.send(contract.fetch_account(sid))
    if attempt.reach is not Reach.ANSWERED:
        return Answer(sid, "unreachable", attempt.status, message=attempt.error)
    if attempt.status == 200:
        return Answer(sid, "ok", attempt.status)
    error = contract.read_error(attempt)
    verdict = "refused" if attempt.status in (401, 403) else "failed"
    return Answer(sid, verdict, error.status, error.code, error.message)
