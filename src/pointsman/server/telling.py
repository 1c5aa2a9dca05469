"""Telling: runs a route, and tells errors as the asking dialect has them."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Mapping
from typing import Any

from pointsman.core.errors import (
    Draining,
    GatewayError,
    LedgerUnavailable,
    MethodNotAllowed,
    RequestTimeout,
    Unauthorized,
)
from pointsman.core.secret import unsaid
from pointsman.core.wire import CODECS
from pointsman.core.wire.limits import check_json
from pointsman.deciding import INLINE_BYTES_MAX
from pointsman.server.apart import read_apart
from pointsman.server.exchange import Exchange, Headers, Responder, reply_json
from pointsman.server.headers import printable
from pointsman.server.idempotency import has_key, run_once
from pointsman.server.routes import Route, Services

log = logging.getLogger("pointsman")


def run_route(
    services: Services, route: Route, exchange: Exchange, responder: Responder, *, dialect: str
) -> Awaitable[None]:
    """Begin to run a route for an exchange; return what is to be awaited. Raises GatewayError."""
    if len(exchange.body) > INLINE_BYTES_MAX:
        return _run_large(services, route, exchange, responder, dialect)
    check_json(exchange.body)
    return _run(services, route, exchange, responder, dialect)


def tell_of(responder: Responder, error: Exception, request_id: str, dialect: str) -> None:
    """Tell the client of whatever a request came to grief by."""
    try:
        if isinstance(error, GatewayError):
            tell(responder, error, request_id, dialect)
            return
    except Exception as fault:  # the error says what its dialect cannot
        error = fault
    log.error("request %s failed inside pointsman", request_id, exc_info=unsaid(error))
    fault_of_ours = GatewayError("an internal error; see the log")
    tell(responder, fault_of_ours, request_id, dialect)


def log_stray(_loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """Log what failed where nobody waits for it; for `loop.set_exception_handler`.

    asyncio's own handler writes the error's message and what the failed callback was given.
    """
    error = context.get("exception")
    why = unsaid(error) if isinstance(error, BaseException) else None
    log.error("%s", context.get("message") or "a callback failed", exc_info=why)


async def _run_large(
    services: Services, route: Route, exchange: Exchange, responder: Responder, dialect: str
) -> None:
    await read_apart(check_json, exchange.body)
    await _run(services, route, exchange, responder, dialect)


def _run(
    services: Services, route: Route, exchange: Exchange, responder: Responder, dialect: str
) -> Awaitable[None]:
    if not route.is_billable or not has_key(exchange.headers):
        return route.handler(services, exchange, responder)

    async def handle(to: Responder) -> None:
        await route.handler(services, exchange, to)

    def tell_it(to: Responder, error: GatewayError) -> None:
        tell(to, error, exchange.request_id, dialect)

    outcomes = services.pipeline.stores.outcomes
    return run_once(outcomes, exchange, responder, dialect=dialect, handle=handle, tell=tell_it)


def tell(responder: Responder, error: GatewayError, request_id: str, dialect: str) -> None:
    """Tell the client of an error: as a reply, or inside a stream that has begun."""
    responder.error_code = error.code
    if isinstance(error, LedgerUnavailable):
        error = _said_plainly(error)
    if not responder.has_started:
        refuse(responder, error, request_id, dialect)
    elif responder.error_frame is not None:
        responder.write(responder.error_frame(error))


def _said_plainly(error: LedgerUnavailable) -> LedgerUnavailable:
    """Return the error without its file and what SQLite says of it: the log has those."""
    text = "the ledger is not available now, so nothing was called; try again later"
    told = LedgerUnavailable(text, retry_after_s=error.retry_after_s)
    told.attempts = error.attempts
    return told


def refuse(responder: Responder, error: GatewayError, request_id: str, dialect: str) -> None:
    """Send an error reply."""
    headers, body = refusal(error, request_id, dialect)
    reply_json(responder, error.http_status, body, headers)


def refusal(error: GatewayError, request_id: str, dialect: str) -> tuple[Headers, bytes]:
    """Return an error reply. The headers tell the official SDKs whether to try again."""
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
    if isinstance(error, MethodNotAllowed):
        headers.append(("allow", ", ".join(error.allowed)))  # RFC 9110, section 15.5.6
    if isinstance(error, RequestTimeout | Draining):
        headers.append(("connection", "close"))  # late bytes are no next request; or none is taken
    return headers, CODECS[dialect].error_body(error, request_id)
