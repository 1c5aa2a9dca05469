"""Requests in the chat dialect: what is read, what is refused, and what an upstream is sent."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import CHAT, chat_request, deployment, step

from pointsman.core.errors import RequestError
from pointsman.core.types import Deployment, Need, ResponseFormat, Turn

ASK: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}]}
ACME = deployment("acme/large")
NEWER = msgspec.structs.replace(ACME, max_tokens_field="max_completion_tokens")


def ask(**members: object) -> bytes:
    return json.dumps(ASK | members).encode()


def message(**members: object) -> bytes:
    return ask(messages=[members])


def sent(body: bytes, to: Deployment = ACME, tier_max: int | None = None) -> dict[str, Any]:
    sent = json.loads(CHAT.encode_request(chat_request(body), step(to, tier_max)).body)
    assert isinstance(sent, dict)
    return sent


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"model":"a","messages":[{"role":"user","content":"\xff"}]}', "not JSON"),
        (b'{"model":"\\ud800","messages":[{"role":"user"}]}', "not JSON"),
        (b'{"model":"a","messages":' + b"[" * 100_000, "JSON|fit"),
        (b"[]", "object"),
        (b"{}", "messages"),
        (b'{"messages":[{"role":"user"}]}', "model"),
        (ask(model=None), r"\$\.model"),
        (ask(model=7), r"\$\.model"),
        (ask(model="m" * 257), "model has 257"),
        (ask(messages=None), r"\$\.messages"),
        (ask(messages="Hi"), r"\$\.messages"),
        (ask(messages=[]), "messages is empty"),
        (ask(messages=[{"role": "user"}] * 4_097), "messages has 4097"),
        (ask(messages=["Hi"]), r"\$\.messages\[0\]"),
        (message(content="Hi"), r"role.*\$\.messages\[0\]"),
        (message(role=None), r"\$\.messages\[0\]\.role"),
        (message(role="user", content=7), r"\$\.messages\[0\]\.content"),
        (message(role="user", content={"type": "text"}), r"\$\.messages\[0\]\.content"),
        (message(role="user", content=[7]), r"\$\.messages\[0\]\.content\[0\]"),
        (message(role="user", content=[{"type": 1}]), r"\$\.messages\[0\]\.content\[0\]\.type"),
        (message(role="assistant", tool_calls={}), r"\$\.messages\[0\]\.tool_calls"),
        (ask(tools={}), r"\$\.tools"),
        (ask(tools=[{}] * 257), "tools has 257"),
        (ask(tools=[{}] * 200, functions=[{}] * 57), "tools has 257"),
        (ask(max_tokens=0), "max_tokens is 0"),
        (ask(max_tokens=-1), "max_tokens is -1"),
        (ask(max_tokens=1.5), r"max_tokens is 1\.5"),
        (ask(max_tokens="100"), r"\$\.max_tokens"),
        (ask(max_tokens=True), r"\$\.max_tokens"),
        (ask(max_completion_tokens=0), "max_completion_tokens is 0"),
        (ask(stream="yes"), r"\$\.stream"),
        (ask(stream=1), r"\$\.stream"),
        (ask(stream_options=True), r"\$\.stream_options"),
        (ask(stream_options={"include_usage": "yes"}), r"\$\.stream_options\.include_usage"),
        (ask(response_format="json"), r"\$\.response_format"),
        (ask(response_format={}), r"type.*\$\.response_format"),
        (ask(response_format={"type": "json_schema", "json_schema": 1}), "json_schema"),
    ],
    ids=lambda value: repr(value[-60:]) if isinstance(value, bytes) else value,
)
def test_a_bad_body_is_refused_with_the_field_at_fault(body, names):
    with pytest.raises(RequestError, match=names) as caught:
        chat_request(body)
    assert caught.value.http_status == 400
    assert "error" in json.loads(CHAT.error_body(caught.value, "id"))


@pytest.mark.parametrize(
    "body",
    [
        ask(max_tokens=None, stream=None, stream_options=None, tools=None, response_format=None),
        ask(temperature="hot", unknown={"deep": [1, {"x": None}]}, n=2.0),
        message(role="user", content=None),
        message(role="user", content=""),
        message(role="user", content=[]),
        message(role="user"),
        message(role="critic", content="Hi", name="A", extra=1),
        message(role="assistant", content=None, tool_calls=[{"id": "1"}, {}], refusal=None),
        message(role="assistant", content=None, function_call={"name": "f", "arguments": "{}"}),
        message(role="tool", content=[{"type": "text", "text": "ok"}], tool_call_id="1"),
        message(role="user", content=["plain", {"type": "text", "text": "part"}, {}]),
        message(role="user", content=[{"type": "input_audio", "input_audio": {"data": ""}}]),
        message(role="user", content=[{"type": "file", "file": {"file_id": "f"}}]),
        message(role="user", content=[{"type": "text", "text": "x", "cache_control": {"t": 1}}]),
        ask(tools=[{"type": "custom"}, {"type": "web_search"}], tool_choice="none"),
        ask(response_format={"type": "text"}),
        ask(response_format={"type": "grammar", "grammar": "root ::= x"}),
        ask(model="a" * 256, stop=None, logit_bias={}, prediction=None),
        b'{"messages":[{"role":"user"}],"model":"auto","model":"auto"}',
        b' {"messages" : [ {"role":"user","content":"\\ud83d\\ude00"} ] , "model":"auto"} \n',
    ],
)
def test_what_clients_really_send_is_taken_and_goes_on_whole(body):
    before, after = json.loads(body), sent(body)
    assert after == before | {"model": "large"}


def test_what_routing_needs_is_read():
    request = chat_request(
        ask(
            model="auto:power",
            messages=[
                {"role": "system", "content": "Be brief."},
                {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
                {"role": "user", "content": ["a", {"type": "text", "text": "b"}]},
                {"role": "user", "content": [{"type": "image_url"}, {"type": "text", "text": "c"}]},
                {"role": "assistant", "content": None, "tool_calls": [{"id": "x"}, {"id": None}]},
                {"role": "tool", "tool_call_id": "x", "content": "7"},
                {"role": "assistant", "content": "It is"},
            ],
            tools=[{}],
            max_tokens=100.0,
            stream=True,
            stream_options={"include_usage": True},
            response_format={"type": "json_schema", "json_schema": {"schema": {"type": "object"}}},
        )
    )
    assert request.model == "auto:power"
    assert request.system == "Be brief.\nBe kind."
    assert request.turns == (
        Turn(role="user", text="a\nb"),
        Turn(role="user", text="c"),
        Turn(role="assistant", tool_call_ids=("x",)),
        Turn(role="tool", text="7"),
        Turn(role="assistant", text="It is"),
    )
    assert request.needs == {Need.IMAGES, Need.TOOLS, Need.JSON_SCHEMA}
    assert request.image_count == 1
    assert request.max_tokens == 100 and isinstance(request.max_tokens, int)
    assert request.response_format == ResponseFormat(schema=b'{"type": "object"}')
    assert request.is_stream and request.wants_usage


@pytest.mark.parametrize(
    ("asked", "to", "tier_max", "expected"),
    [
        ({}, ACME, None, {}),
        ({}, ACME, 64, {"max_tokens": 64}),
        ({}, NEWER, 64, {"max_completion_tokens": 64}),
        ({"max_tokens": None}, NEWER, 64, {"max_completion_tokens": 64}),
        ({"max_tokens": None}, ACME, None, {"max_tokens": None}),
        ({"max_tokens": 10}, ACME, 64, {"max_tokens": 10}),
        ({"max_tokens": 100}, ACME, 64, {"max_tokens": 100}),
        ({"max_tokens": 10.0}, ACME, 64, {"max_tokens": 10}),
        ({"max_tokens": 10}, NEWER, 64, {"max_completion_tokens": 10}),
        ({"max_completion_tokens": 10}, NEWER, 64, {"max_completion_tokens": 10}),
        ({"max_completion_tokens": 10}, ACME, 64, {"max_tokens": 10}),
        ({"max_tokens": 20, "max_completion_tokens": 10}, ACME, 64, {"max_tokens": 10}),
        ({"max_tokens": 10, "max_completion_tokens": 20}, NEWER, 5, {"max_completion_tokens": 10}),
    ],
)
def test_the_clients_bound_is_never_raised_and_has_the_providers_name(
    asked, to, tier_max, expected
):
    assert sent(ask(**asked), to, tier_max) == ASK | {"model": "large"} | expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, {}),
        ({"stream": False}, {}),
        ({"stream": True}, {"include_usage": True}),
        ({"stream": True, "stream_options": None}, {"include_usage": True}),
        ({"stream": True, "stream_options": {}}, {"include_usage": True}),
        ({"stream": True, "stream_options": {"include_usage": False}}, {"include_usage": True}),
        ({"stream": True, "stream_options": {"include_usage": True, "x": 1}},
         {"include_usage": True, "x": 1}),
        ({"stream": True, "stream_options": {"include_obfuscation": False, "x": {"y": 1.0}}},
         {"include_obfuscation": False, "x": {"y": 1.0}, "include_usage": True}),
    ],
    ids=["plain", "not streamed", "none", "null", "empty", "refused", "asked", "others"],
)  # fmt: skip
def test_a_stream_is_always_asked_for_its_usage(asked, expected):
    options = {"stream_options": expected} if expected else {}
    assert sent(ask(**asked)) == ASK | {"model": "large"} | asked | options


def test_a_deployments_own_parameters_replace_the_clients():
    to = msgspec.structs.replace(ACME, params={"reasoning_effort": "high", "x": {"y": [1]}})
    assert sent(ask(reasoning_effort="low", z=1), to) == ASK | {
        "model": "large",
        "reasoning_effort": "high",
        "z": 1,
        "x": {"y": [1]},
    }


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-2, 2) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
READ = {"messages", "model", "tools", "functions", "response_format", "max_tokens",
        "max_completion_tokens", "stream", "stream_options"}  # fmt: skip


@given(
    extra=st.dictionaries(TEXTS.filter(lambda name: name not in READ), JSON, max_size=4),
    text=TEXTS,
    order=st.randoms(use_true_random=False),
    separators=st.sampled_from([(",", ":"), (", ", ": "), ("\n,", "\t:")]),
    is_ascii=st.booleans(),
    is_stream=st.booleans(),
)
def test_every_byte_but_the_models_name_goes_on(
    extra, text, order, separators, is_ascii, is_stream
):
    members = ASK | extra | {"max_tokens": 7, "messages": [{"role": "user", "content": text}]}
    if is_stream:
        members |= {"stream": True, "stream_options": {"include_usage": True}}
    names = list(members)
    order.shuffle(names)

    def written(model: str) -> bytes:
        own = {name: model if name == "model" else members[name] for name in names}
        return b" " + json.dumps(own, separators=separators, ensure_ascii=is_ascii).encode() + b"\n"

    request = chat_request(written("auto"))
    assert CHAT.encode_request(request, step(ACME, 64)).body == written("large")


@given(body=JSON)
def test_a_body_is_read_or_refused_and_nothing_else(body):
    for members in (body, ASK | {"messages": [body]}, ASK | {"max_tokens": body}):
        try:
            request = chat_request(json.dumps(members).encode())
        except RequestError:
            continue
        assert json.loads(CHAT.encode_request(request, step(ACME)).body)["model"] == "large"


@given(name=st.sampled_from(sorted(READ)), value=JSON)
def test_a_field_of_any_type_is_read_or_refused_and_nothing_else(name, value):
    try:
        request = chat_request(ask(**{name: value}))
    except RequestError:
        return
    assert json.loads(CHAT.encode_request(request, step(NEWER, 64)).body)["model"] == "large"
