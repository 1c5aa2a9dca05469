"""Client: pointsman's own `Transport`."""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeAlias

from pointsman.core.errors import UpstreamConnect, UpstreamTimeout
from pointsman.providers.addresses import LookUp, PrivateAddress, look_up
from pointsman.providers.http1.connection import Connection
from pointsman.providers.http1.dialing import Dialer
from pointsman.providers.http1.names import Names
from pointsman.providers.http1.pool import Pool
from pointsman.providers.http1.proxies import Proxies, Proxy
from pointsman.providers.http1.writing import Target, read_target, request_head

# Connections that differ in any of these never stand in for each other: scheme, host, port, whether
# it may be private, and the proxy.
_Key: TypeAlias = tuple[str, str, int, bool, Proxy | None]
_NO_PROXIES = Proxies()


class Http1Client:
    """Posts over connections that it keeps. `connect_s`: until one is open, TLS included."""

    def __init__(
        self, *, connect_s: float, look_up: LookUp = look_up, proxies: Proxies = _NO_PROXIES
    ) -> None:
        self._connect_s = connect_s
        self._look_up = look_up
        self._proxies = proxies
        self._pool = Pool()
        self._dialer = Dialer(Names(look_up))

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        is_private: bool,
        deadline_s: float,
    ) -> "Http1Reply":
        """Send a body and return the reply as soon as its headers have come."""
        try:
            to = read_target(url)
            proxy = self._proxies.find(to, is_private=is_private)
            is_absolute = proxy is not None and not to.is_tls
            sent: Mapping[str, str] = headers
            if is_absolute and proxy is not None and proxy.authorization:
                sent = {**headers, "proxy-authorization": proxy.authorization}
            head = request_head(to, sent.items(), len(body), is_absolute=is_absolute)
        except ValueError as error:
            raise UpstreamConnect(
                f"its base_url or key cannot be sent ({type(error).__name__})"
            ) from error
        loop = asyncio.get_running_loop()
        key = (to.scheme, to.host, to.port, is_private, proxy)
        connection = self._pool.take(key, loop.time())
        if connection is None:
            connection = self._pool.made(loop)
            try:
                await self._dial(connection, to, proxy, is_private, deadline_s)
            except BaseException:
                connection.abort()
                raise
        try:
            connection.send(head, body)
            await connection.reply_begun(deadline_s)
        except BaseException:  # the caller has gone, or the reply is none: nobody reads on
            connection.abort()
            raise
        return Http1Reply(self._pool, key, connection)

    async def close(self) -> None:
        """Close all connections, and forget where names led; the next call begins anew."""
        self._pool.close()
        self._dialer = Dialer(Names(self._look_up))

    async def _dial(
        self,
        connection: Connection,
        to: Target,
        proxy: Proxy | None,
        is_private: bool,
        deadline_s: float,
    ) -> None:
        loop = asyncio.get_running_loop()
        limit_s = loop.time() + self._connect_s
        try:
            async with asyncio.timeout_at(min(limit_s, deadline_s)):
                await self._dialer.dial(connection, to, proxy, is_private=is_private)
        except TimeoutError as error:
            if deadline_s < limit_s:
                raise UpstreamTimeout("no reply began in time") from error
            raise UpstreamConnect(f"no connection within {self._connect_s} s") from error
        except (OSError, UnicodeError) as error:
            whom = f"{proxy.name}'s proxy" if proxy is not None else f"{to.host}:{to.port}"
            raise UpstreamConnect(f"cannot connect to {whom}: {_reason(error)}") from error


class Http1Reply:
    """One reply of `Http1Client`."""

    __slots__ = ("_connection", "_headers", "_key", "_pool", "at_hand", "read", "status")

    def __init__(self, pool: Pool, key: _Key, connection: Connection) -> None:
        self._pool = pool
        self._key = key
        self._connection: Connection | None = connection
        self._headers = connection.reading.headers
        self.status = connection.reading.status
        # The connection's own, as long as it is ours: nothing is to stand between.
        self.at_hand: Callable[[], bytes | None] = connection.at_hand
        self.read: Callable[[float], Coroutine[Any, Any, bytes]] = connection.read

    def header(self, name: str) -> str | None:
        """Return the first header of a name."""
        value = self._headers.get(name.encode("ascii"))
        return None if value is None else value.decode("latin-1")

    def close(self) -> None:
        """Give the connection back where the reply is whole, else cut it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self.at_hand, self.read = _nothing, _nothing_later
            self._pool.give_back(self._key, connection)


def _nothing() -> bytes:
    return b""


async def _nothing_later(deadline_s: float) -> bytes:
    del deadline_s
    return b""


def _reason(error: OSError | UnicodeError) -> str:
    """Return what an error says, without the addresses that a name leads to."""
    match error:
        case ssl.SSLError():
            return str(error)
        case PrivateAddress() | socket.gaierror():
            return error.strerror or type(error).__name__
        case OSError():
            return os.strerror(error.errno) if error.errno else type(error).__name__
        case _:
            return "that is no name of a host"
