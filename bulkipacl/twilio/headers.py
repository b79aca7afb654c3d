"""What both sides of the transport share: the head of a request, the reading of an answer.

Both sides send the same bytes and understand the same answers because both take them from here.
What this does not do: it opens and sends nothing, and decides nothing about retries.

    Heads           a request's head, checked and ready-made per account; the secret kept out of
                    what comes back
    hear_out        the turns before a connection may be written to
    read_answer     status, headers and body as an `Attempt`
    lost            what went wrong as an `Attempt`
    read_body       a body, never more of it than MAX_BODY_BYTES
    error_text, timeout_text
                    what went wrong in a few words, without secrets
"""

from __future__ import annotations

import asyncio
import errno
import math
import os
import re
import zlib
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from multidict import istr

from bulkipacl import __version__
from bulkipacl.credentials import Credential, CredentialMap
from bulkipacl.model import Attempt, Reach, Request, make
from bulkipacl.settings import MAX_BODY_BYTES, Settings
from bulkipacl.twilio.hosts import BaseUrl

_TARGET = re.compile(r"/(?!/)[!\"$-~]*")
"""From the host on: visible ASCII, no fragment. Not `//`, which some servers read as a host."""

_METHODS = frozenset({"GET", "POST", "DELETE"})
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_LONGEST_HINT_S = 7 * 86_400.0
"""A Retry-After past a week is a mistake or an attack, not a hint."""

KEEPALIVE_S = 15.0
"""An idle connection older than this is not used again: the longer it idles, the likelier it is
that the far end is just closing it, and what is written then is ambiguous. aiohttp's default."""

STALE_TRIES = 10
"""Connections taken for one send before the host is called unfit. The pool sorts out closed ones
itself, so more than one unfit connection in a row is already strange."""

# Ready-made keys: a plain str is case-folded at every lookup.
RETRY_AFTER = istr("Retry-After")
CONCURRENT = istr("Twilio-Concurrent-Requests")
REQUEST_ID = istr("Twilio-Request-Id")
_ENCODING = istr("Content-Encoding")


class BodyTooLargeError(Exception):
    """The answer's body passes MAX_BODY_BYTES."""


class BodyEncodingError(Exception):
    """The answer's body is not in the encoding that it claims."""


class Heads:
    """Makes the heads of requests; what is the same for all of an account is made once."""

    def __init__(self, base: BaseUrl, credentials: CredentialMap) -> None:
        self._base = base
        self._credentials = credentials
        self._fields: dict[tuple[str, str], list[tuple[str, str]]] = {}
        self._bytes: dict[tuple[str, str], bytes] = {}
        self._secrets: dict[str, re.Pattern[bytes]] = {}

    def check(self, request: Request) -> None:
        """Refuse a request that the contract can never have made.

        Raises:
            ValueError: the method or the path would bend the request.
        """
        is_bent = _TARGET.fullmatch(request.path) is None
        if is_bent or request.method not in _METHODS or (request.method == "GET" and request.body):
            raise ValueError(f"not a request to the API: {request.method!r}")

    def fields(self, request: Request) -> list[tuple[str, str]]:
        """The head's fields but for Content-Length, in the order in which they are sent.

        Raises:
            CredentialError: the account has no credential that can be read.
        """
        key = (request.account_sid, request.method)
        fields = self._fields.get(key)
        if fields is None:
            credential = self._credentials.for_account(request.account_sid)
            fields = [
                ("Host", self._base.host_header),
                ("Authorization", credential.authorization),
                ("Accept", "application/json"),
                # A list is worth compressing; an answer to a write is not worth unpacking.
                ("Accept-Encoding", "gzip, deflate" if request.method == "GET" else "identity"),
                ("User-Agent", f"bulkipacl/{__version__}"),
            ]
            if request.method == "POST":
                fields.append(("Content-Type", "application/x-www-form-urlencoded"))
            self._fields[key] = fields
        return fields

    def wire_bytes(self, request: Request) -> bytes:
        """The whole request as bytes; about 1 us.

        Raises:
            ValueError: see `check`.
            CredentialError: see `fields`.
        """
        self.check(request)
        key = (request.account_sid, request.method)
        head = self._bytes.get(key)
        if head is None:
            lines = [f"{name}: {value}" for name, value in self.fields(request)]
            head = self._bytes[key] = "\r\n".join([" HTTP/1.1", *lines, ""]).encode("ascii")
        start = f"{request.method} {request.path}".encode("ascii")
        if request.method != "GET":
            return b"%b%bContent-Length: %d\r\n\r\n%b" % (
                start,
                head,
                len(request.body),
                request.body,
            )
        return b"%b%b\r\n" % (start, head)

    def without_secret(self, request: Request, attempt: Attempt) -> Attempt:
        """The attempt, with `***` for the request's own credential where an error repeats it.

        What an error says is kept and shown as received. A 2xx is left as it is: it is what a list
        holds, rows are decided against it, and nothing else of it is kept.
        """
        if 200 <= attempt.status < 300 or not (attempt.body or attempt.request_id):
            return attempt
        pattern = self._secrets.get(request.account_sid)
        if pattern is None:
            credential = self._credentials.for_account(request.account_sid)
            pattern = self._secrets[request.account_sid] = _secret_pattern(credential)
        body = pattern.sub(b"***", attempt.body)
        is_shown_by_id = pattern.search(attempt.request_id.encode()) is not None
        if body == attempt.body and not is_shown_by_id:
            return attempt
        return attempt._replace(body=body, request_id="" if is_shown_by_id else attempt.request_id)


