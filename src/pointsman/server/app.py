"""App: the ASGI adapter. Lets requests in, runs their routes, and minds who hangs up."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from types import TracebackType
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote

from pointsman.access.keyring import Admitted, Keyring
from pointsman.access.rates import RequestRates
from pointsman.assembly import new_request_id
from pointsman.core.errors import Draining, GatewayError, Overloaded
from pointsman.server.auth import admit
from pointsman.server.bodies import (
    DRAIN_RETRY_AFTER_S,
    SHED_RETRY_AFTER_S,
    STOPPED,
    Bodies,
    Body,
    HungUp,
    Limits,
    Message,
    Receive,
)
from pointsman.server.exchange import ErrorFrame, Exchange, Headers
from pointsman.server.headers import id_headers
from pointsman.server.idempotency import has_key
from pointsman.server.origins import Origins
from pointsman.server.protocol import IS_EXCESS, RawHeaders, Refusal
from pointsman.server.request_log import RequestLog, Served
from pointsman.server.routes import Found, Route, Services, check_method, find_route
from pointsman.server.shedding import Turnstile
from pointsman.server.telling import refusal, run_route, tell, tell_of_fault

# The client hung up first. Source: FAULTS, row 17; nginx has the same number for it.
CLIENT_GONE = 499

_TOO_MANY = "too many requests are in flight here"
_TOO_LATE = "this server is behind with the requests that it has"

Scope: TypeAlias = MutableMapping[str, Any]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


class App:
    """One ASGI application around one pipeline, on the event loop that it is made on."""

    def __init__(
        self,
        services: Services,
        keyring: Keyring,
        limits: Limits | None = None,
        origins: Origins | None = None,
        log: RequestLog | None = None,
        new_id: Callable[[], str] = new_request_id,
    ) -> None:
        self.services = services
        self._new_id = new_id
        self._keyring = keyring
        self._rates = RequestRates()
        self._origins = origins or Origins()
        self._log = log
        self._limits = limits or Limits()
        self._bodies = Bodies(self._limits)
        loop = asyncio.get_running_loop()
        self._stopped = loop.create_future()
        self._turnstile = Turnstile(self._limits.wait_max_s, loop)
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
            self._bodies.stop()

    def turned_away(self, method: str, target: bytes, raw_headers: RawHeaders) -> Refusal | None:
        """Return the reply to a request for which there is no room, None where there is.

        It costs little: those who were let in are not to wait for those who were not.
        """
        error = self._overload()
        if error is None:
            return None
        path = unquote(target.partition(b"?")[0].decode("latin-1"))
        found = find_route(path, {name.decode("latin-1") for name, _ in raw_headers})
        if found.route is None or found.route.is_public:
            return None
        request_id = self._new_id()
        if self._log is not None:
            served = self._log.begin(request_id, method, path)
            self._log.end(served, error.http_status, error.code, {})
        told, body = refusal(error, request_id, found.dialect)
        return error.http_status, (*id_headers(found.dialect, request_id), *told), body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): v.decode("latin-1") for name, v in scope["headers"]}
        method, path = scope["method"], scope["path"]
        found = find_route(path, headers)
        body = Body(headers, receive, self._bodies)
        responder = AsgiResponder(send, self._new_id(), found.dialect, body)
        served = self._begin_line(found, method, path, responder)
        try:
            await self._answer(scope, found, headers, body, responder, served)
        finally:
            self._end_line(served, responder)

    async def _answer(
        self,
        scope: Scope,
        found: Found,
        headers: dict[str, str],
        body: Body,
        responder: "AsgiResponder",
        served: Served | None,
    ) -> None:
        """Let the request in, or tell why not, and run its route."""
        method, path = scope["method"], scope["path"]
        try:
            if found.route is None or not found.route.is_public:
                self._origins.check(headers)
            route = check_method(found, method, path)
            who = await admit(self._keyring, route.scope, headers)
            if served is not None:
                served.key = who.tenant
            check_taking(self.services, route)
            if route.is_public:
                await self._run(scope, found, route, headers, body, responder, who)
            else:
                now_s = asyncio.get_running_loop().time()
                with self._rates.entered(who.tenant, who.grant, now_s):
                    self._enter(scope)
                    try:
                        await self._run(scope, found, route, headers, body, responder, who)
                    finally:
                        self._leave()
        except HungUp:
            return
        except GatewayError as error:
            await tell(responder, error, responder.request_id, found.dialect)
        except Exception as error:  # uvicorn would log what it says, and answer in no dialect
            await tell_of_fault(responder, error, responder.request_id, found.dialect)
        finally:
            body.release()
        await responder.finish()

    async def _run(
        self,
        scope: Scope,
        found: Found,
        route: Route,
        headers: dict[str, str],
        body: Body,
        responder: "AsgiResponder",
        who: Admitted,
    ) -> None:
        """Read the body and run the route, in its turn."""
        exchange = Exchange(
            method=scope["method"],
            path=scope["path"],
            headers=headers,
            body=await body.read(),
            request_id=responder.request_id,
            tenant=who.tenant,
            grant=who.grant,
            named=found.named,
            query=read_query(scope.get("query_string", b"").decode("latin-1")),
        )
        if not route.is_public:
            await self._turnstile.pass_through()
        await self._serve(found, route, exchange, body, responder)

    def _begin_line(
        self, found: Found, method: str, path: str, responder: "AsgiResponder"
    ) -> Served | None:
        """Begin a request's line in the log; None for a probe, and where no log is kept."""
        if self._log is None or (found.route is not None and found.route.is_public):
            return None
        return self._log.begin(responder.request_id, method, path)

    def _end_line(self, served: Served | None, responder: "AsgiResponder") -> None:
        if self._log is not None and served is not None:
            status = responder.status if responder.is_finished else CLIENT_GONE
            self._log.end(served, status, responder.error_code, responder.headers)

    def _enter(self, scope: Scope) -> None:
        """Have a request count as in flight. Raises Overloaded where there is no room for it."""
        if scope.get("state", {}).get(IS_EXCESS):
            raise Overloaded(_TOO_MANY, retry_after_s=SHED_RETRY_AFTER_S)
        if (error := self._overload()) is not None:
            raise error
        self._in_flight += 1
        self._idle.clear()

    def _leave(self) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()

    def _overload(self) -> Overloaded | None:
        """Return why one more request is not let in, None where it is."""
        if self._in_flight >= self._limits.in_flight_max:
            return Overloaded(_TOO_MANY, retry_after_s=SHED_RETRY_AFTER_S)
        if self._turnstile.is_too_slow(self._in_flight):
            return Overloaded(_TOO_LATE, retry_after_s=SHED_RETRY_AFTER_S)
        return None

    async def _serve(
        self,
        found: Found,
        route: Route,
        exchange: Exchange,
        body: Body,
        responder: "AsgiResponder",
    ) -> None:
        """Run the route until its end, or until nobody waits for it. Raises HungUp, Draining.

        Who sent an Idempotency-Key and hangs up may ask again for what came of it.
        """
        run = run_route(self.services, route, exchange, responder, dialect=found.dialect)
        may_leave = not (route.is_billable and has_key(exchange.headers))
        watch = asyncio.ensure_future(body.hung_up())
        try:
            with _Until(self._stopped, *([watch] if may_leave else ())):
                await run
        except _Over:
            if self._stopped.done():
                raise Draining(STOPPED, retry_after_s=DRAIN_RETRY_AFTER_S) from None
            raise HungUp from None
        finally:
            watch.cancel()


