"""Framing: what a proxy could read otherwise than we do is refused, and the connection closed."""

import asyncio
import json

import pytest
from tests.server.connections import Listening, listening, statuses
from tests.server.doors import CHAT, Client, chat_body, opened
from tests.server.test_streaming import Slow

from pointsman.server.protocol import Protocol

HEAD = b"POST /v1/decide HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
PROBE = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"

REFUSED: dict[str, bytes] = {
    # Two lengths (RFC 9112, section 6).
    "length, then chunked": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
    "chunked, then length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + END,
    "the same length twice": HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "a list of lengths": HEAD + b"Content-Length: 2, 2\r\n\r\n{}",
    "length with a sign": HEAD + b"Content-Length: +2\r\n\r\n{}",
    "negative length": HEAD + b"Content-Length: -2\r\n\r\n{}",
    "hexadecimal length": HEAD + b"Content-Length: 0x2\r\n\r\n{}",
    "empty length": HEAD + b"Content-Length: \r\n\r\n",
    "length in two words": HEAD + b"Content-Length: 2 2\r\n\r\n{}",
    "length beyond 64 bits": HEAD + b"Content-Length: 99999999999999999999\r\n\r\n{}",
    # Codings.
    "identity": HEAD + b"Transfer-Encoding: identity\r\n\r\n",
    "gzip": HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
    "gzip and chunked": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + END,
    "chunked twice": HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + END,
    "chunked, not last": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n" + END,
    "two codings": HEAD
    + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
    "two of chunked": HEAD
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
    "empty coding first": HEAD + b"Transfer-Encoding: ,chunked\r\n\r\n" + END,
    "no coding": HEAD + b"Transfer-Encoding: \r\n\r\n" + END,
    "unknown coding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n" + END,
    "coding with a control": HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + END,
    "coding in quotes": HEAD + b'Transfer-Encoding: "chunked"\r\n\r\n' + END,
    "chunked in HTTP/1.0": b"POST /v1/decide HTTP/1.0\r\nHost: localhost\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n" + END,
    # Ends of lines.
    "bare LF": b"GET /health/live HTTP/1.1\nHost: localhost\n\n",
    "bare LF after the first line": b"GET /health/live HTTP/1.1\nHost: localhost\r\n\r\n",
    "bare LF after a header": b"GET /health/live HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
    "bare LF at the end": PROBE + b"\n",
    "bare CR after a header": b"GET /health/live HTTP/1.1\r\nHost: localhost\rX: y\r\n\r\n",
    "two CR": PROBE + b"X: a\r\r\n\r\n",
    # Headers.
    "CR in a value": PROBE + b"X: a\rb\r\n\r\n",
    "NUL in a value": PROBE + b"X: a\0b\r\n\r\n",
    "NUL in a name": PROBE + b"X\0a: b\r\n\r\n",
    "control in a value": PROBE + b"X: a\x01b\r\n\r\n",
    "DEL in a value": PROBE + b"X: a\x7fb\r\n\r\n",
    "folded with a space": PROBE + b"X: a\r\n b\r\n\r\n",
    "folded with a tab": PROBE + b"X: a\r\n\tb\r\n\r\n",
    "folded from nothing": PROBE + b"X:\r\n b\r\n\r\n",
    "folded first": b"GET /health/live HTTP/1.1\r\n Host: localhost\r\n\r\n",
    "space before the colon": PROBE + b"X : a\r\n\r\n",
    "tab before the colon": PROBE + b"X\t: a\r\n\r\n",
    "no name": PROBE + b": a\r\n\r\n",
    "no colon": PROBE + b"Xabc\r\n\r\n",
    "brackets in a name": PROBE + b"X(a): b\r\n\r\n",
    "no host": b"GET /health/live HTTP/1.1\r\n\r\n",
    "empty host": b"GET /health/live HTTP/1.1\r\nHost:\r\n\r\n",
    "two hosts": PROBE + b"Host: localhost\r\n\r\n",
    # Chunks (section 7.1).
    "LF in an extension": CHUNKED + b"2;a\nb\r\n{}\r\n" + END,
    "CR in an extension": CHUNKED + b"2;a\rb\r\n{}\r\n" + END,
    "LF after a size": CHUNKED + b"2\n{}\r\n" + END,
    "LF after a chunk": CHUNKED + b"2\r\n{}\n" + END,
    "nothing after a chunk": CHUNKED + b"2\r\n{}" + END,
    "chunk longer than its size": CHUNKED + b"1\r\n{}\r\n" + END,
    "size with 0x": CHUNKED + b"0x2\r\n{}\r\n" + END,
    "size with a sign": CHUNKED + b"+2\r\n{}\r\n" + END,
    "negative size": CHUNKED + b"-2\r\n{}\r\n" + END,
    "space before a size": CHUNKED + b" 2\r\n{}\r\n" + END,
    "space after a size": CHUNKED + b"2 \r\n{}\r\n" + END,
    "tab after a size": CHUNKED + b"2\t\r\n{}\r\n" + END,
    "size with an underscore": CHUNKED + b"1_0\r\n" + b" " * 16 + b"\r\n" + END,
    "size beyond 64 bits": CHUNKED + b"FFFFFFFFFFFFFFFFF\r\n{}\r\n" + END,
    "no size": CHUNKED + b"\r\n{}\r\n" + END,
    "LF after the last chunk": CHUNKED + b"2\r\n{}\r\n0\n\n",
    "LF at the very end": CHUNKED + b"2\r\n{}\r\n0\r\n\n",
    "a length behind the body": CHUNKED + b"2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n",
    "a coding behind the body": CHUNKED + b"2\r\n{}\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    # First lines.
    "HTTP/0.9": b"GET /health/live\r\n\r\n",
    "HTTP/1.2": b"GET /health/live HTTP/1.2\r\nHost: localhost\r\n\r\n",
    "HTTP/2.0": b"GET /health/live HTTP/2.0\r\nHost: localhost\r\n\r\n",
    "HTTP/2 outright": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http in small letters": b"GET /health/live http/1.1\r\nHost: localhost\r\n\r\n",
    "method in small letters": b"get /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "tab for a space": b"GET\t/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "space in the address": b"GET /health live HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "space at the end": b"GET /health/live HTTP/1.1 \r\nHost: localhost\r\n\r\n",
    "space before all": b" " + PROBE + b"\r\n",
    "control in the address": b"GET /health\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "address not in ASCII": b"GET /health\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "address without a slash": b"GET health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "fragment": b"GET /health/live#x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "address of another host": b"GET http://evil.example/health/live HTTP/1.1\r\n"
    b"Host: localhost\r\n\r\n",
    "CONNECT": b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
}  # fmt: skip
TAKEN: dict[str, bytes] = {
    "length": HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}",
    "chunks": HEAD + b"Connection: close\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\n{\r\n1;a=b\r\n}"
    b"\r\n" + END,
    "header behind the body": HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n",
    "absolute": b"POST http://LOCALHOST/v1/decide HTTP/1.1\r\nHost: localhost\r\n"
    b"Connection: close\r\nContent-Length: 2\r\n\r\n{}",
    "HTTP/1.0 without a host": b"POST /v1/decide HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}",
    "empty lines first": b"\r\n\r\n" + HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}",
}


