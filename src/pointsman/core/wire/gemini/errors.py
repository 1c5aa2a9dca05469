"""Errors: what an upstream's error reply means, and how ours are written.

Source: ai.google.dev/gemini-api/docs/troubleshooting and the messages of google/rpc/error_details
(cloud.google.com/apis/design/errors), read 2026-11-23.
"""

import re
from collections.abc import Mapping

import msgspec

from pointsman.core import errors as tree
from pointsman.core.errors import GatewayError, UpstreamError
from pointsman.core.wire.decoding import UNREADABLE
from pointsman.core.wire.upstream_errors import Told, error_for, relayed_body

_TYPE = "type.googleapis.com/google.rpc."
_STATUSES: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_CODES: Mapping[str, int] = {
    **{status: code for code, status in _STATUSES.items() if status != "UNAVAILABLE"},
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
}
# The account cannot pay. An ordinary 429 speaks of "plan and billing details" too.
_SPENT_MARKS = ("credits are depleted", "prepayment credits", "spending cap", "billing is disabled")
# The account may not use the API from where it is, says FAILED_PRECONDITION.
_ACCOUNT_MARKS = ("location is not supported", "free tier is not available")
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")


class _Detail(msgspec.Struct):
    reason: str | None = None
    retryDelay: str | None = None  # noqa: N815 -- the wire's name


class _Error(msgspec.Struct):
    code: int | None = None
    message: str | None = None
    status: str | None = None
    details: list[_Detail] | None = None


class _Body(msgspec.Struct):
    error: _Error | None = None


_body: msgspec.json.Decoder[_Body | list[_Body]] = msgspec.json.Decoder(_Body | list[_Body])


def read_error(status: int, body: bytes, retry_after_s: float | None) -> UpstreamError:
    """Return the error that a reply with this status means.

    A key that is not valid is a 400 here, and a plain 429 speaks of billing: both differ from the
    rules that hold for all. `RetryInfo` says when to come back, where no header does.
    """
    error = _error_of(body)
    if error is None:
        return error_for(status, body, None, retry_after_s)
    told = Told(message=error.message or "", kind=error.status or "")
    details = error.details or ()
    for detail in details:
        if retry_after_s is None and (delay := _SECONDS.fullmatch(detail.retryDelay or "")):
            retry_after_s = float(delay[1])
    lowered = told.message.lower()
    message = error_for(status, body, told).message
    if status in (403, 429) and any(mark in lowered for mark in _SPENT_MARKS):
        return tree.UpstreamAuth(message)
    if status == 429:
        return tree.UpstreamRateLimited(message, retry_after_s=retry_after_s)
    is_key = any(detail.reason == "API_KEY_INVALID" for detail in details)
    is_account = told.kind == "FAILED_PRECONDITION" and any(
        mark in lowered for mark in _ACCOUNT_MARKS
    )
    if status == 400 and (is_key or is_account):
        return tree.UpstreamAuth(message)
    return error_for(status, body, told, retry_after_s)


def error_in_stream(data: bytes) -> UpstreamError | None:
    """Return the error that an event of a 200 stream carries, None when it carries none."""
    error = _error_of(data)
    if error is None:
        return None
    code = error.code if error.code is not None and error.code >= 400 else None
    return read_error(code or _CODES.get(error.status or "", 503), data, None)


def error_body(error: GatewayError, request_id: str) -> bytes:
    """Return the error body; an upstream's own is relayed as it came, where it is Google's."""
    relayed = relayed_body(error, _is_googles)
    if relayed is not None:
        return relayed
    return msgspec.json.encode({"error": error_object(error, request_id)})


def error_object(error: GatewayError, request_id: str) -> Mapping[str, object]:
    """Return the members of an error as Google names them; what it has no name for is a detail."""
    details: list[Mapping[str, object]] = [
        {"@type": _TYPE + "ErrorInfo", "reason": error.code.upper(), "domain": "pointsman"},
        {"@type": _TYPE + "RequestInfo", "requestId": request_id},
    ]
    if error.param:
        violation = {"field": error.param, "description": error.message}
        details.append({"@type": _TYPE + "BadRequest", "fieldViolations": [violation]})
    if error.retry_after_s is not None:
        delay = f"{error.retry_after_s:.3f}".rstrip("0").rstrip(".") + "s"
        details.append({"@type": _TYPE + "RetryInfo", "retryDelay": delay})
    if error.attempts:
        entries = [f"{a.deployment}: {a.outcome}, {a.latency_ms} ms" for a in error.attempts]
        details.append({"@type": _TYPE + "DebugInfo", "stackEntries": entries})
    code = error.http_status
    return {
        "code": code,
        "message": error.message,
        "status": _STATUSES.get(code, "INVALID_ARGUMENT" if code < 500 else "INTERNAL"),
        "details": details,
    }


def _is_googles(body: Mapping[str, object]) -> bool:
    error = body.get("error")
    return isinstance(error, dict) and isinstance(error.get("status"), str) and "message" in error


def _error_of(body: bytes) -> _Error | None:
    """Return the error that a body carries; a stream without SSE answers with a list of one."""
    try:
        said = _body.decode(body)
    except UNREADABLE:
        return None
    first = next(iter(said), None) if isinstance(said, list) else said
    error = first.error if first is not None else None
    return error if error and (error.message or error.status or error.code) else None
