"""Endings that were mended late: an API that is dead, an input that breaks off, outputs in the way.

What was sent is judged by the sandbox's ledger, and that every row is answered by `verify`.
"""

import gzip
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from e2e_tools import Cli, Place, creates, csv_text, ip, until

from bulkipacl.cli.options import ProgressMode
from bulkipacl.cli.terminal import Terminal
from bulkipacl.credentials import load_credentials
from bulkipacl.engine.apply import apply
from bulkipacl.engine.job import Inputs, Job, check_outputs
from bulkipacl.engine.run import Engine
from bulkipacl.errors import UsageError
from bulkipacl.intake import parse_defaults
from bulkipacl.model import Outcome
from bulkipacl.settings import INTAKE_BATCH, Settings
from bulkipacl.twilio.hosts import resolve_base_url

FAST = ("--settle", "0.1", "--retries", "1")


def resuming(cli: Cli) -> list[str]:
    """The arguments of a `resume` of the run."""
    return ["resume", "run", "--base-url", cli.box.url, "--progress", "none", *FAST]


# --- outputs and the reader of stdout ----------------------------------------------------------


def test_an_output_in_the_way(cli: Cli, place: Place) -> None:
    """A report that would overwrite the input: exit 2, nothing is touched, no run directory."""
    text = creates(place, 2)
    cli.file("in.csv", text)
    ended = cli.apply_inside("in.csv", "--report", "in.csv")
    assert (ended.code, ended.out) == (2, ""), ended.err
    assert "in.csv would overwrite the input in.csv" in ended.err
    assert (cli.cwd / "in.csv").read_text(encoding="utf-8") == text
    assert not (cli.cwd / "run").exists()


