"""Readers that stop reading: the upstream is read no further for them, and in time they are cut."""

import asyncio
import socket
from collections.abc import AsyncGenerator

import pytest
from tests.server.connections import Listening, listening
from tests.server.doors import CHAT, Client, chat_body, opened

from pointsman.core.events import Event, Finished, Started, TextDelta, UsageReport
from pointsman.core.types import Request, Step
from pointsman.core.usage import Usage
from pointsman.server.outlet import Outlet
from pointsman.server.protocol import STALL_S, Protocol

KIB = 1024
PIECE = "x" * KIB
PIECES = 4096
# FAULTS, row 18; a little of it is what the kernel holds for a client whose buffer is small.
BUFFERED_MAX = 256 * KIB
CACHES = [{}, {"x-pointsman-cache": "off"}]


class Gushing:
    """Says 4 MiB, as fast as it is read, and counts what it has said to each caller."""

    def __init__(self) -> None:
        self.said: list[int] = []
        self.ended = 0

    async def call(self, request: Request, step: Step) -> AsyncGenerator[Event]:
        del request
        index = len(self.said)
        self.said.append(0)
        try:
            yield Started(
                id="g", created=0, model=step.deployment.model, dialect="", is_stream=True
            )
            for number in range(PIECES):
                yield TextDelta(PIECE)
                self.said[index] += KIB
                if not number % 16:
                    await asyncio.sleep(0)
            yield UsageReport(Usage(input_tokens=1, output_tokens=2))
            yield Finished("stop")
        finally:
            self.ended += 1


class Hasty(Protocol):
    """Cuts off who stalls for half a second."""

    stall_s = 0.5


class Patient(Protocol):
    """Cuts off nobody in a test."""

    stall_s = 60.0


async def stalled(server: Listening, number: int, headers: dict[str, str]) -> socket.socket:
    """Ask for a stream, and read nothing of it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * KIB)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, ("127.0.0.1", server.port))
    body = chat_body(f"ask {number}", model="fake/small", stream=True)
    lines = [f"POST {CHAT} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    await loop.sock_sendall(connection, "\r\n".join([*lines, "", ""]).encode() + body)
    return connection


async def until_still(said: list[int], streams: int) -> None:
    """Wait until nothing more has been said for a while, to any of so many."""
    async with asyncio.timeout(30):
        before: list[int] = []
        while len(said) < streams or said != before:
            before = [*said]
            await asyncio.sleep(0.2)


async def outcomes(client: Client, count: int) -> list[str]:
    """Return how the attempts ended, once all of them have."""
    async with asyncio.timeout(30):
        while True:
            found = [row.settlement.outcome for row in client.pipeline.stores.ledger.rows()]
            if len(found) == count and "pending" not in found:
                return sorted(found)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("headers", CACHES, ids=["cache on", "cache off"])
async def test_for_a_reader_that_stops_the_upstream_is_read_no_further(
    headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    gushing = Gushing()
    async with opened() as client, listening(client.app, Patient) as server:
        monkeypatch.setattr(client.upstream, "call", gushing.call)
        readers = [await stalled(server, number, headers) for number in range(20)]
        await until_still(gushing.said, 20)
        assert max(gushing.said) <= BUFFERED_MAX
        assert gushing.ended == 0
        for reader in readers:
            reader.close()
        assert await outcomes(client, 20) == ["cancelled"] * 20
        assert gushing.ended == 20


@pytest.mark.parametrize("headers", CACHES, ids=["cache on", "cache off"])
async def test_in_time_it_is_cut_off_and_its_call_cancelled_and_booked(
    headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    gushing = Gushing()
    async with opened() as client, listening(client.app, Hasty) as server:
        monkeypatch.setattr(client.upstream, "call", gushing.call)
        reader = await stalled(server, 1, headers)
        assert await outcomes(client, 1) == ["cancelled"]
        assert not server.connections
        (row,) = client.pipeline.stores.ledger.rows()
        assert row.settlement.state == "settled"
        assert row.settlement.usage.is_estimated
        assert row.settlement.cost_nanousd
        reader.close()


async def test_a_reader_that_is_slow_but_reads_gets_all_of_it(monkeypatch: pytest.MonkeyPatch):
    gushing = Gushing()
    async with opened() as client, listening(client.app, Hasty) as server:
        monkeypatch.setattr(client.upstream, "call", gushing.call)
        reader = await stalled(server, 1, {"connection": "close"})
        loop, received = asyncio.get_running_loop(), b""
        pauses = 0
        while data := await loop.sock_recv(reader, 512 * KIB):
            received += data
            if pauses < 8:  # longer in all than a stall may be, and never as long at once
                pauses += 1
                await asyncio.sleep(Hasty.stall_s / 4)
        reader.close()
        assert await outcomes(client, 1) == ["answered"]
    assert received.count(PIECE.encode()) == PIECES
    assert b"[DONE]" in received


async def test_others_are_answered_while_many_stall(monkeypatch: pytest.MonkeyPatch):
    gushing = Gushing()
    async with opened() as client, listening(client.app, Patient) as server:
        with monkeypatch.context() as patched:
            patched.setattr(client.upstream, "call", gushing.call)
            readers = [await stalled(server, number, {}) for number in range(10)]
            await until_still(gushing.said, 10)
        assert (await client.chat("and me", model="fake/large")).status == 200
        for reader in readers:
            reader.close()


def test_a_minute_is_the_limit():
    assert Protocol.stall_s == STALL_S == 60


class Pipe(asyncio.Transport):
    """A transport whose other end takes what it is told to take."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.is_cut = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.waiting += len(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        del high, low

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def is_closing(self) -> bool:
        return self.is_cut

    def abort(self) -> None:
        self.is_cut = True


class Later:
    """A loop whose time passes when told."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.due: list[tuple[float, object]] = []

    def time(self) -> float:
        return self.now_s

    def call_later(self, delay_s: float, call: object) -> asyncio.TimerHandle:
        self.due.append((self.now_s + delay_s, call))
        return self  # type: ignore[return-value]

    def pass_time(self, until_s: float) -> None:
        while self.due and self.due[0][0] <= until_s:
            self.now_s, call = self.due.pop(0)
            assert callable(call)
            call()
        self.now_s = until_s


@pytest.mark.parametrize(
    ("taken_every_s", "is_cut"),
    [(None, True), (30.0, False), (59.0, False), (120.0, True)],
    ids=["never", "often", "just in time", "too late"],
)
def test_only_bytes_that_leave_are_progress(taken_every_s: float | None, is_cut: bool):
    loop, pipe = Later(), Pipe()
    outlet = Outlet(pipe, 60.0, loop)  # type: ignore[arg-type]
    outlet.write(b"x" * 1000)
    for second in range(1, 600):
        outlet.write(b"x")  # what comes on top is none
        if taken_every_s is not None and not second % taken_every_s:
            pipe.waiting -= 1
        loop.pass_time(float(second))
    assert pipe.is_cut == is_cut


def test_a_connection_with_nothing_to_say_is_left_alone():
    loop, pipe = Later(), Pipe()
    outlet = Outlet(pipe, 60.0, loop)  # type: ignore[arg-type]
    outlet.write(b"hello")
    pipe.waiting = 0
    loop.pass_time(1000.0)
    assert not pipe.is_cut
    assert not loop.due, "nor is it looked at any more"
