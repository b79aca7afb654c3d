"""rejects.csv: what did not end well, to mend and feed back."""

import csv

import pytest
from e2e_tools import Cli, Place, ip, read_csv

HEADER = ["Ticket", "Action", "List", "IP", "Name", " note "]


def write(cli: Cli, place: Place, name: str) -> list[list[str]]:
    """An input with good, invalid and failing rows, and cells that must come back untouched."""
    gone = "AL" + "0" * 32
    lines = [
        ["CHG-1", "create", place.acl, ip(0), "one", "  spaces  "],
        ["CHG-2", "create", place.acl, "62.0.0.999", "two", '=HYPERLINK("x")'],
        ["CHG-3", "create", gone, ip(2), "three", "line\nbreak, and comma"],
        ["007", "remove", place.acl, ip(3), "-4", "東京"],
        ["", "Create", place.acl, ip(4), "five", ""],
    ]
    with (cli.cwd / name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([HEADER, *lines])
    return lines


@pytest.mark.parametrize("no_gap", [[], ["--no-gap"]])
def test_mend_and_feed_back(cli: Cli, place: Place, no_gap: list[str]) -> None:
    """Rejects are the input's own cells; mended and fed back, they end well."""
    lines = write(cli, place, "in.csv")
    flags = ["--account", place.account, "--skip-invalid"]
    ended = cli.apply_inside("in.csv", *flags, *no_gap)
    assert ended.code == 1, ended.err
    assert cli.outcomes() == ["created", "invalid", "failed", "invalid", "created"]
    cli.verify()
    rejects = read_csv(cli.cwd / "run/rejects.csv")
    assert list(rejects[0])[:6] == HEADER
    assert list(rejects[0])[6:] == ["reject_outcome", "reject_reason", "reject_suggestion"]
    assert [list(line.values())[:6] for line in rejects] == [lines[1], lines[2], lines[3]]
    assert [line["reject_outcome"] for line in rejects] == ["invalid", "failed", "invalid"]
    assert all(line["reject_reason"] for line in rejects)

    mended = (cli.cwd / "run/rejects.csv").read_text(encoding="utf-8")
    mended = mended.replace("62.0.0.999", ip(1)).replace("AL" + "0" * 32, place.acl)
    cli.file("mended.csv", mended.replace("remove", "delete"))
    again = cli.apply_inside("mended.csv", "--account", place.account, "--run", "again")
    assert again.code == 0, again.err
    assert cli.outcomes("again") == ["created", "created", "already_gone"]
    assert not (cli.cwd / "again/rejects.csv").exists()
    assert [line["Ticket"] for line in cli.report("again")] == ["CHG-2", "CHG-3", "007"]
    cli.verify("again")
    assert {entry[:2] for entry in place.held()} >= {(ip(n), 32) for n in (0, 1, 2, 4)}


def test_rejects_of_rejects(cli: Cli, place: Place) -> None:
    """Fed back unmended, the rejects have their three columns once, with what happened last."""
    write(cli, place, "in.csv")
    flags = ["--account", place.account, "--skip-invalid"]
    assert cli.apply_inside("in.csv", *flags).code == 1
    assert cli.apply_inside("run/rejects.csv", *flags, "--run", "again").code == 1
    assert (cli.cwd / "again/rejects.csv").read_bytes() == (
        cli.cwd / "run/rejects.csv"
    ).read_bytes()
    cli.verify("again")
