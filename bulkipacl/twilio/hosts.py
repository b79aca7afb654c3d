"""Which host may be spoken to, and through which proxy.

A base URL is a scheme and a host, nothing more: everything else of a request's address is made
by the contract. What cannot be meant is refused with what to write instead; a host is never
silently replaced by another, because the token goes to it.

What this does not do: it resolves no name and opens nothing.

    BaseUrl             scheme, host and port, checked
    resolve_base_url    from a flag, or from TWILIO_REGION and TWILIO_EDGE
    Proxy               where requests go through, and its own credential
    find_proxy          from HTTPS_PROXY and NO_PROXY
"""

from __future__ import annotations

import base64
import ipaddress
import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from bulkipacl.errors import TransportError
from bulkipacl.settings import DEFAULT_BASE_URL

_EDGE_OF_REGION = {"ie1": "dublin", "au1": "sydney"}
"""The edge to use with a region where none is named (vendor documentation)."""

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")
_PRINTABLE = re.compile(r"[!-~]+")
_SHORT_HOST = re.compile(r"api\.([a-z0-9-]+)\.twilio\.com\.?")
_DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """Scheme, host and port of the API.

    Attributes:
        scheme: https, or http for a loopback host.
        host: in lower case, without the brackets of an IPv6 address.
        port: always given.
    """

    scheme: str
    host: str
    port: int

    @property
    def is_tls(self) -> bool:
        """Whether requests travel encrypted."""
        return self.scheme == "https"

    @property
    def host_header(self) -> str:
        """The value of the Host header: a default port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """The whole as text, such as `https://api.twilio.com`."""
        return f"{self.scheme}://{self.host_header}"


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that tunnels to the API.

    Attributes:
        url: scheme, host and port, without a credential.
        authorization: the value of its Proxy-Authorization header, or "".
    """

    url: str
    authorization: str = field(default="", repr=False)


def resolve_base_url(base_url: str | None, environ: Mapping[str, str]) -> BaseUrl:
    """Where the API is: the flag if given, else by TWILIO_REGION and TWILIO_EDGE, else US1.

    Raises:
        TransportError: it cannot be meant, or the token would travel in the clear.
    """
    if base_url is not None:
        return _parse(base_url)
    region = environ.get("TWILIO_REGION", "").strip().lower()
    edge = environ.get("TWILIO_EDGE", "").strip().lower()
    for name, value in (("TWILIO_REGION", region), ("TWILIO_EDGE", edge)):
        if value and not _LABEL.fullmatch(value):
            raise TransportError(
                f"{name} is not a name", hint="such as ie1 (region), dublin (edge)"
            )
    if not edge and region in ("", "us1"):
        return _parse(DEFAULT_BASE_URL)
    if not edge:
        edge = _EDGE_OF_REGION.get(region, "")
        if not edge:
            raise TransportError(
                f"TWILIO_REGION is {region}, whose edge is not known here",
                hint="set TWILIO_EDGE too; the host is then api.EDGE.REGION.twilio.com",
            )
    return _parse(f"https://api.{edge}.{region or 'us1'}.twilio.com")


def find_proxy(base: BaseUrl) -> Proxy | None:
    """The proxy that the environment (on macOS and Windows the system, too) names for a host.

    Plain http goes to loopback only, so it never takes one.

    Raises:
        TransportError: the proxy's URL cannot be used.
    """
    if not base.is_tls:
        return None
    url = urllib.request.getproxies().get("https", "")
    if not url or urllib.request.proxy_bypass(base.host):
        return None
    # The value may hold a password, so no message shows it.
    parts = _split(url if "://" in url else f"http://{url}")
    if parts is None or parts.scheme not in _DEFAULT_PORTS or not _is_host(parts.hostname or ""):
        raise TransportError(
            "the proxy in HTTPS_PROXY cannot be used",
            hint="write http://HOST:PORT, or unset it; SOCKS is not supported",
        )
    authorization = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        authorization = "Basic " + base64.b64encode(pair).decode("ascii")
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    place = BaseUrl(parts.scheme, (parts.hostname or "").lower(), port)
    return Proxy(place.origin, authorization)


def _parse(text: str) -> BaseUrl:
    """Scheme and host of a base URL; one reason and one suggestion where it is not one."""
    # Before urlsplit, which silently drops line breaks and tabs.
    if not _PRINTABLE.fullmatch(text):
        raise _refused("is empty, or holds a space or a character outside ASCII", DEFAULT_BASE_URL)
    if "://" not in text:
        raise _refused("has no scheme", f"https://{text}" if "@" not in text else "https://HOST")
    parts = _split(text)
    if parts is None:
        raise _refused("has no valid host and port", "https://HOST or https://HOST:PORT")
    if parts.scheme not in _DEFAULT_PORTS:
        raise _refused("is neither https nor http", "https://HOST")
    # First of all that may be shown below: what stands before an @ is a secret.
    if "@" in parts.netloc:
        raise _refused("holds a credential", "it in the environment, or give --credentials FILE")
    host = (parts.hostname or "").lower()
    if not _is_host(host):
        raise _refused("has no valid host", "https://HOST")
    base = BaseUrl(parts.scheme, host, parts.port or _DEFAULT_PORTS[parts.scheme])
    if parts.path not in ("", "/") or "?" in text or "#" in text:
        raise _refused("has more than a scheme and a host", base.origin)
    if not base.is_tls and not _is_loopback(host):
        raise _refused(
            "would send the credential in the clear: http is for loopback only",
            f"https://{base.host}",
        )
    _check_region(host)
    return base


def _split(url: str) -> SplitResult | None:
    """The parts, or None where host or port is malformed."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if port == 0 or parts.netloc.endswith(":"):
        return None
    return parts


def _is_host(host: str) -> bool:
    if ":" in host:
        try:
            return "%" not in host and bool(ipaddress.IPv6Address(host))
        except ValueError:
            return False
    return len(host) <= 253 and _HOST.fullmatch(host) is not None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_region(host: str) -> None:
    """Refuse hosts with one of region and edge only: they stopped on 2026-04-28 (vendor)."""
    short = _SHORT_HOST.fullmatch(host)
    if short is None:
        return
    region = short[1]
    if region == "us1":
        instead = DEFAULT_BASE_URL
    else:
        instead = f"https://api.{_EDGE_OF_REGION.get(region, 'EDGE')}.{region}.twilio.com"
        if not re.fullmatch(r"[a-z]{2}\d", region):
            instead = f"https://api.{region}.REGION.twilio.com"
    raise TransportError(
        f"the base URL names {host}: hosts without both an edge and a region stopped answering "
        "on 2026-04-28",
        hint=f"write {instead}",
    )


def _refused(why: str, instead: str) -> TransportError:
    return TransportError(f"the base URL {why}", hint=f"write {instead}")
