"""HTTP body: a reply's, piece by piece, within its limits of time and size."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from pointsman.core.errors import UpstreamError, UpstreamTooLarge
from pointsman.providers.inflate import Inflater
from pointsman.providers.transport import Reply

REPLY_BYTES_MAX = 64 * 1024 * 1024
DRAIN_S = 0.25


class BodyReader:
    """Reads a reply's body piece by piece.

    `left_s`: for how much longer to wait for the upstream, in all. May be set anew while it reads;
    the time that our own reader takes between two pieces does not count.
    """

    def __init__(self, reply: Reply, *, left_s: float) -> None:
        self.left_s = left_s
        self._reply = reply
        self._encoding = reply.header("content-encoding") or ""
        self.is_encoded = bool(self._encoding)
        self._loop = asyncio.get_running_loop()
        self._since_s = 0.0
        self._inflater: Inflater | None = None
        self._plain: deque[bytes] = deque()
        self._total = 0

    async def piece(self) -> bytes:
        """Return what has come, b"" at the end.

        Raises UpstreamTimeout when no time is left, UpstreamReset, UpstreamBadResponse, and
        UpstreamTooLarge.
        """
        piece = await (self._inflated() if self.is_encoded else self._sent())
        self.count(piece)
        return piece

    def at_hand(self) -> bytes | None:
        """Return what has come, b"" at the end, None where one has to wait for more.

        Only of a body that is not encoded. Raises UpstreamReset, and UpstreamTooLarge.
        """
        if piece := self._reply.at_hand():
            self.count(piece)
        return piece

    async def flow(self, taker: Callable[[bytes], bool]) -> None:
        """Wait for more; give `taker` what comes, until it says that this is enough.

        Perhaps without giving it. Only of a body that is not encoded, where nothing is at hand.
        What it is given it counts by `count`. Raises UpstreamTimeout when no time is left.
        """
        self._since_s = self._loop.time()
        try:
            await self._reply.flow(taker, self._due_s)
        finally:
            self.left_s -= self._loop.time() - self._since_s

    def give_time(self, left_s: float) -> None:
        """Wait for so long from now on."""
        self.left_s, self._since_s = left_s, self._loop.time()

    def count(self, piece: bytes, left_s: float | None = None) -> None:
        """Note that a piece has come, and for how long to wait from now on, where that is stated.

        Raises UpstreamTooLarge.
        """
        self._total += len(piece)
        if self._total > REPLY_BYTES_MAX:
            raise _too_large()
        if left_s is not None:
            self.left_s, self._since_s = left_s, self._loop.time()

    def _due_s(self) -> float:
        return self._since_s + self.left_s

    async def _inflated(self) -> bytes:
        """Return what has come, out of its Content-Encoding."""
        if self._inflater is None:
            self._inflater = Inflater(self._encoding)
        while not self._plain and (sent := await self._sent()):
            self._plain.extend(self._inflater.feed(sent))
        return self._plain.popleft() if self._plain else b""

    async def _sent(self) -> bytes:
        """Return what has come over the wire, b"" at the end."""
        sent = self._reply.at_hand()
        if sent is None:
            began_s = self._loop.time()
            sent = await self._reply.read(began_s + self.left_s)
            self.left_s -= self._loop.time() - began_s
        return sent

    async def whole(self) -> bytes:
        """Return the body to its end. Raises as `piece` does."""
        pieces: list[bytes] = []
        while True:
            piece = None if self.is_encoded else self.at_hand()
            if piece is None:
                piece = await self.piece()
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)

    async def drain(self) -> None:
        """Read the body's end, where it comes soon: only then can its connection be used again."""
        self.left_s = DRAIN_S
        with suppress(UpstreamError):
            while await self.piece():
                pass


def _too_large() -> UpstreamTooLarge:
    """Return the error of a body that is longer than any answer."""
    return UpstreamTooLarge(f"the upstream's answer is over {REPLY_BYTES_MAX} bytes")
