"""Which hosts may be spoken to, by tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkipacl.errors import TransportError
from bulkipacl.twilio.hosts import BaseUrl, resolve_base_url

GOOD = {
    "https://api.twilio.com": ("https://api.twilio.com", "api.twilio.com", 443),
    "https://api.twilio.com/": ("https://api.twilio.com", "api.twilio.com", 443),
    "HTTPS://API.Twilio.Com": ("https://api.twilio.com", "api.twilio.com", 443),
    "https://api.twilio.com:443": ("https://api.twilio.com", "api.twilio.com", 443),
    "https://proxy.example:8443": ("https://proxy.example:8443", "proxy.example:8443", 8443),
    "https://api.dublin.ie1.twilio.com": (
        "https://api.dublin.ie1.twilio.com",
        "api.dublin.ie1.twilio.com",
        443,
    ),
    "http://127.0.0.1:8080": ("http://127.0.0.1:8080", "127.0.0.1:8080", 8080),
    "http://127.8.9.1": ("http://127.8.9.1", "127.8.9.1", 80),
    "http://localhost:1": ("http://localhost:1", "localhost:1", 1),
    "http://[::1]:8080": ("http://[::1]:8080", "[::1]:8080", 8080),
    "https://[2001:db8::1]": ("https://[2001:db8::1]", "[2001:db8::1]", 443),
    "https://10.1.2.3": ("https://10.1.2.3", "10.1.2.3", 443),
}


@pytest.mark.parametrize("text", GOOD)
def test_a_base_url_is_a_scheme_and_a_host(text: str) -> None:
    """Origin, Host header and port of what is accepted."""
    base = resolve_base_url(text, {})
    assert (base.origin, base.host_header, base.port) == GOOD[text]
    assert base.is_tls == text.lower().startswith("https")


BAD = {
    "": ("is empty", "https://api.twilio.com"),
    "https://api.twilio.com\n": ("holds a space", "https://api.twilio.com"),
    "https://api.twilio.com /": ("holds a space", "https://api.twilio.com"),
    "https://äpi.example": ("outside ASCII", "https://api.twilio.com"),
    "api.twilio.com": ("has no scheme", "https://api.twilio.com"),
    "localhost:8080": ("has no scheme", "https://localhost:8080"),
    "me:hush@h": ("has no scheme", "https://HOST"),
    "ftp://h": ("neither https nor http", "https://HOST"),
    "file:///etc/passwd": ("neither https nor http", "https://HOST"),
    "https://": ("no valid host", "https://HOST"),
    "https://:80": ("no valid host", "https://HOST"),
    "https://h:0": ("no valid host and port", "https://HOST:PORT"),
    "https://h:70000": ("no valid host and port", "https://HOST:PORT"),
    "https://h:": ("no valid host and port", "https://HOST:PORT"),
    "https://h:x": ("no valid host and port", "https://HOST:PORT"),
    "https://[::1": ("no valid host and port", "https://HOST:PORT"),
    "https://[fe80::1%25eth0]": ("no valid host", "https://HOST"),
    "https://a..b": ("no valid host", "https://HOST"),
    "https://-a": ("no valid host", "https://HOST"),
    "https://a%2eb": ("no valid host", "https://HOST"),
    "https://good.example\\x": ("no valid host", "https://HOST"),
    "https://me:hush@h": ("holds a credential", "--credentials FILE"),
    "https://@h": ("holds a credential", "--credentials FILE"),
    "https://good.example\\@evil.example": ("holds a credential", "--credentials FILE"),
    "https://h/2010-04-01": ("more than a scheme and a host", "write https://h"),
    "https://h?": ("more than a scheme and a host", "write https://h"),
    "https://h/#": ("more than a scheme and a host", "write https://h"),
    "http://api.twilio.com": ("in the clear", "https://api.twilio.com"),
    "http://127.0.0.1.evil.example": ("in the clear", "https://127.0.0.1.evil.example"),
    "http://localhost.evil.example": ("in the clear", "https://localhost.evil.example"),
    "http://0.0.0.0": ("in the clear", "https://0.0.0.0"),
    "http://128.0.0.1": ("in the clear", "https://128.0.0.1"),
    "http://[::2]": ("in the clear", "https://"),
    "https://api.ie1.twilio.com": ("2026-04-28", "https://api.dublin.ie1.twilio.com"),
    "https://api.au1.twilio.com": ("2026-04-28", "https://api.sydney.au1.twilio.com"),
    "https://api.us1.twilio.com": ("2026-04-28", "https://api.twilio.com"),
    "https://api.jp1.twilio.com": ("2026-04-28", "https://api.EDGE.jp1.twilio.com"),
    "https://api.dublin.twilio.com": ("2026-04-28", "https://api.dublin.REGION.twilio.com"),
    "https://API.IE1.twilio.com.": ("2026-04-28", "https://api.dublin.ie1.twilio.com"),
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_refused_says_what_to_write(text: str) -> None:
    """One reason, one suggestion, and never a secret."""
    why, instead = BAD[text]
    with pytest.raises(TransportError) as caught:
        resolve_base_url(text, {"TWILIO_REGION": "ie1"})
    assert why in caught.value.message
    assert instead in (caught.value.hint or "")
    assert caught.value.exit_code == 2
    assert "hush" not in f"{caught.value.message} {caught.value.hint}"
    assert "\n" not in f"{caught.value.message} {caught.value.hint}"


REGIONS = {
    "neither": ("", "", "api.twilio.com"),
    "us1": ("us1", "", "api.twilio.com"),
    "ie1": ("ie1", "", "api.dublin.ie1.twilio.com"),
    "au1, in capitals": (" AU1 ", "", "api.sydney.au1.twilio.com"),
    "region and edge": ("ie1", "ashburn", "api.ashburn.ie1.twilio.com"),
    "another region with its edge": ("jp1", "tokyo", "api.tokyo.jp1.twilio.com"),
    "edge alone": ("", "dublin", "api.dublin.us1.twilio.com"),
    "us1 with an edge": ("us1", "umatilla", "api.umatilla.us1.twilio.com"),
}


@pytest.mark.parametrize("name", REGIONS)
def test_regions_and_edges_of_the_environment(name: str) -> None:
    """A region is completed by its edge."""
    region, edge, host = REGIONS[name]
    environ = {"TWILIO_REGION": region, "TWILIO_EDGE": edge}
    assert resolve_base_url(None, environ) == BaseUrl("https", host, 443)


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({"TWILIO_REGION": "jp1"}, "whose edge is not known"),
        ({"TWILIO_REGION": "ie1.evil.example/"}, "TWILIO_REGION is not a name"),
        ({"TWILIO_REGION": "ie1", "TWILIO_EDGE": "a.b"}, "TWILIO_EDGE is not a name"),
    ],
)
def test_a_region_that_cannot_be_completed(environ: dict[str, str], why: str) -> None:
    """It is refused rather than guessed."""
    with pytest.raises(TransportError, match=why):
        resolve_base_url(None, environ)


def test_nothing_given_is_us1() -> None:
    """The vendor's default."""
    assert resolve_base_url(None, {}).origin == "https://api.twilio.com"


@given(st.text() | st.from_regex(r"https?://[a-z.:@/\\\[\]%?#0-9-]{0,30}"))
def test_no_text_gets_past_the_rules(text: str) -> None:
    """Whatever is accepted is a host alone, and in the clear only on loopback."""
    try:
        base = resolve_base_url(text, {})
    except TransportError:
        return
    assert base.is_tls or base.host in ("localhost", "::1") or base.host.startswith("127.")
    assert not set("/\\@?# ") & set(base.host)
    assert resolve_base_url(base.origin, {}) == base
