"""Every problem of an input as JSON, however many there are.

Listing         a terminal that keeps each problem in a file, a line for each
print_listing   one JSON object on stdout, with all of them at its end
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from bulkipacl.cli.options import ProgressMode
from bulkipacl.cli.terminal import Terminal
from bulkipacl.intake.problems import dump
from bulkipacl.model import Problem


class Listing(Terminal):
    """The observer of a job that keeps each problem, too."""

    def __init__(self, mode: ProgressMode, path: Path) -> None:
        super().__init__(mode, as_json=True)
        self._file: BinaryIO = path.open("wb")

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()
        super().__exit__(*exc_info)

    def problem(self, source: str, line: int, problem: Problem) -> None:
        """Something is wrong with a row of the input."""
        super().problem(source, line, problem)
        told = {
            "source": source,
            "line": line,
            "column": problem.field or None,
            "value": problem.value or None,
            "severity": problem.severity,
            "reason": problem.reason,
            "why": problem.why,
            "suggestion": problem.suggestion or None,
        }
        self._file.write(dump(told) + b"\n")


def print_listing(figures: dict[str, Any], path: Path) -> None:
    """The figures, and `problems` behind them, as one JSON object. Constant memory."""
    out = sys.stdout.buffer if sys.stdout is not None else Path(os.devnull).open("wb")  # noqa: SIM115
    out.write(orjson.dumps(figures)[:-1] + b',"problems":[')
    with path.open("rb") as lines:
        for count, line in enumerate(lines):
            out.write((b"," if count else b"") + line.rstrip(b"\n"))
    out.write(b"]}\n")
    out.flush()
