"""`apply` and its peers: who they are, how each is started, and rounds in which they take turns.

    CONTESTANTS   all of them; a further one is one more line
    Arena         where they run: a far end, a folder, the cores
    missing       why one cannot take part here
    take_turns    A B C A B C ...: what each took in each of its rounds

After each turn the far end is asked whether every row has arrived, and each once.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from far_end import FarEnd, Told
from peers_clients import ACCOUNT, AT_ONCE, TOKEN
from peers_process import Cores, Cost, clean_environment, run_measured

ROWS_PER_LIST = 50
LISTS_PER_ACCOUNT = 1_000
SLOW_ROUNDS = 3
_HERE = Path(__file__).parent
_CURL = """tail -n +2 "$1" | while IFS=, read -r account list ip prefix name; do
curl -sSf -o answer.json -u "$TWILIO_ACCOUNT_SID:$TWILIO_AUTH_TOKEN" \
-d "FriendlyName=$name&IpAddress=$ip&CidrPrefixLength=$prefix" \
"$0/2010-04-01/Accounts/$account/SIP/IpAccessControlLists/$list/IpAddresses.json" || exit 1
done"""


@dataclass(frozen=True, slots=True)
class Contestant:
    """Something that sends creates.

    Attributes:
        name: for the command line and the table.
        command: what starts it, from the far end, the CSV and the file for its times.
        most_rows: a slow one gets no more; None: all rows there are.
        needs: modules and programs that it cannot do without.
        flag: of `bulkipacl apply`, without which it cannot take part.
        cores: how many it may use.
        is_ours: whether it writes a report, which is looked at.
    """

    name: str
    command: Callable[[FarEnd, Path, Path], Sequence[str]]
    most_rows: int | None = None
    needs: tuple[str, ...] = ()
    flag: str = ""
    cores: int = 1
    is_ours: bool = False


def apply_command(
    far: FarEnd, rows: Path, times: Path, *, loop: str = "own", flags: Sequence[str] = ()
) -> list[str]:
    """`bulkipacl apply`, into the directory `run` beside the file for its times."""
    run = str(times.with_name("run"))
    given = ["apply", str(rows), "--operation", "create", "--base-url", far.url, "--run", run]
    if far.certificate is not None:
        given += ["--ca-file", str(far.certificate)]
    return [
        *(sys.executable, str(_HERE / "peers_apply.py"), str(times), loop),
        *(*given, "--progress", "none", *flags),
    ]


def _ours(name: str, *flags: str, loop: str = "own", cores: int = 1, flag: str = "") -> Contestant:
    command = functools.partial(apply_command, loop=loop, flags=flags)
    return Contestant(name, command, cores=cores, flag=flag, is_ours=True)


def _peer(
    name: str, client: str, *needs: str, loop: str = "uvloop", most_rows: int | None = None
) -> Contestant:
    def command(far: FarEnd, rows: Path, times: Path) -> list[str]:
        program = str(_HERE / "peers_clients.py")
        return [sys.executable, program, client, far.url, str(rows), str(times), loop]

    return Contestant(name, command, most_rows, needs)


def _in_a_shell(far: FarEnd, rows: Path, times: Path) -> list[str]:
    return ["sh", "-c", _CURL, far.url, str(rows)]


BARE = "aiohttp, bare"
_CAP = ("--max-in-flight", str(AT_ONCE))
CONTESTANTS = (
    _peer(BARE, "bare"),
    _ours("bulkipacl apply"),
    _ours("bulkipacl apply, 64 in flight", *_CAP),
    _ours("bulkipacl apply, 64, uvloop", *_CAP, loop="uvloop"),
    _ours("bulkipacl apply, 64, asyncio", *_CAP, loop="asyncio"),
    _ours("bulkipacl apply, 2 processes", "--processes", "2", cores=2, flag="--processes"),
    _peer("aiohttp, tuned", "tuned"),
    _peer("aiohttp, bare, asyncio", "bare", loop="asyncio"),
    _peer("aiohttp, tuned, asyncio", "tuned", loop="asyncio"),
    _peer("vendor's async client", "vendor", "twilio", most_rows=10_000),
    _peer("vendor's client, 64 threads", "vendor-threads", "twilio", most_rows=3_000),
    _peer("httpx", "httpx", "httpx", most_rows=1_500),
    _peer("aiometer over httpx", "aiometer", "aiometer", "httpx", most_rows=1_500),
    Contestant("curl in a shell loop", _in_a_shell, 200, ("curl", "tail")),
)


class Turn(NamedTuple):
    """What one contestant took for its rows once.

    Attributes:
        took_s: without its start; None where it does not tell.
        cpu_s: the same in CPU.
        loop: its event loop, or "".
        far_share: the far end's CPU over the whole time.
        asked: requests that the far end had.
    """

    rows: int
    whole: Cost
    took_s: float | None
    cpu_s: float | None
    loop: str
    far_share: float
    asked: dict[str, int]


@dataclass(frozen=True, slots=True)
class Arena:
    """Where contestants run."""

    far: FarEnd
    folder: Path
    cores: Cores

    def turn(self, contestant: Contestant, rows: int) -> Turn:
        """Let one send so many rows to a far end that holds nothing.

        Raises:
            RuntimeError: it failed, or the far end does not hold exactly these rows.
        """
        before = self.far.forget()
        turn, after = self.send(contestant, rows, before)
        if (after.asked["create"], after.held) != (rows, rows):
            raise RuntimeError(f"{contestant.name}: {rows} rows became {after.asked}, {after.held}")
        return turn

    def send(self, contestant: Contestant, rows: int, before: Told) -> tuple[Turn, Told]:
        """Let one send so many rows; what it took, and what the far end says then."""
        path = self.folder / f"rows-{rows}.csv"
        if not path.exists():
            write_rows(path, rows)
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            place = Path(name)
            times = place / "times.json"
            further = {ACCOUNT: f"AC{0:032x}", TOKEN: "0" * 32}
            if self.far.certificate is not None:
                trusted = str(self.far.certificate)
                further |= dict.fromkeys(
                    ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), trusted
                )
            whole = run_measured(
                contestant.command(self.far, path, times),
                clean_environment(place, **further),
                self.cores.clients[: contestant.cores],
                place,
            )
            after = self.far.tell()
            told = json.loads(times.read_text()) if times.exists() else {}
            if contestant.is_ours:
                _check_report(place / "run" / "report.csv", rows)
        far_share = (after.cpu_s - before.cpu_s) / whole.wall_s
        turn = Turn(
            rows,
            whole,
            told.get("took_s"),
            told.get("cpu_s"),
            told.get("loop", ""),
            far_share,
            after.asked,
        )
        return turn, after


def write_rows(path: Path, rows: int) -> None:
    """Creates, 50 to a list and 1,000 lists to an account, sorted as an export would have them."""
    with path.open("w", encoding="ascii") as file:
        file.write("account_sid,list_sid,ip_address,cidr_prefix_length,friendly_name\n")
        for number in range(rows):
            acl, ip = divmod(number, ROWS_PER_LIST)
            file.write(
                f"AC{acl // LISTS_PER_ACCOUNT:032x},AL{acl:032x},"
                f"44.{acl % 251}.{acl // 251 % 251}.{ip},32,Office-{number}\n"
            )


def _check_report(path: Path, rows: int) -> None:
    lines = path.read_bytes().count(b"\n")
    if lines != rows + 1:
        raise RuntimeError(f"the report has {lines} lines for {rows} rows")


def missing(contestant: Contestant) -> str:
    """What is not there that it needs, or ""."""
    for name in contestant.needs:
        if importlib.util.find_spec(name) is None and shutil.which(name) is None:
            return name
    if contestant.flag and contestant.flag not in _apply_help():
        return contestant.flag
    return ""


@functools.cache
def _apply_help() -> str:
    command = [sys.executable, "-m", "bulkipacl", "apply", "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def take_turns(
    arena: Arena, contestants: Sequence[Contestant], rows: int, rounds: int
) -> Iterator[tuple[Contestant, int, Turn]]:
    """Rounds in which each has its turn; the slow ones have fewer rows, and three rounds."""
    for number in range(rounds):
        for contestant in contestants:
            is_slow = contestant.most_rows is not None
            if not is_slow or number < SLOW_ROUNDS:
                own_rows = min(rows, contestant.most_rows or rows)
                yield contestant, number, arena.turn(contestant, own_rows)
