"""Too much at once: what comes on top is told to come again, before any of its body is read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from tests.server.connections import Listening, listening, statuses
from tests.server.doors import CHAT, Client, Reply, Unasked, chat_body, opened, request
from tests.server.test_streaming import Slow

from pointsman.config import ServerSettings
from pointsman.server.bodies import Limits
from pointsman.server.protocol import CONNECTIONS_MAX, Protocol

PATHS = {
    "openai-chat": CHAT,
    "openai-responses": "/v1/responses",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/fast:generateContent",
}


@asynccontextmanager
async def filled(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Client, Slow]]:
    """Open an app that takes one request, and has it."""
    slow = Slow()
    async with opened(limits=Limits(in_flight_max=1)) as client:
        monkeypatch.setattr(client.upstream, "call", slow.call)
        begun = asyncio.Event()
        body = chat_body(model="fast", stream=True)
        first = asyncio.create_task(client.ask("POST", CHAT, body, begun=begun))
        await begun.wait()
        yield client, slow
        slow.go_on.set()
        assert (await first).frames()[-1] == "[DONE]"
        assert (await client.chat("more")).status == 200


@pytest.mark.parametrize("dialect", PATHS)
async def test_what_is_too_much_is_503_in_every_dialect_and_its_body_is_not_read(
    dialect: str, monkeypatch: pytest.MonkeyPatch
):
    headers = {"host": "localhost", "content-length": "1000"}
    refused = Reply()
    async with filled(monkeypatch) as (client, _):
        await client.send(request(PATHS[dialect], headers, source=Unasked()), refused)
    assert refused.status == 503
    assert (refused.headers["retry-after"], refused.headers["x-should-retry"]) == ("1", "true")
    assert b'"error"' in refused.body
    assert refused.is_whole


async def test_probes_are_answered_however_much_there_is(monkeypatch: pytest.MonkeyPatch):
    async with filled(monkeypatch) as (client, _):
        for path in ("/health/live", "/health/ready", "/"):
            assert (await client.ask("GET", path)).status == 200
        assert (await client.ask("GET", "/v1/models")).error()["code"] == "overloaded"


async def test_who_is_not_let_in_takes_no_room():
    limits = Limits(in_flight_max=1)
    async with opened(limits=limits, keys="me:0123456789abcdef") as client:
        for _ in range(3):
            assert (await client.chat()).status == 401
            assert (await client.ask("GET", "/nowhere")).status == 404
        headers = {"authorization": "Bearer 0123456789abcdef"}
        assert (await client.chat(headers=headers)).status == 200


class Narrow(Protocol):
    """Takes two connections."""

    connections_max = 2


async def emptied(server: Listening) -> None:
    """Wait until the server has seen all its connections close."""
    async with asyncio.timeout(10):
        while True:
            if not server.connections:
                return
            await asyncio.sleep(0)


async def test_connections_beyond_the_limit_get_503_but_for_probes():
    body = chat_body(model="fast")
    ask = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b"
    ask %= (CHAT.encode(), len(body), body)
    probe = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with opened() as client, listening(client.app, Narrow) as server:
        within = [await server.connect() for _ in range(2)]
        refused = await server.raw(ask)
        assert statuses(refused) == [503]
        assert b'"overloaded"' in refused
        assert b"retry-after: 1" in refused
        assert statuses(await server.raw(probe)) == [200]  # and the connection is closed
        for reader, writer in within:
            writer.write(ask)
            assert b" 200 " in await reader.readline()
            writer.close()
        await emptied(server)
        reader, writer = await server.connect()
        writer.write(ask)
        assert b" 200 " in await reader.readline()
        writer.close()


async def test_far_beyond_the_limit_a_connection_is_cut_without_a_word(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("pointsman.server.protocol._SPARE_CONNECTIONS", 1)
    async with opened() as client, listening(client.app, Narrow) as server:
        held = [await server.connect() for _ in range(3)]
        received = b""
        with suppress(ConnectionError):
            received = await server.raw(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert received == b""
        for _, writer in held:
            writer.close()


def test_the_settings_say_what_the_limits_are():
    assert ServerSettings().in_flight_max == Limits().in_flight_max
    assert ServerSettings().connections_max == CONNECTIONS_MAX == Protocol.connections_max
