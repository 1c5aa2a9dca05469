"""Client: pointsman's own `Transport`."""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

from pointsman.core.errors import UpstreamConnect, UpstreamTimeout
from pointsman.providers.addresses import LookUp, PrivateAddress, look_up
from pointsman.providers.http1.connection import Connection
from pointsman.providers.http1.dialing import Dialer
from pointsman.providers.http1.names import Names
from pointsman.providers.http1.pool import Pool
from pointsman.providers.http1.proxies import Proxies, Proxy
from pointsman.providers.http1.writing import Target, head_opening, read_target, whole_head

_NO_PROXIES = Proxies()
# So many calls that differ in their URL or a header are kept as they are sent.
_PREPARED_MAX = 256

_Headers: TypeAlias = tuple[tuple[str, str], ...]
_Flow: TypeAlias = Callable[
    [Callable[[bytes], bool], Callable[[], float]], Coroutine[Any, Any, None]
]


@dataclass(frozen=True, slots=True)
class _Call:
    """All of a call that does not change from one to the next. `waiting`: connections for it."""

    to: Target
    proxy: Proxy | None
    is_private: bool
    opening: bytes = field(repr=False)
    waiting: list[Connection]


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
        self._prepared = lru_cache(maxsize=_PREPARED_MAX)(self._prepare)

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
            call = self._prepared(url, tuple(headers.items()), is_private)
        except ValueError as error:
            raise UpstreamConnect(
                f"its base_url or key cannot be sent ({type(error).__name__})"
            ) from error
        loop = asyncio.get_running_loop()
        connection = self._pool.take(call.waiting, loop.time())
        if connection is None:
            connection = await self._dialed(call, loop, deadline_s)
        try:
            connection.send(whole_head(call.opening, len(body)), body)
            while not connection.has_begun():
                await connection.arrival(deadline_s)
        except BaseException:  # the caller has gone, or the reply is none: nobody reads on
            connection.abort()
            raise
        return Http1Reply(self._pool, call.waiting, connection)

    async def close(self) -> None:
        """Close all connections, and forget where names led; the next call begins anew."""
        self._pool.close()
        self._dialer = Dialer(Names(self._look_up))

    def _prepare(self, url: str, headers: _Headers, is_private: bool) -> _Call:
        """Return a call as it is sent. Raises UpstreamConnect, and ValueError for what cannot be.

        Connections that differ in scheme, host, port, proxy or whether they may lead to an address
        that is not public never stand in for each other.
        """
        to = read_target(url)
        proxy = self._proxies.find(to, is_private=is_private)
        is_told_all = proxy is not None and not to.is_tls
        if is_told_all and proxy is not None and proxy.authorization:
            headers = (*headers, ("proxy-authorization", proxy.authorization))
        opening = head_opening(to, headers, is_absolute=is_told_all)
        waiting = self._pool.waiting((to.scheme, to.host, to.port, is_private, proxy))
        return _Call(to, proxy, is_private, opening, waiting)

    async def _dialed(
        self, call: _Call, loop: asyncio.AbstractEventLoop, deadline_s: float
    ) -> Connection:
        """Return a new connection. Raises UpstreamConnect and UpstreamTimeout."""
        connection, proxy = self._pool.made(loop), call.proxy
        limit_s = loop.time() + self._connect_s
        try:
            async with asyncio.timeout_at(min(limit_s, deadline_s)):
                await self._dialer.dial(connection, call.to, proxy, is_private=call.is_private)
        except BaseException as error:
            connection.abort()
            match error:
                case TimeoutError() if deadline_s < limit_s:
                    raise UpstreamTimeout("no reply began in time") from error
                case TimeoutError():
                    raise UpstreamConnect(f"no connection within {self._connect_s} s") from error
                case OSError() | UnicodeError():
                    at = f"{call.to.host}:{call.to.port}"
                    whom = at if proxy is None else f"{proxy.name}'s proxy"
                    raise UpstreamConnect(f"cannot connect to {whom}: {_reason(error)}") from error
            raise
        return connection


class Http1Reply:
    """One reply of `Http1Client`."""

    __slots__ = (
        "_connection", "_headers", "_pool", "_waiting", "at_hand", "flow", "read",
        "status",
    )  # fmt: skip

    def __init__(self, pool: Pool, waiting: list[Connection], connection: Connection) -> None:
        self._pool = pool
        self._waiting = waiting
        self._connection: Connection | None = connection
        self._headers = connection.reading.headers
        self.status = connection.reading.status
        # The connection's own, as long as it is ours: nothing is to stand between.
        self.at_hand: Callable[[], bytes | None] = connection.at_hand
        self.read: Callable[[float], Coroutine[Any, Any, bytes]] = connection.read
        self.flow: _Flow = connection.flow

    def header(self, name: str) -> str | None:
        """Return the first header of a name."""
        value = self._headers.get(name.encode("ascii"))
        return None if value is None else value.decode("latin-1")

    def close(self) -> None:
        """Give the connection back where the reply is whole, else cut it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self.at_hand, self.read, self.flow = _nothing, _nothing_later, _no_flow
            self._pool.give_back(self._waiting, connection)


def _nothing() -> bytes:
    return b""


async def _nothing_later(deadline_s: float) -> bytes:
    del deadline_s
    return b""


async def _no_flow(taker: Callable[[bytes], bool], due_s: Callable[[], float]) -> None:
    del taker, due_s


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
