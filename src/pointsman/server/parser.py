"""Parser: HTTP/1.1 by llhttp, strict, and with limits on what comes before a body."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Protocol

import httptools
import msgspec

from pointsman.server.framing import framing_fault, read_headers, read_target

HEADERS_BYTES_MAX = 16 * 1024
HEADERS_MAX = 100
REQUEST_LINE_BYTES_MAX = 8 * 1024

# The parser gathers a header, and skips what may follow a chunk's size, without a word to us. So
# this is also the most that a whole head may have, and all that follows a body.
_UNTOLD_BYTES_MAX = 2 * HEADERS_BYTES_MAX
_NO_HTTP = "this is not HTTP/1.1 as RFC 9112 has it"
_FRAMING = (b"content-length", b"transfer-encoding")
# So many heads are remembered by their bytes; longer ones are read each time.
_KNOWN_MAX = 256
_KNOWN_BYTES_MAX = 4 * 1024
_END = b"\r\n\r\n"
# No line that is folded follows: without this one it would belong to the one before.
_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ?([0-9]{1,9})(?=\r\n[^ \t]|\Z)")


class Head(msgspec.Struct, frozen=True, eq=False):
    """What comes before a request's body. It may be that of many requests.

    `headers`: by their names in lower case. `query`: as it was sent. `is_kept`: the connection may
    be, after the reply. `is_old`: it is of HTTP/1.0.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    is_kept: bool = True
    is_old: bool = False


