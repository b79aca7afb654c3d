"""Opening, recognising and reading the formats."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from intake_tools import AC, AL, ALL, IP, address, read, reasons

from bulkipacl.errors import BulkError, InputError, UsageError
from bulkipacl.intake import Defaults, open_source
from bulkipacl.model import Operation

OK = "198.41.0.4"
CSV = f"ip,name\n{OK},a\n198.41.0.5,b\n"
JSONL = f'{{"ip": "{OK}", "name": "a"}}\n{{"ip": "198.41.0.5", "name": "b"}}\n'
ARRAY = "[" + JSONL.strip().replace("\n", ",") + "]"
PAGE = json.dumps(
    {
        "end": 1,
        "next_page_uri": None,
        "ip_addresses": [
            {"sid": IP, "account_sid": AC, "ip_access_control_list_sid": AL, "ip_address": OK,
             "cidr_prefix_length": 32, "friendly_name": "a", "date_created": None},
            {"ip_address": "198.41.0.5", "cidr_prefix_length": 32, "friendly_name": "b"},
        ],
        "page": 0,
    }
)  # fmt: skip
PRETTY_PAGE = json.dumps(json.loads(PAGE), indent=2)
PRETTY = "\n".join(json.dumps(json.loads(line), indent=1) for line in JSONL.splitlines())


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (CSV, "csv"),
        (CSV.replace(",", ";"), "csv"),
        (CSV.replace(",", "\t"), "csv"),
        (CSV.replace(",", "|"), "csv"),
        (CSV.replace("\n", "\r\n"), "csv"),
        (CSV.replace("\n", "\r"), "csv"),
        ("\n \n" + CSV, "csv"),
        ("sep=;\r\n" + CSV.replace(",", ";"), "csv"),
        ('"ip","name"\n"198.41.0.4","a"\n"198.41.0.5","b"', "csv"),
        (JSONL, "jsonl"),
        (JSONL.replace("\n", "\r\n"), "jsonl"),
        (JSONL.replace("\n", "\n\n"), "jsonl"),
        (ARRAY, "json"),
        ("\n" + ARRAY, "json"),
        (PRETTY, "json"),
        (PAGE, "page"),
        (PRETTY_PAGE, "page"),
    ],
    ids=[
        "comma", "semicolon", "tab", "bar", "crlf", "cr", "blank_lines", "sep_line", "quoted",
        "jsonl", "jsonl_crlf", "jsonl_blank_lines", "array", "array_blank", "pretty", "page",
        "pretty_page",
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("packing", ["plain", "gz", "zst"])
def test_reads(tmp_path: Path, text: str, kind: str, encoding: str, packing: str) -> None:
    """Every format, byte-order mark and compression gives the same two rows."""
    data = text.encode(encoding)
    name = "rows.txt"
    if packing == "gz":
        data, name = gzip.compress(data), "rows.txt.gz"
    elif packing == "zst":
        data, name = zstandard.compress(data), "rows.txt.zst"
    path = tmp_path / name
    path.write_bytes(data)
    source = open_source(str(path), ALL)
    drafts = list(source.drafts())
    source.close()
    assert source.format == kind
    assert [(draft.address, draft.name) for draft in drafts] == [
        (address(OK), "a"),
        (address("198.41.0.5"), "b"),
    ]
    assert not any(draft.is_invalid for draft in drafts)
    for draft in drafts:
        json.loads(draft.raw)


def test_several_pages() -> None:
    """Bodies one after another are read through; an error body among them is not passed over."""
    drafts = read(PAGE + "\n" + PRETTY_PAGE)
    assert [draft.line for draft in drafts] == [1, 2, 3, 4]
    drafts = read(PAGE + '{"status": 401, "code": 20003}')
    assert reasons(drafts[-1]) == ["not_a_page"]


@pytest.mark.parametrize(
    ("ending", "text", "kind"),
    [
        (".csv", CSV, "csv"),
        (".tsv", CSV.replace(",", "\t"), "csv"),
        (".jsonl", JSONL, "jsonl"),
        (".ndjson", JSONL, "jsonl"),
        (".json", JSONL, "jsonl"),
        (".json", ARRAY, "json"),
        (".json", PAGE, "page"),
        (".jsonl", PAGE, "page"),
    ],
)
def test_knows_ending(tmp_path: Path, ending: str, text: str, kind: str) -> None:
    """An ending decides, as far as it can."""
    path = tmp_path / f"rows{ending}"
    path.write_text(text)
    source = open_source(str(path), ALL)
    assert source.format == kind
    assert len(list(source.drafts())) == 2
    source.close()


def test_columns() -> None:
    """A source names its columns: the header, or the keys as they come."""
    source = open_source("-", ALL, stdin=io.BytesIO(b"ip,Site,\n198.41.0.4,x,\n"))
    assert source.columns == ["ip", "Site", ""]
    lines = b'{"ip":"198.41.0.4"}\n{"site":"x","ip":"198.41.0.5"}\n'
    source = open_source("-", ALL, stdin=io.BytesIO(lines))
    list(source.drafts())
    assert source.columns == ["ip", "site"]
    many = "".join(json.dumps({f"k{number}": 1}) + "\n" for number in range(1_500))
    source = open_source("-", ALL, stdin=io.BytesIO(many.encode()))
    assert len(list(source.drafts())) == 1_500
    assert len(source.columns) == 1_000


def test_physical_lines() -> None:
    """A record's line is where it begins, whatever stands inside its quotes."""
    text = 'ip,name,note\n\n198.41.0.4,a,"x\ny\n"\n,,\n198.41.0.5,b,\r\n198.41.0.6,c\n'
    drafts = read(text)
    assert [draft.line for draft in drafts] == [3, 7, 8]
    assert json.loads(drafts[0].raw) == ["198.41.0.4", "a", "x\ny\n"]
    assert json.loads(drafts[2].raw) == ["198.41.0.6", "c"]


