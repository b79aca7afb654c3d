"""Answers as values, and as the bytes of HTTP/1.1.

Written by hand, since one `web.Response` costs more than everything else a create does. It sends
nothing itself.

    Answer         status, body and content type of one response
    error_answer   the API's error body, classic or RFC 9457
    gateway_page   what something in front of the API answers: HTML, none of the API's headers
    render         the bytes of head and body
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

import orjson

JSON = "application/json;charset=utf-8"
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}" for status in HTTPStatus}


@dataclass(slots=True)
class Answer:
    """One response. `extra` is further header lines, each ended by CRLF."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    extra: str = ""
    from_gateway: bool = False


def json_answer(status: int, value: Any) -> Answer:
    """A response with a JSON body."""
    return Answer(status, orjson.dumps(value))


def error_answer(
    style: Literal["classic", "rfc9457"], status: int, code: int, message: str, path: str = ""
) -> Answer:
    """The API's error body; `path` is the instance of an RFC 9457 one."""
    more_info = f"https://www.twilio.com/docs/errors/{code}"
    if style == "classic":
        answer = json_answer(
            status, {"code": code, "message": message, "more_info": more_info, "status": status}
        )
    else:
        problem = {
            "type": more_info,
            "title": HTTPStatus(status).phrase,
            "status": status,
            "code": code,
            "detail": message,
            "instance": path,
            "errors": [],
        }
        answer = Answer(status, orjson.dumps(problem), "application/problem+json")
    if status == 401:
        answer.extra = 'WWW-Authenticate: Basic realm="sandbox"\r\n'
    return answer


def xml_not_found() -> Answer:
    """404 as XML, the API's default format where a path lacks `.json`."""
    body = (
        b"<?xml version='1.0' encoding='UTF-8'?>\n<TwilioResponse><RestException>"
        b"<Code>20404</Code><Message>The requested resource was not found</Message>"
        b"<Status>404</Status></RestException></TwilioResponse>"
    )
    return Answer(404, body, "application/xml")


def gateway_page(status: int) -> Answer:
    """An HTML page as a gateway or CDN in front of the API would send it."""
    phrase = HTTPStatus(status).phrase
    body = (
        f"<!DOCTYPE html>\n<html><head><title>{status} {phrase}</title></head>\n"
        f"<body><center><h1>{status} {phrase}</h1></center><hr>gateway</body></html>\n"
    )
    return Answer(status, body.encode(), "text/html", from_gateway=True)


def render(
    answer: Answer, headers: str, *, close: bool, is_head: bool = False
) -> tuple[bytes, bytes]:
    """Head and body in bytes; `headers` is further header lines, each ended by CRLF."""
    body = answer.body
    if answer.status == 204:
        framing = ""
        body = b""
    else:
        framing = f"Content-Type: {answer.content_type}\r\nContent-Length: {len(body)}\r\n"
    ending = "Connection: close\r\n\r\n" if close else "\r\n"
    head = f"{_STATUS_LINES[answer.status]}\r\n{framing}{answer.extra}{headers}{ending}"
    return head.encode("latin-1"), b"" if is_head else body
