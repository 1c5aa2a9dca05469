"""Tools that a provider runs: one among others is let go elsewhere, by name; alone it is not."""

import json
from typing import Any

import pytest

from pointsman.core.types import Caller, Need
from pointsman.core.wire import CODECS

RESPONSES, MESSAGES = CODECS["openai-responses"], CODECS["anthropic"]
FUNCTION = {"type": "function", "name": "look", "parameters": {"type": "object"}}
OWN = {"name": "look", "input_schema": {"type": "object"}}
SEARCH, DATED = {"type": "web_search"}, {"type": "web_search_20250305", "name": "web_search"}
SEARCHED = {"type": "web_search_call", "id": "ws_1", "status": "completed"}


def responses(*tools: object, items: tuple[object, ...] = ()) -> bytes:
    said = [*items, {"role": "user", "content": "Hi"}]
    return json.dumps({"model": "auto", "input": said, "tools": tools}).encode()


def messages(*tools: object) -> bytes:
    said = [{"role": "user", "content": "Hi"}]
    return json.dumps({"model": "auto", "max_tokens": 9, "messages": said, "tools": tools}).encode()


@pytest.mark.parametrize(
    ("codec", "body", "dropped"),
    [
        (RESPONSES, responses(FUNCTION, SEARCH), ("tools.web_search",)),
        (
            RESPONSES,
            responses(FUNCTION, SEARCH, items=(SEARCHED,)),
            ("input.web_search_call", "tools.web_search"),
        ),
        (MESSAGES, messages(OWN, DATED), ("tools.web_search",)),
    ],
)
def test_one_among_others_is_dropped_by_name(codec: Any, body: bytes, dropped):
    request = codec.decode_request(body, Caller())
    assert Need.OFFERED_TOOLS in request.needs and Need.HOSTED_TOOLS not in request.needs
    prompt = codec.read_prompt(request)
    assert (prompt.unread, prompt.refused) == (dropped, ())
    assert [tool.name for tool in prompt.tools] == ["look"]


@pytest.mark.parametrize(
    ("codec", "body"),
    [
        (RESPONSES, responses(SEARCH)),
        (RESPONSES, responses(FUNCTION, {"type": "file_search", "vector_store_ids": ["vs"]})),
        (MESSAGES, messages(DATED)),
        (MESSAGES, messages(OWN, {"type": "bash_20250124", "name": "bash"})),
    ],
)
def test_one_that_the_request_is_about_is_needed(codec: Any, body: bytes):
    request = codec.decode_request(body, Caller())
    assert Need.HOSTED_TOOLS in request.needs
    assert codec.read_prompt(request).refused
