"""Errors: how this dialect's error object is read, and how ours are written."""

from collections.abc import Mapping

import msgspec

from pointsman.core.errors import AllTargetsFailed, GatewayError, UpstreamError
from pointsman.core.wire.decoding import UNREADABLE
from pointsman.core.wire.upstream_errors import (
    Told,
    error_for,
    relayed_body,
    status_of,
)


class _Error(msgspec.Struct):
    message: str | None = None
    type: str | None = None
    code: str | int | None = None


class _Body(msgspec.Struct):
    error: _Error | str | None = None


def read_error(status: int, body: bytes, retry_after_s: float | None) -> UpstreamError:
    """Return the error that a reply with this status means."""
    return error_for(status, body, _told(body), retry_after_s)


def error_in_stream(data: bytes) -> UpstreamError | None:
    """Return the error that an event of a 200 stream carries, None when it carries none.

    The status is the error's code where that is one, else told by its type.
    """
    told = _told(data)
    return None if told is None else error_for(status_of(told), data, told)


def error_body(error: GatewayError, request_id: str) -> bytes:
    """Return the error body; an upstream's own is relayed as it came, where it is of this dialect.

    Anthropic's errors say at their top that they are one, Gemini's have a status in words.
    """
    relayed = relayed_body(error, _is_own)
    return relayed or msgspec.json.encode({"error": error_object(error, request_id)})


def _is_own(members: Mapping[str, object]) -> bool:
    said = members.get("error")
    is_gemini = isinstance(said, dict) and "status" in said and "type" not in said
    return "error" in members and members.get("type") != "error" and not is_gemini


def error_object(error: GatewayError, request_id: str) -> Mapping[str, object]:
    """Return the members of an error as this dialect names them."""
    told: dict[str, object] = {
        "message": error.message,
        "type": error.kind,
        "code": error.code,
        "param": error.param,
        "request_id": request_id,
    }
    if error.attempts or isinstance(error, AllTargetsFailed):
        told["attempts"] = error.attempts
    return told


def _told(body: bytes) -> Told | None:
    """Return the error that a body carries, None when it carries none that can be read."""
    try:
        said = msgspec.json.decode(body, type=_Body).error
    except UNREADABLE:
        return None
    error = _Error(message=said) if isinstance(said, str) else said
    if error is None or not (error.message or error.type or error.code):
        return None
    return Told(
        message=error.message or "",
        kind=error.type or "",
        code=str(error.code) if error.code is not None else "",
    )
