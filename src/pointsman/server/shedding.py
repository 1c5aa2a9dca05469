"""Shedding: whether the event loop stands behind with its work, so that more would only wait.

CoDel's rule (RFC 8289, sections 3.2 and 4.2, whose interval this is): a queue that drains within
an interval is a burst, and is served; one that stands is overload. While there is overload, who
comes while the loop is behind is refused at once, so those let in are served as at any other time.
"""

import asyncio
import time
from collections.abc import Callable

# CoDel's 5 ms are one queue's; a request waits in the loop's several times. Of an answer that takes
# 0.1 s upstream the median was 208 ms at 5 ms and 147 ms at 2 ms (soak/g6_overload, 2026-11-23).
LAG_MAX_S = 0.002
INTERVAL_S = 0.1
# Overload is over when the loop has been on time for so long.
CALM_S = 1.0
# Fewer are never refused: they are soon done, or it is not they who make the loop late.
IN_FLIGHT_MIN = 64

_BEAT_S = 0.002


class Lag:
    """How late the loop runs what is due, and for how long it has. Beats only while it is asked.

    `lag_max_s`: what counts as late; 0 says that nothing does.
    """

    def __init__(
        self,
        lag_max_s: float,
        loop: asyncio.AbstractEventLoop,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lag_max_s = lag_max_s
        self._loop = loop
        self._monotonic_s = monotonic_s  # uvloop's own stands still while callbacks run
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0
        self._late_since_s: float | None = None  # None: the last beat was on time
        self._late_s = 0.0  # when the last one was that was not
        self._is_standing = False

    def start(self) -> None:
        """Begin to beat: there is work."""
        if self._lag_max_s and self._timer is None:
            self._late_since_s = None
            self._wait(self._monotonic_s())

    def stop(self) -> None:
        """Beat no more: there is none."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._is_standing = False

    def is_too_late(self, in_flight: int) -> bool:
        """Return whether one more request would only wait behind those in flight."""
        if not self._is_standing or in_flight < IN_FLIGHT_MIN:
            return False
        is_late = self._monotonic_s() - self._due_s > self._lag_max_s
        return is_late or self._late_since_s is not None

    def _wait(self, now_s: float) -> None:
        self._due_s = now_s + _BEAT_S
        self._timer = self._loop.call_later(_BEAT_S, self._beat)

    def _beat(self) -> None:
        now_s = self._monotonic_s()
        if now_s - self._due_s <= self._lag_max_s:
            self._late_since_s = None
            self._is_standing = self._is_standing and now_s - self._late_s < CALM_S
        else:
            self._late_s = now_s
            if self._late_since_s is None:
                self._late_since_s = now_s  # one long pause by itself is no queue
            self._is_standing = self._is_standing or now_s - self._late_since_s >= INTERVAL_S
        self._wait(now_s)
