"""Addresses: where a host's name may lead: to the public internet, or where its owner said.

A name's addresses come from whoever runs its zone, so they are checked where they are looked up,
and the connection goes to what was checked: a second look-up cannot lead it elsewhere.
Source: IANA's registries of special-purpose addresses, for IPv4 and IPv6, as Python's `ipaddress`
has them; RFC 6052, section 2.1 (64:ff9b::/96), RFC 3056 (2002::/16), RFC 4380 (2001::/32) and
RFC 4291, section 2.5.5.2 (::ffff:0:0/96) for addresses that hold another; read 2026-11-23.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, NamedTuple, TypeAlias

_HERE = "localhost"
_GLOBAL_UNICAST = IPv6Network("2000::/3")
# RFC 9637, of 2024: newer than the registry that older Pythons have.
_DOCUMENTATION = IPv6Network("3fff::/20")
_TRANSLATED = IPv6Network("64:ff9b::/96")

log = logging.getLogger("pointsman")


class PrivateAddress(OSError):
    """A host's name leads to an address that is not public, and nobody has said that it may."""


class Found(NamedTuple):
    """One of a name's addresses. `sockaddr`: as the family's sockets take it, the address first."""

    family: int
    sockaddr: tuple[Any, ...]


# Returns the addresses of a host's name, for connections to a port of it. Raises OSError.
LookUp: TypeAlias = Callable[[str, int], Awaitable[Sequence[Found]]]


async def look_up(host: str, port: int) -> list[Found]:
    """Ask the machine's own resolver for the addresses of a name."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [Found(family, sockaddr) for family, _, _, _, sockaddr in found]


async def look_up_public(found_by: LookUp, host: str, port: int) -> Sequence[Found]:
    """Return a name's addresses where all are public; of `localhost`, where all are loopback.

    Where one of them is neither, the name is refused as a whole. Raises OSError, PrivateAddress
    among them.
    """
    found = await found_by(host, port)
    for one in found:
        address = one.sockaddr[0]
        if not may_lead_to(host, address):
            log.warning("%s leads to %s, which is not public: refused", host, address)
            raise PrivateAddress(
                errno.EACCES,
                "the name leads to an address that is not public; if that is meant, set"
                " private = true in the provider's table, or name the address in its base_url",
            )
    return found


def is_address(host: str) -> bool:
    """Return whether a host is an address in its usual form, and no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def may_lead_to(host: str, address: str) -> bool:
    """Return whether a name may lead to that address."""
    if host.rstrip(".").lower() == _HERE:
        return _parsed(address).is_loopback
    return is_public(address)


def is_public(address: str) -> bool:
    """Return whether an address is one of the public internet, in whatever form it is written."""
    parsed = _parsed(address)
    if isinstance(parsed, IPv4Address):
        return parsed.is_global and not parsed.is_multicast
    if parsed in _TRANSLATED:
        return is_public(str(IPv4Address(int(parsed) & 0xFFFFFFFF)))
    if parsed.teredo is not None:
        return False
    if parsed.sixtofour is not None:
        return is_public(str(parsed.sixtofour))
    is_unicast = parsed in _GLOBAL_UNICAST and parsed not in _DOCUMENTATION
    return is_unicast and parsed.is_global


def _parsed(address: str) -> IPv4Address | IPv6Address:
    parsed = ip_address(address.partition("%")[0])  # after "%": the interface of a local one
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed
