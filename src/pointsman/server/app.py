"""App: lets requests in, runs their routes, and breaks off those that nobody waits for."""

import asyncio
from collections.abc import Callable, Mapping
from functools import lru_cache
from urllib.parse import parse_qsl

import msgspec

from pointsman.access.keyring import ANYBODY, Keyring
from pointsman.access.rates import UNLIMITED, RequestRates
from pointsman.assembly import new_request_id
from pointsman.core.errors import Draining, Overloaded
from pointsman.joint import Joint
from pointsman.server.auth import check_scope, sent_key
from pointsman.server.bodies import SHED_RETRY_AFTER_S, Bodies, Incoming, Limits
from pointsman.server.exchange import Exchange
from pointsman.server.headers import id_headers
from pointsman.server.idempotency import has_key
from pointsman.server.origins import Origins
from pointsman.server.parser import Head
from pointsman.server.protocol import Refusal
from pointsman.server.reply import Reply
from pointsman.server.request_log import RequestLog, Served
from pointsman.server.routes import Found, Route, Services, check_method, find_route
from pointsman.server.shedding import Turnstile
from pointsman.server.telling import refusal, run_route, tell, tell_of

DRAIN_RETRY_AFTER_S = 1.0
# So many heads are remembered with what they ask for.
_HEADS_MAX = 256
# The client hung up first. Source: FAULTS, row 17; nginx has the same number for it.
CLIENT_GONE = 499

_TOO_MANY = "too many requests are in flight here"
_TOO_LATE = "this server is behind with the requests that it has"
_STOPPED = "the server has stopped"


class Errand(msgspec.Struct, frozen=True):
    """What a head asks for; requests with the same head share it.

    `route` None: what may not be asked for, or not so. `named`: the model in the path, else "".
    `sent`: the key, "" where there is none. `is_public`: no key is needed, and no room.
    """

    dialect: str
    route: Route | None
    named: str
    sent: str
    is_public: bool


