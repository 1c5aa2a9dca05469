"""Marks of our own: where they go, where none go, and that no other byte changes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.wire.prompts import JSON_OBJECTS

from pointsman.core.wire.anthropic.models import cached_tokens_min
from pointsman.core.wire.anthropic.own_marks import with_own_marks

MODEL = "claude-sonnet-4-5"
MARK = {"type": "ephemeral"}
LONG = "long " * 1_000
ADDED = ',"cache_control":{"type":"ephemeral"}'
TOOL = {"name": "look", "description": LONG, "input_schema": {"type": "object"}}
CALL: dict[str, Any] = {"type": "tool_use", "id": "c1", "name": "look", "input": {}}
RESULT: dict[str, Any] = {"type": "tool_result", "tool_use_id": "c1", "content": "found"}
ASKED: dict[str, Any] = {"role": "user", "content": "hi"}
ANSWERED: dict[str, Any] = {"role": "assistant", "content": "hello"}


def words(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def marked(model: str = MODEL, **body: Any) -> Any:
    return json.loads(with_own_marks(json.dumps(body).encode(), model))


def marked_history(*messages: dict[str, Any], system: str = LONG) -> list[list[bool]]:
    """Return which blocks of which messages have a mark; a text is no list of blocks."""
    found = marked(system=system, messages=messages)["messages"]
    return [
        ["cache_control" in block for block in it["content"]]
        if isinstance(it["content"], list)
        else []
        for it in found
    ]


def test_the_last_tool_the_systems_end_and_the_last_stable_block_are_marked():
    found = marked(tools=[TOOL, TOOL], system=LONG, messages=[ASKED, ANSWERED, ASKED])
    assert found["tools"] == [TOOL, TOOL | {"cache_control": MARK}]
    assert found["system"] == [words(LONG) | {"cache_control": MARK}]
    said = {"role": "assistant", "content": [words("hello") | {"cache_control": MARK}]}
    assert found["messages"] == [ASKED, said, ASKED]


def test_what_is_asked_first_may_never_come_again():
    assert marked_history(ASKED) == [[]]


def test_in_a_tool_loop_the_results_are_marked_and_not_what_stands_beside_them():
    calls = {"role": "assistant", "content": [CALL]}
    results = {"role": "user", "content": [RESULT, RESULT, words("by the way")]}
    assert marked_history(ASKED, calls, results) == [[], [False], [False, True, False]]


def test_the_mark_of_the_request_before_stays_where_it_was():
    calls: dict[str, Any] = {"role": "assistant", "content": [CALL]}
    results: dict[str, Any] = {"role": "user", "content": [RESULT]}
    loop = [ASKED, calls, results, calls, results]
    assert marked_history(*loop) == [[], [False], [True], [False], [True]]
    assert marked_history(*loop, ANSWERED, ASKED) == [
        [],
        [False],
        [False],
        [False],
        [True],
        [True],
        [],
    ]
    talk = [ASKED, ANSWERED, ASKED, ANSWERED, ASKED]
    assert marked_history(*talk) == [[], [True], [], [True], []]


def test_what_the_assistant_is_to_go_on_with_is_not_marked():
    begun = {"role": "assistant", "content": "{"}
    assert marked_history(ASKED, ANSWERED, ASKED, begun) == [[], [True], [], []]


@pytest.mark.parametrize(
    "last",
    [
        {"type": "thinking", "thinking": "hm", "signature": "x"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "unheard_of"},
        words(" \n"),
    ],
    ids=lambda last: last["type"],
)
def test_a_block_that_takes_no_mark_gives_it_to_the_one_before(last: dict[str, Any]):
    said = {"role": "assistant", "content": [words("hello"), last]}
    assert marked_history(ASKED, said, ASKED) == [[], [True, False], []]
    alone = {"role": "assistant", "content": [last]}
    assert marked_history(ASKED, alone, ASKED) == [[True], [False], []]


def test_a_tool_that_is_loaded_later_takes_no_mark():
    later = TOOL | {"defer_loading": True}
    found = marked(tools=[TOOL, later], messages=[ASKED])
    assert found["tools"] == [TOOL | {"cache_control": MARK}, later]


@pytest.mark.parametrize(
    "body",
    [
        {"cache_control": MARK, "system": LONG, "messages": [ASKED]},
        {"system": LONG, "tools": [TOOL | {"cache_control": MARK}], "messages": [ASKED]},
        {"system": LONG, "messages": [{"role": "user", "content": [RESULT | {"content": [
            words("a") | {"cache_control": {"type": "ephemeral", "ttl": "1h"}}]}]}]},
    ],
    ids=["whole", "tool", "inside of a result"],
)  # fmt: skip
def test_where_the_client_has_marked_anything_nothing_is_added(body: dict[str, Any]):
    assert marked(**body) == body


@pytest.mark.parametrize(
    "body",
    [
        {"system": LONG, "messages": None},
        {"system": LONG, "messages": [1]},
        {"system": LONG, "messages": [{"role": "user"}, {"role": 5}]},
        {"system": LONG, "messages": [ASKED, {"role": "user", "content": [{"text": None}]}]},
        {"system": LONG, "tools": ["look" * 2_000], "messages": [ASKED]},
    ],
)
def test_what_the_upstream_refuses_goes_there_as_it_is(body: dict[str, Any]):
    sent = json.dumps(body).encode()
    found = with_own_marks(sent, MODEL)
    assert found == sent or json.loads(found)["messages"] == body["messages"]


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("claude-opus-4-6", 4_096),
        ("us.anthropic.claude-opus-4-5-20251101-v1:0", 4_096),
        ("claude-opus-4-1", 1_024),
        ("claude-haiku-4-5", 4_096),
        ("claude-3-5-haiku-20241022", 2_048),
        ("claude-sonnet-4-6", 1_024),
        ("glm-5", 1_024),
    ],
)
def test_what_is_too_short_for_the_model_is_not_marked(model: str, tokens: int):
    assert cached_tokens_min(model) == tokens
    short, long = "x" * (tokens * 3 - 40), "x" * (tokens * 3)
    assert marked(model, system=short, messages=[ASKED]) == {"system": short, "messages": [ASKED]}
    assert marked(model, system=long, messages=[ASKED])["system"][0]["cache_control"] == MARK
    grown = marked(model, system=short, messages=[ASKED, ANSWERED, ASKED])
    assert (grown["system"], grown["messages"][1]["content"]) == (
        short,
        [words("hello") | {"cache_control": MARK}],
    )


@given(JSON_OBJECTS, st.sampled_from([None, 0, 2]), st.sampled_from([(",", ":"), (" , ", " :\t")]))
def test_without_its_marks_the_body_is_the_clients_byte_by_byte(
    extra: dict[str, Any], indent: int | None, separators: tuple[str, str]
):
    history = [
        {"content": [words("hi"), {"type": "image", "source": extra}], "role": "user"},
        {"role": "assistant", "content": [words("hello"), CALL | {"input": extra}]},
        {"role": "user", "content": [RESULT, RESULT]},
    ]
    body = {"tools": [TOOL, TOOL], "messages": history, "x": extra, "system": [words(LONG)]}
    sent = json.dumps(body, indent=indent, separators=separators, ensure_ascii=False)
    found = with_own_marks(sent.encode(), MODEL).decode()
    assert found.count("cache_control") == 3
    for mark in json.loads(found)["tools"][1], *json.loads(found)["system"]:
        assert mark["cache_control"] == MARK
    assert found.replace(ADDED, "") == sent
