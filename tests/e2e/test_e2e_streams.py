"""stdout carries data alone, everything else goes to stderr; reports in every format."""

import csv
import gzip
import io

import orjson
import pytest
from e2e_tools import Cli, Place, creates, csv_text, ip

COLUMNS = [
    *("row", "source", "line", "operation", "account_sid", "list_sid", "sid", "ip_address"),
    *("cidr_prefix_length", "friendly_name", "outcome", "evidence", "reason", "http_status"),
    *("error_code", "error_message", "more_info", "attempts", "request_id", "finished_at"),
    *("duration_ms", "suggestion"),
]


def test_nothing_on_stdout(cli: Cli, place: Place) -> None:
    """Without a flag that asks for data, stdout is empty, with any kind of progress."""
    for mode in ("plain", "rich"):
        ended = cli.apply(cli.file("in.csv", creates(place, 3)), "--progress", mode, "--run", mode)
        assert (ended.code, ended.out) == (0, "")
        assert f"report   {mode}/report.csv" in ended.err


def test_json_summary(cli: Cli, place: Place) -> None:
    """`--json` prints exactly one object, which adds up; `report` and `verify` print one too."""
    rows = [
        ("create", place.acl, ip(0)),
        ("create", place.acl, ip(1)),
        ("delete", place.acl, ip(9)),
    ]
    file = cli.file("in.csv", csv_text("operation,list,ip", rows))
    ended = cli.apply(file, "--account", place.account, "--json")
    summary = ended.json
    assert (ended.code, summary["exit_code"], summary["ending"]) == (0, 0, "finished")
    assert (summary["rows"], sum(summary["outcomes"].values())) == (3, 3)
    assert len(summary["outcomes"]) == 10
    assert (summary["outcomes"]["created"], summary["outcomes"]["already_gone"]) == (2, 1)
    assert (summary["requests"], summary["throttled"], summary["run_dir"]) == (3, 0, "run")
    again = cli.run("report", "run", "--json", environment={})
    assert again.json == summary
    verified = cli.run_inside("verify", "run", "--json", environment={})
    assert verified.json == {"rows": 3, "discrepancies": []}


def test_stream(cli: Cli, place: Place) -> None:
    """`--stream -` prints each row once, as it ends, and nothing else; to a file the same."""
    file = cli.file("in.csv", creates(place, 40))
    ended = cli.apply(file, "--stream", "-")
    assert ended.code == 0
    assert sorted(line["row"] for line in ended.lines) == list(range(1, 41))
    assert {line["outcome"] for line in ended.lines} == {"created"}
    assert [list(line) for line in ended.lines] == [COLUMNS] * 40
    again = cli.apply_inside(file, "--stream", "rows.jsonl", "--run", "again", "--json")
    assert again.json["outcomes"]["unchanged"] == 40
    lines = [orjson.loads(line) for line in (cli.cwd / "rows.jsonl").read_bytes().splitlines()]
    assert sorted(line["row"] for line in lines) == list(range(1, 41))


def test_stream_has_invalid_rows_too(cli: Cli, place: Place) -> None:
    """With `--skip-invalid` the stream has every row once, the invalid ones included."""
    rows = [(op, place.acl, ip(n)) for n, op in enumerate(["create", "bogus", "create", "nope"])]
    file = cli.file("in.csv", csv_text("operation,list,ip", rows))
    ended = cli.apply_inside(file, "--account", place.account, "--skip-invalid", "--stream", "-")
    assert ended.code == 1, ended.err
    assert sorted((line["row"], line["outcome"]) for line in ended.lines) == [
        *((1, "created"), (2, "invalid"), (3, "created"), (4, "invalid"))
    ]


def test_report_to_stdout(cli: Cli, place: Place) -> None:
    """`--report -` prints the report as JSON Lines, in input order."""
    ended = cli.apply(cli.file("in.csv", creates(place, 20)), "--report", "-")
    assert ended.code == 0
    assert [line["row"] for line in ended.lines] == list(range(1, 21))
    assert [list(line) for line in ended.lines] == [COLUMNS] * 20


def test_reports_in_every_format(cli: Cli, place: Place) -> None:
    """Each `--report` holds the same lines, typed where the format has types."""
    paths = ["out.jsonl", "out.json", "out.csv.gz", "out.jsonl.gz", "out.csv"]
    flags = [text for path in paths for text in ("--report", path)]
    ended = cli.apply_inside(cli.file("in.csv", creates(place, 5)), *flags)
    assert (ended.code, ended.out) == (0, "")
    lines = [orjson.loads(line) for line in (cli.cwd / "out.jsonl").read_bytes().splitlines()]
    assert orjson.loads((cli.cwd / "out.json").read_bytes()) == lines
    assert (
        gzip.decompress((cli.cwd / "out.jsonl.gz").read_bytes())
        == (cli.cwd / "out.jsonl").read_bytes()
    )
    report = (cli.cwd / "run/report.csv").read_bytes()
    assert (cli.cwd / "out.csv").read_bytes() == report
    assert gzip.decompress((cli.cwd / "out.csv.gz").read_bytes()) == report
    plain = list(csv.DictReader(io.StringIO(report.decode("utf-8-sig"))))
    assert list(plain[0]) == COLUMNS
    assert [(int(line["row"]), line["sid"]) for line in plain] == [
        (line["row"], line["sid"]) for line in lines
    ]
    first = lines[0]
    assert isinstance(first["attempts"], int)
    assert first["http_status"] in (None, 201)
    assert first["reason"] is None


@pytest.mark.parametrize("flags", [["--stream", "-"], ["--report", "-"]])
def test_reader_that_goes_away(cli: Cli, place: Place, flags: list[str]) -> None:
    """Where the reader of stdout has gone, the rows still end, and no traceback is seen."""
    running = cli.start_apply(cli.file("in.csv", creates(place, 40)), *flags)
    assert running.process.stdout is not None
    running.process.stdout.close()
    running.process.stdout = None
    ended = running.end()
    assert ended.code in (0, 1), ended.err
    cli.run_inside("report", "run", environment={})
    cli.verify()
    created = {line["sid"] for line in cli.report() if line["outcome"] == "created"}
    assert created == {one["sid"] for one in place.effects()}
