"""The main job on thousands of rows: what the rows say is what is there, and the report is true."""

import random
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from e2e_tools import Box, Cli, csv_text, ip
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

ACCOUNTS, LISTS, ENTRIES = 8, 20, 12
CREATES, UPDATES, DELETES = 3_000, 400, 400
HEADER = "operation,account_sid,list_sid,sid,ip_address,prefix,friendly_name,old_ip_address,ticket"

Model = dict[str, dict[str, dict[tuple[str, int], str]]]
"""What is wanted: account, list, (address, prefix) to name."""


class Witness(TwilioHttpClient):  # type: ignore[misc]
    """The vendor's HTTP client, sending everything to the sandbox."""

    def __init__(self, url: str) -> None:
        super().__init__(timeout=10)
        self._url = url

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        """The same request to another host."""
        parts = urlsplit(url)
        query = f"?{parts.query}" if parts.query else ""
        return super().request(method, f"{self._url}{parts.path}{query}", *args, **kwargs)


@pytest.fixture
def cli(boxed: Callable[..., Cli]) -> Cli:
    """Against eight accounts with twenty lists each, not empty ones."""
    return boxed(
        *("--accounts", str(ACCOUNTS), "--lists", str(LISTS)), *("--entries", str(ENTRIES))
    )


def naive_model(box: Box) -> Model:
    """What is there, by address."""
    return {
        account: {
            acl: {(address, prefix): name for address, prefix, name in entries.values()}
            for acl, entries in lists.items()
        }
        for account, lists in box.state().items()
    }


def make_rows(box: Box, model: Model, rng: random.Random) -> list[tuple[object, ...]]:
    """Rows in a shuffled order, no entry named twice, carried out on the model as they are made."""
    lists = [(account, acl) for account, found in box.state().items() for acl in found]
    targets = [
        (account, acl, sid, *entry)
        for account, found in box.state().items()
        for acl, entries in found.items()
        for sid, entry in entries.items()
    ]
    rng.shuffle(targets)
    rows: list[tuple[object, ...]] = []
    for number in range(CREATES):
        account, acl = lists[number % len(lists)]
        prefix = 32 if number % 3 else 31
        address, name = ip(2 * number), f"site {number}, é"
        text = f"{address}/{prefix}" if number % 2 else address
        cell = "" if number % 2 else prefix
        rows.append(("create", account, acl, "", text, cell, name, "", f"T{number}"))
        model[account][acl][address, prefix] = name
    for number in range(UPDATES):
        account, acl, sid, address, prefix, name = targets[number]
        del model[account][acl][address, prefix]
        new, renamed = ip(100_000 + number), f"renamed {number}"
        match number % 4:
            case 0:  # a new name, by sid
                row = (sid, "", "", renamed, "")
                model[account][acl][address, prefix] = renamed
            case 1:  # a new name, by address
                row = ("", address, str(prefix), renamed, "")
                model[account][acl][address, prefix] = renamed
            case 2:  # a new address, by sid
                row = (sid, new, "32", "", "")
                model[account][acl][new, 32] = name
            case _:  # both, by the old address
                row = ("", f"{new}/32", "", renamed, address)
                model[account][acl][new, 32] = renamed
        rows.append(("update", account, acl, *row, f"U{number}"))
    for number in range(DELETES):
        account, acl, sid, address, prefix, _ = targets[UPDATES + number]
        named = (sid, "", "") if number % 2 else ("", address, prefix)
        rows.append(("delete", account, acl, *named, "", "", f"D{number}"))
        del model[account][acl][address, prefix]
    rng.shuffle(rows)
    return rows


def check_report(cli: Cli, rows: list[tuple[object, ...]]) -> None:
    """Every line says what the ledger says, each effect is of one line, and no effect is left."""
    effects = {one["sid"]: one for one in cli.box.ledger()}
    assert len(effects) == len(cli.box.ledger()) == len(rows)
    outcome_of = {"create": "created", "update": "updated", "delete": "deleted"}
    report = cli.report()
    assert len(report) == len(rows)
    for number, (line, row) in enumerate(zip(report, rows, strict=True), start=1):
        effect = effects.pop(line["sid"])
        assert (line["row"], line["line"]) == (str(number), str(number + 1))
        assert (line["operation"], line["account_sid"], line["list_sid"]) == row[:3]
        assert line["ticket"] == row[-1]
        assert effect["op"] == row[0]
        assert (line["outcome"], line["evidence"]) == (outcome_of[str(row[0])], "response")
        assert (effect["account_sid"], effect["list_sid"]) == row[1:3]
        assert (line["request_id"], line["attempts"]) == (effect["request_id"], "1")
        when = "before" if row[0] == "delete" else "after"
        assert line["ip_address"] == effect[f"ip_{when}"]
        assert line["cidr_prefix_length"] == str(effect[f"prefix_{when}"])
        if row[0] != "delete":
            assert line["friendly_name"] == effect["name_after"]
    assert not effects


