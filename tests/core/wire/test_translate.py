"""A request as an upstream takes it: the short road within a dialect, written anew across them."""

import json
from typing import Any

import msgspec
import pytest
from tests.core.builders import chat_request, deployment, step

from pointsman.core.errors import RequestError
from pointsman.core.types import CallIds, Deployment, History, Request
from pointsman.core.wire import CODECS
from pointsman.core.wire.prompt import Call
from pointsman.core.wire.translate import encode_request

TALK: dict[str, Any] = {
    "model": "auto",
    "messages": [
        {"role": "user", "content": "Hi", "x": 1},
        {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "1"},
    ],
    "tools": [{"type": "function", "function": {"name": "f"}}],
}  # fmt: skip
OTHERS = ("openai-responses", "anthropic", "gemini")


def asked(**members: object) -> Request:
    return chat_request(json.dumps(TALK | members).encode())


def upstream(dialect: str, **members: object) -> Deployment:
    return msgspec.structs.replace(deployment("acme/large"), dialect=dialect, **members)


def test_the_short_road_changes_the_models_name_alone():
    request = asked(unknown={"deep": [1.0]})
    sent = encode_request(request, step(upstream("openai-chat")))
    assert sent.body == request.body.replace(b'"auto"', b'"large"')
    assert sent.dropped == ()


def test_on_the_short_road_only_a_history_that_does_not_fit_is_changed():
    strict = upstream("openai-chat", call_ids=CallIds(chars_max=9, chars_exact=True))
    sent = json.loads(encode_request(asked(unknown=1), step(strict)).body)
    calling, answered = sent["messages"][1:]
    (made,) = {calling["tool_calls"][0]["id"], answered["tool_call_id"]}
    assert len(made) == 9
    assert "reasoning_content" not in calling
    assert (sent["unknown"], sent["messages"][0]) == (1, TALK["messages"][0])


@pytest.mark.parametrize("dialect", OTHERS)
def test_another_dialect_is_written_anew_and_what_it_lacks_is_named(dialect):
    to = upstream(dialect)
    sent = encode_request(asked(metadata={"a": "b"}, logit_bias={"5": 1}), step(to))
    assert {"metadata", "messages[].x", "logit_bias"} <= set(sent.dropped)
    assert json.loads(sent.body)["model"].endswith("large")
    assert b"auto" not in sent.body


@pytest.mark.parametrize("dialect", OTHERS)
def test_what_must_not_be_dropped_is_refused_by_name(dialect):
    with pytest.raises(RequestError, match="web_search_options") as caught:
        encode_request(asked(web_search_options={}), step(upstream(dialect)))
    assert caught.value.param == "web_search_options"


@pytest.mark.parametrize(
    ("makers", "expected"),
    [({"sealed": "acme/large"}, "sealed"), ({"sealed": "acme/small"}, None), ({}, None)],
    ids=["its own", "another's", "nobody knows"],
)
def test_a_calls_signature_comes_back_to_its_maker_though_the_client_never_saw_it(makers, expected):
    history = History(makers=makers, call_signatures={"call_1": "sealed"})
    request = msgspec.structs.replace(asked(), history=history)
    to = msgspec.structs.replace(upstream("gemini"), provider="acme", model="large")
    sent = encode_request(request, step(to))
    gemini = CODECS["gemini"]
    caller = msgspec.structs.replace(request.caller, model="auto", is_stream=False)
    prompt = gemini.read_prompt(gemini.decode_request(sent.body, caller))
    (call,) = [part for m in prompt.messages for part in m.parts if isinstance(part, Call)]
    assert (call.signature == "sealed") is (expected is not None)


@pytest.mark.parametrize("dialect", OTHERS)
@pytest.mark.parametrize("nothing", ["", " \n", [], None])
def test_a_message_that_says_nothing_is_not_written(dialect: str, nothing: object):
    silent = {"role": "assistant", "content": nothing}
    said = [{"role": "user", "content": "One."}, {"role": "user", "content": "Two."}]
    without = encode_request(asked(messages=said), step(upstream(dialect)))
    with_it = encode_request(asked(messages=[said[0], silent, said[1]]), step(upstream(dialect)))
    assert with_it.body == without.body


@pytest.mark.parametrize("dialect", OTHERS)
def test_where_no_message_says_anything_the_field_is_named(dialect: str):
    silent = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": ""}]
    kept = {"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}
    with pytest.raises(RequestError, match="file"):  # what is refused is said first
        encode_request(asked(messages=[kept]), step(upstream(dialect)))
    with pytest.raises(RequestError, match="messages: nothing") as caught:
        encode_request(asked(messages=silent), step(upstream(dialect)))
    assert caught.value.param == "messages"
