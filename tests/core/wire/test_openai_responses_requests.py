"""Requests in the responses dialect: read, refused, edited, refitted, and carried elsewhere."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from pydantic import TypeAdapter
from tests.core.builders import deployment, step
from tests.core.wire.prompts import PNGS, asking, prompts

from pointsman.core.errors import RequestError, UpstreamBadResponse
from pointsman.core.types import Caller, Deployment, Need, Request, ResponseFormat, Turn
from pointsman.core.wire import CODECS
from pointsman.core.wire.history import refit, valid_call_id
from pointsman.core.wire.openai_responses.items import neutral_name, unwrapped, wrapped
from pointsman.core.wire.prompt import (
    CacheMark,
    Call,
    Media,
    Message,
    Prompt,
    Reasoning,
    Result,
    Sampling,
    Shape,
    Text,
    Thinking,
    Tool,
    ToolChoice,
)
from pointsman.core.wire.translate import encode_request

CODEC = CODECS["openai-responses"]
GOLDEN = Path(__file__).parents[2] / "golden" / "openai_responses"
CODEX = (GOLDEN / "codex.request.json").read_bytes()
ASK: dict[str, Any] = {"model": "auto", "input": "Hi"}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
PARAMS: TypeAdapter[Any] = TypeAdapter(ResponseCreateParamsBase)


def responses(name: str = "openai/gpt-5.6", **members: object) -> Deployment:
    capability = {"reasoning": members.pop("reasoning", None)}
    to = msgspec.structs.replace(deployment(name, **capability), dialect="openai-responses")
    return msgspec.structs.replace(to, **members)


TO = responses()


def ask(**members: object) -> bytes:
    return json.dumps(ASK | members).encode()


def item(**members: object) -> bytes:
    return ask(input=[members])


def read(body: bytes) -> Request:
    return CODEC.decode_request(body, Caller())


def prompt_of(body: bytes) -> Prompt:
    return CODEC.read_prompt(read(body))


def sent(body: bytes, to: Deployment = TO, tier_max: int | None = None) -> dict[str, Any]:
    body = CODEC.encode_request(read(body), step(to, tier_max)).body
    told = json.loads(body)
    assert isinstance(told, dict)
    return told


def written(prompt: Prompt, to: Deployment = TO) -> dict[str, Any]:
    body = CODEC.write_prompt(prompt, step(to)).body
    check_sdks(body)
    told = json.loads(body)
    assert isinstance(told, dict)
    return told


def check_sdks(body: bytes) -> None:
    """Validate a body by the SDK's types, which want ids that Codex and we leave out."""
    told = json.loads(body)
    for place, one in enumerate(told["input"] if isinstance(told["input"], list) else ()):
        if one.get("type") == "reasoning" or isinstance(one.get("content"), list):
            one.setdefault("id", f"id_{place}")
            one.setdefault("status", "completed")
        if one.get("content", one) is None:
            del one["content"]
    PARAMS.validate_python(told)


# Reading for routing.


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"model":"a","input":"\xff"}', "not JSON"),
        (b'{"model":"a","input":' + b"[" * 100_000, "JSON|fit"),
        (b"[]", "object"),
        (b"{}", "model is missing"),
        (b'{"model":"a"}', "input is missing"),
        (ask(model=7), r"\$\.model"),
        (ask(model="m" * 257), "model has 257"),
        (ask(input=None), "input is missing"),
        (ask(input=[]), "input is missing or empty"),
        (ask(input={}), r"\$\.input"),
        (ask(input=[{"role": "user", "content": "x"}] * 4_097), "input has 4097"),
        (ask(input=["Hi"]), r"\$\.input\[0\]"),
        (item(role="user", content=7), r"\$\.input\[0\]\.content"),
        (item(role="robot", content="x"), 'role is "robot"'),
        (item(type="message", content="x"), r"input\[0\]\.role"),
        (item(type="item_reference", id="msg_1"), 'refers to an item "msg_1"'),
        (item(id="msg_1"), "send the item itself"),
        (ask(previous_response_id="resp_1"), "previous_response_id .* send the items"),
        (ask(conversation="conv_1"), "conversation .* send the items"),
        (ask(conversation={"id": "conv_1"}), "conversation"),
        (ask(prompt={"id": "pmpt_1"}), "prompt .* send the items"),
        (ask(background=True), "background is true"),
        (ask(tools={}), r"\$\.tools"),
        (ask(tools=[FUNCTION] * 257), "tools has 257"),
        (ask(max_output_tokens=0), "max_output_tokens is 0"),
        (ask(max_output_tokens=1.5), r"max_output_tokens is 1\.5"),
        (ask(max_output_tokens="9"), r"\$\.max_output_tokens"),
        (ask(stream=1), r"\$\.stream"),
        (ask(include="all"), r"\$\.include"),
        (ask(text="json"), r"\$\.text"),
    ],
    ids=lambda value: repr(value[-50:]) if isinstance(value, bytes) else value,
)
def test_a_bad_body_is_refused_with_the_field_at_fault(body, names):
    with pytest.raises(RequestError, match=names):
        read(body)


