"""The rows of one round, drawn from its seed: single rows, and chains of rows on one entry.

Every chain has addresses of its own, which no other chain of its list names: so the effects in
the server's ledger can be told apart by chain, and a chain can be judged by itself.

    Held        what an entry holds
    Scene       one list before the round
    PlanRow     one row
    draw_plan   rows for some scenes
    csv_lines   rows as CSV, under `HEADER`
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

HEADER = "operation,account_sid,list_sid,list_name,sid,ip_address,match_ip_address,friendly_name"


class Held(NamedTuple):
    """What an entry holds."""

    ip: str
    prefix: int
    name: str

    @property
    def cidr(self) -> str:
        """Address and prefix as an input has them."""
        return self.ip if self.prefix == 32 else f"{self.ip}/{self.prefix}"


@dataclass(frozen=True, slots=True)
class Scene:
    """One list before the round; `entries` by sid."""

    account_sid: str
    list_sid: str
    list_name: str
    entries: Mapping[str, Held]


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One row.

    Attributes:
        chain: (list sid, number): the rows of one chain act on the same entry.
        by_name: the list is named by its name.
        name: None where the row says nothing of the name.
    """

    operation: str
    scene: Scene
    chain: tuple[str, int]
    sid: str = ""
    address: Held | None = None
    match: Held | None = None
    name: str | None = None
    by_name: bool = False

    def cells(self) -> tuple[str, ...]:
        """The row's cells, under `HEADER`."""
        scene = self.scene
        return (
            self.operation,
            scene.account_sid,
            "" if self.by_name else scene.list_sid,
            scene.list_name if self.by_name else "",
            self.sid,
            _told(self.address, is_target=bool(self.sid or self.match)) if self.address else "",
            self.match.cidr if self.match else "",
            self.name or "",
        )


def _told(place: Held, *, is_target: bool) -> str:
    """A place as text. Where an entry goes to, no prefix would mean the one that it has."""
    return f"{place.ip}/{place.prefix}" if is_target else place.cidr


class _Step(NamedTuple):
    """One row of a chain, before it knows its list: `at` and `to` are places, `n` a name."""

    operation: str
    sid: bool = False
    at: str = ""
    to: str = ""
    n: int | None = None


_A, _B = "a", "b"
_CREATE, _DELETE, _UPSERT = "create", "delete", "upsert"


def _create(n: int) -> _Step:
    return _Step(_CREATE, at=_A, n=n)


def _delete(at: str = _A) -> _Step:
    return _Step(_DELETE, at=at)


def _upsert(n: int) -> _Step:
    return _Step(_UPSERT, at=_A, n=n)


def _rename(n: int, at: str = _A) -> _Step:
    return _Step("update", at=at, n=n)


def _move(at: str, to: str) -> _Step:
    return _Step("update", at=at, to=to)


_DELETE_SID = _Step(_DELETE, sid=True)


def _rename_sid(n: int) -> _Step:
    return _Step("update", sid=True, n=n)


#: On an address that the list does not hold: (weight, steps).
_NEW: tuple[tuple[int, tuple[_Step, ...]], ...] = (
    (12, (_create(1),)),
    (3, (_upsert(1),)),
    (2, (_create(1), _create(1))),
    (1, (_upsert(1), _upsert(2))),
    (1, (_create(1), _rename(2))),
    (1, (_create(1), _rename(2), _rename(3))),
    (1, (_create(1), _delete())),
    (1, (_create(1), _rename(2), _delete(), _create(3), _create(3))),
    (1, (_create(1), _delete(), _create(1))),
    (1, (_create(1), _delete(), _create(1), _delete())),
    (1, (_create(1), _move(_A, _B), _delete(_B))),
    (1, (_create(1), _move(_A, _B), _create(1))),
    (1, (_delete(), _create(1))),
    (1, (_delete(),)),
    (1, (_rename(1),)),
)

