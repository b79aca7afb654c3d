"""A server that repeats the credential which it was sent: nothing that a run leaves shows it."""

import base64
import http.server
import threading
from collections.abc import Iterator
from urllib.parse import quote

import orjson
import pytest
from e2e_tools import Cli, Place, creates

AUTHORITY = "Authorization"


class Echo(http.server.BaseHTTPRequestHandler):
    """Lists are empty; every write is refused with all that it knows of who asked."""

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """An empty list."""
        self._answer(200, {"ip_addresses": [], "next_page_uri": None})

    def do_POST(self) -> None:
        """A refusal."""
        self.rfile.read(int(self.headers["Content-Length"]))
        header = self.headers[AUTHORITY]
        pair = base64.b64decode(header.split()[1]).decode()
        told = f"no, {pair}, sent as {header}, or {quote(header, safe='')}: refused"
        where = f"https://127.0.0.1/{pair.partition(':')[2]}"
        self._answer(400, {"status": 400, "code": 20001, "message": told, "more_info": where})

    def _answer(self, status: int, value: object) -> None:
        body = orjson.dumps(value)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def echo() -> Iterator[str]:
    """Where such a server is."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_credential_that_is_repeated(cli: Cli, place: Place, echo: str) -> None:
    """No file of the run and no output holds token or header; the rest of the message is kept."""
    secret = cli.box.accounts[cli.box.parent]
    pair = base64.b64encode(f"{cli.box.parent}:{secret}".encode()).decode()
    flags = ("--run", "run", "--progress", "none", "--base-url", echo, "--retries", "1")
    outputs = ("--stream", "-", "--report", "out.jsonl")
    ended = cli.run_inside("apply", cli.file("in.csv", creates(place, 3)), *flags, *outputs)
    assert ended.code == 1, ended.err
    shown = f"no, {cli.box.parent}:***, sent as Basic ***, or Basic%20***: refused"
    assert {line["error_message"] for line in cli.report()} == {shown}
    assert {line["more_info"] for line in ended.lines} == {"https://127.0.0.1/***"}
    files = {path.name: path.read_bytes() for path in cli.cwd.rglob("*") if path.is_file()}
    assert {"run.sqlite", "report.csv", "rejects.csv", "out.jsonl"} <= files.keys()
    for name, data in [
        *files.items(),
        ("stdout", ended.out.encode()),
        ("stderr", ended.err.encode()),
    ]:
        for spelt in (secret, pair, quote(pair, safe="")):
            assert spelt.encode() not in data, name
