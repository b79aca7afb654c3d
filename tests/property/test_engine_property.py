"""Crashes, late landings and waits: the engine's pure parts against a simple list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_decide_property import (
    CREATE,
    DELETE,
    DONE,
    NAMES,
    UPDATE,
    Carrier,
    Ended,
    Held,
    cases,
    content,
    in_row_order,
    lists,
    sid_of,
)

from bulkipacl.engine.decide import ListState, Settled, Write, decide
from bulkipacl.engine.lanes import split_into_lanes
from bulkipacl.engine.repair import LateWrite, find_repairs
from bulkipacl.engine.resume import settle_prior
from bulkipacl.engine.retry import RetryBudget, backoff_s
from bulkipacl.model import Entry, Operation, Row
from bulkipacl.settings import BACKOFF_CAP_S, HINT_MAX_S, HINT_MIN_S

# --- a run that was cut off ---------------------------------------------------------------


def recorded_since(
    entries: Sequence[Entry], wrote: dict[int, tuple[Operation, Entry]], recorded: set[int]
) -> tuple[list[Entry], set[str]]:
    """The kept snapshot with what is recorded to have been written since, and the sids made."""
    held = {entry.sid: entry for entry in entries}
    made: set[str] = set()
    for number in sorted(recorded & wrote.keys()):
        operation, entry = wrote[number]
        if operation is DELETE:
            held.pop(entry.sid)
        else:
            held[entry.sid] = entry
        if operation is CREATE:
            made.add(entry.sid)
    return list(held.values()), made


@settings(max_examples=100, deadline=None)
@given(case=cases(), rng=st.randoms(use_true_random=False), data=st.data())
def test_a_cut_off_round_goes_on(
    case: tuple[list[Entry], list[Row]], rng: Random, data: st.DataObject
) -> None:
    """Cut off anywhere, and carried on from the list alone, a round ends as an undisturbed one."""
    entries, rows = case
    kept = {entry.sid for entry in entries}
    plain = in_row_order(rows, Held(entries))
    held = Held(entries)
    carried = Carrier(held, rng)
    recorded: set[int] = set()
    for lane in split_into_lanes(rows, entries):
        landed = data.draw(st.integers(0, len(lane)), label="rows that had their turn")
        if landed:
            carried.run(lane[:landed])
        written = data.draw(st.integers(0, landed), label="rows that are recorded")
        recorded |= {row.number for row in lane[:written]}
    before, made = recorded_since(entries, carried.wrote, recorded)
    open_rows = [row for row in rows if row.number not in recorded]

    now = [*held.entries.values()]
    rng.shuffle(now)
    done = settle_prior(open_rows, before, now, kept | made)
    ended: dict[int, Ended] = {n: carried.ended[n] for n in recorded}
    for row, step in done:
        assert row.number not in ended
        assert row.number in carried.ended, "said to be done, and never had its turn"
        if isinstance(step, Settled):
            ended[row.number] = (step.outcome, step.reason)
        else:
            ended[row.number] = (DONE[step.operation], "")
            assert step.wanted.sid == "" or step.wanted.sid.startswith("IP")
    rest = Carrier(held, rng).run([row for row in open_rows if row.number not in ended])
    assert not rest.ended.keys() & ended.keys()
    ended |= rest.ended
    assert content([*held.entries.values()], kept) == content([*plain.held.entries.values()], kept)
    assert ended == plain.ended


# --- what lands late ----------------------------------------------------------------------


@dataclass
class Late:
    """A write that may land again, as the API sees it: an update sends only what it changes."""

    number: int
    write: Write

    def land(self, held: Held) -> None:
        """Have its effect, once more."""
        write = self.write
        if write.operation is CREATE:
            held.do(write._replace(wanted=write.wanted._replace(sid="")))
            return
        there, old, new = held.entries.get(write.wanted.sid), write.old, write.wanted
        if there is None or old is None:
            return
        if new.name != old.name:
            there = there._replace(name=new.name)
        if new.key != old.key:
            there = there._replace(address=new.address, prefix=new.prefix)
        held.entries[there.sid] = there


def carry_out(rows: Sequence[Row], held: Held) -> tuple[list[Late], set[str]]:
    """One row after the other; the writes that could land again, and the sids that were made."""
    late: list[Late] = []
    made: set[str] = set()
    for row in rows:
        decision = decide(row, ListState(held.entries.values()), free=1, may_wait=False)
        if isinstance(decision, Write):
            entry = held.do(decision)
            assert entry is not None
            if decision.operation is not DELETE:
                late.append(Late(row.number, decision))
            if decision.operation is CREATE:
                made.add(entry.sid)
    return late, made


def strangers(data: st.DataObject) -> list[Entry]:
    """Entries that somebody else made meanwhile: of a name that no row gives, or elsewhere."""
    found = []
    for number in range(data.draw(st.integers(0, 3), label="strangers")):
        address, name = data.draw(
            st.sampled_from([(1, "zz"), (2, "zz"), (50, "a"), (51, "b")]), label="stranger"
        )
        found.append(Entry(sid_of(5_000 + number), address, 32, name))
    return found


def check_repairs(entries: list[Entry], rows: list[Row], rng: Random, data: st.DataObject) -> None:
    """Land some writes late, repair, and compare with the list as it should be."""
    held = Held(entries)
    late, made = carry_out(rows, held)
    expected = dict(held.entries)
    lost = [one for one in late if data.draw(st.booleans(), label=f"row {one.number} is lost")]
    landing = data.draw(st.permutations(lost), label="late landings")
    for one in landing[: data.draw(st.integers(0, len(landing)))]:
        one.land(held)
    others = strangers(data)
    now = [*held.entries.values(), *others]
    rng.shuffle(now)
    known = {entry.sid for entry in entries} | made

    ours = [LateWrite(one.number, one.write, may_adopt=False) for one in lost]
    found = find_repairs(ours, ListState(expected.values()), known, now)
    list_now = {entry.sid: entry for entry in now}
    for fix in found:
        assert list_now[fix.entry.sid] == fix.entry
        assert fix.write is not None
        if fix.write.operation is DELETE:
            assert fix.entry.sid not in known
            del list_now[fix.entry.sid]
        else:
            assert fix.entry.sid in known
            list_now[fix.entry.sid] = fix.write.wanted
    assert list_now == expected | {entry.sid: entry for entry in others}


@settings(max_examples=80, deadline=None)
@given(case=cases(moves=False), rng=st.randoms(use_true_random=False), data=st.data())
def test_late_landings_are_put_right(
    case: tuple[list[Entry], list[Row]], rng: Random, data: st.DataObject
) -> None:
    """Late creates go, late names are set right, and nobody else's entry is touched."""
    check_repairs(*case, rng, data)


