"""The three dialects of the matrix, from both ends: what clients send and read, what upstreams say.

Upstreams say what `tests.e2e.scripted` does; clients read it with nothing of pointsman's own.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from tests.e2e.scripted import chat, messages, responses
from tests.e2e.scripted.script import Said

# What the scripted upstream reports for any answer.
INPUT_TOKENS, OUTPUT_TOKENS = 100, 20
TEXT = "Hello there."

# Source: platform.claude.com/docs/en/api/errors, read 2026-11-23: the types by status.
_ANTHROPIC_TYPES = {
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}


@dataclass(frozen=True)
class Heard:
    """What a client has read: the text so far, and how it ended, "" where it did not.

    `ending` is "stop" or "filtered". `error` is the in-stream error's code, or its type where the
    dialect has no codes, "" for none; `request_id` is the one that it names.
    """

    text: str = ""
    ending: str = ""
    error: str = ""
    request_id: str = ""


@dataclass(frozen=True)
class Dialect:
    """One dialect. `content_mark` stands in every frame that carries text and in no other."""

    name: str
    path: str
    writer: ModuleType
    content_mark: bytes
    read_whole: Callable[[Any], Heard]
    read_stream: Callable[[list[Any]], Heard]
    filtered: tuple[bytes, bytes]

    def request(self, text: str, *, model: str, is_stream: bool) -> bytes:
        """Return a client's body."""
        asked: dict[str, Any] = {"model": model, "stream": is_stream}
        turns = [{"role": "user", "content": text}]
        match self.name:
            case "openai-responses":
                asked |= {"input": text, "max_output_tokens": 100, "store": False}
            case _:
                asked |= {"messages": turns, "max_tokens": 100}
        return json.dumps(asked).encode()

    def whole(self, body: Mapping[str, Any], text: str = TEXT, ending: str = "stop") -> bytes:
        """Return an upstream's whole answer to a body."""
        said = json.dumps(self.writer.reply(self._said(text, ending), body))
        return self._ended(unescaped(said.encode()), ending)

    def frames(
        self, body: Mapping[str, Any], text: str = TEXT, ending: str = "stop"
    ) -> list[bytes]:
        """Return an upstream's streamed answer to a body."""
        frames: Iterator[bytes] = self.writer.frames(self._said(text, ending), body)
        return [self._ended(unescaped(frame), ending) for frame in frames]

    def preamble(self, body: Mapping[str, Any]) -> list[bytes]:
        """Return the frames before the first content."""
        frames = self.frames(body)
        first = next(i for i, frame in enumerate(frames) if self.content_mark in frame)
        return frames[:first]

    def opening(self, body: Mapping[str, Any]) -> list[bytes]:
        """Return the frames up to the last content, all of `TEXT`."""
        frames = self.frames(body)
        last = max(i for i, frame in enumerate(frames) if self.content_mark in frame)
        return frames[: last + 1]

    def error(self, status: int, message: str, code: str = "") -> bytes:
        """Return an upstream's error body."""
        told = self.writer.error(status, message)
        if code and self.name != "anthropic":
            told["error"]["code"] = code
        return json.dumps(told).encode()

    def error_frame(self, status: int, message: str) -> bytes:
        """Return an upstream's error inside a stream, of the kind that the status has."""
        told = json.loads(self.error(status, message))
        match self.name:
            case "openai-responses":
                kind = told["error"]["type"]
                told = {"type": "error", "sequence_number": 9, "message": message, "code": kind}
                return b"event: error\ndata: " + json.dumps(told).encode() + b"\n\n"
            case "anthropic":
                return b"event: error\ndata: " + json.dumps(told).encode() + b"\n\n"
            case _:
                return b"data: " + json.dumps(told).encode() + b"\n\n"

    def expected_error(self, status: int, code: str) -> str:
        """Return what stands for an error in this dialect: its code, or the type of its status."""
        if self.name != "anthropic":
            return code
        other = "invalid_request_error" if status < 500 else "api_error"
        return _ANTHROPIC_TYPES.get(status, other)

    def check_error(self, body: bytes, *, status: int, code: str, request_id: str) -> None:
        """Check a whole error of ours: its shape, its code and the request's id."""
        told = json.loads(body)
        error = told["error"]
        assert error["message"], "an error says something"
        if self.name == "anthropic":
            assert told.keys() == {"type", "error", "request_id"}, told
            assert (told["type"], told["request_id"]) == ("error", request_id)
            assert error["type"] == self.expected_error(status, code), error
        else:
            assert told.keys() == {"error"}, told
            assert error.keys() >= {"message", "type", "code", "param", "request_id"}
            assert (error["code"], error["request_id"]) == (code, request_id), error

    def heard(self, body: bytes, *, is_stream: bool) -> Heard:
        """Return what a client reads in the body of a 200."""
        return self.read_stream(stream_data(body)) if is_stream else self.read_whole(body)

    def _said(self, text: str, ending: str) -> Said:
        return Said(text=text, is_cut=ending == "filtered" and self.name == "openai-responses")

    def _ended(self, said: bytes, ending: str) -> bytes:
        return said.replace(*self.filtered) if ending == "filtered" else said


