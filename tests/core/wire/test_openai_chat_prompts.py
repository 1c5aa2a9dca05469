"""Chat bodies as neutral prompts, and prompts as chat bodies: what is carried, dropped, refused."""

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import completion_create_params
from pydantic import TypeAdapter
from tests.core.builders import CHAT, chat_request, deployment, step
from tests.core.wire.prompts import HELLO, asking

from pointsman.core.errors import RequestError, UpstreamBadResponse
from pointsman.core.types import CallIds, Deployment, Need
from pointsman.core.wire.history import refit, valid_call_id
from pointsman.core.wire.prompt import (
    CacheMark,
    Call,
    Media,
    Message,
    Part,
    Prompt,
    Reasoning,
    Result,
    Sampling,
    Shape,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    Written,
)

ASK: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}]}
ACME = deployment("acme/large")
STREAMED = TypeAdapter[object](completion_create_params.CompletionCreateParamsStreaming)
WHOLE = TypeAdapter[object](completion_create_params.CompletionCreateParamsNonStreaming)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PDF = base64.b64encode(b"%PDF-1.7 and so on").decode()


def read(**members: object) -> Prompt:
    return CHAT.read_prompt(chat_request(json.dumps(ASK | members).encode()))


def parts(content: object, role: str = "user", **members: object) -> tuple[Part, ...]:
    """Return the parts of one message."""
    said = {"role": role, "content": content, **members}
    (message,) = read(messages=[said]).messages
    return message.parts


def written(prompt: Prompt, to: Deployment = ACME, tier_max: int | None = None) -> Written:
    return CHAT.write_prompt(prompt, step(to, tier_max))


def body(prompt: Prompt, to: Deployment = ACME, tier_max: int | None = None) -> dict[str, Any]:
    """Return the body for a prompt, once the official types have taken it."""
    sent = json.loads(written(prompt, to, tier_max).body)
    assert isinstance(sent, dict)
    official = STREAMED if prompt.is_stream else WHOLE
    read_through(official.validate_python(sent))
    return sent


def read_through(value: object) -> None:
    """Take what the official types check only when it is taken: their lists."""
    if isinstance(value, Mapping):
        for inner in value.values():
            read_through(inner)
    elif isinstance(value, Iterable) and not isinstance(value, str):
        for inner in value:
            read_through(inner)


def messages(*asked: Message) -> list[dict[str, Any]]:
    return body(Prompt(messages=asked))["messages"]  # type: ignore[no-any-return]


def fun(name: str, **members: object) -> dict[str, object]:
    return {"type": "function", "function": {"name": name, **members}}


def test_texts_of_all_roles_are_read_in_order():
    prompt = read(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": ["a", {"type": "text", "text": "b"}]},
            {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
            {"role": "assistant", "content": "c", "refusal": "d", "reasoning_content": "hm"},
        ]
    )
    assert prompt.messages == (
        Message("system", (Text(text="Be brief."),)),
        Message("user", (Text(text="a"), Text(text="b"))),
        Message("system", (Text(text="Be kind."),)),
        Message(
            "assistant", (Thinking(text="hm"), Text(text="c"), Text(text="d", is_refusal=True))
        ),
    )
    assert (prompt.unread, prompt.refused) == ((), ())


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
         Text(text="x", mark=CacheMark(ttl="1h"))),
        ({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}},
         Text(text="x", mark=CacheMark(ttl="5m"))),
        ({"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}},
         Text(text="x", mark=CacheMark(ttl="1h"))),
        ({"type": "image_url", "image_url": {"url": "https://a.test/b.png", "detail": "low"}},
         Media(kind="image", url="https://a.test/b.png", detail="low")),
        ({"type": "image_url", "image_url": {"url": "data:image/PNG;base64,AAAA"}},
         Media(kind="image", media_type="image/png", data="AAAA")),
        ({"type": "image_url", "image_url": "https://a.test/b.png"},
         Media(kind="image", url="https://a.test/b.png")),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
         Media(kind="audio", media_type="audio/mpeg", data="AAAA")),
        ({"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}},
         Media(kind="file", media_type="application/pdf", data=PDF, name="a.pdf")),
        ({"type": "file", "file": {"file_data": "data:text/csv;charset=utf-8;base64,AAAA"}},
         Media(kind="file", media_type="text/csv", data="AAAA")),
        ({"type": "refusal", "refusal": "no"}, Text(text="no", is_refusal=True)),
        ({"type": "thinking", "thinking": [{"type": "text", "text": "h"}, {"text": "m"}]},
         Thinking(text="hm")),
    ],
    ids=["an hour", "five minutes", "openai's mark", "image url", "image data", "bare url", "mp3",
         "plain base64", "data url", "refusal", "mistral"],
)  # fmt: skip
def test_a_part_is_read_for_what_it_is(part, expected):
    assert parts([part]) == (expected,)


