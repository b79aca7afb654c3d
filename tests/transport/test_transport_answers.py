"""Reading of single fields and bodies, by tables."""

from __future__ import annotations

import errno
import gzip
import re
import ssl
import zlib
from collections.abc import Callable
from urllib.parse import quote

import aiohttp
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transport_faults import (
    ACCOUNT,
    TOKEN,
    Peer,
    create,
    credentials,
    delete,
    read,
    sending,
    serving,
)

from bulkipacl.credentials import Credential, CredentialMap, load_credentials
from bulkipacl.model import Attempt, Reach
from bulkipacl.settings import MAX_BODY_BYTES
from bulkipacl.twilio.headers import (
    BodyEncodingError,
    BodyTooLargeError,
    Heads,
    decode,
    error_text,
    read_answer,
    retry_after_s,
)
from bulkipacl.twilio.hosts import BaseUrl

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT
HINTS = {
    "seconds": ("3", 3.0),
    "zero": ("0", 0.0),
    "decimals": ("0.25", 0.25),
    "spaces": (" 2 ", 2.0),
    "date": ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
    "date without a zone": ("Tue, 14 Nov 2023 22:13:50", 30.0),
    "date with a zone": ("Tue, 14 Nov 2023 23:13:50 +0100", 30.0),
    "date just passed": ("Tue, 14 Nov 2023 22:13:00 GMT", 0.0),
    "date long passed": ("Tue, 14 Nov 2022 22:13:00 GMT", None),
    "negative": ("-1", None),
    "exponent": ("1e3", None),
    "infinite": ("inf", None),
    "not a number": ("nan", None),
    "absurd": ("999999999", None),
    "too many digits": ("9" * 400, None),
    "a date of another millennium": ("Tue, 14 Nov 9999 22:13:50 GMT", None),
    "words": ("soon", None),
    "empty": ("", None),
    "other digits": ("٣", None),
    "a day that is none": ("Tue, 99 Nov 2023 22:13:50 GMT", None),
}


@pytest.mark.parametrize("name", HINTS)
def test_retry_after(name: str) -> None:
    """Seconds, decimals and dates; what makes no sense is no hint."""
    text, expected = HINTS[name]
    assert retry_after_s(text, NOW) == expected


@given(st.text())
def test_no_hint_does_harm(text: str) -> None:
    """Whatever stands there, the result is None or a sane time."""
    wait_s = retry_after_s(text, NOW)
    assert wait_s is None or 0 <= wait_s <= 604_800


FIELDS = {
    "both": ("17", "RQ" + "a" * 32, 17, "RQ" + "a" * 32),
    "none": (None, None, None, ""),
    "empty": ("", "", None, ""),
    "negative": ("-1", "RQ-1", None, ""),
    "long": ("1" * 10, "R" * 65, None, ""),
    "not ASCII": ("²", "RQé", None, ""),
    "a formula": ("=1", "=1+1", None, ""),
}


@pytest.mark.parametrize("name", FIELDS)
def test_what_is_kept_of_the_fields(name: str) -> None:
    """Only what can be meant is kept: both end up in reports."""
    concurrent, request_id, *expected = FIELDS[name]
    headers = {"Twilio-Concurrent-Requests": concurrent, "Twilio-Request-Id": request_id}
    present = {key: value for key, value in headers.items() if isinstance(value, str)}
    attempt = read_answer(200, present, b"", 0.1, NOW)
    assert [attempt.concurrent, attempt.request_id] == expected
    assert attempt.reach is Reach.ANSWERED


@given(st.binary(min_size=1, max_size=2_000))
def test_encodings_round_trip(body: bytes) -> None:
    """What is packed is unpacked."""
    assert decode(gzip.compress(body), "gzip") == body
    assert decode(gzip.compress(body), " X-GZip ") == body
    assert decode(zlib.compress(body), "deflate") == body
    assert decode(body, "identity") == body


@given(st.binary(min_size=1, max_size=200), st.integers(1, 30))
def test_no_cut_goes_unnoticed(body: bytes, missing: int) -> None:
    """A body that stops anywhere is refused, not passed on in part."""
    packed = gzip.compress(body)
    with pytest.raises(BodyEncodingError):
        decode(packed[: max(1, len(packed) - missing)], "gzip")


def test_unpacking_is_bounded() -> None:
    """A few kilobytes must not become gigabytes; the very bound is allowed."""
    assert len(decode(gzip.compress(b"\0" * MAX_BODY_BYTES), "gzip")) == MAX_BODY_BYTES
    with pytest.raises(BodyTooLargeError):
        decode(gzip.compress(b"\0" * (MAX_BODY_BYTES + 1)), "gzip")