def read_by_the_vendor(box: Box) -> Iterator[tuple[str, str, dict[tuple[str, int], str]]]:
    """What each list holds, as the vendor's own client reads it."""
    http = Witness(box.url)
    for account, lists in box.lists.items():
        client = Client(box.parent, box.accounts[box.parent], account, http_client=http)
        for acl in lists:
            entries = client.sip.ip_access_control_lists(acl).ip_addresses.list(page_size=1000)
            yield (
                account,
                acl,
                {(e.ip_address, e.cidr_prefix_length): e.friendly_name for e in entries},
            )
    http.session.close()


def test_thousands_of_rows(cli: Cli) -> None:
    """3,800 mixed rows end as they say, the report is true line by line, the vendor agrees."""
    box, rng = cli.box, random.Random(7)
    model = naive_model(box)
    rows = make_rows(box, model, rng)
    file = cli.file("in.csv", csv_text(HEADER, rows))
    ended = cli.apply(file)
    assert ended.code == 0, ended.err
    assert ended.out == ""
    assert naive_model(box) == model
    check_report(cli, rows)
    assert not (cli.cwd / "run/rejects.csv").exists()
    cli.verify()
    assert cli.run_inside("verify", "run", environment={}).code == 0
    for account, acl, entries in read_by_the_vendor(box):
        assert entries == model[account][acl]


def test_second_run_writes_nothing(cli: Cli) -> None:
    """A finished import that is run again costs one GET a list, and no write."""
    box, rng = cli.box, random.Random(8)
    rows = [row for row in make_rows(box, naive_model(box), rng) if row[0] == "create"]
    file = cli.file("in.csv", csv_text(HEADER, rows))
    assert cli.apply_inside(file).code == 0
    before, effects, held = box.requests(), len(box.ledger()), box.state()
    assert before == {"GET": ACCOUNTS * LISTS, "POST": CREATES}
    ended = cli.apply_inside(file, "--run", "again")
    assert ended.code == 0, ended.err
    assert box.requests() == {"GET": 2 * ACCOUNTS * LISTS, "POST": CREATES}
    assert len(box.ledger()) == effects
    report = cli.report("again")
    assert {line["outcome"] for line in report} == {"unchanged"}
    for line in report:
        entry = held[line["account_sid"]][line["list_sid"]][line["sid"]]
        prefix = int(line["cidr_prefix_length"])
        assert entry == (line["ip_address"], prefix, line["friendly_name"])
    cli.verify("again")


def test_second_run_of_mixed_rows(boxed: Callable[..., Cli]) -> None:
    """Run again: creates and updates unchanged, deletes already gone, nothing written."""
    cli = boxed("--lists", "4", "--entries", "10")
    acl = [(cli.box.parent, acl) for acl in cli.box.lists[cli.box.parent]]
    held = cli.box.state()[cli.box.parent]
    rows: list[tuple[object, ...]] = []
    for number, (account, sid) in enumerate(acl):
        one, two, *_ = held[sid].values()
        rows += [
            ("create", account, sid, "", ip(number), "", "made", "", ""),
            ("update", account, sid, "", one[0], "", "renamed", "", ""),
            ("delete", account, sid, "", two[0], "", "", "", ""),
        ]
    file = cli.file("in.csv", csv_text(HEADER, rows))
    assert cli.apply_inside(file).code == 0
    effects = len(cli.box.ledger())
    assert effects == len(rows)
    ended = cli.apply_inside(file, "--run", "again")
    outcomes = cli.outcomes("again")
    assert len(cli.box.ledger()) == effects
    for row, outcome in zip(rows, outcomes, strict=True):
        assert outcome == {"delete": "already_gone"}.get(str(row[0]), "unchanged"), row
    assert ended.code == 0
