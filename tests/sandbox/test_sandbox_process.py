"""The sandbox as a process: the ready line, the greeting, and the end by signal."""

import signal

import orjson
import pytest
from sandbox_calls import process


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_ready_line_and_clean_end(signum: signal.Signals) -> None:
    """One line of JSON on stdout, nothing on stderr, and exit code 0 on a signal."""
    with process("accounts=2, lists=2") as running:
        assert running.stdout is not None
        ready = orjson.loads(running.stdout.readline())
        running.send_signal(signum)
        rest, errors = running.communicate(timeout=10)
    assert (running.returncode, rest, errors) == (0, "", "")
    assert list(ready) == ["url", "accounts", "lists", "api_keys"]
    assert len(ready["accounts"]) == 2
    for ac, token in ready["accounts"].items():
        assert token.startswith("fa4efa4e")
        assert len(token) == 32
        assert len(ready["lists"][ac]) == 2
        key, secret = ready["api_keys"][ac]
        assert (key[:2], len(key), len(secret)) == ("SK", 34, 32)


def test_greeting() -> None:
    """Without JSON the hints go to stderr, ready to paste, and stdout stays empty."""
    with process("seed=1", as_json=False) as running:
        assert running.stderr is not None
        lines = [running.stderr.readline()]
        while not lines[-1].startswith("Ctrl-C"):
            lines.append(running.stderr.readline())
        running.send_signal(signal.SIGTERM)
        out, _ = running.communicate(timeout=10)
    text = "".join(lines)
    assert out == ""
    assert "export TWILIO_ACCOUNT_SID=AC" in text
    assert "TWILIO_AUTH_TOKEN=fa4efa4e" in text
    assert "--base-url http://127.0.0.1:" in text
