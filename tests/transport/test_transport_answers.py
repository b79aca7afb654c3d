"""Reading of single fields and bodies, by tables."""

from __future__ import annotations

import errno
import gzip
import ssl
import zlib

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkipacl.model import Reach
from bulkipacl.settings import MAX_BODY_BYTES
from bulkipacl.twilio.headers import (
    BodyEncodingError,
    BodyTooLargeError,
    decode,
    error_text,
    read_answer,
    retry_after_s,
)

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