def test_what_codex_sends_is_read():
    request = read(CODEX)
    check_sdks(CODEX)
    assert request.model == "auto" and request.is_stream and request.wants_usage
    assert request.system == "You are a coding agent.\nSandbox: workspace-write."
    assert request.turns == (
        Turn(role="user", text="Add a file."),
        Turn(role="assistant", text="I add it.", tool_call_ids=("call_1", "call_2")),
        Turn(role="tool", text="README.md"),
        Turn(role="tool", text="Done!"),
        Turn(role="assistant", tool_call_ids=("call_3",)),
        Turn(role="tool", text="3"),
    )
    assert request.needs == {Need.TOOLS, Need.IMAGES} and request.image_count == 1
    assert request.signatures == ("gAAAAABo3k1-sealed==",)
    assert 0 < request.tools_bytes < len(CODEX) and request.dropped == ()


@pytest.mark.parametrize(
    ("members", "needs"),
    [
        ({}, set()),
        ({"tools": [FUNCTION]}, {Need.TOOLS}),
        ({"tools": [{"type": "web_search"}]}, {Need.TOOLS, Need.HOSTED_TOOLS}),
        ({"tools": [{"type": "local_shell"}]}, {Need.TOOLS, Need.HOSTED_TOOLS}),
        ({"tools": [{"type": "namespace", "name": "n", "description": "", "tools": [FUNCTION]}]},
         {Need.TOOLS}),
        ({"text": {"format": {"type": "json_schema", "name": "n", "schema": {}}}},
         {Need.JSON_SCHEMA}),
        ({"text": {"format": {"type": "json_object"}}}, set()),
        ({"include": ["message.output_text.logprobs"]}, {Need.LOGPROBS}),
        ({"top_logprobs": 3}, {Need.LOGPROBS}),
        ({"top_logprobs": 0}, set()),
        ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, {Need.HOSTED_TOOLS}),
        ({"input": [{"type": "file_search_call", "id": "fs", "status": "completed"}]},
         {Need.HOSTED_TOOLS}),
        ({"input": [{"type": "additional_tools", "role": "developer",
                     "tools": [{"type": "custom", "name": "c"}]}]}, {Need.TOOLS}),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
         {Need.IMAGES, Need.STORED_FILES}),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_data": "QUJD"}]}]},
         {Need.FILES}),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, {Need.AUDIO}),
    ],
)  # fmt: skip
def test_what_a_request_needs_is_told(members, needs):
    assert read(ask(**members)).needs == needs


def test_the_bounds_sizes_and_formats_are_told():
    form = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}
    part = {"type": "input_file", "file_data": "A" * 400, "filename": "a.pdf"}
    request = read(
        ask(
            input=[{"role": "user", "content": [part]}],
            max_output_tokens=100.0,
            text={"format": form},
            store=True,
        )
    )
    assert (request.max_tokens, request.file_bytes, request.dropped) == (100, 300, ("store",))
    assert request.response_format == ResponseFormat(schema=b'{"type": "object"}')
    assert CODEC.decode_request(b'{"input":"Hi"}', Caller(model="fast")).model == "fast"


# The short road.


def test_only_what_must_change_is_changed():
    body = b'{ "model":"auto" ,"input":"H\\u0069", "x_new": [1 ,2], "store":true }'
    encoded = CODEC.encode_request(read(body), step(TO)).body
    assert encoded == body.replace(b'"auto"', b'"gpt-5.6"').replace(b"true", b"false")


