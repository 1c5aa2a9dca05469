"""Replies: what an upstream says in each dialect, as bytes, and from where on what is said.

Source of the shapes: the types of openai 3.54, anthropic 2.12 and google-genai 3.4, as
`tests/e2e/scripted` has them, read 2026-11-23.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# What a piece of a reply tells: the first content, how the answer ended, the tokens, and the end.
CONTENT, FINISH, USAGE, END = "content", "finish", "usage", "end"
_REASONS = {
    "openai-chat": {"stop": "stop", "filter": "content_filter"},
    "openai-responses": {"stop": "completed", "filter": "content_filter"},
    "anthropic": {"stop": "end_turn", "filter": "refusal"},
    "gemini": {"stop": "STOP", "filter": "SAFETY"},
}


@dataclass(frozen=True, slots=True)
class Said:
    """An answer. `reason`: "stop" or "filter"."""

    words: Sequence[str]
    input_tokens: int
    output_tokens: int
    reason: str = "stop"
    has_usage: bool = True

    @property
    def text(self) -> str:
        return "".join(self.words)


def whole(dialect: str, said: Said) -> bytes:
    """Return the answer as one JSON body."""
    reason = _REASONS[dialect][said.reason]
    match dialect:
        case "openai-chat":
            message = {"role": "assistant", "content": said.text}
            choice = {"index": 0, "message": message, "finish_reason": reason}
            body = _chat([choice], said)
        case "openai-responses":
            body = _response(said, reason, [_item(said.text)])
        case "anthropic":
            body = _message([{"type": "text", "text": said.text}], reason, said)
        case _:
            body = _gemini(said.text, reason, said)
    return json.dumps(body).encode()


def frames(dialect: str, said: Said) -> Iterator[tuple[bytes, set[str]]]:
    """Yield the answer as a stream's frames, each with what it is the last to tell."""
    match dialect:
        case "openai-chat":
            yield from _chat_frames(said)
        case "openai-responses":
            yield from _response_frames(said)
        case "anthropic":
            yield from _message_frames(said)
        case _:
            reason = _REASONS[dialect][said.reason]
            for word in said.words:
                yield _data(_gemini(word, None, None)), {CONTENT}
            yield _data(_gemini("", reason, said)), {FINISH, USAGE, END}


def error(dialect: str, status: int, message: str, code: str = "") -> bytes:
    """Return an error's body."""
    return json.dumps(_error(dialect, status, message, code)).encode()


def error_frame(dialect: str, status: int, message: str) -> bytes:
    """Return an error inside a stream."""
    told = _error(dialect, status, message, "")
    match dialect:
        case "openai-responses":
            flat = {"type": "error", "code": "server_error", "message": message, "param": None}
            return _event("error", {**flat, "sequence_number": 99})
        case "anthropic":
            return _event("error", told)
        case _:
            return _data(told)


def _error(dialect: str, status: int, message: str, code: str) -> dict[str, object]:
    match dialect:
        case "anthropic":
            kinds = {400: "invalid_request_error", 429: "rate_limit_error"}
            kind = kinds.get(status, "api_error")
            return {"type": "error", "error": {"type": kind, "message": message}}
        case "gemini":
            return {"error": {"code": status, "message": message, "status": "WHATEVER"}}
        case _:
            kinds = {400: "invalid_request_error", 429: "rate_limit_error"}
            kind = kinds.get(status, "server_error")
            return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _chat(choices: list[object], said: Said | None) -> dict[str, object]:
    usage = said and {
        "prompt_tokens": said.input_tokens,
        "completion_tokens": said.output_tokens,
        "total_tokens": said.input_tokens + said.output_tokens,
    }
    more = {"usage": usage} if said and said.has_usage else {}
    return {"id": "chatcmpl-1", "created": 1, "model": "m", "choices": choices, **more}


def _chat_frames(said: Said) -> Iterator[tuple[bytes, set[str]]]:
    for word in said.words:
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
        yield _data(_chat([choice], None)), {CONTENT}
    last = {"index": 0, "delta": {}, "finish_reason": _REASONS["openai-chat"][said.reason]}
    yield _data(_chat([last], None)), {FINISH}
    if said.has_usage:
        yield _data(_chat([], said)), {USAGE}
    yield b"data: [DONE]\n\n", {END}


