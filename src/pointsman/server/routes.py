"""Routes: which path does what. One table; nothing else knows a path."""

import re
from collections.abc import Awaitable, Callable, Container, Mapping
from typing import TypeAlias

import msgspec

from pointsman.core.errors import (
    Draining,
    MethodNotAllowed,
    RequestError,
    RouteNotFound,
    UnknownRequest,
)
from pointsman.core.grants import Scope
from pointsman.router import Pipeline
from pointsman.server import chat, counting, kept, metrics, model_list, openapi
from pointsman.server.exchange import Exchange, Responder, reply_json
from pointsman.server.metrics import Metrics

Handler: TypeAlias = Callable[["Services", Exchange, Responder], Awaitable[None]]

# Anybody may ask, whatever keys there are.
PUBLIC: None = None


class Services(msgspec.Struct, kw_only=True):
    """What the handlers work with. `sums`: the figures of all workers, None where there is one."""

    pipeline: Pipeline
    metrics: Metrics
    is_draining: bool = False
    sums: Callable[[], Awaitable[bytes]] | None = None

    def figures(self) -> bytes:
        """Return what this process has counted, in Prometheus' text format."""
        return self.metrics.render(self.pipeline.audits.standings())


class Route(msgspec.Struct, frozen=True):
    """A method, what it does, and what a key must be good for to open it.

    `dialect`: whose route it is, and so how its errors are told; "": as the headers say.
    `is_billable`: it calls a model, so a request with an Idempotency-Key is run once.
    """

    method: str
    handler: Handler
    scope: Scope | None  # no default: a new route is nobody's until somebody says whose
    dialect: str = ""
    is_billable: bool = False

    @property
    def is_public(self) -> bool:
        """Return whether it needs no key."""
        return self.scope is None


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a path leads to, the model that it names, and the dialect that errors are told in.

    `route` None: there is no such path.
    """

    route: Route | None
    dialect: str
    named: str = ""


class _Feedback(msgspec.Struct, forbid_unknown_fields=True):
    request_id: str
    score: float


def find_route(path: str, headers: Container[str]) -> Found:
    """Return what there is at a path; of the headers the names alone tell something.

    What begins with /v1 is there without it too.
    """
    if (found := _PLAIN.get(path)) is not None:
        return found
    for wanted in (path, f"/v1{path}"):
        if wanted in ROUTES and "{" not in wanted:
            return _found(ROUTES[wanted], headers)
        for pattern, route in _PATTERNS:
            if match := pattern.fullmatch(wanted):
                return _found(route, headers, named=match[1])
    is_googles = path.startswith("/v1beta/")
    return Found(route=None, dialect="gemini" if is_googles else _asking(headers))


def check_method(found: Found, method: str, path: str) -> Route:
    """Return the route that was found. Raises RouteNotFound or MethodNotAllowed.

    A model's own name may have a colon, and Google's API puts one before what to do with it.
    """
    route = found.route
    if route is None or (method == "POST" and route.method == "GET" and ":" in found.named):
        raise RouteNotFound(f"no route {path[:200]!r}; there are {', '.join(ROUTES)}")
    if route.method != ("GET" if method == "HEAD" else method):
        text = f"{path[:200]} takes {route.method}, not {method[:20]!r}"
        allowed = ("GET", "HEAD") if route.method == "GET" else (route.method,)
        raise MethodNotAllowed(text, allowed=allowed)
    return route


def _found(route: Route, headers: Container[str], *, named: str = "") -> Found:
    return Found(route=route, dialect=route.dialect or _asking(headers), named=named)


def _asking(headers: Container[str]) -> str:
    """Return the dialect of whoever asks for what is nobody's own, as far as headers tell."""
    if "anthropic-version" in headers:
        return "anthropic"
    if "x-goog-api-key" in headers or "x-goog-api-client" in headers:
        return "gemini"
    return "openai-chat"


def _named(place: re.Match[str]) -> str:
    return "(.*):" if place[1] else "(.+)"


def _completing(dialect: str, *, is_stream: bool | None = None) -> Route:
    def handler(services: Services, exchange: Exchange, responder: Responder) -> Awaitable[None]:
        return chat.complete(
            services.pipeline, exchange, responder, dialect=dialect, is_stream=is_stream
        )

    return Route("POST", handler, Scope.CALL, dialect, is_billable=True)


async def _gemini_stream(services: Services, exchange: Exchange, responder: Responder) -> None:
    if exchange.query.get("alt") != "sse":  # Google's own SDKs always ask so
        raise RequestError("a stream comes as server-sent events alone; ask with ?alt=sse")
    await chat.complete(services.pipeline, exchange, responder, dialect="gemini", is_stream=True)


def _google(version: str) -> Mapping[str, Route]:
    """Return the routes of one version of Google's API; its SDK asks for v1, older ones v1beta."""
    model = f"{version}/models/{{model}}"
    return {
        f"{model}:generateContent": _completing("gemini", is_stream=False),
        f"{model}:streamGenerateContent": Route(
            "POST", _gemini_stream, Scope.CALL, "gemini", is_billable=True
        ),
        f"{model}:countTokens": _counting("gemini"),
    }


def _counting(dialect: str) -> Route:
    async def handler(services: Services, exchange: Exchange, responder: Responder) -> None:
        await counting.count(services.pipeline, exchange, responder, dialect=dialect)

    return Route("POST", handler, Scope.CALL, dialect)


