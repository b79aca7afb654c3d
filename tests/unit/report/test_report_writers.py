"""Reports written from real run directories and read back."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_runs import ACCOUNT, COLUMNS, LIST, invalid, make_run, plain_run, source, valid

from bulkipacl.errors import StoreError, UsageError
from bulkipacl.model import Evidence, Outcome, RowResult
from bulkipacl.report import (
    StreamLines,
    check_report_path,
    verify,
    write_report,
    write_run_reports,
)
from bulkipacl.report.cells import encode, neutralise
from bulkipacl.report.columns import REPORT_COLUMNS
from bulkipacl.report.writers import csv_chunks, csv_line
from bulkipacl.store import views
from bulkipacl.store.intake import Intake
from bulkipacl.store.journal import Batch, commit

ENTRY = "IP" + "0" * 32


def read_csv(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV file by column."""
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def read_json_lines(data: bytes) -> list[dict[str, Any]]:
    """The objects of JSON Lines."""
    return [json.loads(line) for line in data.splitlines()]


def test_csv_line_of_a_created_row(tmp_path: Path) -> None:
    """Every column says what the store says, the entry as the row ended with it."""
    raw = ["create", ACCOUNT, LIST, "203.0.113.7", "", "a name", "Ann"]
    result = RowResult(
        1,
        Outcome.CREATED,
        Evidence.READ_BACK,
        status=201,
        attempts=2,
        request_id="RQ1",
        finished_at=1_700_000_000.5,
        duration_ms=51.26,
        sid=ENTRY,
        address=0xCB007107,
        prefix=32,
        name="as the API has it",
    )
    draft = valid(raw, prefix=None)
    with make_run(tmp_path / "run", [(source(*COLUMNS, "customer"), [draft])], [result]) as run:
        assert write_run_reports(run) == [run.path / "report.csv"]
        text = (run.path / "report.csv").read_text()
    assert text == (
        ",".join(REPORT_COLUMNS) + ",customer\n"
        f"1,orders.csv,2,create,{ACCOUNT},{LIST},{ENTRY},203.0.113.7,32,as the API has it,"
        "created,read_back,,201,,,,2,RQ1,2023-11-14T22:13:20.500Z,51.3,,Ann\n"
    )


def test_json_line_is_typed(tmp_path: Path) -> None:
    """JSON Lines have the same keys, numbers as numbers, null for nothing."""
    raw = {"ip": "203.0.113.7", "customer": {"id": 123456789012345678901234}, "vip": True}
    info = source("ip", "customer", "vip", "gone", kind="jsonl")
    result = RowResult(1, Outcome.FAILED, reason="bad_request", status=400, code=20001)
    with make_run(tmp_path / "run", [(info, [valid(raw)])], [result]) as run:
        write_report(run, tmp_path / "out.jsonl")
        write_report(run, tmp_path / "out.json")
        write_report(run, tmp_path / "out.csv")
    data = (tmp_path / "out.jsonl").read_bytes()
    (line,) = read_json_lines(data)
    assert list(line) == [*REPORT_COLUMNS, "customer", "vip", "gone"]
    assert line["customer"] == raw["customer"]
    assert b"123456789012345678901234" in data
    found = {key: line[key] for key in ("row", "line", "http_status", "error_code", "attempts")}
    assert found == {"row": 1, "line": 2, "http_status": 400, "error_code": 20001, "attempts": 0}
    assert line["vip"] is True
    assert line["finished_at"] is line["evidence"] is line["gone"] is line["sid"] is None
    assert json.loads((tmp_path / "out.json").read_text()) == [line]
    (cells,) = read_csv(tmp_path / "out.csv")
    assert cells["customer"] == '{"id":123456789012345678901234}'
    assert (cells["vip"], cells["gone"]) == ("true", "")


