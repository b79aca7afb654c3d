"""Each guard: the nearest case that must pass, the nearest that must not, and its own override."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkipacl.engine import guards
from bulkipacl.engine.guards import Caps, are_harmless, findings, union_size
from bulkipacl.engine.preview import preview
from bulkipacl.model import LIST_CAPACITY, Entry, Operation, Outcome, Row, cidr_text
from bulkipacl.settings import Settings, parse_share

ASKED = Caps()
HALF = ".".join("0000")
CREATE, UPDATE, DELETE = Operation.CREATE, Operation.UPDATE, Operation.DELETE
OVERRIDES: dict[str, dict[str, Any]] = {
    "left_empty": {"allow_empty": True},
    "wide_block": {"allow_wide": ("11.0.0.0/8", "11.0.0.0/15", "0.0.0.0/1", "128.0.0.0/1")},
    "wide_union": {"allow_wide": tuple(f"11.{n}.0.0/16" for n in range(17))},
    "max_deletes_of_list": {"max_deletes_percent": 100.0},
    "max_deletes": {"max_deletes": 10**6},
    "list_full": {"allow_full": True},
}


def held(*blocks: tuple[str, int] | str) -> list[Entry]:
    """Entries at these addresses."""
    pairs = [(b, 32) if isinstance(b, str) else b for b in blocks]
    return [Entry(f"IP{n:032x}", number(ip), prefix, "x") for n, (ip, prefix) in enumerate(pairs)]


def number(ip: str) -> int:
    """An address as a number."""
    a, b, c, d = (int(part) for part in ip.split("."))
    return a << 24 | b << 16 | c << 8 | d


def many(count: int) -> list[Entry]:
    """So many entries of one address each."""
    return held(*(f"64.0.0.{n}" for n in range(count)))


def deletes(count: int) -> list[Row]:
    """Rows that delete the first of `many`."""
    return [Row(n, DELETE, address=number(f"64.0.0.{n - 1}")) for n in range(1, count + 1)]


def creates(*blocks: tuple[str, int]) -> list[Row]:
    """Rows that create these blocks."""
    pairs = enumerate(blocks, start=1)
    return [Row(n, CREATE, address=number(ip), prefix=p, name="n") for n, (ip, p) in pairs]


def shut(entries: list[Entry], rows: list[Row], caps: Caps = ASKED, **flags: Any) -> list[str]:
    """The guards that refuse it."""
    found = findings(preview(rows, entries), Settings(**flags), caps)
    return [one.guard for one in found if not one.is_open]


MADE = Caps(asked=10, is_generated=True)
SIXTEENS = [(f"11.{n}.0.0", 16) for n in range(17)]
MORE = [(f"12.{n}.0.0", 16) for n in range(33)]
HALVES = [(HALF, 1), ("128.0.0.0", 1)]

PASSING = [
    pytest.param(many(2), deletes(1), Caps(), {}, id="all but one deleted"),
    pytest.param([], deletes(1), Caps(), {}, id="empty before"),
    pytest.param(many(1), [*deletes(1), Row(2, CREATE, address=7)], Caps(), {}, id="replaced"),
    pytest.param([], creates(("11.0.0.0", 16)), Caps(), {}, id="a block as wide as may be"),
    pytest.param([], creates(("11.0.0.0", 15)), Caps(), {"min_prefix": 15}, id="a wider one"),
    pytest.param(
        held(("11.0.0.0", 8)),
        [Row(1, UPDATE, address=number("11.0.0.0"), prefix=8, name="n")],
        Caps(),
        {},
        id="a wide one renamed",
    ),
    pytest.param([], creates(*SIXTEENS[:16]), Caps(), {}, id="sixteen /16"),
    pytest.param(held(("12.0.0.0", 8)), creates(*SIXTEENS), Caps(), {}, id="to what is wide"),
    pytest.param(held(*SIXTEENS[:2]), creates(*SIXTEENS[2:]), Caps(), {}, id="eight times wider"),
    pytest.param(held(*MORE[:2]), creates(*MORE[2:32]), Caps(), {}, id="sixteen times wider"),
    pytest.param([], creates(HALVES[0]), Caps(), {"min_prefix": 1}, id="one half, asked for"),
    pytest.param(many(10), deletes(3), MADE, {}, id="30 % of ten"),
    pytest.param(many(3), deletes(1), MADE, {}, id="one of three"),
    pytest.param(many(10), deletes(9), Caps(10), {}, id="one by one: no cap"),
    pytest.param(many(10), deletes(1), Caps(1_000, True), {}, id="a thousand in all"),
    pytest.param(many(10), deletes(1), Caps(4), {"max_deletes": 4}, id="as many as given"),
    pytest.param(many(10), [Row(1, CREATE, address=7)], Caps(9_999, True), {}, id="no delete"),
    pytest.param(many(99), creates(("12.0.0.1", 32)), Caps(), {}, id="a hundred entries"),
]
FAILING = [
    pytest.param(many(1), deletes(1), Caps(), {}, "left_empty", id="the only one deleted"),
    pytest.param([], creates(("11.0.0.0", 15)), Caps(), {}, "wide_block", id="/15"),
    pytest.param(
        held(("11.0.0.0", 24)),
        [Row(1, UPDATE, match_address=number("11.0.0.0"), match_prefix=24, prefix=8)],
        Caps(),
        {},
        "wide_block",
        id="an update to /8",
    ),
    pytest.param(
        [],
        [*creates(("11.0.0.0", 8)), Row(2, DELETE, address=number("11.0.0.0"), prefix=8)],
        Caps(),
        {},
        "wide_block",
        id="opened for a while",
    ),
    pytest.param([], creates(*SIXTEENS), Caps(), {}, "wide_union", id="seventeen /16"),
    pytest.param(
        held(*MORE[:2]), creates(*MORE[2:]), Caps(), {}, "wide_union", id="more than sixteen times"
    ),
    pytest.param(many(1), creates(*HALVES), Caps(), {}, "wide_block", id="two halves"),
    pytest.param([], creates(*HALVES), Caps(), {"min_prefix": 1}, "wide_union", id="both asked"),
    pytest.param(many(10), deletes(4), MADE, {}, "max_deletes_of_list", id="40 % of ten"),
    pytest.param(many(3), deletes(2), MADE, {}, "max_deletes_of_list", id="two of three"),
    pytest.param(
        many(10),
        deletes(1),
        Caps(),
        {"max_deletes_percent": 0.0},
        "max_deletes_of_list",
        id="none at all",
    ),
    pytest.param(many(10), deletes(1), Caps(1_001, True), {}, "max_deletes", id="1,001 in all"),
    pytest.param(
        many(10), deletes(1), Caps(5), {"max_deletes": 4}, "max_deletes", id="one over the given"
    ),
    pytest.param(
        many(100), creates(("12.0.0.1", 32)), Caps(), {}, "list_full", id="a hundred and one"
    ),
]


@pytest.mark.parametrize(("entries", "rows", "caps", "flags"), PASSING)
def test_it_passes(
    entries: list[Entry], rows: list[Row], caps: Caps, flags: dict[str, Any]
) -> None:
    """What a person may well mean is not refused, and without a flag it is not even found."""
    assert shut(entries, rows, caps, **flags) == []
    if not flags:
        assert findings(preview(rows, entries), Settings(), caps) == []


@pytest.mark.parametrize(("entries", "rows", "caps", "flags", "guard"), FAILING)
def test_it_is_refused(
    entries: list[Entry], rows: list[Row], caps: Caps, flags: dict[str, Any], guard: str
) -> None:
    """One step further it is, by that guard alone."""
    assert shut(entries, rows, caps, **flags) == [guard]


@pytest.mark.parametrize("override", OVERRIDES)
@pytest.mark.parametrize(("entries", "rows", "caps", "flags", "guard"), FAILING)
def test_an_override_opens_one_guard(
    entries: list[Entry],
    rows: list[Row],
    caps: Caps,
    flags: dict[str, Any],
    guard: str,
    override: str,
) -> None:
    """Each override opens its own guard; given for another one, it opens nothing."""
    if override in ("wide_block", "wide_union") and "--allow-wide" in told(
        entries, rows, caps, flags
    ):
        return  # The two share a flag, which names blocks: see below.
    left = shut(entries, rows, caps, **flags | OVERRIDES[override])
    assert left == ([] if override == guard else [guard])


def told(entries: list[Entry], rows: list[Row], caps: Caps, flags: dict[str, Any]) -> str:
    """The override that the first refusal names."""
    found = findings(preview(rows, entries), Settings(**flags), caps)
    return next(one.override for one in found if not one.is_open)


@pytest.mark.parametrize(("entries", "rows", "caps", "flags", "guard"), FAILING)
def test_the_override_that_is_named_opens_it(
    entries: list[Entry], rows: list[Row], caps: Caps, flags: dict[str, Any], guard: str
) -> None:
    """What a refusal says to give, given just so, lets it through, and the finding stays told."""
    override = told(entries, rows, caps, flags)
    words = override.split()
    more: dict[str, Any] = {}
    match words:
        case ["--max-deletes", value]:
            count, percent = parse_share("--max-deletes", value)
            more = {"max_deletes": count} if percent is None else {"max_deletes_percent": percent}
        case ["--allow-wide", *_]:
            more["allow_wide"] = tuple(words[1::2])
        case [flag]:
            more[flag.removeprefix("--").replace("-", "_")] = True
    assert shut(entries, rows, caps, **flags | more) == []
    found = findings(preview(rows, entries), Settings(**flags | more), caps)
    is_default = not flags.keys() & {"max_deletes", "max_deletes_percent"}
    assert (guard in [one.guard for one in found]) == is_default


def test_a_block_that_is_allowed_is_just_that_one() -> None:
    """Neither what lies inside of it nor what lies around it is opened; host bits are no matter."""
    allowed: dict[str, Any] = {"allow_wide": ("11.0.0.0/8",)}
    assert shut([], creates(("11.2.3.4", 8)), **allowed) == []
    assert shut([], creates(("11.0.0.0", 9)), **allowed) == ["wide_block"]
    assert shut([], creates(("10.0.0.0", 7)), **allowed) == ["wide_block"]


def test_a_union_counts_each_address_once() -> None:
    """Blocks inside of others, repeats and neighbours."""
    assert union_size(held()) == 0
    assert union_size(held(("10.0.0.0", 8), ("10.1.0.0", 16), "10.2.3.4")) == 1 << 24
    assert union_size(held(("10.0.0.0", 9), ("10.128.0.0", 9), "9.255.255.255")) == (1 << 24) + 1


def test_no_gap_keeps_deletes_back_where_a_create_finds_no_room() -> None:
    """Without a gap the creates come first, and one that fails refuses the deletes."""
    rows = [*deletes(1), Row(2, CREATE, address=7)]
    seen = preview(rows, many(LIST_CAPACITY), no_gap=True)
    assert [step.outcome for step in seen.steps] == [Outcome.REFUSED, Outcome.FAILED]
    seen = preview(rows, many(5), no_gap=True, is_gap=True)
    assert [step.outcome for step in seen.steps] == [Outcome.REFUSED, Outcome.CREATED]


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(list(Operation)),
            st.integers(0, 2**32 - 1),
            st.sampled_from([None, 20, 24, 32]),
        ),
        max_size=LIST_CAPACITY + 1,
    ),
    entries=st.integers(0, LIST_CAPACITY),
    min_prefix=st.sampled_from([8, 16, 28]),
)
def test_what_looks_harmless_passes_every_guard(
    rows: list[tuple[Operation, int, int | None]], entries: int, min_prefix: int
) -> None:
    """The quick look never lets through what the guards would not."""
    flags = Settings(min_prefix=min_prefix)
    asked = [Row(n, op, None, ip, prefix, "n") for n, (op, ip, prefix) in enumerate(rows, 1)]
    asked = [row for row in asked if are_harmless([row], flags)]
    asked = asked[: LIST_CAPACITY - entries]
    assert not findings(preview(asked, many(entries)), flags, Caps(10**6, True))


def test_the_blocks_of_an_override_are_bounded() -> None:
    """Eight are named, the others counted."""
    opened = creates(*((f"{n}.0.0.0", 8) for n in range(11, 30)))
    (one, *_) = findings(preview(opened, []), Settings(), Caps())
    assert one.override.count("--allow-wide") == guards.NAMED_BLOCKS
    assert one.override.endswith(f"and so on for {19 - guards.NAMED_BLOCKS} more")
    assert cidr_text(number("11.0.0.0"), 8) in one.why
