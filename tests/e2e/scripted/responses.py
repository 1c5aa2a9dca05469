"""OpenAI's responses, as the scripted upstream speaks them: it keeps nothing between two calls.

Source: the types of openai 3.54, read 2026-11-23.
"""

import json
from collections.abc import Iterator
from itertools import count as counter
from typing import Any

from tests.e2e.scripted import chat
from tests.e2e.scripted.checks import Refused, check
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

DIALECT = "openai-responses"
ID, CREATED = "resp_scripted", 1_795_000_000
_RESULTS = {"function_call_output", "custom_tool_call_output"}
_CALLS = {"function_call", "custom_tool_call"}


def asked(body: dict[str, Any]) -> Asked:
    """Read a request. Raises Refused."""
    check(DIALECT, body)
    given = body["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    _check_order(items)
    users = [i for i, item in enumerate(items) if item.get("role") == "user" and _text(item)]
    if not users:
        raise Refused("input: there is no text of the user")
    directed = [i for i in users if has_directive(_text(items[i]))]
    last = (directed or users)[-1]
    return Asked(
        text=_text(items[last]),
        tools=tuple(tool["name"] for tool in body.get("tools") or () if "name" in tool),
        answered=tuple(
            (item["call_id"], _output(item["output"]))
            for item in items[last + 1 :]
            if item.get("type") in _RESULTS
        ),
        is_stream=bool(body.get("stream")),
    )


def count(body: dict[str, Any]) -> dict[str, Any]:
    """Return the count of a request's tokens. Raises Refused."""
    check("openai-responses-count", body)
    return {"object": "response.input_tokens", "input_tokens": max(1, len(json.dumps(body)) // 4)}


def reply(said: Said, body: dict[str, Any]) -> dict[str, Any]:
    """Return the whole answer."""
    output: list[dict[str, Any]] = []
    if said.reasoning:
        output.append(_reasoning(said.reasoning))
    if said.text:
        content = {"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}
        output.append({"type": "message", "id": "msg_1", "role": "assistant", "content": [content]})
    output += [
        {
            "type": "function_call",
            "id": f"fc_{number}",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
        }
        for number, call in enumerate(said.calls)
    ]
    status = "incomplete" if said.is_cut else "completed"
    done = [item if item["type"] == "reasoning" else {**item, "status": status} for item in output]
    return _response(body, status=status, output=done, usage=_usage(said))


def frames(said: Said, body: dict[str, Any]) -> Iterator[bytes]:
    """Yield the answer as a stream."""
    numbers = counter()

    def event(kind: str, **fields: Any) -> bytes:
        data = {"type": kind, "sequence_number": next(numbers), **fields}
        return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()

    whole = reply(said, body)
    opening = {**whole, "status": "in_progress", "output": [], "usage": None}
    opening["incomplete_details"] = None
    yield event("response.created", response=opening)
    yield event("response.in_progress", response=opening)
    for index, item in enumerate(whole["output"]):
        yield event("response.output_item.added", output_index=index, item=_opening(item))
        for kind, fields in _item_events(item):
            yield event(kind, item_id=item["id"], output_index=index, **fields)
        yield event("response.output_item.done", output_index=index, item=item)
    yield event(f"response.{whole['status']}", response=whole)


def error_frame(message: str) -> bytes:
    data = {"type": "error", "sequence_number": 99, "message": message, "param": None}
    return f"event: error\ndata: {json.dumps({**data, 'code': 'server_error'})}\n\n".encode()


def error(status: int, message: str) -> dict[str, Any]:
    return chat.error(status, message)


def _check_order(items: list[dict[str, Any]]) -> None:
    """Raise Refused where calls and results do not match, or reasoning is somebody else's."""
    calls = [item["call_id"] for item in items if item.get("type") in _CALLS]
    results = [item["call_id"] for item in items if item.get("type") in _RESULTS]
    if sorted(calls) != sorted(results):
        raise Refused(f"input: the calls {calls} have the results {results}")
    for before, item in zip(items, [*items[1:], {}], strict=True):
        if before.get("type") != "reasoning":
            continue
        sealed = before.get("encrypted_content")
        if sealed and not is_own_signature(DIALECT, sealed):
            raise Refused("input: the encrypted content could not be verified")
        if item.get("type") not in {*_CALLS, "reasoning", "message"} and "role" not in item:
            raise Refused("input: reasoning without the item that follows it")


def _text(item: dict[str, Any]) -> str:
    content = item.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "input_text")


def _output(output: str | list[dict[str, Any]]) -> str:
    if isinstance(output, str):
        return output
    return "\n".join(part["text"] for part in output if part["type"] == "input_text")


def _reasoning(text: str) -> dict[str, Any]:
    return {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": text}],
        "encrypted_content": signature(DIALECT, text),
    }


def _opening(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item as it stands when it begins."""
    empty: dict[str, Any] = {"summary": [], "content": [], "arguments": ""}
    begun = {name: empty.get(name, value) for name, value in item.items()}
    return begun if item["type"] == "reasoning" else {**begun, "status": "in_progress"}


def _item_events(item: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield type and fields of each event within an item."""
    match item["type"]:
        case "reasoning":
            kind, part = "response.reasoning_summary", item["summary"][0]
            at: dict[str, Any] = {"summary_index": 0}
            yield f"{kind}_part.added", {**at, "part": {**part, "text": ""}}
            for piece in pieces(part["text"]):
                yield f"{kind}_text.delta", {**at, "delta": piece}
            yield f"{kind}_text.done", {**at, "text": part["text"]}
            yield f"{kind}_part.done", {**at, "part": part}
        case "message":
            part, at = item["content"][0], {"content_index": 0}
            yield "response.content_part.added", {**at, "part": {**part, "text": ""}}
            for piece in pieces(part["text"]):
                yield "response.output_text.delta", {**at, "delta": piece, "logprobs": []}
            yield "response.output_text.done", {**at, "text": part["text"], "logprobs": []}
            yield "response.content_part.done", {**at, "part": part}
        case _:
            kind = "response.function_call_arguments"
            for piece in pieces(item["arguments"]):
                yield f"{kind}.delta", {"delta": piece}
            yield f"{kind}.done", {"arguments": item["arguments"]}


def _usage(said: Said) -> dict[str, Any]:
    return {
        "input_tokens": INPUT_TOKENS,
        "input_tokens_details": {
            "cached_tokens": CACHED_TOKENS,
            "cache_write_tokens": CACHE_WRITE_TOKENS,
        },
        "output_tokens": OUTPUT_TOKENS,
        "output_tokens_details": {"reasoning_tokens": said.reasoning_tokens},
        "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
    }


def _response(body: dict[str, Any], **fields: Any) -> dict[str, Any]:
    is_cut = fields["status"] == "incomplete"
    return {
        "id": ID,
        "object": "response",
        "created_at": CREATED,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "instructions": body.get("instructions"),
        "metadata": {},
        "model": body["model"],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "temperature": 1.0,
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools", []),
        "top_p": 1.0,
        "store": bool(body.get("store")),
        "text": {"format": {"type": "text"}},
        **fields,
    }
