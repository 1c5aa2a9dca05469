"""Proxies: which proxy of the environment a call goes through, if any.

There is no standard, so this is what curl does, with three exceptions. Upper case is read too, also
of `http_proxy`: we are no CGI script, for which a client could set it. An entry of `NO_PROXY` may
end in a port. And a loopback address never goes through a proxy, whose own it would be, nor does
any other that is not public and stands in a `base_url` itself, where no `private = true` says that
all goes as the environment has it.
Source: curl's manual, "Environment" and --noproxy, and libcurl's CURLOPT_NOPROXY; the loopback and
the port as in golang.org/x/net/http/httpproxy; read 2026-11-23.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

from pointsman.core.errors import UpstreamConnect
from pointsman.providers.addresses import is_address, is_public
from pointsman.providers.http1.writing import Target

_LOCALHOST = "localhost"
_PORT = 80


@dataclass(frozen=True, slots=True)
class Proxy:
    """`authorization`: what it is shown, "" for nothing. `fault`: why it cannot be used."""

    name: str
    host: str = ""
    port: int = _PORT
    authorization: str = field(default="", repr=False)
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Proxies:
    """`by_scheme`: of what is called. `direct`: entries of NO_PROXY, in small letters."""

    by_scheme: Mapping[str, Proxy] = field(default_factory=dict)
    direct: tuple[str, ...] = ()

    def find(self, to: Target, *, is_private: bool) -> Proxy | None:
        """Return the proxy for a target, None for none. Raises UpstreamConnect for an unusable one.

        `is_private`: whether the target's name may lead to an address that is not public.
        """
        proxy = self.by_scheme.get(to.scheme)
        if proxy is None or _is_near(to.host, is_private=is_private) or self._is_direct(to):
            return None
        if proxy.fault:
            raise UpstreamConnect(f"{proxy.name} {proxy.fault}")
        return proxy

    def _is_direct(self, to: Target) -> bool:
        return any(_covers(entry, to) for entry in self.direct)


def read_proxies(env: Mapping[str, str]) -> Proxies:
    """Return the proxies of an environment. What is wrong with one is told where it is needed."""
    found = {}
    for scheme in ("http", "https"):
        for name in (f"{scheme}_proxy", "all_proxy"):
            if value := _value(env, name):
                found[scheme] = _read(name.upper(), value)
                break
    entries = (entry.strip().lower() for entry in _value(env, "no_proxy").split(","))
    return Proxies(found, tuple(entry for entry in entries if entry))


def _value(env: Mapping[str, str], name: str) -> str:
    return (env.get(name) or env.get(name.upper()) or "").strip()


def _read(name: str, value: str) -> Proxy:
    """Read a proxy's address; nothing of it is repeated, for it may hold a password."""
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = parts.hostname, parts.port or _PORT
    except ValueError:
        host, port, parts = None, _PORT, urlsplit("")
    if host is None:
        return Proxy(name, fault="is no address of a proxy; set it to http://host:port")
    if parts.scheme != "http":
        return Proxy(
            name,
            fault="names a proxy that is not spoken to over http://; set one that is, or add the"
            " upstream's host to NO_PROXY",
        )
    authorization = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"
    return Proxy(name, host, port, authorization)


def _is_near(host: str, *, is_private: bool) -> bool:
    """Return whether a host is not to be asked of a proxy, whatever NO_PROXY says."""
    if host.rstrip(".") == _LOCALHOST:
        return True
    if not is_address(host):
        return False
    return ip_address(host).is_loopback or not (is_private or is_public(host))


def _covers(entry: str, to: Target) -> bool:
    """Return whether an entry of NO_PROXY is a target's host, a domain above it, or its network."""
    if entry == "*":
        return True
    name, _, port = entry.rpartition(":")
    if name and port.isdecimal() and (name.endswith("]") or ":" not in name):
        if int(port) != to.port:
            return False
        entry = name
    entry, host = entry.strip("[]"), to.host.rstrip(".")
    if is_address(host):
        try:
            return ip_address(host) in ip_network(entry, strict=False)
        except ValueError:
            return False
    domain = entry.removeprefix("*").lstrip(".").rstrip(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))
