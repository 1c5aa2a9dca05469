"""Protocol: uvicorn's HTTP/1.1 reader, stricter, and with limits on what comes before a body."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from pointsman.assembly import new_request_id
from pointsman.core.errors import RequestError
from pointsman.core.wire import CODECS
from pointsman.server.exchange import Headers
from pointsman.server.stalls import CountingTransport, StallWatch

HEADERS_BYTES_MAX = 16 * 1024
HEADERS_MAX = 100
REQUEST_LINE_BYTES_MAX = 8 * 1024
HEADERS_S = 10.0
STALL_S = 60.0
CONNECTIONS_MAX = 10_000
# So many requests may wait on a connection behind the one that is being answered.
PIPELINED_MAX = 8
# Set in a request's state where it came on a connection beyond the limit: only a probe is answered.
IS_EXCESS = "pointsman.is_excess"

_SPARE_CONNECTIONS = 100
_LINGER_S = 2.0
_LEFTOVER_BODY_S = 10.0
# The parser gathers a header, and skips what may follow a chunk's size, without a word to us.
_UNTOLD_BYTES_MAX = 2 * HEADERS_BYTES_MAX
# After so much at once others have their turn; libuv else reads up to 32 times in a row.
_TURN_BYTES = 64 * 1024
_NO_HTTP = "this is not HTTP/1.1 as RFC 9112 has it"
_FRAMING = (b"content-length", b"transfer-encoding")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)", re.IGNORECASE)


RawHeaders: TypeAlias = Sequence[tuple[bytes, bytes]]
# A reply's status, its headers but for those of its body, and that.
Refusal: TypeAlias = tuple[int, Headers, bytes]


class _Refused(Exception):
    """A client has gone past a limit."""


class Protocol(HttpToolsProtocol):
    """Refuses what RFC 9112 does, long request lines, long or many headers, and slow ones.

    What is refused, or is no HTTP at all, is told in OpenAI's error shape, and the connection is
    closed (FAULTS, section 4). llhttp sees to most framing, `framing_fault` to what it lets pass.
    An offer to upgrade is declined by going on: Java's client makes one with every request, and
    httptools skips the body of such a request (test_an_offer_to_upgrade_is_declined).
    """

    headers_s = HEADERS_S
    stall_s = STALL_S
    leftover_body_s = _LEFTOVER_BODY_S
    connections_max = CONNECTIONS_MAX

    @staticmethod
    def turned_away(method: str, target: bytes, raw_headers: RawHeaders) -> Refusal | None:
        """Return what the app says to a request at once, None to hear it out."""
        del method, target, raw_headers
        return None

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._header_bytes = 0
        self._untold_bytes = 0
        self._running: RequestResponseCycle | None = None
        self._fault = (400, _NO_HTTP)
        self._deadline: asyncio.TimerHandle | None = None
        self._stalls: StallWatch | None = None
        self._is_going_on = False
        self._is_reading_headers = False
        self._is_reading_body = False
        self._is_excess = False
        self._is_refused = False
        self._is_turned_away = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for headers."""
        super().connection_made(transport)
        counting = CountingTransport(transport)
        self.transport = counting  # type: ignore[assignment]
        self._stalls = StallWatch(counting, self.stall_s, self.loop)
        beyond = len(self.connections) - self.connections_max
        self._is_excess = beyond > 0
        if beyond > _SPARE_CONNECTIONS:
            transport.abort()  # there may be no memory left even to say so
            return
        self._wait_for_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer, and tell the request that runs; uvicorn tells the latest to have come."""
        self._stop_waiting()
        if self._stalls is not None:
            self._stalls.stop()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self._unset_keepalive_if_required()
        if self._is_refused:
            return
        self._untold_bytes += len(data)
        try:
            self._feed(data)
            if self._untold_bytes > _UNTOLD_BYTES_MAX:
                self._refuse(431, f"one header or chunk's head is over {HEADERS_BYTES_MAX} bytes")
        except (httptools.HttpParserError, _Refused):
            self.send_400_response("")
            return
        if self._is_turned_away and self._deadline is None:
            self._wait_for_leftover_body()
        elif self._is_idle() and self._deadline is None:  # what came was no request's beginning
            self._deadline = self.loop.call_later(self.headers_s, self.timeout_keep_alive_handler)
        if len(data) >= _TURN_BYTES and not self.flow.read_paused:
            self.transport.pause_reading()
            self.loop.call_soon(self._read_on)

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._is_going_on:
            return
        self._untold_bytes = 0
        if len(self.pipeline) >= PIPELINED_MAX:
            self._refuse(400, f"over {PIPELINED_MAX} requests wait here; await their replies")
        super().on_message_begin()
        self.scope["state"][IS_EXCESS] = self._is_excess
        self._header_bytes = 0
        self._is_reading_headers = True
        self._wait_for_headers()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request line."""
        if self._is_going_on:
            return
        super().on_url(url)
        if len(self.url) > REQUEST_LINE_BYTES_MAX:
            self._refuse(414, f"the request line is over {REQUEST_LINE_BYTES_MAX} bytes; send less")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header. One that follows the body is counted and left out.

        It could else bring a key, or another host, past those who checked the first ones.
        """
        if self._is_going_on:
            return
        self._untold_bytes = 0
        self._header_bytes += len(name) + len(value)
        if self._is_reading_headers:
            super().on_header(name, value)
        if self._header_bytes > HEADERS_BYTES_MAX or len(self.headers) > HEADERS_MAX:
            limit = f"{HEADERS_MAX} headers of {HEADERS_BYTES_MAX} bytes in all"
            self._refuse(431, f"the limit is {limit}; send less")

    def on_headers_complete(self) -> None:
        """Hand the request to the app."""
        if self._is_going_on:
            return
        self._is_reading_headers = False
        if fault := framing_fault(self.headers, self.url, self.parser.get_http_version()):
            self._refuse(400, fault)
        self._stop_waiting()
        if not self._turn_away():
            super().on_headers_complete()
        self._is_reading_body = True
        if self.pipeline:  # uvicorn stops reading here, and would not see the client leave
            self.flow.resume_reading()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._untold_bytes = 0
        if not self._is_turned_away:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Note the body's end, which after an offer to upgrade is still to come."""
        if not self.parser.should_upgrade():
            self._is_reading_body = False
            self._stop_waiting()
            if self._is_turned_away:
                self._is_turned_away = False
            else:
                super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on to the next request; the rest of a body that nobody reads must come soon."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self._is_excess:
            self.transport.close()
        elif self._is_reading_body:
            self._wait_for_leftover_body()

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong with a request that never reached the app, and hang up.

        Nothing is said where a reply is on its way: it would be taken for part of that.
        """
        del msg
        self._is_refused = True
        self._stop_waiting()
        if not self._may_speak():
            self.transport.close()
            return
        if self.cycle is not None:
            self.cycle.disconnected = True  # the app is not to answer as well
            self.cycle.message_event.set()
        status, message = self._fault
        request_id = new_request_id()
        body = CODECS["openai-chat"].error_body(RequestError(message), request_id)
        told = (("x-should-retry", "false"), ("connection", "close"), ("x-request-id", request_id))
        self._write_reply(status, told, body)
        self._linger()

    def _turn_away(self) -> bool:
        """Reply at once where the app has no room, and return whether that was done.

        It hears out who waits behind another request, asks before sending a body, or hangs up then.
        """
        is_plain = self.parser.should_keep_alive() and not self.parser.should_upgrade()
        latest: RequestResponseCycle | None = self.cycle
        is_next = latest is None or latest.response_complete
        if not is_plain or not is_next or self.expect_100_continue or self._is_excess:
            return False
        method = self.parser.get_method().decode("ascii")
        refusal = self.turned_away(method, self.url, self.headers)
        if refusal is None:
            return False
        self._is_turned_away = True
        self._write_reply(*refusal)
        return True

    def _write_reply(self, status: int, headers: Headers, body: bytes) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        length = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + (lines + length).encode("latin-1") + body)

    def _read_on(self) -> None:
        if not self.flow.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _is_idle(self) -> bool:
        """Return whether no request is on its way in, and none is being answered."""
        latest: RequestResponseCycle | None = self.cycle
        is_answered = latest is None or latest.response_complete
        return is_answered and not (self._is_reading_headers or self._is_reading_body)

    def _may_speak(self) -> bool:
        """Return whether an error now would be the reply to the request that is at fault."""
        latest: RequestResponseCycle | None = self.cycle
        if latest is None or latest.response_complete:
            return not self._is_reading_body
        return self._is_reading_body and not self.pipeline and not latest.response_started

    def _linger(self) -> None:
        """Close once the client has, or soon: closed at once, what it still sends would reset it.

        Source: RFC 9112, section 9.6.
        """
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._deadline = self.loop.call_later(_LINGER_S, self.transport.abort)
        else:
            self.transport.close()

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            (body_at,) = offer.args
            self._go_on()
            self._feed(data[body_at:])

    def _go_on(self) -> None:
        """Set up a parser that stands where the last one stopped: behind the request's headers."""
        lines = [name + b": " + value for name, value in self.headers if name in _FRAMING]
        self.parser = httptools.HttpRequestParser(self)
        self._is_going_on = True
        self.parser.feed_data(b"\r\n".join([b"POST / HTTP/1.1", *lines, b"", b""]))
        self._is_going_on = False

    def _refuse(self, status: int, message: str) -> None:
        self._fault = (status, message)
        raise _Refused(message)  # stops the parser, and has send_400_response called

    def _wait_for_headers(self) -> None:
        self._wait_for(self.headers_s, "the headers")

    def _wait_for_leftover_body(self) -> None:
        self._wait_for(self.leftover_body_s, "the body's rest")

    def _wait_for(self, limit_s: float, what: str) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(limit_s, self._time_out, limit_s, what)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _time_out(self, limit_s: float, what: str) -> None:
        if not self.transport.is_closing():
            self._fault = (408, f"{what} did not come within {limit_s:g} s")
            self.send_400_response("")


def framing_fault(headers: list[tuple[bytes, bytes]], target: bytes, version: str) -> str:
    """Return what is wrong with a request's head that llhttp lets pass, "" for nothing.

    Whoever reads a message otherwise than the proxy before it can be fed a request in disguise.
    Source: RFC 9112, sections 2.3, 3.2 (Host, and a target's form) and 6.1 (codings).
    """
    if version not in {"1.0", "1.1"}:
        return f"HTTP/{version} is not spoken here; use HTTP/1.1"
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    if codings and (version == "1.0" or codings[0].strip().lower() != b"chunked" or codings[1:]):
        return (
            "Transfer-Encoding may be chunked alone, and in HTTP/1.1 alone; send a Content-Length"
        )
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) > 1 or (version == "1.1" and not (hosts and hosts[0])):
        return f"there are {len(hosts)} Host headers with a name; send one"
    if b"#" in target:
        return "the address has a fragment; leave out what follows the #"
    absolute = _ABSOLUTE.match(target)
    if absolute and hosts and absolute[1].lower() != hosts[0].lower():
        return "the address names another host than the Host header; send one of them"
    return ""
