"""Recording: an answer's events, kept as they come, for any number of readers from its start.

A reply from the cache is a replay of one that is whole; single-flight is reading one that grows.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from pointsman.core.errors import Draining, GatewayError
from pointsman.core.events import (
    Event,
    Finished,
    More,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from pointsman.providers import Sink

# With what a connection buffers (`server.stalls`) it makes the 256 KiB of FAULTS, row 18.
LEAD_BYTES_MAX = 16 * 1024
_EVENT_BYTES = 64

# As `More`, but what comes before the end may go to the sink; then () is not the end.
Source: TypeAlias = Callable[[Sink], Awaitable[Sequence[Event]]]


class Recording:
    """Grows while its source runs. Its readers never wait for each other.

    The source is read no further than `LEAD_BYTES_MAX` ahead of the fastest reader, who always
    takes all there is. `is_whole`: the answer's end is recorded. `size_bytes`: about how much
    memory the events take.
    """

    __slots__ = ("_error", "_grown", "_is_over", "_lead_bytes", "_read_on", "events", "is_whole",
                 "size_bytes")  # fmt: skip

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.is_whole = False
        self.size_bytes = 0
        self._lead_bytes = 0
        self._is_over = False
        self._error: GatewayError | None = None
        self._grown = Bell()
        self._read_on = Bell()

    async def record(self, source: Source, on_whole: Callable[[], None]) -> None:
        """Read the source to its end; `on_whole` is told before any reader sees that end."""
        try:
            while not self.is_whole:
                batch = await source(self._take)
                has_room = self._take(batch)  # its readers wake later, when this is known:
                if batch and isinstance(batch[-1], Finished):
                    self.is_whole = True
                    on_whole()
                elif not has_room:
                    while self._lead_bytes > LEAD_BYTES_MAX:
                        await self._read_on.rung()
        except BaseException as error:  # whatever it is, no reader may take it for the end
            self._error = as_told(error)
            if self._error is not error:
                raise
        finally:
            self._is_over = True
            self._grown.ring()

    def _take(self, batch: Sequence[Event]) -> bool:
        """Record what has come; return whether there is room for more."""
        size = 0
        for event in batch:
            size += _size(event)
        self.events += batch
        self.size_bytes += size
        self._lead_bytes += size
        self._grown.ring()
        return self._lead_bytes <= LEAD_BYTES_MAX

    @property
    def has_failed(self) -> bool:
        """Return whether the source broke off."""
        return self._error is not None

    def reader(self) -> More:
        """Return what gives the events from the start, then as they come.

        It raises what the source raised.
        """
        position = 0

        async def more() -> Sequence[Event]:
            nonlocal position
            while position == len(self.events):
                if self._error is not None:
                    # Each reader's own traceback, else all of them would pile up in the one error.
                    raise self._error.with_traceback(None)
                if self._is_over:
                    return ()
                await self._grown.rung()
            batch = self.events[position:]
            position += len(batch)
            if self._lead_bytes > LEAD_BYTES_MAX:
                self._read_on.ring()
            self._lead_bytes = 0
            return batch

        return more


class Bell:
    """Wakes those who wait for it at that moment.

    An `asyncio.Event`, which stays set, is 0.8 kB; thousands of streams have two of these each.
    """

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: tuple[asyncio.Future[None], ...] = ()

    def ring(self) -> None:
        """Wake all who wait."""
        if self._waiters:
            waiters, self._waiters = self._waiters, ()
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def rung(self) -> asyncio.Future[None]:
        """Return what is done when it rings next."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters = (*self._waiters, waiter)
        return waiter


def as_told(error: BaseException) -> GatewayError:
    """Return what the readers are told of an error: never that they themselves were cancelled."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, asyncio.CancelledError):
        return Draining("the router was closed before the answer had ended")
    return GatewayError(f"an internal error ({type(error).__name__}); the log has more")


def replay(events: Sequence[Event]) -> More:
    """Return what gives a whole recording's events; nothing is charged for them."""
    left = [free(event) for event in events]

    async def more() -> Sequence[Event]:
        nonlocal left
        batch, left = left, []
        return batch

    return more


def free(event: Event) -> Event:
    """Return the event as a cache hit gives it: at no cost."""
    if isinstance(event, UsageReport):
        return UsageReport(event.usage, event.frame, 0)
    return event


def _size(event: Event) -> int:
    """Return about how many bytes an event holds; its text is in its frame, where it has one."""
    if frame := event.frame:
        return _EVENT_BYTES + len(frame)
    if isinstance(event, TextDelta | ReasoningDelta):
        return _EVENT_BYTES + len(event.text)
    return _EVENT_BYTES + (len(event.arguments) if isinstance(event, ToolCallDelta) else 0)
