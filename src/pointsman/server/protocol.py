"""Protocol: uvicorn's HTTP/1.1 reader, with limits on what comes before a body."""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from pointsman.assembly import new_request_id
from pointsman.core.errors import RequestError
from pointsman.core.wire import CODECS

HEADERS_BYTES_MAX = 16 * 1024
HEADERS_MAX = 100
REQUEST_LINE_BYTES_MAX = 8 * 1024
HEADERS_S = 10.0


class Protocol(HttpToolsProtocol):
    """Refuses long request lines, long or many headers, and slow ones (FAULTS, section 4).

    What is refused, or is no HTTP at all, is told in OpenAI's error shape. An offer to upgrade is
    declined by going on: Java's client makes one with every request, and httptools skips the body
    of such a request (test_an_offer_to_upgrade_is_declined).
    """

    headers_s = HEADERS_S

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._header_bytes = 0
        self._fault = (400, "this is not HTTP/1.1 as RFC 9112 has it")
        self._deadline: asyncio.TimerHandle | None = None
        self._is_going_on = False

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self.send_400_response("")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for headers."""
        super().connection_made(transport)
        self._wait_for_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._is_going_on:
            return
        super().on_message_begin()
        self._header_bytes = 0
        self._wait_for_headers()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request line."""
        if self._is_going_on:
            return
        super().on_url(url)
        if len(self.url) > REQUEST_LINE_BYTES_MAX:
            self._refuse(414, f"the request line is over {REQUEST_LINE_BYTES_MAX} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header."""
        if self._is_going_on:
            return
        super().on_header(name, value)
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > HEADERS_BYTES_MAX or len(self.headers) > HEADERS_MAX:
            limit = f"{HEADERS_MAX} headers of {HEADERS_BYTES_MAX} bytes in all"
            self._refuse(431, f"the limit is {limit}")

    def on_headers_complete(self) -> None:
        """Hand the request to the app."""
        if self._is_going_on:
            return
        self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note the body's end, which after an offer to upgrade is still to come."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong with a request that never reached the app, and hang up."""
        del msg
        status, message = self._fault
        request_id = new_request_id()
        body = CODECS["openai-chat"].error_body(RequestError(message), request_id)
        self.transport.write(
            STATUS_LINE[status]
            + b"content-type: application/json\r\nx-should-retry: false\r\nconnection: close\r\n"
            + b"x-request-id: %b\r\n" % request_id.encode()
            + b"content-length: %d\r\n\r\n" % len(body)
            + body
        )
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
        framing = (b"content-length", b"transfer-encoding")
        lines = [name + b": " + value for name, value in self.headers if name in framing]
        self.parser = httptools.HttpRequestParser(self)
        self._is_going_on = True
        self.parser.feed_data(b"\r\n".join([b"POST / HTTP/1.1", *lines, b"", b""]))
        self._is_going_on = False

    def _refuse(self, status: int, message: str) -> None:
        self._fault = (status, f"{message}; send less")
        raise ValueError(message)  # stops the parser, which asks for send_400_response

    def _wait_for_headers(self) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(self.headers_s, self._time_out)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _time_out(self) -> None:
        if not self.transport.is_closing():
            self._fault = (408, f"the headers did not come within {self.headers_s:g} s")
            self.send_400_response("")
