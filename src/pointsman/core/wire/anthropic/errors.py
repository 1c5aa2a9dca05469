"""Errors: how this dialect's error object is read, and how ours are written.

Source: platform.claude.com/docs/en/api/errors (read 2026-11-23): the types by status, and that a
spend limit which the organization set itself is answered with 400.
"""

from collections.abc import Mapping

import msgspec

from pointsman.core.errors import AllTargetsFailed, GatewayError, UpstreamError
from pointsman.core.wire.decoding import UNREADABLE
from pointsman.core.wire.sse import data_frame
from pointsman.core.wire.upstream_errors import (
    Told,
    error_for,
    relayed_body,
    status_of,
)

_KINDS: Mapping[int, str] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
# What an error's type says beyond `status_of`, which reads all dialects' words.
_STATUSES: Mapping[str, int] = {"request_too_large": 413}
_SPENT = 402
# Only how the message begins will do: a 400 quotes the client's own words.
_LIMIT_OPENING = "you have reached your specified api usage limits"


class _Error(msgspec.Struct):
    type: str | None = None
    message: str | None = None


class _Body(msgspec.Struct):
    error: _Error | str | None = None


def read_error(status: int, body: bytes, retry_after_s: float | None) -> UpstreamError:
    """Return the error that a reply with this status means."""
    told = _told(body)
    if told is not None and told.message.lower().startswith(_LIMIT_OPENING):
        status = _SPENT
    return error_for(status, body, told, retry_after_s)


def error_in_stream(data: bytes) -> UpstreamError:
    """Return the error that an `error` event means; its type says the status."""
    told = _told(data) or Told()
    return read_error(_STATUSES.get(told.kind) or status_of(told), data, None)


def error_body(error: GatewayError, request_id: str) -> bytes:
    """Return the error body; an upstream's own of this dialect is relayed as it came."""
    relayed = relayed_body(error, lambda members: members.get("type") == "error")
    return relayed or msgspec.json.encode(_error_members(error, request_id))


def error_event(error: GatewayError, request_id: str) -> bytes:
    """Return the event that ends a broken stream."""
    return data_frame(msgspec.json.encode(_error_members(error, request_id)), b"error")


def _error_members(error: GatewayError, request_id: str) -> Mapping[str, object]:
    told: dict[str, object] = {"type": _kind(error.http_status), "message": error.message}
    if error.attempts or isinstance(error, AllTargetsFailed):
        told["attempts"] = error.attempts
    return {"type": "error", "error": told, "request_id": request_id}


def _kind(status: int) -> str:
    return _KINDS.get(status, "invalid_request_error" if status < 500 else "api_error")


def _told(body: bytes) -> Told | None:
    """Return the error that a body carries, None when it carries none that can be read."""
    try:
        said = msgspec.json.decode(body, type=_Body).error
    except UNREADABLE:
        return None
    error = _Error(message=said) if isinstance(said, str) else said
    if error is None or not (error.message or error.type):
        return None
    return Told(message=error.message or "", kind=error.type or "")