@pytest.mark.parametrize("reasoning", ["high", 1.5, [], {"effort": 3}, {"effort": {}}])
def test_reasoning_of_the_wrong_type_is_refused(reasoning):
    request = read(ask(reasoning=reasoning))
    with pytest.raises(RequestError, match=r"\$\.reasoning") as caught:
        CODEC.encode_request(request, step(TO))
    assert caught.value.param == "reasoning"


def test_what_codex_sends_passes_but_for_the_model():
    encoded = CODEC.encode_request(read(CODEX), step(TO)).body
    assert encoded == CODEX.replace(b'"auto"', b'"gpt-5.6"', 1)


ENCRYPTED = "reasoning.encrypted_content"


@pytest.mark.parametrize(
    ("members", "to", "included"),
    [
        ({}, TO, None),
        ({"reasoning": {"effort": "low"}}, TO, [ENCRYPTED]),
        ({"reasoning": {"effort": "none"}}, TO, None),
        ({"reasoning": {}, "include": ["x"]}, TO, ["x", ENCRYPTED]),
        ({"reasoning": {}, "include": [ENCRYPTED]}, TO, [ENCRYPTED]),
        ({}, responses(reasoning=True), [ENCRYPTED]),
        ({"reasoning": None}, responses(params={"reasoning_effort": "high"}), [ENCRYPTED]),
        ({}, responses(params={"reasoning_effort": "none"}, reasoning=True), None),
    ],
)
def test_sealed_reasoning_is_asked_for_where_the_upstream_reasons(members, to, included):
    assert sent(ask(**members), to).get("include") == included


def test_a_tiers_bound_and_parameters_are_sent():
    to = responses(params={"reasoning_effort": "low", "text": {"verbosity": "low"}})
    told = sent(ask(reasoning={"effort": "high", "summary": "auto"}), to, 50)
    assert told["reasoning"] == {"effort": "low", "summary": "auto"}
    assert told["text"] == {"verbosity": "low"}
    assert (told["max_output_tokens"], told["store"]) == (50, False)
    assert sent(ask(max_output_tokens=7), to, 50)["max_output_tokens"] == 7


def test_the_shape_is_what_decides_the_answer():
    asked = ask(
        stream=True, store=True, service_tier="flex", stream_options={}, metadata={"a": "b"}
    )
    shape = CODEC.shape(read(asked))
    assert shape == {"input": "Hi", "metadata": {"a": "b"}}
    hosted = ask(tools=[{"type": "web_search"}], stream=True)
    assert CODEC.shape(read(hosted))["stream"] is True
    assert "stream" not in CODEC.shape(read(ask(include=[ENCRYPTED], stream=True)))


def test_counting_has_a_body_and_a_reply_of_its_own():
    body = CODEC.count_request(ask(stream=True, max_output_tokens=5, tools=[FUNCTION]))
    assert json.loads(body) == ASK | {"tools": [FUNCTION]}
    assert CODEC.read_count(b'{"object":"response.input_tokens","input_tokens":11}') == 11
    for reply in (b"", b"{}", b'{"input_tokens":"many"}'):
        with pytest.raises(UpstreamBadResponse):
            CODEC.read_count(reply)


# Another deployment's history.


def test_foreign_reasoning_goes_and_calls_get_ids_that_fit():
    body = CODEC.refit_body(
        CODEX, keeps=lambda signature: False, call_id=lambda made: made.replace("_", "")
    )
    before, after = json.loads(CODEX), json.loads(body)
    kept = [one for one in before.pop("input") if one["type"] != "reasoning"]
    ids = [one.get("call_id") for one in after["input"]]
    assert ids == [one.get("call_id", "").replace("_", "") or None for one in kept]
    fitted = after.pop("input")
    assert [one | {"call_id": 0} for one in fitted] == [one | {"call_id": 0} for one in kept]
    assert after == before
    unchanged = CODEC.refit_body(CODEX, keeps=lambda signature: True, call_id=str)
    assert json.loads(unchanged) == json.loads(CODEX)
    assert CODEC.refit_body(ask(), keeps=lambda signature: False, call_id=str) == ask()


