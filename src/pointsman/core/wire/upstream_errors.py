"""Upstream errors: what an error reply's status and words mean, in whatever dialect it came.

A dialect reads its own error object into `Told`; the rules by status are one for all.
"""

from collections.abc import Callable, Mapping

import msgspec

from pointsman.core import errors as tree
from pointsman.core.errors import GatewayError, UpstreamError, UpstreamRejected
from pointsman.core.wire.decoding import UNREADABLE

_CONTEXT_MARKS = (
    "context_length_exceeded",
    "maximum context length",
    "context window",
    "context length",
    "exceed_context_size",
    "exceeds the available context size",
    "exceed context limit",  # Anthropic, of input and max_tokens together
    "prompt is too long",  # Anthropic
    "exceeds the maximum number of tokens",  # Gemini
)
_SPEND_MARKS = ("insufficient_quota", "billing", "spend limit", "credit balance", "spending limit")
# A 400 quotes the client's own words, so there only how Anthropic's message begins will do.
_SPEND_OPENING = "your credit balance is too low"
_MESSAGE_CHARS_MAX = 500


class Told(msgspec.Struct, frozen=True):
    """What an upstream's error object says: its message, its kind and its code, "" for none."""

    message: str = ""
    kind: str = ""
    code: str = ""


def error_for(
    status: int, body: bytes, told: Told | None, retry_after_s: float | None = None
) -> UpstreamError:
    """Return the error that a reply with this status means; `told` None: no error can be read.

    Source: FAULTS, rows 1 to 6, 15 and 16. A spend-limit body means that our account is at fault,
    whatever its status.
    """
    said = _said(body, told)
    message = f"the upstream answered {status}: {said}"
    lowered = body[:4096].decode("utf-8", "replace").lower()
    is_spent = status in (403, 429) and any(mark in lowered for mark in _SPEND_MARKS)
    if is_spent or (status == 400 and said.lower().startswith(_SPEND_OPENING)):
        return tree.UpstreamAuth(message)
    match status:
        case 429:
            return tree.UpstreamRateLimited(message, retry_after_s=retry_after_s)
        case 401 | 402 | 403:  # 402: our account cannot pay
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


def status_of(told: Told) -> int:
    """Return the status that an error in a 200 stream would have had.

    It is the error's code where that is one, else told by its kind; 503 where neither says.
    """
    if len(told.code) == 3 and told.code.isdecimal() and int(told.code) >= 400:
        return int(told.code)
    words = f"{told.kind} {told.code}".lower()
    if "rate_limit" in words:
        return 429
    if "insufficient_quota" in words or "billing" in words:
        return 402
    if "authentication" in words or "permission" in words:
        return 401
    if "not_found" in words:
        return 404
    if "invalid_request" in words or "content_filter" in words:
        return 400
    return 503


def relayed_body(
    error: GatewayError, is_own: Callable[[Mapping[str, object]], bool]
) -> bytes | None:
    """Return an upstream's own error body where a client can read it: JSON that `is_own` knows.

    None: the error is ours, or came in another dialect, and is to be written anew.
    """
    if not isinstance(error, UpstreamRejected):
        return None
    try:
        relayed = msgspec.json.decode(error.body)
    except UNREADABLE:
        return None
    return error.body if isinstance(relayed, dict) and is_own(relayed) else None


def _said(body: bytes, told: Told | None) -> str:
    """Return the upstream's own message, cut short: it goes into errors and the log."""
    text = body[:_MESSAGE_CHARS_MAX].decode("utf-8", "replace") if told is None else told.message
    printable = "".join(char if char.isprintable() else " " for char in text)
    return printable[:_MESSAGE_CHARS_MAX] or "nothing else"
