"""`bulkipacl` as its command line starts it, with the time that it took apart from its start.

    python benchmarks/peers_apply.py TIMES.json own|uvloop|asyncio apply FILE...

What is measured begins when everything is imported, and ends with the last report. `own` leaves the
event loop to bulkipacl; which one that was is noted.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio

from bulkipacl.cli.main import run

_NEEDED = ("cli.app", "cli.sending", "cli.terminal", "credentials", "engine.apply", "intake")


def main() -> int:
    """Run it; returns its exit code."""
    times, wanted, *arguments = sys.argv[1:]
    for name in ("rich", "typer.main", "uvloop", *(f"bulkipacl.{name}" for name in _NEEDED)):
        importlib.import_module(name)
    loops: list[str] = []
    vars(anyio)["run"] = _watched(anyio.run, wanted, loops)
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    code = run(arguments)
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    told = {"took_s": took_s, "cpu_s": cpu_s, "loop": "".join(loops[:1])}
    Path(times).write_text(json.dumps(told), encoding="ascii")
    return code


def _watched(inner: Callable[..., Any], wanted: str, loops: list[str]) -> Callable[..., Any]:
    """`anyio.run` on the wanted loop; the name of the loop goes to `loops`."""

    def started(function: Callable[..., Awaitable[Any]], *args: Any, **options: Any) -> Any:
        async def noted() -> Any:
            kind = type(asyncio.get_running_loop()).__module__.partition(".")[0]
            loops.append(kind)
            return await function(*args)

        if wanted != "own":
            options["backend_options"] = {"use_uvloop": wanted == "uvloop"}
        return inner(noted, **options)

    return started


if __name__ == "__main__":
    sys.exit(main())
