"""Runs, faults, other clients, stops, kills and resumes in any order, against a simple model.

The engine is the real one, and so is the server; time is virtual. The model is a dict: what a
list holds after its rows, taken one after the other. A run that came to its end must leave the
list as the model says and say of every row what the model says of it, whatever happened to its
requests and however often it was stopped or killed on the way.

Held       what a list holds, and what each operation does to it
Wire       a transport that dies with its process
Recovery   the machine
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from bulkipacl.credentials import load_credentials
from bulkipacl.engine.run import Engine
from bulkipacl.model import Attempt, Request, RowRecord
from bulkipacl.sandbox import Latency
from bulkipacl.sandbox.faults import Choice
from bulkipacl.sandbox.ledger import Origin
from bulkipacl.settings import Settings
from bulkipacl.store import journal, views
from bulkipacl.store.crosscheck import cross_check
from bulkipacl.store.rundir import RunDirectory
from bulkipacl.twilio.hosts import resolve_base_url
from bulkipacl.twilio.transport import Transport, open_transport

World: Any = import_module("world").World
FAST: dict[str, Any] = import_module("world").FAST
PromptTimeLoop: Any = import_module("no_waiting").PromptTimeLoop
MEMORY: str | None = import_module("no_waiting").MEMORY

ADDRESSES = [f"20.0.0.{n}" for n in range(1, 4)]
NAMES = ["a", "b", "c"]
STRANGERS = [f"30.0.0.{n}" for n in range(1, 4)]
POST_FAULTS = ["429", "503_before", "reset_before", "500_after", "reset_after", "hang_after"]
POST_FAULTS += ["garbage_after", "truncated_after", "reset_late", "503_late", "close_after"]
FAULTS = {
    "POST": POST_FAULTS,
    "DELETE": ["429", "503_before", "reset_before", "500_after", "reset_after", "reset_late"],
    "GET": ["429", "503_before", "reset_before", "hang_before", "truncated_after"],
}
DONE = ("created", "updated", "deleted")
OPEN = ("unknown", "not_attempted")

addresses, names = st.sampled_from(ADDRESSES), st.sampled_from(NAMES)


@dataclass(frozen=True)
class Asked:
    """One row: an operation on the entry at an address, or on the one with a sid."""

    operation: str
    address: str = ""
    match: str = ""
    name: str = ""
    sid: str = ""

    def line(self, world: Any) -> str:
        """The row as the input has it."""
        return str(
            world.row(
                self.operation,
                sid=self.sid,
                address=self.address,
                match=self.match,
                name=self.name,
            )
        )


creates = st.builds(Asked, st.just("create"), addresses, name=st.just("a"))
upserts = st.builds(Asked, st.just("upsert"), addresses, name=names)
renames = st.builds(Asked, st.just("update"), match=addresses, name=names)
moves = st.builds(Asked, st.just("update"), addresses, addresses)
deletes = st.builds(Asked, st.just("delete"), addresses)
asked = st.one_of(creates, upserts, renames, moves, deletes)


class Held(dict[str, tuple[str, str]]):
    """What a list holds: address to (name, sid); the sid is "" where a run gave it."""

    def carry_out(self, row: Asked) -> str:
        """Do what a row asks; returns its outcome."""
        match row.operation:
            case "create" | "upsert":
                return self._make(row)
            case "update":
                return self._update(row)
            case _:
                at = self._find(row)
                return "already_gone" if self.pop(at, None) is None else "deleted"

    def _find(self, row: Asked) -> str:
        if row.sid:
            return next((at for at, (_, sid) in self.items() if sid == row.sid), "")
        return row.match or row.address

    def _make(self, row: Asked) -> str:
        name, sid = self.get(row.address, ("", ""))
        if row.address not in self:
            self[row.address] = (row.name, "")
            return "created"
        if row.operation == "create" or name == row.name:
            return "unchanged"
        self[row.address] = (row.name, sid)
        return "updated"

    def _update(self, row: Asked) -> str:
        at = self._find(row)
        if at not in self:
            # A move that was made before this run is no failure.
            return "unchanged" if row.match and row.address in self else "failed"
        name, sid = self[at]
        to = row.address or at
        if (to, row.name or name) == (at, name):
            return "unchanged"
        if to != at and to in self:
            return "refused"
        del self[at]
        self[to] = (row.name or name, sid)
        return "updated"


class Wire:
    """A transport that lets nothing out any more once its process is dead."""

    def __init__(self, inner: Transport) -> None:
        self.is_dead = False
        self._inner = inner

    async def send(self, request: Request) -> Attempt:
        """Send, while alive."""
        if self.is_dead:
            await asyncio.Event().wait()
        return await self._inner.send(request)

    async def aclose(self) -> None:
        """The kernel closes a dead process's connections too."""
        await self._inner.aclose()


