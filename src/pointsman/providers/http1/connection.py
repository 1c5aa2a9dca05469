"""Connection: one connection to an upstream, on which one exchange follows the other."""

import asyncio
from collections.abc import Callable
from typing import cast

from pointsman.core.errors import UpstreamBadResponse, UpstreamReset, UpstreamTimeout
from pointsman.providers.http1.reading import Reading
from pointsman.providers.transport import PIECE_BYTES

# With more than this unread the upstream is read no further, until the reader has caught up.
UNREAD_BYTES_MAX = PIECE_BYTES
# What is read at once comes in here, for all connections of a process: each takes it out at once.
# A loop else reads 64 KiB and more, which thousands of slow readers would have us hold.
_COMING = memoryview(bytearray(PIECE_BYTES))
# A body up to here goes out in one piece with its head: copying it costs less than a second write.
_JOINED_BYTES_MAX = 16 * 1024
# A loop's clock may be so coarse: a timer that fires as much too early is not too early.
_CLOCK_S = 0.001


class Connection(asyncio.BufferedProtocol):
    """`on_gone`: told once, when nothing more can be sent or read.

    It has one timer at most, which is set again only when it fires: most waits end long before, and
    the next one's deadline is later.
    """

    __slots__ = (
        "_deadline_s", "_due_s", "_fires_s", "_is_busy", "_is_gone", "_is_late", "_is_paused",
        "_lost", "_on_gone", "_taker", "_timer", "_transport", "_waiter", "idle_since_s", "loop",
        "reading",
    )  # fmt: skip

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_gone: "Callable[[Connection], None]"
    ) -> None:
        self.loop = loop
        self._on_gone = on_gone
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._taker: Callable[[bytes], bool] | None = None
        self._due_s: Callable[[], float] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fires_s = 0.0
        self._deadline_s = 0.0
        self._is_busy = False
        self._is_gone = False
        self._is_late = False
        self._is_paused = False
        self._lost = ""
        self.idle_since_s = 0.0
        self.reading = Reading()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note what to write to."""
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to put what comes."""
        del sizehint
        return _COMING

    def buffer_updated(self, nbytes: int) -> None:
        """Take so many bytes out."""
        self.data_received(_COMING[:nbytes])

    def data_received(self, data: bytes | memoryview) -> None:
        """Take what came. What comes between two exchanges is no reply to the next request.

        Source: RFC 9112, section 9.2.
        """
        if not self._is_busy:
            self.abort()
            return
        reading = self.reading
        if reading.feed(data) and (taker := self._taker) is not None:
            wants_no_more = taker(reading.take(PIECE_BYTES))
            if not wants_no_more and not reading.unread:
                return
        if len(reading.unread) > UNREAD_BYTES_MAX and not self._is_paused:
            assert self._transport is not None
            self._is_paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """Note that the upstream has said all; the transport then closes."""
        self.reading.end()
        self._lose("it was closed")

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is gone."""
        self.reading.end()
        self._lose(str(exc) if exc is not None else "it was closed")
        self._gone()

    # What the client calls.

    @property
    def is_open(self) -> bool:
        """Return whether a request can be sent."""
        return not self._lost and self._transport is not None and not self._transport.is_closing()

    def send(self, head: bytes, body: bytes) -> None:
        """Send a request, and begin to read the reply to it."""
        transport = self._transport
        assert transport is not None and not self._is_busy
        self.reading.expect()
        self._is_busy = True
        if len(body) <= _JOINED_BYTES_MAX:
            transport.write(head + body)
        else:
            transport.writelines((head, body))

    def has_begun(self) -> bool:
        """Return whether a reply's headers have come, False where one has to wait for them.

        Raises UpstreamTimeout where one has waited for too long, UpstreamReset and
        UpstreamBadResponse.
        """
        reading = self.reading
        if reading.status:
            return True
        if reading.fault:
            raise UpstreamBadResponse(f"the reply is not HTTP: {reading.fault}")
        if self._lost:
            raise UpstreamReset(f"the connection broke before a reply: {self._lost}")
        if self._is_late:
            raise UpstreamTimeout("no reply began in time")
        return False

    def at_hand(self) -> bytes | None:
        """Return what has come of the body, b"" at its end, None where more is to come.

        Raises UpstreamReset where it breaks off, once all that came before has been read.
        """
        reading = self.reading
        if reading.unread:
            piece = reading.take(PIECE_BYTES)
            if self._is_paused and len(reading.unread) <= PIECE_BYTES:
                self._read_on()
            return piece
        if reading.is_whole:
            return b""
        if reading.fault:
            raise UpstreamReset(f"the upstream broke off in its answer: {reading.fault}")
        if self._lost:
            raise UpstreamReset(f"the upstream broke off in its answer: {self._lost}")
        return None

    async def read(self, deadline_s: float) -> bytes:
        """Wait for more of the body. Raises UpstreamTimeout, and as `at_hand` does."""
        self._is_late = False
        while (piece := self.at_hand()) is None:
            if self._is_late:
                raise UpstreamTimeout("the upstream went silent in its answer")
            await self.arrival(deadline_s)
        return piece

    async def flow(self, taker: Callable[[bytes], bool], due_s: Callable[[], float]) -> None:
        """Give `taker` all that comes until it wants no more, or the body's end comes, or nothing.

        `due_s` tells its deadline, which may get later meanwhile. Raises UpstreamTimeout.
        """
        self._is_late = False
        self._taker, self._due_s = taker, due_s
        try:
            await self.arrival(due_s())
        finally:
            self._taker = self._due_s = None
        if self._is_late:
            raise UpstreamTimeout("the upstream went silent in its answer")

    def arrival(self, deadline_s: float) -> "asyncio.Future[None]":
        """Return what is done when something has come, or nothing will, or it is too late."""
        self._waiter = waiter = self.loop.create_future()
        self._deadline_s = deadline_s
        if self._timer is None or self._fires_s > deadline_s:
            self._set_timer(deadline_s)
        return waiter

    def end_exchange(self) -> bool:
        """Make ready for the next request, and return whether one may follow; else cut."""
        transport, reading = self._transport, self.reading
        if (
            reading.is_whole
            and reading.keeps_alive
            and self.is_open
            and transport is not None
            and not transport.get_write_buffer_size()  # a reply may come before all was sent
        ):
            self._is_busy = False
            self._is_late = False
            if self._is_paused:
                self._read_on()
            return True
        self.abort()
        return False

    def abort(self) -> None:
        """Cut the connection at once."""
        self._lose("it was cut")
        if self._transport is not None:
            self._transport.abort()
        self._gone()

    def _read_on(self) -> None:
        self._is_paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _lose(self, why: str) -> None:
        self._lost = self._lost or why or "it was closed"
        self._wake()

    def _gone(self) -> None:
        if not self._is_gone:
            self._is_gone = True
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._on_gone(self)

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = self._taker = None
            if not waiter.done():
                waiter.set_result(None)

    def _set_timer(self, deadline_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires_s = deadline_s
        self._timer = self.loop.call_at(deadline_s, self._fire)

    def _fire(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if self._due_s is not None:
            self._deadline_s = self._due_s()
        if self.loop.time() + _CLOCK_S < self._deadline_s:
            self._set_timer(self._deadline_s)
            return
        self._is_late = True
        self._wake()
