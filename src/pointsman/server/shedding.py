"""Shedding: requests begin one after another, and are refused where they would only wait.

Requests that come at once are let begin one in each round of the event loop. So the rounds stay
short: a refusal, a probe and another's stream wait for one request's work and not for all of it.
Whether there are too many is CoDel's rule (RFC 8289, sections 3.2 and 4.2, whose interval this
is): a queue that drains within an interval is a burst, and is served; one that stands is overload.
While there is overload, who would wait for too long is refused at once, so that those let in are
served as at any other time.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

# CoDel's 5 ms are for packets. Here the queue runs dry with so little when the loop pauses: of a
# peak of 490 answers a second 5 ms left 326 to 477, and 20 ms all (soak/g6_overload, 2026-11-23).
WAIT_MAX_S = 0.02
INTERVAL_S = 0.1
# Overload is over when nobody has waited too long for such a time.
CALM_S = 1.0
# Fewer are never refused: it is not they who make the queue slow, and they are soon done.
IN_FLIGHT_MIN = 64
# The share of the newest in an average, as in RFC 6298, section 2.
_NEWEST = 1 / 8


class Turnstile:
    """Lets one request begin in a round of the loop, in the order in which they came.

    `wait_max_s`: what is too long a wait; 0 says that nothing is. `is_standing`: there is overload.
    """

    def __init__(
        self,
        wait_max_s: float,
        loop: asyncio.AbstractEventLoop,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wait_max_s = wait_max_s
        self._loop = loop
        self._monotonic_s = monotonic_s  # uvloop's own stands still while callbacks run
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._has_let_in = False  # in this round
        self._let_in_s = 0.0  # when one was last let in
        self._pace_s = 0.0  # how long it takes from one to the next, on average
        self._late_since_s: float | None = None  # None: the last one waited no longer than allowed
        self._late_s = 0.0  # when one last did
        self.is_standing = False

    def turn(self) -> asyncio.Future[None] | None:
        """Return what to await for one's turn, None where it is one's turn already."""
        if not self._has_let_in:
            self._has_let_in = True
            self._loop.call_soon(self._let_in)
            if self._late_since_s is not None or self.is_standing:
                self._note(0.0)
            return None
        turn = self._loop.create_future()
        self._waiting.append((self._monotonic_s(), turn))
        return turn

    def is_too_slow(self, in_flight: int) -> bool:
        """Return whether one more request would wait for too long behind those that do."""
        if not self.is_standing or in_flight < IN_FLIGHT_MIN:
            return False
        return len(self._waiting) * self._pace_s > self._wait_max_s

    def _let_in(self) -> None:
        """Begin another round."""
        self._has_let_in = False
        while self._waiting and not self._has_let_in:
            came_s, turn = self._waiting.popleft()
            if not turn.done():  # its client may have gone
                turn.set_result(None)
                self._has_let_in = True
                self._loop.call_soon(self._let_in)
                now_s = self._monotonic_s()
                took_s, self._let_in_s = now_s - max(came_s, self._let_in_s), now_s
                self._pace_s += (took_s - self._pace_s) * _NEWEST
                self._note(now_s - came_s)

    def _note(self, wait_s: float) -> None:
        """Note how long one has waited."""
        if wait_s <= self._wait_max_s or not self._wait_max_s:
            self._late_since_s = None
            if self.is_standing:
                self.is_standing = self._monotonic_s() - self._late_s < CALM_S
            return
        now_s = self._late_s = self._monotonic_s()
        if self._late_since_s is None:
            self._late_since_s = now_s  # one long pause by itself is no queue
        self.is_standing = self.is_standing or now_s - self._late_since_s >= INTERVAL_S