def _secret_pattern(credential: Credential) -> re.Pattern[bytes]:
    """Finds a secret, bare or as its header has it, as a body of text, JSON or a form spells it."""
    texts = (credential.secret, credential.authorization.removeprefix("Basic "))
    spelt = ["".join(char if char.isalnum() else _spellings(char) for char in t) for t in texts]
    return re.compile("|".join(spelt).encode("ascii"))


def _spellings(char: str) -> str:
    """A character that is no letter or digit: itself, escaped for JSON, percent-encoded."""
    code = f"{ord(char):02x}"
    return rf"(?:\\?{re.escape(char)}|(?i:\\u00{code}|%{code}))"


async def hear_out() -> None:
    """Let the loop read all that has arrived by now: a connection is judged by what was read.

    Without it, bytes that lie unread in the socket are taken for the answer to what is written
    next, and a connection that the far end has closed is written to. Two turns, some 2 us: asyncio
    puts what its poll finds behind what is already due to run, so one would be too early.
    """
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def read_answer(
    status: int, headers: Mapping[str, str], body: bytes, duration_s: float, finished_at: float
) -> Attempt:
    """A whole HTTP answer as an `Attempt`; MAYBE_SENT where its body cannot be decoded."""
    encoding = headers.get(_ENCODING)
    reach, error = Reach.ANSWERED, ""
    if encoding is not None and body:
        try:
            body = decode(body, encoding)
        except (BodyEncodingError, BodyTooLargeError) as exc:
            reach, error, body = Reach.MAYBE_SENT, error_text(exc), b""
    hint = headers.get(RETRY_AFTER)
    count = headers.get(CONCURRENT, "")
    request_id = headers.get(REQUEST_ID, "")
    return make(
        Attempt,
        (
            reach,
            status,
            body,
            error,
            None if hint is None else retry_after_s(hint, finished_at),
            # Both end up in reports: only what can be meant is kept.
            int(count) if count.isdigit() and count.isascii() and len(count) <= 9 else None,
            request_id
            if request_id.isalnum() and request_id.isascii() and len(request_id) <= 64
            else "",
            duration_s,
            finished_at,
        ),
    )


def lost(
    exc: BaseException | str, *, sent: bool, status: int, duration_s: float, finished_at: float
) -> Attempt:
    """What went wrong, as an `Attempt`. `sent` is whether a byte may have been written."""
    return Attempt(
        Reach.MAYBE_SENT if sent else Reach.NOT_SENT,
        status,
        error=exc if isinstance(exc, str) else error_text(exc),
        duration_s=duration_s,
        finished_at=finished_at,
    )


