"""Dialing: opens connections: to an address that was checked, over TLS that is verified."""

import asyncio
import socket
import ssl
from asyncio import BaseProtocol
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest

from pointsman.core.errors import UpstreamConnect
from pointsman.providers.addresses import Found
from pointsman.providers.http1.connection import Connection
from pointsman.providers.http1.names import Names
from pointsman.providers.http1.proxies import Proxy
from pointsman.providers.http1.tunnel import Tunnel
from pointsman.providers.http1.writing import Target, connect_head

# Source: RFC 8305, section 8: 250 ms before the next address is tried beside the last one.
NEXT_ADDRESS_S = 0.25
_ADDRESSES_MAX = 8


class Dialer:
    """Opens connections for one loop."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._tls: ssl.SSLContext | None = None

    async def dial(
        self, connection: Connection, to: Target, proxy: Proxy | None, *, is_private: bool
    ) -> None:
        """Connect to a target, through a proxy where one is given.

        Who runs the proxy looks the target's name up, and answers for where it leads. Raises
        UpstreamConnect, OSError, ssl.SSLError among them, and UnicodeError.
        """
        loop = asyncio.get_running_loop()
        if proxy is None:
            found = await self._names.find(to.host, to.port, is_private=is_private)
        else:
            found = await self._names.find(proxy.host, proxy.port, is_private=True)
        tls = await self._verifying() if to.is_tls else None
        name = to.host.rstrip(".") if to.is_tls else None
        sock = await connected(found)
        if proxy is None or tls is None:
            await _adopt(sock, connection, tls=tls, name=name)
            return
        tunnel = Tunnel(loop)
        transport = await _adopt(sock, tunnel)
        try:
            await tunnel.open(connect_head(to, proxy.authorization))
            secured = await loop.start_tls(transport, connection, tls, server_hostname=name)
        except BaseException:  # one that is cancelled too: nobody else has the transport
            transport.abort()
            raise
        if secured is None:
            raise UpstreamConnect("the proxy hung up")
        connection.connection_made(secured)

    async def _verifying(self) -> ssl.SSLContext:
        """Return what verifies chains, names and times; reading all certificates takes a while."""
        if self._tls is None:
            self._tls = await asyncio.to_thread(_tls)
        return self._tls


async def connected(found: Sequence[Found]) -> socket.socket:
    """Return a socket connected to one of the addresses: the first that answers.

    The next address gets its turn when one has failed or is slow. Raises OSError.
    """
    if len(found) == 1:
        return await _connect(found[0])
    waiting = list(_by_turns(found))[:_ADDRESSES_MAX]
    trying: set[asyncio.Task[socket.socket]] = set()
    error: BaseException = OSError("the name leads nowhere")
    try:
        while waiting or trying:
            if waiting:
                trying.add(asyncio.create_task(_connect(waiting.pop(0))))
            limit_s = NEXT_ADDRESS_S if waiting else None
            done, trying = await asyncio.wait(
                trying, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                if (failed := task.exception()) is None:
                    trying |= done - {task}
                    return task.result()
                error = failed
    finally:
        for task in trying:
            task.cancel()
            task.add_done_callback(_close_late)
    raise error


async def _adopt(
    sock: socket.socket,
    protocol: BaseProtocol,
    *,
    tls: ssl.SSLContext | None = None,
    name: str | None = None,
) -> asyncio.Transport:
    """Have the loop drive a connected socket. It closes the socket, from the first call on."""
    is_taken = False

    def take() -> BaseProtocol:
        nonlocal is_taken
        is_taken = True
        return protocol

    loop = asyncio.get_running_loop()
    try:
        transport, _ = await loop.create_connection(take, sock=sock, ssl=tls, server_hostname=name)
    except BaseException:  # one that is cancelled too, which may be before the loop has the socket
        if not is_taken:
            sock.close()
        raise
    return transport


def _by_turns(found: Sequence[Found]) -> Iterable[Found]:
    """Return addresses with the families by turns, that of the first one first."""
    first = [one for one in found if one.family == found[0].family] if found else []
    others = [one for one in found if one.family != found[0].family]
    pairs = chain.from_iterable(zip_longest(first, others))
    return (one for one in pairs if one is not None)


async def _connect(found: Found) -> socket.socket:
    sock = socket.socket(found.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await asyncio.get_running_loop().sock_connect(sock, found.sockaddr)
    except BaseException:  # one that is cancelled too, as soon as another address has answered
        sock.close()
        raise
    return sock


def _close_late(task: "asyncio.Task[socket.socket]") -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