def _item(text: str) -> dict[str, object]:
    content = {"type": "output_text", "text": text, "annotations": []}
    return {
        "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
        "content": [content],
    }  # fmt: skip


def _response(said: Said, status: str, output: list[object]) -> dict[str, object]:
    usage = {
        "input_tokens": said.input_tokens,
        "output_tokens": said.output_tokens,
        "total_tokens": said.input_tokens + said.output_tokens,
    }
    is_cut = status == "content_filter"
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "model": "m", "output": output,
        "status": "incomplete" if is_cut else status, "error": None,
        "incomplete_details": {"reason": status} if is_cut else None,
        "usage": usage if said.has_usage and status != "in_progress" else None,
    }  # fmt: skip


def _response_frames(said: Said) -> Iterator[tuple[bytes, set[str]]]:
    numbers = iter(range(1_000_000))

    def event(kind: str, **fields: object) -> bytes:
        return _event(kind, {"type": kind, "sequence_number": next(numbers), **fields})

    status = _REASONS["openai-responses"][said.reason]
    yield event("response.created", response=_response(said, "in_progress", [])), set()
    item = _item(said.text)
    opening = {**item, "content": [], "status": "in_progress"}
    yield event("response.output_item.added", output_index=0, item=opening), set()
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": []}
    yield event("response.content_part.added", **at, part=part), set()
    for word in said.words:
        yield event("response.output_text.delta", **at, delta=word), {CONTENT}
    yield event("response.output_text.done", **at, text=said.text), set()
    yield event("response.output_item.done", output_index=0, item=item), set()
    last = _response(said, status, [item])
    kind = "response.incomplete" if last["status"] == "incomplete" else "response.completed"
    yield event(kind, response=last), {FINISH, USAGE, END}


def _message(content: list[object], reason: str | None, said: Said) -> dict[str, object]:
    usage = {"input_tokens": said.input_tokens, "output_tokens": said.output_tokens}
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content,
        "stop_reason": reason, "stop_sequence": None, "usage": usage,
    }  # fmt: skip


def _message_frames(said: Said) -> Iterator[tuple[bytes, set[str]]]:
    opening = Said((), said.input_tokens, 1)
    start = {"type": "message_start", "message": _message([], None, opening)}
    yield _event("message_start", start), set()
    block = {"type": "text", "text": ""}
    told = {"type": "content_block_start", "index": 0, "content_block": block}
    yield _event("content_block_start", told), set()
    for word in said.words:
        delta = {"type": "text_delta", "text": word}
        told = {"type": "content_block_delta", "index": 0, "delta": delta}
        yield _event("content_block_delta", told), {CONTENT}
    stop = {"type": "content_block_stop", "index": 0}
    yield _event("content_block_stop", stop), set()
    usage = {"output_tokens": said.output_tokens}
    end = {"stop_reason": _REASONS["anthropic"][said.reason], "stop_sequence": None}
    last = {"type": "message_delta", "delta": end, "usage": usage}
    yield _event("message_delta", last), {FINISH, USAGE}
    yield _event("message_stop", {"type": "message_stop"}), {END}


def _gemini(text: str, reason: str | None, said: Said | None) -> dict[str, object]:
    candidate: dict[str, object] = {
        "content": {"role": "model", "parts": [{"text": text}]}, "index": 0,
    }  # fmt: skip
    if reason:
        candidate["finishReason"] = reason
    body: dict[str, object] = {"candidates": [candidate], "modelVersion": "m", "responseId": "g"}
    if said is not None and said.has_usage:
        body["usageMetadata"] = {
            "promptTokenCount": said.input_tokens,
            "candidatesTokenCount": said.output_tokens,
            "totalTokenCount": said.input_tokens + said.output_tokens,
        }
    return body


def _data(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _event(kind: str, value: object) -> bytes:
    return f"event: {kind}\n".encode() + _data(value)
