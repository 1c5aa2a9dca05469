"""Reply: what goes back for a request, and how HTTP/1.1 has it."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Protocol

from pointsman.server.bodies import Incoming
from pointsman.server.exchange import ErrorFrame, Headers
from pointsman.server.outlet import Outlet

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}" for status in HTTPStatus}
_CLOSE = "close"


class Reply:
    """A reply, as far as it has gone. A child class knows the way.

    `ids`: headers that every reply to the request has, unless it has others of these names.
    `status` 0: it has not begun. `is_finished`: it is whole.
    """

    has_started = False
    is_finished = False
    status = 0
    error_code = ""
    error_frame: ErrorFrame | None = None
    headers: Mapping[str, str] = {}
    ids: Headers = ()

    @property
    def is_slow(self) -> bool:
        """Return whether its reader has yet to take what was sent: then await `drained`."""
        return False

    def start(
        self, status: int, headers: Headers, *, error_frame: ErrorFrame | None = None
    ) -> None:
        """Begin with a status and headers; once. They leave with the first piece of the body."""
        all_of_them = dict((*self.ids, *headers))  # a reply sent again has its first id
        self._open(status, all_of_them)
        self.has_started = True
        self.status, self.headers, self.error_frame = status, all_of_them, error_frame

    def write(self, body: bytes) -> None:
        """Send more of the body, without waiting."""
        raise NotImplementedError

    async def drained(self) -> None:
        """Wait until the reader has taken most of what was sent, or has gone."""

    def finish(self) -> None:
        """Say that the body is whole."""
        self.is_finished = True

    def _open(self, status: int, headers: dict[str, str]) -> None:
        """Make what goes before the body; may add to the headers."""


class Connection(Protocol):
    """What a reply goes out on."""

    outlet: Outlet

    def replied(self, reply: "HttpReply") -> None:
        """Go on to the next request."""


class HttpReply(Reply):
    """A reply over HTTP/1.1. `is_kept`: the connection is, after it."""

    is_kept = True
    is_for_old_http = False

    _head = b""
    _is_chunked = False

    def __init__(self, connection: Connection, incoming: Incoming) -> None:
        self._connection = connection
        self._outlet = connection.outlet
        self._incoming = incoming
        self._has_body = incoming.method != "HEAD"

    @property
    def is_slow(self) -> bool:
        """Return whether its reader has yet to take what was sent: then await `drained`."""
        return self._outlet.is_slow

    def write(self, body: bytes) -> None:
        """Send more of the body, without waiting."""
        if self._is_chunked:
            data = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        else:
            data = body if self._has_body else b""
        if self._head:
            data, self._head = self._head + data, b""
        if data:
            self._outlet.write(data)

    async def drained(self) -> None:
        """Wait until the reader has taken most of what was sent, or has gone."""
        await self._outlet.drained()

    def finish(self) -> None:
        """Say that the body is whole."""
        self.is_finished = True
        end = self._head + b"0\r\n\r\n" if self._is_chunked else self._head
        if end:
            self._outlet.write(end)
        self._connection.replied(self)

    def _open(self, status: int, headers: dict[str, str]) -> None:
        if "content-length" not in headers and self._has_body:
            if self.is_for_old_http:  # its end is the connection's: RFC 9112, section 6.3
                self.is_kept = False
            else:
                self._is_chunked = True
                headers["transfer-encoding"] = "chunked"
        if "connection" in headers or self._incoming.is_held_back:
            self.is_kept = False
        if not self.is_kept:
            headers["connection"] = _CLOSE
        self._head = head_bytes(status, headers)


def head_bytes(status: int, headers: Mapping[str, str]) -> bytes:
    """Return a reply's head. Raises ValueError where a header would be two, or is not latin-1."""
    lines = [*map(": ".join, headers.items())]
    if not "".join(lines).isprintable():
        raise ValueError("a reply's header has a control character")
    first = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} "
    return "\r\n".join((first, *lines, "", "")).encode("latin-1")
