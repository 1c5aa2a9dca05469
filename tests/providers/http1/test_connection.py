"""One connection: what it holds back, what it waits for, and when it may be used again."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import MemoryNetwork

from pointsman.core.errors import UpstreamReset, UpstreamTimeout
from pointsman.providers.http1.connection import UNREAD_BYTES_MAX, Connection
from pointsman.providers.transport import PIECE_BYTES

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"
SENT = b"POST / HTTP/1.1\r\n\r\n"


class Wire(asyncio.Transport):
    """Notes what is done to it. `unsent`: bytes that the network has not taken."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_paused = self.is_aborted = False
        self.unsent = 0

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True

    def get_write_buffer_size(self) -> int:
        return self.unsent


class CountingLoop(VirtualLoop):
    """Counts the timers that are set on it."""

    def __init__(self) -> None:
        super().__init__(MemoryNetwork(), begins_s=5.0, crashes_s=None, ends_s=1e9)
        self.timers = 0

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        self.timers += 1
        return super().call_at(when, callback, *args, context=context)


def run(work: Coroutine[Any, Any, None], loop: CountingLoop) -> None:
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()


def opened(loop: asyncio.AbstractEventLoop) -> tuple[Connection, Wire, list[Connection]]:
    gone: list[Connection] = []
    connection, wire = Connection(loop, gone.append), Wire()
    connection.connection_made(wire)
    return connection, wire, gone


async def asked() -> tuple[Connection, Wire, list[Connection]]:
    """Return a connection on which a request has just been sent."""
    found = opened(asyncio.get_running_loop())
    found[0].send(SENT, b"body")
    return found


async def begun(connection: Connection, deadline_s: float) -> None:
    """Wait for a reply's headers."""
    while not connection.has_begun():
        await connection.arrival(deadline_s)


@pytest.mark.parametrize(("size", "writes"), [(0, 1), (1_500, 1), (16_384, 1), (100_000, 1)])
async def test_a_request_goes_out_in_one_write(size: int, writes: int):
    connection, wire, _ = opened(asyncio.get_running_loop())
    connection.send(SENT, b"x" * size)
    assert len(wire.written) == writes and b"".join(wire.written) == SENT + b"x" * size


async def test_an_upstream_is_read_no_further_than_its_reader_follows():
    connection, wire, _ = await asked()
    size = 4 * UNREAD_BYTES_MAX
    connection.data_received(HEAD % size)
    taken = given = 0
    while given < size:
        while not wire.is_paused and given < size:
            connection.data_received(b"x" * 10_000)
            given += 10_000
            assert len(connection.reading.unread) <= UNREAD_BYTES_MAX + 10_000
        while wire.is_paused or connection.reading.unread:
            piece = connection.at_hand()
            assert piece is not None and 0 < len(piece) <= PIECE_BYTES
            taken += len(piece)
    assert taken >= size and connection.end_exchange() is False  # more came than was announced


async def test_what_is_at_hand_is_given_before_what_went_wrong():
    connection, _, gone = await asked()
    connection.data_received(HEAD % 10 + b"abc")
    connection.connection_lost(ConnectionResetError(104, "reset"))
    assert connection.at_hand() == b"abc" and gone == [connection]
    with pytest.raises(UpstreamReset, match="reset"):
        connection.at_hand()


@pytest.mark.parametrize("data", [b"HTTP/1.1 200 OK\r\n\r\n", b"\r\n", b"\0"])
async def test_whatever_comes_unasked_ends_a_connection(data: bytes):
    connection, wire, gone = opened(asyncio.get_running_loop())
    connection.data_received(data)
    assert wire.is_aborted and gone == [connection] and not connection.is_open


async def test_a_request_that_is_not_all_out_lets_no_other_follow():
    # The reply has come before the body was sent: its rest would be read as the next request.
    for unsent in (0, 1):
        connection, wire, _ = await asked()
        connection.data_received(HEAD % 0)
        wire.unsent = unsent
        assert connection.end_exchange() is (unsent == 0)
        assert wire.is_aborted is (unsent > 0)


async def test_a_reply_that_is_not_whole_lets_no_other_follow():
    connection, wire, gone = await asked()
    connection.data_received(HEAD % 2 + b"a")
    assert not connection.end_exchange() and wire.is_aborted and gone == [connection]


def test_a_stream_of_many_pieces_takes_few_timers():
    loop = CountingLoop()
    timers = 0

    async def follow() -> None:
        nonlocal timers
        connection, _, _ = await asked()
        connection.data_received(HEAD % 1000)
        await begun(connection, loop.time() + 60)
        before = loop.timers
        for number in range(1000):
            loop.call_soon(connection.data_received, b"x")
            assert await connection.read(loop.time() + 30) == b"x"
            if number % 10 == 0:
                timers -= 1  # this sleep's own
                await asyncio.sleep(1)
        timers += loop.timers - before
        assert connection.at_hand() == b"" and connection.end_exchange()

    run(follow(), loop)
    assert timers <= 5