#: On an entry that the list holds. Name 0 is the name that it has.
_OLD: tuple[tuple[int, tuple[_Step, ...]], ...] = (
    (4, (_DELETE_SID,)),
    (2, (_delete(),)),
    (4, (_rename_sid(1),)),
    (2, (_rename(1),)),
    (2, (_move(_A, _B),)),
    (2, (_Step("update", sid=True, to=_B, n=1),)),
    (2, (_upsert(1),)),
    (1, (_create(0),)),
    (1, (_upsert(0),)),
    (1, (_rename_sid(1), _rename(2), _rename_sid(3))),
    (1, (_rename_sid(1), _rename_sid(1), _rename_sid(0))),
    (1, (_DELETE_SID, _create(1))),
    (1, (_delete(), _create(0))),
    (1, (_delete(), _create(1), _rename(2), _delete(), _create(3), _create(3))),
    (1, (_move(_A, _B), _move(_B, _A))),
    (1, (_move(_A, _B), _create(1))),
    (1, (_delete(), _delete())),
    (1, (_DELETE_SID, _DELETE_SID)),
    (1, (_upsert(1), _upsert(2))),
    (1, (_upsert(1), _delete(), _upsert(2))),
)


def draw_plan(random: Random, scenes: Sequence[Scene], chains_per_list: int) -> list[PlanRow]:
    """Rows for all scenes; those of one chain in their order, all else in any order."""
    queues: list[list[PlanRow]] = []
    for scene in scenes:
        queues += _draw_chains(
            random, scene, max(1, random.randint(chains_per_list // 2, chains_per_list))
        )
    if random.random() < 0.3:
        random.shuffle(queues)
        return [row for queue in queues for row in queue]
    order = [place for place, queue in enumerate(queues) for _ in queue]
    random.shuffle(order)
    waiting = [iter(queue) for queue in queues]
    return [next(waiting[place]) for place in order]


def _draw_chains(random: Random, scene: Scene, count: int) -> list[list[PlanRow]]:
    named = random.choice((0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 1.0))
    old = list(scene.entries.items())
    random.shuffle(old)
    chains = []
    for number in range(count):
        is_old = bool(old) and random.random() < 0.4
        a, b = _places(random, number)
        sid, name = "", ""
        if is_old:
            sid, a = old.pop()
            name = a.name
        templates = _OLD if is_old else _NEW
        (steps,) = random.choices([s for _, s in templates], [w for w, _ in templates])
        chain = _Chain(scene, (scene.list_sid, number), sid, {_A: a, _B: b}, name)
        by_name = random.random() < named
        chains.append([chain.row(step, by_name=by_name) for step in steps])
    return chains


def _places(random: Random, number: int) -> tuple[Held, Held]:
    """Two blocks that no other chain of the list has."""
    prefix = random.choice((32, 32, 32, 32, 30, 29))
    base = number * 16
    return tuple(  # type: ignore[return-value]
        Held(f"62.{base >> 16}.{base >> 8 & 255}.{(base & 255) + part}", prefix, "")
        for part in (0, 8)
    )


@dataclass(frozen=True, slots=True)
class _Chain:
    """What the steps of a chain stand for in its list."""

    scene: Scene
    id: tuple[str, int]
    sid: str
    places: Mapping[str, Held]
    old_name: str

    def row(self, step: _Step, *, by_name: bool) -> PlanRow:
        """One step as a row."""
        name = None
        if step.n is not None:
            # Some of them need quoting, in the input and in a form-encoded body.
            odd = " \u00e9&=%+;" if self.id[1] % 4 == 0 else ""
            name = f"c{self.id[1]}n{step.n}{odd}" if step.n else self.old_name
        at = self.places.get(step.at)
        target = self.places.get(step.to)
        return PlanRow(
            step.operation,
            self.scene,
            self.id,
            sid=self.sid if step.sid else "",
            address=target or at,
            match=at if target else None,
            name=name,
            by_name=by_name,
        )


def csv_lines(rows: Iterable[PlanRow]) -> list[str]:
    """The rows as CSV lines, without the header."""
    lines = []
    for row in rows:
        file = io.StringIO()
        csv.writer(file, lineterminator="").writerow(row.cells())
        lines.append(file.getvalue())
    return lines
