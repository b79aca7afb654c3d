"""Warnings about an input, counted for the run's notes: who reads the report was not there.

Warnings   counts them by reason
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bulkipacl.intake import describe
from bulkipacl.model import Draft, Problem
from bulkipacl.report import counted, source_name

KIND = "warning"
"""The kind of such a note."""


class Warnings:
    """How often each warning was given, and where first."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, source: str, line: int, problem: Problem) -> None:
        """One more problem; only a warning counts."""
        if not problem.is_warning:
            return
        self._counts[problem.reason] += 1
        if problem.reason not in self._first:
            text = describe(problem, source=source_name(source), line=line)
            self._first[problem.reason] = text

    def add_all(self, source: str, drafts: Sequence[Draft]) -> None:
        """All problems of these drafts; 0.05 us for one without."""
        for draft in drafts:
            if draft.problems:
                for problem in draft.problems:
                    self.add(source, draft.line, problem)

    def notes(self) -> list[tuple[str, str]]:
        """(kind, text) for each reason."""
        return [
            (KIND, f"{counted(count, 'warning')} of `{reason}`, the first: {self._first[reason]}")
            for reason, count in self._counts.items()
        ]
