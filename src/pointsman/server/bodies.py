"""Bodies: gathers those of requests within their limits, from whatever brings them."""

import asyncio
from typing import Protocol

import msgspec

from pointsman.core.errors import (
    GatewayError,
    Overloaded,
    RequestTimeout,
    RequestTooLarge,
    UnsupportedMedia,
)
from pointsman.core.wire.limits import BODY_BYTES_MAX
from pointsman.server.parser import Head
from pointsman.server.shedding import WAIT_MAX_S

SHED_RETRY_AFTER_S = 1.0

# So much of a body may come before somebody asks for it.
_UNASKED_BYTES_MAX = 64 * 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much is taken on at once: requests, a body's bytes, those of all bodies in memory.

    `body_s`: how long a body may take to come. `wait_max_s`: see `server.shedding`.
    """

    in_flight_max: int = 5_000
    wait_max_s: float = WAIT_MAX_S
    body_bytes_max: int = BODY_BYTES_MAX
    bodies_bytes_max: int = 256 * 1024 * 1024
    body_s: float = 60.0


class Bodies:
    """How many bytes of bodies are in memory, all requests together."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._held = 0

    def take(self, total: int, before: int) -> None:
        """Make room for a body of `total` bytes that had room for `before`.

        Raises RequestTooLarge or Overloaded where there is none.
        """
        if total > self.limits.body_bytes_max:
            limit_mb = self.limits.body_bytes_max / 1024 / 1024
            raise RequestTooLarge(f"the body is over {limit_mb:g} MiB; send less")
        held = self._held + total - before
        if held > self.limits.bodies_bytes_max:
            raise Overloaded("too many bodies are in flight", retry_after_s=SHED_RETRY_AFTER_S)
        self._held = held

    def give(self, count: int) -> None:
        """Let go of bytes."""
        self._held -= count


class Source(Protocol):
    """What brings a body."""

    def go_on(self) -> None:
        """Have the client send the rest, and take it."""

    def hold(self) -> None:
        """Take no more for now."""


class Incoming:
    """A request as it comes in: its head, and its body as far as that has come.

    `is_excess`: it came on a connection beyond the limit, where only a probe is answered.
    `is_gone`: its client is.
    """

    is_excess = False
    is_gone = False
    is_whole = False
    # Whether its work ends when its client goes: an answer may be kept for who asks again.
    may_leave = True
    task: asyncio.Task[None] | None = None

    _waiting: asyncio.Future[None] | None = None
    _bodies: Bodies | None = None
    _size = 0
    _taken = 0
    _is_broken_off = False

    def __init__(self, head: Head, source: Source, body: bytes | None = None) -> None:
        """`body`: all of it, where that has come with the head."""
        self.head = head
        self._source = source
        self._pieces: list[bytes] = []
        if body is not None:
            self._pieces.append(body)
            self._size = len(body)
            self.is_whole = True

    @property
    def is_held_back(self) -> bool:
        """Return whether the client waits to be told to send the body, and has not been.

        Whether it sends it after a refusal nobody can tell: what comes next may be the body or
        another request. Source: RFC 9110, section 10.1.1.
        """
        return self._bodies is None and "expect" in self.head.headers

    # What the connection does.

    def feed(self, piece: bytes) -> None:
        """Take a piece of the body."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._bodies is None:
            if self._size > _UNASKED_BYTES_MAX:
                self._source.hold()
            return
        try:
            self._take(self._size)
        except GatewayError as error:
            self._fail(error)

    def end(self) -> None:
        """Note that the body is whole."""
        self.is_whole = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def hang_up(self) -> None:
        """Note that the client has gone, and end the work that nobody waits for."""
        self.is_gone = True
        if self.may_leave:
            self.break_off()

    # What the app does.

    def break_off(self) -> None:
        """End its work; once, for what is tidied up then is not to be broken off as well."""
        if self.task is not None and not self._is_broken_off:
            self._is_broken_off = True
            self.task.cancel()

    def whole(self, bodies: Bodies) -> bytes:
        """Return the body, which has come. Raises UnsupportedMedia, RequestTooLarge, Overloaded."""
        if self._bodies is None:
            self._begin(bodies)
        self._take(self._size)
        pieces, self._pieces = self._pieces, []  # of several it is a copy
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def read(self, bodies: Bodies) -> bytes:
        """Return the body once it is whole. Raises what `whole` does, and RequestTimeout."""
        if not self.is_whole:
            self._begin(bodies)
            self._take(max(self._size, int(self.head.headers.get("content-length", 0))))
            await self._rest(bodies.limits.body_s)
        return self.whole(bodies)

    def release(self) -> None:
        """Give back the room that the body took."""
        if self._bodies is not None:
            self._bodies.give(self._taken)
            self._taken = 0

    def _begin(self, bodies: Bodies) -> None:
        """Have what comes counted from now on. Raises UnsupportedMedia."""
        headers = self.head.headers
        if "content-encoding" in headers and headers["content-encoding"].lower() != "identity":
            raise UnsupportedMedia("Content-Encoding is not taken; send the body as it is")
        self._bodies = bodies

    async def _rest(self, limit_s: float) -> None:
        """Wait until the body is whole. Raises what is wrong with it."""
        loop = asyncio.get_running_loop()
        late = RequestTimeout(f"the body did not come within {limit_s:g} s")
        self._waiting = loop.create_future()
        timer = loop.call_later(limit_s, self._fail, late)
        self._source.go_on()
        try:
            await self._waiting
        finally:
            timer.cancel()

    def _take(self, total: int) -> None:
        """Make room for a body of `total` bytes. Raises RequestTooLarge or Overloaded."""
        assert self._bodies is not None, "nobody has asked for it"
        if total > self._taken:
            self._bodies.take(total, self._taken)
            self._taken = total

    def _fail(self, error: Exception) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)