class _Over(Exception):
    """What was waited for has come before the work was done."""


class _Until:
    """Breaks a block off when one of `ends` comes. Raises _Over then."""

    def __init__(self, *ends: asyncio.Future[None]) -> None:
        self._ends = ends
        self._task = asyncio.current_task()
        self._is_broken_off = False

    def __enter__(self) -> None:
        for end in self._ends:
            end.add_done_callback(self._break_off)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for end in self._ends:
            end.remove_done_callback(self._break_off)
        if self._is_broken_off and self._task is not None:
            is_ours_alone = not self._task.uncancel()
            if is_ours_alone and kind is not None and issubclass(kind, asyncio.CancelledError):
                raise _Over from None

    def _break_off(self, _: asyncio.Future[None]) -> None:
        if not self._is_broken_off and self._task is not None:
            self._is_broken_off = True
            self._task.cancel()


class AsgiResponder:
    """Sends a reply as ASGI messages."""

    def __init__(self, send: Send, request_id: str, dialect: str, body: Body) -> None:
        self.request_id = request_id
        self._body = body
        self._ids = id_headers(dialect, request_id)
        self.has_started = False
        self.error_frame: ErrorFrame | None = None
        self.error_code = ""
        self.status = 0
        self.is_finished = False
        self.headers: dict[str, str] = {}
        self._send = send

    async def start(
        self, status: int, headers: Headers, *, error_frame: ErrorFrame | None = None
    ) -> None:
        """Send the status and the headers."""
        self.has_started, self.error_frame = True, error_frame
        all_of_them = dict((*self._ids, *headers))  # a reply sent again has its first id
        if self._body.is_held_back:
            all_of_them["connection"] = "close"
        self.status, self.headers = status, all_of_them
        raw = [(n.encode("latin-1"), value.encode("latin-1")) for n, value in all_of_them.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def send(self, body: bytes) -> None:
        """Send more of the body."""
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def finish(self) -> None:
        """Say that the body is whole."""
        self.is_finished = True
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def check_taking(services: Services, route: Route) -> None:
    """Raise Draining where nothing more is taken on."""
    if services.is_draining and not route.is_public:
        raise Draining("the server is stopping", retry_after_s=DRAIN_RETRY_AFTER_S)


def read_query(text: str) -> Mapping[str, str]:
    """Return a query's parameters, of one that comes twice the last."""
    return dict(parse_qsl(text, keep_blank_values=True)) if text else {}
