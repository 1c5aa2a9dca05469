"""Errors: what an upstream's error reply means, and how ours are written."""

from collections.abc import Mapping

import msgspec

from pointsman.core import errors as tree
from pointsman.core.errors import GatewayError, UpstreamError, UpstreamRejected

_CONTEXT_MARKS = (
    "context_length_exceeded",
    "maximum context length",
    "context window",
    "context length",
    "exceed_context_size",
    "exceeds the available context size",
)
_SPEND_MARKS = ("insufficient_quota", "billing", "spend limit", "credit balance", "spending limit")
# A 400 quotes the client's own words, so there only how Anthropic's message begins will do.
_SPEND_OPENING = "your credit balance is too low"
_MESSAGE_CHARS_MAX = 500
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Error(msgspec.Struct):
    message: str | None = None
    type: str | None = None
    code: str | int | None = None


class _Body(msgspec.Struct):
    error: _Error | str | None = None


def read_error(status: int, body: bytes, retry_after_s: float | None) -> UpstreamError:
    """Return the error that a reply with this status means.

    Source: FAULTS, rows 1 to 6, 15 and 16. A spend-limit body means that our account is at fault,
    whatever its status.
    """
    said = _said(body)
    message = f"the upstream answered {status}: {said}"
    lowered = body[:4096].decode("utf-8", "replace").lower()
    is_spent = status in (403, 429) and any(mark in lowered for mark in _SPEND_MARKS)
    if is_spent or (status == 400 and said.lower().startswith(_SPEND_OPENING)):
        return tree.UpstreamAuth(message)
    match status:
        case 429:
            return tree.UpstreamRateLimited(message, retry_after_s=retry_after_s)
        case 401 | 403:
            return tree.UpstreamAuth(message)
        case 404:
            return tree.UpstreamModelMissing(message)
        case 408:
            return tree.UpstreamTimeout(message)
        case 400 | 413 if any(mark in lowered for mark in _CONTEXT_MARKS):
            return tree.ContextLengthExceeded(message, status=400, body=body)
        case _ if 400 <= status < 500:
            return UpstreamRejected(message, status=status, body=body)
        case _ if status >= 500:
            return tree.UpstreamUnavailable(message, retry_after_s=retry_after_s)
        case _:
            return tree.UpstreamBadResponse(message)


def error_in_stream(data: bytes) -> UpstreamError | None:
    """Return the error that an event of a 200 stream carries, None when it carries none.

    The status is the error's code where that is one, else told by its type.
    """
    error = _error_of(data)
    return None if error is None else read_error(_status_of(error), data, None)


def error_body(error: GatewayError, request_id: str) -> bytes:
    """Return the error body; an upstream's own is relayed as it came, where it is JSON."""
    if isinstance(error, UpstreamRejected):
        try:
            relayed = msgspec.json.decode(error.body)
            if isinstance(relayed, dict) and "error" in relayed:
                return error.body
        except _UNREADABLE:
            pass
    return msgspec.json.encode({"error": error_object(error, request_id)})


def error_object(error: GatewayError, request_id: str) -> Mapping[str, object]:
    """Return the members of an error as this dialect names them."""
    told: dict[str, object] = {
        "message": error.message,
        "type": error.kind,
        "code": error.code,
        "param": error.param,
        "request_id": request_id,
    }
    if error.attempts or isinstance(error, tree.AllTargetsFailed):
        told["attempts"] = error.attempts
    return told


def _status_of(error: _Error) -> int:
    code = str(error.code)
    if len(code) == 3 and code.isdecimal() and int(code) >= 400:
        return int(code)
    words = f"{error.type or ''} {error.code or ''}".lower()
    if "rate_limit" in words:
        return 429
    if "authentication" in words or "permission" in words:
        return 401
    if "not_found" in words:
        return 404
    if "invalid_request" in words or "content_filter" in words:
        return 400
    return 503


def _said(body: bytes) -> str:
    """Return the upstream's own message, cut short: it goes into errors and the log."""
    error = _error_of(body)
    if error is None:
        text = body[:_MESSAGE_CHARS_MAX].decode("utf-8", "replace")
    else:
        text = error.message or ""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return printable[:_MESSAGE_CHARS_MAX] or "nothing else"


def _error_of(body: bytes) -> _Error | None:
    """Return the error that a body carries, None when it carries none that can be read."""
    try:
        said = msgspec.json.decode(body, type=_Body).error
    except _UNREADABLE:
        return None
    error = _Error(message=said) if isinstance(said, str) else said
    return error if error and (error.message or error.type or error.code) else None