@st.composite
def edits(draw: st.DrawFn) -> tuple[list[Entry], list[Row]]:
    """One entry that several rows rename, move, or both."""
    entry = Entry(sid_of(1), 1, 32, "a")
    rows = []
    for number in range(1, draw(st.integers(1, 4)) + 1):
        kind = draw(st.sampled_from(["rename", "move", "both"]))
        address = None if kind == "rename" else draw(st.integers(1, 4))
        name = None if kind == "move" else draw(st.sampled_from(NAMES))
        rows.append(Row(number, UPDATE, entry.sid, address, None, name))
    return [entry], rows


@settings(max_examples=80, deadline=None)
@given(case=cases() | edits(), rng=st.randoms(use_true_random=False), data=st.data())
def test_late_landings_of_every_kind_are_put_right(
    case: tuple[list[Entry], list[Row]], rng: Random, data: st.DataObject
) -> None:
    """The same where entries are moved as well: an update lands with what it sent, not whole."""
    check_repairs(*case, rng, data)


@settings(max_examples=50, deadline=None)
@given(
    entries=lists(is_unique=True),
    address=st.integers(1, 6),
    name=st.sampled_from(NAMES),
    landings=st.integers(0, 3),
)
def test_what_was_given_up_may_turn_up(
    entries: list[Entry], address: int, name: str, landings: int
) -> None:
    """A create that was given up keeps the first entry that turns up after all, and no second."""
    assume(all(entry.key != (address, 32) for entry in entries))
    write = Write(CREATE, Entry("", address, 32, name))
    held = Held(entries)
    for _ in range(landings):
        Late(1, write).land(held)
    state = ListState(entries)
    late = [LateWrite(1, write, may_adopt=True)]
    known = {entry.sid for entry in entries}
    found = find_repairs(late, state, known, held.entries.values())
    kept = [one for one in found if one.write is None]
    assert len(found) == landings
    assert len(kept) == min(landings, 1)
    assert state.at((address, 32)) == [one.entry for one in kept]


# --- waiting ------------------------------------------------------------------------------

hints = st.none() | st.floats(allow_nan=False)


@settings(max_examples=80, deadline=None)
@given(failures=st.integers(0, 10**6), hint_s=hints, rng=st.randoms(use_true_random=False))
def test_waits_are_bounded(failures: int, hint_s: float | None, rng: Random) -> None:
    """No wait is negative or longer than its cap, and a hint is a lower bound inside its limits."""
    wait_s = backoff_s(failures, hint_s, rng.uniform)
    if hint_s is None:
        assert 0.0 <= wait_s <= BACKOFF_CAP_S
    else:
        least_s = min(max(hint_s, HINT_MIN_S), HINT_MAX_S)
        assert HINT_MIN_S <= least_s <= wait_s <= least_s + 1.0 <= HINT_MAX_S + 1.0


@settings(max_examples=50, deadline=None)
@given(failures=st.integers(0, 40), fraction=st.floats(0, 1))
def test_waits_grow(failures: int, fraction: float) -> None:
    """The same draw never waits less after one more failure."""

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * fraction

    assert backoff_s(failures, None, uniform) <= backoff_s(failures + 1, None, uniform)


@settings(max_examples=50, deadline=None)
@given(events=st.lists(st.sampled_from(["well", "bad", "silent"]), max_size=400))
def test_budget_never_fails_for_ever(events: list[str]) -> None:
    """Whatever happened before, five good answers leave room for one more failure."""
    budget = RetryBudget()
    for event in events:
        if event == "well":
            budget.went_well()
        else:
            budget.failed(is_silence=event == "silent")
    for _ in range(5):
        budget.went_well()
    assert not budget.is_empty
