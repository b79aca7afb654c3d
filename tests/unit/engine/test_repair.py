"""What a last reading shows that late writes explain, and how that is put right."""

from __future__ import annotations

import pytest
from engine_fakes import BASE, LIST, NO_ANSWER, NOT_SENT, FakeAccount, answer, echo, no
from engine_tools import CREATE, DELETE, UPDATE, entry

from bulkipacl.engine.decide import ListState, Write
from bulkipacl.engine.repair import Found, LateWrite, Repair, find_repairs
from bulkipacl.model import ApiError, Attempt, Entry

A, B, C = 1, 2, 3
MINE, LATE, STRANGER = entry(1, A, "mine"), entry(2, A, "mine"), entry(3, B, "theirs")


def made(number: int, address: int, name: str, *, may_adopt: bool = False) -> LateWrite:
    """A create whose answer was lost."""
    return LateWrite(number, Write(CREATE, Entry("", address, 32, name)), may_adopt)


def changed(number: int, old: Entry, new: Entry) -> LateWrite:
    """An update whose answer was lost."""
    return LateWrite(number, Write(UPDATE, new, old), may_adopt=False)


def removal(number: int, found: Entry) -> Found:
    """A late duplicate that is removed."""
    return Found(number, found, Write(DELETE, found, found))


def undone(number: int, found: Entry, expected: Entry) -> Found:
    """A late update that is set right."""
    return Found(number, found, Write(UPDATE, expected, found))


def named(name: str, address: int = A) -> Entry:
    """The entry that the updates are about."""
    return entry(1, address, name)


