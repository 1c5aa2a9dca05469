"""App: the ASGI adapter. Reads a body within its limits, runs a route, and minds who hangs up."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

import msgspec

from pointsman.assembly import new_request_id
from pointsman.core.errors import (
    Draining,
    GatewayError,
    Overloaded,
    RequestError,
    RequestTimeout,
    RequestTooLarge,
    UnsupportedMedia,
)
from pointsman.core.wire import CODECS
from pointsman.core.wire.limits import BODY_BYTES_MAX
from pointsman.server.auth import Keyring
from pointsman.server.exchange import Exchange, Headers, Responder, reply_json
from pointsman.server.routes import Services, find_route

BODIES_BYTES_MAX = 256 * 1024 * 1024
BODY_S = 60.0
DRAIN_RETRY_AFTER_S = 1.0

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

log = logging.getLogger("pointsman")


class App:
    """One ASGI application around one pipeline."""

    def __init__(self, services: Services, keyring: Keyring) -> None:
        self.services = services
        self._keyring = keyring
        self._body_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): v.decode("latin-1") for name, v in scope["headers"]}
        responder = AsgiResponder(send, new_request_id())
        body = _Body(headers, receive)
        try:
            self._body_bytes += await body.expected_bytes(self._body_bytes)
            await self._serve(scope, headers, body, responder)
        except _HungUp:
            return
        except GatewayError as error:
            await refuse(responder, error, responder.request_id)
        finally:
            self._body_bytes -= body.counted

    async def _serve(
        self, scope: Scope, headers: dict[str, str], body: "_Body", responder: "AsgiResponder"
    ) -> None:
        content = await body.read()
        work = asyncio.ensure_future(
            run_route(
                self.services,
                self._keyring,
                Exchange(
                    method=scope["method"],
                    path=scope["path"],
                    headers=headers,
                    body=content,
                    request_id=responder.request_id,
                ),
                responder,
            )
        )
        watch = asyncio.ensure_future(body.hung_up())
        try:
            await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                raise _HungUp
            await work
        finally:
            for task in (work, watch):
                task.cancel()
            await asyncio.gather(work, watch, return_exceptions=True)
        await responder.finish()


class AsgiResponder:
    """Sends a reply as ASGI messages."""

    def __init__(self, send: Send, request_id: str) -> None:
        self.request_id = request_id
        self.has_started = False
        self._send = send

    async def start(self, status: int, headers: Headers) -> None:
        """Send the status and the headers."""
        self.has_started = True
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        raw.append((b"x-request-id", self.request_id.encode("latin-1")))
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def send(self, body: bytes) -> None:
        """Send more of the body."""
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def finish(self) -> None:
        """Say that the body is whole."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def run_route(
    services: Services, keyring: Keyring, exchange: Exchange, responder: Responder
) -> None:
    """Run the route for an exchange; its errors go out as replies, in the dialect's shape."""
    try:
        route = find_route(exchange.method, exchange.path)
        if not route.is_public:
            tenant = keyring.tenant(exchange.headers)
            exchange = msgspec.structs.replace(exchange, tenant=tenant)
            if services.is_draining:
                raise Draining("the server is stopping", retry_after_s=DRAIN_RETRY_AFTER_S)
        await route.handler(services, exchange, responder)
    except GatewayError as error:
        await refuse(responder, error, exchange.request_id)
    except Exception:  # ours to mend, never the client's to read: the log has the trace
        log.exception("request %s failed inside pointsman", exchange.request_id)
        await refuse(responder, GatewayError("an internal error; see the log"), exchange.request_id)


async def refuse(responder: Responder, error: GatewayError, request_id: str) -> None:
    """Send an error reply. The headers tell the official SDKs whether to try again."""
    headers = [
        ("x-should-retry", "true" if error.is_client_retry_useful else "false"),
        ("x-pointsman-attempts", str(len(error.attempts))),
    ]
    if error.attempts:
        headers.append(("x-pointsman-model", error.attempts[-1].deployment))
    if error.retry_after_s is not None:
        headers.append(("retry-after", str(max(1, math.ceil(error.retry_after_s)))))
    body = CODECS["openai-chat"].error_body(error, request_id)
    await reply_json(responder, error.http_status, body, headers)


class _HungUp(Exception):
    """The client has gone; there is nobody to tell."""


class _Body:
    """Reads a request's body within its limits. `counted`: bytes it holds of the common bound."""

    def __init__(self, headers: dict[str, str], receive: Receive) -> None:
        self.counted = 0
        self._headers = headers
        self._receive = receive

    async def expected_bytes(self, in_flight: int) -> int:
        """Return how large the body says it is. Raises where it may not be read at all."""
        if self._headers.get("content-encoding", "identity") != "identity":
            raise UnsupportedMedia("Content-Encoding is not taken; send the body as it is")
        stated = self._headers.get("content-length", "0")
        if not stated.isdecimal():
            raise RequestError(f"content-length is {stated[:40]!r}, not a number")
        if int(stated) > BODY_BYTES_MAX:
            raise _too_large()
        if in_flight + int(stated) > BODIES_BYTES_MAX:
            raise Overloaded("too many bodies are in flight", retry_after_s=1.0)
        self.counted = int(stated)
        return self.counted

    async def read(self) -> bytes:
        """Return the body. Raises RequestTooLarge, RequestTimeout, or _HungUp."""
        parts: list[bytes] = []
        total = 0
        try:
            async with asyncio.timeout(BODY_S):
                while True:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise _HungUp
                    part = message.get("body", b"")
                    total += len(part)
                    if total > BODY_BYTES_MAX:
                        raise _too_large()
                    parts.append(part)
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError as error:
            raise RequestTimeout(f"the body did not come within {BODY_S:.0f} s") from error

    async def hung_up(self) -> None:
        """Wait until the client has gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _too_large() -> RequestTooLarge:
    return RequestTooLarge(f"the body is over {BODY_BYTES_MAX // 1024 // 1024} MiB; send less")
