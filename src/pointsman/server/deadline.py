"""Deadline: what is to be done when a wait has taken too long, with one timer for many waits."""

import asyncio
import math
from collections.abc import Callable


class Deadline:
    """Does one thing at one time, or none. Most waits are over long before they are due.

    So the timer is left as it is where it fires before that time, and looks again then; a wait that
    is over costs nothing but setting `due_s`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.due_s = math.inf
        self._loop = loop
        self._when_due: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf

    def set(self, limit_s: float, when_due: Callable[[], None]) -> None:
        """Have something done in so many seconds, in place of what was to be done before."""
        self.due_s, self._when_due = self._loop.time() + limit_s, when_due
        if self._timer is not None and self._timer_s > self.due_s:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._look_at(self.due_s)

    def is_set_for(self, when_due: Callable[[], None]) -> bool:
        """Return whether this is what is to be done."""
        return self.due_s < math.inf and self._when_due == when_due

    def close(self) -> None:
        """Do nothing any more."""
        self.due_s, self._when_due = math.inf, None
        if self._timer is not None:
            self._timer.cancel()

    def _look_at(self, time_s: float) -> None:
        self._timer, self._timer_s = self._loop.call_at(time_s, self._look), time_s

    def _look(self) -> None:
        self._timer = None
        if self._loop.time() < self.due_s:
            if self.due_s < math.inf:
                self._look_at(self.due_s)
        elif self._when_due is not None:
            self.due_s = math.inf
            self._when_due()
