"""The judge: what a round did, by the server's ledger and state, against what its rows say.

Pure. The report is never believed by itself: what a row says it did must stand in the ledger, and
the lists must hold in the end what a small model makes of the rows, in row order, with the
outcomes that they were given.

    Change   one line of the ledger
    Answer   what a row was answered with
    Case     a finished round
    Finding  one thing that is wrong
    judge    a case -> findings
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

from campaign_plan import Held, PlanRow

DUPLICATE = "duplicate"
LOST = "lost"
UNANSWERED = "unanswered"
UNKNOWN = "unknown"
FALSE_FAILURE = "false failure"
FALSE_SUCCESS = "false success"
FOREIGN = "foreign entry touched"
NOT_OURS = "called unchanged"

WROTE = ("created", "updated", "deleted")
_STANDS = ("unchanged",)
_ABSENT = ("already_gone",)
_LIES = "echo_mismatch_after"

State = Mapping[str, Mapping[str, Held]]
"""Entries by list sid and sid."""


class Change(NamedTuple):
    """One line of the ledger: `before` None on a create, `after` None on a delete."""

    op: str
    list_sid: str
    sid: str
    before: Held | None
    after: Held | None
    fault: str | None
    by: str


class Answer(NamedTuple):
    """What a row was answered with; `sid` and `name` are those of the entry it ended with."""

    outcome: str
    sid: str = ""
    name: str = ""
    reason: str = ""


class Finding(NamedTuple):
    """One thing that is wrong: its kind, how many times, and where."""

    kind: str
    times: int
    text: str


@dataclass(frozen=True, slots=True)
class Case:
    """A finished round.

    Attributes:
        rows: in row order, the first is row 1.
        answers: all answers that were given, by row number.
        before, after: what the lists held; `after` when nothing could land any more.
        changes: the ledger.
    """

    rows: Sequence[PlanRow]
    answers: Mapping[int, Sequence[Answer]]
    before: State
    after: State
    changes: Sequence[Change]


@dataclass(slots=True)
class _Chain:
    """One chain, and all that happened at its addresses."""

    numbers: list[int] = field(default_factory=list)
    addresses: set[str] = field(default_factory=set)
    changes: list[Change] = field(default_factory=list)
    is_lied_to: bool = False


class _Model:
    """What one chain's entries should be, by its rows' outcomes alone."""

    def __init__(self, entries: Mapping[str, Held]) -> None:
        self._held: list[Held] = list(entries.values())
        self._of_sid = dict(entries)

    def entries(self) -> Counter[Held]:
        """What the list should hold."""
        return Counter(self._held)

    def find(self, row: PlanRow) -> Held | None:
        """The entry that a row is about."""
        if row.sid:
            found = self._of_sid.get(row.sid)
            return found if found in self._held else None
        place = row.match or row.address
        return next((h for h in self._held if place and h[:2] == place[:2]), None)

    def put(self, old: Held | None, new: Held | None) -> None:
        """One entry became another; None where there was or is none."""
        if old is not None:
            self._held.remove(old)
        if new is not None:
            self._held.append(new)
        for sid, held in list(self._of_sid.items()):
            if held == old:
                if new is None:
                    del self._of_sid[sid]
                else:
                    self._of_sid[sid] = new


def judge(case: Case) -> list[Finding]:
    """All that is wrong with a round."""
    findings = list(_judge_answers(case))
    chains, strays = _chains_of(case)
    findings += _judge_strays(case, chains, strays)
    for (list_sid, _), chain in chains.items():
        before, after = (
            {s: h for s, h in state[list_sid].items() if h.ip in chain.addresses}
            for state in (case.before, case.after)
        )
        findings += _judge_chain(case, chain, before, after)
    return findings


def lied_to(case: Case) -> int:
    """Rows of chains in which the server answered something else than it did."""
    return sum(len(c.numbers) for c in _chains_of(case)[0].values() if c.is_lied_to)


def _judge_answers(case: Case) -> Iterator[Finding]:
    for number in range(1, len(case.rows) + 1):
        answers = case.answers.get(number, ())
        if len(answers) != 1:
            yield Finding(UNANSWERED, 1, f"row {number} has {len(answers)} outcomes")
        elif answers[0].outcome == "unknown":
            yield Finding(UNKNOWN, 1, f"row {number} is unknown in the end")
    surplus = set(case.answers) - set(range(1, len(case.rows) + 1))
    if surplus:
        yield Finding(UNANSWERED, len(surplus), f"outcomes of no row: {sorted(surplus)[:9]}")


def _chains_of(case: Case) -> tuple[dict[tuple[str, int], _Chain], list[Change]]:
    """The chains with their changes, and the changes that are no chain's."""
    chains: dict[tuple[str, int], _Chain] = defaultdict(_Chain)
    owner: dict[tuple[str, str], tuple[str, int]] = {}
    for number, row in enumerate(case.rows, start=1):
        chain = chains[row.chain]
        chain.numbers.append(number)
        ips = {place.ip for place in (row.address, row.match) if place}
        if row.sid:
            ips.add(row.scene.entries[row.sid].ip)
        chain.addresses |= ips
        owner.update(dict.fromkeys(((row.chain[0], ip) for ip in ips), row.chain))
    strays = []
    for change in case.changes:
        held = change.before or change.after
        owned_by = owner.get((change.list_sid, held.ip if held else ""))
        if owned_by is None:
            strays.append(change)
            continue
        chains[owned_by].changes.append(change)
        chains[owned_by].is_lied_to |= change.fault == _LIES
    return dict(chains), strays


