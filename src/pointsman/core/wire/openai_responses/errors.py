"""Errors: what an upstream's error event or failed response means. The bodies are openai-chat's."""

import msgspec

from pointsman.core.errors import UpstreamError, UpstreamUnavailable
from pointsman.core.wire.openai_chat.errors import error_in_stream

# Codes of a failed response that blame the request (openai-python 3.54, ResponseError). The others
# are the server's: another try may help.
_OURS = frozenset({"server_error", "vector_store_timeout"})


class ResponseError(msgspec.Struct):
    """An error as a response, or an error event, holds it."""

    message: str | None = None
    type: str | None = None
    code: str | int | None = None
    param: str | None = None


def error_of(error: ResponseError | None, *, is_response: bool) -> UpstreamError:
    """Return what an error means. `is_response`: a failed response holds it, not an error event.

    A failed response's code is of a closed list, of which all but the server's own and the rate
    limit blame the request; an event's is any, and its type says more.
    """
    said = error or ResponseError()
    kind = said.type or ""
    code = str(said.code or "")
    if is_response and not kind and code and code not in _OURS and "rate_limit" not in code:
        kind = "invalid_request_error"
    told = {
        "message": said.message,
        "type": kind or None,
        "code": said.code,
        "param": said.param,
    }
    body = msgspec.json.encode({"error": told})
    return error_in_stream(body) or UpstreamUnavailable("the upstream failed and did not say why")
