"""Clock: time as the shell reads it, passed in wherever it matters."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Two times and a wait."""

    def monotonic_s(self) -> float:
        """Return seconds that only go forward: for durations and deadlines."""

    def wall_ns(self) -> int:
        """Return Unix time in nanoseconds: for what people read."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's own clock. Its times are read a dozen times a request, so straight from C."""

    monotonic_s = staticmethod(time.monotonic)
    wall_ns = staticmethod(time.time_ns)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
