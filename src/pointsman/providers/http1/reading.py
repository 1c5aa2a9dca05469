"""Reading: takes replies out of the bytes of a connection. It does no I/O.

llhttp refuses what can be read in two ways (a length beside chunks, two lengths, line breaks of
one byte, folded lines); what it lets pass and RFC 9112 does not is refused here, and so is what has
no bound. Source: RFC 9112, sections 2.3, 6.1, 6.3 and 9.2, and RFC 9110, section 15.2.
"""

from collections.abc import Mapping
from itertools import chain

import httptools

# Of all headers together, those after the body included.
HEAD_BYTES_MAX = 32 * 1024
HEADERS_MAX = 200
# So many replies that only announce another one may come before it.
ANNOUNCED_MAX = 15
_VERSIONS = frozenset({"1.0", "1.1"})
_CODING = b"transfer-encoding"
_LENGTH = b"content-length"
_CONNECTION = b"connection"
_NO_BODY = frozenset({204, 304})


class _Refused(Exception):
    """A reply has gone past a limit, or means nothing."""


class Reading:
    """Reads one reply after the other, each after an `expect`. Nothing that comes makes it raise.

    `status`: 0 until the headers are whole. `headers`: names in small letters, each one's first
    value. `fault`: what is wrong with the reply, "" for nothing; no word of the reply itself.
    `keeps_alive`: whether another request may follow, once the reply is whole. `unread`: what has
    come of the body and was not taken.
    """

    __slots__ = (
        "_announced", "_fields", "_is_until_close", "_parser", "_untold_bytes",
        "fault", "headers", "is_whole", "keeps_alive", "on_body", "status", "unread",
    )  # fmt: skip

    def __init__(self) -> None:
        self._fields: list[tuple[bytes, bytes]] = []
        self.unread = bytearray()
        self.on_body = self.unread.extend  # the parser's own call: a stream has thousands of them
        self._parser = httptools.HttpResponseParser(self)
        self.expect()

    def expect(self) -> None:
        """Begin to read the reply to a request that has just been sent."""
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.fault = ""
        self.is_whole = False
        self.keeps_alive = False
        self._is_until_close = False
        self.unread.clear()
        self._announced = 0
        self._fields.clear()
        self._untold_bytes = 0

    def feed(self, data: bytes | memoryview) -> bool:
        """Take what came; return whether there is more of the body, with its end still to come.

        What comes after a whole reply is no reply, and ends the connection.
        """
        if self.is_whole or self.fault:
            self.keeps_alive = False
            return False
        unread = self.unread
        unread_bytes = len(unread)
        try:
            self._parser.feed_data(data)
            if len(unread) > unread_bytes:
                self._untold_bytes = 0
                return not self.is_whole
            # The parser gathers a header, and skips what follows a chunk's size, without a word to
            # us; and what it does tell of is counted only at a head's end. Until then this is the
            # bound.
            self._untold_bytes += len(data)
            if self._untold_bytes > len(data) + HEAD_BYTES_MAX:
                raise _Refused(f"its head or a chunk's is over {HEAD_BYTES_MAX} bytes")
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, _Refused) as error:
            self.keeps_alive = False
            if not self.is_whole:
                told = error if isinstance(error, _Refused) else error.__context__
                self.fault = str(told) if isinstance(told, _Refused) else "it is not HTTP/1.1"
        return False

    def end(self) -> None:
        """Note that nothing will come any more: some replies end with their connection."""
        self.keeps_alive = False
        if self._is_until_close and not self.fault:
            self.is_whole = True

    def take(self, bytes_max: int) -> bytes:
        """Return the next bytes of the body, as far as they have come."""
        unread = self.unread
        piece = bytes(unread[:bytes_max])
        del unread[:bytes_max]
        return piece

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Refuse a second reply to one request."""
        if self.is_whole:
            raise _Refused("a reply that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header; one that follows the body is counted and left out."""
        self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Begin the body, or wait for the reply that this one announces."""
        self._check_fields()
        parser, fields = self._parser, self._fields
        headers = dict(reversed(fields))  # of one that comes twice the first
        if len(headers) < len(fields) and sum(name == _CODING for name, _ in fields) > 1:
            raise _Refused("it has more than one Transfer-Encoding")
        keeps_alive, coding = parser.should_keep_alive(), headers.get(_CODING)
        # HTTP/1.1 alone keeps a connection that nothing is said of; asking the version costs more.
        version = parser.get_http_version() if not keeps_alive or _CONNECTION in headers else "1.1"
        if version not in _VERSIONS:
            raise _Refused("it is of another version of HTTP than 1.1 and 1.0")
        if coding is not None and (coding.lower() != b"chunked" or version != "1.1"):
            raise _Refused("its Transfer-Encoding is not chunked alone")
        status = parser.get_status_code()
        if status < 200:
            self._announce(status, headers)
            return
        self.headers = headers
        self.status = status
        self.keeps_alive = keeps_alive
        self._is_until_close = coding is None and _LENGTH not in headers and status not in _NO_BODY

    def on_message_complete(self) -> None:
        """End the reply, if it is the one that was waited for."""
        if not self.status:
            self._fields.clear()
            return
        if len(self._fields) > len(self.headers):  # some may have followed the body
            self._check_fields()
        self.is_whole = True

    def _check_fields(self) -> None:
        fields = self._fields
        if len(fields) > HEADERS_MAX or sum(map(len, chain.from_iterable(fields))) > HEAD_BYTES_MAX:
            raise _Refused(
                f"it has more than {HEADERS_MAX} headers or {HEAD_BYTES_MAX} bytes of them"
            )

    def _announce(self, status: int, headers: Mapping[bytes, bytes]) -> None:
        self._announced += 1
        if status < 100 or status == 101 or self._announced > ANNOUNCED_MAX:
            raise _Refused("it announces a reply and goes on without it")
        if _LENGTH in headers or _CODING in headers:
            raise _Refused("it announces a reply with a body of its own")