@pytest.mark.parametrize("rows", [0, 1, 1_000, 2_001])
def test_all_formats_have_all_rows(tmp_path: Path, rows: int) -> None:
    """Every format has every row in order, an empty run and whole chunks included."""
    with plain_run(tmp_path / "run", rows) as run:
        for name in ("a.csv", "a.jsonl", "a.ndjson", "a.json", "a.JSONL.gz", "a.csv.gz"):
            write_report(run, tmp_path / name)
        out = io.BytesIO()
        write_report(run, "-", stdout=out)
        streamed: list[bytes] = []
        stream = StreamLines(run, streamed.append)
        stream.emit(range(1, rows + 1))
    expected = list(range(1, rows + 1))
    assert [int(line["row"]) for line in read_csv(tmp_path / "a.csv")] == expected
    assert [line["row"] for line in json.loads((tmp_path / "a.json").read_bytes())] == expected
    lines = (tmp_path / "a.jsonl").read_bytes()
    assert [line["row"] for line in read_json_lines(lines)] == expected
    assert (tmp_path / "a.ndjson").read_bytes() == lines == out.getvalue()
    assert b"".join(streamed) == lines
    assert gzip.decompress((tmp_path / "a.JSONL.gz").read_bytes()) == lines
    assert (
        gzip.decompress((tmp_path / "a.csv.gz").read_bytes()) == (tmp_path / "a.csv").read_bytes()
    )


def test_invalid_row_shows_what_was_given(tmp_path: Path) -> None:
    """A row that was not understood is shown as it stood in the input, neutralised for CSV."""
    raw = ["=frobnicate", "AC-wrong", LIST, "1.2.3.400", "99", "", "Ann"]
    with make_run(tmp_path / "run", [(source(*COLUMNS, "customer"), [invalid(raw)])]) as run:
        write_report(run, tmp_path / "a.csv")
        write_report(run, tmp_path / "a.jsonl")
    (cells,) = read_csv(tmp_path / "a.csv")
    (line,) = read_json_lines((tmp_path / "a.jsonl").read_bytes())
    assert cells["operation"] == "'=frobnicate"
    assert line["operation"] == "=frobnicate"
    for found in (cells, line):
        shown = [found[c] for c in ("account_sid", "list_sid", "ip_address", "customer")]
        assert shown == ["AC-wrong", LIST, "1.2.3.400", "Ann"]
        assert found["outcome"] == "invalid"
        assert found["reason"] == "bad_operation"
    assert cells["cidr_prefix_length"] == line["cidr_prefix_length"] == "99"


def test_surplus_cells_are_kept(tmp_path: Path) -> None:
    """Cells beyond the header have a column in the report, only where there are any."""
    info = source("op", "note")
    with make_run(
        tmp_path / "run", [(info, [invalid(["x", "a"]), invalid(["x", "a", "b", ""])])]
    ) as run:
        write_report(run, tmp_path / "a.csv")
        write_report(run, tmp_path / "a.jsonl")
    first, second = read_csv(tmp_path / "a.csv")
    assert (first["input_extra_cells"], second["input_extra_cells"]) == ("", '["b",""]')
    without, having = read_json_lines((tmp_path / "a.jsonl").read_bytes())
    assert "input_extra_cells" not in without
    assert having["input_extra_cells"] == ["b", ""]


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    """Undecodable bytes are those bytes in CSV and escapes in JSON Lines."""
    raw = ["1.2.3.4", b"caf\xe9".decode("utf-8", "surrogateescape")]
    with make_run(tmp_path / "run", [(source("ip", "note"), [valid(raw)])]) as run:
        write_run_reports(run)
        write_report(run, tmp_path / "a.jsonl")
        assert verify(run) == []
        assert b",caf\xe9\n" in (run.path / "report.csv").read_bytes()
        assert b"1.2.3.4,caf\xe9,not_attempted," in (run.path / "rejects.csv").read_bytes()
    assert b'"note":"caf\\udce9"' in (tmp_path / "a.jsonl").read_bytes()