KEY = aiohttp.client_reqrep.ConnectionKey("h", 1, True, True, None, None, None)
ERRORS: dict[str, tuple[BaseException, str]] = {
    "refused": (
        aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(errno.ECONNREFUSED, "http://x?y")),
        "cannot connect: Connection refused",
    ),
    "no errno": (
        aiohttp.ClientConnectorError(KEY, OSError("http://x?y")),
        "cannot connect: the peer or the network gave up",
    ),
    "handshake": (
        aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "http://x?y")),
        "the TLS handshake failed",
    ),
    "certificate": (
        aiohttp.ClientConnectorCertificateError(KEY, ssl.CertificateError("http://x?y")),
        "the TLS certificate is not trusted",
    ),
    "reset": (
        aiohttp.ClientOSError(errno.ECONNRESET, "http://x?y"),
        "the connection was lost: Connection reset by peer",
    ),
    "time": (TimeoutError(), "timed out"),
    "other": (RuntimeError("http://x?y"), "the exchange failed: RuntimeError"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_in_a_few_words(name: str) -> None:
    """The words are ours: those of an exception may hold an address."""
    exc, expected = ERRORS[name]
    assert error_text(exc) == expected


# A secret with all that is spelt otherwise somewhere, so that its Base64 has `+`, `/` and `=`.
SECRET = '>k>?"\\/&<p~ x??'
CREDENTIAL = Credential(ACCOUNT, SECRET)
PAIR = CREDENTIAL.authorization.removeprefix("Basic ")


def key_credentials(secret: str) -> CredentialMap:
    return load_credentials({"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": secret})


def _unicode(text: str) -> str:
    return "".join(char if char.isalnum() else f"\\u{ord(char):04X}" for char in text)


SPELLINGS: dict[str, Callable[[str], str]] = {
    "bare": str,
    "JSON": lambda text: orjson.dumps(text)[1:-1].decode(),
    "JSON with slashes escaped": lambda text: orjson.dumps(text)[1:-1].decode().replace("/", "\\/"),
    "JSON with all escaped": _unicode,
    "percent": lambda text: quote(text, safe=""),
    "percent in lower case": lambda text: re.sub(
        "%..", lambda found: found[0].lower(), quote(text, safe="")
    ),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_the_secret_in_an_error(name: str) -> None:
    """However an error spells the secret or its header, `***` stands there; the rest is kept."""
    assert {"+", "/", "="} <= set(PAIR)
    heads = Heads(BaseUrl("http", "127.0.0.1", 1), key_credentials(SECRET))
    for text in (SECRET, PAIR):
        body = f"<{SPELLINGS[name](text)}> of {ACCOUNT}"
        attempt = Attempt(Reach.ANSWERED, 400, body.encode(), request_id="RQ1")
        shown = heads.without_secret(create(), attempt)
        assert shown == attempt._replace(body=f"<***> of {ACCOUNT}".encode())


def test_what_the_secret_is_not_looked_for_in() -> None:
    """A 2xx is what a list holds, and an error without the secret is kept: both are the same."""
    heads = Heads(BaseUrl("http", "127.0.0.1", 1), key_credentials("s3cret"))
    for attempt in (
        Attempt(Reach.ANSWERED, 200, b"s3cret"),
        Attempt(Reach.ANSWERED, 400, b"S3CRET s3cre t", request_id="RQs3cre"),
        Attempt(Reach.MAYBE_SENT, 502, error="the answer was cut short"),
    ):
        assert heads.without_secret(create(), attempt) is attempt
    shown = heads.without_secret(create(), Attempt(Reach.ANSWERED, 400, request_id="RQs3cret"))
    assert shown.request_id == ""


@pytest.mark.anyio
@pytest.mark.parametrize("encoding", ["", "gzip"])
async def test_the_secret_over_the_wire(kind: str, encoding: str) -> None:
    """Both sides hide what a server repeats of a request's head, compressed or not."""

    async def script(peer: Peer) -> None:
        body = b"{" + peer.raw.replace(TOKEN.encode(), b"") + b"," + TOKEN.encode() + b"}"
        packed = gzip.compress(body) if encoding else body
        await peer.answer(400, packed, *([f"Content-Encoding: {encoding}"] if encoding else []))

    async with serving(script) as server, sending(kind, server.port) as transport:
        for request in (create(), read(), delete()):
            attempt = await transport.send(request)
            assert (attempt.reach, attempt.status) == (Reach.ANSWERED, 400)
            assert b"Authorization: Basic ***\r\n" in attempt.body
            assert attempt.body.endswith(b",***}")
            authorization = credentials().for_account(ACCOUNT).authorization
            assert authorization[6:] not in repr(attempt)
            assert TOKEN not in repr(attempt)
