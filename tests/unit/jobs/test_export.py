"""The lines of an export, and which entries come back from them as they are."""

from __future__ import annotations

import io

import orjson
import pytest

from bulkipacl.engine.gather import Found
from bulkipacl.engine.incomplete import IncompleteError, Unread
from bulkipacl.engine.selection import parse_selection
from bulkipacl.errors import UsageError
from bulkipacl.intake import Defaults, open_source
from bulkipacl.jobs.export import FORMATS, What, is_fit, lines_of
from bulkipacl.model import ApiError, Entry, Operation

AC, AL, IP = "AC" + "1" * 32, "AL" + "2" * 32, "IP" + "3" * 32
NAMES = ["a", 'say "x"', "a,b", "=1+1", "'x", "Zoë ☎", "a;b|c", "\\", "+15551234567"]


def found(*names: str, domains: tuple[str, ...] | None = None) -> Found:
    """A list with an entry of each name."""
    entries = tuple(
        Entry(f"IP{n:032x}", 62 << 24 | n, 24 + n % 9, name) for n, name in enumerate(names)
    )
    return Found(AC, AL, "Site, 1", entries, domains)


@pytest.mark.parametrize("has_domains", [False, True])
@pytest.mark.parametrize("format_", FORMATS)
def test_intake_understands_it(format_: str, has_domains: bool) -> None:
    """What is written is read back with the same fields, without a problem but for the sids."""
    what = What((AC,), parse_selection(()), has_domains=has_domains, format=format_)
    one = found(*NAMES, domains=("d.example.com", "e.example.com") if has_domains else None)
    data = b"".join([what.header(), *lines_of(what, one)])
    source = open_source("-", Defaults(), stdin=io.BytesIO(data))
    drafts = list(source.drafts())
    assert [(d.operation, d.account_sid, d.list_sid, d.list_name) for d in drafts] == [
        (Operation.UPSERT, AC, AL, "")
    ] * len(NAMES)
    assert [(d.address, d.prefix, d.name) for d in drafts] == [
        (e.address, e.prefix, e.name) for e in one.entries
    ]
    assert {p.reason for d in drafts for p in d.problems if p.is_warning} >= {"sid_ignored"}
    assert not any(draft.is_invalid for draft in drafts)
    assert tuple(source.columns) == what.columns


def test_domains() -> None:
    """Domains, none of them, and not to be seen, are three things in both formats."""
    cells, values = [], []
    for domains in (("d", "e"), (), None):
        one = found(domains=domains)
        csv = What((AC,), parse_selection(()), is_lists=True, has_domains=True)
        cells += [line.decode().rstrip().rpartition(",")[2] for line in lines_of(csv, one)]
        lines = What((AC,), parse_selection(()), True, True, "jsonl")
        values += [orjson.loads(line)["domains"] for line in lines_of(lines, one)]
    assert cells == ["d e", "", "?"]
    assert values == [["d", "e"], [], None]


@pytest.mark.parametrize(
    ("prefix", "name", "is_back"),
    [(32, "a", True), (0, "a", False), (32, "", False), (32, " a", False), (32, "a\tb", False)],
)
def test_fit(prefix: int, name: str, is_back: bool) -> None:
    """What `apply` would refuse or change is known."""
    assert is_fit(Entry(IP, 1, prefix, name)) is is_back


WORDS: list[tuple[str, list[str]]] = [
    (AL, ["x"]),
    ("Site 1", ["Site 1"]),
    ("site 1", []),
    ("Site *", ["Site 1", "Site 22"]),
    ("Site ?", ["Site 1"]),
    ("*[12]", ["Site 1", "Site 22"]),
    ("/ite/", ["Site 1", "Site 22"]),
    ("/^2+$/", []),
    ("/", ["/"]),
    ("//", ["Site 1", "Site 22", "/", "x"]),
]


@pytest.mark.parametrize(("word", "names"), WORDS, ids=[word for word, _ in WORDS])
def test_selection(word: str, names: list[str]) -> None:
    """A sid, a name, a glob of the whole name, a regular expression anywhere in it."""
    selection = parse_selection([word])
    lists = [("AL" + "9" * 32, name) for name in ("Site 1", "Site 22", "/")] + [(AL, "x")]
    assert [name for sid, name in lists if selection.takes(sid, name)] == names
    assert list(selection.unmatched) == ([] if names else [word])


def test_no_word_means_every_list() -> None:
    """Without a word every list is meant; a regular expression that is none is refused."""
    assert parse_selection([]).takes(AL, "anything")
    with pytest.raises(UsageError, match="is no regular expression"):
        parse_selection(["/(/"])


@pytest.mark.parametrize(
    ("reasons", "code"),
    [
        (["unreadable"], 1),
        (["unreadable", "credentials_refused"], 6),
        (["credentials_refused", "blocked", "list_not_found"], 7),
    ],
)
def test_what_is_missing(reasons: list[str], code: int) -> None:
    """Some of it is shown, the rest counted; the worst reason gives the exit code."""
    unread = Unread()
    assert not unread
    for number in range(30):
        reason = reasons[number % len(reasons)]
        unread.add(Found(AC, AL, reason=reason, error=ApiError(500, 0, "no")))
    error = IncompleteError("nothing is exported", unread)
    assert error.exit_code == code
    assert "30 lists could not be read" in error.message
    lines = unread.lines()
    assert lines[0] == f"{AC}  {AL}  {reasons[0]}  no"
    assert (len(lines), lines[-1]) == (21, "and 10 more")