class Refused(Exception):
    """What came is no HTTP, or past a limit. `status`: of the reply that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Taker(Protocol):
    """What a parser tells of requests. It may raise Refused."""

    def begin_head(self) -> None:
        """Take note that a request begins."""

    def take_head(self, head: Head) -> None:
        """Take its head."""

    def take_piece(self, piece: bytes) -> None:
        """Take a piece of its body."""

    def take_end(self) -> None:
        """Take note that its body is whole."""


class Parser:
    """Reads requests, one after the other, from what comes on a connection.

    It refuses what RFC 9112 does, long request lines, and long or many headers. llhttp sees to most
    framing, `framing_fault` to what it lets pass. An offer to upgrade is declined by going on:
    Java's client makes one with every request, and httptools skips the body of such a request
    (test_an_offer_to_upgrade_is_declined).
    """

    def __init__(self, taker: Taker) -> None:
        self.is_reading_head = False
        self.is_reading_body = False
        self._taker = taker
        self._llhttp: Any = self._new()
        self._target = b""
        self._raw_headers: list[bytes] = []
        self._untold_bytes = 0
        self._is_going_on = False

    @property
    def is_between(self) -> bool:
        """Return whether one request has ended and nothing of the next has come."""
        return not (self.is_reading_head or self.is_reading_body or self._untold_bytes)

    @property
    def is_upgrade_offered(self) -> bool:
        """Return whether the request whose head was taken last offers to go on otherwise."""
        return bool(self._llhttp.should_upgrade())

    def feed(self, data: bytes) -> None:
        """Read on. Raises Refused; then there is nothing more to be read."""
        self._untold_bytes += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            why = error.__context__  # what was raised where llhttp told of something
            raise why if isinstance(why, Refused) else Refused(400, _NO_HTTP) from error
        if self._untold_bytes > _UNTOLD_BYTES_MAX:
            raise Refused(431, f"one header or chunk's head is over {HEADERS_BYTES_MAX} bytes")

    def close(self) -> None:
        """Let go of the taker, which holds this."""
        self._llhttp = None

    # What llhttp tells.

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._is_going_on:
            return
        self._taker.begin_head()
        self._target = b""
        self._raw_headers = []
        self.is_reading_head = True

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request line."""
        if self._is_going_on:
            return
        self._target += url
        if len(self._target) > REQUEST_LINE_BYTES_MAX:
            raise Refused(
                414, f"the request line is over {REQUEST_LINE_BYTES_MAX} bytes; send less"
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header. One that follows the body is counted, and goes no further.

        It could else bring a key, or another host, past those who checked the first ones.
        """
        raw = self._raw_headers
        raw += (name, value)
        if len(raw) > 2 * HEADERS_MAX:
            raise _over_headers()

    def on_headers_complete(self) -> None:
        """Hand the head on."""
        if self._is_going_on:
            return
        self._untold_bytes = 0
        self.is_reading_head = False
        raw = self._raw_headers
        if sum(map(len, raw)) > HEADERS_BYTES_MAX:
            raise _over_headers()
        names, headers = read_headers(raw)
        version = self._llhttp.get_http_version()
        if fault := framing_fault(names, headers, self._target, version):
            raise Refused(400, fault)
        path, query = read_target(self._target)
        self.is_reading_body = True
        method, is_old = self._llhttp.get_method().decode("ascii"), version == "1.0"
        is_kept = self._llhttp.should_keep_alive() and not is_old
        self._taker.take_head(Head(method, path, query, headers, is_kept, is_old))

    def on_body(self, body: bytes) -> None:
        """Hand a piece of the body on."""
        self._untold_bytes = 0
        self._taker.take_piece(body)

    def on_message_complete(self) -> None:
        """Note the body's end, which after an offer to upgrade is still to come."""
        if self._llhttp.should_upgrade():
            return
        self._untold_bytes = 0
        self.is_reading_body = False
        self._taker.take_end()

    # How it goes on behind an offer to upgrade.

    def _new(self) -> Any:
        llhttp = httptools.HttpRequestParser(self)
        # What comes behind a request that closes the connection is left alone, and no fault.
        llhttp.set_dangerous_leniencies(lenient_data_after_close=True)
        return llhttp

    def _feed(self, data: bytes) -> None:
        try:
            self._llhttp.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            (body_at,) = offer.args
            self._go_on_behind_the_head()
            self._feed(data[body_at:])

    def _go_on_behind_the_head(self) -> None:
        """Set up an llhttp that stands where the last one stopped: behind the request's headers."""
        raw = self._raw_headers
        pairs = zip(raw[::2], raw[1::2], strict=True)
        lines = [name + b": " + value for name, value in pairs if name.lower() in _FRAMING]
        self._llhttp = self._new()
        self._is_going_on = True
        self._raw_headers = []
        self._llhttp.feed_data(b"\r\n".join([b"POST / HTTP/1.1", *lines, b"", b""]))
        self._is_going_on = False


def whole_request(data: bytes) -> tuple[Head, bytes] | None:
    """Return the head and the body of a request that came in one piece, and nothing else with it.

    None for whatever is to be read by a connection's own parser. Nearly all requests come so, and
    those of one client with the same head but for the body's length: it is read once. What begins
    with a line break is not plain: a length could stand before the request line.
    """
    if data[:1] in b"\r\n":
        return None
    end = data.find(_END)
    stated = _LENGTH.search(data, 0, end)
    if stated is None or int(stated[1]) != len(data) - end - len(_END) or end > _KNOWN_BYTES_MAX:
        return None
    start, stop = stated.span()
    head = _known_head(data[:start] + data[stop:end])
    return None if head is None else (head, data[end + len(_END) :])


class _Plain:
    """Takes one head of a request without a body."""

    def __init__(self) -> None:
        self.head: Head | None = None

    def begin_head(self) -> None:
        """Do nothing."""

    def take_head(self, head: Head) -> None:
        """Keep it."""
        self.head = head

    def take_piece(self, piece: bytes) -> None:
        """Do nothing: there is none."""

    def take_end(self) -> None:
        """Do nothing."""


@lru_cache(maxsize=_KNOWN_MAX)
def _known_head(lines: bytes) -> Head | None:
    """Return the head that has these lines, and besides them the length of a body.

    None where it is to be refused, or its connection ends with it or waits to be told to go on.
    """
    taker = _Plain()
    parser = Parser(taker)
    try:
        parser.feed(b"%b\r\ncontent-length: 0%b" % (lines, _END))
    except Refused:
        return None
    finally:
        parser.close()
    head = taker.head
    is_plain = head is not None and head.is_kept and "expect" not in head.headers
    return head if is_plain else None


def _over_headers() -> Refused:
    limit = f"{HEADERS_MAX} headers of {HEADERS_BYTES_MAX} bytes in all"
    return Refused(431, f"the limit is {limit}; send less")
