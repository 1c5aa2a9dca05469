"""Anthropic's messages, as the scripted upstream speaks them.

Source: the types of anthropic 2.12, read 2026-11-23.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.e2e.scripted.checks import Refused, check, check_calls
from tests.e2e.scripted.script import (
    CACHE_WRITE_TOKENS,
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

DIALECT = "anthropic"
_SAMPLING = ("temperature", "top_p", "top_k")  # 2026-10-21 refuses them
_CALL_ID = re.compile(r"[a-zA-Z0-9_-]+")
_BUDGET_MIN = 1024


def asked(body: dict[str, Any]) -> Asked:
    """Read a request. Raises Refused."""
    check(DIALECT, body)
    thinking = body.get("thinking") or {}
    budget = thinking.get("budget_tokens", _BUDGET_MIN)
    if not (_BUDGET_MIN <= budget and thinking.get("budget_tokens", 0) < body["max_tokens"]):
        raise Refused(f"thinking.budget_tokens: {budget} does not fit")
    return _read(body)


def without_sampling(body: dict[str, Any]) -> dict[str, Any]:
    """Return what of a body of version 2023-06-01 a newer one has too. Raises Refused."""
    is_thinking = (body.get("thinking") or {}).get("type") in {"enabled", "adaptive"}
    if is_thinking and body.get("temperature", 1) != 1:
        raise Refused("temperature: may only be 1 when thinking is enabled")
    return {name: value for name, value in body.items() if name not in _SAMPLING}


def count(body: dict[str, Any]) -> dict[str, Any]:
    """Return the count of a request's tokens. Raises Refused."""
    check("anthropic-count", body)
    return {"input_tokens": max(1, len(json.dumps(body)) // 4)}


def reply(said: Said, body: dict[str, Any]) -> dict[str, Any]:
    """Return the whole answer."""
    content: list[dict[str, Any]] = []
    if said.reasoning:
        seal = signature(DIALECT, said.reasoning)
        content.append({"type": "thinking", "thinking": said.reasoning, "signature": seal})
    if said.text:
        content.append({"type": "text", "text": said.text})
    for call in said.calls:
        given = json.loads(call.arguments)
        content.append({"type": "tool_use", "id": call.id, "name": call.name, "input": given})
    return _message(body, content, _reason(said), _usage(OUTPUT_TOKENS, said))


def frames(said: Said, body: dict[str, Any]) -> Iterator[bytes]:
    """Yield the answer as a stream."""
    yield _event("message_start", message=_message(body, [], None, _usage(1)))
    yield _event("ping")
    blocks = reply(said, body)["content"]
    for index, block in enumerate(blocks):
        deltas = [{"type": kind, field: piece} for kind, field, piece in _deltas(block)]
        empty: dict[str, Any] = dict.fromkeys(("thinking", "signature", "text"), "") | {"input": {}}
        opening = {name: empty.get(name, value) for name, value in block.items()}
        yield _event("content_block_start", index=index, content_block=opening)
        for delta in deltas:
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    end = {"stop_reason": _reason(said), "stop_sequence": None}
    yield _event("message_delta", delta=end, usage=_usage(OUTPUT_TOKENS, said))
    yield _event("message_stop")


def error_frame(message: str) -> bytes:
    return _event("error", error=error(529, message)["error"])


def error(status: int, message: str) -> dict[str, Any]:
    kind = {
        400: "invalid_request_error",
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        413: "request_too_large",
        429: "rate_limit_error",
        529: "overloaded_error",
    }.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


def _read(body: dict[str, Any]) -> Asked:
    messages: list[dict[str, Any]] = body["messages"]
    blocks = [_blocks(message["content"]) for message in messages]
    _check_order(messages, blocks)
    users = [i for i, m in enumerate(messages) if m["role"] == "user" and _text(blocks[i])]
    if not users:
        raise Refused("messages: there is no text of the user")
    directed = [i for i in users if has_directive(_text(blocks[i]))]
    last = (directed or users)[-1]
    return Asked(
        text=_text(blocks[last]),
        tools=tuple(tool["name"] for tool in body.get("tools") or ()),
        answered=tuple(
            (block["tool_use_id"], _text(_blocks(block.get("content", ""))))
            for content in blocks[last + 1 :]
            for block in content
            if block["type"] == "tool_result"
        ),
        is_stream=bool(body.get("stream")),
    )


def _check_order(messages: list[dict[str, Any]], blocks: list[list[dict[str, Any]]]) -> None:
    """Raise Refused where results do not follow calls, or a signature is somebody else's."""
    if messages[0]["role"] != "user":
        raise Refused("messages: the first must be the user's")
    calls = [[b["id"] for b in content if b["type"] == "tool_use"] for content in blocks]
    results = [[b["tool_use_id"] for b in c if b["type"] == "tool_result"] for c in blocks]
    if results[0] or calls[-1]:
        raise Refused("messages: a result without its call, or a call without its result")
    check_calls(calls[:-1], results[1:])
    for content in blocks:
        seen_other = False
        for block in content:
            if block["type"] == "tool_result" and seen_other:
                raise Refused("messages: results stand before all other content")
            seen_other = seen_other or block["type"] != "tool_result"
            if block["type"] == "tool_use" and not _CALL_ID.fullmatch(block["id"]):
                raise Refused(f"messages: the call's id {block['id']!r} is malformed")
            if block["type"] == "text" and not block["text"].strip():
                raise Refused("messages: text content blocks must not be blank")
            if block["type"] == "thinking" and not is_own_signature(DIALECT, block["signature"]):
                raise Refused("messages: invalid signature in thinking block")


def _blocks(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _text(blocks: list[dict[str, Any]]) -> str:
    return "\n".join(block["text"] for block in blocks if block["type"] == "text")


def _deltas(block: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield kind, field and value of each delta of a block."""
    match block["type"]:
        case "thinking":
            for piece in pieces(block["thinking"]):
                yield "thinking_delta", "thinking", piece
            yield "signature_delta", "signature", block["signature"]
        case "text":
            for piece in pieces(block["text"]):
                yield "text_delta", "text", piece
        case _:
            yield "input_json_delta", "partial_json", ""
            for piece in pieces(json.dumps(block["input"])):
                yield "input_json_delta", "partial_json", piece


def _reason(said: Said) -> str:
    return "max_tokens" if said.is_cut else "tool_use" if said.calls else "end_turn"


def _usage(output_tokens: int, said: Said | None = None) -> dict[str, Any]:
    thinking = {"output_tokens_details": {"thinking_tokens": said.reasoning_tokens}} if said else {}
    return {
        **thinking,
        "input_tokens": INPUT_TOKENS - CACHED_TOKENS - CACHE_WRITE_TOKENS,
        "cache_creation_input_tokens": CACHE_WRITE_TOKENS,
        "cache_read_input_tokens": CACHED_TOKENS,
        "output_tokens": output_tokens,
    }


def _message(
    body: dict[str, Any], content: list[dict[str, Any]], reason: str | None, usage: dict[str, Any]
) -> dict[str, Any]:
    return {
        "id": "msg_scripted",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": usage,
    }


def _event(kind: str, **fields: Any) -> bytes:
    data = json.dumps({"type": kind, **fields})
    return f"event: {kind}\ndata: {data}\n\n".encode()
