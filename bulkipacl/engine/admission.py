"""Whether what the rows of a list ask may be sent: the guards, and the plan that was shown.

    Admission   asked once for each round of a list, after its reading and before its first write
    Judgement   what it says: how every row would end, and what guards found

A plan shows what this says, and the sending does what this says: there is no second opinion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from bulkipacl.engine.decide import Settled
from bulkipacl.engine.guards import Caps, Finding, are_harmless, findings
from bulkipacl.engine.preview import Preview, Step, preview, unwritten
from bulkipacl.model import LIST_CAPACITY, Entry, Outcome, Row
from bulkipacl.settings import Settings
from bulkipacl.store import journal, plan, views
from bulkipacl.store.rundir import RunDirectory

DRIFT = "drift"
OVERRIDE = "override"
"""The kind of a note about an override."""

Note = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is said of one round of a list.

    Attributes:
        seen: what its rows would do if nothing were in the way.
        steps: how they end: the same, or `refused` where a guard is in the way.
        found: what guards found, open ones too.
    """

    seen: Preview
    steps: Sequence[Step]
    found: tuple[Finding, ...] = ()

    @property
    def is_refused(self) -> bool:
        """Whether nothing of it may be written."""
        return any(not one.is_open for one in self.found)

    @property
    def after(self) -> tuple[Entry, ...]:
        """What the list would hold."""
        return self.seen.before if self.is_refused else self.seen.after


class Admission:
    """What may be written, of one run.

    Args:
        note: takes (kind, text) of what a person should know.
    """

    def __init__(self, run: RunDirectory, settings: Settings, note: Note) -> None:
        self._run = run
        self._settings = settings
        self._note = note

    @cached_property
    def _caps(self) -> Caps:
        is_generated = views.get_meta(self._run, "is_generated") == "yes"
        is_capped = is_generated or self._settings.max_deletes is not None
        asked = plan.delete_rows(self._run) if is_capped else 0
        return Caps(asked, is_generated)

    @cached_property
    def _is_planned(self) -> bool:
        return views.get_meta(self._run, "plan") not in ("", "making")

    def refused(
        self, list_id: int, entries: Sequence[Entry], rows: Sequence[Row], *, is_gap: bool
    ) -> Sequence[Step] | None:
        """How the rows of a round end because nothing of it may be written; None: they may be sent.

        Args:
            entries: what the list holds now.
            rows: those of the round, in row order.
            is_gap: a row that may have been a create of this list is invalid (`--no-gap`).
        """
        if self._is_planned and not views.list_info(self._run, list_id).rounds:
            why = self._drift(list_id, entries)
            if why and self._settings.accept_drift:
                self._used("--accept-drift", list_id, why)
            elif why:
                drifted = Settled(Outcome.REFUSED, DRIFT, None, f"{why}: {_DECIDE_AFRESH}")
                return [Step(row, drifted) for row in rows]
        has_room = len(entries) + len(rows) <= LIST_CAPACITY
        if has_room and are_harmless(rows, self._settings):
            return None
        judged = self.judge(entries, rows, is_gap=is_gap)
        if judged.is_refused:
            return judged.steps
        for one in judged.found:
            self._used(one.override, list_id, one.why)
        return None

    def judge(
        self, entries: Sequence[Entry], rows: Sequence[Row], *, is_gap: bool = False
    ) -> Judgement:
        """What is said of a round; about 6 us a row."""
        settings = self._settings
        seen = preview(rows, entries, no_gap=settings.no_gap, is_gap=is_gap)
        found = tuple(findings(seen, settings, self._caps))
        shut = [one for one in found if not one.is_open]
        if not shut:
            return Judgement(seen, seen.steps, found)
        why = "; ".join(f"{one.why}: `{one.override}` allows it" for one in shut)
        refusal = Settled(Outcome.REFUSED, shut[0].guard, None, why)
        return Judgement(seen, unwritten(rows, entries, refusal), found)

    def _drift(self, list_id: int, entries: Sequence[Entry]) -> str:
        planned = plan.planned_digest(self._run, list_id)
        if not planned:
            return "the plan could not read the list"
        return "" if planned == plan.digest_of(entries) else "the list has changed since the plan"

    def _used(self, override: str, list_id: int, why: str) -> None:
        info = views.list_info(self._run, list_id)
        account = views.account_sid(self._run, info.account_id)
        self._note(OVERRIDE, f"{override} was used for {info.sid or info.name} of {account}: {why}")


_DECIDE_AFRESH = "make a new plan, or `bulkipacl retry` the run to decide it afresh"


def note_overrides(run: RunDirectory, settings: Settings) -> None:
    """Keep which overrides a run was given, if any."""
    given = given_overrides(settings)
    if given:
        with run.transaction() as db:
            journal.add_notes(db, [(OVERRIDE, f"given: {given}")])


def given_overrides(settings: Settings) -> str:
    """The overrides among the settings, as they are given on the command line; "" without any."""
    plain = Settings()
    words = [
        flag
        for flag, is_given in (
            ("--allow-empty", settings.allow_empty),
            ("--allow-full", settings.allow_full),
            ("--accept-drift", settings.accept_drift),
        )
        if is_given
    ]
    words += [f"--allow-wide {block}" for block in settings.allow_wide]
    if settings.min_prefix != plain.min_prefix:
        words.append(f"--min-prefix {settings.min_prefix}")
    if settings.max_deletes is not None:
        words.append(f"--max-deletes {settings.max_deletes}")
    if settings.max_deletes_percent is not None:
        words.append(f"--max-deletes {settings.max_deletes_percent:g}%")
    return " ".join(words)