async def _decide(services: Services, exchange: Exchange, responder: Responder) -> None:
    await chat.decide(services.pipeline, exchange, responder)


def _models(services: Services, exchange: Exchange) -> tuple[model_list.Listed, ...]:
    routing = services.pipeline.routing
    return model_list.listed_models(routing, exchange.tenant, exchange.grant)


def _listing(dialect: str = "") -> Route:
    async def handler(services: Services, exchange: Exchange, responder: Responder) -> None:
        models = _models(services, exchange)
        shape = model_list.SHAPES[dialect or _asking(exchange.headers)]
        reply_json(responder, 200, shape.listed(models, exchange.query))

    return Route("GET", handler, Scope.CALL, dialect)


def _showing(dialect: str = "") -> Route:
    async def handler(services: Services, exchange: Exchange, responder: Responder) -> None:
        models = _models(services, exchange)
        shape = model_list.SHAPES[dialect or _asking(exchange.headers)]
        shown = shape.shown(model_list.one_listed(models, exchange.named))
        reply_json(responder, 200, msgspec.json.encode(shown))

    return Route("GET", handler, Scope.CALL, dialect)


async def _feedback(services: Services, exchange: Exchange, responder: Responder) -> None:
    try:
        given = msgspec.json.decode(exchange.body, type=_Feedback)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"the feedback does not fit: {error}") from error
    if not 0 <= given.score <= 1:
        raise RequestError(f"score is {given.score}; it goes from 0 to 1", param="score")
    is_known = await services.pipeline.feedback(
        given.request_id, given.score, tenant=exchange.tenant
    )
    if not is_known:
        raise UnknownRequest(f"no request {given.request_id[:100]!r} is known here")
    reply_json(responder, 200, b'{"ok":true}')


async def _purge(services: Services, exchange: Exchange, responder: Responder) -> None:
    await kept.purge(services.pipeline, exchange, responder)


async def _home(services: Services, exchange: Exchange, responder: Responder) -> None:
    del services, exchange
    reply_json(responder, 200, b'{"service":"pointsman"}')


async def _live(services: Services, exchange: Exchange, responder: Responder) -> None:
    del services, exchange
    reply_json(responder, 200, b'{"status":"ok"}')


async def _ready(services: Services, exchange: Exchange, responder: Responder) -> None:
    del exchange
    if services.is_draining:
        raise Draining("the server is stopping", retry_after_s=1.0)
    reply_json(responder, 200, b'{"status":"ok"}')


async def _metrics(services: Services, exchange: Exchange, responder: Responder) -> None:
    del exchange
    body = services.figures() if services.sums is None else await services.sums()
    responder.start(
        200, [("content-type", metrics.CONTENT_TYPE), ("content-length", str(len(body)))]
    )
    responder.write(body)


async def _describe(services: Services, exchange: Exchange, responder: Responder) -> None:
    del services, exchange
    reply_json(responder, 200, openapi.document(_described(*entry) for entry in ROUTES.items()))


def _described(path: str, route: Route) -> openapi.Described:
    bodies = {"/v1/decide": openapi.body_schema("openai-chat")}
    bodies["/v1/feedback"] = openapi.struct_schema(_Feedback)
    if route.method == "POST" and path not in bodies:
        bodies[path] = openapi.body_schema(route.dialect)
    return openapi.Described(
        path=path,
        method=route.method,
        dialect=route.dialect,
        is_public=route.is_public,
        is_billable=route.is_billable,
        body=bodies.get(path),
    )


# A name in braces stands for any, as a model's may hold slashes; of two patterns the first holds.
ROUTES: Mapping[str, Route] = {
    "/v1/chat/completions": _completing("openai-chat"),
    "/v1/responses": _completing("openai-responses"),
    "/v1/responses/input_tokens": _counting("openai-responses"),
    "/v1/messages": _completing("anthropic"),
    "/v1/messages/count_tokens": _counting("anthropic"),
    "/v1/embeddings": _completing("openai-embeddings"),
    "/v1/models": _listing(),
    **_google("/v1"),
    "/v1/models/{model}": _showing(),
    **_google("/v1beta"),
    "/v1beta/models": _listing("gemini"),
    "/v1beta/models/{model}": _showing("gemini"),
    "/v1/decide": Route("POST", _decide, Scope.CALL),
    "/v1/feedback": Route("POST", _feedback, Scope.CALL),
    "/v1/cache/{id}": Route("DELETE", _purge, Scope.CALL),
    "/": Route("GET", _home, PUBLIC),
    "/health/live": Route("GET", _live, PUBLIC),
    "/health/ready": Route("GET", _ready, PUBLIC),
    "/metrics": Route("GET", _metrics, Scope.READ),
    "/openapi.json": Route("GET", _describe, Scope.READ),
}
# Most requests: the path says all, and whose it is.
_PLAIN: Mapping[str, Found] = {
    path: Found(route=route, dialect=route.dialect)
    for path, route in ROUTES.items()
    if route.dialect and "{" not in path
}
# An empty name with something to do is still Google's to refuse, in its own shape.
_PATTERNS = tuple(
    (re.compile(re.sub(r"\\{\w+\\}(:?)", _named, re.escape(path)), re.DOTALL), route)
    for path, route in ROUTES.items()
    if "{" in path
)
