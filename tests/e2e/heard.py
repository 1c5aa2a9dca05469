"""What an upstream heard: all that a body says, read without pointsman's own codecs."""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

# What Gemini 3 takes for a call that it has not signed.
# Source: ai.google.dev/gemini-api/docs/thought-signatures, "FAQs" (read 2026-11-23).
UNSIGNED = "skip_thought_signature_validator"

Body: TypeAlias = Mapping[str, Any]
# Whose it is, what it is, and its content: text, bytes, (name, arguments) or (number of the call
# that it answers, text).
Item: TypeAlias = tuple[str, str, object]


def heard(dialect: str, body: Body) -> list[Item]:
    """Return all that was said, in order; reasoning is not among it.

    The model's words stand together: a client that streams may give them back piece by piece.
    """
    items: list[Item] = []
    for whose, what, said in _READERS[dialect](body):
        last = items[-1] if items else ("", "", "")
        if (whose, what) == last[:2] == ("model", "text"):
            items[-1] = (whose, what, f"{last[2]}{said}")
        else:
            items.append((whose, what, said))
    return items


def seals(dialect: str, body: Body) -> list[str]:
    """Return every signature, in order; the placeholder for one is one."""
    return [str(value) for value in _seals(dialect, body)]


def call_ids(dialect: str, body: Body) -> list[str]:
    """Return the ids of calls, in order."""
    match dialect:
        case "openai-chat":
            return [c["id"] for m in body["messages"] for c in m.get("tool_calls") or ()]
        case "openai-responses":
            return [i["call_id"] for i in body["input"] if i.get("type") == "function_call"]
        case "anthropic":
            return [b["id"] for m in body["messages"] for b in _blocks(m, "tool_use")]
        case _:
            return [call["id"] for call in _gemini_calls(body) if "id" in call]


def _chat(body: Body) -> Iterator[Item]:
    numbers: dict[str, int] = {}
    for message in body["messages"]:
        role = message["role"]
        if role == "tool":
            yield "user", "result", (numbers[message["tool_call_id"]], _joined(message["content"]))
            continue
        content = message.get("content") or ()
        part: Any
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if part["type"] == "text":
                yield _role(role), "text", part["text"]
            else:
                yield _role(role), "image", _of_url(part["image_url"]["url"])
        for call in message.get("tool_calls") or ():
            numbers[call["id"]] = len(numbers)
            yield "model", "call", _call(call["function"]["name"], call["function"]["arguments"])


def _responses(body: Body) -> Iterator[Item]:
    numbers: dict[str, int] = {}
    if body.get("instructions"):
        yield "system", "text", body["instructions"]
    for item in body["input"]:
        match item.get("type", "message"):
            case "message":
                content = item["content"]
                if isinstance(content, str):
                    content = [{"type": "text", "text": content}]
                for part in content:
                    if part["type"] == "input_image":
                        yield _role(item["role"]), "image", _of_url(part["image_url"])
                    else:
                        yield _role(item["role"]), "text", part["text"]
            case "function_call":
                numbers[item["call_id"]] = len(numbers)
                yield "model", "call", _call(item["name"], item["arguments"])
            case "function_call_output":
                yield "user", "result", (numbers[item["call_id"]], _joined(item["output"]))
            case kind:
                assert kind == "reasoning", kind


def _messages(body: Body) -> Iterator[Item]:
    numbers: dict[str, int] = {}
    if body.get("system"):
        yield "system", "text", _joined(body["system"])
    for message in body["messages"]:
        for block in _blocks(message):
            match block["type"]:
                case "text":
                    yield _role(message["role"]), "text", block["text"]
                case "image":
                    yield _role(message["role"]), "image", base64.b64decode(block["source"]["data"])
                case "tool_use":
                    numbers[block["id"]] = len(numbers)
                    yield "model", "call", _call(block["name"], json.dumps(block["input"]))
                case "tool_result":
                    result = _joined(block["content"])
                    yield "user", "result", (numbers[block["tool_use_id"]], result)
                case kind:
                    assert kind in {"thinking", "redacted_thinking"}, kind


def _gemini(body: Body) -> Iterator[Item]:
    waiting: list[tuple[int, Body]] = []
    count = 0
    if body.get("systemInstruction"):
        yield "system", "text", _joined(body["systemInstruction"]["parts"])
    for content in body["contents"]:
        role = _role(content["role"])
        for part in content["parts"]:
            if call := part.get("functionCall"):
                waiting.append((count, call))
                count += 1
                yield role, "call", _call(call["name"], json.dumps(call["args"]))
            elif given := part.get("functionResponse"):
                number, call = waiting.pop(0)
                assert (call["name"], call.get("id")) == (given["name"], given.get("id"))
                yield role, "result", (number, " ".join(given["response"].values()))
            elif blob := part.get("inlineData"):
                yield role, "image", base64.b64decode(blob["data"])
            elif not part.get("thought") and part["text"]:
                yield role, "text", part["text"]


_READERS = {
    "openai-chat": _chat,
    "openai-responses": _responses,
    "anthropic": _messages,
    "gemini": _gemini,
}


def _seals(dialect: str, body: Body) -> Iterator[str]:
    match dialect:
        case "openai-responses":
            for item in body["input"]:
                if item.get("type") == "reasoning":
                    yield item["encrypted_content"]
        case "anthropic":
            for message in body["messages"]:
                for block in _blocks(message, "thinking", "redacted_thinking"):
                    yield block["signature"] if block["type"] == "thinking" else block["data"]
        case "gemini":
            for content in body["contents"]:
                for part in content["parts"]:
                    if "thoughtSignature" in part:
                        yield part["thoughtSignature"]


def _blocks(message: Body, *kinds: str) -> list[dict[str, Any]]:
    content = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [block for block in blocks if not kinds or block["type"] in kinds]


def _gemini_calls(body: Body) -> Iterator[Body]:
    for content in body["contents"]:
        for part in content["parts"]:
            if "functionCall" in part:
                yield part["functionCall"]


def _call(name: str, arguments: str) -> tuple[str, str]:
    return name, json.dumps(json.loads(arguments), sort_keys=True)


def _joined(content: str | list[dict[str, Any]]) -> str:
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content)


def _of_url(url: str) -> bytes:
    return base64.b64decode(url.partition(";base64,")[2])


def _role(said: str) -> str:
    return {"assistant": "model", "developer": "system"}.get(said, said)