async def ask_raw(data: bytes, *, piece: int = 1 << 20) -> tuple[bytes, Client]:
    async with opened() as client, listening(client.app) as server:
        return await server.raw(data, piece=piece), client


@pytest.mark.parametrize("name", REFUSED)
async def test_what_could_be_read_in_two_ways_is_400_and_the_end(name: str):
    smuggled = b"POST /v1/decide HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
    received, client = await ask_raw(REFUSED[name] + smuggled)
    assert statuses(received) == [400]
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    error = json.loads(body)["error"]
    assert error["type"] == "invalid_request_error"
    assert b"x-request-id: " + error["request_id"].encode() in head
    assert client.upstream.calls == []


@pytest.mark.parametrize("name", ["two lengths", "bare LF", "size with 0x", "no host"])
async def test_it_is_the_same_byte_by_byte(name: str):
    received, _ = await ask_raw(REFUSED[name], piece=1)
    assert statuses(received) == [400]


@pytest.mark.parametrize("piece", [1, 1 << 20])
@pytest.mark.parametrize("name", TAKEN)
async def test_what_is_sound_reaches_its_route(name: str, piece: int):
    received, _ = await ask_raw(TAKEN[name], piece=piece)
    assert statuses(received) == [400]
    assert b"messages" in received  # the route's own words: the body was {}


