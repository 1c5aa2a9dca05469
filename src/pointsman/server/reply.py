"""Reply: what goes back for a request, and how HTTP/1.1 has it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from http import HTTPStatus
from typing import Protocol

from pointsman.server.bodies import Incoming
from pointsman.server.exchange import ErrorFrame, Headers
from pointsman.server.outlet import Outlet

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}" for status in HTTPStatus}
_CLOSE = "close"


class Reply(ABC):
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

    @abstractmethod
    def write(self, body: bytes) -> None:
        """Send more of the body, without waiting."""

    async def drained(self) -> None:
        """Wait until the reader has taken most of what was sent, or has gone."""
        assert not self.is_slow, "who has slow readers knows how to wait for them"

    def finish(self) -> None:
        """Say that the body is whole."""
        self.is_finished = True

    def _open(self, status: int, headers: dict[str, str]) -> None:
        """Make what goes before the body, where anything does; may add to the headers."""
        del status, headers


class Connection(Protocol):
    """What a reply goes out on."""

    outlet: Outlet

    def replied(self, reply: "HttpReply") -> None:
        """Go on to the next request."""


class HttpReply(Reply):
    """A reply over HTTP/1.1. `is_kept`: the connection is, after it."""

    _head = b""
    _is_chunked = False

    def __init__(self, connection: Connection, incoming: Incoming) -> None:
        self._connection = connection
        self._outlet = connection.outlet
        self._incoming = incoming
        head = incoming.head
        self.is_kept = head.is_kept
        self._is_for_old_http = head.is_old
        self._has_body = head.method != "HEAD"

    @property
    def is_slow(self) -> bool:
        """Return whether its reader has yet to take what was sent: then await `drained`."""
        return self._outlet.is_slow

    def write(self, body: bytes) -> None:
        """Send more of the body, without waiting."""
        if self._is_chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        elif not self._has_body:
            body = b""
        if self._head:
            body, self._head = self._head + body, b""
        if body:
            self._outlet.write(body)

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
            if self._is_for_old_http:  # its end is the connection's: RFC 9112, section 6.3
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
