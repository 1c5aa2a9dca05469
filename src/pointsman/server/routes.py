"""Routes: which path does what. One table; nothing else knows a path."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeAlias

import msgspec

from pointsman.core.errors import (
    Draining,
    MethodNotAllowed,
    RequestError,
    RouteNotFound,
    UnknownRequest,
)
from pointsman.router import Pipeline
from pointsman.server import chat, metrics
from pointsman.server.exchange import Exchange, Responder, reply_json
from pointsman.server.metrics import Metrics

Handler: TypeAlias = Callable[["Services", Exchange, Responder], Awaitable[None]]


class Services(msgspec.Struct, kw_only=True):
    """What the handlers work with."""

    pipeline: Pipeline
    metrics: Metrics
    is_draining: bool = False


class Route(msgspec.Struct, frozen=True):
    """A method and what it does. `is_public`: needs no key."""

    method: str
    handler: Handler
    is_public: bool = False


class _Feedback(msgspec.Struct, forbid_unknown_fields=True):
    request_id: str
    score: float


def find_route(method: str, path: str) -> Route:
    """Return the route. Raises RouteNotFound or MethodNotAllowed."""
    route = ROUTES.get(path)
    if route is None:
        raise RouteNotFound(f"no route {path[:200]!r}; there are {', '.join(ROUTES)}")
    if route.method != ("GET" if method == "HEAD" else method):
        raise MethodNotAllowed(f"{path} takes {route.method}, not {method[:20]!r}")
    return route


async def _complete(
    services: Services, exchange: Exchange, responder: Responder, *, dialect: str
) -> None:
    await chat.complete(services.pipeline, exchange, responder, dialect=dialect)


async def _decide(services: Services, exchange: Exchange, responder: Responder) -> None:
    await chat.decide(services.pipeline, exchange, responder)


async def _models(services: Services, exchange: Exchange, responder: Responder) -> None:
    del exchange
    names = services.pipeline.model_names()
    data = [
        {"id": name, "object": "model", "created": 0, "owned_by": owner} for name, owner in names
    ]
    await reply_json(responder, 200, msgspec.json.encode({"object": "list", "data": data}))


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
    await reply_json(responder, 200, b'{"ok":true}')


async def _live(services: Services, exchange: Exchange, responder: Responder) -> None:
    del services, exchange
    await reply_json(responder, 200, b'{"status":"ok"}')


async def _ready(services: Services, exchange: Exchange, responder: Responder) -> None:
    del exchange
    if services.is_draining:
        raise Draining("the server is stopping", retry_after_s=1.0)
    await reply_json(responder, 200, b'{"status":"ok"}')


async def _metrics(services: Services, exchange: Exchange, responder: Responder) -> None:
    del exchange
    body = services.metrics.render(services.pipeline.audits.standings())
    await responder.start(
        200, [("content-type", metrics.CONTENT_TYPE), ("content-length", str(len(body)))]
    )
    await responder.send(body)


ROUTES: Mapping[str, Route] = {
    "/v1/chat/completions": Route("POST", partial(_complete, dialect="openai-chat")),
    "/v1/models": Route("GET", _models),
    "/v1/decide": Route("POST", _decide),
    "/v1/feedback": Route("POST", _feedback),
    "/health/live": Route("GET", _live, is_public=True),
    "/health/ready": Route("GET", _ready, is_public=True),
    "/metrics": Route("GET", _metrics),
}
