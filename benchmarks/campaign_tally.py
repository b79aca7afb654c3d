"""What rounds have in common: figures that add up, and the table of them.

Tally    one round in figures, or many of them
table    tallies as Markdown
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from campaign_judge import (
    DUPLICATE,
    FALSE_FAILURE,
    FALSE_SUCCESS,
    FOREIGN,
    LOST,
    NOT_OURS,
    UNANSWERED,
    UNKNOWN,
    Case,
    Finding,
    judge,
    lied_to,
)

FATAL = (DUPLICATE, LOST, UNANSWERED, UNKNOWN, FALSE_FAILURE, FALSE_SUCCESS, FOREIGN)
"""A broken promise. A write of our own called `unchanged` is told, and breaks none."""


@dataclass(slots=True)
class Tally:
    """Rounds in figures.

    Attributes:
        faults: faults dealt, by kind.
        stops: sessions that were ended before their time, by how.
        outcomes: rows by outcome.
        lied_to: rows of chains in which the server's answer was not what it did.
        wrong: what the judge found, by kind.
        findings: the same in words, with what replays it.
    """

    rounds: int = 0
    rows: int = 0
    requests: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    lied_to: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count another one in."""
        self.rounds += other.rounds
        self.rows += other.rows
        self.requests += other.requests
        self.lied_to += other.lied_to
        self.faults.update(other.faults)
        self.stops.update(other.stops)
        self.outcomes.update(other.outcomes)
        self.wrong.update(other.wrong)
        self.findings += other.findings

    def found(self, findings: Iterable[Finding], where: str) -> None:
        """Count what the judge found; `where` says how to see it again."""
        for finding in findings:
            self.wrong[finding.kind] += finding.times
            self.findings.append(f"{finding.kind} x{finding.times}: {where}\n{finding.text}")

    def judged(self, case: Case, where: str) -> None:
        """Count a finished round, and have it judged."""
        self.rounds += 1
        self.rows += len(case.rows)
        for answers in case.answers.values():
            self.outcomes.update(answer.outcome for answer in answers)
        self.lied_to += lied_to(case)
        self.found(judge(case), where)

    @property
    def is_bad(self) -> bool:
        """Whether a promise was broken."""
        return any(self.wrong[kind] for kind in FATAL)

    def of_group(self, *groups: str) -> int:
        """Faults of these groups, `before`, `after` or `late`."""
        return sum(count for kind, count in self.faults.items() if group_of(kind) in groups)


def group_of(kind: str) -> str:
    """When a fault has its effect: `after` or `late`, and `before` for none at all."""
    group = kind.rpartition("_")[2]
    return group if group in ("after", "late") else "before"


def table(tallies: Mapping[str, Tally]) -> str:
    """Markdown: a line for each figure, a column for each tally."""
    lines: list[tuple[str, list[int]]] = []

    def line(title: str, values: Sequence[int]) -> None:
        lines.append((title, list(values)))

    all_of = list(tallies.values())
    line("rounds", [t.rounds for t in all_of])
    line("rows", [t.rows for t in all_of])
    line("requests", [t.requests for t in all_of])
    line("faults injected", [t.faults.total() for t in all_of])
    line("- no effect", [t.of_group("before") for t in all_of])
    line("- effect, then the trouble", [t.of_group("after") for t in all_of])
    line("- the trouble, then the effect", [t.of_group("late") for t in all_of])
    line("interrupted, resumed", [t.stops["stop"] + t.stops["stop_now"] for t in all_of])
    line("cut off, resumed", [t.stops["cut"] for t in all_of])
    line("kill -9", [t.stops["kill"] for t in all_of])
    titles = {
        DUPLICATE: "**duplicates**",
        LOST: "**lost**",
        UNANSWERED: "**rows unanswered**",
        UNKNOWN: "unknown in the end",
        FALSE_FAILURE: "false failures",
        FALSE_SUCCESS: "false successes",
        NOT_OURS: "own writes called unchanged",
        FOREIGN: "others' entries touched",
    }
    for kind, title in titles.items():
        line(title, [t.wrong[kind] for t in all_of])
    line("rows answered with an echo that lied", [t.lied_to for t in all_of])
    head = ["| | " + " | ".join(tallies) + " |", "|---|" + "---:|" * len(tallies)]
    body = [f"| {title} | {' | '.join(f'{v:,}' for v in values)} |" for title, values in lines]
    return "\n".join([*head, *body])
