"""One timer for many waits: what it breaks off, and what it leaves alone."""

import asyncio

import pytest

from pointsman.deadline import Deadline

NEVER_S = 1_000.0


async def test_what_is_awaited_at_the_moment_is_broken_off():
    deadline = Deadline(0)
    with pytest.raises(TimeoutError), deadline:
        await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None and not task.cancelling()


async def test_a_wait_that_begins_after_the_moment_is_refused_at_once():
    deadline = Deadline(0)
    for _ in range(3):
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError), deadline:
        pytest.fail("nothing may begin")


async def test_waits_before_the_moment_pass_and_so_does_everything_once_it_is_stopped():
    deadline = Deadline(0)
    with deadline:
        pass
    deadline.stop()
    with deadline:
        await asyncio.sleep(0.001)


async def test_a_block_within_a_block_is_broken_off_and_so_is_the_rest_of_the_outer_one():
    deadline = Deadline(0)

    async def wait_twice() -> None:
        with deadline:
            with pytest.raises(TimeoutError), deadline:
                await asyncio.Event().wait()
            with deadline:
                pytest.fail("nothing more may begin")

    with pytest.raises(TimeoutError):
        await wait_twice()


async def test_each_task_waits_in_its_turn():
    deadline = Deadline(0.001)

    async def wait() -> None:
        with deadline:
            await asyncio.Event().wait()

    with deadline:
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await asyncio.create_task(wait())


@pytest.mark.parametrize("has_struck", [False, True], ids=["before", "with it"])
async def test_a_cancellation_of_somebody_elses_stays_one(has_struck: bool):
    deadline = Deadline(NEVER_S)
    is_waiting = asyncio.Event()

    async def wait() -> None:
        with deadline:
            is_waiting.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await is_waiting.wait()
    task.cancel()
    if has_struck:
        deadline._strike()
    with pytest.raises(asyncio.CancelledError):
        await task
    deadline.stop()


async def test_a_cancellation_that_comes_after_the_moment_stays_one_too():
    deadline = Deadline(0)
    is_tidying = asyncio.Event()

    async def wait() -> None:
        with deadline:
            with pytest.raises(TimeoutError), deadline:
                await asyncio.Event().wait()
            is_tidying.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await is_tidying.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_in_the_block_goes_out_as_it_is():
    deadline = Deadline(NEVER_S)
    with pytest.raises(KeyError), deadline:
        raise KeyError
    deadline.stop()
