"""The virtual loop: no time passes on it but virtual time, and what waits for ever is found."""

import asyncio

import pytest
from tests.simulation.loop import Crash, Stuck, VirtualLoop
from tests.simulation.network import MemoryNetwork


def loop_until(*, crashes_s: float | None = None, ends_s: float = 1e9) -> VirtualLoop:
    return VirtualLoop(MemoryNetwork(), begins_s=5.0, crashes_s=crashes_s, ends_s=ends_s)


def test_a_day_of_sleep_is_over_at_once() -> None:
    loop = loop_until()
    loop.run_until_complete(asyncio.sleep(86_400))
    loop.close()
    assert loop.time() == pytest.approx(86_405)


def test_who_waits_for_what_never_comes_is_found() -> None:
    loop = loop_until()
    with pytest.raises(Stuck):
        loop.run_until_complete(loop.create_future())
    loop.close()


def test_what_goes_on_for_ever_is_found() -> None:
    loop = loop_until(ends_s=100)

    def go_on() -> None:
        loop.call_later(1, go_on)

    go_on()
    with pytest.raises(Stuck):
        loop.run_until_complete(loop.create_future())
    loop.close()


def test_a_crash_comes_at_its_time_and_runs_no_code() -> None:
    done: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            done.append("tidied up")

    loop = loop_until(crashes_s=9.0)
    task = loop.create_task(work())
    with pytest.raises(Crash):
        loop.run_until_complete(task)
    assert (loop.time(), done) == (9.0, [])
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()


def test_work_for_a_thread_is_done_at_once_and_told_later() -> None:
    async def work() -> list[object]:
        told = asyncio.to_thread(lambda: [1])
        return [await told]

    loop = loop_until()
    assert loop.run_until_complete(work()) == [[1]]
    loop.close()