CALL_IDS = st.text("abc_-|.é", min_size=1, max_size=70)
ITEMS = st.one_of(
    st.builds(lambda role, text: {"role": role, "content": text},
              st.sampled_from(["user", "assistant", "system"]), st.text("xyz", max_size=3)),
    st.builds(lambda sealed, text: {"type": "reasoning", "id": "rs_1", "encrypted_content": sealed,
                                    "summary": [{"type": "summary_text", "text": text}]},
              st.sampled_from(["own", "foreign", "redacted.own", "", None]), st.text("xyz")),
    st.builds(lambda made: {"type": "function_call", "call_id": made, "name": "f",
                            "arguments": "{}"}, CALL_IDS),
    st.builds(lambda made: {"type": "custom_tool_call", "call_id": made, "name": "c",
                            "input": "x"}, CALL_IDS),
    st.builds(lambda made, kind: {"type": kind, "call_id": made, "output": "ok"}, CALL_IDS,
              st.sampled_from(["function_call_output", "custom_tool_call_output"])),
)  # fmt: skip


@given(items=st.lists(ITEMS, min_size=1, max_size=7))
def test_a_refitted_body_is_a_refitted_prompt(items):
    body = ask(input=items)
    rule = TO.call_ids
    refitted = CODEC.refit_body(body, keeps=lambda signature: signature == "own", call_id=valid)
    if json.loads(refitted)["input"]:
        expected = refit(prompt_of(body), lambda signature: signature == "own", rule)
        assert joined(prompt_of(refitted)) == joined(expected)
    parts = [part for message in prompt_of(body).messages for part in message.parts]
    sealed = [part.signature for part in parts if isinstance(part, Thinking) and part.signature]
    assert tuple(sealed) == read(body).signatures


def valid(made: str) -> str:
    return valid_call_id(made, TO.call_ids)


def joined(prompt: Prompt) -> list[Message]:
    """Return the messages; the model's neighbouring ones are one, and empty ones are none."""
    messages: list[Message] = []
    for message in prompt.messages:
        if messages and messages[-1].role == message.role == "assistant":
            messages[-1] = Message("assistant", messages[-1].parts + message.parts)
        elif message.parts:
            messages.append(message)
    return messages


# Reading for another dialect.


def test_what_codex_sends_is_carried():
    prompt = prompt_of(CODEX)
    patch = '*** Begin Patch\n*** Add File: "a"\n+ü\n*** End Patch\n'
    image = Media(kind="image", media_type="image/png", data="iVBORw0KGgo=")
    assert prompt.messages == (
        Message("system", (Text(text="You are a coding agent."),)),
        Message("system", (Text(text="Sandbox: workspace-write."),)),
        Message("user", (Text(text="Add a file."),)),
        Message(
            "assistant",
            (
                Thinking(text="**Planning**", signature="gAAAAABo3k1-sealed=="),
                Text(text="I add it."),
                Call(id="call_1", name="exec_command", arguments='{"cmd":"ls"}'),
                Call(id="call_2", name="apply_patch", arguments=wrapped(patch)),
            ),
        ),
        Message("user", (Result(call_id="call_1", parts=(Text(text="README.md"),)),)),
        Message("user", (Result(call_id="call_2", parts=(Text(text="Done!"),)),)),
        Message("assistant", (Call(id="call_3", name="mcp__numbers__add",
                                   arguments='{"a":1,"b":2}'),)),
        Message("user", (Result(call_id="call_3", parts=(Text(text="3"), image)),)),
    )  # fmt: skip
    assert json.loads(prompt.messages[3].parts[3].arguments) == {"input": patch}  # type: ignore[union-attr]
    names = [(tool.name, tool.is_strict) for tool in prompt.tools]
    assert names == [("exec_command", False), ("apply_patch", None), ("mcp__numbers__add", False)]
    assert prompt.tools[1].description.startswith("Edit files.\n\n`input` is text that follows")
    assert "start: begin_patch hunk+" in prompt.tools[1].description
    assert json.loads(prompt.tools[1].schema)["required"] == ["input"]
    assert prompt.tool_choice == ToolChoice(mode="auto", is_parallel=True)
    assert prompt.reasoning == Reasoning(effort="medium", is_shown=True, summary="auto")
    assert prompt.verbosity == "low" and prompt.is_stream
    assert prompt.unread == ("prompt_cache_key", "client_metadata", "tools[].description")
    assert prompt.refused == ()


