"""What a body may be (FAULTS, section 4), checked before anything is parsed or called."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.server.connections import listening, statuses
from tests.server.doors import CHAT, Reply, Source, chat_body, opened, request

from pointsman.core.wire.limits import (
    BODY_BYTES_MAX,
    DEPTH_MAX,
    DIGITS_MAX,
    KEYS_MAX,
    MESSAGES_MAX,
    MODEL_CHARS_MAX,
    TOOLS_MAX,
)
from pointsman.server.bodies import Limits

MIB = 1024 * 1024


def with_field(value: str) -> bytes:
    return chat_body()[:-1] + b', "x": ' + value.encode() + b"}"


def nested(depth: int) -> bytes:
    """Return a body whose deepest value stands `depth` levels deep."""
    return with_field("[" * (depth - 1) + "]" * (depth - 1))


def messages(count: int) -> bytes:
    return json.dumps(
        {"model": "fast", "messages": [{"role": "user", "content": "x"}] * count}
    ).encode()


def tools(count: int) -> bytes:
    return chat_body(tools=[{"type": "function", "function": {"name": "f"}}] * count)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(nested(DEPTH_MAX), id="depth"),
        pytest.param(with_field("1" * DIGITS_MAX), id="digits"),
        pytest.param(
            with_field("{" + ",".join(f'"k{n}":1' for n in range(KEYS_MAX)) + "}"), id="keys"
        ),
        pytest.param(messages(MESSAGES_MAX), id="messages"),
        pytest.param(tools(TOOLS_MAX), id="tools"),
        pytest.param(chat_body("[" * 1000 + "{" * 1000 + "1" * 1000), id="in a string"),
    ],
)
async def test_a_body_at_its_limit_is_taken(body: bytes):
    async with opened() as client:
        assert (await client.ask("POST", CHAT, body)).status == 200


@pytest.mark.parametrize("path", [CHAT, "/v1/decide", "/v1/feedback"])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(nested(DEPTH_MAX + 1), id="depth"),
        pytest.param(b"[" * MIB, id="brackets"),
        pytest.param(b'{"a":' * 100_000, id="braces"),
        pytest.param(with_field("1" * (DIGITS_MAX + 1)), id="digits"),
        pytest.param(with_field("1e" + "9" * 5000), id="exponent"),
        pytest.param(
            with_field("{" + ",".join(f'"k{n}":1' for n in range(KEYS_MAX + 1)) + "}"), id="keys"
        ),
        pytest.param(messages(MESSAGES_MAX + 1), id="messages"),
        pytest.param(messages(0), id="no messages"),
        pytest.param(tools(TOOLS_MAX + 1), id="tools"),
        pytest.param(chat_body(model="m" * (MODEL_CHARS_MAX + 1)), id="model"),
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"' + b"\\" * MIB, id="backslashes"),
        pytest.param(b"\xff" + chat_body(), id="no UTF-8"),
        pytest.param(chat_body().replace(b"hello", b"hel\xfflo"), id="no UTF-8 in a string"),
        pytest.param(chat_body() + b" x", id="more after the end"),
        pytest.param(chat_body(max_tokens=0), id="max_tokens"),
        pytest.param(chat_body(max_tokens=1.5), id="half a token"),
        pytest.param(chat_body(messages=[{"role": "user", "content": 7}]), id="content"),
        pytest.param(chat_body(messages="hi"), id="messages is text"),
    ],
)
async def test_a_body_past_a_limit_is_400_and_calls_nobody(path: str, body: bytes):
    async with opened() as client:
        reply = await client.ask("POST", path, body)
        assert client.upstream.calls == []
        assert list(client.pipeline.stores.ledger.rows()) == []
    assert reply.status == 400
    reply.error()
    assert len(reply.body) < 2000


def test_the_limits_are_those_of_the_checklist():
    assert BODY_BYTES_MAX == Limits().body_bytes_max == 32 * MIB
    assert (DEPTH_MAX, DIGITS_MAX, KEYS_MAX) == (64, 64, 10_000)
    assert (MESSAGES_MAX, TOOLS_MAX, MODEL_CHARS_MAX) == (4096, 256, 256)
    assert Limits().bodies_bytes_max == 256 * MIB
    assert Limits().body_s == 60


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/health/live"])
@pytest.mark.parametrize("stated", [str(32 * MIB + 1), "9" * 18])
async def test_a_body_that_says_it_is_too_large_is_413_unread(path: str, stated: str):
    method = "POST" if path == CHAT else "GET"
    async with opened() as client:
        reply = await client.ask(method, path, b"", {"content-length": stated})
    assert reply.status == 413
    assert reply.error()["code"] == "request_too_large"


@pytest.mark.parametrize("stated", ["-1", "+1", "1.0", "0x10", "", " ", "1,1", "٣", "9" * 5000])
async def test_a_content_length_that_is_none_is_400(stated: str):
    head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {stated}\r\n\r\n"
    async with opened() as client, listening(client.app) as server:
        assert statuses(await server.raw(head.encode() + chat_body())) == [400]
        assert client.upstream.calls == []


async def test_a_chunked_body_may_be_as_large_as_a_stated_one_and_no_larger():
    limits = Limits(body_bytes_max=1000)
    body = chat_body()
    fits = [body[:10], body[10:], b" " * (1000 - len(body))]
    async with opened(limits=limits) as client:
        assert (await client.ask("POST", CHAT, fits)).status == 200
        reply = await client.ask("POST", CHAT, [*fits, b" "])
    assert reply.status == 413
    assert reply.error()["code"] == "request_too_large"


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "gzip, identity", "x"])
async def test_an_encoded_body_is_415(encoding: str):
    async with opened() as client:
        reply = await client.ask("POST", CHAT, chat_body(), {"content-encoding": encoding})
        assert client.upstream.calls == []
    assert reply.status == 415
    assert reply.error()["code"] == "unsupported_media_type"


@pytest.mark.parametrize("encoding", ["identity", "Identity"])
async def test_identity_is_no_encoding(encoding: str):
    async with opened() as client:
        reply = await client.ask("POST", CHAT, chat_body(), {"content-encoding": encoding})
    assert reply.status == 200


@pytest.mark.parametrize("is_chunked", [True, False])
async def test_bodies_in_flight_have_a_bound_and_give_their_room_back(is_chunked: bool):
    body = chat_body()
    length = {} if is_chunked else {"content-length": str(len(body))}
    limits = Limits(bodies_bytes_max=len(body) + 20)
    source, first = Source(), Reply()
    incoming = request(CHAT, {"host": "localhost", **length}, source=source)
    incoming.feed(body[:50])
    async with opened(limits=limits) as client, asyncio.TaskGroup() as group:
        group.create_task(client.send(incoming, first))
        await source.asked.wait()
        refused = await client.ask("POST", CHAT, [body] if is_chunked else body)
        assert refused.status == 503
        assert refused.error()["code"] == "overloaded"
        assert refused.headers["x-should-retry"] == "true"
        assert refused.headers["retry-after"] == "1"
        incoming.feed(body[50:])
        incoming.end()
    assert first.status == 200
    async with opened(limits=limits) as client:
        for _ in range(5):
            assert (await client.ask("POST", CHAT, body)).status == 200
            assert (await client.ask("POST", CHAT, b"{" + body[1:-1])).status == 400
            assert (await client.ask("POST", CHAT, [body + b" " * 21])).status == 503


async def test_a_body_that_does_not_come_is_408_and_the_connection_ends():
    reply = Reply()
    async with opened(limits=Limits(body_s=0.01)) as client:
        await client.send(request(CHAT, {"host": "localhost"}), reply)
    assert reply.status == 408
    assert reply.headers["connection"] == "close"
    assert b"request_timeout" in reply.body
    assert reply.is_whole


async def test_a_body_that_grows_too_large_is_413_before_its_end():
    source, reply = Source(), Reply()
    incoming = request(CHAT, {"host": "localhost"}, source=source)
    async with opened(limits=Limits(body_bytes_max=1000)) as client, asyncio.TaskGroup() as group:
        group.create_task(client.send(incoming, reply))
        await source.asked.wait()
        for _ in range(2):
            incoming.feed(b" " * 501)
    assert reply.status == 413


async def test_a_client_that_hangs_up_in_its_body_is_told_nothing():
    source, reply = Source(), Reply()
    incoming = request(CHAT, {"host": "localhost"}, source=source)
    async with opened() as client, asyncio.TaskGroup() as group:
        group.create_task(client.send(incoming, reply))
        await source.asked.wait()
        incoming.hang_up()
    assert not reply.has_started
    assert client.upstream.calls == []


SHAPES: dict[str, tuple[str, Callable[[Any], object]]] = {
    "openai-chat": (CHAT, lambda told: told["error"]["code"]),
    "openai-responses": ("/v1/responses", lambda told: told["error"]["code"]),
    "openai-embeddings": ("/v1/embeddings", lambda told: told["error"]["code"]),
    "anthropic": ("/v1/messages", lambda told: (told["type"], told["error"]["type"])),
    "gemini": ("/v1beta/models/fast:generateContent", lambda told: told["error"]["status"]),
}
TOLD = {
    408: ("request_timeout", ("error", "timeout_error"), "DEADLINE_EXCEEDED"),
    413: ("request_too_large", ("error", "request_too_large"), "INVALID_ARGUMENT"),
    415: ("unsupported_media_type", ("error", "invalid_request_error"), "INVALID_ARGUMENT"),
    503: ("overloaded", ("error", "overloaded_error"), "UNAVAILABLE"),
}


@pytest.mark.parametrize("status", TOLD)
@pytest.mark.parametrize("dialect", SHAPES)
async def test_each_dialect_is_told_in_its_own_shape(dialect: str, status: int):
    path, read = SHAPES[dialect]
    headers = {413: {"content-length": "99999999999"}, 415: {"content-encoding": "br"}}
    limits = Limits(body_s=0.01, bodies_bytes_max=0 if status == 503 else 1000)
    incoming, reply = request(path, {"host": "localhost", **headers.get(status, {})}), Reply()
    incoming.feed(b"{")
    async with opened(limits=limits) as client:
        await client.send(incoming, reply)
        assert client.upstream.calls == []
    assert reply.status == status
    openai, anthropic, gemini = TOLD[status]
    told = read(reply.json())
    assert told == {"anthropic": anthropic, "gemini": gemini}.get(dialect, openai)
