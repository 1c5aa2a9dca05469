"""What a request asks of prompt caches is read where it asks, and not in what it says."""

import json

import pytest

from pointsman.core.types import Caller, Request
from pointsman.core.wire import CODECS

HOUR = {"type": "ephemeral", "ttl": "1h"}
TEXT = json.dumps({"cache_control": HOUR})


def read(dialect: str, **members: object) -> Request:
    said = [{"role": "user", "content": "Go."}]
    bodies: dict[str, dict[str, object]] = {
        "anthropic": {"max_tokens": 9, "messages": said},
        "openai-chat": {"messages": said},
        "openai-responses": {"input": said},
    }
    return CODECS[dialect].decode_request(
        json.dumps({"model": "auto", **bodies[dialect], **members}).encode(), Caller()
    )


def block(text: str, **members: object) -> list[dict[str, object]]:
    return [{"role": "user", "content": [{"type": "text", "text": text, **members}]}]


@pytest.mark.parametrize("dialect", ["anthropic", "openai-chat"])
@pytest.mark.parametrize(
    ("members", "is_long"),
    [
        ({"messages": block("x", cache_control=HOUR)}, True),
        ({"messages": block("x", cache_control={"ttl": "1h", "type": "ephemeral"})}, True),
        ({"messages": block("x", cache_control={"type": "ephemeral", "ttl": "5m"})}, False),
        ({"messages": block("1h")}, False),
        ({"messages": block(TEXT)}, False),
        ({"messages": block("x"), "metadata": {"cache_control": "1h"}}, False),
    ],
)
def test_an_hour_is_asked_for_by_a_mark_alone(dialect: str, members, is_long: bool):
    assert read(dialect, **members).has_long_marks is is_long


def test_a_tools_input_of_an_hour_is_no_mark():
    call = {"type": "tool_use", "id": "a", "name": "wait", "input": {"ttl": "1h", "for": "1h"}}
    said = [{"role": "user", "content": "x"}, {"role": "assistant", "content": [call]}]
    assert not read("anthropic", messages=said).has_long_marks


@pytest.mark.parametrize("dialect", ["openai-chat", "openai-responses"])
@pytest.mark.parametrize(
    ("members", "seconds"),
    [
        ({}, 0),
        ({"prompt_cache_retention": "24h"}, 86_400),
        ({"prompt_cache_retention": "in_memory"}, 0),
        ({"prompt_cache_retention": None}, 0),
        ({"prompt_cache_retention": ["24h"]}, 0),
        ({"prompt_cache_options": {"ttl": "12h"}}, 43_200),
        ({"prompt_cache_options": {"ttl": "30m"}, "prompt_cache_retention": "24h"}, 86_400),
        ({"prompt_cache_options": {"mode": "explicit", "ttl": 7}}, 0),
        ({"metadata": {"prompt_cache_retention": "24h"}}, 0),
    ],
)
def test_openais_fields_say_for_how_long(dialect: str, members, seconds: float):
    assert read(dialect, **members).retention_s == seconds


def test_a_breakpoint_is_a_member_and_no_text():
    marked = {"prompt_cache_breakpoint": {"mode": "explicit"}}
    part = {"type": "input_text", "text": "prompt_cache_breakpoint"}
    for extra, is_long in (({}, False), (marked, True)):
        given = [{"role": "user", "content": [{**part, **extra}]}]
        assert read("openai-responses", input=given).has_long_marks is is_long