def test_row_numbers() -> None:
    """The template's row number goes on over several inputs, and counts invalid rows too."""
    defaults = Defaults(Operation.CREATE, AC, AL, name_template="r{row}")
    names = [draft.name for draft in read("ip\n198.41.0.4\nx\n\n198.41.0.5\n", defaults)]
    assert names == ["r1", None, "r3"]
    lines = '{"ip":"198.41.0.4"}\nx\n{"ip":"198.41.0.5"}\n'
    names = [draft.name for draft in read(lines, defaults, first_row=10)]
    assert names == ["r10", None, "r12"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('ip,name\n198.41.0.4,"a\n198.41.0.5,b\n', [(2, "unclosed_quote")]),
        ('ip,name\n198.41.0.4,"a"b\n198.41.0.5,b\n', [(2, "bad_quoting"), (3, "")]),
        ('ip,name\n198.41.0.4,"a\n198.41.0.5,"b"\n198.41.0.6,c', [(2, "unclosed_quote"), (4, "")]),
        ("ip,name\n198.41.0.4,a,b\n", [(2, "too_many_cells")]),
        ("ip,name\n198.41.0.4,a,,\n", [(2, "")]),
        ("ip,name\n198.41.0.4," + "a" * 140_000 + "\n198.41.0.5,b\n",
         [(2, "cell_too_long"), (3, "")]),
        ("ip,name\n198.41.0.4," + "a" * 3_000_000 + "\n198.41.0.5,b\n",
         [(2, "line_too_long"), (3, "")]),
        ("ip,name\n198.41.0.4,a\n" + "a" * 3_000_000, [(2, ""), (3, "line_too_long")]),
        ('ip,name\n"' + "198.41.0.4,b\n" * 20_000, [(2, "unclosed_quote")]),
        ('ip,name\n"' + 'a\n","' * 1_500_000, [(2, "unclosed_quote")]),
        (JSONL + "{bad}\n" + JSONL, [(1, ""), (2, ""), (3, "bad_json"), (4, ""), (5, "")]),
        (JSONL + "[1]\n", [(1, ""), (2, ""), (3, "not_an_object")]),
        (JSONL + "{}\n", [(1, ""), (2, ""), (3, "no_address")]),
        ('{"ip": 5}\n{"ip":"' + "1" * 3_000_000 + '"}\n' + JSONL,
         [(1, "bad_type"), (2, "line_too_long"), (3, ""), (4, "")]),
        (ARRAY[:-1] + ",{]", [(1, ""), (2, ""), (3, "bad_json")]),
        (ARRAY[:-1], [(1, ""), (2, ""), (3, "bad_json")]),
        (ARRAY[:-1] + ",7]", [(1, ""), (2, ""), (3, "not_an_object")]),
        (ARRAY[:-1] + ',{"a":"' + "1" * 5_000_000, [(1, ""), (2, ""), (3, "bad_json")]),
        ("[" + "[" * 10_000 + "]" * 10_000 + "]", [(1, "bad_json")]),
        ('[{"ip":"198.41.0.4"},NaN]', [(1, ""), (2, "bad_json")]),
        ("[" + "9" * 5_000 + "]", [(1, "bad_json")]),
        ("[]", []),
        ("ip\n", []),
    ],
    ids=[
        "open_quote", "bad_quote", "quote_meets_quote", "many_cells", "empty_cells", "long_cell",
        "long_line", "long_last_line", "endless_cell", "endless_record", "bad_line", "no_object",
        "empty_object", "long_json_line", "bad_array", "cut_array", "odd_array", "long_value",
        "deep", "nan", "long_number", "no_value", "no_row",
    ],
)  # fmt: skip
def test_broken_records(text: str, found: list[tuple[int, str]]) -> None:
    """What cannot be read is one invalid Draft with its line, and the rest goes on."""
    drafts = read(text)
    if len(drafts) > 100:  # an endless cell ends at the parser's limit; what follows are rows again
        drafts = drafts[:1]
    assert [(draft.line, "".join(reasons(draft))) for draft in drafts] == found
    for draft in drafts:
        json.loads(draft.raw)
        assert draft.is_invalid == bool(draft.problems)


