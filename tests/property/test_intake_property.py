"""Intake under any input: it never crashes, and answers each record once."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bulkipacl.errors import BulkError
from bulkipacl.intake import Defaults, check_rows, describe, open_source
from bulkipacl.intake.checks import Checker, Texts
from bulkipacl.model import Draft, Operation, Row

AC = "AC" + "0a" * 16
AL = "AL" + "1b" * 16
IP = "IP" + "2c" * 16
ALL = Defaults(operation=Operation.CREATE, account_sid=AC, list_sid=AL)
MARKS = (
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xfe\xff",
    b"\x1f\x8b",
    b"\x28\xb5\x2f\xfd",
    b"PK",
    b"\xd0\xcf",
)


class Trickle(io.RawIOBase):
    """Bytes that arrive a few at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data = io.BytesIO(data)
        self._size = size

    def read(self, size: int = -1) -> bytes:
        """At most a few bytes, as from a slow pipe."""
        return self._data.read(self._size)


def read(data: bytes, *, format: str | None = None, piece: int | None = None) -> list[Draft]:  # noqa: A002 - as in the interface
    """All Drafts of an input, each checked for what must hold of any."""
    stdin = io.BytesIO(data) if piece is None else Trickle(data, piece)
    source = open_source("-", ALL, format=format, stdin=stdin)  # type: ignore[arg-type]
    drafts = list(source.drafts())
    for draft in drafts:
        json.loads(draft.raw)
        assert draft.line >= 1
        assert draft.is_invalid or draft.operation
        texts = [
            draft.account_sid,
            draft.list_sid,
            draft.list_name,
            draft.sid or "",
            draft.name or "",
        ]
        for problem in draft.problems:
            assert len(problem.value) <= 240
            texts += [problem.value, problem.why, problem.suggestion]
            assert not re.search("[\x00-\x1f\x7f-\x9f]", describe(problem, source="f", line=1))
        "".join(texts).encode()  # the store keeps them as UTF-8
    return drafts


json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["ip", "ip_address", "prefix", "name", "operation", "sid", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
CRUMBS = [
    b'"', b",", b"\n", b"\r\n", b"\r", b"\x00", b"\xff", b"{", b"}", b"[", b"]", b":", b" ", b";",
    b"\t", b'"ip"', b"198.41.0.4", b"a", b'{"ip":"198.41.0.4"}', b'"ip_addresses":[', b"12", b"-1e",
    b"\xef\xbb\xbf", b"\\u", b"tru",
]  # fmt: skip
crumbs = st.lists(st.sampled_from(CRUMBS), max_size=30).map(b"".join)
anything = st.binary(max_size=300) | crumbs


@given(data=anything, format=st.sampled_from([None, "csv", "jsonl", "json", "page"]))
@example(data=b"[1e999999999]", format=None)
@example(data=b"[" + b"9" * 5000 + b"]", format=None)
@example(data=b'{"ip":' + b"[" * 2000 + b"]" * 2000 + b"}", format=None)
@example(data=b"\xff\xfe\x00\xd8a", format="jsonl")
def test_never_crashes(data: bytes, format: str | None) -> None:  # noqa: A002 - as in the interface
    """Any bytes in any format give Drafts or one line for people, never a traceback."""
    for content in (data, b"ip,name\n" + data, gzip.compress(data), gzip.compress(data)[:-5]):
        try:
            read(content, format=format)
        except BulkError as exc:
            message = exc.message
        else:
            continue
        assert "\n" not in message
        message.encode()


@given(data=anything, piece=st.integers(1, 7))
def test_pieces_do_not_matter(data: bytes, piece: int) -> None:
    """How the bytes arrive changes nothing."""
    for start, kind in ((b"ip,name\n", "csv"), (b'{"ip":"198.41.0.4"}\n', "jsonl")):
        assert read(start + data, format=kind, piece=piece) == read(start + data, format=kind)


@given(data=anything)
def test_each_line_is_answered(data: bytes) -> None:
    """JSON Lines: one Draft for each line that is not blank, with its number."""
    assume(data.strip() and not data.startswith(MARKS))
    wanted = [number for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]
    assert [draft.line for draft in read(data, format="jsonl")] == wanted


@given(data=anything)
def test_each_csv_line_is_answered(data: bytes) -> None:
    """CSV without quotes: one Draft for each line that holds more than delimiters and spaces."""
    data = data.replace(b'"', b"'")
    text = data.decode("utf-8", "surrogateescape")
    lines = re.split("\r\n|\n|\r", text)
    wanted = [number for number, line in enumerate(lines, 2) if line.replace(",", "").strip()]
    assert [draft.line for draft in read(b"ip,name\n" + data, format="csv")] == wanted


@given(values=st.lists(json_like, max_size=6))
def test_each_value_is_answered(values: list[object]) -> None:
    """A JSON array: one Draft for each value, in order."""
    drafts = read(json.dumps(values).encode(), format="json")
    assert [draft.line for draft in drafts] == list(range(1, len(values) + 1))


names = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp", "Cs")),
    min_size=1,
    max_size=40,
).map(lambda text: text.strip() or "x")
rows = st.lists(
    st.fixed_dictionaries(
        {
            "operation": st.sampled_from(["create", "upsert", "delete", "Update"]),
            "account_sid": st.just(AC),
            "list_sid": st.sampled_from([AL, AL.upper()[:2] + "F" * 32]),
            "ip_address": st.ip_addresses(v=4).map(str),
            "cidr_prefix_length": st.integers(1, 32).map(str),
            "friendly_name": names,
            # Python's writer leaves a lone CR unquoted, which then ends the line.
            "note": st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=10),
        }
    ),
    min_size=1,
    max_size=8,
)


