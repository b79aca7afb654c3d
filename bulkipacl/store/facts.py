"""Facts of a run by name: how it ended, with what settings it was begun, figures of its sending.

get_meta, set_meta   the facts
sound                reading what is kept, where it may be damaged
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from bulkipacl.errors import StoreError
from bulkipacl.store.connection import RESTORE
from bulkipacl.store.rundir import DATABASE, RunDirectory


@contextmanager
def sound(run: RunDirectory) -> Iterator[None]:
    """Around the making of our own values from kept ones, which cannot fail but by damage.

    Raises:
        StoreError: it failed.
    """
    try:
        yield
    except (ValueError, TypeError, LookupError) as exc:
        raise StoreError(f"{run.path / DATABASE} is damaged: {exc}", hint=RESTORE) from exc


def get_meta(run: RunDirectory, key: str, default: str = "") -> str:
    """A fact of the run by name."""
    found = run.reader.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return str(found[0]) if found else default


def set_meta(run: RunDirectory, facts: Mapping[str, str]) -> None:
    """Keep facts of the run; durable when it returns."""
    with run.transaction() as db:
        db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(facts.items()))
