"""The text of the last user turn, taken out of a body: what is left is all else."""

import copy
import json
from typing import Any

import pytest

from pointsman.core.types import Caller
from pointsman.core.wire import CODECS

IMAGES: dict[str, Any] = {
    "openai-chat": {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
    "openai-responses": {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
    "anthropic": {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "AA=="},
    },
    "gemini": {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
}
KINDS = {"openai-chat": "text", "openai-responses": "input_text", "anthropic": "text"}
ANSWERED = {"openai-chat": "assistant", "openai-responses": "assistant", "anthropic": "assistant"}
DIALECTS = sorted(IMAGES)


def part(dialect: str, text: str) -> dict[str, Any]:
    return {"text": text} if dialect == "gemini" else {"type": KINDS[dialect], "text": text}


def body(dialect: str, *turns: tuple[str, Any]) -> dict[str, Any]:
    """Return a body with turns of (role, content)."""
    match dialect:
        case "gemini":
            contents = [
                {"role": role, "parts": [{"text": said}] if isinstance(said, str) else said}
                for role, said in turns
            ]
            return {"contents": contents}
        case "openai-responses":
            return {"model": "m", "input": [{"role": r, "content": said} for r, said in turns]}
        case _:
            messages = [{"role": role, "content": said} for role, said in turns]
            return {"model": "m", "max_tokens": 9, "messages": messages}


def taken(dialect: str, given: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Return the text, and what is left."""
    codec = CODECS[dialect]
    caller = Caller(model="m" if dialect == "gemini" else "")
    shape = codec.shape(codec.decode_request(json.dumps(given).encode(), caller))
    text = codec.take_asked(shape)
    return text, shape


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_last_turns_text_is_taken_and_nothing_else(dialect: str):
    answered = "model" if dialect == "gemini" else "assistant"
    turns = [("user", "first"), (answered, "second"), ("user", "third")]
    text, left = taken(dialect, body(dialect, *turns))
    other, same = taken(dialect, body(dialect, *turns[:-1], ("user", "fourth")))
    assert (text, other) == ("third", "fourth")
    assert left == same
    assert "first" in json.dumps(left) and "second" in json.dumps(left)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_text_beside_images_is_taken_and_they_stay(dialect: str):
    said = [IMAGES[dialect], part(dialect, "what is this?")]
    text, left = taken(dialect, body(dialect, ("user", said)))
    assert text == "what is this?"
    assert "AA==" in json.dumps(left)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_nothing_is_taken_where_a_turn_has_several_texts_or_none(dialect: str):
    for said in ([part(dialect, "one"), part(dialect, "two")], [IMAGES[dialect]]):
        given = body(dialect, ("user", said))
        text, left = taken(dialect, given)
        assert text is None
        turns = (
            "contents" if dialect == "gemini" else next(iter(left.keys() & {"messages", "input"}))
        )
        assert left[turns] == copy.deepcopy(given)[turns]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_nothing_is_taken_where_the_last_turn_is_not_the_users(dialect: str):
    answered = "model" if dialect == "gemini" else "assistant"
    text, left = taken(dialect, body(dialect, ("user", "first"), (answered, "It is")))
    assert text is None
    assert "It is" in json.dumps(left)


TOOL_RESULTS: dict[str, Any] = {
    "openai-chat": {
        "model": "m",
        "messages": [
            {"role": "user", "content": "look"},
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": "c", "content": "found"},
        ],
    },
    "anthropic": {
        "model": "m",
        "max_tokens": 9,
        "messages": [
            {"role": "user", "content": "look"},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "found"},
                    {"type": "text", "text": "go on"},
                ],
            },
        ],
    },
    "openai-responses": {
        "model": "m",
        "input": [
            {"role": "user", "content": "look"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "found"},
        ],
    },
    "gemini": {
        "contents": [
            {"role": "user", "parts": [{"text": "look"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"name": "f", "response": {"it": "found"}}},
                    {"text": "go on"},
                ],
            },
        ]
    },
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_nothing_is_taken_from_a_turn_with_a_tools_result(dialect: str):
    text, left = taken(dialect, TOOL_RESULTS[dialect])
    assert text is None
    assert "found" in json.dumps(left)


def test_a_responses_input_may_be_a_text_alone():
    text, left = taken("openai-responses", {"model": "m", "input": "hello"})
    assert (text, left["input"]) == ("hello", None)


def test_of_vectors_nothing_is_taken():
    text, left = taken("openai-embeddings", {"model": "m", "input": "hello"})
    assert (text, left["input"]) == (None, "hello")