def _meaning(drafts: list[Draft]) -> list[Draft]:
    return [draft._replace(line=0, raw=b"") for draft in drafts]


@given(
    rows=rows,
    delimiter=st.sampled_from(",;\t|"),
    is_all_quoted=st.booleans(),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_round_trip(
    rows: list[dict[str, str]], delimiter: str, is_all_quoted: bool, end: str, encoding: str
) -> None:
    """The same valid rows mean the same in every format, delimiter, quoting and encoding."""
    out = io.StringIO()
    quoting: Literal[0, 1] = csv.QUOTE_ALL if is_all_quoted else csv.QUOTE_MINIMAL
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end)
    columns = list(rows[0])
    cells = [[row[column] for column in columns] for row in rows]
    writer.writerows([columns, *cells])
    from_csv = read(out.getvalue().encode(encoding))
    lines = "".join(json.dumps(row) + end for row in rows)
    from_lines = read(lines.encode(encoding))
    from_array = read(json.dumps(rows).encode(encoding))
    assert _meaning(from_csv) == _meaning(from_lines) == _meaning(from_array)
    assert len(from_csv) == len(rows)
    assert not any(draft.is_invalid for draft in from_csv)
    assert [json.loads(draft.raw) for draft in from_csv] == cells
    assert [json.loads(draft.raw) for draft in from_lines] == rows


texts = st.tuples(
    st.sampled_from(["", "create", "Update", "DELETE", "upsert", " delete", "crate"]),
    st.sampled_from(["", AC, f" {AC}", AL]),
    st.sampled_from(["", AL, AC, '"']),
    st.sampled_from(["", "", "Office", " ", "a\n"]),
    st.sampled_from(["", IP, "IP1", f"'{IP}'"]),
    st.sampled_from(
        ["", "198.41.0.4", "10.0.0.1/24", "8.0.0.0/5", "198.41.0.4/x", " 198.41.0.4", "1.2"]
    ),
    st.sampled_from(["", "32", "24", "/24", "0", " "]),
    st.sampled_from(["", "name", " name ", "a\tb", "x" * 256, "caf\udce9", "'", "\u200b"]),
    st.sampled_from(["", "", "198.41.0.4", "10.0.0.0/8", "x"]),
    st.sampled_from(["", "", "8", "x"]),
)


