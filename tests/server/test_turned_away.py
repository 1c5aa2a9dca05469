"""What a server without room says over a real socket, before a request comes to the app."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.server.connections import DEADLINE_S, Listening, listening, statuses
from tests.server.doors import CHAT, chat_body, opened

from pointsman.server.bodies import Limits

HEALTH = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


@asynccontextmanager
async def full() -> AsyncIterator[Listening]:
    """Run a server that has no room for anything."""
    async with opened(limits=Limits(in_flight_max=0)) as client, listening(client.app) as server:
        yield server
        assert not client.upstream.calls


def post(path: str, body: bytes, *headers: str, version: str = "1.1") -> bytes:
    lines = (f"POST {path} HTTP/{version}", "host: localhost", f"content-length: {len(body)}")
    return "\r\n".join((*lines, *headers, "", "")).encode() + body


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        (CHAT, "code", "overloaded"),
        ("/chat/completions?x=1", "code", "overloaded"),
        ("/v1/responses", "code", "overloaded"),
        ("/v1/messages", "type", "overloaded_error"),
        ("/v1beta/models/auto:generateContent", "status", "UNAVAILABLE"),
    ],
)
async def test_whoever_is_turned_away_is_told_in_the_dialect_asked_for(
    path: str, name: str, value: str
):
    async with full() as server:
        received = await server.raw(post(path, chat_body()) + HEALTH)
    assert statuses(received) == [503, 200]
    head, _, body = received.partition(b"HTTP/1.1 200")[0].partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().splitlines()[1:])
    assert json.loads(body)["error"][name] == value
    assert int(headers["content-length"]) == len(body)
    assert headers["retry-after"] == "1"
    assert headers["x-should-retry"] == "true"
    assert headers["x-pointsman-attempts"] == "0"
    assert headers["x-request-id"]


async def test_the_reply_does_not_wait_for_the_body_and_the_connection_goes_on():
    request = post(CHAT, chat_body("long " * 10_000))
    async with full() as server:
        reader, writer = await server.connect()
        async with asyncio.timeout(DEADLINE_S):
            for _ in range(2):
                writer.write(request[:1000])
                head = await reader.readuntil(b"\r\n\r\n")
                assert statuses(head) == [503]
                length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
                writer.write(request[1000:])
            writer.write(HEALTH)
            assert statuses(await reader.read()) == [200]
        writer.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        post(CHAT, chat_body(), version="1.0"),
        post(CHAT, chat_body(), "connection: close"),
        post(CHAT, chat_body(), "expect: 100-continue"),
    ],
    ids=["HTTP/1.0", "closing", "asks before the body"],
)
async def test_who_cannot_be_told_at_once_is_told_all_the_same(request_bytes: bytes):
    async with full() as server:
        assert statuses(await server.raw(request_bytes)) == [503]


async def test_requests_sent_without_waiting_are_each_turned_away_in_turn():
    async with full() as server:
        received = await server.raw(post(CHAT, chat_body()) * 3 + HEALTH)
    assert statuses(received) == [503, 503, 503, 200]


async def test_a_body_of_a_turned_away_request_that_is_no_http_ends_the_connection():
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
    async with full() as server:
        received = await server.raw(head + b"transfer-encoding: chunked\r\n\r\nno length\r\n")
    assert statuses(received) == [503]
