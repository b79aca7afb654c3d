"""What a run does to its process, and that it is undone."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterator

import pytest

from bulkipacl.engine.loop import OLDER, YOUNG_OBJECTS, run_in_loop

Set = tuple[tuple[int, int, int], bool]


@pytest.fixture(autouse=True)
def _own_collector() -> Iterator[None]:
    """Whatever a test leaves behind is put right."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def how_it_is_set() -> Set:
    return gc.get_threshold(), gc.get_freeze_count() > 0


async def seen() -> Set:
    return how_it_is_set()


def test_the_collector_is_set_for_a_run_and_put_back() -> None:
    """Inside, nothing that was there is looked at; afterwards all is as before."""
    gc.set_threshold(600, 11, 12)
    assert run_in_loop(seen) == ((YOUNG_OBJECTS, *OLDER), True)
    assert how_it_is_set() == ((600, 11, 12), False)


def test_it_is_put_back_after_an_error() -> None:
    """Also where the run ends in an exception."""

    async def fail() -> None:
        raise OSError("in mid-run")

    before = how_it_is_set()
    with pytest.raises(OSError, match="in mid-run"):
        run_in_loop(fail)
    assert how_it_is_set() == before


def test_what_the_caller_has_set_stays() -> None:
    """Its frozen objects stay so, no collections stay none, and rarer ones stay rarer."""
    gc.freeze()
    gc.set_threshold(0, 10, 10)
    assert run_in_loop(seen) == ((0, 10, 10), True)
    assert how_it_is_set() == ((0, 10, 10), True)
    gc.set_threshold(10**6, 10, 10)
    assert run_in_loop(seen) == ((10**6, 10, 10), True)


@pytest.mark.parametrize(("has_uvloop", "module"), [(True, "uvloop"), (False, "asyncio")])
def test_the_loop(has_uvloop: bool, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is uvloop, or asyncio's own where the platform has none."""
    if has_uvloop:
        pytest.importorskip("uvloop")
    else:
        monkeypatch.setitem(sys.modules, "uvloop", None)

    async def kind() -> str:
        return type(asyncio.get_running_loop()).__module__

    assert run_in_loop(kind).partition(".")[0] == module
