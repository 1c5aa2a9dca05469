"""Acceptor: workers take connections in fair parts, and wait for nobody who is stuck."""

import asyncio
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from pointsman.server import acceptor
from pointsman.server.acceptor import Acceptor, Places
from pointsman.server.link import Adopt, Ask, Frames, Message, Prepared, Ready, Told, framed

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener


class Worker:
    """One that counts its connections."""

    def __init__(
        self, listener: socket.socket, places: Places, place: int, stack: ExitStack
    ) -> None:
        self.listener = listener.dup()
        self.open: set[asyncio.BaseTransport] = set()
        self._acceptor = Acceptor(
            self.listener, places, place, make=self._make, count=lambda: len(self.open)
        )
        stack.callback(self.close)

    def _make(self) -> asyncio.Protocol:
        opened = self.open

        class Kept(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                self.transport = transport
                opened.add(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                opened.discard(self.transport)

        return Kept()

    def close(self) -> None:
        self._acceptor.close()
        for transport in tuple(self.open):
            transport.close()
        self.listener.close()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110 - what sockets do sets no event
            await asyncio.sleep(0)


async def test_a_burst_is_shared_out_evenly_and_room_made_up_for(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(acceptor, "_LEAVE_S", 0.05)  # a busy machine is no reason to fail
    places, address = Places(2), listener.getsockname()
    with ExitStack() as stack:
        one, two = (Worker(listener, places, place, stack) for place in range(2))
        for _ in range(24):
            stack.enter_context(socket.create_connection(address))
        await until(lambda: len(one.open) + len(two.open) == 24)
        assert abs(len(one.open) - len(two.open)) <= 4
        for transport in tuple(two.open)[:8]:
            transport.close()
        await until(lambda: len(one.open) + len(two.open) == 16)
        for _ in range(6):
            stack.enter_context(socket.create_connection(address))
        await until(lambda: len(one.open) + len(two.open) == 22)
        assert abs(len(one.open) - len(two.open)) <= 6


async def test_who_has_more_takes_all_the_same_where_the_other_is_stuck_or_gone(
    listener: socket.socket,
):
    places = Places(2)
    places.tell(1, 0)  # one that never takes any
    with ExitStack() as stack:
        worker = Worker(listener, places, 0, stack)
        for _ in range(20):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        await until(lambda: len(worker.open) == 20)
        places.leave(1)
        for _ in range(20):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        await until(lambda: len(worker.open) == 40)
    assert places.least() == 0


def test_messages_come_whole_however_they_are_cut():
    sent: list[Message] = [Ready(), Told(7, b"x" * 300), Prepared(1, "a fault"), Ask(2), Adopt(3)]
    data, frames = b"".join(map(framed, sent)), Frames()
    assert [m for n in range(len(data)) for m in frames.add(data[n : n + 1])] == sent
    assert list(Frames().add(data)) == sent