async def read_body(payload: aiohttp.StreamReader) -> bytes:
    """A body to its end.

    Raises:
        BodyTooLargeError: more than MAX_BODY_BYTES arrived; what follows is not read.
    """
    chunks = []
    size = 0
    while not payload.at_eof():
        chunk = await payload.readany()
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise BodyTooLargeError
        chunks.append(chunk)
    return b"".join(chunks)


def decode(body: bytes, encoding: str) -> bytes:
    """Undo a Content-Encoding, never making more than MAX_BODY_BYTES of it.

    aiohttp's own decoder accepts a gzip body that stops in the middle (3.14); this one does not.

    Raises:
        BodyEncodingError: it is damaged, cut short, or of a kind that was not asked for.
        BodyTooLargeError: it would unpack to more than MAX_BODY_BYTES.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding in ("gzip", "x-gzip"):
        window_bits = 31
    elif encoding == "deflate":
        # Meant is the zlib wrapper (RFC 9110), but servers that send the bare stream exist.
        window_bits = 15 if body[0] & 0x0F == 8 else -15
    else:
        raise BodyEncodingError
    parts = []
    room = MAX_BODY_BYTES
    while body:
        unpacker = zlib.decompressobj(window_bits)
        try:
            part = unpacker.decompress(body, room + 1)
        except zlib.error:
            raise BodyEncodingError from None
        room -= len(part)
        if room < 0:
            raise BodyTooLargeError
        if not unpacker.eof:
            raise BodyEncodingError
        parts.append(part)
        body = unpacker.unused_data
    return b"".join(parts)


def retry_after_s(text: str, now: float) -> float | None:
    """A Retry-After in seconds from now (Unix seconds), or None where it makes no sense."""
    text = text.strip()
    if _DECIMAL.fullmatch(text):
        wait_s = float(text)
    else:
        try:
            moment = parsedate_to_datetime(text[:64])
        except (ValueError, OverflowError, IndexError):
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        # A date that has just passed means now; the clocks need not agree to the second.
        wait_s = moment.timestamp() - now
        if -60.0 < wait_s < 0.0:
            wait_s = 0.0
    return wait_s if math.isfinite(wait_s) and 0.0 <= wait_s <= _LONGEST_HINT_S else None


def error_text(exc: BaseException) -> str:
    """An exception in a few stable words: no URL, no secret, no address of an object."""
    match exc:
        case BodyTooLargeError():
            return f"the answer is larger than {MAX_BODY_BYTES:,} bytes"
        case BodyEncodingError():
            return "the answer's content encoding cannot be undone"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy refused the tunnel with status {exc.status}"
        case aiohttp.ClientProxyConnectionError():
            return f"the proxy cannot be reached: {_os_words(exc)}"
        case aiohttp.ClientConnectorCertificateError():
            # OpenSSL's reason; absent where the error was not made by it.
            why = getattr(exc.certificate_error, "verify_message", "")
            return f"the TLS certificate is not trusted{': ' if why else ''}{why}"
        case aiohttp.ClientConnectorSSLError() | aiohttp.ServerFingerprintMismatch():
            return "the TLS handshake failed"
        case aiohttp.ClientConnectorDNSError():
            return "the host name cannot be resolved"
        case aiohttp.ClientConnectorError():
            return f"cannot connect: {_os_words(exc)}"
        case aiohttp.ServerDisconnectedError():
            return "the connection was closed before the answer was complete"
        case aiohttp.ClientPayloadError():
            return "the answer was cut short"
        case HttpProcessingError() | aiohttp.ClientResponseError():
            return "the answer is not HTTP"
        case TimeoutError():
            return "timed out"
        case OSError():
            return f"the connection was lost: {_os_words(exc)}"
    return f"the exchange failed: {type(exc).__name__}"


def timeout_text(exc: TimeoutError, settings: Settings) -> str:
    """Which of the two times for an answer ran out."""
    if isinstance(exc, aiohttp.SocketTimeoutError):
        return f"not a byte within {settings.read_timeout_s:g} s"
    return f"no whole answer within {settings.timeout_s:g} s"


def _os_words(exc: OSError) -> str:
    """The system's words for an errno: those of the exception may hold addresses."""
    if exc.errno is None or exc.errno not in errno.errorcode:
        return "the peer or the network gave up"
    return os.strerror(exc.errno)
