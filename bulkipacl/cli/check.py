"""`bulkipacl check`: does every credential reach its account?"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from bulkipacl.cli import options as o
from bulkipacl.settings import Settings


def check(
    account: Annotated[
        list[str] | None,
        typer.Option("--account", metavar="AC...", help="An account to try too. Repeatable."),
    ] = None,
    credentials: o.Credentials = None,
    base_url: o.BaseUrl = None,
    ca_file: o.CaFile = None,
    timeout: Annotated[
        float, typer.Option(metavar="S", help="Seconds for one request as a whole.")
    ] = 10.0,
    as_json: o.AsJson = False,
) -> int:
    """Try each account with one GET.

    Exit code 0 if all answer, 6 if the API refuses a credential, 2 if one is missing or cannot be
    read, 1 if an account cannot be reached.
    """
    from bulkipacl.cli.terminal import print_json
    from bulkipacl.credentials import load_credentials
    from bulkipacl.engine.check import check_accounts, exit_code
    from bulkipacl.report import printable
    from bulkipacl.twilio.hosts import resolve_base_url

    settings = Settings(
        timeout_s=timeout,
        read_timeout_s=timeout,
        connect_timeout_s=timeout,
        tls_ca_file=str(ca_file) if ca_file else None,
    )
    base = resolve_base_url(base_url, os.environ)
    answers = check_accounts(
        load_credentials(os.environ, credentials), base, settings, account or []
    )
    if as_json:
        print_json({"host": base.origin, "accounts": [answer.as_dict() for answer in answers]})
    else:
        for answer in answers:
            sys.stderr.write(printable(f"{answer.account_sid}  {answer.text}") + "\n")
    return exit_code(answers)
