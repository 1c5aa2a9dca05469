"""App: the ASGI adapter. Reads a body within its limits, runs a route, and minds who hangs up."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, nullcontext
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

import msgspec

from pointsman.assembly import new_request_id
from pointsman.core.errors import (
    Draining,
    GatewayError,
    Overloaded,
    RequestError,
    RequestTimeout,
    RequestTooLarge,
    Unauthorized,
    UnsupportedMedia,
)
from pointsman.core.wire import CODECS
from pointsman.core.wire.limits import BODY_BYTES_MAX, check_json
from pointsman.server.apart import read_apart
from pointsman.server.auth import Keyring
from pointsman.server.exchange import ErrorFrame, Exchange, Headers, Responder, reply_json
from pointsman.server.headers import id_headers, printable
from pointsman.server.routes import Found, Route, Services, check_method, find_route

DRAIN_RETRY_AFTER_S = 1.0
_LENGTH_DIGITS_MAX = 18

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

log = logging.getLogger("pointsman")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What bodies may be: each one's bytes, those of all in flight, and how long one may take."""

    body_bytes_max: int = BODY_BYTES_MAX
    bodies_bytes_max: int = 256 * 1024 * 1024
    body_s: float = 60.0


class App:
    """One ASGI application around one pipeline, on the event loop that it is made on."""

    def __init__(self, services: Services, keyring: Keyring, limits: Limits | None = None) -> None:
        self.services = services
        self._keyring = keyring
        self._bodies = _Bodies(limits or Limits())
        self._stopped = asyncio.get_running_loop().create_future()
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def wait_idle(self) -> None:
        """Wait until nothing is in flight (probes do not count), or until `stop`."""
        idle = asyncio.ensure_future(self._idle.wait())
        await asyncio.wait((idle, self._stopped), return_when=asyncio.FIRST_COMPLETED)
        idle.cancel()

    def stop(self) -> None:
        """Break off what still runs: its clients are told."""
        if not self._stopped.done():
            self._stopped.set_result(None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): v.decode("latin-1") for name, v in scope["headers"]}
        method, path = scope["method"], scope["path"]
        found = find_route(path, headers)
        responder = AsgiResponder(send, new_request_id(), found.dialect)
        body = _Body(headers, receive, self._bodies)
        try:
            route = check_method(found, method, path)
            tenant = admit(self.services, self._keyring, route, headers)
            with nullcontext() if route.is_public else self._counted():
                exchange = Exchange(
                    method=method,
                    path=path,
                    headers=headers,
                    body=await body.read(),
                    request_id=responder.request_id,
                    tenant=tenant,
                    named=found.named,
                    query=read_query(scope.get("query_string", b"").decode("latin-1")),
                )
                await self._serve(found, route, exchange, body, responder)
        except _HungUp:
            return
        except GatewayError as error:
            await tell(responder, error, responder.request_id, found.dialect)
        finally:
            body.release()
        await responder.finish()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Have a request count as in flight."""
        self._in_flight += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def _serve(
        self,
        found: Found,
        route: Route,
        exchange: Exchange,
        body: "_Body",
        responder: "AsgiResponder",
    ) -> None:
        """Run the route until its end, or until nobody waits for it. Raises _HungUp, Draining."""
        run = run_route(self.services, route, exchange, responder, dialect=found.dialect)
        work = asyncio.ensure_future(run)
        watch = asyncio.ensure_future(body.hung_up())
        try:
            await asyncio.wait((work, watch, self._stopped), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return await work
        finally:
            for task in (work, watch):
                task.cancel()
            await asyncio.gather(work, watch, return_exceptions=True)
        if self._stopped.done():
            raise Draining("the server has stopped", retry_after_s=DRAIN_RETRY_AFTER_S)
        raise _HungUp


class AsgiResponder:
    """Sends a reply as ASGI messages."""

    def __init__(self, send: Send, request_id: str, dialect: str) -> None:
        self.request_id = request_id
        self._ids = id_headers(dialect, request_id)
        self.has_started = False
        self.error_frame: ErrorFrame | None = None
        self._send = send

    async def start(
        self, status: int, headers: Headers, *, error_frame: ErrorFrame | None = None
    ) -> None:
        """Send the status and the headers."""
        self.has_started, self.error_frame = True, error_frame
        all_of_them = (*headers, *self._ids)
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in all_of_them]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def send(self, body: bytes) -> None:
        """Send more of the body."""
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def finish(self) -> None:
        """Say that the body is whole."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def admit(services: Services, keyring: Keyring, route: Route, headers: Mapping[str, str]) -> str:
    """Return whose key the request has, before anything of its body is read.

    Raises Unauthorized or Draining.
    """
    if route.is_public:
        return ""
    tenant = keyring.tenant(headers)
    if services.is_draining:
        raise Draining("the server is stopping", retry_after_s=DRAIN_RETRY_AFTER_S)
    return tenant


