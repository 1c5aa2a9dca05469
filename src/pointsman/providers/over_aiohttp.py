"""Over aiohttp: the other `Transport`, for whoever meets a fault of pointsman's own.

It knows no proxies.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from pointsman.core.errors import (
    UpstreamBadResponse,
    UpstreamConnect,
    UpstreamReset,
    UpstreamTimeout,
)
from pointsman.providers.addresses import LookUp, look_up, look_up_public
from pointsman.providers.connections import Connector
from pointsman.providers.transport import PIECE_BYTES


class AiohttpClient:
    """Posts over aiohttp's pool. `connect_s`: until a connection is open, TLS included."""

    def __init__(self, *, connect_s: float, look_up: LookUp = look_up) -> None:
        self._connect_s = connect_s
        self._look_up = look_up
        # By whether they may lead to addresses that are not public: those share no connections.
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        is_private: bool,
        deadline_s: float,
    ) -> "AiohttpReply":
        """Send a body and return the reply as soon as its headers have come."""
        try:
            async with asyncio.timeout_at(deadline_s):
                response = await self._session(is_private=is_private).post(
                    url, data=body, headers=headers, allow_redirects=False
                )
        except aiohttp.ConnectionTimeoutError as error:
            raise UpstreamConnect(f"no connection within {self._connect_s} s") from error
        except TimeoutError as error:
            raise UpstreamTimeout("no reply began in time") from error
        except (aiohttp.ClientConnectorError, ssl.SSLError) as error:
            raise UpstreamConnect(_reason(error)) from error
        except aiohttp.ClientResponseError as error:
            # What it has sent instead is not told: it may repeat the request, our key with it.
            raise UpstreamBadResponse("the reply is not HTTP") from error
        except (
            ValueError,
            aiohttp.NonHttpUrlClientError,
        ) as error:  # a base_url or a key that no request can carry
            raise UpstreamConnect(
                f"its base_url or key cannot be sent ({type(error).__name__})"
            ) from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise UpstreamReset(f"the connection broke before a reply: {_reason(error)}") from error
        return AiohttpReply(response)

    async def close(self) -> None:
        """Close all connections; the next call opens new ones."""
        while self._sessions:
            await self._sessions.popitem()[1].close()

    def _session(self, *, is_private: bool) -> aiohttp.ClientSession:
        if is_private not in self._sessions:
            self._sessions[is_private] = aiohttp.ClientSession(
                connector=Connector(
                    limit=0,
                    ttl_dns_cache=60,
                    resolver=_Resolver(self._look_up, is_private=is_private),
                ),
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    connect=self._connect_s,
                    sock_connect=self._connect_s,
                    sock_read=None,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("user-agent", "accept"),
                auto_decompress=False,
                read_bufsize=PIECE_BYTES,
            )
        return self._sessions[is_private]


class AiohttpReply:
    """One reply of `AiohttpClient`."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self._response = response
        self._at_hand: bytes | None = None

    def header(self, name: str) -> str | None:
        """Return the first header of a name."""
        return self._response.headers.get(name)

    def at_hand(self) -> bytes | None:
        """Return what `flow` has waited for, else None: one has to wait to see."""
        piece, self._at_hand = self._at_hand, None
        return piece

    async def read(self, deadline_s: float) -> bytes:
        """Wait for more of the body and return it, b"" at its end."""
        try:
            async with asyncio.timeout_at(deadline_s):
                return await self._response.content.read(PIECE_BYTES)
        except TimeoutError as error:
            raise UpstreamTimeout("the upstream went silent in its answer") from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise UpstreamReset(
                f"the upstream broke off in its answer: {_reason(error)}"
            ) from error

    async def flow(self, taker: Callable[[bytes], bool], due_s: Callable[[], float]) -> None:
        """Wait for more of the body, and have it at hand."""
        del taker
        self._at_hand = await self.read(due_s())

    def close(self) -> None:
        """Let go of the connection; aiohttp keeps that of a reply that was read to its end."""
        self._response.close()


class _Resolver(AbstractResolver):
    """Looks names up as the other transport does, and checks what is found as it does."""

    def __init__(self, found_by: LookUp, *, is_private: bool) -> None:
        self._found_by = found_by
        self._is_private = is_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a name. Raises PrivateAddress, and OSError as any resolver."""
        if self._is_private:
            found = await self._found_by(host, port)
        else:
            found = await look_up_public(self._found_by, host, port)
        return [
            ResolveResult(
                hostname=host,
                host=_literal(one.sockaddr),
                port=one.sockaddr[1],
                family=one.family,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for one in found
            if family in (socket.AF_UNSPEC, one.family)
        ]

    async def close(self) -> None:
        """Have nothing to close."""


def _literal(sockaddr: tuple[object, ...]) -> str:
    """Return an address with the interface that a local one is reached by."""
    interface = sockaddr[3] if len(sockaddr) == 4 else 0
    return f"{sockaddr[0]}%{interface}" if interface else str(sockaddr[0])


def _reason(error: BaseException) -> str:
    """Return what an error says without any URL's query, which is where secrets would hide."""
    return str(error).partition("?")[0] or type(error).__name__
