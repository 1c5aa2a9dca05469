"""Gemini's generateContent, as the scripted upstream speaks it.

Source: the types of google-genai 3.4, read 2026-11-23.
"""

import json
from collections.abc import Iterator
from typing import Any

from tests.e2e.scripted.checks import Refused, check
from tests.e2e.scripted.script import (
    CACHED_TOKENS,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    Asked,
    Said,
    has_directive,
    is_own_signature,
    pieces,
    signature,
)

DIALECT = "gemini"
# What stands for a signature that there is none of; Google's SDK writes it in base64.
# Source: the thought signatures page of the Gemini API's documentation, read 2026-11-23.
_UNSIGNED = {
    "skip_thought_signature_validator",
    "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=",
}


def asked(body: dict[str, Any]) -> Asked:
    """Read a request. Raises Refused."""
    check(DIALECT, body)
    contents: list[dict[str, Any]] = body["contents"]
    _check_order(contents)
    users = [i for i, c in enumerate(contents) if c.get("role") != "model" and _text(c)]
    if not users:
        raise Refused("contents: there is no text of the user")
    directed = [i for i in users if has_directive(_text(contents[i]))]
    last = (directed or users)[-1]
    return Asked(
        text=_text(contents[last]),
        tools=tuple(
            function["name"]
            for tool in body.get("tools") or ()
            for function in tool.get("functionDeclarations") or ()
        ),
        answered=tuple(
            (given.get("id") or given["name"], _result(given["response"]))
            for content in contents[last + 1 :]
            for given in _functions(content, "functionResponse")
        ),
    )


def count(body: dict[str, Any]) -> dict[str, Any]:
    """Return the count of a request's tokens. Raises Refused."""
    request = body.get("generateContentRequest") or body
    check(DIALECT, {name: value for name, value in request.items() if name != "model"})
    return {"totalTokens": max(1, len(json.dumps(body)) // 4)}


def reply(said: Said, body: dict[str, Any]) -> dict[str, Any]:
    """Return the whole answer."""
    parts: list[dict[str, Any]] = []
    if said.reasoning:
        parts.append({"text": said.reasoning, "thought": True})
    if said.text:
        parts.append({"text": said.text})
    for call in said.calls:
        given = {"id": call.id, "name": call.name, "args": json.loads(call.arguments)}
        parts.append({"functionCall": given})
    if said.reasoning and parts:
        sealed = 1 if len(parts) > 1 else 0
        parts[sealed]["thoughtSignature"] = signature(DIALECT, said.reasoning)
    return _response(body, parts, _reason(said), _usage(said))


def frames(said: Said, body: dict[str, Any]) -> Iterator[bytes]:
    """Yield the answer as a stream: `data:` frames alone, no mark at the end."""
    parts = reply(said, body)["candidates"][0]["content"]["parts"]
    small = [{**part, "text": piece} for part in parts if "text" in part for piece in _cut(part)]
    small += [part for part in parts if "functionCall" in part]
    for part in small:
        yield _data(_response(body, [part], None, {"promptTokenCount": INPUT_TOKENS}))
    yield _data(_response(body, [{"text": ""}], _reason(said), _usage(said)))


def error_frame(message: str) -> bytes:
    return _data(error(503, message))


def error(status: int, message: str) -> dict[str, Any]:
    kind = {
        400: "INVALID_ARGUMENT",
        401: "UNAUTHENTICATED",
        403: "PERMISSION_DENIED",
        404: "NOT_FOUND",
        429: "RESOURCE_EXHAUSTED",
        503: "UNAVAILABLE",
    }.get(status, "INTERNAL")
    return {"error": {"code": status, "message": message, "status": kind}}


def _check_order(contents: list[dict[str, Any]]) -> None:
    """Raise Refused where results do not follow calls, or a signature is somebody else's."""
    for before, content in zip([{}, *contents], contents, strict=False):
        if content.get("role", "user") not in {"user", "model"}:
            raise Refused(f"contents: no role {content['role']!r}")
        calls = [call["name"] for call in _functions(before, "functionCall")]
        results = [given["name"] for given in _functions(content, "functionResponse")]
        if calls != results:
            raise Refused(f"contents: the calls of {calls} are followed by results of {results}")
        for part in content.get("parts") or ():
            stated = part.get("thoughtSignature")
            if stated and stated not in _UNSIGNED and not is_own_signature(DIALECT, stated):
                raise Refused("contents: invalid thought signature")


def _functions(content: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [part[kind] for part in content.get("parts") or () if kind in part]


def _text(content: dict[str, Any]) -> str:
    return "\n".join(p["text"] for p in content.get("parts") or () if p.get("text"))


def _result(response: dict[str, Any]) -> str:
    """Return a result's text: the one value where there is one, as SDKs wrap it.

    The Vercel AI SDK says the tool's name beside it.
    """
    values = [value for name, value in response.items() if name != "name"]
    return values[0] if len(values) == 1 and isinstance(values[0], str) else json.dumps(response)


def _cut(part: dict[str, Any]) -> Iterator[str]:
    if "thoughtSignature" in part:
        yield part["text"]
    else:
        yield from pieces(part["text"])


def _reason(said: Said) -> str:
    return "MAX_TOKENS" if said.is_cut else "STOP"


def _usage(said: Said) -> dict[str, Any]:
    usage = {
        "promptTokenCount": INPUT_TOKENS,
        "cachedContentTokenCount": CACHED_TOKENS,
        "candidatesTokenCount": OUTPUT_TOKENS - said.reasoning_tokens,
        "totalTokenCount": INPUT_TOKENS + OUTPUT_TOKENS,
    }
    return usage | ({"thoughtsTokenCount": said.reasoning_tokens} if said.reasoning else {})


def _response(
    body: dict[str, Any], parts: list[dict[str, Any]], reason: str | None, usage: dict[str, Any]
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if reason:
        candidate["finishReason"] = reason
    return {
        "candidates": [candidate],
        "usageMetadata": usage,
        "modelVersion": body.get("model", "able"),
        "responseId": "gemini-scripted",
    }


def _data(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\r\n\r\n"
