"""What the model has called before is a part of what a request sends, whatever its dialect."""

import json

import pytest

from pointsman.core.features import extract
from pointsman.core.types import Caller
from pointsman.core.wire import CODECS

ARGUMENTS = {"path": "src/main.py", "text": "word " * 2_000}
WRITTEN = json.dumps(ARGUMENTS)
CALLED: dict[str, dict[str, object]] = {
    "openai-chat": {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": WRITTEN}}
            ]},
            {"role": "tool", "tool_call_id": "c", "content": "done"},
        ],
    },
    "openai-responses": {
        "input": [
            {"role": "user", "content": "Hi"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": WRITTEN},
            {"type": "function_call_output", "call_id": "c", "output": "done"},
        ],
    },
    "anthropic": {
        "max_tokens": 9,
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "c", "name": "f", "input": ARGUMENTS}
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c", "content": "done"}
            ]},
        ],
    },
    "gemini": {
        "contents": [
            {"role": "user", "parts": [{"text": "Hi"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": ARGUMENTS}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"name": "f", "response": {"output": "done"}}}
            ]},
        ],
    },
}  # fmt: skip


@pytest.mark.parametrize("dialect", CALLED)
def test_arguments_count_among_the_input(dialect):
    body = json.dumps({"model": "m", **CALLED[dialect]}).encode()
    request = CODECS[dialect].decode_request(body, Caller(model="m", is_stream=False))
    assert request.turns[-1].role == "tool"
    assert len(WRITTEN) * 0.9 < request.calls_bytes < len(WRITTEN) * 1.1
    assert extract(request).input_tokens > 1_000
