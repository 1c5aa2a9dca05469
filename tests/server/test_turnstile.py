"""Who begins when many come at once, and when those who come are told that there are too many."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import pytest

from pointsman.server.shedding import (
    CALM_S,
    IN_FLIGHT_MIN,
    INTERVAL_S,
    WAIT_MAX_S,
    Turnstile,
)

_LATE_S = 2 * WAIT_MAX_S


class HandLoop:
    """A loop whose rounds take as long as the test says."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self._ready: deque[Callable[[], None]] = deque()

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._ready.append(callback)

    def create_future(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()

    def round(self, seconds: float) -> None:
        """Let so much time pass, and run what was ready."""
        self.now_s += seconds
        for _ in range(len(self._ready)):
            self._ready.popleft()()


class Crowd:
    """Requests before a turnstile, by number, and those that have begun."""

    def __init__(self, wait_max_s: float = WAIT_MAX_S) -> None:
        self.loop = HandLoop()
        loop = cast(asyncio.AbstractEventLoop, cast(Any, self.loop))
        self.turnstile = Turnstile(wait_max_s, loop, lambda: self.loop.now_s)
        self.begun: list[int] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def come(self, count: int = 1) -> list[asyncio.Task[None]]:
        """Have more requests come at this moment."""
        first = len(self._tasks)
        new = [asyncio.create_task(self._one(first + at)) for at in range(count)]
        self._tasks += new
        await _settle()
        return new

    async def round(self, seconds: float) -> None:
        """Let a round of the loop take so long."""
        self.loop.round(seconds)
        await _settle()

    async def queue_for(self, seconds: float, wait_s: float) -> None:
        """Have one come after another, all but the first of whom wait for so long."""
        await self.come(2)
        for _ in range(round(seconds / wait_s)):
            await self.come(1)
            await self.round(wait_s)
        for _ in range(3):
            await self.round(0.0)

    async def _one(self, number: int) -> None:
        if (turn := self.turnstile.turn()) is not None:
            await turn
        self.begun.append(number)


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_begins_in_a_round_in_the_order_in_which_they_came():
    crowd = Crowd()
    await crowd.come(3)
    assert crowd.begun == [0]
    await crowd.round(0.001)
    assert crowd.begun == [0, 1]
    await crowd.come(1)
    await crowd.round(0.001)
    await crowd.round(0.001)
    assert crowd.begun == [0, 1, 2, 3]
    await crowd.round(0.001)
    await crowd.come(1)
    assert crowd.begun == [0, 1, 2, 3, 4], "nobody was waiting"


async def test_whoever_has_gone_takes_nobodys_turn():
    crowd = Crowd()
    _, gone, _ = await crowd.come(3)
    gone.cancel()
    await _settle()
    await crowd.round(0.001)
    assert crowd.begun == [0, 2]


async def test_a_burst_is_served():
    crowd = Crowd()
    for _ in range(20):
        await crowd.queue_for(INTERVAL_S / 2, _LATE_S)
        await crowd.come(2)
        assert not crowd.turnstile.is_too_slow(IN_FLIGHT_MIN)
        await crowd.round(0.0)
        await crowd.round(WAIT_MAX_S)


async def test_one_long_pause_is_no_overload():
    """Such as Python's collector makes among thousands of idle streams."""
    crowd = Crowd()
    await crowd.come(3)
    await crowd.round(2 * INTERVAL_S)
    await crowd.come(1)
    assert not crowd.turnstile.is_too_slow(IN_FLIGHT_MIN)


async def test_what_stands_is_overload_for_those_who_would_wait_too_long():
    crowd = Crowd()
    await crowd.queue_for(2 * INTERVAL_S, _LATE_S)
    assert not crowd.turnstile.is_too_slow(IN_FLIGHT_MIN), "nobody waits"
    await crowd.come(5)
    assert crowd.turnstile.is_too_slow(IN_FLIGHT_MIN), (
        "those that wait take as long as those before"
    )
    for _ in range(50):
        await crowd.come(1)
        await crowd.round(WAIT_MAX_S / 100)
    assert not crowd.turnstile.is_too_slow(IN_FLIGHT_MIN), "they are quick again"


async def test_a_few_requests_are_never_what_makes_a_queue_slow():
    crowd = Crowd()
    await crowd.queue_for(2 * INTERVAL_S, _LATE_S)
    await crowd.come(5)
    assert not crowd.turnstile.is_too_slow(IN_FLIGHT_MIN - 1)


async def test_overload_is_over_after_a_calm():
    crowd = Crowd()
    await crowd.queue_for(2 * INTERVAL_S, _LATE_S)
    for _ in range(3):
        await crowd.round(CALM_S / 2)
        await crowd.come(1)
    await crowd.come(100)
    assert not crowd.turnstile.is_too_slow(IN_FLIGHT_MIN)


@pytest.mark.parametrize(("wait_max_s", "is_shed"), [(0.0, False), (WAIT_MAX_S, True)])
async def test_zero_never_sheds(wait_max_s: float, is_shed: bool):
    crowd = Crowd(wait_max_s)
    await crowd.queue_for(2 * INTERVAL_S, _LATE_S)
    await crowd.come(100)
    assert crowd.turnstile.is_too_slow(IN_FLIGHT_MIN) == is_shed