ELSEWHERE = sorted(set(CODECS) - {"openai-embeddings", "openai-responses"})


@pytest.mark.parametrize("dialect", ELSEWHERE)
def test_codex_works_on_an_upstream_of_another_dialect(dialect):
    to = step(msgspec.structs.replace(deployment("acme/large"), dialect=dialect))
    carried = encode_request(read(CODEX), to)
    assert b"apply_patch" in carried.body and b"mcp__numbers__add" in carried.body
    assert b"Begin Patch" in carried.body and b"start: begin_patch hunk+" in carried.body
    assert b"sealed" not in carried.body
    assert {"prompt_cache_key", "client_metadata"} <= set(carried.dropped)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ({"type": "input_text", "text": "x"}, Text(text="x")),
        ({"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}},
         Text(text="x", mark=CacheMark(ttl="1h"))),
        ({"type": "output_text", "text": "x"}, Text(text="x")),
        ({"type": "refusal", "refusal": "no"}, Text(text="no", is_refusal=True)),
        ({"type": "input_image", "image_url": "https://a.test/b", "detail": "low"},
         Media(kind="image", url="https://a.test/b", detail="low")),
        ({"type": "input_image", "image_url": "data:image/gif;base64,QUI=", "detail": "auto"},
         Media(kind="image", media_type="image/gif", data="QUI=")),
        ({"type": "input_image", "file_id": "f1"}, Media(kind="image", file_id="f1")),
        ({"type": "input_file", "filename": "a.pdf",
          "file_data": "data:application/pdf;base64,QUI="},
         Media(kind="file", media_type="application/pdf", data="QUI=", name="a.pdf")),
        ({"type": "input_file", "file_data": "QUI="}, Media(kind="file", data="QUI=")),
        ({"type": "input_file", "file_url": "https://a.test/b"},
         Media(kind="file", url="https://a.test/b")),
        ({"type": "input_audio", "input_audio": {"data": "QUI=", "format": "mp3"}},
         Media(kind="audio", media_type="audio/mp3", data="QUI=")),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_each_part_has_its_place(content, part):
    prompt = prompt_of(item(role="user", content=[content]))
    assert prompt.messages == (Message("user", (part,)),)
    assert (prompt.unread, prompt.refused) == ((), ())


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"temperature": 0.5, "top_p": 0.9}, {"sampling": Sampling(temperature=0.5, top_p=0.9)}),
        ({"top_logprobs": 2}, {"sampling": Sampling(logprobs=2)}),
        ({"include": ["message.output_text.logprobs"]}, {"sampling": Sampling(logprobs=0)}),
        ({"max_output_tokens": 9}, {"max_tokens": 9}),
        ({"user": "u"}, {"user": "u"}),
        ({"user": "u", "safety_identifier": "s"}, {"user": "s", "unread": ("user",)}),
        ({"service_tier": "flex"}, {"service_tier": "flex"}),
        ({"text": {"format": {"type": "json_object"}}}, {"shape": Shape()}),
        ({"text": {"format": {"type": "json_schema", "name": "n", "schema": {"a": 1},
                              "strict": True, "description": "d"}}},
         {"shape": Shape(schema=b'{"a": 1}', name="n", description="d", is_strict=True)}),
        ({"reasoning": {"effort": "none"}}, {"reasoning": Reasoning(effort="none")}),
        ({"reasoning": {"mode": "pro", "context": "all_turns"}},
         {"unread": ("reasoning.context", "reasoning.mode")}),
        ({"truncation": "auto"}, {"unread": ("truncation",)}),
        ({"truncation": "disabled", "metadata": {}, "background": False, "user": None}, {}),
        ({"max_tool_calls": 3, "prompt_cache_retention": "24h", "metadata": {"a": "b"}},
         {"unread": ("max_tool_calls", "prompt_cache_retention", "metadata")}),
        ({"include": ["web_search_call.results"]}, {"unread": ("include",)}),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [
            {"type": "function", "name": "f", "defer_loading": True}]}]},
         {"tools": (Tool(name="n__f"),), "unread": ("tools[].tools[].defer_loading",)}),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi", "new": 1}]}]},
         {"unread": ("input[].content[].new",)}),
        ({"instructions": "Be brief."},
         {"messages": (Message("system", (Text(text="Be brief."),)),
                       Message("user", (Text(text="Hi"),)))}),
    ],
    ids="-".join,
)  # fmt: skip
def test_each_field_has_its_place_or_is_named(members, expected):
    plain = {"messages": (Message("user", (Text(text="Hi"),)),)}
    assert prompt_of(ask(**members)) == Prompt(**(plain | expected))


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"tools": [FUNCTION, {"type": "mcp", "server_label": "x"}]}, "tools[1]"),
        ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, "input[0]"),
        ({"input": [{"type": "tool_search_call", "arguments": {"q": 1}}]}, "input[0]"),
        ({"input": [{"type": "computer_call_output", "output": {"type": "computer_screenshot"}}]},
         "input[0]"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"moderation": {"model": "m"}}, "moderation"),
        ({"input": [{"role": "user", "content": [{"type": "input_video"}]}]}, "input[].content"),
    ],
)  # fmt: skip
def test_what_openai_alone_can_do_is_refused_elsewhere_and_kept_here(members, field):
    body = ask(**members)
    prompt = prompt_of(body)
    assert [name for name, _ in prompt.refused] == [field]
    for codec in CODECS.values():
        if codec.name != "openai-embeddings":
            with pytest.raises(RequestError, match="leave it out"):
                codec.write_prompt(prompt, step(TO))
    assert sent(body) == ASK | members | {"model": "gpt-5.6", "store": False}