# Each line: a word | late writes | what the list should hold | known sids | the reading | repairs.
TABLE: list[
    tuple[str, list[LateWrite], list[Entry], set[str], list[Entry], list[Found]]
] = [
    ("nothing at all", [], [], set(), [], []),
    ("all as expected", [made(1, A, "mine")], [MINE], {MINE.sid}, [MINE], []),
    ("duplicate", [made(1, A, "mine")], [MINE], {MINE.sid}, [MINE, LATE], [removal(1, LATE)]),
    ("duplicate first", [made(1, A, "mine")], [MINE], {MINE.sid}, [LATE, MINE],
     [removal(1, LATE)]),
    ("two duplicates", [made(1, A, "mine")], [MINE], {MINE.sid}, [MINE, LATE, entry(4, A, "mine")],
     [removal(1, LATE), removal(1, entry(4, A, "mine"))]),
    ("deleted since", [made(1, A, "mine")], [], set(), [LATE], [removal(1, LATE)]),
    ("turns up after all", [made(1, A, "mine", may_adopt=True)], [], set(), [LATE],
     [Found(1, LATE, None)]),
    ("turns up twice", [made(1, A, "mine", may_adopt=True)], [], set(), [LATE, MINE],
     [Found(1, LATE, None), removal(1, MINE)]),
    ("turns up beside another", [made(1, A, "mine", may_adopt=True)], [MINE], {MINE.sid},
     [MINE, LATE], [removal(1, LATE)]),
    ("turns up beside a stranger", [made(1, B, "mine", may_adopt=True)], [STRANGER],
     {STRANGER.sid}, [STRANGER, entry(2, B, "mine")], [removal(1, entry(2, B, "mine"))]),
    # Somebody else's.
    ("other name", [made(1, A, "mine")], [], set(), [entry(2, A, "theirs")], []),
    ("other address", [made(1, A, "mine")], [], set(), [entry(2, B, "mine")], []),
    ("other prefix", [made(1, A, "mine")], [], set(), [entry(2, A, "mine", 24)], []),
    ("known", [made(1, A, "mine")], [], {LATE.sid}, [LATE], []),
    ("no late write", [], [MINE], {MINE.sid}, [MINE, LATE], []),
    ("a stranger's change", [changed(1, named("a"), named("b"))], [named("c")], {MINE.sid},
     [named("z")], []),
    ("a stranger's delete", [changed(1, named("a"), named("b"))], [named("c")], {MINE.sid}, [], []),
    ("a stranger's change of another", [changed(1, named("a"), named("b"))],
     [named("b"), STRANGER], {MINE.sid, STRANGER.sid}, [named("b"), entry(3, B, "b")], []),
    # Updates that landed on top of a newer one.
    ("late name", [changed(1, named("a"), named("b"))], [named("c")], {MINE.sid}, [named("b")],
     [undone(1, named("b"), named("c"))]),
    ("late address", [changed(1, named("a"), named("a", B))], [named("a", C)], {MINE.sid},
     [named("a", B)], [undone(1, named("a", B), named("a", C))]),
    ("late, back to the start", [changed(1, named("a"), named("b"))], [named("a")], {MINE.sid},
     [named("b")], [undone(1, named("b"), named("a"))]),
    ("the later of two", [changed(1, named("a"), named("b")), changed(2, named("b"), named("c"))],
     [named("d")], {MINE.sid}, [named("c")], [undone(2, named("c"), named("d"))]),
    # An update sends what it changes and no more, so that only that much lands late.
    ("late name, moved since", [changed(1, named("a"), named("b"))], [named("c", C)], {MINE.sid},
     [named("b", C)], [undone(1, named("b", C), named("c", C))]),
    ("a name that was not sent", [changed(1, named("a"), named("a", B))], [named("c")],
     {MINE.sid}, [named("a")], []),
    ("an address that was not sent", [changed(1, named("a"), named("b"))], [named("a", C)],
     {MINE.sid}, [named("a")], []),
    ("late address, renamed since", [changed(1, named("a"), named("a", B))], [named("c", C)],
     {MINE.sid}, [named("c", B)], [undone(1, named("c", B), named("c", C))]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("late", "expected", "known", "now", "repairs"),
    [case[1:] for case in TABLE],
    ids=[case[0] for case in TABLE],
)
def test_table(
    late: list[LateWrite],
    expected: list[Entry],
    known: set[str],
    now: list[Entry],
    repairs: list[Found],
) -> None:
    """What landed late is put right, and what is somebody else's is left alone."""
    assert find_repairs(late, ListState(expected), known, now) == repairs


def test_adopted_entries_are_held() -> None:
    """An entry that turned up after all belongs to what the list should hold."""
    state = ListState()
    find_repairs([made(1, A, "mine", may_adopt=True)], state, set(), [LATE])
    assert state.at((A, 32)) == [LATE]


def test_each_heir_gets_one() -> None:
    """Two given-up creates of different addresses each get their own entry."""
    late = [made(1, A, "mine", may_adopt=True), made(2, B, "mine", may_adopt=True)]
    now = [entry(8, B, "mine"), entry(9, A, "mine")]
    found = find_repairs(late, ListState(), set(), now)
    assert found == [Found(2, now[0], None), Found(1, now[1], None)]


# --- a repair on its way ----------------------------------------------------------------------

REMOVAL = Found(1, LATE, Write(DELETE, LATE, LATE))
UNDOING = Found(1, named("b"), Write(UPDATE, named("c"), named("b")))
GONE, SICK = no(404, 20404), no(503, 20503)

# Each line: a word | the repair | answers | what it asked of its account | whether it is done, or
# None while it goes on.
REPAIRS: list[tuple[str, Found, list[Attempt], list[str], bool | None]] = [
    ("removed", REMOVAL, [answer(204)], [], True),
    ("removed by somebody else", REMOVAL, [GONE], [], True),
    ("lost, then gone", REMOVAL, [NO_ANSWER, GONE], ["again 0"], True),
    ("not sent", REMOVAL, [NOT_SENT], ["again 0"], None),
    ("sick to the end", REMOVAL, [SICK] * 3, ["again 0", "again 1"], False),
    ("throttled", REMOVAL, [no(429)] * 5, ["throttled"] * 5, None),
    ("refused", REMOVAL, [no(405)], [], False),
    ("credential", REMOVAL, [no(401)], ["refused 401"], None),
    ("set right", UNDOING, [echo(named("c"))], [], True),
    ("lost, then set right", UNDOING, [NO_ANSWER, echo(named("c"))], ["again 0"], True),
    ("conflict, then set right", UNDOING, [no(409), echo(named("c"))], ["again 0"], True),
    ("lost to the end", UNDOING, [NO_ANSWER] * 3, ["again 0", "again 1"], False),
    ("not there any more", UNDOING, [GONE], [], False),
    ("another echo", UNDOING, [echo(named("b"))], [], False),
    ("forbidden", UNDOING, [no(403)], ["refused 403"], None),
]


@pytest.mark.parametrize(
    ("found", "attempts", "log", "is_done"),
    [case[1:] for case in REPAIRS],
    ids=[f"{case[0]}: {case[1].write.operation.word if case[1].write else ''}" for case in REPAIRS],
)
def test_what_comes_next(
    found: Found, attempts: list[Attempt], log: list[str], is_done: bool | None
) -> None:
    """After each answer a repair is done, is sent again, or is given up: told once."""
    account, told = FakeAccount(), []
    repair = Repair(account, LIST, found, lambda found, error: told.append((found, error)))
    repair.start()
    for attempt in attempts:
        assert not told
        assert repair.may_send()
        repair.answered(attempt)
    assert account.log == ["push", *log]
    assert [(one, error is None) for one, error in told] == (
        [] if is_done is None else [(found, is_done)]
    )


def test_what_a_repair_sends() -> None:
    """A removal names the entry that landed late; an undoing sends what differs, and no more."""
    account = FakeAccount()
    removed = Repair(account, LIST, REMOVAL, lambda found, error: None).request
    assert (removed.method, removed.path) == ("DELETE", f"{BASE}/{LATE.sid}.json")
    undone = Repair(account, LIST, UNDOING, lambda found, error: None).request
    assert (undone.method, undone.path) == ("POST", f"{BASE}/{MINE.sid}.json")
    assert undone.body == b"FriendlyName=c"


def test_a_repair_that_is_dropped_is_not_done() -> None:
    """An account that takes no more requests leaves it as it is, and says why."""
    told: list[ApiError | None] = []
    repair = Repair(FakeAccount(), LIST, REMOVAL, lambda found, error: told.append(error))
    repair.dropped("blocked", ApiError(503, 20503, "no"))
    assert told == [ApiError(503, 20503, "no")]
