"""Input in every format and under every name; all four operations; lists by name; defaults."""

import gzip
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from e2e_tools import Cli, Place, csv_text, ip, read_csv

Writer = Callable[[Cli, list[dict[str, str]]], tuple[Path | str, bytes | None]]


def rows_of(place: Place) -> list[dict[str, str]]:
    """Creates for two lists; a name that each format has its own way to write."""
    names = ["plain", 'a "quoted", name', "Zürich; 東京", "tab-less\\back"]
    return [
        {
            "operation": "create",
            "account_sid": place.account,
            "ip_access_control_list_sid": place.lists[number % 2],
            "ip_address": ip(number),
            "cidr_prefix_length": str(32 - number % 3),
            "friendly_name": names[number % 4],
        }
        for number in range(8)
    ]


def as_csv(cli: Cli, rows: list[dict[str, str]]) -> tuple[Path | str, None]:
    """CSV."""
    return cli.file("in.csv", csv_text(",".join(rows[0]), [list(r.values()) for r in rows])), None


def as_semicolons(cli: Cli, rows: list[dict[str, str]]) -> tuple[Path | str, None]:
    """What a spreadsheet of another country saves: a BOM, semicolons, CRLF."""
    quoted = [
        ";".join('"' + value.replace('"', '""') + '"' for value in row.values()) for row in rows
    ]
    text = "\r\n".join(["\ufeff" + ";".join(rows[0]), *quoted])
    return cli.file("in.csv", text), None


def as_lines(cli: Cli, rows: list[dict[str, str]]) -> tuple[Path | str, None]:
    """JSON Lines."""
    return cli.file("in.jsonl", b"".join(orjson.dumps(row) + b"\n" for row in rows)), None


def as_array(cli: Cli, rows: list[dict[str, str]]) -> tuple[Path | str, None]:
    """A JSON array, prefixes as numbers."""
    numbers = [{**row, "cidr_prefix_length": int(row["cidr_prefix_length"])} for row in rows]
    return cli.file("in.json", orjson.dumps(numbers, option=orjson.OPT_INDENT_2)), None


def as_page(cli: Cli, rows: list[dict[str, str]]) -> tuple[Path | str, None]:
    """The API's own page body."""
    return cli.file("in.json", orjson.dumps({"ip_addresses": rows, "page": 0})), None


def as_stdin(cli: Cli, rows: list[dict[str, str]]) -> tuple[Path | str, bytes]:
    """CSV on standard input."""
    path, _ = as_csv(cli, rows)
    return "-", Path(path).read_bytes()


def as_gz(cli: Cli, rows: list[dict[str, str]]) -> tuple[Path | str, None]:
    """Compressed CSV."""
    path, _ = as_csv(cli, rows)
    return cli.file("in.csv.gz", gzip.compress(Path(path).read_bytes())), None


def as_two_files(cli: Cli, rows: list[dict[str, str]]) -> tuple[Path | str, bytes]:
    """CSV on standard input and compressed JSON Lines make one run: see the test."""
    cli.file("second.jsonl.gz", gzip.compress(b"".join(orjson.dumps(r) + b"\n" for r in rows[4:])))
    path, _ = as_csv(cli, rows[:4])
    return "-", Path(path).read_bytes()


WRITERS = [as_csv, as_semicolons, as_lines, as_array, as_page, as_stdin, as_gz, as_two_files]


@pytest.mark.parametrize("write", WRITERS)
def test_formats_mean_the_same(cli: Cli, place: Place, write: Writer) -> None:
    """The same rows end in the same state, whatever the format."""
    rows = rows_of(place)
    before = {acl: place.held(acl) for acl in place.lists}
    path, stdin = write(cli, rows)
    more = ["second.jsonl.gz"] if write is as_two_files else []
    ended = cli.apply_inside(path, *more, stdin=stdin)
    assert ended.code == 0, ended.err
    for acl in place.lists:
        added = [
            (row["ip_address"], int(row["cidr_prefix_length"]), row["friendly_name"])
            for row in rows
            if row["ip_access_control_list_sid"] == acl
        ]
        assert place.held(acl) == sorted([*before[acl], *added])
    assert [line["friendly_name"] for line in cli.report()] == [r["friendly_name"] for r in rows]
    cli.verify()


@pytest.mark.parametrize(
    "header",
    [
        "Op,Account,ACL,CIDR,Name",
        "ACTION,account,list,ip,description",
        "operation,AccountSid,IpAccessControlListSid,IpAddress,FriendlyName",
    ],
)
def test_column_synonyms(cli: Cli, place: Place, header: str) -> None:
    """Columns are known by other names too, in any case, with or without underscores."""
    rows = [("create", place.account, place.acl, ip(number), f"n{number}") for number in range(2)]
    assert cli.apply_inside(cli.file("in.csv", csv_text(header, rows))).code == 0
    assert {(ip(0), 32, "n0"), (ip(1), 32, "n1")} <= set(place.held())