@pytest.mark.parametrize(
    ("chosen", "choice", "offered"),
    [
        ("none", ToolChoice(mode="none"), ["f", "c", "n__g"]),
        ({"type": "function", "name": "f"}, ToolChoice(mode="named", name="f"), ["f", "c", "n__g"]),
        ({"type": "custom", "name": "c"}, ToolChoice(mode="named", name="c"), ["f", "c", "n__g"]),
        ({"type": "allowed_tools", "mode": "required", "tools": [
            {"type": "custom", "name": "c"},
            {"type": "function", "name": "g", "namespace": "n"}]},
         ToolChoice(mode="required"), ["c", "n__g"]),
    ],
)  # fmt: skip
def test_a_choice_of_tools_is_carried(chosen, choice, offered):
    inner = {"type": "function", "name": "g"}
    space = {"type": "namespace", "name": "n", "description": "", "tools": [inner]}
    tools = [FUNCTION, {"type": "custom", "name": "c"}, space]
    prompt = prompt_of(ask(tools=tools, tool_choice=chosen))
    assert prompt.tool_choice == choice
    assert [tool.name for tool in prompt.tools] == offered


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (ask(tool_choice="maybe"), "tool_choice"),
        (ask(reasoning={"effort": "huge"}), "reasoning.effort"),
        (ask(temperature="hot"), r"\$\.temperature"),
        (item(type="function_call", arguments={}), r"\$\.arguments"),
    ],
)
def test_what_does_not_fit_is_refused_when_it_is_read_in_full(body, names):
    with pytest.raises(RequestError, match=names):
        prompt_of(body)


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_a_custom_tools_input_survives_being_wrapped(text):
    assert unwrapped(wrapped(text)) == text
    assert json.loads(wrapped(text)) == {"input": text}


def test_arguments_that_are_not_wrapped_stay_as_they_are():
    for arguments in ("", "x", "{}", '{"input":1}', '{"input":"a","b":1}', "\ud800"):
        assert unwrapped(arguments) == arguments


def test_a_namespaces_names_are_short_and_differ():
    names = {neutral_name("n" * 60, "tool" + letter) for letter in "abc"}
    assert len(names) == 3 and all(len(name) == 64 for name in names)
    assert neutral_name("", "f" * 90) == "f" * 90


# Writing for another dialect's client.