class App:
    """What answers requests by one pipeline, on the event loop that it is made on."""

    def __init__(
        self,
        services: Services,
        keyring: Keyring,
        limits: Limits | None = None,
        origins: Origins | None = None,
        log: RequestLog | None = None,
        new_id: Callable[[], str] = new_request_id,
        joint: Joint | None = None,
    ) -> None:
        self.services = services
        self._new_id = new_id
        self._keyring = keyring
        self._rates = RequestRates(joint.requests if joint else None)
        self._origins = origins or Origins()
        self._log = log
        self._limits = limits or Limits()
        self._errand = lru_cache(maxsize=_HEADS_MAX)(self._look_at)
        self._bodies = Bodies(self._limits)
        self._loop = asyncio.get_running_loop()
        self._turnstile = Turnstile(self._limits.wait_max_s, self._loop)
        # Those that were let in and have not ended; probes do not count.
        self._in_flight: set[Incoming] = set()
        self._idle: asyncio.Future[None] | None = None
        self._is_stopped = False

    @property
    def in_flight(self) -> int:
        """Return how many requests have been let in and have not ended."""
        return len(self._in_flight)

    async def wait_idle(self) -> None:
        """Wait until nothing is in flight; probes do not count."""
        while self._in_flight:
            self._idle = self._idle or self._loop.create_future()
            await asyncio.shield(self._idle)

    def stop(self) -> None:
        """Break off what still runs: its clients are told."""
        self._is_stopped = True
        for incoming in tuple(self._in_flight):
            incoming.break_off()

    def turned_away(self, head: Head) -> Refusal | None:
        """Return the reply to a request for which there is no room, None where there is.

        It costs little: those who were let in are not to wait for those who were not.
        """
        error = self._overload()
        if error is None:
            return None
        found = find_route(head.path, head.headers)
        if found.route is None or found.route.is_public:
            return None
        request_id = self._new_id()
        if self._log is not None:
            served = self._log.begin(request_id, head.method, head.path)
            self._log.end(served, error.http_status, error.code, {})
        told, body = refusal(error, request_id, found.dialect)
        return error.http_status, (*id_headers(found.dialect, request_id), *told), body

    async def handle(self, incoming: Incoming, reply: Reply) -> None:
        """Serve one request: to the reply's end, or until `incoming` is broken off."""
        head, log, request_id = incoming.head, self._log, self._new_id()
        errand = self._errand(head)
        dialect = errand.dialect
        reply.ids = id_headers(dialect, request_id)
        served = None
        if log is not None and not errand.is_public:
            served = log.begin(request_id, head.method, head.path)
        try:
            try:
                await self._answer(errand, request_id, incoming, reply, served)
            except Exception as error:  # nobody else would tell the client
                tell_of(reply, error, request_id, dialect)
            reply.finish()
        except asyncio.CancelledError:
            if self._is_stopped:
                draining = Draining(_STOPPED, retry_after_s=DRAIN_RETRY_AFTER_S)
                tell(reply, draining, request_id, dialect)
                reply.finish()
            elif not incoming.is_gone:
                raise
        finally:
            incoming.release()
            self._leave(incoming)
            if log is not None and served is not None:
                status = reply.status if reply.is_finished else CLIENT_GONE
                log.end(served, status, reply.error_code, reply.headers)

    async def _answer(
        self,
        errand: Errand,
        request_id: str,
        incoming: Incoming,
        reply: Reply,
        served: Served | None,
    ) -> None:
        """Let a request in, and run its route in its turn. Raises GatewayError.

        Who sent an Idempotency-Key and hangs up may ask again for what came of it.
        """
        head, route, who = incoming.head, errand.route, ANYBODY
        if route is None:
            route = self._check(head, find_route(head.path, head.headers))
        limits = UNLIMITED
        if not errand.is_public:
            who = self._keyring.known(errand.sent) or await self._keyring.admit(errand.sent)
            check_scope(who, route.scope)
            if served is not None:
                served.key = who.tenant
            check_taking(self.services, route)
            limits = self._rates.entered(who.tenant, who.grant, self._loop.time())
        with limits:
            if not errand.is_public:
                self._enter(incoming)
            bodies, is_whole = self._bodies, incoming.is_whole
            exchange = Exchange(
                method=head.method,
                path=head.path,
                headers=head.headers,
                body=incoming.whole(bodies) if is_whole else await incoming.read(bodies),
                request_id=request_id,
                tenant=who.tenant,
                grant=who.grant,
                named=errand.named,
                query=read_query(head.query),
            )
            if route.is_billable and has_key(head.headers):
                incoming.may_leave = False
            if not errand.is_public and (turn := self._turnstile.turn()) is not None:
                await turn
            await run_route(self.services, route, exchange, reply, dialect=errand.dialect)

    def _look_at(self, head: Head) -> Errand:
        """Return what a head asks for."""
        found = find_route(head.path, head.headers)
        try:
            route = self._check(head, found)
        except Exception:  # whatever it is, it is raised anew and told to each who asks so
            route = None
        is_public = found.route is not None and found.route.is_public
        return Errand(found.dialect, route, found.named, sent_key(head.headers), is_public)

    def _check(self, head: Head, found: Found) -> Route:
        """Return what is to be run. Raises OriginRefused, RouteNotFound, MethodNotAllowed."""
        if found.route is None or not found.route.is_public:
            self._origins.check(head.headers)
        return check_method(found, head.method, head.path)

    def _enter(self, incoming: Incoming) -> None:
        """Have a request count as in flight. Raises Overloaded where there is no room for it."""
        if incoming.is_excess:
            raise Overloaded(_TOO_MANY, retry_after_s=SHED_RETRY_AFTER_S)
        if (error := self._overload()) is not None:
            raise error
        if self._is_stopped:
            raise Draining(_STOPPED, retry_after_s=DRAIN_RETRY_AFTER_S)
        self._in_flight.add(incoming)

    def _leave(self, incoming: Incoming) -> None:
        self._in_flight.discard(incoming)
        if self._idle is not None and not self._in_flight:
            self._idle.set_result(None)
            self._idle = None

    def _overload(self) -> Overloaded | None:
        """Return why one more request is not let in, None where it is."""
        in_flight = len(self._in_flight)
        if in_flight >= self._limits.in_flight_max:
            return Overloaded(_TOO_MANY, retry_after_s=SHED_RETRY_AFTER_S)
        if self._turnstile.is_standing and self._turnstile.is_too_slow(in_flight):
            return Overloaded(_TOO_LATE, retry_after_s=SHED_RETRY_AFTER_S)
        return None


def check_taking(services: Services, route: Route) -> None:
    """Raise Draining where nothing more is taken on."""
    if services.is_draining and not route.is_public:
        raise Draining("the server is stopping", retry_after_s=DRAIN_RETRY_AFTER_S)


def read_query(text: str) -> Mapping[str, str]:
    """Return a query's parameters, of one that comes twice the last."""
    return dict(parse_qsl(text, keep_blank_values=True)) if text else {}
