"""A recording: each reader has it from its start, and by a sink as soon as more comes."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from pointsman.core.errors import UpstreamReset
from pointsman.core.events import Event, Finished, More, Sink, TextDelta
from pointsman.recording import LEAD_BYTES_MAX, Recording

END = Finished("stop")


class Source:
    """Gives what the test says: to the recording's sink at once, or as what is returned."""

    def __init__(self) -> None:
        self._sink: Sink | None = None
        self._returned: asyncio.Future[Sequence[Event]] | None = None

    async def more(self, sink: Sink | None) -> Sequence[Event]:
        self._sink, self._returned = sink, asyncio.get_running_loop().create_future()
        return await self._returned

    def flow(self, *texts: str) -> bool:
        """Give texts by the sink; where it has had enough the source waits to be asked again."""
        assert self._sink is not None and self._returned is not None
        has_room = self._sink([TextDelta(text) for text in texts])
        if not has_room:
            self._returned.set_result(())
        return has_room

    def give(self, *events: Event) -> None:
        assert self._returned is not None
        self._returned.set_result(events)

    def fail(self, error: Exception) -> None:
        assert self._returned is not None
        self._returned.set_exception(error)


class Reader:
    """Reads to the end with a sink, which has had enough where `is_full` says so."""

    def __init__(self, more: More) -> None:
        self._more = more
        self.is_full = False
        self.taken: list[Event] = []
        self.wakings = 0
        self.may_go_on = asyncio.Event()

    def take(self, batch: Sequence[Event]) -> bool:
        self.taken += batch
        return not self.is_full

    async def run(self) -> None:
        while self.taken[-1:] != [END]:
            self.taken += await self._more(self.take)
            self.wakings += 1
            if self.is_full:
                await self.may_go_on.wait()


async def settled() -> None:
    """Let all run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


Scene = Callable[[Recording, Source], Awaitable[None]]


async def recorded(scene: Scene) -> Recording:
    """Play a scene while a recording grows; return that once it is over."""
    recording, source = Recording(), Source()
    task = asyncio.create_task(recording.record(source.more, lambda: None))
    await settled()
    await scene(recording, source)
    await task
    return recording


def texts(*said: str) -> list[Event]:
    return [TextDelta(text) for text in said]


async def test_who_waits_with_a_sink_is_given_all_at_once_and_woken_for_the_end_alone():
    async def scene(recording: Recording, source: Source) -> None:
        reader = Reader(recording.reader())
        reading = asyncio.create_task(reader.run())
        await settled()
        for count, text in enumerate("abc", start=1):
            assert source.flow(text)
            assert len(reader.taken) == count, "given before anything else has run"
        source.give(TextDelta("d"), END)
        await reading
        assert reader.taken == [*texts(*"abcd"), END] and reader.wakings == 1

    assert (await recorded(scene)).is_whole


async def test_who_joins_later_has_it_from_its_start():
    async def scene(recording: Recording, source: Source) -> None:
        first, second = Reader(recording.reader()), Reader(recording.reader())
        reading = [asyncio.create_task(first.run())]
        await settled()
        source.flow("a", "b")
        reading.append(asyncio.create_task(second.run()))
        await settled()
        source.flow("c")
        source.give(END)
        await asyncio.gather(*reading)
        assert first.taken == second.taken == [*texts("a", "b", "c"), END]

    await recorded(scene)


async def test_who_has_had_enough_holds_the_source_up_and_misses_nothing():
    async def scene(recording: Recording, source: Source) -> None:
        reader = Reader(recording.reader())
        reading = asyncio.create_task(reader.run())
        await settled()
        reader.is_full = True
        assert source.flow("a")
        assert source.flow("b"), "so much may wait for it"
        assert reader.taken == texts("a")
        long = "c" * LEAD_BYTES_MAX
        assert not source.flow(long)
        await settled()
        reader.is_full = False
        reader.may_go_on.set()
        await settled()
        assert reader.taken == texts("a", "b", long)
        source.give(END)
        await reading
        assert reader.taken == [*texts("a", "b", long), END]

    await recorded(scene)


async def test_a_sink_that_fails_fails_its_own_reader_alone():
    def fail(_: Sequence[Event]) -> bool:
        raise ValueError("mine")

    async def scene(recording: Recording, source: Source) -> None:
        reader = Reader(recording.reader())
        reading = asyncio.create_task(reader.run())
        failing = asyncio.ensure_future(recording.reader()(fail))
        await settled()
        assert source.flow("a") and source.flow("b")
        with pytest.raises(ValueError, match="mine"):
            await failing
        source.give(END)
        await reading
        assert reader.taken == [*texts("a", "b"), END]

    await recorded(scene)


async def test_who_is_cancelled_is_given_no_more():
    async def scene(recording: Recording, source: Source) -> None:
        reader = Reader(recording.reader())
        reading = asyncio.create_task(reader.run())
        await settled()
        source.flow("a")
        reading.cancel()
        await settled()
        source.flow("b")
        source.give(END)
        assert reader.taken == texts("a")

    await recorded(scene)


async def test_what_breaks_off_is_told_to_who_waits_with_a_sink():
    async def scene(recording: Recording, source: Source) -> None:
        reader = Reader(recording.reader())
        reading = asyncio.create_task(reader.run())
        await settled()
        source.flow("a")
        source.fail(UpstreamReset("gone"))
        with pytest.raises(UpstreamReset, match="gone"):
            await reading
        assert reader.taken == texts("a")

    assert (await recorded(scene)).has_failed