def test_calls_and_results_are_read_and_results_together_are_one_message():
    prompt = read(
        messages=[
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "a", **fun("f", arguments='{"x":1}')},
                {"id": "b", "type": "custom", "custom": {"name": "g", "input": "free"}},
            ]},
            {"role": "tool", "tool_call_id": "a", "content": "[tool error]\nno such city"},
            {"role": "tool", "tool_call_id": "b", "content": [
                {"type": "text", "text": "1"}, {"type": "text", "text": "2"}]},
            {"role": "user", "content": "so?"},
        ]
    )  # fmt: skip
    assert prompt.messages == (
        Message(
            "assistant",
            (
                Call(id="a", name="f", arguments='{"x":1}'),
                Call(id="b", name="g", arguments='{"input":"free"}'),
            ),
        ),
        Message(
            "user",
            (
                Result(call_id="a", parts=(Text(text="no such city"),), is_error=True),
                Result(call_id="b", parts=(Text(text="1"), Text(text="2"))),
            ),
        ),
        Message("user", (Text(text="so?"),)),
    )


def test_calls_of_the_deprecated_kind_get_ids_that_their_results_share():
    prompt = read(
        messages=[
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}},
            {"role": "function", "name": "f", "content": "1"},
            {"role": "assistant", "content": "x", "function_call": {"name": "g", "arguments": ""}},
            {"role": "function", "name": "g", "content": None},
        ],
        functions=[{"name": "f", "description": "F", "parameters": SCHEMA}],
        function_call={"name": "f"},
    )
    made = [part.id for m in prompt.messages for part in m.parts if isinstance(part, Call)]
    met = [part.call_id for m in prompt.messages for part in m.parts if isinstance(part, Result)]
    assert made == met and len(set(made)) == 2
    assert prompt.tools == (Tool(name="f", description="F", schema=msgspec.json.encode(SCHEMA)),)
    assert prompt.tool_choice == ToolChoice(mode="named", name="f")


@pytest.mark.parametrize(
    ("said", "mode", "name", "left"),
    [
        ("auto", "auto", "", "fg"),
        ("none", "none", "", "fg"),
        ("required", "required", "", "fg"),
        (fun("g"), "named", "g", "fg"),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [fun("g")]}},
         "required", "", "g"),
    ],
    ids=["auto", "none", "required", "named", "allowed"],
)  # fmt: skip
def test_the_choice_of_tools_is_read(said, mode, name, left):
    prompt = read(tools=[fun("f"), fun("g")], tool_choice=said, parallel_tool_calls=False)
    assert prompt.tool_choice == ToolChoice(mode=mode, name=name, is_parallel=False)
    assert "".join(tool.name for tool in prompt.tools) == left
    assert (prompt.unread, prompt.refused) == ((), ())


