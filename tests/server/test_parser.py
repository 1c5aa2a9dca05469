"""Requests that come whole: their heads are read once, and never in another way than by llhttp."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.server.connections import listening, statuses
from tests.server.doors import CHAT, chat_body, opened

from pointsman.server.parser import Head, Parser, whole_request

FIRST = b"POST /v1/decide?a=b HTTP/1.1\r\nHost: localhost\r\n"
LENGTH = b"Content-Length: 2\r\n"


@given(body=st.binary(max_size=40), before=st.booleans())
def test_a_head_is_the_same_whatever_the_length_of_its_body(body: bytes, before: bool):
    stated = b"content-length: %d\r\n" % len(body)
    data = FIRST + (stated + b"X-A: b\r\n" if before else b"X-A: b\r\n" + stated) + b"\r\n" + body
    head, came = whole_request(data) or pytest.fail("it came whole")
    assert came == body
    assert (head.method, head.path, head.query) == ("POST", "/v1/decide", "a=b")
    assert head.headers["x-a"] == "b" and head.headers["host"] == "localhost"
    again, _ = whole_request(data) or pytest.fail("it came whole")
    assert again is head


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(FIRST + LENGTH + b"\r\n{", id="not all of it"),
        pytest.param(FIRST + LENGTH + b"\r\n{}{", id="more behind it"),
        pytest.param(FIRST + b"\r\n", id="no length"),
        pytest.param(FIRST + LENGTH, id="no end of the head"),
        pytest.param(FIRST + LENGTH + LENGTH + b"\r\n{}", id="two lengths"),
        pytest.param(FIRST + LENGTH + b"Content-Length: 3\r\n\r\n{}", id="other lengths"),
        pytest.param(FIRST + LENGTH + b" 3\r\n\r\n{}", id="a folded length"),
        pytest.param(FIRST + LENGTH + b"\t3\r\n\r\n{}", id="a length folded with a tab"),
        pytest.param(FIRST + b"X: a\r\n b\r\n" + LENGTH + b"\r\n{}", id="a folded header"),
        pytest.param(FIRST + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n{}", id="chunked too"),
        pytest.param(FIRST + b"Transfer-Encoding: chunked\r\n" + LENGTH + b"\r\n{}", id="chunked"),
        pytest.param(FIRST + LENGTH + b"Expect: 100-continue\r\n\r\n{}", id="asks before"),
        pytest.param(FIRST + LENGTH + b"Connection: close\r\n\r\n{}", id="the last one"),
        pytest.param(FIRST + LENGTH + b"Host: b\r\n\r\n{}", id="two hosts"),
        pytest.param(FIRST + b"X: a\nY: b\r\n" + LENGTH + b"\r\n{}", id="a bare LF"),
        pytest.param(FIRST + b"Content-Length: +2\r\n\r\n{}", id="a sign"),
        pytest.param(FIRST.replace(b"1.1", b"1.0") + LENGTH + b"\r\n{}", id="HTTP/1.0"),
        pytest.param(FIRST + b"X: %b\r\n" % (b"a" * 5_000) + LENGTH + b"\r\n{}", id="long"),
        pytest.param(b"\r\n" + LENGTH + FIRST + b"\r\n{}", id="a length before the request line"),
        pytest.param(b"\r\n" + FIRST + LENGTH + b"\r\n{}", id="a line break before it"),
        pytest.param(b"\n" + LENGTH + FIRST + b"\r\n{}", id="a bare LF before it"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"HELO there\r\nHost: a\r\n" + LENGTH + b"\r\n{}", id="no HTTP"),
    ],
)
def test_whatever_is_not_plain_is_left_to_the_connections_own_parser(data: bytes):
    assert whole_request(data) is None


class Told:
    """Takes what a connection's own parser tells, as text."""

    def __init__(self) -> None:
        self.heads: list[Head] = []
        self.body = b""
        self.ended = 0

    def begin_head(self) -> None:
        pass

    def take_head(self, head: Head) -> None:
        self.heads.append(head)

    def take_piece(self, piece: bytes) -> None:
        self.body += piece

    def take_end(self) -> None:
        self.ended += 1


LINES = st.sampled_from(
    [
        b"",
        b"POST /v1/decide HTTP/1.1",
        b"GET / HTTP/1.1",
        b"Host: localhost",
        b"Content-Length: 2",
        b"content-length:2",
        b"Content-Length: 02",
        b"Transfer-Encoding: chunked",
        b" folded",
        b"X: a",
        b"Expect: 100-continue",
        b"Connection: close",
        b"X: a\nContent-Length: 2",
        b"\r",
    ]
)


@given(lines=st.lists(LINES, max_size=7), first=st.booleans())
@example(lines=[b"", b"Content-Length: 2", b"GET / HTTP/1.1", b"Host: localhost"], first=False)
def test_no_request_passes_that_the_connections_own_parser_refuses(lines, first):
    start = [b"POST /v1/decide HTTP/1.1", b"Host: localhost"] if first else []
    data = b"\r\n".join([*start, *lines, b"", b"{}"])
    whole = whole_request(data)
    if whole is None:
        return
    told = Told()
    Parser(told).feed(data)
    (head,) = told.heads
    assert (head.method, head.path, head.query) == (
        whole[0].method,
        whole[0].path,
        whole[0].query,
    )
    assert {**head.headers, "content-length": "0"} == {**whole[0].headers, "content-length": "0"}
    assert (told.body, told.ended) == (whole[1], 1)


async def test_what_comes_whole_and_what_comes_in_pieces_share_a_connection():
    def post(text: str) -> bytes:
        body = chat_body(text, model="fast")
        head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
        return head.encode() + body

    async with opened() as client, listening(client.app) as server:
        reader, writer = await server.connect()
        async with asyncio.timeout(30):
            for text in ("one", "another text", "one", "another text again", "three"):
                data = post(text)
                cuts = (
                    (0, 20, len(data) - 3, len(data)) if text.startswith("another") else (0, None)
                )
                for start, end in pairwise(cuts):
                    writer.write(data[start:end])
                    await writer.drain()
                    await asyncio.sleep(0)
                head = await reader.readuntil(b"\r\n\r\n")
                assert statuses(head) == [200]
                length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
        writer.close()
    assert len(client.upstream.calls) == 4, "one of five was a hit"
