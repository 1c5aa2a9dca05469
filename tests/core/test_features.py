"""Facts are read from a request alone, the same every time."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import chat_request

from pointsman.core import features
from pointsman.core.features import estimate_tokens, extract, last_tool_call_ids
from pointsman.core.types import Need, Request
from pointsman.core.words import count_words


def request(*messages: object, **members: object) -> Request:
    return chat_request(json.dumps({"model": "auto", "messages": messages, **members}).encode())


USER = {"role": "user", "content": "What is  it?\n"}
CALLS = {"role": "assistant", "content": None, "tool_calls": [{"id": "a"}, {"id": "b"}]}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "7 things"}


def test_the_last_user_turn_is_the_text():
    facts = extract(request({"role": "system", "content": "S"}, {"role": "user", "content": "no"},
                            USER, {"role": "assistant", "content": "prefilled"}))  # fmt: skip
    assert (facts.text, facts.system, facts.words, facts.turns) == ("What is  it?\n", "S", 3, 3)
    assert not facts.is_tool_loop


def test_without_a_user_turn_there_is_no_text():
    assert extract(request({"role": "system", "content": "S"})).text == ""


@pytest.mark.parametrize(
    ("messages", "is_loop"),
    [
        ([USER, CALLS, RESULT], True),
        ([USER, CALLS, {"role": "function", "name": "f", "content": "7"}], True),
        ([USER, CALLS, RESULT, USER], False),
        ([USER, CALLS], False),
        ([RESULT, {"role": "system", "content": "S"}], True),
    ],
)
def test_a_request_that_ends_in_a_tools_result_is_a_tool_loop(messages, is_loop):
    asked = request(*messages)
    assert extract(asked).is_tool_loop is is_loop
    assert last_tool_call_ids(asked) == (("a", "b") if CALLS in messages else ())


@pytest.mark.parametrize(
    ("text", "words"), [("", 0), (" \n\t ", 0), ("a", 1), (" a  b\nc\u00a0d ", 4), ("世界", 1)]
)
def test_words_are_runs_of_what_is_not_blank(text, words):
    assert count_words(text) == words == len(text.split())


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("a", 1), ("word " * 10, 10), ("7" * 100, 85), ("\ud800", 1), ("世界" * 50, 62)],
)
def test_tokens_are_estimated_by_classes_of_characters(text: str, tokens: int):
    assert estimate_tokens(text) == tokens


def test_every_byte_of_utf_8_has_one_weight():
    members = [byte for group, _ in features._WEIGHTS for byte in group]
    assert len(members) == len(set(members))
    assert set(range(256)) - set(members) == {*range(0x20), 0x7F} - set(b"\t\n\r")


@given(text=st.text(max_size=60), size=st.integers(1, 7))
def test_tokens_are_estimated_alike_wherever_the_text_is_cut(text: str, size: int):
    whole = estimate_tokens(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "_PIECE_CHARS", size)
        assert estimate_tokens(text) == whole


def test_tool_definitions_and_images_count_as_input():
    plain = extract(request(USER)).input_tokens
    tools = extract(request(USER, tools=[{"function": {"description": "d" * 4_000}}]))
    assert tools.input_tokens > plain + 1_000 and tools.needs == {Need.TOOLS}
    parts = [{"type": "image_url", "image_url": {"url": "data:" + "A" * 100_000}}] * 2
    images = extract(request({"role": "user", "content": parts}))
    assert plain + 1_500 < images.input_tokens < plain + 2_000


@given(texts=st.lists(st.text(max_size=30), min_size=1, max_size=5))
def test_the_estimate_grows_with_the_request_and_is_the_same_again(texts):
    messages = [{"role": "user", "content": text} for text in texts]
    facts = extract(request(*messages))
    assert extract(request(*messages)) == facts
    assert facts.input_tokens >= extract(request(*messages[1:] or messages)).input_tokens


@given(text=st.text(alphabet="ab \n\u00a0\u2003", max_size=40), size=st.integers(1, 7))
def test_words_are_counted_alike_wherever_the_text_is_cut(text: str, size: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "_PIECE_CHARS", size)
        assert count_words(text) == len(text.split())