def _judge_strays(
    case: Case, chains: Mapping[tuple[str, int], _Chain], strays: Iterable[Change]
) -> Iterator[Finding]:
    """What no row names: it must be as it was, but for what somebody else did."""
    others: dict[str, dict[str, Held]] = {k: dict(v) for k, v in case.before.items()}
    for change in strays:
        if change.by == "client":
            yield Finding(FOREIGN, 1, f"no row asks for it: {change}")
        elif change.after is not None:
            others[change.list_sid][change.sid] = change.after
    named = {(list_sid, ip) for (list_sid, _), c in chains.items() for ip in c.addresses}
    for list_sid, entries in case.after.items():
        then, now = (
            {s: h for s, h in held.items() if (list_sid, h.ip) not in named}
            for held in (others[list_sid], entries)
        )
        if then != now:
            differing = sorted(set(then.items()) ^ set(now.items()))
            yield Finding(FOREIGN, len(differing), f"list {list_sid}: {differing[:4]}")


def _judge_chain(
    case: Case, chain: _Chain, before: Mapping[str, Held], after: Mapping[str, Held]
) -> Iterator[Finding]:
    story = _story(case, chain, after)
    duplicates = _duplicates(before, after)
    if duplicates and (len(chain.numbers) == 1 or not chain.is_lied_to):
        yield Finding(DUPLICATE, duplicates, story)
    if chain.is_lied_to:
        return
    replay = _Replay(case, chain, before)
    if replay.wrong:
        text = "; ".join(replay.wrong)
        yield Finding(FALSE_SUCCESS, len(replay.wrong), f"{text}\n{story}")
    found = Counter(after.values())
    if not replay.leads_to(found):
        done = _done_after_all(case, chain, before, found)
        if done:
            yield Finding(FALSE_FAILURE, len(done), f"done after all: rows {done}\n{story}")
        else:
            yield from _judge_state(case, chain, replay.model.entries(), found, story)
        return
    made = {c.sid for c in chain.changes if c.op == "create"} & set(after)
    silent = made - {chain.changes[place].sid for place in replay.claimed}
    if silent and not (duplicates or replay.wrong):
        yield Finding(NOT_OURS, len(silent), story)


class _Replay:
    """A chain's rows, played by their outcomes.

    Attributes:
        wrong: outcomes that cannot be true.
        claimed: places in the ledger of what rows say they wrote.
    """

    def __init__(
        self,
        case: Case,
        chain: _Chain,
        before: Mapping[str, Held],
        done_after_all: Sequence[int] = (),
    ) -> None:
        self.model = _Model(before)
        self.wrong: list[str] = []
        self.claimed: set[int] = set()
        for number in chain.numbers:
            row = case.rows[number - 1]
            for answer in case.answers.get(number, ())[:1]:
                if number in done_after_all:
                    answer = Answer(_done_word(row, self.model))
                why = _play(self.model, row, answer, chain.changes, self.claimed)
                if why:
                    self.wrong.append(f"row {number} {answer.outcome}: {why}")

    def leads_to(self, found: Counter[Held]) -> bool:
        """Whether that is what there is; an entry twice is judged elsewhere."""
        return set(self.model.entries()) == set(found)


def _done_word(row: PlanRow, model: _Model) -> str:
    if row.operation == "upsert":
        return "updated" if model.find(row) else "created"
    return {"create": "created", "update": "updated", "delete": "deleted"}[row.operation]


