"""OpenAI's chat completions, as the scripted upstream speaks them.

Source: the types of openai 3.54, read 2026-11-23. `reasoning_content` is no field of OpenAI's:
several providers that speak its dialect show reasoning so.
"""

import json
from collections.abc import Iterator
from typing import Any

from tests.e2e.scripted.checks import Refused, check, check_calls
from tests.e2e.scripted.script import (
    CACHED_TOKENS,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    Asked,
    Said,
    has_directive,
    pieces,
)

DIALECT = "openai-chat"
ID, CREATED = "chatcmpl-scripted", 1_795_000_000


def asked(body: dict[str, Any]) -> Asked:
    """Read a request. Raises Refused."""
    check(DIALECT, body)
    messages: list[dict[str, Any]] = body["messages"]
    _check_order(messages)
    users = [i for i, m in enumerate(messages) if m["role"] == "user"]
    if not users:
        raise Refused("messages: there is none of the user")
    directed = [i for i in users if has_directive(_text(messages[i]["content"]))]
    last = (directed or users)[-1]
    return Asked(
        text=_text(messages[last]["content"]),
        tools=tuple(t["function"]["name"] for t in body.get("tools") or () if "function" in t),
        answered=tuple(
            (m["tool_call_id"], _text(m["content"])) for m in messages[last:] if m["role"] == "tool"
        ),
        is_stream=bool(body.get("stream")),
    )


def reply(said: Said, body: dict[str, Any]) -> dict[str, Any]:
    """Return the whole answer."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": said.text or None,
        "refusal": None,
        "annotations": [],
    }
    if said.reasoning:
        message["reasoning_content"] = said.reasoning
    if said.calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in said.calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _reason(said)}
    return _envelope("chat.completion", body, choices=[choice], usage=_usage(said))


def frames(said: Said, body: dict[str, Any]) -> Iterator[bytes]:
    """Yield the answer as a stream."""
    wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))

    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        more = {"usage": None} if wants_usage else {}
        return _data(_envelope("chat.completion.chunk", body, choices=[choice], **more))

    yield chunk({"role": "assistant", "content": "" if said.text else None, "refusal": None})
    for piece in pieces(said.reasoning):
        yield chunk({"reasoning_content": piece})
    for piece in pieces(said.text):
        yield chunk({"content": piece})
    for index, call in enumerate(said.calls):
        opening = {"id": call.id, "type": "function"}
        function = {"name": call.name, "arguments": ""}
        yield chunk({"tool_calls": [{"index": index, **opening, "function": function}]})
        for piece in pieces(call.arguments):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, _reason(said))
    if wants_usage:
        yield _data(_envelope("chat.completion.chunk", body, choices=[], usage=_usage(said)))
    yield b"data: [DONE]\n\n"


def embed(body: dict[str, Any]) -> dict[str, Any]:
    """Return an embedding for each input. Raises Refused."""
    check("embeddings", body)
    given = body["input"]
    count = len(given) if isinstance(given, list) and not isinstance(given[0], int) else 1
    data = [{"object": "embedding", "index": i, "embedding": [0.5, -0.5]} for i in range(count)]
    usage = {"prompt_tokens": INPUT_TOKENS, "total_tokens": INPUT_TOKENS}
    return {"object": "list", "data": data, "model": body["model"], "usage": usage}


def error_frame(message: str) -> bytes:
    return _data(error(500, message))


def error(status: int, message: str) -> dict[str, Any]:
    kind = {
        400: "invalid_request_error",
        401: "authentication_error",
        429: "rate_limit_error",
    }.get(status, "server_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def _check_order(messages: list[dict[str, Any]]) -> None:
    """Raise Refused where a tool's message is not after its call."""
    calls: list[list[str]] = []
    results: list[list[str]] = []
    for before, message in zip([None, *messages], messages, strict=False):
        if message.get("tool_calls"):
            calls.append([call["id"] for call in message["tool_calls"]])
            results.append([])
        if message["role"] == "tool":
            if not results or before is None or before["role"] not in {"assistant", "tool"}:
                raise Refused("messages: a tool's result stands after no call")
            results[-1].append(message["tool_call_id"])
    check_calls(calls, results)


def _text(content: str | list[dict[str, Any]] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def _reason(said: Said) -> str:
    return "length" if said.is_cut else "tool_calls" if said.calls else "stop"


def _usage(said: Said) -> dict[str, Any]:
    return {
        "prompt_tokens": INPUT_TOKENS,
        "completion_tokens": OUTPUT_TOKENS,
        "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
        "prompt_tokens_details": {"cached_tokens": CACHED_TOKENS, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": said.reasoning_tokens},
    }


def _envelope(kind: str, body: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": ID, "object": kind, "created": CREATED, "model": body["model"], **fields}


def _data(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"