@pytest.mark.parametrize(
    ("outputs", "told"),
    [
        (["link.csv"], "link.csv would overwrite the input in.csv"),
        (["./in.csv", None], "in.csv would overwrite the input in.csv"),
        (["a.jsonl", "-", "a.jsonl"], "a.jsonl would overwrite the output a.jsonl"),
        (["run/report.csv"], "would overwrite report.csv of the run"),
        (["again/run.sqlite"], "would overwrite run.sqlite of the run"),
        (["nowhere/a.csv"], "there is no such directory"),
    ],
)
def test_outputs_that_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outputs: list[str | None], told: str
) -> None:
    """Under whatever name, no output may be an input, another one or what the run keeps."""
    monkeypatch.chdir(tmp_path)
    for name in ("in.csv", "run/rejects.csv"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    Path("link.csv").symlink_to("in.csv")
    Path("again").symlink_to("run")
    check_outputs(["other.csv", "-", None, "-", "/dev/null", "/dev/null"], ["in.csv"], Path("run"))
    with pytest.raises(UsageError, match=told):
        check_outputs(outputs, ["in.csv", "-"], Path("run"))
    with pytest.raises(UsageError, match=r"rejects.csv of the run would overwrite the input"):
        check_outputs([], ["in.csv", "run/rejects.csv"], Path("again"))


def test_stdout_that_breaks_under_a_stream(boxed: Callable[..., Cli]) -> None:
    """The reader of `--stream -` goes after its first line: told once, and every row is done."""
    cli = boxed("--latency", "0.02")
    (acl,) = cli.box.lists[cli.box.parent]
    cli.file("in.csv", creates(Place(cli.box, cli.box.parent, [acl]), 40))
    running = cli.start_apply("in.csv", "--stream", "-", "--account-max-in-flight", "2")
    assert running.process.stdout is not None
    first = orjson.loads(running.process.stdout.readline())
    running.process.stdout.close()
    running.process.stdout = None
    ended = running.end()
    assert ended.code == 0, ended.err
    assert first["outcome"] == "created"
    assert ended.err.count("--stream cannot be written any more") == 1
    assert len(cli.box.ledger()) == 40
    assert cli.outcomes() == ["created"] * 40
    cli.verify()


# --- an input that breaks off -------------------------------------------------------------------


def test_stdin_that_ends_in_a_line(cli: Cli, place: Place) -> None:
    """A pipe that ends within an address: that row is invalid, and nothing is sent."""
    whole = creates(place, 5).encode()
    cut = whole[: whole.rindex(b".")]
    ended = cli.apply("-", stdin=cut)
    assert ended.code == 3, ended.err
    assert "standard input:6: " in ended.err
    assert "resume" not in ended.err, "there is nothing that it could do"
    assert cli.outcomes() == ["not_attempted"] * 4 + ["invalid"]
    assert not place.effects()
    skipping = cli.apply_inside("-", "--skip-invalid", "--run", "again", stdin=cut)
    assert skipping.code == 1, skipping.err
    assert cli.outcomes("again") == ["created"] * 4 + ["invalid"]
    cli.verify("again")


def packed(place: Place, rows: int) -> bytes:
    """A `.gz` with so many rows and some more, which ends too early."""
    beginning = gzip.compress(creates(place, rows).encode())
    return beginning + gzip.compress(os.urandom(2_000).hex().encode())[:900]


def test_gz_that_ends_too_early(cli: Cli, place: Place) -> None:
    """Nothing of a `.gz` that breaks off is sent: exit 3; what was read of it is answered."""
    ended = cli.apply_inside("-", stdin=packed(place, 5))
    assert ended.code == 3, ended.err
    assert "end too early" in ended.err
    assert not place.effects()
    assert set(cli.outcomes()) <= {"not_attempted", "invalid"}
    cli.verify()
    resumed = cli.run_inside(*resuming(cli))
    assert resumed.code == 2
    assert "apply it again" in resumed.err


def test_gz_that_ends_too_early_under_way(cli: Cli, place: Place) -> None:
    """With `--skip-invalid` the rows before the break are carried out; the break is an answer."""
    ended = cli.apply_inside("-", "--skip-invalid", stdin=packed(place, 30))
    assert ended.code == 1, ended.err
    assert cli.outcomes() == ["created"] * 30 + ["invalid"]
    assert (cli.report()[30]["reason"], cli.report()[30]["line"]) == ("corrupt", "32")
    assert len(place.effects()) == 30
    cli.verify()


def test_an_input_that_is_refused_under_way(cli: Cli, place: Place) -> None:
    """A second input that is none, found while the first is sent: what was read is done; exit 7."""
    file = cli.file("in.csv", creates(place, 30))
    flags = ("--skip-invalid", "--json")
    ended = cli.apply_inside(file, "-", *flags, stdin=b"color,shape\nred,round\n")
    assert ended.code == 7, ended.err
    assert ended.err.startswith("bulkipacl: ")
    assert "the rows before that are carried out" in ended.err
    assert ended.json["ending"] == "input_unfinished"
    assert cli.outcomes() == ["created"] * 30
    assert len(place.effects()) == 30
    cli.verify()
    assert cli.run_inside(*resuming(cli)).code == 7, "the rest of the input is still missing"
    assert len(place.effects()) == 30


def test_names_that_arrive(boxed: Callable[..., Cli]) -> None:
    """Lists named while the input still arrives are looked up, and are those of their sids."""
    cli = boxed("--accounts", "1", "--lists", "2")
    (first, second) = cli.box.lists[cli.box.parent]
    header = b"operation,list_name,list_sid,ip\n"
    running = cli.start_apply("-", "--skip-invalid", *FAST, stdin=subprocess.PIPE)
    running.write(header + f"create,list 1,,{ip(0)}\n".encode())
    until(lambda: len(cli.box.ledger()) == 1)
    lines = f"create,,{first},{ip(1)}\ncreate,list 2,,{ip(2)}\ncreate,list 9,,{ip(3)}\n"
    running.write(lines.encode())
    until(lambda: len(cli.box.ledger()) == 3)
    ended = running.end(f"create,list 1,,{ip(0)}\ncreate,,{second},{ip(4)}\n".encode())
    assert ended.code == 1, ended.err
    wanted = ["created", "created", "created", "failed", "unchanged", "created"]
    assert cli.outcomes() == wanted
    assert cli.report()[3]["reason"] == "list_name_not_found"
    where = [line["list_sid"] for line in cli.report()]
    assert where == [first, first, second, "", first, second]
    cli.verify()


class Stopping(Terminal):
    """Stops a run as soon as the first rows have arrived."""

    engine: Engine | None = None
    arrived = 0

    def sending(self, engine: Engine, rows: int | None) -> None:
        """Sending begins."""
        self.engine = engine

    def taken_in(self, rows: int) -> None:
        """So many rows are in the store."""
        assert self.engine is not None
        self.engine.stop("deadline")
        self.arrived = self.arrived or rows


def test_nothing_is_taken_in_after_a_stop(cli: Cli, place: Place) -> None:
    """Of an input that is read faster than it is sent, a stop leaves what is not yet stored."""
    path = cli.file("in.csv", creates(place, 10 * INTAKE_BATCH))
    settings = Settings(skip_invalid=True)
    known = load_credentials(cli.box.token_environment)
    job = Job(cli.cwd / "run", settings, known, resolve_base_url(cli.box.url, {}))
    with Stopping(ProgressMode.NONE) as observer:
        summary = apply(job, Inputs([str(path)], parse_defaults()), observer)
    assert 0 < observer.arrived <= INTAKE_BATCH
    assert (summary.rows, summary.ending) == (observer.arrived, "deadline")
    assert summary.outcomes[Outcome.NOT_ATTEMPTED] == summary.rows
    assert f"(row {summary.rows})" in summary.notes[0]
    cli.verify()


# --- an API that is dead --------------------------------------------------------------------------


def many(cli: Cli) -> int:
    """An input of creates over all lists; returns how many."""
    rows = [
        ("create", account, acl, ip(number))
        for number in range(20)
        for account, lists in cli.box.lists.items()
        for acl in lists
    ]
    cli.file("in.csv", csv_text("operation,account,list,ip", rows))
    return len(rows)


def test_deadline_of_an_api_that_hangs(boxed: Callable[..., Cli]) -> None:
    """Nothing answers: `--deadline` ends the run soon after, with exit 7 and every row answered."""
    cli = boxed("--accounts", "2", "--lists", "4", "--fault", "hang_before=1")
    rows = many(cli)
    began = time.monotonic()
    ended = cli.apply("in.csv", "--deadline", "0.5")
    assert time.monotonic() - began < 20, "it must not wait for --timeout, which is 30 s"
    assert ended.code == 7, ended.err
    assert "bulkipacl resume run --base-url" in ended.err
    assert cli.outcomes() == ["not_attempted"] * rows
    assert {line["reason"] for line in cli.report()} == {"deadline"}
    assert not cli.box.ledger()
    cli.verify()


def test_stopped_when_the_api_has_gone(boxed: Callable[..., Cli]) -> None:
    """Connections are refused in mid-run: a signal ends it soon, and no row is guessed."""
    cli = boxed("--accounts", "2", "--lists", "4", "--latency", "0.05")
    rows = many(cli)
    running = cli.start_apply("in.csv", "--account-max-in-flight", "4", *FAST)
    until(lambda: len(cli.box.ledger()) >= 20)
    effects = {(one["list_sid"], one["ip_after"]) for one in cli.box.ledger()}
    cli.box.kill()
    began = time.monotonic()
    running.signal(signal.SIGINT)
    ended = running.end(limit_s=30)
    assert time.monotonic() - began < 25, "it must not wait for --timeout or --patience"
    assert ended.code == 130, ended.err
    assert "bulkipacl resume run --base-url" in ended.err
    found = {(line["list_sid"], line["ip_address"]): line["outcome"] for line in cli.report()}
    assert len(found) == rows
    # A row may have used up its one retry before the signal came: that was surely never sent.
    assert set(found.values()) <= {"created", "unknown", "not_attempted", "failed"}
    assert {found[one] for one in effects} <= {"created", "unknown"}
    cli.verify()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_where_nothing_is_sent(cli: Cli, signum: signal.Signals) -> None:
    """A verb that waits for its input ends on Ctrl-C with 130 and a word, and leaves nothing."""
    environment = {"TMPDIR": str(cli.cwd)}
    running = cli.start("validate", "-", environment=environment, stdin=subprocess.PIPE)
    until(lambda: list(cli.cwd.glob("*/run.sqlite")))
    running.signal(signum)
    until(lambda: running.process.poll() is not None, 10.0)
    ended = running.end()
    assert (ended.code, ended.out) == (130, "")
    assert ended.err.strip() == "bulkipacl: interrupted"
    assert not list(cli.cwd.iterdir())


# --- a run that cannot begin, or cannot end as it should ----------------------------------------


def test_an_account_without_a_credential(boxed: Callable[..., Cli]) -> None:
    """Found before the first request: exit 2, every row answered; mended, a resume does it."""
    cli = boxed("--accounts", "2", "--lists", "1")
    rows = many(cli)
    parent, other = cli.box.accounts.items()
    text = f'["{parent[0]}"]\nauth_token = "env:FIRST"\n["{other[0]}"]\nauth_token = "env:SECOND"\n'
    path = cli.file("my credentials.toml", text)
    path.chmod(0o600)
    flags = ["--credentials", path.name, "--report", "out.jsonl"]
    environment = {"FIRST": parent[1]}
    ended = cli.apply_inside("in.csv", *flags, environment=environment)
    assert (ended.code, ended.out) == (2, ""), ended.err
    assert "SECOND, which is not set" in ended.err
    assert "bulkipacl resume run --credentials 'my credentials.toml' --base-url" in ended.err
    assert cli.box.stats()["total"] == 0
    assert cli.outcomes() == ["not_attempted"] * rows
    assert {line["reason"] for line in cli.report()} == {"no_credential"}
    assert len((cli.cwd / "out.jsonl").read_bytes().splitlines()) == rows
    assert len(cli.rejects()) == rows
    cli.verify()
    assert cli.run_inside("report", "run", environment={}).code == 2
    resume = [*resuming(cli), "--credentials", path.name]
    before = (cli.cwd / "run/report.csv").read_bytes()
    assert cli.run_inside(*resume, environment=environment).code == 2
    assert (cli.cwd / "run/report.csv").read_bytes() == before
    mended = cli.run_inside(*resume, environment=environment | {"SECOND": other[1]})
    assert mended.code == 0, mended.err
    assert cli.outcomes() == ["created"] * rows
    cli.verify()


def test_a_report_that_cannot_be_written(cli: Cli, place: Place) -> None:
    """Every row done and no report: exit 7, and the resume that it names writes it, unasked."""
    (cli.cwd / "run/report.csv").mkdir(parents=True)
    ended = cli.apply_inside(cli.file("in.csv", creates(place, 5)))
    assert ended.code == 7, ended.err
    assert "report.csv cannot be written" in ended.err
    assert "every outcome is recorded" in ended.err
    assert "bulkipacl resume run --base-url" in ended.err
    (cli.cwd / "run/report.csv").rmdir()
    before = cli.box.stats()["total"]
    again = cli.run_inside(*resuming(cli))
    assert again.code == 0, again.err
    assert "resume " not in again.err, "nothing is left of it"
    assert cli.box.stats()["total"] == before
    assert cli.outcomes() == ["created"] * 5
    cli.verify()


@pytest.mark.parametrize("value", ["65536", "-1"])
def test_sandbox_port_that_is_none(cli: Cli, value: str) -> None:
    """`sandbox --port` takes no other port than the one asked for: exit 2."""
    ended = cli.run_inside("sandbox", "--port", value)
    assert (ended.code, ended.out) == (2, "")
    assert "--port" in ended.err
    assert "`bulkipacl sandbox --help`" in ended.err


def test_sandbox_port_in_use(cli: Cli) -> None:
    """A port that something listens on: exit 2, a sentence with the port, and a way out."""
    port = cli.box.url.rpartition(":")[2]
    ended = cli.run("sandbox", "--port", port)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"bulkipacl: port {port} of 127.0.0.1 cannot be used: Address already in use\n"
        "  --port 0 takes any free one\n"
    )


def test_demo_in_no_place(cli: Cli) -> None:
    """A place that cannot be made is told in a line, and is no defect of the program."""
    cli.file("a file", "")
    ended = cli.run_inside("demo", "--run", "a file/demo", environment={})
    assert (ended.code, ended.out) == (2, ""), ended.err
    assert ended.err.startswith("bulkipacl: a file")


@pytest.mark.parametrize(
    ("value", "told"),
    [("env:NOT_SET_ANYWHERE", "NOT_SET_ANYWHERE"), ("cmd:false", "false")],
)
def test_check_without_a_credential(cli: Cli, value: str, told: str) -> None:
    """A credential that cannot be read was not refused by anybody: `check` is 2, and asks none."""
    path = cli.file("credentials.toml", f'["{cli.box.parent}"]\nauth_token = "{value}"\n')
    path.chmod(0o600)
    before = cli.box.stats()["total"]
    ended = cli.run_inside(
        *("check", "--base-url", cli.box.url, "--credentials", path, "--json"), environment={}
    )
    assert ended.code == 2, ended.err
    (account,) = ended.json["accounts"]
    assert account["verdict"] == "no_credential"
    assert told in account["message"]
    assert cli.box.stats()["total"] == before