@given(texts=texts, has_defaults=st.booleans())
def test_both_ways_agree(texts: Texts, has_defaults: bool) -> None:
    """The quick way through the checks gives what the patient one gives."""
    checker = Checker(ALL if has_defaults else Defaults())
    assert checker.draft(1, 1, texts, b"") == checker.explain(1, 1, texts, b"")


likely = st.tuples(
    st.sampled_from(["", "create", "update", "delete", "UPSERT"]),
    st.sampled_from(["", AC]),
    st.sampled_from(["", AL]),
    st.sampled_from(["", "", "", "Office"]),
    st.sampled_from(["", "", "", IP]),
    st.sampled_from(["198.41.0.4", "8.0.0.0", "8.0.0.1", "10.0.0.1", "8.0.0.0/5", "1.2", ""]),
    st.sampled_from(["", "32", "24", "0"]),
    st.sampled_from(["name", " name ", "", "a\tb", "x" * 256]),
    st.sampled_from(["", "", "", "198.41.0.4"]),
    st.sampled_from(["", "", "", "8"]),
)


PLAIN = ("delete", AC, AL, "", "", "8.0.0.0", "5", " name ", "", "")


@given(
    records=st.lists(likely, min_size=1, max_size=4),
    has_defaults=st.booleans(),
    template=st.sampled_from(["{cidr}", "row {row}"]),
)
@example([PLAIN, ("upsert", *PLAIN[1:])], False, "{cidr}")
@example([("create", AC, AL, "", "", "8.0.0.0", "", "", "", "")] * 2, True, "row {row}")
def test_many_at_once_agree(records: list[Texts], has_defaults: bool, template: str) -> None:
    """Records that are taken as plain together are what each of them is by itself."""
    defaults = replace(ALL if has_defaults else Defaults(), name_template=template)
    lines, raws = range(7, 7 + len(records)), [b"%d" % n for n in range(len(records))]
    together = Checker(defaults).plain(lines, 3, list(zip(*records, strict=True)), raws)
    checker = Checker(defaults)
    each = [
        checker.draft(line, row, texts, raw)
        for row, (line, texts, raw) in enumerate(zip(lines, records, raws, strict=True), 3)
    ]
    if together is not None:
        assert together == each
        assert all(type(one) is Draft for one in together)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(Operation),
            st.none() | st.just(IP),
            st.none() | st.integers(0, 7),
            st.none() | st.integers(28, 32),
            st.none() | st.sampled_from("ab"),
            st.none() | st.integers(0, 7),
        ),
        max_size=30,
    )
)
def test_cross_checks_any_rows(
    parts: list[tuple[Operation, str | None, int | None, int | None, str | None, int | None]],
) -> None:
    """Any rows can be compared; problems come in row order and name rows that exist."""
    rows = [
        Row(number, operation, sid, address, prefix, name, match)
        for number, (operation, sid, address, prefix, name, match) in enumerate(parts, 1)
    ]
    found = check_rows(rows)
    numbers = [number for number, _ in found]
    assert numbers == sorted(numbers)
    assert set(numbers) <= {row.number for row in rows}
    assert found == check_rows(rows)


@pytest.mark.parametrize("size", [128 * 1024 - 1, 128 * 1024, 128 * 1024 + 1])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_chunk_edges(size: int, end: str) -> None:
    """A line's end may fall on the edge of what is read at once."""
    first = f"ip,name{end}198.41.0.4,a{end}"
    lines = (size - len(first)) // 100
    text = first + ("198.41.0.5," + "b" * (89 - len(end)) + end) * lines
    text += "198.41.0.6," + "c" * (size - len(text) - 11 - len(end)) + end + "198.41.0.7,d" + end
    drafts = read(text.encode(), format="csv")
    assert len(drafts) == lines + 3
    assert drafts[-1].line == lines + 4
