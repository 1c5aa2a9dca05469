"""How a reply goes out: its head with its body, chunks where no length is known, and to whom."""

import pytest
from tests.server.connections import listening
from tests.server.doors import CHAT, chat_body, opened, request

from pointsman.server.framing import read_headers, read_target
from pointsman.server.protocol import Protocol
from pointsman.server.reply import HttpReply, head_bytes


class Outlet:
    """Keeps what is written, write by write."""

    is_slow = False

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    async def drained(self) -> None: ...


class Line:
    """A connection that has been replied on, or not."""

    def __init__(self) -> None:
        self.outlet = Outlet()
        self.is_replied = False

    def replied(self, reply: HttpReply) -> None:
        self.is_replied = reply.is_finished


def reply_on(line: Line, method: str = "POST") -> HttpReply:
    return HttpReply(line, request(CHAT, {"host": "localhost"}, method))  # type: ignore[arg-type]


def test_head_and_body_leave_in_one_write():
    line = Line()
    reply = reply_on(line)
    reply.start(200, [("content-length", "2")])
    assert line.outlet.written == []
    reply.write(b"{}")
    reply.finish()
    assert line.outlet.written == [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"]
    assert line.is_replied


def test_without_a_length_it_is_chunked_and_nothing_is_no_chunk():
    line = Line()
    reply = reply_on(line)
    reply.start(200, [("a", "b")])
    for piece in (b"one", b"", b"two" * 6):
        reply.write(piece)
    reply.finish()
    head, _, rest = b"".join(line.outlet.written).partition(b"\r\n\r\n")
    assert head == b"HTTP/1.1 200 OK\r\na: b\r\ntransfer-encoding: chunked"
    assert rest == b"3\r\none\r\n12\r\n" + b"two" * 6 + b"\r\n0\r\n\r\n"


def test_a_head_that_nothing_follows_leaves_at_the_end():
    line = Line()
    reply = reply_on(line, "HEAD")
    reply.start(404, [("content-length", "7")])
    reply.write(b"nothing")
    reply.finish()
    assert line.outlet.written == [b"HTTP/1.1 404 Not Found\r\ncontent-length: 7\r\n\r\n"]


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\rb", "a\0", "\x7f", "\u0100"])
def test_no_header_makes_another(value: str):
    with pytest.raises(ValueError, match=r"control|latin-1"):
        head_bytes(200, {"x": value})
    line = Line()
    reply = reply_on(line)
    with pytest.raises(ValueError, match=r"control|latin-1"):
        reply.start(200, [("x", value)])
    assert not reply.has_started, "so that the fault can still be told"


async def test_a_client_of_http_1_0_gets_no_chunks():
    body = chat_body(model="fast", stream=True)
    head = f"POST {CHAT} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    async with opened() as client, listening(client.app) as server:
        received = await server.raw(head.encode() + body)
    head, _, text = received.decode().partition("\r\n\r\n")
    assert "transfer-encoding" not in head and "connection: close" in head
    assert text.startswith("data: ") and text.endswith("data: [DONE]\n\n")


async def test_an_idle_connection_is_closed_without_a_word():
    class Hasty(Protocol):
        """Keeps a connection hardly at all."""

        idle_s = 0.02

    probe = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with opened() as client, listening(client.app, Hasty) as server:
        assert (await server.raw(probe)).endswith(b'{"status":"ok"}')


def test_of_a_header_that_comes_twice_the_last_counts_and_both_are_told():
    names, headers = read_headers([b"X-A", b"1", b"Host", b"h", b"x-a", b"\xe9"])
    assert names == ["x-a", "host", "x-a"]
    assert headers == {"x-a": "\xe9", "host": "h"}
    assert read_headers([]) == ((), {})
    with pytest.raises(ValueError, match="line"):
        read_headers([b"a", b"b\nc: d"])


@pytest.mark.parametrize(
    ("target", "read"),
    [
        (b"/a%20b?c=%20&d", ("/a b", "c=%20&d")),
        (b"//evil/x", ("//evil/x", "")),
        (b"http://localhost/a?b", ("/a", "b")),
        (b"http://localhost", ("/", "")),
        (b"/%ff", ("/\ufffd", "")),
    ],
)
def test_a_target_is_a_path_and_a_query(target: bytes, read: tuple[str, str]):
    assert read_target(target) == read
