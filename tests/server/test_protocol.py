"""What is refused before it is a request: headers that do not come."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.server.connections import listening
from tests.server.doors import chat_body, opened

from pointsman.server.protocol import HEADERS_S, Protocol


class Hasty(Protocol):
    """Waits for headers hardly at all."""

    headers_s = 0.02


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to a hasty server."""
    async with opened() as client, listening(client.app, Hasty) as server:
        reader, writer = await server.connect()
        yield reader, writer
        writer.close()
        await writer.wait_closed()


def test_headers_may_take_ten_seconds():
    assert Protocol.headers_s == HEADERS_S == 10


@pytest.mark.parametrize(
    "data", [b"", b"GET /health/live HT", b"GET / HTTP/1.1\r\nhost: localhost\r\n"]
)
async def test_headers_that_do_not_come_are_408_and_the_end(data: bytes):
    async with connected() as (reader, writer):
        writer.write(data)
        received = await reader.read()
    assert received.startswith(b"HTTP/1.1 408 ")
    assert "headers" in json.loads(received.partition(b"\r\n\r\n")[2])["error"]["message"]


async def test_a_body_and_an_answer_may_take_longer_than_headers():
    body = chat_body()
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
        b"connection: close\r\ncontent-length: %d\r\n\r\n"
    )
    async with connected() as (reader, writer):
        writer.write(head % len(body) + body[:5])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3 * Hasty.headers_s):
                await reader.read(1)
        writer.write(body[5:])
        received = await reader.read()
    assert received.startswith(b"HTTP/1.1 200 ")


async def test_the_second_request_of_a_connection_has_the_same_limit():
    async with connected() as (reader, writer):
        writer.write(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\nGET /health")
        received = await reader.read()
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in received
