"""Protocol: HTTP/1.1 on a connection, strict, and with limits on what comes before a body."""

import asyncio
import math
from collections import deque
from collections.abc import Coroutine, Mapping
from typing import Any, TypeAlias
from typing import Protocol as Interface

import httptools

from pointsman.assembly import new_request_id
from pointsman.core.errors import RequestError
from pointsman.core.wire import CODECS
from pointsman.server.bodies import Incoming
from pointsman.server.deadline import Deadline
from pointsman.server.exchange import Headers
from pointsman.server.framing import framing_fault, read_headers, read_target
from pointsman.server.outlet import Outlet
from pointsman.server.reply import HttpReply, head_bytes

HEADERS_BYTES_MAX = 16 * 1024
HEADERS_MAX = 100
REQUEST_LINE_BYTES_MAX = 8 * 1024
HEADERS_S = 10.0
STALL_S = 60.0
CONNECTIONS_MAX = 10_000
# So many requests may wait on a connection behind the one that is being answered.
PIPELINED_MAX = 8

_SPARE_CONNECTIONS = 100
_IDLE_S = 5.0
_LINGER_S = 2.0
_LEFTOVER_BODY_S = 10.0
# The parser gathers a header, and skips what may follow a chunk's size, without a word to us. So
# this is also the most that a whole head may have, and all that follows a body.
_UNTOLD_BYTES_MAX = 2 * HEADERS_BYTES_MAX
# After so much at once others have their turn; libuv else reads up to 32 times in a row.
_TURN_BYTES = 64 * 1024
_NO_HTTP = "this is not HTTP/1.1 as RFC 9112 has it"
_GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
_FRAMING = (b"content-length", b"transfer-encoding")

# A reply's status, its headers but for those of its body, and that.
Refusal: TypeAlias = tuple[int, Headers, bytes]


class Handler(Interface):
    """What requests are handed to."""

    def handle(self, incoming: Incoming, reply: HttpReply) -> Coroutine[Any, Any, None]:
        """Serve a request: to the reply's end, or until `incoming` is broken off."""

    def turned_away(self, method: str, path: str, headers: Mapping[str, str]) -> Refusal | None:
        """Return what is said to a request at once, None to hear it out."""


class _Refused(Exception):
    """A client has gone past a limit."""


