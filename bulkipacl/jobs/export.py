"""Live lists as rows that `apply` reads back, or the lists alone.

    What     what is wanted, of which accounts
    Tally    what came of it
    export   reads it all and writes it, as CSV or JSON Lines
    owned_accounts    the accounts of which there is something to export

Names stand as the API holds them: the file is input again, so nothing in it is neutralised. An
`upsert` of every entry is what it asks for: where all is as it was, nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import orjson

from bulkipacl.engine.gather import Found, Wanted, gather, subaccounts
from bulkipacl.engine.incomplete import IncompleteError, Unread, exit_code
from bulkipacl.engine.reader import Link
from bulkipacl.engine.selection import Selection
from bulkipacl.errors import BulkError, UsageError
from bulkipacl.intake.fields import read_name
from bulkipacl.model import Entry, Operation, ip_text
from bulkipacl.report import counted
from bulkipacl.report.cells import encode
from bulkipacl.report.columns import ROW_COLUMNS
from bulkipacl.report.writers import csv_line

ENTRY_COLUMNS = (*ROW_COLUMNS, "in_list")
LIST_COLUMNS = ("account_sid", "list_sid", "list_name")
DOMAINS = "domains"
UNSEEN = "?"
"""What stands for the domains of a list where the credential may not see them."""
FORMATS = ("csv", "jsonl")
ACTIVE = "active"
"""The status of an account that can be read."""


@dataclass(frozen=True, slots=True)
class What:
    """What is wanted.

    Attributes:
        is_lists: the lists alone, without their entries.
        has_domains: which SIP domains map each list, too.
        format: `csv` or `jsonl`.
    """

    accounts: Sequence[str]
    selection: Selection
    is_lists: bool = False
    has_domains: bool = False
    format: str = "csv"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the file."""
        columns = LIST_COLUMNS if self.is_lists else ENTRY_COLUMNS
        return (*columns, DOMAINS) if self.has_domains else columns

    def header(self) -> bytes:
        """What stands before the lines."""
        return encode(csv_line(list(self.columns)) + "\n") if self.format == "csv" else b""


@dataclass(slots=True)
class Tally:
    """What came of it.

    Attributes:
        unfit: entries that `apply` would not take in as they are: a prefix of 0, or a name that is
            empty, begins or ends with a space, or holds a control character.
        unseen: accounts whose domains the credential may not see.
        unread: what could not be read.
    """

    lists: int = 0
    entries: int = 0
    requests: int = 0
    unfit: int = 0
    unseen: dict[str, None] = field(default_factory=dict)
    unread: Unread = field(default_factory=Unread)


class UnlistedError(BulkError):
    """The subaccounts of an account cannot be told; the exit code is that of the reason."""

    def __init__(self, owner: str, failure: Found) -> None:
        super().__init__(
            f"the subaccounts of {owner} cannot be listed: {failure.error.message}",
            hint="an API key may not list them: use the account's auth token, or name each one with"
            " --account",
        )
        self.exit_code = exit_code([failure.reason])


def export(link: Link, what: What, out: BinaryIO) -> Tally:
    """Write all of it to `out`, in order of account and list. Constant memory.

    Raises:
        IncompleteError: something could not be read; `out` is not to be used.
        UsageError: a word of the selection means no list.
        CredentialError: an account has none; nothing was asked.
    """
    link.credentials.resolve(what.accounts)
    tally = Tally()
    out.write(what.header())

    def take(found: Found) -> None:
        if found.reason:
            tally.unread.add(found)
            return
        tally.lists += 1
        tally.entries += len(found.entries)
        tally.unfit += sum(not is_fit(entry) for entry in found.entries)
        if what.has_domains and found.domains is None:
            tally.unseen[found.account_sid] = None
        out.write(b"".join(lines_of(what, found)))

    tally.requests = gather(
        link,
        (Wanted(sid, what.selection) for sid in what.accounts),
        take,
        has_entries=not what.is_lists,
        has_domains=what.has_domains,
    )
    if tally.unread:
        raise IncompleteError("nothing is exported", tally.unread)
    if what.selection.unmatched:
        words = ", ".join(ascii(word) for word in what.selection.unmatched)
        raise UsageError(
            f"no list of {counted(len(what.accounts), 'account')} is meant by --list {words}",
            hint="`bulkipacl export --lists-only` shows what there is",
        )
    return tally


def owned_accounts(link: Link, owner: str) -> tuple[list[str], list[tuple[str, str]]]:
    """The active ones of an account and its subaccounts, and (sid, status) of the others.

    Raises:
        UnlistedError: they cannot be told.
    """
    found, failure = subaccounts(link, owner)
    if failure is not None:
        raise UnlistedError(owner, failure)
    active = [sid for sid, status in found if status == ACTIVE]
    return active, [pair for pair in found if pair[1] != ACTIVE]


def is_fit(entry: Entry) -> bool:
    """Whether an entry comes back from `apply` as it is."""
    return entry.prefix > 0 and read_name("friendly_name", entry.name, []) == entry.name != ""


Value = str | int | list[str] | None


def values_of(what: What, found: Found) -> Iterator[tuple[Value, ...]]:
    """The lines of one list, as values in the order of the columns."""
    after: tuple[Value, ...] = ()
    if what.has_domains:
        after = (None if found.domains is None else list(found.domains),)
    if what.is_lists:
        yield (found.account_sid, found.list_sid, found.list_name, *after)
    for entry in found.entries:
        yield (
            Operation.UPSERT.word,
            found.account_sid,
            found.list_sid,
            entry.sid,
            ip_text(entry.address),
            entry.prefix,
            entry.name,
            found.list_name,
            *after,
        )


def lines_of(what: What, found: Found) -> Iterator[bytes]:
    """The lines of one list, each ended."""
    for values in values_of(what, found):
        if what.format == "csv":
            yield encode(csv_line([_cell(value) for value in values]) + "\n")
        else:
            line = dict(zip(what.columns, values, strict=True))
            yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _cell(value: Value) -> str:
    if isinstance(value, list):
        return " ".join(value)
    return UNSEEN if value is None else str(value)
