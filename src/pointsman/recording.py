"""Recording: an answer's events, kept as they come, for any number of readers from its start.

A reply from the cache is a replay of one that is whole; single-flight is reading one that grows.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeAlias

from pointsman.core.errors import Draining, GatewayError
from pointsman.core.events import (
    Event,
    Finished,
    More,
    ReasoningDelta,
    Sink,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)

# With what a connection buffers (`server.stalls`) it makes the 256 KiB of FAULTS, row 18.
LEAD_BYTES_MAX = 16 * 1024
_EVENT_BYTES = 64

# Who waits for more, and where what comes then is to go. The future's result is how many events
# have been given when it is done.
_Waiter: TypeAlias = tuple["asyncio.Future[int]", Sink | None]


class Recording:
    """Grows while its source runs. Its readers never wait for each other.

    The source is read no further than `LEAD_BYTES_MAX` ahead of the fastest reader, who always
    takes all there is. `is_whole`: the answer's end is recorded.
    """

    __slots__ = ("_error", "_is_over", "_lead_bytes", "_read_on", "_waiters", "events", "is_whole")

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.is_whole = False
        self._lead_bytes = 0
        self._is_over = False
        self._error: GatewayError | None = None
        self._waiters: tuple[_Waiter, ...] = ()
        self._read_on = Bell()

    async def record(self, source: More, on_whole: Callable[[], None]) -> None:
        """Read the source to its end; `on_whole` is told before any reader sees that end."""
        try:
            while not self.is_whole:
                batch = await source(self._take)
                if batch and isinstance(batch[-1], Finished):
                    self._wake_all()  # they run later, when this is known:
                    self.events += batch
                    self.is_whole = True
                    on_whole()
                    break
                if batch:
                    self._take(batch)
                while self._lead_bytes > LEAD_BYTES_MAX:
                    await self._read_on.rung()
        except BaseException as error:  # whatever it is, no reader may take it for the end
            self._error = as_told(error)
            if self._error is not error:
                raise
        finally:
            self._is_over = True
            self._wake_all()

    @property
    def has_failed(self) -> bool:
        """Return whether the source broke off."""
        return self._error is not None

    @property
    def size_bytes(self) -> int:
        """Return about how much memory the events take."""
        return _size(self.events)

    def reader(self) -> More:
        """Return what gives the events from the start, then as they come.

        To a sink they go at once, without a step of the reader's task. It raises what the source
        raised.
        """
        position = 0

        async def more(sink: Sink | None = None) -> Sequence[Event]:
            nonlocal position
            while position == len(self.events):
                if self._error is not None:
                    # Each reader's own traceback, else all of them would pile up in the one error.
                    raise self._error.with_traceback(None)
                if self._is_over:
                    return ()
                position = await self._grown(sink)
                if sink is not None and not self._is_over:
                    break  # it has had enough
            batch = self.events[position:]
            position += len(batch)
            if self._lead_bytes > LEAD_BYTES_MAX:
                self._read_on.ring()
            self._lead_bytes = 0
            return batch

        return more

    def _take(self, batch: Sequence[Event]) -> bool:
        """Record what has come, and give it to those who wait.

        Return whether there is room for more.
        """
        self.events += batch
        is_given = False
        for waiter in self._waiters:
            woken, sink = waiter
            if sink is None:
                self._wake(waiter, len(self.events) - len(batch))
                continue
            is_given = True
            try:
                if not sink(batch):
                    self._wake(waiter, len(self.events))
            except Exception as error:  # that reader's own: the others read on
                self._forget(waiter)
                woken.set_exception(error)
        if is_given:
            return True
        self._lead_bytes += _size(batch)
        return self._lead_bytes <= LEAD_BYTES_MAX

    async def _grown(self, sink: Sink | None) -> int:
        """Wait for more, or until the sink has had enough; return how many events were given."""
        waiter: _Waiter = (asyncio.get_running_loop().create_future(), sink)
        self._waiters = (*self._waiters, waiter)
        try:
            return await waiter[0]
        except asyncio.CancelledError:
            self._forget(waiter)
            raise

    def _forget(self, waiter: _Waiter) -> None:
        self._waiters = tuple(other for other in self._waiters if other is not waiter)

    def _wake(self, waiter: _Waiter, given: int) -> None:
        self._forget(waiter)
        if not waiter[0].done():
            waiter[0].set_result(given)

    def _wake_all(self) -> None:
        for waiter in self._waiters:
            self._wake(waiter, len(self.events))


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
    """Return what gives a whole recording's events, all at once."""
    left = events

    async def more(sink: Sink | None = None) -> Sequence[Event]:
        nonlocal left
        del sink
        batch, left = left, ()
        return batch

    return more


def free(event: Event) -> Event:
    """Return the event as a cache hit gives it: at no cost."""
    if isinstance(event, UsageReport):
        return UsageReport(event.usage, event.frame, 0)
    return event


def _size(events: Sequence[Event]) -> int:
    """Return about how many bytes events hold; a text is in its frame, where there is one."""
    held = [len(event.frame) if event.frame else _text_size(event) for event in events]
    return _EVENT_BYTES * len(held) + sum(held)


def _text_size(event: Event) -> int:
    if isinstance(event, TextDelta | ReasoningDelta):
        return len(event.text)
    return len(event.arguments) if isinstance(event, ToolCallDelta) else 0