class Recovery(RuleBasedStateMachine):
    """One list, one run at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=PromptTimeLoop)
        self.place = Path(tempfile.mkdtemp(prefix="recovery-", dir=MEMORY))
        self.world = World(self.place)
        self.faults: dict[str, list[Choice]] = {method: [] for method in FAULTS}
        self.batch: list[Asked] = []
        self.rows: list[Asked] = []
        self.before = Held()
        self.run: RunDirectory | None = None
        self.is_finished = False
        self.seen = 0
        self.deaths = 0

    @initialize(
        duplicates=st.sampled_from(["refuse", "accept"]), latency_s=st.sampled_from([0.0, 0.02])
    )
    def serve(self, duplicates: str, latency_s: float) -> None:
        """A sandbox that refuses a second equal address, or takes it."""
        self.serving = self.world.serving(duplicates=duplicates, latency=Latency(latency_s))
        self.runner.run(self.serving.__aenter__())
        setattr(self.world.sandbox.faults, "choose", self._choose)  # noqa: B010 - a method is replaced

    def teardown(self) -> None:
        """Close everything."""
        if self.run is not None:
            self.run.close()
        if hasattr(self, "serving"):
            self.runner.run(self.serving.__aexit__(None, None, None))
        self.runner.close()
        shutil.rmtree(self.place)

    # --- what happens around a run --------------------------------------------------------

    @rule(rows=st.lists(asked, min_size=2, max_size=8))
    def ask(self, rows: list[Asked]) -> None:
        """Rows come into the next batch."""
        self.batch += rows

    @rule(data=st.data(), operation=st.sampled_from(["update", "delete"]), name=names)
    def ask_by_sid(self, data: st.DataObject, operation: str, name: str) -> None:
        """A row that names an entry that is there, whoever made it, by its sid."""
        sids = [sid for sid, ip in self.world.held().items() if ip in ADDRESSES]
        if sids:
            sid = data.draw(st.sampled_from(sids))
            self.batch.append(Asked(operation, name=name if operation == "update" else "", sid=sid))

    @rule(data=st.data(), method=st.sampled_from(["POST", "POST", "DELETE", "GET"]))
    def expect(self, data: st.DataObject, method: str) -> None:
        """Coming requests of one method meet faults, in turn; what lands late does so in time."""
        kinds = data.draw(st.lists(st.sampled_from(FAULTS[method]), min_size=1, max_size=3))
        self.faults[method] += [Choice(kind, data.draw(st.floats(0.1, 4.0))) for kind in kinds]

    @rule(address=st.sampled_from(STRANGERS), name=names)
    def another_client(self, address: str, name: str) -> None:
        """Somebody else adds an entry that no row is about, or removes it."""
        state, origin = self.world.sandbox.state, Origin("RQ", by="other")
        account, acl = self.world.account(), self.world.acl()
        found = [sid for sid, ip in self.world.held().items() if ip == address]
        if found:
            state.delete_entry((account, acl, found[0]), origin)
        else:
            params = {"FriendlyName": name, "IpAddress": address}
            state.create_entry(account, acl, params, origin)

    @rule(seconds=st.sampled_from([0.5, 3.0, 30.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.runner.run(asyncio.sleep(seconds))

    # --- runs -----------------------------------------------------------------------------

    @precondition(lambda self: self.batch and (self.run is None or self.is_finished))
    @rule(ending=st.sampled_from(["end", "stop", "cut", "kill", "kill"]), at=st.data())
    def apply(self, ending: str, at: st.DataObject) -> None:
        """The batch as a new run."""
        if self.run is not None:
            self.run.close()
        self.rows, self.batch = self.batch, []
        self.runner.run(self._settle())
        self.before = Held({ip: (name, sid) for sid, ip, name in self._entries()})
        self.run = self.world.take_in([row.line(self.world) for row in self.rows])
        invalid = [n for _, n, problem in cross_check(self.run) if not problem.is_warning]
        assert not invalid, "rows that a person could not send either"
        self.seen = len(self.world.sandbox.ledger)
        self._carry_out(ending, at)

    @precondition(lambda self: self.run is not None and not self.is_finished)
    @rule(ending=st.sampled_from(["end", "end", "stop", "cut", "kill"]), at=st.data())
    def resume(self, ending: str, at: st.DataObject) -> None:
        """The run is carried on."""
        assert self.run is not None
        journal.reopen(self.run)
        self._carry_out(ending, at)

    @precondition(lambda self: self.run is not None and self.is_finished)
    @rule()
    def resume_what_is_finished(self) -> None:
        """A resume of a finished run sends nothing."""
        assert self.run is not None
        journal.reopen(self.run)
        self._carry_out("end", None)
        assert self.world.wire.sent == 0

    # --- what must hold -------------------------------------------------------------------

    @invariant()
    def every_row_has_one_outcome(self) -> None:
        """In whatever state the run is, each of its rows is told of once."""
        if self.run is not None:
            numbers = [r.result.number for r in self._records()]
            assert numbers == list(range(1, len(self.rows) + 1))
            assert sum(views.summary(self.run).outcomes.values()) == len(self.rows)

    @invariant()
    def what_was_not_attempted_has_no_effect(self) -> None:
        """Where no row on an address was attempted, this run has done nothing to it."""
        if self.run is None:
            return
        attempted: set[str] = set()
        for row, record in zip(self.rows, self._records(), strict=True):
            if record.result.outcome != "not_attempted":
                attempted |= {row.address, row.match, row.sid}
        for effect in self.world.sandbox.ledger.since(self.seen):
            if effect.by == "client":
                assert attempted & {effect.ip_before, effect.ip_after, effect.sid}, effect

    def _check_finished(self) -> None:
        model = Held(self.before)
        wanted = [model.carry_out(row) for row in self.rows]
        records = self._records()
        found = [str(record.result.outcome) for record in records]
        assert found == wanted, self.rows
        assert self._ours() == sorted((ip, name) for ip, (name, _) in model.items()), self.rows
        self._check_ledger(records)

    def _check_stopped(self) -> None:
        """What did not begin is left out; the rest is as if nothing else had been asked."""
        model = Held(self.before)
        for row, record in zip(self.rows, self._records(), strict=True):
            outcome = str(record.result.outcome)
            assert outcome != "unknown", "a stop drains"
            if outcome != "not_attempted":
                assert outcome == model.carry_out(row), self.rows
        assert self._ours() == sorted((ip, name) for ip, (name, _) in model.items()), self.rows
        self._check_ledger(self._records())

    def _check_ledger(self, records: list[RowRecord]) -> None:
        """Every row that was done has its effect; every entry that was made is a row's or gone."""
        ours = [e for e in self.world.sandbox.ledger.since(self.seen) if e.by == "client"]
        done = Counter(str(r.result.outcome) for r in records)
        effects = Counter(f"{effect.op}d" for effect in ours)
        assert all(effects[f"{word}"] >= done[word] for word in DONE), (done, effects)
        made = {effect.sid for effect in ours if effect.op == "create"}
        told = {r.result.sid for r in records if r.result.outcome == "created"}
        # What a killed run made and removed again has left no sid to tell of.
        assert told <= made | {None}
        assert made & set(self.world.held()) <= told

    # --- the machinery --------------------------------------------------------------------

    def _records(self) -> list[RowRecord]:
        assert self.run is not None
        return list(views.records(self.run))

    def _entries(self) -> list[tuple[str, str, str]]:
        acl = self.world.sandbox.state.acl(self.world.account(), self.world.acl())
        return [(e.sid, e.ip, e.name) for e in acl.entries.values() if e.ip in ADDRESSES]

    def _ours(self) -> list[tuple[str, str]]:
        return sorted((ip, name) for _, ip, name in self._entries())

    def _strangers(self) -> list[tuple[str, str]]:
        return sorted((ip, name) for ip, _, name in self.world.entries() if ip in STRANGERS)

    def _choose(self, method: str, path: str, body: bytes) -> Choice | None:
        waiting = self.faults.get(method)
        return waiting.pop(0) if waiting else None

    async def _settle(self) -> None:
        """Nothing of an earlier run is still under way."""
        await self.world.sandbox.flush()

    def _carry_out(self, ending: str, at: st.DataObject | None) -> None:
        strangers = self._strangers()
        effects, later_s = 0, 0.0
        if at is not None and ending != "end":
            effects = at.draw(st.integers(0, len(self.rows)), label="effects")
            later_s = at.draw(st.sampled_from([0.0, 0.001, 0.03, 0.2, 3.0, 6.0]), label="later_s")
        grave = self.runner.run(self._live(ending, effects, later_s))
        if grave is not None:
            assert self.run is not None
            self.run.close()
            self.run = RunDirectory.open(grave, is_writable=True)
            self.is_finished = False
        else:
            assert self.run is not None
            self.is_finished = views.summary(self.run).ending == "finished"
            if self.is_finished:
                self._check_finished()
            elif ending != "cut":
                self._check_stopped()
        assert self._strangers() == strangers

    async def _live(self, ending: str, effects: int, later_s: float) -> Path | None:
        """One life of the engine; returns what it leaves behind where it was killed."""
        run, loop = self.run, asyncio.get_running_loop()
        assert run is not None
        run.writer.execute("PRAGMA synchronous=OFF")
        wire = Wire(self._open())
        graves: list[Path] = []
        target = len(self.world.sandbox.ledger) + effects

        async def watch(engine: Engine) -> None:
            if ending == "end":
                return
            await self.world.until_effects(target)
            await asyncio.sleep(later_s)
            if ending in ("stop", "cut"):
                engine.stop("interrupted")
                if ending == "cut":
                    engine.stop_now("interrupted")
            elif not life.done():
                self.deaths += 1
                grave = self.place / f"dead-{self.deaths}"
                shutil.copytree(run.path, grave)
                graves.append(grave)
                wire.is_dead = True
                life.cancel()

        life = loop.create_task(
            self.world.carry_out(run, watch=watch, transport=wire, retries=20, **FAST)
        )
        try:
            await life
        except asyncio.CancelledError:
            assert graves
            await wire.aclose()
        return graves[0] if graves else None

    def _open(self) -> Transport:
        ready, parent = self.world.sandbox.ready(), self.world.account()
        credentials = load_credentials(
            {"TWILIO_ACCOUNT_SID": parent, "TWILIO_AUTH_TOKEN": ready["accounts"][parent]}
        )
        url = self.world.sandbox.url
        return open_transport(
            Settings(base_url=url, **FAST), resolve_base_url(url, {}), credentials
        )


Recovery.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestRecovery = pytest.mark.timeout(400)(Recovery.TestCase)  # Time to make a failure small.
TestRecovery.__doc__ = (
    """Whatever happens to a run, its rows are answered truly and the list is right."""
)
