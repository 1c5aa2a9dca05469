"""Flights: identical requests that are under way at once share one upstream answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import TypeAlias

from pointsman.core.errors import AllTargetsFailed, GatewayError, UpstreamError
from pointsman.core.secret import unsaid
from pointsman.gate import Committed
from pointsman.recording import Bell, Recording, as_told

Commit: TypeAlias = Callable[[], Awaitable[Committed]]
Landed: TypeAlias = Callable[[Committed, Recording], None]

log = logging.getLogger("pointsman")


class Flights:
    """The flights under way, by a key that only those have who may share an answer."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, Flight] = {}
        self._tasks: dict[asyncio.Task[None], tuple[Hashable, Flight]] = {}

    def join(
        self, key: Hashable, commit: Commit, on_landed: Landed, *, asked: bytes = b""
    ) -> tuple["Flight", bool]:
        """Return the flight of a key, and whether it was started for this reader.

        `asked`: what exactly this reader wants; a flight has that of who started it. The reader is
        counted: it must leave. `commit` makes the draft that passes its gate, and
        `on_landed` is told of an answer that ended whole; both only of a flight that starts now.
        """
        flight = self._flights.get(key)
        if flight is not None and flight.is_open:
            flight.readers += 1
            return flight, False
        self._flights[key] = flight = Flight(asked)
        task = flight.task = asyncio.get_running_loop().create_task(flight.fly(commit, on_landed))
        self._tasks[task] = key, flight
        task.add_done_callback(self._forget)
        return flight, True

    async def board(
        self, key: Hashable, commit: Commit, on_landed: Landed, *, asked: bytes = b""
    ) -> tuple["Flight", Committed, bool]:
        """Return what `join` does once a draft has passed its gate, and that draft.

        Where another reader's call fails, one of those who waited makes a new one for all of them,
        once (FAULTS, row 29). Raises what kept the last from passing; then nobody need leave.
        """
        is_second = False
        while True:
            flight, is_leader = self.join(key, commit, on_landed, asked=asked)
            try:
                return flight, await flight.committed(), is_leader
            except BaseException as error:  # whatever it is, this reader is gone from the flight
                await flight.leave()
                if is_leader or is_second or not _may_pass_next(error):
                    raise
            is_second = True

    @property
    def count(self) -> int:
        """Return how many are under way."""
        return len(self._tasks)

    async def aclose(self) -> None:
        """Stop all of them."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _forget(self, task: asyncio.Task[None]) -> None:
        key, flight = self._tasks.pop(task)
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a shared answer failed in the router", exc_info=unsaid(error))


def _may_pass_next(error: BaseException) -> bool:
    """Return whether the same request may fare better: it was an upstream's fault, not its own."""
    if isinstance(error, UpstreamError):
        return error.remedy != "none"
    return isinstance(error, AllTargetsFailed)


class Flight:
    """One upstream answer, for whom it is started and for all who ask the same thing meanwhile.

    It goes on when its first reader leaves, and is cancelled when the last one does. `asked`:
    what its first reader wants. `task`: flies it.
    """

    __slots__ = (
        *("_committed", "_decided", "_error", "_is_stopped"),
        *("asked", "readers", "recording", "task"),
    )

    def __init__(self, asked: bytes = b"") -> None:
        self.asked = asked
        self.recording = Recording()
        self.readers = 1
        self._is_stopped = False
        self._committed: Committed | None = None
        self._error: GatewayError | None = None
        self._decided = Bell()
        self.task: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Return whether one more may join: it is still under way."""
        recording = self.recording
        return not (self._is_stopped or recording.has_failed or recording.is_whole)

    async def committed(self) -> Committed:
        """Wait until the draft has passed its gate. Raises what kept it from passing."""
        while self._committed is None:
            if self._error is not None:
                raise self._error.with_traceback(None)  # each reader's own
            await self._decided.rung()
        return self._committed

    async def leave(self) -> None:
        """Note that a reader has gone; the last one stops a flight that has not come to its end.

        Then it is over, its call booked, before that reader's request is.
        """
        self.readers -= 1
        if self.readers == 0 and self.task is not None and not self.recording.is_whole:
            self._is_stopped = True
            self.task.cancel()
            await asyncio.wait((self.task,))

    async def fly(self, commit: Commit, on_landed: Landed) -> None:
        """Make the upstream call. `on_landed` is told of an answer that ended whole."""
        try:
            self._committed = committed = await commit()
        except BaseException as error:
            self._is_stopped = True
            self._error = as_told(error)
            if self._error is error:
                return
            raise
        finally:
            self._decided.ring()
        try:
            await self.recording.record(
                committed.more, lambda: on_landed(committed, self.recording)
            )
        finally:
            await committed.aclose()
