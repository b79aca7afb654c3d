"""rejects.csv: the input's own lines, ready to be fed back."""

from __future__ import annotations

from pathlib import Path

from report_runs import ACCOUNT, LIST, invalid, make_run, source, valid

from bulkipacl.intake import Defaults, open_source
from bulkipacl.model import Draft, Outcome, RowResult, SourceInfo
from bulkipacl.report import write_run_reports

ENDS = "reject_outcome,reject_reason,reject_suggestion"


def rejects_of(path: Path, inputs: list[tuple[SourceInfo, list[Draft]]], *good: int) -> str:
    """The text of rejects.csv of a run in which these rows were created."""
    results = [RowResult(number, Outcome.CREATED) for number in good]
    with make_run(path / "run", inputs, results) as run:
        write_run_reports(run)
        return (run.path / "rejects.csv").read_bytes().decode()


def test_cells_are_untouched(tmp_path: Path) -> None:
    """Header and cells are the input's own, formulas included; good rows are not there."""
    info = source("Op", "IP ", "x,y")
    text = rejects_of(
        tmp_path,
        [(info, [valid(["create", "1.2.3.4", "ok"]), invalid([" x", "=1+1", 'a "b"\r\n'])])],
        1,
    )
    assert (
        text == f'Op,IP ,"x,y",{ENDS}\n x,=1+1,"a ""b""\r\n",invalid,bad_operation,write create\n'
    )


def test_rejects_fed_back_are_not_doubled(tmp_path: Path) -> None:
    """The three columns of a rejects file that was fed back are replaced."""
    info = source("ip", "reject_outcome", "reject_reason", "reject_suggestion", "reject_date")
    row = ["1.2.3.4", "failed", "old", "old", "today"]
    text = rejects_of(tmp_path, [(info, [invalid(row)])])
    assert text == f"ip,reject_date,{ENDS}\n1.2.3.4,today,invalid,bad_operation,write create\n"


def test_short_long_and_unreadable_records(tmp_path: Path) -> None:
    """Short records are filled up, surplus cells stay surplus, a text goes to the first column."""
    rows = [invalid(["x"]), invalid(["x", "1.2.3.4", "more", ""]), invalid('x "y'), invalid(['"z'])]
    text = rejects_of(tmp_path, [(source("op", "ip"), rows)])
    end = "invalid,bad_operation,write create"
    assert text.split("\n") == [
        f"op,ip,{ENDS}",
        f"x,,{end}",
        f"x,1.2.3.4,{end},more,",
        f'"x ""y",,{end}',
        f'"""z",,{end}',
        "",
    ]


def test_json_records_become_cells(tmp_path: Path) -> None:
    """Strings stay as they are, other values are compact JSON, what is no object is one text."""
    info = source("op", "ip", "tags", kind="jsonl")
    rows = [
        invalid({"op": "x", "tags": ["a", 1], "ip": None}),
        invalid({"tags": 1.5, "ip": False}),
        invalid([1, "a"]),
        invalid('{"op": '),
    ]
    text = rejects_of(tmp_path, [(info, rows)])
    end = "invalid,bad_operation,write create"
    assert text.split("\n") == [
        f"op,ip,tags,{ENDS}",
        f'x,,"[""a"",1]",{end}',
        f",false,1.5,{end}",
        f'"[1,""a""]",,,{end}',
        f'"{{""op"": ",,,{end}',
        "",
    ]


def test_several_headers_become_one(tmp_path: Path) -> None:
    """Columns that mean one field share a place, so that the file can be fed back."""
    one = source("op", "ip", "note", "note")
    two = source("IpAddress", "Operation", "other", "note", number=2, name="b.csv")
    text = rejects_of(
        tmp_path,
        [
            (one, [invalid(["x", "1.1.1.1", "n1", "n2"])]),
            (two, [invalid(["2.2.2.2", "y", "o", "n"])]),
        ],
    )
    end = "invalid,bad_operation,write create"
    assert text.split("\n") == [
        f"op,ip,note,note,other,{ENDS}",
        f"x,1.1.1.1,n1,n2,,{end}",
        f"y,2.2.2.2,n,,o,{end}",
        "",
    ]


def test_spellings_of_json_keys_share_a_column(tmp_path: Path) -> None:
    """Objects that spell a field differently fill one column; a second value is not lost."""
    info = source("ip", "IpAddress", kind="jsonl")
    rows = [
        invalid({"ip": "1.1.1.1"}),
        invalid({"IpAddress": "2.2.2.2"}),
        invalid({"ip": "3.3.3.3", "IpAddress": "4.4.4.4"}),
    ]
    text = rejects_of(tmp_path, [(info, rows)])
    end = "invalid,bad_operation,write create"
    assert text == f"ip,{ENDS}\n1.1.1.1,{end}\n2.2.2.2,{end}\n3.3.3.3,{end},4.4.4.4\n"


def test_rejects_are_input_again(tmp_path: Path) -> None:
    """Intake reads rejects.csv as the rows that the first input had, twice over."""
    given = tmp_path / "given.jsonl"
    given.write_text(
        f'{{"op":"create","account":"{ACCOUNT}","acl":"{LIST}","ip":"1.1.1.1","name":"a, b"}}\n'
        f'{{"op":"create","account":"{ACCOUNT}","acl":"{LIST}","IpAddress":"2.2.2.2/24"}}\n'
        f'{{"op":"make","account":"{ACCOUNT}","acl":"{LIST}","ip":"3.3.3.3","prefix":24}}\n'
    )
    path, seen = given, []
    for generation in range(3):
        with_drafts = open_source(str(path), Defaults())
        drafts = list(with_drafts.drafts())
        info = source(*with_drafts.columns, name=str(path), kind=with_drafts.format)
        with_drafts.close()
        seen.append([draft._replace(line=0, raw=b"", problems=()) for draft in drafts])
        with make_run(tmp_path / f"run{generation}", [(info, drafts)]) as run:
            path = write_run_reports(run)[1]
    assert seen[0] == seen[1] == seen[2]
    assert path.read_text().splitlines()[0] == f"op,account,acl,ip,name,prefix,{ENDS}"
