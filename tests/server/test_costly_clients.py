"""What a client can make the server hold or do without ever sending a request's end."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

import pytest
from tests.server.connections import DEADLINE_S, listening, statuses
from tests.server.doors import CHAT, chat_body, opened

from pointsman.core.events import Event
from pointsman.core.types import Request, Step
from pointsman.server.parser import HEADERS_BYTES_MAX
from pointsman.server.protocol import PIPELINED_MAX, Protocol

PROBE = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST %b HTTP/1.1\r\nHost: localhost\r\n" % CHAT.encode()
CLOSING = PROBE[:-2] + b"Connection: close\r\n\r\n"
ENDLESS = {
    "a header's value": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ",
    "a header's name": b"GET / HTTP/1.1\r\nHost: localhost\r\n",
    "a header behind the body": POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ",
    "a chunk's extension": POST + b"Transfer-Encoding: chunked\r\n\r\n5;",
}


class Silent:
    """A provider that never answers, and sees who no longer waits."""

    def __init__(self) -> None:
        self.asked, self.left = asyncio.Event(), asyncio.Event()

    async def call(self, _request: Request, _step: Step) -> AsyncGenerator[Event]:
        self.asked.set()
        try:
            await asyncio.Event().wait()
            yield  # type: ignore[misc]
        finally:
            self.left.set()


class Hasty(Protocol):
    """Waits for a next request hardly at all."""

    headers_s = 0.02
    leftover_body_s = 60.0


@pytest.mark.parametrize("name", ENDLESS)
async def test_what_the_parser_gathers_without_a_word_has_a_bound(name: str):
    async with opened() as client, listening(client.app) as server:
        reader, writer = await server.connect()
        writer.write(ENDLESS[name])
        async with asyncio.timeout(DEADLINE_S):
            received = asyncio.ensure_future(reader.read())
            while not received.done():
                writer.write(b"a" * HEADERS_BYTES_MAX)
                await asyncio.sleep(0)
            writer.close()
    assert statuses(await received) == [431]


async def test_a_header_of_the_allowed_size_may_come_in_pieces():
    value = b"a" * (HEADERS_BYTES_MAX - 100)
    data = PROBE[:-2] + b"Connection: close\r\nX: " + value + b"\r\n\r\n"
    async with opened() as client, listening(client.app) as server:
        assert statuses(await server.raw(data, piece=1000)) == [200]


@asynccontextmanager
async def answering(
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, Protocol, Silent]]:
    """Connect, and have a request wait for its answer; its connection is given from both sides."""
    silent, body = Silent(), chat_body(model="fast")
    async with opened() as client, listening(client.app) as server:
        monkeypatch.setattr(client.upstream, "call", silent.call)
        reader, writer = await server.connect()
        writer.write(POST + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        async with asyncio.timeout(DEADLINE_S):
            await silent.asked.wait()
            (protocol,) = server.connections
            assert isinstance(protocol, Protocol)
            yield reader, writer, protocol, silent


async def waiting(protocol: Protocol, requests: int) -> None:
    """Wait until so many requests wait behind the one that is being answered."""
    while True:
        if len(protocol.waiting) == requests:
            return
        await asyncio.sleep(0)


async def test_no_more_than_a_few_requests_wait_behind_one(monkeypatch: pytest.MonkeyPatch):
    async with answering(monkeypatch) as (reader, writer, protocol, silent):
        writer.write(PROBE * PIPELINED_MAX)
        await waiting(protocol, PIPELINED_MAX)
        writer.write(PROBE)
        assert await reader.read() == b""  # a word now would be taken for the first one's reply
        await silent.left.wait()
        writer.close()


async def test_who_leaves_is_noticed_whatever_waits_behind(monkeypatch: pytest.MonkeyPatch):
    async with answering(monkeypatch) as (_, writer, protocol, silent):
        writer.write(PROBE)
        await waiting(protocol, 1)
        writer.close()
        await silent.left.wait()


@pytest.mark.parametrize(
    "data", [PROBE + b"\r\n", POST + b"Content-Length: 2\r\nContent-Encoding: br\r\n\r\n{}"]
)
async def test_stray_bytes_behind_a_reply_keep_no_connection_open(data: bytes):
    async with opened() as client, listening(client.app, Hasty) as server:
        reader, writer = await server.connect()
        writer.write(data[:-2])
        begun = await reader.readuntil(b"}")
        writer.write(data[-2:])
        async with asyncio.timeout(DEADLINE_S):
            rest = await reader.read()
        writer.close()
    assert len(statuses(begun + rest)) == 1


class Turns(Protocol):
    """Notes in which turn of the loop each piece has come."""

    turn = 0
    taken: ClassVar[list[int]] = []

    def data_received(self, data: bytes) -> None:
        if len(data) >= 64 * 1024:
            Turns.taken.append(Turns.turn)
        super().data_received(data)


def test_one_client_is_not_read_twice_in_a_turn():
    async def send_much() -> None:
        head = b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        async with opened() as client, listening(client.app, Turns) as server:
            other = asyncio.create_task(take_turns())
            data = head + b"400\r\n%b\r\n" % (b"a" * 1024) * 16_000
            received = await server.raw(data + b"0\r\n\r\n" + CLOSING, piece=len(data))
            other.cancel()
        assert statuses(received) == [404, 200]

    async def take_turns() -> None:
        while True:
            Turns.turn += 1
            await asyncio.sleep(0)

    uvloop = pytest.importorskip("uvloop")  # asyncio's own loop reads once in a turn
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(send_much())
    assert len(Turns.taken) > 1
    assert len(set(Turns.taken)) == len(Turns.taken)
