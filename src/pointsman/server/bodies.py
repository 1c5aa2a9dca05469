"""Bodies: reads those of requests within their limits, and minds who hangs up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import msgspec

from pointsman.core.errors import (
    Draining,
    Overloaded,
    RequestError,
    RequestTimeout,
    RequestTooLarge,
    UnsupportedMedia,
)
from pointsman.core.wire.limits import BODY_BYTES_MAX
from pointsman.server.shedding import WAIT_MAX_S

DRAIN_RETRY_AFTER_S = 1.0
SHED_RETRY_AFTER_S = 1.0
STOPPED = "the server has stopped"

_LENGTH_DIGITS_MAX = 18

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much is taken on at once: requests, a body's bytes, those of all bodies in memory.

    `body_s`: how long a body may take to come. `wait_max_s`: see `server.shedding`.
    """

    in_flight_max: int = 5_000
    wait_max_s: float = WAIT_MAX_S
    body_bytes_max: int = BODY_BYTES_MAX
    bodies_bytes_max: int = 256 * 1024 * 1024
    body_s: float = 60.0


class HungUp(Exception):
    """The client has gone; there is nobody to tell."""


class Bodies:
    """How many bytes of bodies are in memory, all requests together."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.is_stopped = False
        self._held = 0
        self._deadlines: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def coming(self) -> AsyncIterator[None]:
        """Give a body its time. Raises RequestTimeout when that is over, Draining on `stop`."""
        try:
            async with asyncio.timeout(self.limits.body_s) as deadline:
                self._deadlines.add(deadline)
                try:
                    yield
                finally:
                    self._deadlines.discard(deadline)
        except TimeoutError as error:
            if self.is_stopped:
                raise Draining(STOPPED, retry_after_s=DRAIN_RETRY_AFTER_S) from error
            text = f"the body did not come within {self.limits.body_s:g} s"
            raise RequestTimeout(text) from error

    def stop(self) -> None:
        """Wait for none of them any longer."""
        self.is_stopped = True
        for deadline in self._deadlines:
            deadline.reschedule(asyncio.get_running_loop().time())

    def take(self, count: int) -> None:
        """Make room for bytes. Raises Overloaded where there is none."""
        if self._held + count > self.limits.bodies_bytes_max:
            raise Overloaded("too many bodies are in flight", retry_after_s=SHED_RETRY_AFTER_S)
        self._held += count

    def give(self, count: int) -> None:
        """Let go of bytes."""
        self._held -= count


class Body:
    """Reads a request's body within its limits."""

    def __init__(self, headers: dict[str, str], receive: Receive, bodies: Bodies) -> None:
        self._headers = headers
        self._receive = receive
        self._bodies = bodies
        self._limits = bodies.limits
        self._taken = 0
        self._is_asked_for = False

    @property
    def is_held_back(self) -> bool:
        """Return whether the client waits to be told to send it, and has not been.

        Whether it sends it after a refusal nobody can tell: what comes next may be the body or
        another request. Source: RFC 9110, section 10.1.1.
        """
        return not self._is_asked_for and "expect" in self._headers

    async def read(self) -> bytes:
        """Return the body. Raises RequestError, Overloaded or HungUp."""
        self._take(self._stated_bytes())
        self._is_asked_for = True
        parts: list[bytes] = []
        total = 0
        async with self._bodies.coming():
            while True:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise HungUp
                part = message.get("body", b"")
                total += len(part)
                self._take(total)
                parts.append(part)
                if not message.get("more_body", False):
                    break
        return b"".join(parts)

    async def hung_up(self) -> None:
        """Wait until the client has gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def release(self) -> None:
        """Give back the room it took."""
        self._bodies.give(self._taken)
        self._taken = 0

    def _stated_bytes(self) -> int:
        """Return how large the body says it is. Raises where it may not be read at all."""
        if self._headers.get("content-encoding", "identity").lower() != "identity":
            raise UnsupportedMedia("Content-Encoding is not taken; send the body as it is")
        stated = self._headers.get("content-length", "0")
        if not stated.isdecimal() or len(stated) > _LENGTH_DIGITS_MAX:
            raise RequestError(f"content-length is {stated[:40]!r}, not a number of bytes")
        return int(stated)

    def _take(self, total: int) -> None:
        """Make room for a body of `total` bytes. Raises RequestTooLarge or Overloaded."""
        if total > self._limits.body_bytes_max:
            limit_mb = self._limits.body_bytes_max / 1024 / 1024
            raise RequestTooLarge(f"the body is over {limit_mb:g} MiB; send less")
        if total > self._taken:
            self._bodies.take(total - self._taken)
            self._taken = total