@pytest.mark.parametrize("limits_s", [(10.0, 3.0), (3.0, 10.0), (5.0, 5.0)])
def test_each_wait_has_its_own_limit(limits_s: tuple[float, float]):
    loop = CountingLoop()

    async def wait() -> None:
        connection, _, _ = await asked()
        first_s, second_s = limits_s
        loop.call_later(1, connection.data_received, HEAD % 9 + b"a")
        await begun(connection, loop.time() + first_s)
        assert connection.at_hand() == b"a"
        began_s = loop.time()
        with pytest.raises(UpstreamTimeout):
            await connection.read(began_s + second_s)
        assert loop.time() - began_s == pytest.approx(second_s, abs=0.01)
        connection.abort()

    run(wait(), loop)


def test_a_limit_that_ran_out_while_nobody_waited_says_nothing():
    loop = CountingLoop()

    async def wait() -> None:
        connection, _, _ = await asked()
        loop.call_later(1, connection.data_received, HEAD % 2 + b"a")
        await begun(connection, loop.time() + 5)
        assert connection.at_hand() == b"a"
        await asyncio.sleep(20)
        loop.call_later(4, connection.data_received, b"b")
        assert await connection.read(loop.time() + 5) == b"b"

    run(wait(), loop)


def test_a_request_without_a_reply_is_late_in_time():
    loop = CountingLoop()

    async def wait() -> None:
        connection, _, _ = await asked()
        with pytest.raises(UpstreamTimeout):
            await begun(connection, loop.time() + 7)
        assert loop.time() == pytest.approx(12.0, abs=0.01)

    run(wait(), loop)


def all_of_it(taken: list[bytes]) -> Callable[[bytes], bool]:
    """Return a taker that never has enough."""

    def take(piece: bytes) -> bool:
        taken.append(piece)
        return False

    return take


def test_what_flows_is_given_as_it_comes_until_enough_has():
    loop = CountingLoop()

    async def follow() -> None:
        connection, _, _ = await asked()
        connection.data_received(HEAD % 9)
        taken: list[bytes] = []

        def take(piece: bytes) -> bool:
            taken.append(piece)
            return len(taken) == 3

        for second, piece in enumerate((b"ab", b"cd", b"ef", b"gh")):
            loop.call_later(second, connection.data_received, piece)
        await connection.flow(take, lambda: 60.0)
        assert taken == [b"ab", b"cd", b"ef"]
        assert await connection.read(60.0) == b"gh"

    run(follow(), loop)


def test_a_flow_ends_with_the_body_whose_end_is_at_hand():
    loop = CountingLoop()

    async def follow() -> None:
        connection, _, _ = await asked()
        connection.data_received(HEAD % 4)
        taken: list[bytes] = []
        loop.call_later(1, connection.data_received, b"ab")
        loop.call_later(2, connection.data_received, b"cd")
        await connection.flow(all_of_it(taken), lambda: 60.0)
        assert taken == [b"ab"]
        assert (connection.at_hand(), connection.at_hand()) == (b"cd", b"")

    run(follow(), loop)


def test_a_flow_that_breaks_ends_and_says_so_to_whoever_reads_on():
    loop = CountingLoop()

    async def follow() -> None:
        connection, _, _ = await asked()
        connection.data_received(HEAD % 4)
        loop.call_later(1, connection.connection_lost, None)
        await connection.flow(lambda _: False, lambda: 60.0)
        with pytest.raises(UpstreamReset):
            connection.at_hand()

    run(follow(), loop)


def test_more_at_once_than_a_taker_is_given_is_left_at_hand():
    loop = CountingLoop()

    async def follow() -> None:
        connection, wire, _ = await asked()
        connection.data_received(HEAD % 100_000)
        taken: list[bytes] = []
        loop.call_later(1, connection.data_received, b"x" * (2 * PIECE_BYTES + 5))
        await connection.flow(all_of_it(taken), lambda: 60.0)
        assert [len(piece) for piece in taken] == [PIECE_BYTES] and wire.is_paused
        left = [len(connection.at_hand() or b"") for _ in range(2)]
        assert left == [PIECE_BYTES, 5] and not wire.is_paused

    run(follow(), loop)


def test_the_deadline_of_a_flow_may_get_later():
    loop = CountingLoop()

    async def follow() -> None:
        connection, _, _ = await asked()
        connection.data_received(HEAD % 100)
        began_s = loop.time()
        due_s = began_s + 3

        def take(_: bytes) -> bool:
            nonlocal due_s
            due_s = loop.time() + 3
            return False

        for second in (2, 4, 6):
            loop.call_later(second, connection.data_received, b"x")
        with pytest.raises(UpstreamTimeout):
            await connection.flow(take, lambda: due_s)
        assert loop.time() - began_s == pytest.approx(9.0, abs=0.01)
        connection.abort()

    run(follow(), loop)