def test_names_opening_line() -> None:
    """An unclosed quote is told by the line where its record begins, and its text is kept."""
    text = 'ip,name\n198.41.0.4,a\n198.41.0.5,"b\nc\n'
    draft = read(text)[-1]
    assert "line 3" in draft.problems[0].why
    assert json.loads(draft.raw) == '198.41.0.5,"b\nc\n'


@pytest.mark.parametrize(
    ("value", "reason", "suggestion"),
    [
        ('"prefix": 24', "", ""),
        ('"prefix": "24"', "", ""),
        ('"prefix": null', "", ""),
        ('"prefix": 24.0', "bad_type", "write 24"),
        ('"prefix": true', "bad_type", "1 to 32"),
        ('"prefix": 0', "prefix_zero", "1 to 32"),
        ('"prefix": 99999999999999', "bad_type", ""),
        ('"name": 42', "bad_type", 'write "42"'),
        ('"name": ["a"]', "bad_type", "one object"),
        ('"name": ""', "", ""),
        ('"name": "a", "friendly_name": "b"', "field_twice", "keep one"),
        ('"name": "a", "friendly_name": null', "", ""),
        ('"name": null, "friendly_name": "a"', "", ""),
        ('"operation": 1', "bad_type", ""),
    ],
)
@pytest.mark.parametrize("is_array", [False, True])
def test_json_types(value: str, reason: str, suggestion: str, is_array: bool) -> None:
    """A prefix may be a whole number; all else is text."""
    text = f'{{"ip": "198.41.0.0", {value}}}'
    (draft,) = read(f"[{text}]" if is_array else text)
    assert "".join(reasons(draft)) == reason
    if reason:
        assert suggestion in draft.problems[0].suggestion


def test_keeps_bytes() -> None:
    """A JSON line is kept as it came; CSV text that is no UTF-8 can be written back untouched."""
    line = b'{ "ip":"198.41.0.4" , "n":1.50 }'
    assert read(line + b"\n")[0].raw == line
    (draft,) = read(b"ip,note\n198.41.0.4,caf\xe9\n")
    assert json.loads(draft.raw)[1].encode("utf-8", "surrogateescape") == b"caf\xe9"
    assert not draft.is_invalid
    (draft,) = read(b"ip,name\n198.41.0.4,caf\xe9\n")
    assert reasons(draft) == ["not_utf8"]
    draft = read(b'{"ip":"198.41.0.4"}\n{"ip":"caf\xe9"}\n')[1]
    assert reasons(draft) == ["bad_json"]
    assert "UTF-8" in draft.problems[0].why


@pytest.mark.parametrize("packing", ["gz", "zst"])
@pytest.mark.parametrize("damage", ["cut", "flip", "tail"])
@pytest.mark.parametrize("text", ["csv", "jsonl", "json"])
def test_damaged_compression(tmp_path: Path, packing: str, damage: str, text: str) -> None:
    """Compressed data that end early or are damaged never pass for a shorter input."""
    rows = [
        (f"198.41.{number // 256}.{number % 256}", f"n{number * 7919}") for number in range(9_000)
    ]
    lines = {
        "csv": "ip,name\n" + "".join(f"{ip},{name}\n" for ip, name in rows),
        "jsonl": "".join(json.dumps({"ip": ip, "name": name}) + "\n" for ip, name in rows),
        "json": json.dumps([{"ip": ip, "name": name} for ip, name in rows]),
    }[text].encode()
    pack = zstandard.ZstdCompressor(write_checksum=True).compress
    data = bytearray(gzip.compress(lines) if packing == "gz" else pack(lines))
    if damage == "cut":
        del data[-20:]
    elif damage == "flip":
        data[-3 if packing == "zst" else -6] ^= 255
    else:
        data += b"garbage that is no frame"
    path = tmp_path / f"rows.{text}.{packing}"
    path.write_bytes(data)
    source = open_source(str(path), ALL)
    drafts = list(source.drafts())
    source.close()
    assert reasons(drafts[-1]) == ["corrupt"]
    assert drafts[-1].is_invalid
    assert not any(draft.is_invalid for draft in drafts[:-1])
    if damage != "cut":
        assert len(drafts) <= 9_001