async def test_a_header_behind_the_body_changes_nothing():
    body = chat_body(model="fast")
    data = (
        b"POST %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n"
        b"Authorization: Bearer 0123456789abcdef\r\nHost: evil.example\r\n"
        b"X-Pointsman-Tier: power\r\n\r\n"
    ) % (CHAT.encode(), len(body), body)
    async with opened() as client, listening(client.app) as server:
        received = await server.raw(data)
        assert b"x-pointsman-tier: fast" in received
    async with opened(keys="me:0123456789abcdef") as client, listening(client.app) as server:
        assert statuses(await server.raw(data)) == [401]


async def test_nothing_is_said_into_a_reply_that_is_on_its_way(monkeypatch: pytest.MonkeyPatch):
    body = chat_body(model="fast", stream=True)
    first = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (
        CHAT.encode(),
        len(body),
        body,
    )
    slow = Slow()
    async with opened() as client, listening(client.app) as server:
        monkeypatch.setattr(client.upstream, "call", slow.call)
        reader, writer = await server.connect()
        writer.write(first)
        begun = await reader.readuntil(b"first")
        writer.write(REFUSED["bare LF"])
        rest = await reader.read()
        writer.close()
    assert statuses(begun + rest) == [200]
    assert b"[DONE]" not in rest


async def test_a_fault_in_a_body_that_was_answered_already_is_no_second_reply():
    data = b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with opened() as client, listening(client.app) as server:
        reader, writer = await server.connect()
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"xyz\r\n")
        rest = await reader.read()
        writer.close()
    assert statuses(head + rest) == [404]


async def body_after(server: Listening, refused: bytes) -> list[int]:
    """Return the replies where a body of a refused request looks like another request."""
    body = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    data = refused % len(body) + b"\r\n" + body
    last = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    return statuses(await server.raw(data + last))


async def test_the_body_of_a_refused_request_is_never_the_next_request():
    async with opened() as client, listening(client.app) as server:
        head = b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n"
        assert await body_after(server, head) == [404, 200]
        # Who waits for "100 Continue" may never send it: then nobody knows what comes next.
        assert await body_after(server, head + b"Expect: 100-continue\r\n") == [404]


async def test_the_rest_of_a_body_that_nobody_reads_must_come_soon():
    class Hasty(Protocol):
        """Waits for it hardly at all."""

        leftover_body_s = 0.02

    head = b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{"
    async with opened() as client, listening(client.app, Hasty) as server:
        received = await server.raw(head)
    assert statuses(received) == [404]


@pytest.mark.parametrize("piece", [1, 1000])
async def test_headers_behind_a_body_have_the_limits_of_those_before_it(piece: int):
    fields = b"".join(b"x-%d: %b\r\n" % (n, b"a" * 100) for n in range(200))
    async with opened() as client, listening(client.app) as server:
        received = await server.raw(CHUNKED + b"2\r\n{}\r\n0\r\n" + fields, piece=piece)
    assert statuses(received) == [431]


async def test_all_limits_are_told_on_a_socket():
    long = b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
    large = HEAD + b"Connection: close\r\nContent-Length: 99999999999\r\n\r\n"
    packed = HEAD + b"Connection: close\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"
    wide = PROBE + b"x: " + b"a" * 17_000 + b"\r\n\r\n"
    async with opened() as client, listening(client.app) as server:
        received = await asyncio.gather(*map(server.raw, (long, large, packed, wide)))
    assert [statuses(one) for one in received] == [[414], [413], [415], [431]]