def read_query(text: str) -> Mapping[str, str]:
    """Return a query's parameters, of one that comes twice the last."""
    return dict(parse_qsl(text, keep_blank_values=True)) if text else {}


async def run_route(
    services: Services, route: Route, exchange: Exchange, responder: Responder, *, dialect: str
) -> None:
    """Run a route for an exchange; its errors go out as replies, in the shape of `dialect`."""
    try:
        await read_apart(check_json, exchange.body)
        await route.handler(services, exchange, responder)
    except GatewayError as error:
        await tell(responder, error, exchange.request_id, dialect)
    except Exception:  # ours to mend, never the client's to read: the log has the trace
        log.exception("request %s failed inside pointsman", exchange.request_id)
        fault = GatewayError("an internal error; see the log")
        await tell(responder, fault, exchange.request_id, dialect)


async def tell(responder: Responder, error: GatewayError, request_id: str, dialect: str) -> None:
    """Tell the client of an error: as a reply, or inside a stream that has begun."""
    if not responder.has_started:
        await refuse(responder, error, request_id, dialect)
    elif responder.error_frame is not None:
        await responder.send(responder.error_frame(error))


async def refuse(responder: Responder, error: GatewayError, request_id: str, dialect: str) -> None:
    """Send an error reply. The headers tell the official SDKs whether to try again."""
    headers = [
        ("x-should-retry", "true" if error.is_client_retry_useful else "false"),
        ("x-pointsman-attempts", str(len(error.attempts))),
    ]
    if error.attempts:
        headers.append(("x-pointsman-model", printable(error.attempts[-1].deployment)))
    if error.retry_after_s is not None:
        headers.append(("retry-after", str(max(1, math.ceil(error.retry_after_s)))))
    if isinstance(error, Unauthorized):
        headers.append(("www-authenticate", "Bearer"))
    if isinstance(error, RequestTimeout | Draining):
        headers.append(("connection", "close"))  # late bytes are no next request; or none is taken
    body = CODECS[dialect].error_body(error, request_id)
    await reply_json(responder, error.http_status, body, headers)


class _HungUp(Exception):
    """The client has gone; there is nobody to tell."""


class _Bodies:
    """How many bytes of bodies are in memory, all requests together."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._held = 0

    def take(self, count: int) -> None:
        """Make room for bytes. Raises Overloaded where there is none."""
        if self._held + count > self.limits.bodies_bytes_max:
            raise Overloaded("too many bodies are in flight", retry_after_s=1.0)
        self._held += count

    def give(self, count: int) -> None:
        """Let go of bytes."""
        self._held -= count


class _Body:
    """Reads a request's body within its limits."""

    def __init__(self, headers: dict[str, str], receive: Receive, bodies: _Bodies) -> None:
        self._headers = headers
        self._receive = receive
        self._bodies = bodies
        self._limits = bodies.limits
        self._taken = 0

    async def read(self) -> bytes:
        """Return the body. Raises RequestError, Overloaded or _HungUp."""
        self._take(self._stated_bytes())
        parts: list[bytes] = []
        total = 0
        try:
            async with asyncio.timeout(self._limits.body_s):
                while True:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise _HungUp
                    part = message.get("body", b"")
                    total += len(part)
                    self._take(total)
                    parts.append(part)
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError as error:
            raise RequestTimeout(
                f"the body did not come within {self._limits.body_s:g} s"
            ) from error

    async def hung_up(self) -> None:
        """Wait until the client has gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def release(self) -> None:
        """Give back the room it took."""
        self._bodies.give(self._taken)
        self._taken = 0

    def _stated_bytes(self) -> int:
        """Return how large the body says it is. Raises where it may not be read at all."""
        if self._headers.get("content-encoding", "identity").lower() != "identity":
            raise UnsupportedMedia("Content-Encoding is not taken; send the body as it is")
        stated = self._headers.get("content-length", "0")
        if not stated.isdecimal() or len(stated) > _LENGTH_DIGITS_MAX:
            raise RequestError(f"content-length is {stated[:40]!r}, not a number of bytes")
        return int(stated)

    def _take(self, total: int) -> None:
        """Make room for a body of `total` bytes. Raises RequestTooLarge or Overloaded."""
        if total > self._limits.body_bytes_max:
            limit_mb = self._limits.body_bytes_max / 1024 / 1024
            raise RequestTooLarge(f"the body is over {limit_mb:g} MiB; send less")
        if total > self._taken:
            self._bodies.take(total - self._taken)
            self._taken = total