@given(prompt=prompts(media=PNGS, in_results=PNGS, is_signed=True))
def test_a_prompt_survives_being_written_and_read(prompt):
    sent = CODEC.write_prompt(prompt, step(TO))
    check_sdks(sent.body)
    back = prompt_of(sent.body)
    assert (back.unread, back.refused) == ((), ())
    assert said(back) == said(prompt)
    kept = ("max_tokens", "user", "verbosity", "is_stream")
    for name in kept:
        assert getattr(back, name) == getattr(prompt, name)
    for name in ("temperature", "top_p"):
        assert getattr(back.sampling, name) == getattr(prompt.sampling, name)
    lost = {"top_k", "seed", "frequency_penalty", "presence_penalty", "logit_bias", "stop"}
    assert lost & set(sent.dropped) == {
        name for name in lost if getattr(prompt.sampling, name) not in (None, ())
    }


def said(prompt: Prompt) -> list[object]:
    """Return the parts with their roles; marks and the calls' own seals are not carried."""
    parts: list[object] = []
    for message in prompt.messages:
        for part in message.parts:
            match part:
                case Result(parts=inner):
                    bare = tuple(unmarked(one) for one in inner)
                    parts.append((message.role, unmarked(part), bare))
                case Call():
                    parts.append(unmarked(msgspec.structs.replace(part, signature="")))
                case _:
                    parts.append((message.role, unmarked(part)))
    return parts


def unmarked(part: Any) -> Any:
    if isinstance(part, Thinking):
        return part
    bare = {"parts": ()} if isinstance(part, Result) else {}
    return msgspec.structs.replace(part, mark=None, **bare)


@pytest.mark.parametrize(
    ("part", "names"),
    [
        (Media(kind="audio", data="QUI="), "no sound"),
        (Media(kind="file", file_id="f1"), 'file "f1" is kept by another provider'),
        (Media(kind="image", file_id="f1"), "another provider"),
    ],
)
def test_what_the_api_cannot_take_is_refused(part, names):
    with pytest.raises(RequestError, match=names):
        written(asking(part))
    with pytest.raises(RequestError, match="assistant's message"):
        written(asking(Media(kind="image", data="QUI="), role="assistant"))


def test_several_choices_are_refused():
    with pytest.raises(RequestError, match="ask for one") as caught:
        written(asking(sampling=Sampling(choices=2)))
    assert caught.value.param == "n"
    assert "n" not in written(asking(sampling=Sampling(choices=1)))


@pytest.mark.parametrize(
    ("members", "to", "expected", "dropped"),
    [
        ({"reasoning": Reasoning(effort="high")}, TO,
         {"reasoning": {"effort": "high"}, "include": [ENCRYPTED]}, ()),
        ({"reasoning": Reasoning(effort="none")}, TO, {"reasoning": {"effort": "none"}}, ()),
        ({"reasoning": Reasoning(effort="low", budget_tokens=9_000)}, TO,
         {"reasoning": {"effort": "low"}, "include": ["reasoning.encrypted_content"]},
         ("reasoning_budget",)),
        ({"reasoning": Reasoning(budget_tokens=9_000, is_shown=True)}, TO,
         {"reasoning": {"effort": "medium", "summary": "auto"}, "include": [ENCRYPTED]},
         ("reasoning_budget",)),
        ({"reasoning": Reasoning(effort="high")}, responses(reasoning=False), {},
         ("reasoning_effort",)),
        ({"sampling": Sampling(logprobs=2)}, TO,
         {"top_logprobs": 2, "include": ["message.output_text.logprobs"]}, ()),
        ({"shape": Shape()}, TO, {"text": {"format": {"type": "json_object"}}}, ()),
        ({"shape": Shape(schema=b"{}")}, TO,
         {"text": {"format": {"type": "json_schema", "name": "answer", "schema": {}}}}, ()),
        ({"verbosity": "low"}, TO, {"text": {"verbosity": "low"}}, ()),
        ({"verbosity": "chatty"}, TO, {}, ("verbosity",)),
        ({"service_tier": "standard_only"}, TO, {}, ("service_tier",)),
        ({"tools": (Tool(name="f", mark=CacheMark()),)}, TO,
         {"tools": [{"type": "function", "name": "f", "strict": False,
                     "parameters": {"type": "object", "properties": {}}}]}, ("cache_control",)),
        ({"tool_choice": ToolChoice(mode="named", name="f", is_parallel=False)}, TO,
         {"tool_choice": {"type": "function", "name": "f"}, "parallel_tool_calls": False}, ()),
        ({"unread": ("metadata",), "max_tokens": 7}, TO, {"max_output_tokens": 7}, ("metadata",)),
        ({"is_stream": True}, responses(params={"reasoning_effort": "low", "user": "x"}),
         {"stream": True, "reasoning": {"effort": "low"}, "user": "x", "include": [ENCRYPTED]},
         ()),
    ],
)  # fmt: skip
def test_each_wish_is_written_or_named(members, to, expected, dropped):
    hi = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
    assert written(asking(**members), to) == {
        "model": "gpt-5.6", "input": [hi], "store": False, **expected
    }  # fmt: skip
    assert CODEC.write_prompt(asking(**members), step(to)).dropped == dropped


