"""The store under any rows, cuts, outcomes and texts: everything comes back once, as it was."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkipacl.errors import StoreError
from bulkipacl.intake import check_rows
from bulkipacl.model import (
    GOOD_OUTCOMES,
    Draft,
    Entry,
    Evidence,
    Operation,
    Outcome,
    Problem,
    RowResult,
    SourceInfo,
)
from bulkipacl.store import views
from bulkipacl.store.crosscheck import cross_check
from bulkipacl.store.intake import Intake
from bulkipacl.store.journal import Batch, KeptSnapshot, commit, pack, reopen, unpack
from bulkipacl.store.rundir import RunDirectory

MEMORY: str | None = import_module("no_waiting").MEMORY
ACCOUNTS = ["AC" + c * 32 for c in "c0a"]
LISTS = ["AL" + c * 32 for c in "b1"]
BAD = Problem("ip_address", "x", "bad_address", "no address")
OPEN = (Outcome.UNKNOWN, Outcome.NOT_ATTEMPTED)
STOP = {"status": 401, "code": 20003, "message": "no", "more_info": "", "suggestion": "check"}

# What breaks quoting, lengths, or the end of a text; and any other character.
crumbs = st.sampled_from(["'", '"', "\x00", ";", "--", "%", "\u2028", "\ufeff", "é", "\U0001f600"])
texts = st.lists(crumbs | st.text(max_size=4), max_size=5).map("".join)
numbers = st.integers(0, 2**32 - 1)
sids = st.integers(0, 2**128 - 1).map(lambda number: f"IP{number:032x}")


@contextmanager
def new_run() -> Iterator[RunDirectory]:
    """A run directory of its own."""
    with (
        tempfile.TemporaryDirectory(dir=MEMORY) as folder,
        RunDirectory.create(Path(folder) / "run") as run,
    ):
        # Power cuts are not the matter here, and every example makes many transactions.
        run.writer.execute("PRAGMA synchronous=OFF")
        yield run


@st.composite
def drafts_of(draw: st.DrawFn) -> Draft:
    """A record as intake may have understood it, or not."""
    is_named = draw(st.booleans())
    account = draw(st.sampled_from([*ACCOUNTS, ""]))
    acl = "" if is_named else draw(st.sampled_from([*LISTS, ""]))
    list_name = draw(texts) if is_named else ""
    is_bad = not account or not (acl or list_name) or draw(st.booleans())
    maybe = st.none() | numbers
    prefix = st.none() | st.integers(1, 32)
    return Draft(
        draw(st.integers(1, 2**40)),
        draw(st.integers(0 if is_bad else 1, 4)),
        account,
        acl,
        list_name,
        draw(st.none() | sids),
        draw(maybe),
        draw(prefix),
        draw(st.none() | texts),
        draw(maybe),
        draw(prefix),
        draw(st.binary(max_size=20) | texts.map(str.encode)),
        (BAD,) if is_bad else (),
    )


def cut(data: st.DataObject, drafts: Sequence[Draft]) -> list[Sequence[Draft]]:
    """The same drafts in batches."""
    cuts = data.draw(st.lists(st.integers(0, len(drafts)), max_size=4), label="cuts")
    edges = [0, *sorted(cuts), len(drafts)]
    return [drafts[a:b] for a, b in pairwise(edges)]


def as_kept(draft: Draft) -> tuple[object, ...]:
    """What a report finds of a draft: of a list only where account and list were understood."""
    is_placed = draft.account_sid and (draft.list_sid or draft.list_name)
    place = (draft.account_sid, draft.list_sid, draft.list_name) if is_placed else ("", "", "")
    return (draft.line, draft.operation, *place, *draft[5:12])


@settings(max_examples=30, deadline=None)
@given(files=st.lists(st.lists(drafts_of(), max_size=8), min_size=1, max_size=3), data=st.data())
def test_every_row_comes_back_once(files: list[list[Draft]], data: st.DataObject) -> None:
    """However rows arrive, they come back in order, numbered through, with what was put in."""
    with new_run() as run:
        intake = Intake(run)
        for number, drafts in enumerate(files, start=1):
            intake.describe(SourceInfo(number, f"file {number}", "csv", ()))
            for batch in cut(data, drafts):
                intake.insert(number, batch)
        put = [(n, draft) for n, drafts in enumerate(files, start=1) for draft in drafts]
        found = list(views.records(run))
        assert [one[1:13] for one in found] == [as_kept(draft) for _, draft in put]
        assert [one.source_id for one in found] == [n for n, _ in put]
        assert [one.result.number for one in found] == list(range(1, len(put) + 1))
        assert intake.rows == views.row_count(run) == len(put)
        invalid = [n for n, (_, draft) in enumerate(put, start=1) if draft.is_invalid]
        assert list(views.invalid_rows(run)) == invalid
        assert list(views.open_rows(run)) == [
            one.result.number for one in found if one.result.number not in invalid
        ]
        summary = views.summary(run)
        assert summary.rows == sum(summary.outcomes.values()) == len(put)
        assert summary.outcomes[Outcome.INVALID] == intake.invalid == len(invalid)
        to_do = [
            (row.number, list_id)
            for account_id, _ in views.accounts(run)
            for list_id in views.lists_to_do(run, account_id)
            for row in views.rows_to_do(run, list_id, -1)
        ]
        assert sorted(number for number, _ in to_do) == list(views.open_rows(run))


@st.composite
def results(draw: st.DrawFn, number: int) -> RowResult:
    """How a row may have ended."""
    return RowResult(
        number,
        draw(st.sampled_from([one for one in Outcome if one is not Outcome.INVALID])),
        draw(st.none() | st.sampled_from(Evidence)),
        draw(st.sampled_from(["", "rejected", "it's"])),
        draw(st.sampled_from([0, 201, 400, 404])),
        draw(st.sampled_from([0, 21235])),
        draw(texts),
        draw(texts),
        draw(st.integers(0, 9)),
        draw(st.sampled_from(["", "RQ1"])),
        draw(st.floats(0, 2e9)),
        draw(st.floats(0, 1e6)),
        draw(texts),
        draw(st.none() | sids),
        draw(st.none() | numbers),
        draw(st.none() | st.integers(0, 32)),
        draw(st.none() | texts),
    )


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_outcomes_follow_the_rule(data: st.DataObject) -> None:
    """A row is what is recorded of it; else unknown in an open round; else not attempted."""
    places = data.draw(
        st.lists(st.tuples(st.sampled_from(ACCOUNTS), st.sampled_from(LISTS)), max_size=12)
    )
    drafts = [
        Draft(n, 1, *place, "", None, n, 32, "a", None, None, b"[]")
        for n, place in enumerate(places, start=1)
    ]
    recorded = {
        n: data.draw(results(n))
        for n in range(1, len(drafts) + 1)
        if data.draw(st.booleans(), label=f"row {n} is recorded")
    }
    lists = list(dict.fromkeys(places))
    rounds = {
        place: data.draw(st.none() | st.integers(0, len(drafts)), label="covered to")
        for place in lists
    }
    stopped = data.draw(st.sets(st.sampled_from(ACCOUNTS)), label="stopped")
    ending = data.draw(st.sampled_from(["", "finished", "interrupted"]), label="ending")
    with new_run() as run:
        intake = Intake(run)
        intake.describe(SourceInfo(1, "rows.csv", "csv", ()))
        intake.insert(1, drafts)
        batch = Batch(
            snapshots=[
                KeptSnapshot(number, 0, 0.0, last_row, ())
                for number, place in enumerate(lists, start=1)
                if (last_row := rounds[place]) is not None
            ],
            results=list(recorded.values()),
            stopped=[(sid, json.dumps({"reason": f"why {sid}", **STOP})) for sid in stopped],
        )
        commit(run, batch)
        if ending:
            views.set_meta(run, {"ending": ending})
        expected: list[tuple[Outcome, str]] = []
        for n, (account, acl) in enumerate(places, start=1):
            last_row = rounds[account, acl]
            if n in recorded:
                expected.append((recorded[n].outcome, recorded[n].reason))
            elif last_row is not None and n <= last_row:
                expected.append((Outcome.UNKNOWN, ending or "running"))
            elif account in stopped:
                expected.append((Outcome.NOT_ATTEMPTED, f"why {account}"))
            else:
                expected.append((Outcome.NOT_ATTEMPTED, ending or "running"))
        found = list(views.records(run))
        assert [(one.result.outcome, one.result.reason) for one in found] == expected
        for n, result in recorded.items():
            assert found[n - 1].result == result

        summary = views.summary(run)
        assert Counter(outcome for outcome, _ in expected) == +Counter(summary.outcomes)
        assert sum(summary.outcomes.values()) == summary.rows == len(drafts)
        caused = Counter[tuple[Outcome, str]]()
        for cause in summary.causes:
            caused[cause.outcome, cause.reason] += cause.rows
            first = found[cause.first_row - 1]
            assert (first.result.outcome, first.result.reason) == (cause.outcome, cause.reason)
            assert (cause.first_source, cause.first_line) == ("rows.csv", first.line)
        assert caused == Counter(pair for pair in expected if pair[0] not in GOOD_OUTCOMES)
        assert [cause.rows for cause in summary.causes] == sorted(
            (cause.rows for cause in summary.causes), reverse=True
        )

        reopen(run)
        still = {n for n, result in recorded.items() if result.outcome not in OPEN}
        assert set(views.open_rows(run)) == set(range(1, len(drafts) + 1)) - still
        assert views.rows_left(run) == len(drafts) - len(still)


@settings(max_examples=40, deadline=None)
@given(name=texts, message=texts, note=texts, list_name=texts.filter(bool), columns=st.lists(texts))
def test_texts_survive(
    name: str, message: str, note: str, list_name: str, columns: list[str]
) -> None:
    """Quotes, NUL and characters from anywhere come back as they were."""
    with new_run() as run:
        intake = Intake(run)
        source = SourceInfo(1, name, "csv", tuple(columns))
        intake.describe(source)
        raw = json.dumps([name]).encode()
        draft = Draft(1, 1, ACCOUNTS[0], "", list_name, None, 1, 32, name, None, None, raw)
        intake.insert(1, [draft])
        commit(run, Batch(results=[RowResult(1, Outcome.FAILED, message=message)]))
        commit(run, Batch(notes=[("kind", note)]))
        views.set_meta(run, {"fact": message})
        assert views.sources(run) == [source]
        (found,) = views.records(run)
        assert (found.name, found.list_name, found.raw) == (name, list_name, raw)
        assert found.result.message == message
        assert views.summary(run).notes == (note,)
        assert views.get_meta(run, "fact") == message
        assert views.list_info(run, 1).name == list_name


halves = st.sampled_from(["\ud800", "a\udfff", "\udc80.csv", "\U0001f600\ud83d"])


@settings(max_examples=30, deadline=None)
@given(half=halves, place=st.sampled_from(["name", "list_name", "message", "note", "meta"]))
def test_half_characters_are_refused_whole(half: str, place: str) -> None:
    """What is no text is refused, with nothing of its batch left, and the next one goes in."""
    good = Draft(1, 1, ACCOUNTS[0], LISTS[0], "", None, 1, 32, "a", None, None, b"[]")

    def put_in(run: RunDirectory, intake: Intake) -> None:
        if place == "name":
            intake.insert(1, [good, good._replace(name=half)])
        elif place == "list_name":
            intake.insert(1, [good, good._replace(list_sid="", list_name=half)])
        elif place == "message":
            results = [RowResult(1, Outcome.CREATED), RowResult(1, Outcome.FAILED, message=half)]
            commit(run, Batch(results=results))
        elif place == "note":
            commit(run, Batch(results=[RowResult(1, Outcome.CREATED)], notes=[("kind", half)]))
        else:
            views.set_meta(run, {"a": "b", "c": half})

    with new_run() as run:
        intake = Intake(run)
        # A file's name can be any bytes, and a JSON key half a character.
        intake.describe(SourceInfo(1, "caf\udce9.csv", "csv", (half,)))
        assert views.sources(run)[0].columns == (half,)
        intake.insert(1, [good])
        before = list(views.records(run))
        with pytest.raises((StoreError, UnicodeEncodeError)):
            put_in(run, intake)
        assert list(views.records(run)) == before
        assert views.get_meta(run, "a") == ""
        assert intake.rows == 1
        intake.insert(1, [good._replace(account_sid=ACCOUNTS[1])])
        assert [one.account_sid for one in views.records(run)] == ACCOUNTS[:2]


@settings(max_examples=100, deadline=None)
@given(
    entries=st.lists(
        st.builds(Entry, sid=sids, address=numbers, prefix=st.integers(0, 32), name=texts)
    )
)
def test_snapshots_survive(entries: list[Entry]) -> None:
    """A snapshot is read as it was kept."""
    assert unpack(pack(entries)) == tuple(entries)


@st.composite
def checked_rows(draw: st.DrawFn) -> Draft:
    """A row of few addresses, as intake lets it through, so that rows meet each other."""
    operation = draw(st.sampled_from(Operation))
    base = draw(st.integers(0, 7)) << draw(st.sampled_from([0, 4]))
    prefix = draw(st.sampled_from([32, 32, 31, 28]))
    name = draw(st.sampled_from(["a", "b"]))
    sid, match = None, None
    address: int | None = base
    given_prefix: int | None = prefix
    by = draw(st.sampled_from(["address", "sid", "match"]))
    if operation in (Operation.UPDATE, Operation.DELETE) and by == "sid":
        sid = f"IP{draw(st.integers(1, 3)):032x}"
        address, given_prefix = draw(st.sampled_from([(None, None), (base, None), (base, prefix)]))
    elif operation is Operation.UPDATE and by == "match":
        match = draw(st.integers(0, 3))
        address, given_prefix = draw(st.sampled_from([(None, None), (base, None), (base, prefix)]))
    return Draft(
        1, int(operation), ACCOUNTS[0], draw(st.sampled_from(LISTS)), "", sid, address,
        given_prefix, name, match, None if match is None else 32, b"[]",
    )  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(
    drafts=st.lists(checked_rows(), max_size=8),
    many=st.sampled_from([0, 0, 0, 0, 99, 101]),
    rng=st.randoms(use_true_random=False),
)
def test_no_list_is_overlooked(drafts: list[Draft], many: int, rng: Random) -> None:
    """The lists that are looked at are all that have something to say."""
    crowd = [
        Draft(1, rng.choice([1, 4]), ACCOUNTS[0], LISTS[0], "", None, 1_000 + n, 32, "a",
              None, None, b"[]")
        for n in range(many)
    ]  # fmt: skip
    rows = [draft._replace(line=n) for n, draft in enumerate([*drafts, *crowd], start=1)]
    with new_run() as run:
        intake = Intake(run)
        intake.describe(SourceInfo(1, "rows.csv", "csv", ()))
        intake.insert(1, rows)
        expected = [
            (number, problem)
            for account_id, _ in views.accounts(run)
            for list_id in views.lists_to_do(run, account_id)
            for number, problem in check_rows(views.rows_of_list(run, list_id))
        ]
        assert [(line, problem) for _, line, problem in cross_check(run)] == expected
        bad = {number for number, problem in expected if not problem.is_warning}
        assert set(views.invalid_rows(run)) == bad
