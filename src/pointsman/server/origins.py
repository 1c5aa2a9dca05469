"""Origins: who may speak to a server that trusts whoever reaches it, and that a web page may not.

A page in the user's own browser reaches 127.0.0.1 as well as the user does. Two headers that a page
cannot choose give it away: `Origin` (with `Sec-Fetch-Site`), and `Host`, which stays the page's own
name where that has been made to resolve to this machine (DNS rebinding).
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

import msgspec

from pointsman.core.errors import OriginRefused

# RFC 9110, section 7.2: a host and, where it is not the scheme's own, a port.
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?")
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)")
_PORTS = {"http": "80", "https": "443"}
_SHOWN_CHARS = 100


class Origins(msgspec.Struct, frozen=True, kw_only=True):
    """The names under which this server may be called, and the pages that may call it.

    `hosts` None: any name, as on an address that others reach by names we do not know; there every
    request needs a key, which no page of a stranger has.
    """

    hosts: frozenset[str] | None = frozenset()
    pages: frozenset[str] = frozenset()

    def check(self, headers: Mapping[str, str]) -> None:
        """Raise OriginRefused for what a web page sent, or sent under a name that is not ours.

        A request without a Host is none of HTTP/1.1, so no browser's.
        """
        host = headers.get("host", "").lower()
        if host and self.hosts is not None and not _is_named(host, self.hosts):
            raise OriginRefused(
                f'this server is not called "{host[:_SHOWN_CHARS]}"; call it localhost or'
                " 127.0.0.1, or add the name to [server] hosts"
            )
        if "origin" not in headers and "sec-fetch-site" not in headers:
            return
        origin = headers.get("origin", "").lower()
        if origin in self.pages and origin:
            return
        if origin and not is_same(origin, host):
            raise OriginRefused(
                f'a web page of "{origin[:_SHOWN_CHARS]}" may not call this server;'
                " add its origin to [server] origins to let it in"
            )
        if not origin and headers.get("sec-fetch-site", "").lower() == "cross-site":
            raise OriginRefused("a web page of another site may not call this server")


def origins_of(listening: str, hosts: Iterable[str], pages: Iterable[str]) -> Origins:
    """Return what holds for a server that listens on the address or name `listening`.

    `hosts`: names by which it is called besides its own; where it is no loopback address and none
    are given, any name will do.
    """
    given = frozenset(host.lower() for host in hosts)
    let_in = frozenset(page.lower().rstrip("/") for page in pages)
    if not given and not is_loopback(listening):
        return Origins(hosts=None, pages=let_in)
    own = listening.lower()
    own = f"[{own.strip('[]')}]" if ":" in own else own
    return Origins(hosts=given | {own}, pages=let_in)


@lru_cache(maxsize=128)
def _is_named(host: str, names: frozenset[str]) -> bool:
    """Return whether a Host, in lower case, has one of the names, or can be only this machine."""
    found = _AUTHORITY.fullmatch(host)
    return found is not None and (found[1] in names or is_loopback(found[1]))


def is_loopback(host: str) -> bool:
    """Return whether a host (IPv6 with or without brackets) can be no machine but this one.

    A name with a dot after it, or below localhost, is left out: some resolvers ask the network.
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_same(origin: str, host: str) -> bool:
    """Return whether a page of `origin` was served under the very name and port of `host`."""
    found = _ORIGIN.fullmatch(origin)
    if found is None or found[1] not in _PORTS:
        return False
    port = _PORTS[found[1]]
    return _with_port(found[2], port) == _with_port(host, port) != ""


def _with_port(authority: str, port: str) -> str:
    found = _AUTHORITY.fullmatch(authority)
    return f"{found[1]}:{found[2] or port}" if found else ""
