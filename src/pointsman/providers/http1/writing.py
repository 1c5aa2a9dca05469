"""Writing: the bytes of a request's head. Nothing gets into it but what belongs there.

Source: RFC 9112, sections 3.2 (a request's target, Host) and 6; RFC 9110, section 5 (fields).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from pointsman.providers.addresses import is_address

_PORTS = {"http": 80, "https": 443}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HOST = re.compile(r"[A-Za-z0-9._-]+")
# What a URL may hold as it is (RFC 3986, section 3.3), `%` included: it begins what is quoted.
_PATH_CHARACTERS = "/:@!$&'()*+,;=~-._?%"
# Ours to say, for they decide where a request ends and who it is for.
_FRAMING = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te"})


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads. `authority`: host and port as the Host header has them."""

    scheme: str
    host: str
    port: int
    authority: str
    path: str

    @property
    def is_tls(self) -> bool:
        """Return whether it is spoken to over TLS."""
        return self.scheme == "https"

    @property
    def absolute(self) -> str:
        """Return the whole URL, for a proxy."""
        return f"{self.scheme}://{self.authority}{self.path}"


def read_target(url: str) -> Target:
    """Return where a URL leads. Raises ValueError for one that no request can be made of."""
    parts = urlsplit(url)
    port = parts.port
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc or parts.fragment:
        raise ValueError("not an http or https URL of a host alone")
    if _CONTROL.search(url) or " " in url:
        raise ValueError("a URL holds neither blanks nor control characters")
    host = _host(parts.hostname)
    named = f"[{host}]" if ":" in host else host
    path = quote(parts.path or "/", safe=_PATH_CHARACTERS)
    if parts.query:
        path += "?" + quote(parts.query, safe=_PATH_CHARACTERS)
    return Target(
        scheme=parts.scheme,
        host=host,
        port=port or _PORTS[parts.scheme],
        authority=f"{named}:{port}" if port else named,
        path=path,
    )


def head_opening(
    to: Target, headers: Iterable[tuple[str, str]], *, is_absolute: bool = False
) -> bytes:
    """Return a POST's head up to what differs between two calls: the length of the body.

    `is_absolute`: it goes to a proxy, which is told the whole URL. Raises ValueError for a header
    that could not be sent, or would change what is.
    """
    lines = [f"POST {to.absolute if is_absolute else to.path} HTTP/1.1", f"host: {to.authority}"]
    for name, value in headers:
        if not _TOKEN.fullmatch(name) or name.lower() in _FRAMING or _CONTROL.search(value):
            raise ValueError("a header that no request can carry")
        lines.append(f"{name}: {value.strip()}")
    return "\r\n".join([*lines, "content-length: "]).encode()


def whole_head(opening: bytes, body_bytes: int) -> bytes:
    """Return the head that begins so, for a body of that length."""
    return b"%b%d\r\n\r\n" % (opening, body_bytes)


def connect_head(to: Target, authorization: str) -> bytes:
    """Return the head that asks a proxy for a connection to a target (RFC 9110, section 9.3.6)."""
    named = f"[{to.host}]" if ":" in to.host else to.host
    secret = f"proxy-authorization: {authorization}\r\n" if authorization else ""
    line = f"CONNECT {named}:{to.port} HTTP/1.1\r\nhost: {named}:{to.port}\r\n"
    return f"{line}{secret}\r\n".encode()


def _host(name: str) -> str:
    """Return a host as the network knows it. Raises ValueError for what is none.

    An address stands there in its own letters or not at all: `①` would else name one unseen.
    """
    if is_address(name):
        return str(ip_address(name))
    ascii_name = name if name.isascii() else name.encode("idna").decode("ascii")
    if not _HOST.fullmatch(ascii_name) or is_address(ascii_name):
        raise ValueError("no name of a host")
    return ascii_name.lower()