def test_sampling_goes_where_the_model_takes_none():
    to = responses()
    to = msgspec.structs.replace(
        to, capability=msgspec.structs.replace(to.capability, sampling=False)
    )
    sent = CODEC.write_prompt(asking(sampling=Sampling(temperature=1.0, top_p=0.5)), step(to))
    assert sent.dropped == ("temperature", "top_p")
    assert b"top_p" not in sent.body and b"temperature" not in sent.body


def test_sealed_reasoning_is_given_back_without_an_id():
    thoughts = (
        Thinking(text="Hm.", signature="own"),
        Thinking(signature="all", is_redacted=True),
        Thinking(text="unsealed"),
        Text(text="42"),
    )
    sent = CODEC.write_prompt(asking(*thoughts, role="assistant"), step(TO))
    assert json.loads(sent.body)["input"] == [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}],
         "encrypted_content": "own"},
        {"type": "reasoning", "summary": [], "encrypted_content": "redacted.all"},
        {"type": "message", "role": "assistant",
         "content": "42"},
    ]  # fmt: skip
    assert sent.dropped == ("reasoning",)


def test_the_models_words_in_a_row_are_one_text_and_come_back_so():
    """Issue 4: a client that streams gives an answer back piece by piece; OpenAI's types know no
    message of the model's with several texts that has no id.
    """
    pieces = ("One ", "", "two", ".\n", "")
    body = CODEC.write_prompt(asking(*(Text(text=p) for p in pieces), role="assistant"), step(TO))
    (only,) = json.loads(body.body)["input"]
    assert only == {"type": "message", "role": "assistant", "content": "One two.\n"}
    assert prompt_of(body.body).messages == (Message("assistant", (Text(text="One two.\n"),)),)


def test_a_refusal_among_the_models_words_is_a_message_of_its_own():
    parts = (Text(text="a"), Text(text="no", is_refusal=True), Text(text="b"))
    body = CODEC.write_prompt(asking(*parts, role="assistant"), step(TO)).body
    contents = [item["content"] for item in json.loads(body)["input"]]
    assert contents == ["a", [{"type": "refusal", "refusal": "no"}], "b"]
    assert prompt_of(body).messages == (Message("assistant", parts),)


def test_an_empty_text_does_not_part_calls_from_their_results():
    call = Call(id="c", name="f", arguments="{}")
    body = CODEC.write_prompt(asking(call, Text(text=""), role="assistant"), step(TO)).body
    assert [item["type"] for item in json.loads(body)["input"]] == ["function_call"]


@pytest.mark.parametrize(
    ("members", "stays"),
    [
        ({"summary": [{"type": "summary_text", "text": "Hm."}]}, False),
        ({"summary": [], "encrypted_content": None, "content": None}, False),
        ({"summary": [], "encrypted_content": "", "content": []}, False),
        ({"summary": [], "encrypted_content": "sealed"}, True),
        ({"summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}, True),
    ],
    ids=["summary", "nulls", "nothing", "seal", "text"],
)
def test_reasoning_that_nobody_can_take_is_not_sent(members, stays):
    """Issue 4: OpenAI looks for an item without a seal among those it has stored, and has none."""
    reasoning = {"type": "reasoning", "id": "rs_1", **members}
    others = [{"role": "user", "content": "Hi", "x": 1.0}, {"role": "assistant", "content": "Ho"}]
    told = sent(ask(input=[others[0], reasoning, others[1]], reasoning={}))
    assert told["input"] == [others[0], *([reasoning] if stays else []), others[1]]