def stream_data(body: bytes) -> list[Any]:
    """Return the data of an event stream, `[DONE]` as it stands."""
    lines = [line[6:] for line in body.decode().split("\n") if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def unescaped(said: bytes) -> bytes:
    """Return JSON with its letters as UTF-8, as upstreams write them: a cut can go through one."""

    def letters(found: re.Match[str]) -> str:
        text: str = json.loads(f'"{found.group()}"')
        return text

    return re.sub(r"(?:\\u[0-9a-f]{4})+", letters, said.decode()).encode()


def _chat_whole(body: bytes) -> Heard:
    (choice,) = json.loads(body)["choices"]
    ending = {"content_filter": "filtered"}.get(choice["finish_reason"], choice["finish_reason"])
    return Heard(choice["message"]["content"] or "", ending)


def _chat_stream(data: list[Any]) -> Heard:
    chunks = [chunk for chunk in data if chunk != "[DONE]"]
    choices = [choice for chunk in chunks for choice in chunk.get("choices", ())]
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    reasons = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    ending = {"content_filter": "filtered"}.get(reasons[-1], reasons[-1]) if reasons else ""
    if "error" in data[-1]:
        assert "[DONE]" not in data, "a broken answer has no end"
        error = data[-1]["error"]
        return Heard(text, "", error["code"], error["request_id"])
    return Heard(text, ending if data[-1] == "[DONE]" else "")


def _responses_ending(response: Any) -> str:
    details = response["incomplete_details"] or {}
    found = {"completed": "stop", "content_filter": "filtered"}
    return found.get(details.get("reason", response["status"]), "")


def _responses_whole(body: bytes) -> Heard:
    response = json.loads(body)
    texts = [part["text"] for item in response["output"] for part in item["content"]]
    return Heard("".join(texts), _responses_ending(response))


def _responses_stream(data: list[Any]) -> Heard:
    numbers = [event["sequence_number"] for event in data]
    assert numbers == sorted(set(numbers)), numbers
    text = "".join(e["delta"] for e in data if e["type"] == "response.output_text.delta")
    last = data[-1]
    if last["type"] == "response.failed":
        assert last["response"]["status"] == "failed"
        assert data[-2]["type"] == "error", data[-2]
        error = data[-2]["error"]
        return Heard(text, "", error["code"], error["request_id"])
    return Heard(text, _responses_ending(last["response"]) if "response" in last else "")


def _messages_ending(reason: str | None) -> str:
    return {"end_turn": "stop", "refusal": "filtered"}.get(reason or "", "")


def _messages_whole(body: bytes) -> Heard:
    message = json.loads(body)
    text = "".join(block["text"] for block in message["content"])
    return Heard(text, _messages_ending(message["stop_reason"]))


def _messages_stream(data: list[Any]) -> Heard:
    deltas = [event["delta"] for event in data if event["type"] == "content_block_delta"]
    text = "".join(delta.get("text", "") for delta in deltas)
    last = data[-1]
    if last["type"] == "error":
        return Heard(text, "", last["error"]["type"], last["request_id"])
    reasons = [event["delta"]["stop_reason"] for event in data if event["type"] == "message_delta"]
    is_whole = last["type"] == "message_stop" and reasons
    return Heard(text, _messages_ending(reasons[-1]) if is_whole else "")


DIALECTS = (
    Dialect(
        "openai-chat", "/v1/chat/completions", chat, b'"delta": {"content": "',
        _chat_whole, _chat_stream,
        (b'"finish_reason": "stop"', b'"finish_reason": "content_filter"'),
    ),
    Dialect(
        "openai-responses", "/v1/responses", responses, b"response.output_text.delta",
        _responses_whole, _responses_stream, (b"max_output_tokens", b"content_filter"),
    ),
    Dialect(
        "anthropic", "/v1/messages", messages, b"content_block_delta",
        _messages_whole, _messages_stream,
        (b'"stop_reason": "end_turn"', b'"stop_reason": "refusal"'),
    ),
)  # fmt: skip
BY_PATH = {dialect.path: dialect for dialect in DIALECTS}