def test_stream_follows_new_columns(tmp_path: Path) -> None:
    """Columns and sources that come up while rows are being sent are in their lines."""
    first, second = source("ip", kind="jsonl"), source("ip", "x", number=2, kind="jsonl")
    run = make_run(tmp_path / "run", [(first, [valid({"ip": "1.2.3.4"})])])
    with run:
        streamed: list[bytes] = []
        stream = StreamLines(run, streamed.append)
        stream.emit([1])
        stream.emit([])
        intake = Intake(run)
        intake.rows = 1
        for _ in intake.take(second, [valid({"ip": "1.2.3.5", "x": 5})]):
            pass
        stream.emit([2])
    assert len(streamed) == 2
    one, two = read_json_lines(b"".join(streamed))
    assert "x" not in one
    assert two["x"] == 5


cell_texts = st.text(st.characters(exclude_categories=[]), max_size=12) | st.binary(max_size=8).map(
    lambda data: data.decode("utf-8", "surrogateescape")
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(st.lists(cell_texts, min_size=3, max_size=3), min_size=1, max_size=4),
    is_good=st.booleans(),
)
def test_any_cells_survive(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], is_good: bool
) -> None:
    """Any cell texts come back from report.csv, JSON Lines and, byte for byte, rejects.csv."""
    path = tmp_path_factory.mktemp("cells")
    drafts = [valid(row, line=i) for i, row in enumerate(rows, 2)]
    results = [RowResult(i, Outcome.CREATED) for i in range(1, len(rows) + 1)] if is_good else []
    with make_run(path / "run", [(source("a", "b", "c"), drafts)], results) as run:
        write_run_reports(run)
        write_report(run, path / "a.jsonl")
        assert verify(run) == []
        report = read_csv(run.path / "report.csv")
        rejects = [] if is_good else read_csv(run.path / "rejects.csv")
    lines = read_json_lines((path / "a.jsonl").read_bytes())
    for row, cells, line in zip(rows, report, lines, strict=True):
        assert [cells[c] for c in "abc"] == [_through_utf8(neutralise(text)) for text in row]
        assert [line[c] for c in "abc"] == [_joined(text) for text in row]
    for row, cells in zip(rows, rejects, strict=False):
        assert [cells[c] for c in "abc"] == [_through_utf8(text) for text in row]


def _through_utf8(text: str) -> str:
    """The text as a file can give it back; what no UTF-8 can hold is an escape there."""
    return encode(text).decode("utf-8", "surrogateescape")


def _joined(text: str) -> str:
    """JSON makes one character of two surrogates that happen to be a pair."""
    return str(json.loads(json.dumps(text)))


@given(st.lists(st.text(), min_size=2, max_size=5))
def test_csv_line_reads_back(cells: list[str]) -> None:
    """The standard library reads every line as the cells that it was made of."""
    (found,) = csv.reader(io.StringIO(csv_line(cells) + "\n", newline=""))
    assert found == cells


@given(st.lists(st.lists(st.sampled_from('a ,"\n\r'), min_size=2, max_size=4), max_size=4))
def test_csv_lines_read_back(lines: list[list[str]]) -> None:
    """Many lines at once read as the lines that they were made of, quotes or none."""
    data = b"".join(csv_chunks(["a", "b"], lines))
    assert list(csv.reader(io.StringIO(data.decode(), newline=""))) == [["a", "b"], *lines]


def test_what_looks_like_a_line_end_of_json(tmp_path: Path) -> None:
    """A text that looks as if one object ended and another began in it tears no line apart."""
    texts = ["},{", "a", '"},{"', "}\n{"]
    drafts = [valid([text], name=text) for text in texts]
    with make_run(tmp_path, [(source("note"), drafts)]) as run:
        write_report(run, tmp_path / "report.jsonl")
        write_report(run, tmp_path / "report.json")
    lines = read_json_lines((tmp_path / "report.jsonl").read_bytes())
    assert [(line["friendly_name"], line["note"]) for line in lines] == list(
        zip(texts, texts, strict=True)
    )
    assert json.loads((tmp_path / "report.json").read_bytes()) == lines


