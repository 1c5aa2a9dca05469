"""Transport: what carries a call to an upstream and its reply back. The provider sees no more."""

from collections.abc import Callable, Mapping
from typing import Literal, Protocol, TypeAlias

# pointsman's own, or aiohttp: slower, for whoever meets a fault of the other.
HttpClient: TypeAlias = Literal["own", "aiohttp"]

# How much of a body is given at once. A reader that stalls holds all of it.
PIECE_BYTES = 16 * 1024


class Reply(Protocol):
    """One reply, from its headers on. Whoever has it closes it."""

    status: int

    def header(self, name: str, /) -> str | None:
        """Return the first header of a name, which is written in small letters."""

    def at_hand(self) -> bytes | None:
        """Return what has come of the body, b"" at its end, None where one has to wait for more.

        At most `PIECE_BYTES`. Raises as `read` does.
        """

    async def read(self, deadline_s: float, /) -> bytes:
        """Wait for more of the body and return it, b"" at its end.

        `deadline_s`: of the loop's time. Raises UpstreamTimeout past it, and UpstreamReset where
        the body breaks off.
        """

    async def flow(self, taker: Callable[[bytes], bool], due_s: Callable[[], float], /) -> None:
        """Wait for more of the body, where nothing is at hand.

        `taker` may be given what comes; it returns whether to wait no longer, and never raises. Its
        deadline is what `due_s` says, in the loop's time: it may get later meanwhile. Raises
        UpstreamTimeout past it.
        """

    def close(self) -> None:
        """Give the connection back where the reply is whole, else cut it; once is enough."""


class Transport(Protocol):
    """Posts bodies. Follows no redirect, and verifies every certificate."""

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        is_private: bool,
        deadline_s: float,
    ) -> Reply:
        """Send a body and return the reply as soon as its headers have come.

        `is_private`: whether the host's name may lead to an address that is not public.
        `deadline_s`: of the loop's time, for the headers. Raises UpstreamConnect, UpstreamTimeout,
        UpstreamReset and UpstreamBadResponse.
        """

    async def close(self) -> None:
        """Close all connections; the next call opens new ones."""