def test_all_that_shapes_the_answer_is_read():
    prompt = read(
        tools=[fun("f", description="F", parameters=SCHEMA, strict=True)],
        temperature=0.5, top_p=0.9, top_k=40, seed=7, frequency_penalty=1, presence_penalty=-1,
        stop=["x", "y"], n=2, logprobs=True, top_logprobs=3, logit_bias={"5": -100},
        response_format={"type": "json_schema", "json_schema": {
            "name": "city", "description": "C", "schema": SCHEMA, "strict": True}},
        reasoning_effort="xhigh", user="u", service_tier="flex", verbosity="low",
        max_tokens=9, max_completion_tokens=7, stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    schema = msgspec.json.encode(SCHEMA)
    assert prompt == Prompt(
        messages=(HELLO,),
        tools=(Tool(name="f", description="F", schema=schema, is_strict=True),),
        sampling=Sampling(
            temperature=0.5, top_p=0.9, top_k=40, seed=7, frequency_penalty=1,
            presence_penalty=-1, stop=("x", "y"), choices=2, logprobs=3,
            logit_bias=b'{"5":-100}',
        ),
        shape=Shape(schema=schema, name="city", description="C", is_strict=True),
        reasoning=Reasoning(effort="xhigh"),
        user="u",
        service_tier="flex",
        verbosity="low",
        max_tokens=7,
        is_stream=True,
    )  # fmt: skip


def test_what_is_left_at_its_default_is_not_said():
    nothing = dict.fromkeys(
        ("tools", "stop", "n", "logprobs", "metadata", "store", "prediction", "audio", "user")
    )
    prompt = read(**nothing, temperature=None, modalities=["text"], top_logprobs=0)
    assert prompt == asking()
    assert read(n=1, store=False, logprobs=False, metadata={}) == prompt
    assert read(response_format={"type": "text"}, web_search_options=None) == prompt


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"metadata": {"a": "b"}}, "metadata"),
        ({"store": True}, "store"),
        ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
        ({"prompt_cache_key": "k"}, "prompt_cache_key"),
        ({"safety_identifier": "s", "user": "u"}, "user"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"repetition_penalty": 1.1}, "repetition_penalty"),
        ({"stream": True, "stream_options": {"include_obfuscation": True}},
         "stream_options.include_obfuscation"),
        ({"messages": [{"role": "user", "content": "Hi", "name": "Ann"}] * 3}, "messages[].name"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "x": 1}]}]},
         "messages[].content[].x"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi",
          "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}]}]},
         "messages[].content[].prompt_cache_breakpoint.ttl"),
        ({"tools": [fun("f", x=1)]}, "tools[].function.x"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_has_no_place_is_named_once(members, named):
    assert read(**members).unread == (named,)


@pytest.mark.parametrize(
    ("members", "named", "need"),
    [
        ({"tools": [{"type": "custom", "custom": {"name": "c"}}]}, "tools[0]", Need.HOSTED_TOOLS),
        ({"tools": [fun("f")], "tool_choice": {"type": "custom", "custom": {"name": "c"}}},
         "tool_choice", Need.TOOLS),
        ({"web_search_options": {}}, "web_search_options", Need.HOSTED_TOOLS),
        ({"modalities": ["text", "audio"], "audio": None}, "modalities", Need.AUDIO),
        ({"moderation": {"model": "m"}}, "moderation", None),
        ({"response_format": {"type": "grammar", "grammar": "x"}}, "response_format.type", None),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]},
         "messages[0].content[0].file.file_id", Need.STORED_FILES),
        ({"messages": [{"role": "assistant", "audio": {"id": "a"}}]}, "messages[0].audio", None),
        ({"messages": [{"role": "user", "content": [{"type": "video_url"}]}]},
         "messages[0].content[0]", None),
    ],
    ids=["custom tool", "custom choice", "search", "sound", "moderation", "grammar", "file id",
         "kept sound", "video"],
)  # fmt: skip
def test_what_only_the_provider_can_do_is_refused_with_the_field(members, named, need):
    request = chat_request(json.dumps(ASK | members).encode())
    assert need is None or need in request.needs
    prompt = CHAT.read_prompt(request)
    assert next(path for path, _ in prompt.refused) == named
    with pytest.raises(RequestError, match="acme/large") as caught:
        written(prompt)
    assert caught.value.param == named


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"seed": 1.5}, "seed"),
        ({"n": True}, "n"),
        ({"stop": [1]}, "stop"),
        ({"logit_bias": []}, "logit_bias"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name"),
        ({"messages": [{"role": "critic", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": 7}]}]},
         "messages[0].content[0].image_url"),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]},
         "messages[0].content[0].file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_field_of_the_wrong_type_is_named(members, named):
    with pytest.raises(RequestError, match=named.replace("[", r"\[")) as caught:
        read(**members)
    assert caught.value.param == named


@pytest.mark.parametrize("seed", [7.0, -1, 2**53 + 1, 2**63 - 1, 10**20 + 1])
def test_a_whole_number_is_read_to_its_last_digit(seed):
    assert read(seed=seed).sampling.seed == seed


@pytest.mark.parametrize(
    ("members", "needs"),
    [
        ({}, set()),
        ({"n": None, "logprobs": None, "modalities": None, "web_search_options": None}, set()),
        ({"n": 1, "logprobs": False, "modalities": ["text"]}, set()),
        ({"n": 2}, {Need.CHOICES}),
        ({"logprobs": True}, {Need.LOGPROBS}),
        ({"modalities": ["text", "audio"]}, {Need.AUDIO}),
        ({"tools": [fun("f")]}, {Need.TOOLS}),
        ({"tools": [{"x": "y" * 99, **fun("f")}]}, {Need.TOOLS}),
        ({"tools": [{"type": "web_search"}]}, {Need.TOOLS, Need.HOSTED_TOOLS}),
    ],
)
def test_what_a_request_needs_is_seen(members, needs):
    assert chat_request(json.dumps(ASK | members).encode()).needs == needs


def test_the_arguments_of_earlier_calls_are_measured():
    calls = [{"id": "a", **fun("f", arguments='{"x":1}')}, {"id": "b", **fun("f")}, {"id": "c"}]
    said = [{"role": "assistant", "content": None, "tool_calls": calls}] * 2
    request = chat_request(json.dumps(ASK | {"messages": said}).encode())
    assert request.calls_bytes == 2 * len(json.dumps('{"x":1}'))


def test_files_are_measured_before_base64():
    content = [{"type": "file", "file": {"file_data": "A" * 4_000}},
               {"type": "file", "file": {"file_id": None}}, {"type": "file", "file": 7},
               {"type": "input_audio", "input_audio": {"data": "A", "format": "wav"}}]  # fmt: skip
    request = chat_request(json.dumps(
        ASK | {"messages": [{"role": "user", "content": content}]}
    ).encode())  # fmt: skip
    assert request.file_bytes == 3_000
    assert request.needs == {Need.FILES, Need.AUDIO}


def test_results_follow_the_calls_at_once_and_their_images_come_after():
    image = Media(kind="image", media_type="image/png", data="AAAA")
    sent = messages(
        Message("assistant", (Text(text="Let me see."), Call(id="a", name="f", arguments="{}"),
                              Call(id="b", name="g", arguments="{}"))),
        Message("user", (Text(text="Quick!"), Result(call_id="a", parts=(Text(text="1"), image)))),
        Message("system", (Text(text="Mind the time."),)),
        Message("user", (Result(call_id="b", parts=(), is_error=True), Text(text="Well?"))),
    )  # fmt: skip
    assert [message["role"] for message in sent] == [
        "assistant", "tool", "tool", "user", "user", "system", "user"
    ]  # fmt: skip
    assert [message.get("tool_call_id") for message in sent[1:3]] == ["a", "b"]
    assert sent[1]["content"][1]["text"] == "[image 1 of the tools' results: in the next message]"
    assert sent[2]["content"] == "[tool error]\n"
    assert sent[3]["content"] == [
        {"type": "text", "text": "[image 1 of the tools' results, call a]"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]
    assert [message["content"] for message in sent[4:]] == ["Quick!", "Mind the time.", "Well?"]


def test_a_file_without_a_name_gets_one():
    file = Media(kind="file", media_type="application/pdf", data=PDF)
    (sent,) = messages(Message("user", (file,)))
    assert sent["content"][0]["file"] == {
        "filename": "document.pdf", "file_data": f"data:application/pdf;base64,{PDF}"
    }  # fmt: skip


@pytest.mark.parametrize(
    "media",
    [
        Media(kind="image", file_id="f"),
        Media(kind="file", file_id="f"),
        Media(kind="file", url="https://a.test/b.pdf"),
        Media(kind="audio", url="https://a.test/b.wav"),
        Media(kind="audio", media_type="audio/ogg", data="AAAA"),
    ],
    ids=["kept image", "kept file", "file by url", "sound by url", "ogg"],
)
def test_media_that_the_dialect_has_no_part_for_is_refused(media):
    with pytest.raises(RequestError, match=media.kind):
        messages(Message("user", (media,)))


def test_an_image_that_the_model_made_is_refused():
    image = Media(kind="image", media_type="image/png", data="AAAA")
    with pytest.raises(RequestError, match="assistant"):
        messages(Message("assistant", (image,)))


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        (asking(Text(text="x", mark=CacheMark())), "cache_control"),
        (asking(tools=(Tool(name="f", mark=CacheMark()),)), "cache_control"),
        (Prompt(messages=(Message("assistant", (Thinking(text="x"), Text(text="y"))),)),
         "reasoning"),
        (asking(sampling=Sampling(top_k=5)), "top_k"),
        (asking(service_tier="standard_only"), "service_tier"),
        (asking(verbosity="endless"), "verbosity"),
        (asking(reasoning=Reasoning(budget_tokens=9)), "reasoning_budget"),
        (asking(reasoning=Reasoning(summary="auto")), "reasoning_summary"),
        (asking(unread=("metadata",)), "metadata"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_the_dialect_has_no_word_for_is_named(prompt, named):
    assert written(prompt).dropped == (named,)


def test_a_model_that_takes_no_sampling_is_sent_none():
    reasoner = deployment("acme/deep", sampling=False)
    sampling = Sampling(temperature=0.0, top_p=0.5, seed=3, stop=("x",), logit_bias=b"{}")
    prompt = asking(sampling=sampling)
    assert written(prompt, reasoner).dropped == ("temperature", "top_p", "logit_bias")
    assert body(prompt, reasoner) == {
        "model": "deep", "messages": ASK["messages"], "seed": 3, "stop": ["x"]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("reasoning", "sent"),
    [
        (Reasoning(), None),
        (Reasoning(is_adaptive=True), None),
        (Reasoning(effort="minimal"), "minimal"),
        (Reasoning(budget_tokens=0), "none"),
        (Reasoning(budget_tokens=10_000), "medium"),
        (Reasoning(effort="high", budget_tokens=2_000), "high"),
    ],
)
def test_reasoning_is_asked_for_as_an_effort(reasoning, sent):
    prompt = asking(reasoning=reasoning)
    assert body(prompt).get("reasoning_effort") == sent
    plain = written(prompt, deployment("acme/plain", reasoning=False))
    assert b"reasoning_effort" not in plain.body
    assert ("reasoning_effort" in plain.dropped) == (sent not in (None, "none"))


@pytest.mark.parametrize(
    ("asked", "tier_max", "sent"), [(None, None, None), (None, 64, 64), (7, 64, 7), (99, 64, 99)]
)
def test_the_bound_has_the_providers_name(asked, tier_max, sent):
    prompt = asking(max_tokens=asked)
    newer = msgspec.structs.replace(ACME, max_tokens_field="max_completion_tokens")
    assert body(prompt, ACME, tier_max).get("max_tokens") == sent
    assert body(prompt, newer, tier_max).get("max_completion_tokens") == sent


def test_a_stream_is_asked_for_its_usage():
    sent = body(asking(is_stream=True))
    assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})


def test_a_deployments_parameters_come_last_and_objects_are_merged():
    to = msgspec.structs.replace(
        ACME, params={"reasoning_effort": "low", "stream_options": {"x": 1}}
    )
    prompt = asking(is_stream=True, reasoning=Reasoning(effort="high"))
    sent = body(prompt, to)
    assert sent["reasoning_effort"] == "low"
    assert sent["stream_options"] == {"include_usage": True, "x": 1}
    same = chat_request(json.dumps(ASK | {"stream": True, "reasoning_effort": "high"}).encode())
    assert json.loads(CHAT.encode_request(same, step(to)).body) == sent


def test_a_choice_without_tools_is_left_out_unless_it_forces_one():
    def choice(mode: Any) -> object:
        prompt = asking(tool_choice=ToolChoice(mode=mode, is_parallel=True))
        return body(prompt).get("tool_choice")

    assert (choice("auto"), choice("none"), choice("required")) == (None, None, "required")


REASONED = ["reasoning_content", "reasoning"]


@given(
    ids=st.lists(st.text(min_size=1, max_size=70), min_size=1, max_size=4),
    chars_max=st.integers(4, 40),
    reasoned=st.sampled_from(REASONED),
)
def test_a_body_made_to_fit_reads_as_its_prompt_made_to_fit(ids, chars_max, reasoned):
    rule = CallIds(chars_max=chars_max, pattern="[a-z0-9]+")
    said = [
        {"role": "user", "content": "Hi", "x": {"kept": True}},
        {"role": "assistant", reasoned: "only this"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": []}]},
        {"role": "assistant", reasoned: "hm", "tool_calls": [
            {"id": made, "x": 1, **fun("f", arguments="{}")} for made in ids]},
        *({"role": "tool", "tool_call_id": made, "content": made} for made in ids),
        {"role": "assistant", "content": ""},
    ]  # fmt: skip
    request = chat_request(json.dumps(ASK | {"messages": said}).encode())
    fitted = CHAT.refit_body(
        request.body, keeps=lambda _: False, call_id=lambda made: valid_call_id(made, rule)
    )
    assert CHAT.read_prompt(chat_request(fitted)) == refit(
        CHAT.read_prompt(request), lambda _: False, rule
    )
    assert json.loads(fitted)["messages"][0] == said[0]


def test_no_tokens_are_counted_ahead():
    assert CHAT.count_path("m") == ""
    assert CHAT.count_request(b"{}") == b"{}"
    with pytest.raises(UpstreamBadResponse):
        CHAT.read_count(b"{}")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-2, 2) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
FIELDS = ("messages", "tools", "tool_choice", "stop", "response_format", "logit_bias", "functions",
          "reasoning_effort", "stream_options", "modalities", "n", "top_logprobs")  # fmt: skip


@given(name=st.sampled_from(FIELDS), value=JSON, key=st.sampled_from(["content", "tool_calls"]))
def test_a_body_is_read_or_refused_and_nothing_else(name, value, key):
    for members in (
        {name: value},
        {"messages": [{"role": "assistant", key: [value]}]},
        {"tools": [{"type": "function", "function": value}]},
    ):
        try:
            prompt = read(**members)
            written(prompt)
        except RequestError:
            continue
