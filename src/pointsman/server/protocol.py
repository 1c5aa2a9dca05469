"""Protocol: a connection's requests, one after the other, and what is said of those refused."""

import asyncio
import math
from collections import deque
from collections.abc import Coroutine
from typing import Any, TypeAlias
from typing import Protocol as Interface

from pointsman.assembly import new_request_id
from pointsman.core.errors import RequestError
from pointsman.core.wire import CODECS
from pointsman.server.bodies import Incoming
from pointsman.server.deadline import Deadline
from pointsman.server.exchange import Headers
from pointsman.server.outlet import Outlet
from pointsman.server.parser import Head, Parser, Refused, whole_request
from pointsman.server.reply import HttpReply, head_bytes

HEADERS_S = 10.0
STALL_S = 60.0
CONNECTIONS_MAX = 10_000
# So many requests may wait on a connection behind the one that is being answered.
PIPELINED_MAX = 8

_SPARE_CONNECTIONS = 100
_IDLE_S = 5.0
_LINGER_S = 2.0
_LEFTOVER_BODY_S = 10.0
# After so much at once others have their turn; libuv else reads up to 32 times in a row.
_TURN_BYTES = 64 * 1024
_GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"

# A reply's status, its headers but for those of its body, and that.
Refusal: TypeAlias = tuple[int, Headers, bytes]


class Handler(Interface):
    """What requests are handed to."""

    def handle(self, incoming: Incoming, reply: HttpReply) -> Coroutine[Any, Any, None]:
        """Serve a request: to the reply's end, or until `incoming` is broken off."""

    def turned_away(self, head: Head) -> Refusal | None:
        """Return what is said to a request at once, None to hear it out."""


class Protocol(asyncio.Protocol):
    """Reads requests, one after the other, and has each answered in its turn.

    What the parser refuses, and who is slow, is told in OpenAI's error shape, and the connection is
    closed (FAULTS, section 4).
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
        self._parser = Parser(self)
        self.waiting: deque[tuple[Incoming, HttpReply]] = deque()
        # The request that is being answered, and the one whose body is being read for somebody.
        self._current: tuple[Incoming, HttpReply] | None = None
        self._coming: Incoming | None = None
        self._deadline = Deadline(self._loop)
        self._is_held = False
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
        self._parser.close()  # it holds this object, and this object it
        self.waiting.clear()
        if self._current is not None:
            self._current[0].hang_up()

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        if self._is_refused:
            return
        is_plain = self._current is None and not self._is_excess and self._parser.is_between
        if not (is_plain and self._take_whole(data)):
            try:
                self._parser.feed(data)
            except Refused as refused:
                self._tell(refused)
                return
            self._look_at_rest()
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

    def begin_head(self) -> None:
        """Take one more request, where not too many wait already. Raises Refused."""
        if len(self.waiting) >= PIPELINED_MAX:
            raise Refused(400, f"over {PIPELINED_MAX} requests wait here; await their replies")

    def take_head(self, head: Head) -> None:
        """Hand a request to the app."""
        self._deadline.due_s = math.inf
        if head.is_kept and self._turn_away(head):
            return
        self._coming = Incoming(head, self)
        self._hand_over(self._coming)

    def take_piece(self, piece: bytes) -> None:
        """Take a piece of a body; nobody wants that of a request that was answered already."""
        if self._coming is not None:
            self._coming.feed(piece)

    def take_end(self) -> None:
        """Note the body's end."""
        if self._coming is not None:
            self._coming.end()
            self._coming = None
        elif self._current is None:
            self._deadline.set(self.idle_s, self.transport.close)

    # What a request's body and its reply tell.

    def go_on(self) -> None:
        """Have the client send the rest of its body, and take it."""
        assert self._coming is not None, "somebody waits for it"
        if self._coming.head.headers.get("expect", "").lower() == "100-continue":
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
        elif self._parser.is_reading_body:
            self._coming = None
            self._deadline.set(self.leftover_body_s, self.transport.close)
        elif not self._parser.is_reading_head:
            self._deadline.set(self.idle_s, self.transport.close)

    def shut(self) -> None:
        """Close once nothing is being answered."""
        if self._current is None:
            self.transport.close()
        else:
            self._current[1].is_kept = False

    def _take_whole(self, data: bytes) -> bool:
        """Take a request that came in one piece; False where it did not."""
        request = whole_request(data)
        if request is None:
            return False
        head, body = request
        refusal = self._app.turned_away(head)
        if refusal is None:
            self._deadline.due_s = math.inf
            self._hand_over(Incoming(head, self, body))
        else:
            self._write_reply(*refusal)
            self._deadline.set(self.idle_s, self.transport.close)
        return True

    def _hand_over(self, incoming: Incoming) -> None:
        """Have a request answered in its turn."""
        incoming.is_excess = self._is_excess
        request = incoming, HttpReply(self, incoming)
        if self._current is None:
            self._begin(*request)
        else:
            self.waiting.append(request)

    def _begin(self, incoming: Incoming, reply: HttpReply) -> None:
        self._current = (incoming, reply)
        incoming.task = self._loop.create_task(self._app.handle(incoming, reply))

    # What is refused.

    def _turn_away(self, head: Head) -> bool:
        """Reply at once where the app has no room, and return whether that was done.

        It hears out who waits behind another request, and who asks before sending a body.
        """
        is_plain = self._current is None and not self._is_excess and "expect" not in head.headers
        if not is_plain or self._parser.is_upgrade_offered:
            return False
        refusal = self._app.turned_away(head)
        if refusal is None:
            return False
        self._write_reply(*refusal)
        return True

    def _tell(self, refused: Refused) -> None:
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
        request_id = new_request_id()
        body = CODECS["openai-chat"].error_body(RequestError(refused.message), request_id)
        told = (("x-should-retry", "false"), ("connection", "close"), ("x-request-id", request_id))
        self._write_reply(refused.status, told, body)
        self._linger()

    def _may_speak(self) -> bool:
        """Return whether an error now would be the reply to the request that is at fault."""
        is_reading_body = self._parser.is_reading_body
        if self._current is None:
            return not is_reading_body
        return is_reading_body and not self.waiting and not self._current[1].has_started

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

    # How it is read.

    def _look_at_rest(self) -> None:
        """See to what came and is not the end of a request."""
        parser, is_waiting = self._parser, self._deadline.due_s < math.inf
        if parser.is_reading_head:
            if not self._deadline.is_set_for(self._tell_late_headers):
                self._wait_for_headers()
        elif parser.is_reading_body and self._current is None and not is_waiting:
            self._deadline.set(self.leftover_body_s, self.transport.close)

    def _release(self) -> None:
        self._is_held = False
        self._read_on()

    def _read_on(self) -> None:
        if not self._is_held and not self.transport.is_closing():
            self.transport.resume_reading()

    def _wait_for_headers(self) -> None:
        self._deadline.set(self.headers_s, self._tell_late_headers)

    def _tell_late_headers(self) -> None:
        self._tell(Refused(408, f"the headers did not come within {self.headers_s:g} s"))
