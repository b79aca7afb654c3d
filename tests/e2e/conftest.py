"""Sandboxes and the command line as processes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from e2e_tools import Box, Cli, Place


@pytest.fixture(scope="session")
def box() -> Iterator[Box]:
    """A sandbox without limits or faults that all tests share; each takes a `place` of its own."""
    box = Box("--accounts", "150", "--lists", "3", "--entries", "3")
    yield box
    box.close()


@pytest.fixture
def place(box: Box) -> Place:
    """An account of the shared sandbox, with three lists of three entries each."""
    return box.place()


@pytest.fixture
def cli(tmp_path: Path, box: Box) -> Iterator[Cli]:
    """The command line against the shared sandbox."""
    cli = Cli(tmp_path, box)
    yield cli
    cli.close()


@pytest.fixture
def boxed(tmp_path: Path) -> Iterator[Callable[..., Cli]]:
    """Starts a sandbox with switches of its own, and gives the command line against it."""
    with ExitStack() as stack:

        def make(*switches: str) -> Cli:
            box = Box(*switches)
            stack.callback(box.close)
            cli = Cli(tmp_path, box)
            stack.callback(cli.close)
            return cli

        yield make