class Protocol(asyncio.Protocol):
    """Reads requests, one after the other, and has each answered in its turn.

    It refuses what RFC 9112 does, long request lines, long or many headers, and slow ones. What is
    refused, or is no HTTP at all, is told in OpenAI's error shape, and the connection is closed
    (FAULTS, section 4). llhttp sees to most framing, `framing_fault` to what it lets pass. An offer
    to upgrade is declined by going on: Java's client makes one with every request, and httptools
    skips the body of such a request (test_an_offer_to_upgrade_is_declined).
    """

    headers_s = HEADERS_S
    idle_s = _IDLE_S
    stall_s = STALL_S
    leftover_body_s = _LEFTOVER_BODY_S
    connections_max = CONNECTIONS_MAX

    def __init__(self, app: Handler, connections: "set[Protocol]") -> None:
        self._app = app
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._parser: Any = self._new_parser()
        self.waiting: deque[tuple[Incoming, HttpReply]] = deque()
        # The request that is being answered, and the one whose body is being read for somebody.
        self._current: tuple[Incoming, HttpReply] | None = None
        self._coming: Incoming | None = None
        self._target = b""
        self._raw_headers: list[bytes] = []
        self._untold_bytes = 0
        self._is_reading_headers = False
        self._is_reading_body = False
        self._fault = (400, _NO_HTTP)
        self._deadline = Deadline(self._loop)
        self._is_held = False
        self._is_going_on = False
        self._is_excess = False
        self._is_refused = False

    # What the transport tells.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for headers."""
        self.transport = transport
        self._connections.add(self)
        self.outlet = Outlet(transport, self.stall_s, self._loop)
        beyond = len(self._connections) - self.connections_max
        self._is_excess = beyond > 0
        if beyond > _SPARE_CONNECTIONS:
            transport.abort()  # there may be no memory left even to say so
            return
        self._wait_for_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer, and break off what nobody waits for."""
        del exc
        self._connections.discard(self)
        self.closed.set_result(None)
        self._deadline.close()
        self.outlet.close()
        self._parser = None  # it holds this object, and this object it
        self.waiting.clear()
        if self._current is not None:
            self._current[0].hang_up()

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        if self._is_refused:
            return
        self._untold_bytes += len(data)
        try:
            self._feed(data)
            if self._is_reading_headers or self._is_reading_body or self._untold_bytes:
                self._look_at_rest()
        except (httptools.HttpParserError, _Refused):
            self._tell_fault()
            return
        if len(data) >= _TURN_BYTES and not self._is_held:
            self.transport.pause_reading()
            self._loop.call_soon(self._read_on)

    def pause_writing(self) -> None:
        """Note that the reader is slow."""
        self.outlet.pause()

    def resume_writing(self) -> None:
        """Note that the reader has taken most."""
        self.outlet.resume()

    # What the parser tells.

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._is_going_on:
            return
        if len(self.waiting) >= PIPELINED_MAX:
            self._refuse(400, f"over {PIPELINED_MAX} requests wait here; await their replies")
        self._target = b""
        self._raw_headers = []
        self._is_reading_headers = True

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request line."""
        if self._is_going_on:
            return
        self._target += url
        if len(self._target) > REQUEST_LINE_BYTES_MAX:
            self._refuse(414, f"the request line is over {REQUEST_LINE_BYTES_MAX} bytes; send less")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header. One that follows the body is counted, and goes no further.

        It could else bring a key, or another host, past those who checked the first ones.
        """
        raw = self._raw_headers
        raw += (name, value)
        if len(raw) > 2 * HEADERS_MAX:
            self._refuse_headers()

    def on_headers_complete(self) -> None:
        """Hand the request to the app."""
        if self._is_going_on:
            return
        self._untold_bytes = 0
        self._is_reading_headers = False
        raw = self._raw_headers
        if sum(map(len, raw)) > HEADERS_BYTES_MAX:
            self._refuse_headers()
        names, headers = read_headers(raw)
        version = self._parser.get_http_version()
        if fault := framing_fault(names, headers, self._target, version):
            self._refuse(400, fault)
        path, query = read_target(self._target)
        self._deadline.due_s = math.inf
        self._is_reading_body = True
        method = self._parser.get_method().decode("ascii")
        is_kept = self._parser.should_keep_alive() and version != "1.0"
        if is_kept and self._turn_away(method, path, headers):
            return
        incoming = Incoming(method, path, query, headers, self)
        reply = HttpReply(self, incoming)
        if not is_kept:
            reply.is_kept, reply.is_for_old_http = False, version == "1.0"
        if self._is_excess:
            incoming.is_excess = True
        self._coming = incoming
        if self._current is None:
            self._begin(incoming, reply)
        else:
            self.waiting.append((incoming, reply))

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body; nobody wants that of a request that was answered already."""
        self._untold_bytes = 0
        if self._coming is not None:
            self._coming.feed(body)

    def on_message_complete(self) -> None:
        """Note the body's end, which after an offer to upgrade is still to come."""
        if self._parser.should_upgrade():
            return
        self._untold_bytes = 0
        self._is_reading_body = False
        if self._coming is not None:
            self._coming.end()
            self._coming = None
        elif self._current is None:
            self._deadline.set(self.idle_s, self._close)

    # What a request's body and its reply tell.

    def go_on(self) -> None:
        """Have the client send the rest of its body, and take it."""
        assert self._coming is not None, "somebody waits for it"
        if self._coming.headers.get("expect", "").lower() == "100-continue":
            self.outlet.write(_GO_ON)
        self._release()

    def hold(self) -> None:
        """Take no more for now."""
        self._is_held = True
        self.transport.pause_reading()

    def replied(self, reply: HttpReply) -> None:
        """Go on to the next request; the rest of a body that nobody reads must come soon."""
        self._current = None
        if self.transport.is_closing():
            return
        if self._is_excess or not (reply.is_kept and reply.has_started):
            self.transport.close()
            return
        if self._is_held:
            self._release()
        if self.waiting:
            self._begin(*self.waiting.popleft())
        elif self._is_reading_body:
            self._coming = None
            self._deadline.set(self.leftover_body_s, self._close)
        elif not self._is_reading_headers:
            self._deadline.set(self.idle_s, self._close)

    def shut(self) -> None:
        """Close once nothing is being answered."""
        if self._current is None:
            self.transport.close()
        else:
            self._current[1].is_kept = False

    def _begin(self, incoming: Incoming, reply: HttpReply) -> None:
        self._current = (incoming, reply)
        incoming.task = self._loop.create_task(self._app.handle(incoming, reply))

    # What is refused.

    def _turn_away(self, method: str, path: str, headers: Mapping[str, str]) -> bool:
        """Reply at once where the app has no room, and return whether that was done.

        It hears out who waits behind another request, and who asks before sending a body.
        """
        is_plain = self._current is None and not self._is_excess and "expect" not in headers
        if not is_plain or self._parser.should_upgrade():
            return False
        refusal = self._app.turned_away(method, path, headers)
        if refusal is None:
            return False
        self._write_reply(*refusal)
        return True

    def _tell_fault(self) -> None:
        """Say what is wrong with a request that never reached the app, and hang up.

        Nothing is said where a reply is on its way: it would be taken for part of that.
        """
        self._is_refused = True
        self._deadline.due_s = math.inf
        if not self._may_speak():
            self.transport.close()
            return
        if self._current is not None:
            self._current[0].hang_up()  # the app is not to answer as well
        status, message = self._fault
        request_id = new_request_id()
        body = CODECS["openai-chat"].error_body(RequestError(message), request_id)
        told = (("x-should-retry", "false"), ("connection", "close"), ("x-request-id", request_id))
        self._write_reply(status, told, body)
        self._linger()

    def _may_speak(self) -> bool:
        """Return whether an error now would be the reply to the request that is at fault."""
        if self._current is None:
            return not self._is_reading_body
        return self._is_reading_body and not self.waiting and not self._current[1].has_started

    def _write_reply(self, status: int, headers: Headers, body: bytes) -> None:
        kind, length = ("content-type", "application/json"), ("content-length", str(len(body)))
        self.outlet.write(head_bytes(status, dict((*headers, kind, length))) + body)

    def _linger(self) -> None:
        """Close once the client has, or soon: closed at once, what it still sends would reset it.

        Source: RFC 9112, section 9.6.
        """
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._deadline.set(_LINGER_S, self.transport.abort)
        else:
            self.transport.close()

    def _refuse_headers(self) -> None:
        limit = f"{HEADERS_MAX} headers of {HEADERS_BYTES_MAX} bytes in all"
        self._refuse(431, f"the limit is {limit}; send less")

    def _refuse(self, status: int, message: str) -> None:
        self._fault = (status, message)
        raise _Refused(message)  # stops the parser, and has the fault told

    # How it is read.

    def _new_parser(self) -> Any:
        parser = httptools.HttpRequestParser(self)
        # What comes behind a request that closes the connection is left alone, and no fault.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            (body_at,) = offer.args
            self._go_on_behind_the_head()
            self._feed(data[body_at:])

    def _go_on_behind_the_head(self) -> None:
        """Set up a parser that stands where the last one stopped: behind the request's headers."""
        raw = self._raw_headers
        pairs = zip(raw[::2], raw[1::2], strict=True)
        lines = [name + b": " + value for name, value in pairs if name.lower() in _FRAMING]
        self._parser = self._new_parser()
        self._is_going_on = True
        self._raw_headers = []
        self._parser.feed_data(b"\r\n".join([b"POST / HTTP/1.1", *lines, b"", b""]))
        self._is_going_on = False

    def _look_at_rest(self) -> None:
        """See to what came and is not the end of a request. Raises _Refused."""
        if self._untold_bytes > _UNTOLD_BYTES_MAX:
            self._refuse(431, f"one header or chunk's head is over {HEADERS_BYTES_MAX} bytes")
        if self._is_reading_headers:
            if not self._deadline.is_set_for(self._tell_late_headers):
                self._wait_for_headers()
        elif self._is_reading_body and self._current is None and self._deadline.due_s == math.inf:
            self._deadline.set(self.leftover_body_s, self._close)

    def _release(self) -> None:
        self._is_held = False
        self._read_on()

    def _read_on(self) -> None:
        if not self._is_held and not self.transport.is_closing():
            self.transport.resume_reading()

    def _wait_for_headers(self) -> None:
        self._deadline.set(self.headers_s, self._tell_late_headers)

    def _tell_late_headers(self) -> None:
        self._fault = (408, f"the headers did not come within {self.headers_s:g} s")
        self._tell_fault()

    def _close(self) -> None:
        self.transport.close()