def _done_after_all(
    case: Case, chain: _Chain, before: Mapping[str, Held], found: Counter[Held]
) -> tuple[int, ...]:
    """The fewest rows that say they did nothing, and must have, for the list to be as it is."""
    said_no = [
        number
        for number in chain.numbers
        for answer in case.answers.get(number, ())[:1]
        if answer.outcome not in (*WROTE, *_STANDS, *_ABSENT)
    ]
    for count in range(1, len(said_no) + 1):
        for done in combinations(said_no, count):
            if _Replay(case, chain, before, done).leads_to(found):
                return done
    return ()


def _duplicates(before: Mapping[str, Held], after: Mapping[str, Held]) -> int:
    """Entries too many, over all addresses: one each is right, or as many as there were."""
    was = Counter(held[:2] for held in before.values())
    now = Counter(held[:2] for held in after.values())
    return sum(max(0, count - max(1, was[key])) for key, count in now.items())


def _play(
    model: _Model,
    row: PlanRow,
    answer: Answer,
    changes: Sequence[Change],
    claimed: set[int],
) -> str:
    """Let a row's outcome change the model; returns why the outcome cannot be true, or ""."""
    outcome, there = answer.outcome, model.find(row)
    wanted = _wanted(row, answer, there)
    if outcome in _ABSENT:
        model.put(there, None)
        return ""
    if outcome in _STANDS:
        model.put(there, wanted)
        return ""
    if outcome not in WROTE:
        return ""
    old, new = {
        "created": (None, wanted),
        "updated": (there, wanted),
        "deleted": (there, None),
    }[outcome]
    model.put(old, new)
    if outcome != "created" and there is None:
        return "there was no such entry"
    return _claim(answer, there, new, changes, claimed)


def _claim(
    answer: Answer,
    there: Held | None,
    new: Held | None,
    changes: Sequence[Change],
    claimed: set[int],
) -> str:
    """Find a row's effect in the ledger, one that no row before claims; returns why not, or "".

    A row whose entry is gone again, and which was not heard of, may not know its sid.
    """
    fitting = [
        place
        for place, change in enumerate(changes)
        if change.op == answer.outcome[:-1]
        and change.after == new
        and (change.sid == answer.sid if answer.sid else new is not None or change.before == there)
    ]
    place = next((place for place in fitting if place not in claimed), None)
    if place is not None:
        claimed.add(place)
        return ""
    return "an earlier row did that" if fitting else "nothing of it is in the ledger"


def _wanted(row: PlanRow, answer: Answer, there: Held | None) -> Held:
    """What a row that ended well leaves behind."""
    place = there
    if row.address is not None and (there is None or row.sid or row.match):
        place = row.address
    if place is None:
        return Held("", 0, "")
    name = row.name
    if name is None or (answer.outcome in _STANDS and answer.reason == "other_name"):
        name = there.name if there else answer.name
    return Held(place.ip, place.prefix, name)


def _judge_state(
    case: Case, chain: _Chain, wanted: Counter[Held], found: Counter[Held], story: str
) -> Iterator[Finding]:
    """What is missing is lost; what is there beside that is a failure that was none."""
    missing, extra = wanted - found, dict(found - wanted)
    lost = missing.total()
    for held in missing:
        # Another name or place in its stead is the same loss, and not a second one.
        other = next((e for e in extra if e[:2] == held[:2]), next(iter(extra), None))
        if other is not None:
            del extra[other]
    last = [a.outcome for n in chain.numbers for a in case.answers.get(n, ())[:1]][-1:]
    for held in extra:
        if wanted[held] or any(held[:2] == w[:2] for w in wanted):
            continue  # Counted as a duplicate.
        if last and last[0] in ("deleted", "already_gone"):
            lost += 1
        else:
            yield Finding(FALSE_FAILURE, 1, f"{held} stands though no row did it\n{story}")
    if lost:
        yield Finding(LOST, lost, f"wanted {list(wanted)}, found {list(found)}\n{story}")


def _story(case: Case, chain: _Chain, after: Mapping[str, Held]) -> str:
    """All of a chain, for a person to read."""
    lines = []
    for number in chain.numbers:
        row = case.rows[number - 1]
        asked = " ".join(cell for cell in (row.operation, *row.cells()[4:]) if cell)
        answers = [tuple(answer) for answer in case.answers.get(number, ())]
        lines.append(f"    row {number}: {asked} -> {answers}")
    lines += [f"    ledger: {tuple(change)}" for change in chain.changes]
    lines += [f"    now: {sid} {tuple(held)}" for sid, held in after.items()]
    return "\n".join(lines)
