"""What the verbs that send make of their flags: a plan or inputs, blocks, caps on deletes."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from bulkipacl.cli.sending import make_settings, planned_run
from bulkipacl.errors import UsageError
from bulkipacl.settings import Settings, parse_block


def test_a_directory_is_a_run(tmp_path: Path) -> None:
    """What is a directory is a run, what is none is an input, and so is standard input."""
    run = str(tmp_path)
    assert planned_run([run], {"--list": None}, accept_drift=True) == tmp_path
    assert planned_run([f"{run}/in.csv", "-"], {"--list": "AL"}, accept_drift=None) is None


@pytest.mark.parametrize(
    ("files", "flags", "accept_drift", "word"),
    [
        (["{run}", "in.csv"], {}, None, "applied alone"),
        (["{run}"], {"--run": None, "--list": "AL"}, None, "--list belongs to an input"),
        (["in.csv"], {}, True, "--accept-drift belongs to a plan"),
    ],
)
def test_runs_and_inputs_are_not_mixed(
    tmp_path: Path, files: list[str], flags: dict[str, object], accept_drift: bool | None, word: str
) -> None:
    """Neither are the flags of the one given with the other."""
    named = [text.format(run=tmp_path) for text in files]
    with pytest.raises(UsageError, match=word):
        planned_run(named, flags, accept_drift=accept_drift)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("11.0.0.0", "not a block"),
        ("11.0.0.0/0", "not a block"),
        ("11.0.0.0/33", "not a block"),
        ("11.0.0.256/32", "not a block"),
        ("0x0.0.0.0/8", "not a block"),
        ("11.2.3.4/8", "host bits"),
    ],
)
def test_what_is_no_block(text: str, word: str) -> None:
    """A block has four octets, a prefix from 1 to 32, and no host bits."""
    with pytest.raises(UsageError, match=word):
        parse_block("--allow-wide", text)


def test_a_block_is_written_in_one_way() -> None:
    """Leading zeros and large prefixes."""
    assert parse_block("--allow-wide", "011.00.0.0/08") == "11.0.0.0/8"
    assert parse_block("--allow-wide", "255.255.255.255/32") == "255.255.255.255/32"


def test_caps_on_deletes() -> None:
    """`--max-deletes` once as a count and once as a share; each alone leaves the other open."""
    both = make_settings({}, {"max_deletes": ["5", "20%"]})
    assert (both.max_deletes, both.max_deletes_percent) == (5, 20.0)
    one = make_settings({}, {"max_deletes": ["20%"]})
    assert (one.max_deletes, one.max_deletes_percent) == (None, 20.0)


def test_overrides_outlive_the_run_directory() -> None:
    """What a run keeps of its settings gives them back, and a flag adds to them."""
    given = make_settings({}, {"allow_wide": ["11.0.0.0/8"], "allow_empty": True, "min_prefix": 8})
    kept = orjson.loads(orjson.dumps(given.as_dict()))
    assert make_settings(kept, {"allow_empty": None}) == given
    assert Settings(**kept) == given
    assert make_settings(kept, {"min_prefix": 12}).min_prefix == 12