def test_list_names(boxed: Callable[..., Cli]) -> None:
    """A list by its name is found, not found or ambiguous, and is the list of its sid."""
    cli = boxed("--accounts", "2", "--lists", "2")
    account = list(cli.box.accounts)[1]
    first, second = cli.box.lists[account]
    rows = [
        ("list 1", "", ip(0)),
        ("", first, ip(0)),
        ("list 1", "", ip(1)),
        ("list 9", "", ip(2)),
        ("list 2", "", ip(3)),
        ("", second, ip(4)),
    ]
    text = csv_text("list_name,list_sid,ip", rows)
    file = cli.file("in.csv", text)
    ended = cli.apply_inside(file, "--account", account, "--operation", "create")
    assert ended.code == 1, ended.err
    report = cli.report()
    assert sorted(line["outcome"] for line in report[:2]) == ["created", "unchanged"]
    assert [line["outcome"] for line in report[2:]] == ["created", "failed", "created", "created"]
    assert report[3]["reason"] == "list_name_not_found"
    assert report[3]["suggestion"]
    assert [line["list_sid"] for line in report[:3]] == [first] * 3
    held = cli.box.state()[account]
    assert sorted(entry[0] for entry in held[first].values()) == [ip(0), ip(1)]
    assert sorted(entry[0] for entry in held[second].values()) == [ip(3), ip(4)]
    cli.verify()


def test_ambiguous_list_name(cli: Cli, place: Place) -> None:
    """Two lists of one name: no row of that name is sent, and the reason says so."""
    request = urllib.request.Request(  # noqa: S310 - our own sandbox
        f"{place.box.url}/2010-04-01/Accounts/{place.account}/SIP/IpAccessControlLists.json",
        data=b"FriendlyName=list%201",
        headers={"Authorization": _basic(place)},
    )
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - our own sandbox
    before = place.held()
    text = csv_text("list_name,ip", [("list 1", ip(0)), ("list 2", ip(1))])
    arguments = ("--account", place.account, "--operation", "create")
    assert cli.apply_inside(cli.file("in.csv", text), *arguments).code == 1
    assert cli.outcomes() == ["failed", "created"]
    assert cli.report()[0]["reason"] == "list_name_ambiguous"
    assert place.held() == before


def _basic(place: Place) -> str:
    pair = f"{place.account}:{place.box.accounts[place.account]}"
    return "Basic " + b64encode(pair.encode()).decode()


def test_operations_by_sid_and_by_address(cli: Cli, place: Place) -> None:
    """Create, update, delete and upsert, each by sid and by address where it can be."""
    (one, two, three), other = place.entries(), place.entries(place.lists[1])
    held = {sid: entry[0] for sid, entry in {**place.entries(), **other}.items()}
    four, five, _ = other
    acl, other_acl = place.lists[:2]
    rows = [
        ("create", acl, "", ip(0), "created", ""),
        ("update", acl, one, "", "renamed by sid", ""),
        ("update", acl, two, ip(1), "", ""),
        ("update", acl, "", ip(2), "moved by address", held[three]),
        ("update", other_acl, "", held[four], "renamed by address", ""),
        ("delete", other_acl, five, "", "", ""),
        ("upsert", other_acl, "", ip(3), "upserted", ""),
        ("upsert", other_acl, "", held[four], "upserted too", ""),
        ("create", other_acl, "", held[five], "deleted above", ""),
        ("delete", acl, "", "203.0.113.200", "", ""),
        ("upsert", acl, "", ip(0), "created", ""),
    ]
    text = csv_text("operation,list,sid,ip,name,old_ip", rows)
    ended = cli.apply_inside(cli.file("in.csv", text), "--account", place.account)
    assert ended.code == 0, ended.err
    assert cli.outcomes() == [
        *("created", "updated", "updated", "updated", "updated", "deleted"),
        *("created", "updated", "created", "already_gone", "unchanged"),
    ]
    now = place.entries()
    assert now[one] == (held[one], 32, "renamed by sid")
    assert now[two] == (ip(1), 32, "entry 2")
    assert now[three] == (ip(2), 32, "moved by address")
    assert (ip(0), 32, "created") in now.values()
    assert place.entries(other_acl)[four] == (held[four], 32, "upserted too")
    assert (held[five], 32, "deleted above") in place.held(other_acl)
    assert five not in place.entries(other_acl)
    cli.verify()


def test_defaults(cli: Cli, place: Place) -> None:
    """What rows leave out is what the flags say; a create without a name gets the template's."""
    file = cli.file("in.csv", f"ip\n{ip(0)}\n{ip(16)}/28\n")
    flags = ["--account", place.account, "--list", "list 2", "--operation", "create"]
    ended = cli.apply_inside(file, *flags, "--name-template", "{row}: {cidr} = {ip} + {prefix}")
    assert ended.code == 0, ended.err
    first, second = f"1: {ip(0)}/32 = {ip(0)} + 32", f"2: {ip(16)}/28 = {ip(16)} + 28"
    assert {(ip(0), 32, first), (ip(16), 28, second)} <= set(place.held(place.lists[1]))
    flags = ["--account", place.account, "--list", place.acl, "--operation", "upsert"]
    assert cli.apply_inside(file, *flags, "--run", "again").code == 0
    assert {(ip(0), 32, f"{ip(0)}/32"), (ip(16), 28, f"{ip(16)}/28")} <= set(place.held())


def test_own_columns_travel(cli: Cli, place: Place) -> None:
    """Columns that mean nothing here are in the report as they came, a collision renamed."""
    text = csv_text(
        "operation,list,ip,outcome,ticket,=formula",
        [
            ("create", place.acl, ip(0), "wished", " CHG 1 ", "=1+1"),
            ("create", place.acl, ip(1), "", "", ""),
        ],
    )
    assert cli.apply_inside(cli.file("in.csv", text), "--account", place.account).code == 0
    first, second = read_csv(cli.cwd / "run/report.csv")
    assert (first["outcome"], first["input_outcome"], first["ticket"]) == (
        "created",
        "wished",
        " CHG 1 ",
    )
    assert list(first)[-1].lstrip("'") == "=formula"
    assert list(first.values())[-1] == "'=1+1"
    assert (second["input_outcome"], second["ticket"]) == ("", "")