def test_many_rows_of_all_kinds(tmp_path: Path) -> None:
    """Over any number of rows, report lines say row by row what the store says."""
    drafts = [
        invalid(["x", str(n)]) if n % 7 == 3 else valid(["create", str(n)], address=n)
        for n in range(1_200)
    ]
    sent = [n for n in range(1, 1_201) if (n - 1) % 7 != 3 and n % 5]
    results = [
        RowResult(n, Outcome.FAILED if n % 11 == 0 else Outcome.CREATED, attempts=n % 3, code=n)
        for n in sent
    ]
    with make_run(tmp_path, [(source("operation", "note"), drafts)], results) as run:
        write_report(run, tmp_path / "report.csv")
        write_report(run, tmp_path / "report.jsonl")
        kept = list(views.records(run))
    lines = read_json_lines((tmp_path / "report.jsonl").read_bytes())
    cells = read_csv(tmp_path / "report.csv")
    assert len(kept) == len(lines) == len(cells) == 1_200
    for record, line, cell in zip(kept, lines, cells, strict=True):
        result = record.result
        told = (result.number, str(result.outcome), result.attempts, result.code or None)
        assert (line["row"], line["outcome"], line["attempts"], line["error_code"]) == told
        assert line["note"] == cell["note"] == str(result.number - 1)
        assert [cell["row"], cell["outcome"]] == [str(result.number), str(result.outcome)]
        assert (line["operation"] == "x") == (result.outcome is Outcome.INVALID)


@pytest.mark.parametrize("name", ["report", "report.txt", "report.xlsx", "report.gz", ".csv"])
def test_unknown_ending(tmp_path: Path, name: str) -> None:
    """An ending that is no format is refused with those that are."""
    with pytest.raises(UsageError) as caught:
        check_report_path(tmp_path / name)
    assert ".jsonl" in str(caught.value.hint)


def test_paths_that_cannot_be_written(tmp_path: Path) -> None:
    """A missing directory or a directory in the file's place is refused before the run."""
    (tmp_path / "d.csv").mkdir()
    for path in (tmp_path / "no" / "a.csv", tmp_path / "d.csv"):
        with pytest.raises(UsageError):
            check_report_path(path)
    check_report_path(tmp_path / "a.csv.gz")
    check_report_path("-")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_directory_that_is_not_writable(tmp_path: Path) -> None:
    """A directory without write permission is refused before the run."""
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UsageError, match="not writable"):
            check_report_path(tmp_path / "a.csv")
    finally:
        tmp_path.chmod(0o700)


def test_failed_report_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report that cannot be finished leaves what was there, and no half file."""
    with plain_run(tmp_path / "run", 3) as run:
        target = tmp_path / "out" / "a.csv"
        target.parent.mkdir()
        target.write_text("old")

        def full_disk(fd: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full_disk)
        with pytest.raises(StoreError, match="No space left"):
            write_report(run, target)
    assert target.read_text() == "old"
    assert [path.name for path in target.parent.iterdir()] == ["a.csv"]


def test_report_through_a_link_and_into_a_pipe(tmp_path: Path) -> None:
    """A link stays a link, and a pipe is written to instead of being replaced."""
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    os.mkfifo(tmp_path / "pipe.jsonl")
    with plain_run(tmp_path / "run", 1) as run:
        write_report(run, tmp_path / "link.csv")
        reader = os.open(tmp_path / "pipe.jsonl", os.O_RDONLY | os.O_NONBLOCK)
        try:
            check_report_path(tmp_path / "pipe.jsonl")
            write_report(run, tmp_path / "pipe.jsonl")
            assert read_json_lines(os.read(reader, 65_536))[0]["row"] == 1
        finally:
            os.close(reader)
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text().startswith("row,")


def test_stale_rejects_are_removed(tmp_path: Path) -> None:
    """A rejects file of an earlier session goes when every row has ended well."""
    with plain_run(tmp_path / "run", 3) as run:
        with run.transaction() as db:
            db.execute("UPDATE outcome SET outcome = 'unknown' WHERE number = 2")
        assert write_run_reports(run) == [run.path / "report.csv", run.path / "rejects.csv"]
        commit(run, Batch(results=[RowResult(2, Outcome.CREATED)]))
        assert write_run_reports(run) == [run.path / "report.csv"]
        assert not (run.path / "rejects.csv").exists()
        assert verify(run) == []
