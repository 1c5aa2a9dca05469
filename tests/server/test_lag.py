"""When a loop that is late counts as overloaded, and what is then told to those who come."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from pointsman.server.shedding import CALM_S, IN_FLIGHT_MIN, INTERVAL_S, LAG_MAX_S, Lag

_LATE_S = 10 * LAG_MAX_S


class HandLoop:
    """A loop whose one timer goes off when the test says so, as late as it says."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self._due: tuple[float, Callable[[], None]] | None = None

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> "HandLoop":
        self._due = (self.now_s + delay_s, callback)
        return self

    def cancel(self) -> None:
        self._due = None

    def waiting(self) -> int:
        return int(self._due is not None)

    def run(self, seconds: float, late_s: float = 0.0) -> None:
        """Let so much time pass, in which whatever is due runs so much too late."""
        until_s = self.now_s + seconds
        while self.now_s < until_s and self._due is not None:
            at_s, callback = self._due
            self.now_s = at_s + late_s
            callback()


@pytest.fixture
def loop() -> HandLoop:
    return HandLoop()


def lag_on(loop: HandLoop, lag_max_s: float = LAG_MAX_S) -> Lag:
    lag = Lag(lag_max_s, cast(asyncio.AbstractEventLoop, cast(Any, loop)), lambda: loop.now_s)
    lag.start()
    return lag


def test_a_burst_is_served(loop: HandLoop):
    lag = lag_on(loop)
    for _ in range(20):
        loop.run(INTERVAL_S / 2, late_s=_LATE_S)
        assert not lag.is_too_late(IN_FLIGHT_MIN)
        loop.run(LAG_MAX_S)


def test_one_long_pause_is_no_overload(loop: HandLoop):
    """Such as Python's collector makes among thousands of idle streams."""
    lag = lag_on(loop)
    loop.run(LAG_MAX_S, late_s=2 * INTERVAL_S)
    assert not lag.is_too_late(IN_FLIGHT_MIN)
    loop.run(LAG_MAX_S)
    assert not lag.is_too_late(IN_FLIGHT_MIN)


def test_what_stands_is_overload(loop: HandLoop):
    lag = lag_on(loop)
    loop.run(2 * INTERVAL_S, late_s=_LATE_S)
    assert lag.is_too_late(IN_FLIGHT_MIN)


def test_a_few_requests_are_never_what_makes_a_loop_late(loop: HandLoop):
    lag = lag_on(loop)
    loop.run(2 * INTERVAL_S, late_s=_LATE_S)
    assert not lag.is_too_late(IN_FLIGHT_MIN - 1)


def test_in_overload_whoever_comes_on_time_is_let_in(loop: HandLoop):
    lag = lag_on(loop)
    loop.run(2 * INTERVAL_S, late_s=_LATE_S)
    loop.run(LAG_MAX_S)
    assert not lag.is_too_late(IN_FLIGHT_MIN)
    loop.now_s += _LATE_S  # the beat that is due has not come
    assert lag.is_too_late(IN_FLIGHT_MIN)
    loop.run(LAG_MAX_S, late_s=_LATE_S)
    assert lag.is_too_late(IN_FLIGHT_MIN)


def test_overload_is_over_after_a_calm(loop: HandLoop):
    lag = lag_on(loop)
    loop.run(2 * INTERVAL_S, late_s=_LATE_S)
    loop.run(CALM_S + INTERVAL_S)
    loop.run(LAG_MAX_S, late_s=_LATE_S)
    assert not lag.is_too_late(IN_FLIGHT_MIN)


def test_nothing_beats_without_work(loop: HandLoop):
    lag = lag_on(loop)
    assert loop.waiting() == 1
    loop.run(2 * INTERVAL_S, late_s=_LATE_S)
    lag.stop()
    assert loop.waiting() == 0
    lag.start()
    assert not lag.is_too_late(IN_FLIGHT_MIN)


def test_zero_never_sheds(loop: HandLoop):
    lag = lag_on(loop, lag_max_s=0.0)
    assert loop.waiting() == 0
    loop.now_s += 100.0
    assert not lag.is_too_late(IN_FLIGHT_MIN)
