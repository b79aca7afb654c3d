"""`bulkipacl sandbox`: a local stand-in for the API."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from bulkipacl.cli import options as o


def sandbox(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="On the loopback.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65_535, help="0: any free one.")
    ] = 8010,
    accounts: Annotated[int, typer.Option(metavar="N", help="A parent and its subaccounts.")] = 1,
    lists: Annotated[int, typer.Option(metavar="N", help="Lists per account.")] = 1,
    entries: Annotated[int, typer.Option(metavar="N", help="Entries per list.")] = 0,
    seed: Annotated[int, typer.Option(metavar="N", help="Of sids, tokens and faults.")] = 0,
    duplicates: Annotated[
        str, typer.Option(metavar="refuse|accept", help="What a second equal address gets.")
    ] = "refuse",
    unique: Annotated[
        str, typer.Option(metavar="ip|ip+prefix", help="What makes two addresses equal.")
    ] = "ip+prefix",
    errors: Annotated[
        str, typer.Option(metavar="classic|rfc9457", help="How errors are written.")
    ] = "classic",
    limit: Annotated[
        list[str] | None,
        typer.Option(metavar="concurrent=N|rate=R", help="Per account. Repeatable."),
    ] = None,
    limit_steps: Annotated[
        list[str] | None,
        typer.Option(metavar="concurrent=N@S,...", help="A limit that changes after S seconds."),
    ] = None,
    others: Annotated[
        int, typer.Option(metavar="N", help="Requests in flight of other clients.")
    ] = 0,
    retry_after: Annotated[
        float | None, typer.Option(metavar="S", help="Retry-After of a 429.")
    ] = None,
    latency: Annotated[
        str, typer.Option(metavar="S[~SIGMA]", help="Seconds; with ~: lognormal.")
    ] = "0",
    fault: Annotated[
        list[str] | None, typer.Option(metavar="KIND=P", help="Repeatable; see the README.")
    ] = None,
    fault_methods: Annotated[
        str | None, typer.Option(metavar="POST,DELETE,GET", help="Which requests get faults.")
    ] = None,
    late: Annotated[
        float, typer.Option(metavar="S", help="How late a late effect lands at most.")
    ] = 1.0,
    hang: Annotated[float, typer.Option(metavar="S", help="How long a hang lasts.")] = 60.0,
    headers: Annotated[bool, typer.Option(help="Send the Twilio-* headers.")] = True,
    as_json: o.AsJson = False,
) -> int:
    """Serve a stateful stand-in for the API on the loopback, until Ctrl-C.

    With --json one line on stdout says where it is, and its accounts, tokens and lists.
    """
    from bulkipacl import sandbox as library
    from bulkipacl.errors import UsageError

    try:
        config = library.SandboxConfig(
            accounts=accounts,
            lists=lists,
            entries=entries,
            seed=seed,
            duplicates=duplicates,  # type: ignore[arg-type]  # checked by the config itself
            unique=unique,  # type: ignore[arg-type]
            errors=errors,  # type: ignore[arg-type]
            limits=tuple(library.parse_limit(text) for text in limit or ()),
            limit_steps=tuple(library.parse_limit_steps(text) for text in limit_steps or ()),
            others=others,
            retry_after_s=retry_after,
            latency=library.parse_latency(latency),
            faults=tuple(library.parse_fault(text) for text in fault or ()),
            fault_methods=frozenset(fault_methods.split(",")) if fault_methods else None,
            late_s=late,
            hang_s=hang,
            headers=headers,
        )
        return library.main(config, host, port, as_json=as_json)
    except ValueError as exc:
        raise UsageError(str(exc), hint="`bulkipacl sandbox --help` lists the switches") from exc
    except OSError as exc:
        # The event loop wraps the reason into a sentence of its own.
        why = os.strerror(exc.errno) if exc.errno else str(exc)
        raise UsageError(
            f"port {port} of {host} cannot be used: {why}", hint="--port 0 takes any free one"
        ) from exc
