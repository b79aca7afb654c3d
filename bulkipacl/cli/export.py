"""`bulkipacl export`: live lists as rows that `apply` reads back."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from bulkipacl.cli import options as o
from bulkipacl.errors import StoreError, UsageError

if TYPE_CHECKING:
    from bulkipacl.engine.reader import Link
    from bulkipacl.jobs.export import Tally, What


def export(
    account: Annotated[
        list[str] | None,
        typer.Option(metavar="AC...", help="An account. Repeatable. [default: the credential's]"),
    ] = None,
    all_accounts: Annotated[
        bool, typer.Option("--all-accounts", help="The account and all its subaccounts.")
    ] = False,
    list_: Annotated[
        list[str] | None,
        typer.Option(
            "--list",
            metavar="AL...|NAME|GLOB|/RE/",
            help="A list, or lists by their names. Repeatable. [default: all]",
        ),
    ] = None,
    lists_only: Annotated[
        bool, typer.Option("--lists-only", help="The lists themselves, without their entries.")
    ] = False,
    domains: Annotated[
        bool, typer.Option("--domains", help="Which SIP domains map each list, too.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to. [default: stdout]")
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="csv|jsonl", help="[default: by FILE's ending, or else csv]"
        ),
    ] = None,
    credentials: o.Credentials = None,
    base_url: o.BaseUrl = None,
    ca_file: o.CaFile = None,
    max_in_flight: o.MaxInFlight = None,
    account_max_in_flight: o.AccountMaxInFlight = None,
    rate: o.Rate = None,
    headroom: o.Headroom = None,
    retries: o.Retries = None,
    timeout: o.Timeout = None,
    patience: o.Patience = None,
) -> int:
    """Write what lists hold now, as upsert rows that `apply` reads back; all of it or nothing.

    Exit code 1 where a list cannot be read, 6 for a credential that is refused, 7 for an account
    that gives nothing but trouble.
    """
    flags = o.settings_of(locals())
    from bulkipacl.cli.sending import make_settings
    from bulkipacl.credentials import load_credentials
    from bulkipacl.engine.reader import Link
    from bulkipacl.engine.selection import parse_selection
    from bulkipacl.jobs.export import What
    from bulkipacl.report.files import check_destination
    from bulkipacl.store.limits import LimitsMemory, state_path
    from bulkipacl.twilio.hosts import resolve_base_url

    if account and all_accounts:
        raise UsageError("--account and --all-accounts exclude each other", hint="give one of them")
    selection = parse_selection(list_ or [])
    chosen = _format(format_, output)
    if output is not None:
        check_destination(output)
    link = Link(
        make_settings({}, flags),
        load_credentials(os.environ, credentials),
        resolve_base_url(base_url, os.environ),
        LimitsMemory(state_path(os.environ)),
    )
    accounts = _accounts(link, account or [], is_all=all_accounts)
    _export(link, What(accounts, selection, lists_only, domains, chosen), output)
    return 0


def _format(given: str | None, output: Path | None) -> str:
    from bulkipacl.jobs.export import FORMATS

    if given is None:
        is_lines = output is not None and output.suffix.lower() in (".jsonl", ".ndjson")
        return "jsonl" if is_lines else "csv"
    if given not in FORMATS:
        raise UsageError(f"--format {given!a} is no format of an export", hint="csv, or jsonl")
    return given


def _accounts(link: Link, given: list[str], *, is_all: bool) -> list[str]:
    """The accounts that are meant; what is left out of all of them is told."""
    from bulkipacl.engine.check import check_sids
    from bulkipacl.jobs.export import owned_accounts

    check_sids(given)
    owner = link.credentials.default_account
    if given:
        return list(dict.fromkeys(given))
    if owner is None:
        raise UsageError(
            "it is not said which account is meant",
            hint="give --account AC..., or `default` in the file of credentials",
        )
    if not is_all:
        return [owner]
    accounts, others = owned_accounts(link, owner)
    for sid, status in others:
        _say(f"{sid} is {status}: left out, since nothing of it can be read")
    return accounts


def _export(link: Link, what: What, output: Path | None) -> None:
    """Write it, to its place only when it is whole; tell what came of it."""
    from bulkipacl.engine.incomplete import IncompleteError
    from bulkipacl.jobs.export import export
    from bulkipacl.report.files import replacing

    try:
        if output is None:
            with tempfile.TemporaryFile() as file:
                tally = export(link, what, file)
                file.seek(0)
                out = _stdout()
                shutil.copyfileobj(file, out)
                out.flush()
        else:
            with replacing(output) as out:
                tally = export(link, what, out)
    except IncompleteError as exc:
        for line in exc.unread.lines():
            _say(line)
        raise
    except StoreError as exc:
        raise StoreError(exc.message, hint="name another place with --output") from exc
    _tell(what, tally)


def _tell(what: What, tally: Tally) -> None:
    from bulkipacl.report import counted

    entries = "" if what.is_lists else f" with {counted(tally.entries, 'entry', 'entries')}"
    of = counted(len(what.accounts), "account")
    _say(f"{counted(tally.lists, 'list')}{entries} of {of}, {counted(tally.requests, 'request')}")
    if tally.unfit:
        are = "entry is" if tally.unfit == 1 else "entries are"
        _say(
            f"{tally.unfit:,} {are} such that `apply` would refuse or change them: a prefix of 0,"
            " or a name that is empty, holds a control character, or begins or ends with a space"
        )
    for sid in tally.unseen:
        _say(f"{sid}: the credential may not see its SIP domains")


def _say(text: str) -> None:
    from bulkipacl.report import printable

    sys.stderr.write(f"{printable(text)}\n")


def _stdout() -> BinaryIO:
    return sys.stdout.buffer if sys.stdout is not None else Path(os.devnull).open("wb")
