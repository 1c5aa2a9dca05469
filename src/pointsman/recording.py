"""Recording: an answer's events, kept as they come, for any number of readers from its start.

A reply from the cache is a replay of one that is whole; single-flight is reading one that grows.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from pointsman.core.errors import Draining, GatewayError
from pointsman.core.events import Event, Finished, UsageReport

# With what a connection buffers (`server.stalls`) it makes the 256 KiB of FAULTS, row 18.
LEAD_BYTES_MAX = 16 * 1024
_EVENT_BYTES = 64


class Recording:
    """Grows while its source runs. Its readers never wait for each other.

    The source is read no further than `LEAD_BYTES_MAX` ahead of the fastest reader.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._bytes: list[int] = [0]
        self._positions: dict[int, int] = {}
        self._is_over = False
        self._error: GatewayError | None = None
        self._grown = _Bell()
        self._read_on = _Bell()

    async def record(self, source: AsyncIterator[Event], on_whole: Callable[[], None]) -> None:
        """Read the source to its end; `on_whole` is told before any reader sees that end."""
        try:
            async for event in source:
                self.events.append(event)
                self._bytes.append(self._bytes[-1] + _size(event))
                if self.is_whole:
                    on_whole()
                self._grown.ring()
                await self._wait_for_readers()
        except BaseException as error:  # whatever it is, no reader may take it for the end
            self._error = as_told(error)
            if self._error is not error:
                raise
        finally:
            self._is_over = True
            self._grown.ring()

    @property
    def is_whole(self) -> bool:
        """Return whether the answer's end is recorded."""
        return bool(self.events) and isinstance(self.events[-1], Finished)

    @property
    def has_failed(self) -> bool:
        """Return whether the source broke off."""
        return self._error is not None

    @property
    def size_bytes(self) -> int:
        """Return about how much memory the events take."""
        return self._bytes[-1]

    async def read(self) -> AsyncGenerator[Event]:
        """Yield the events from the start, then as they come. Raises what the source raised."""
        reader, position = object(), 0
        try:
            while True:
                while position < len(self.events):
                    position += 1
                    self._positions[id(reader)] = position
                    self._read_on.ring()
                    yield self.events[position - 1]
                if self._is_over:
                    break
                await self._grown.rung()
        finally:
            self._positions.pop(id(reader), None)
            self._read_on.ring()
        if self._error is not None:
            # Each reader's own traceback, else all of them would pile up in the one error.
            raise self._error.with_traceback(None)

    async def _wait_for_readers(self) -> None:
        while not self.is_whole and self._lead() > LEAD_BYTES_MAX:
            await self._read_on.rung()

    def _lead(self) -> int:
        return self._bytes[-1] - self._bytes[max(self._positions.values(), default=0)]


class _Bell:
    """Wakes those who wait for it at that moment.

    An `asyncio.Event`, which stays set, is 0.8 kB; thousands of streams have two of these each.
    """

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: tuple[asyncio.Future[None], ...] = ()

    def ring(self) -> None:
        """Wake all who wait."""
        waiters, self._waiters = self._waiters, ()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def rung(self) -> None:
        """Wait until it rings next."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters = (*self._waiters, waiter)
        await waiter


def as_told(error: BaseException) -> GatewayError:
    """Return what the readers are told of an error: never that they themselves were cancelled."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, asyncio.CancelledError):
        return Draining("the router was closed before the answer had ended")
    return GatewayError(f"an internal error ({type(error).__name__}); the log has more")


async def replay(events: tuple[Event, ...]) -> AsyncGenerator[Event]:
    """Yield a whole recording's events; nothing is charged for them."""
    for event in events:
        yield free(event)


def free(event: Event) -> Event:
    """Return the event as a cache hit gives it: at no cost."""
    if isinstance(event, UsageReport):
        return UsageReport(event.usage, event.frame, 0)
    return event


def _size(event: Event) -> int:
    frame = event.frame
    text = getattr(event, "text", "") or getattr(event, "arguments", "")
    return _EVENT_BYTES + len(frame or b"") + len(text)
