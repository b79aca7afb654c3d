"""Run directories for the tests of the report room: drafts in, outcomes committed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bulkipacl.model import Draft, Operation, Outcome, Problem, RowResult, SourceInfo
from bulkipacl.store import views
from bulkipacl.store.intake import Intake
from bulkipacl.store.journal import Batch, commit
from bulkipacl.store.rundir import RunDirectory

ACCOUNT = "AC" + "0" * 32
LIST = "AL" + "0" * 32
COLUMNS = ("operation", "account_sid", "list_sid", "ip_address", "prefix", "friendly_name")


def source(
    *columns: str, number: int = 1, name: str = "orders.csv", kind: str = "csv"
) -> SourceInfo:
    """An input with these columns."""
    return SourceInfo(number, name, kind, columns)


def valid(raw: Any, *, line: int = 2, address: int = 0xCB007107, **fields: Any) -> Draft:
    """A create that can be sent, whatever its record says."""
    draft = Draft(
        line,
        int(Operation.CREATE),
        ACCOUNT,
        LIST,
        "",
        None,
        address,
        32,
        "a name",
        None,
        None,
        json.dumps(raw).encode(),
    )
    return draft._replace(**fields)


def invalid(raw: Any, *, line: int = 2, suggestion: str = "write create") -> Draft:
    """A record that was not understood."""
    problem = Problem("operation", "x", "bad_operation", "this is no operation", suggestion)
    return Draft(
        line,
        0,
        "",
        "",
        "",
        None,
        None,
        None,
        None,
        None,
        None,
        json.dumps(raw).encode(),
        (problem,),
    )


def make_run(
    path: Path,
    inputs: Iterable[tuple[SourceInfo, Sequence[Draft]]],
    results: Sequence[RowResult] = (),
    *,
    ending: str = "finished",
) -> RunDirectory:
    """A run with these rows and outcomes, open to write."""
    run = RunDirectory.create(path)
    intake = Intake(run)
    for info, drafts in inputs:
        for _ in intake.take(info, drafts):
            pass
    commit(run, Batch(results=list(results)))
    views.set_meta(run, {"ending": ending})
    return run


def plain_run(path: Path, rows: int, *, failed: frozenset[int] = frozenset()) -> RunDirectory:
    """A finished run of creates; the rows in `failed` were answered 400."""
    info = source(*COLUMNS, "customer")
    drafts = [
        valid(
            ["create", ACCOUNT, LIST, f"10.0.{i >> 8}.{i & 255}", "32", f"site {i}", f"c{i}"],
            line=i + 1,
            address=(10 << 24) + i,
            name=f"site {i}",
        )
        for i in range(1, rows + 1)
    ]
    results = [
        RowResult(i, Outcome.FAILED, reason="bad_request", status=400, code=20001, attempts=1)
        if i in failed
        else RowResult(i, Outcome.CREATED, status=201, attempts=1, finished_at=1_700_000_000.25)
        for i in range(1, rows + 1)
    ]
    return make_run(path, [(info, drafts)], results)