def test_several_members(tmp_path: Path) -> None:
    """Compressed files that were joined are read to their end."""
    for name, pack in (("a.csv.gz", gzip.compress), ("a.csv.zst", zstandard.compress)):
        path = tmp_path / name
        path.write_bytes(pack(b"ip\n198.41.0.4\n") + pack(b"198.41.0.5\n"))
        source = open_source(str(path), ALL)
        assert len(list(source.drafts())) == 2
        source.close()


@pytest.mark.parametrize("start", ["ip,name\n198.41.0.4,", '[{"ip":"', '{"ip":"a"}\n{"ip":"'])
@pytest.mark.parametrize("packing", ["gz", "zst"])
def test_bomb(tmp_path: Path, start: str, packing: str) -> None:
    """A file that unfolds into one huge line costs no more memory than any other."""
    data = start.encode() + b"a" * 100_000_000
    path = tmp_path / f"bomb.{packing}"
    pack = zstandard.compress
    path.write_bytes(gzip.compress(data, 1) if packing == "gz" else pack(data))
    del data
    tracemalloc.start()
    source = open_source(str(path), ALL)
    drafts = list(source.drafts())
    source.close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert drafts[-1].is_invalid
    assert peak < 60_000_000


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("missing.csv", None, "no such file"),
        (".", None, "directory"),
        ("nul\0.csv", None, "cannot be opened"),
        ("a.csv", b"", "empty"),
        ("a.csv", b" \r\n\n", "empty"),
        ("a.csv", b"\xef\xbb\xbf", "empty"),
        ("a.csv.gz", b"", "empty"),
        ("a.csv.gz", b"ip\n1\n", "damaged"),
        ("a.csv.zst", b"ip\n1\n", "damaged"),
        ("a.csv", b"colour\nred\n", "no column of the header is known"),
        ("a.csv", b"198.41.0.4,a\n", "no column of the header is known"),
        ("a.csv", b'ip,"name\n1\n', "header cannot be read"),
        ("a.csv", b"ip," + b"x" * 2_000_000, "header cannot be read"),
        ("a.csv", b"ip,address\n", "both mean ip_address"),
        ("a.csv", b"name\nx\n", "no column ip_address"),
        ("a.csv", JSONL.encode(), "no column of the header is known"),
        ("a.xlsx", b"PK\x03\x04\x14\x00", "workbook"),
    ],
)
def test_refuses(tmp_path: Path, name: str, data: bytes | None, message: str) -> None:
    """What cannot be an input is refused in one line, with what to do instead."""
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        open_source(str(path), ALL)
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == 3


def test_refuses_format() -> None:
    """An unknown format is a usage error; a known one overrides what the content says."""
    with pytest.raises(UsageError, match="xml"):
        read(CSV, format="xml")
    with pytest.raises(InputError):
        read(JSONL, format="csv")
    assert len(read(CSV, format="jsonl")) == 3
    assert len(read(PAGE, format="page")) == 2
    assert len(read(JSONL, format="json")) == 2


class _FailingFile(io.RawIOBase):
    """A file on a disk that fails after the first piece."""

    def __init__(self) -> None:
        self.pieces = [CSV.encode()]

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self.pieces:
            return self.pieces.pop()
        raise OSError(5, "Input/output error")


def test_failing_disk() -> None:
    """A read error ends the run in one line; it is never taken for the end of the input."""
    source = open_source("-", ALL, stdin=_FailingFile())  # type: ignore[arg-type]
    with pytest.raises(BulkError, match="Input/output error"):
        list(source.drafts())


def test_does_not_wait() -> None:
    """Rows that have come are handed on before a pipe's next ones."""

    class Pipe(io.RawIOBase):
        asked = 0

        def read(self, size: int = -1) -> bytes:
            self.asked += 1
            return f"ip\n198.41.0.{self.asked}\n".encode()[0 if self.asked == 1 else 3 :]

    pipe = Pipe()
    drafts = open_source("-", ALL, stdin=pipe).drafts()  # type: ignore[arg-type]
    for number in range(1, 5):
        assert next(drafts).address == address(f"198.41.0.{number}")
        assert pipe.asked <= number + 1
