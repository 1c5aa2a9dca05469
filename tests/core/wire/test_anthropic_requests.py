"""Requests in the messages dialect: read, refused, edited, and translated both ways."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from anthropic.types.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.message_create_params import (
    MessageCreateParamsNonStreaming,
    MessageCreateParamsStreaming,
)
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from tests.core.builders import deployment, step
from tests.core.wire.prompts import asking

from pointsman.core.errors import RequestError, UpstreamBadResponse
from pointsman.core.features import is_tool_loop, last_tool_call_ids, last_user_text
from pointsman.core.types import (
    Caller,
    CallIds,
    Deployment,
    Need,
    Request,
    ResponseFormat,
    Turn,
)
from pointsman.core.wire import CODECS
from pointsman.core.wire.history import refit, valid_call_id
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
    Written,
)

CODEC = CODECS["anthropic"]
GOLDEN = Path(__file__).parents[2] / "golden" / "anthropic"
BODIES = sorted(path.name.split(".")[0] for path in GOLDEN.glob("*.request.json"))
SIGNATURE = "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pk="
REDACTED = "EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIwxtE3rAFBa8cr3qpP"
OLD, NEW, UNKNOWN = "2023-06-01", "2026-10-21", "2031-01-01"
ASK: dict[str, Any] = {
    "model": "auto",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "Hi"}],
}
CREATED: TypeAdapter[Any] = TypeAdapter(
    MessageCreateParamsNonStreaming | MessageCreateParamsStreaming
)
COUNTED: TypeAdapter[Any] = TypeAdapter(MessageCountTokensParams)
SAMPLING = {"temperature", "top_p", "top_k"}


def served(model: str, **capability: object) -> Deployment:
    """Return a deployment of Anthropic's dialect."""
    return msgspec.structs.replace(
        deployment(f"anthropic/{model}", **capability), dialect="anthropic"
    )


SONNET_45, SONNET_46 = served("claude-sonnet-4-5-20250929"), served("claude-sonnet-4-6")
OPUS_48, FABLE = served("claude-opus-4-8"), served("claude-fable-5-1")
LLAMA = served("qwen3-4b")


def ask(**members: object) -> bytes:
    return json.dumps(ASK | members).encode()


def said(*content: dict[str, Any], role: str = "user") -> bytes:
    return ask(messages=[{"role": role, "content": list(content)}])


def speaking(version: str = OLD, *, beta: str = "") -> Caller:
    headers = [("anthropic-version", version)] if version else []
    return Caller(headers=(*headers, *([("anthropic-beta", beta)] if beta else [])))


def read(body: bytes, version: str = OLD) -> Request:
    return CODEC.decode_request(body, speaking(version))


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.request.json").read_bytes()


def sent(body: bytes, to: Deployment = SONNET_46, tier_max: int | None = None) -> dict[str, Any]:
    sent = json.loads(CODEC.encode_request(read(body), step(to, tier_max)).body)
    assert isinstance(sent, dict)
    return sent


def prompt_of(body: bytes) -> Prompt:
    return CODEC.read_prompt(read(body))


def written(prompt: Prompt, to: Deployment = SONNET_46) -> tuple[dict[str, Any], Sequence[str]]:
    """Return the body, checked by the SDK's types but for sampling, and what was dropped."""
    made = CODEC.write_prompt(prompt, step(to))
    body = json.loads(made.body)
    check(CREATED, {name: body[name] for name in body if name not in SAMPLING})
    return body, made.dropped


def check(shape: TypeAdapter[Any], body: object) -> None:
    """Validate a body with the SDK's types, whose lists are checked only when walked through."""
    walk(shape.validate_python(body))


def test_the_sdks_types_are_checked_to_the_last_block():
    sound = {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "x"}]}
    check(CREATED, ASK | {"messages": [{"role": "user", "content": [sound]}]})
    bad = sound | {"content": [{"type": "text"}]}
    with pytest.raises(ValidationError):
        check(CREATED, ASK | {"messages": [{"role": "user", "content": [bad]}]})


def walk(value: object) -> None:
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for inner in value:
            walk(inner)


# Reading.


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"model":"a","messages":[{"role":"user","content":"\xff"}]}', "not JSON"),
        (b'{"model":"a","messages":' + b"[" * 100_000, "JSON|fit"),
        (b"[]", "object"),
        (b"{}", "messages"),
        (ask(model=None), r"\$\.model"),
        (ask(model="m" * 257), "model has 257"),
        (ask(messages="Hi"), r"\$\.messages"),
        (ask(messages=[]), "messages is empty"),
        (ask(messages=[{"role": "user", "content": "x"}] * 4_097), "messages has 4097"),
        (ask(messages=[{"role": "user"}]), r"content.*\$\.messages\[0\]"),
        (ask(messages=[{"role": "user", "content": None}]), r"\$\.messages\[0\]\.content"),
        (said({"type": "text", "text": 7}), r"\$\.messages\[0\]\.content\[0\]\.text"),
        (ask(system={}), r"\$\.system"),
        (ask(tools={}), r"\$\.tools"),
        (ask(tools=[{}] * 257), "tools has 257"),
        (ask(tools=["web_search"]), "fit"),
        (ask(max_tokens=-1), "max_tokens is -1"),
        (ask(max_tokens=1.5), r"max_tokens is 1\.5"),
        (ask(max_tokens="9"), r"\$\.max_tokens"),
        (ask(stream=1), r"\$\.stream"),
        (ask(output_config=[]), r"\$\.output_config"),
    ],
    ids=lambda value: repr(value[-60:]) if isinstance(value, bytes) else value,
)  # fmt: skip
def test_a_bad_body_is_refused_with_the_field_at_fault(body, names):
    with pytest.raises(RequestError, match=names) as caught:
        read(body)
    assert caught.value.http_status == 400
    told = json.loads(CODEC.error_body(caught.value, "id"))
    assert told["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("version", [NEW, UNKNOWN])
@pytest.mark.parametrize(
    ("body", "param"),
    [
        (ask(temperature=1.0), "temperature"),
        (ask(temperature=None), "temperature"),
        (ask(top_p=0.5), "top_p"),
        (ask(top_k=0), "top_k"),
        (said({"type": "document"}, role="assistant"), "messages[0].content[0]"),
        (said({"type": "text", "text": "x"}, {"type": "text", "text": "y", "citations": [{}]}),
         "messages[0].content[1].citations"),
    ],
)  # fmt: skip
def test_the_newest_version_refuses_what_the_older_takes(version, body, param):
    with pytest.raises(RequestError) as caught:
        read(body, version)
    assert caught.value.param == param and param in caught.value.message
    assert caught.value.http_status == 400
    for lenient in (OLD, "2023-01-01", ""):
        assert read(body, lenient).body == body


@pytest.mark.parametrize(
    "body",
    [
        ask(),
        said({"type": "document"}),
        said({"type": "text", "text": "x", "citations": []}),
        said({"type": "text", "text": "x", "citations": None}),
        said({"type": "text", "text": "x", "citations": [{}]}, role="assistant"),
    ],
)  # fmt: skip
def test_the_newest_version_takes_all_else(body):
    assert read(body, NEW).body == body


def test_what_routing_needs_is_read_from_an_agents_turn():
    request = read(golden("agent"))
    assert request.model == "claude-sonnet-4-6" and request.max_tokens == 32_000
    assert request.system == "You are an agent.\nWork in /tmp."
    assert request.turns == (
        Turn(role="user", text="<system-reminder>x</system-reminder>\nWhat is in a.txt?"),
        Turn(role="assistant", text="Reading.", tool_call_ids=("toolu_01A", "toolu_01B")),
        Turn(role="user", text="<system-reminder>go on</system-reminder>"),
        Turn(role="tool", text="hello"),
        Turn(role="tool", text="no such file"),
    )
    assert request.needs == {Need.TOOLS, Need.IMAGES}
    assert request.signatures == (SIGNATURE, REDACTED)
    assert request.image_count == 1 and request.file_bytes == 0
    assert request.tools_bytes > 300 and request.is_stream and request.wants_usage
    assert is_tool_loop(request) and last_tool_call_ids(request) == ("toolu_01A", "toolu_01B")
    assert last_user_text(request).startswith("<system-reminder>go on")


def test_what_routing_needs_is_read_from_documents():
    request = read(golden("documents"))
    (turn,) = request.turns
    assert turn.text == "Buy milk.\nOne.\nAn example.\nSum up."
    assert request.needs == {Need.FILES, Need.IMAGES}
    assert request.file_bytes == 9 and request.image_count == 2


@pytest.mark.parametrize(
    ("body", "needs"),
    [
        (ask(), set()),
        (ask(tools=[]), set()),
        (ask(tools=[{"name": "f", "input_schema": {}}]), {Need.TOOLS}),
        (ask(tools=[{"type": "custom", "name": "f"}]), {Need.TOOLS}),
        (ask(tools=[{"type": "web_search_20250305"}]), {Need.TOOLS, Need.HOSTED_TOOLS}),
        (ask(tools=[{"type": "bash_20250124"}]), {Need.TOOLS, Need.HOSTED_TOOLS}),
        (ask(mcp_servers=[{}]), {Need.HOSTED_TOOLS}),
        (ask(mcp_servers=[], container=None), set()),
        (ask(container="c_1"), {Need.HOSTED_TOOLS}),
        (ask(thread={"type": "create"}), {Need.HOSTED_TOOLS}),
        (said({"type": "server_tool_use", "id": "s"}), {Need.HOSTED_TOOLS}),
        (said({"type": "web_search_tool_result", "content": {"type": "e"}}), {Need.HOSTED_TOOLS}),
        (said({"type": "container_upload"}), {Need.HOSTED_TOOLS, Need.STORED_FILES}),
        (said({"type": "image", "source": {"type": "file"}}), {Need.IMAGES, Need.STORED_FILES}),
        (said({"type": "document", "source": {"type": "file"}}), {Need.FILES, Need.STORED_FILES}),
        (said({"type": "document", "source": {"type": "text", "data": "x"}}), set()),
        (said({"type": "tool_result", "content": [{"type": "image"}]}), {Need.IMAGES}),
        (ask(output_config={"effort": "low"}), set()),
        (ask(output_config={"format": {"type": "json_schema", "schema": {}}}), {Need.JSON_SCHEMA}),
        (ask(output_format={"type": "json_schema", "schema": {}}), {Need.JSON_SCHEMA}),
    ],
)
def test_needs_are_told(body, needs):
    assert read(body).needs == needs


def test_the_answers_schema_is_read():
    request = read(ask(output_config={"format": {"type": "json_schema", "schema": {"a": 1}}}))
    assert request.response_format == ResponseFormat(schema=b'{"a": 1}')


def test_thinking_without_a_signature_is_told_too_so_that_it_goes():
    body = said({"type": "thinking", "thinking": "hm"}, role="assistant")
    assert read(body).signatures == ("",)


@pytest.mark.parametrize(
    "body",
    [
        *map(golden, BODIES),
        ask(max_tokens=0),
        ask(unknown={"deep": [1, {"x": None}]}, temperature="hot"),
        ask(messages=[{"role": "system", "content": "x"}, {"role": "odd", "content": []}]),
        said({"type": "novelty", "content": {"x": 1}, "source": "https://example.com"}),
        said({}, {"type": "mid_conv_system", "text": None}),
        b'{"messages":[{"role":"user","content":""}],"max_tokens":1,"model":"a","model":"b"}',
    ],
)
def test_what_clients_really_send_is_taken_and_goes_on_whole(body):
    assert sent(body) == json.loads(body) | {"model": "claude-sonnet-4-6"}


# The short road.

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-2, 2) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
READ = {"messages", "model", "system", "tools", "max_tokens", "stream", "output_config",
        "output_format", "mcp_servers"}  # fmt: skip


@given(
    extra=st.dictionaries(TEXTS.filter(lambda name: name not in READ), JSON, max_size=4),
    text=TEXTS,
    order=st.randoms(use_true_random=False),
    separators=st.sampled_from([(",", ":"), (", ", ": "), ("\n,", "\t:")]),
    is_ascii=st.booleans(),
)
def test_every_byte_but_the_models_name_goes_on(extra, text, order, separators, is_ascii):
    members = ASK | extra | {"messages": [{"role": "user", "content": text}]}
    names = list(members)
    order.shuffle(names)

    def bytes_for(model: str) -> bytes:
        own = {name: model if name == "model" else members[name] for name in names}
        return b" " + json.dumps(own, separators=separators, ensure_ascii=is_ascii).encode() + b"\n"

    request = read(bytes_for("auto"))
    assert CODEC.encode_request(request, step(OPUS_48, 7)) == Written(bytes_for(OPUS_48.model))


@given(name=st.sampled_from(sorted(READ)), value=JSON)
def test_a_field_of_any_type_is_read_or_refused_and_nothing_else(name, value):
    body = ask(**{name: value})
    for version in (OLD, NEW):
        try:
            request = read(body, version)
        except RequestError:
            continue
        for to in (OPUS_48, SONNET_45):
            sent = CODEC.encode_request(request, step(to)).body
            assert json.loads(sent)["model"] == to.model
        CODEC.shape(request)


@given(block=JSON, role=st.sampled_from(["user", "assistant", "system"]))
def test_a_block_is_read_or_refused_and_nothing_else(block, role):
    kinds = ["text", "image", "document", "tool_use", "tool_result", "thinking", "search_result"]
    for kind in kinds if isinstance(block, dict) else [""]:
        made = block | {"type": kind} if kind else block
        try:
            request = read(ask(messages=[{"role": role, "content": [made]}]))
            prompt = CODEC.read_prompt(request)
            CODEC.write_prompt(prompt, step(SONNET_46))
        except RequestError:
            continue


@pytest.mark.parametrize(
    ("asked", "to", "tier_max", "expected"),
    [
        ({"max_tokens": 64}, SONNET_46, 7, 64),
        ({"max_tokens": 64.0}, SONNET_46, 7, 64),
        ({"max_tokens": 0}, SONNET_46, 7, 0),
        ({"max_tokens": None}, SONNET_46, 7, 7),
        ({"max_tokens": None}, served("claude-sonnet-4-6", max_output_tokens=99), None, 99),
        ({"max_tokens": None}, SONNET_46, None, 4_096),
    ],
)
def test_there_is_always_a_bound_and_the_clients_is_kept(asked, to, tier_max, expected):
    assert sent(ask(**asked), to, tier_max)["max_tokens"] == expected


@pytest.mark.parametrize(
    ("to", "effort", "asked", "expected"),
    [
        (OPUS_48, "high", {},
         {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        (OPUS_48, "low", {"output_config": {"effort": "max", "format": None}},
         {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low", "format": None}}),
        (OPUS_48, "high", {"thinking": {"type": "enabled", "budget_tokens": 2000}},
         {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        (SONNET_45, "low", {"thinking": {"type": "disabled"}},
         {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        (OPUS_48, "none", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
         {"thinking": {"type": "disabled"}, "output_config": {"effort": None}}),
    ],
)  # fmt: skip
def test_an_effort_of_the_deployment_is_said_in_the_models_own_way(to, effort, asked, expected):
    to = msgspec.structs.replace(to, params={"reasoning_effort": effort, "x": {"y": [1]}})
    body = ask(max_tokens=30_000, **asked)
    assert sent(body, to) == json.loads(body) | {"model": to.model, "x": {"y": [1]}} | expected


def test_the_shape_leaves_out_what_does_not_shape_the_answer():
    plain = CODEC.shape(read(ask()))
    assert plain == {"max_tokens": 64, "messages": ASK["messages"]}
    other = ask(model="x", stream=True, metadata={"user_id": "u"}, service_tier="auto")
    assert CODEC.shape(read(other)) == plain
    assert CODEC.shape(read(ask(), NEW)) == plain
    with_beta = CODEC.decode_request(ask(), speaking(beta="b, a"))
    assert CODEC.shape(with_beta) == {**plain, "anthropic-beta": ["a", "b"]}


@pytest.mark.parametrize(
    "members",
    [
        {"tools": [{"type": "web_search_20250305"}]},
        {"container": "c"},
        {"messages": [{"role": "user", "content": [
            {"type": "document", "source": {"type": "text", "data": "x"}, "citations": {}}]}]},
    ],
)  # fmt: skip
def test_answers_that_only_frames_carry_are_kept_per_way_of_asking(members):
    streamed, whole = (CODEC.shape(read(ask(stream=way, **members))) for way in (True, False))
    assert streamed != whole


def test_counting_sends_what_its_route_takes_and_nothing_else():
    body = CODEC.count_request(golden("agent"))
    counted = json.loads(body)
    check(COUNTED, counted)
    assert set(counted) == {
        "model", "system", "tools", "tool_choice", "thinking", "output_config", "messages",
        "context_management",
    }  # fmt: skip
    assert counted == {name: json.loads(golden("agent"))[name] for name in counted}
    assert CODEC.count_path("x") == "/messages/count_tokens"
    assert CODEC.path("x", is_stream=True) == "/messages"


def test_a_count_is_read():
    assert CODEC.read_count(b'{"input_tokens":14,"context_management":null}') == 14
    for broken in (b"", b"{}", b'{"input_tokens":"14"}', b"[]"):
        with pytest.raises(UpstreamBadResponse):
            CODEC.read_count(broken)


# Versions towards an upstream.


@pytest.mark.parametrize("version", [OLD, NEW, UNKNOWN])
def test_a_client_of_this_dialect_keeps_its_version_and_betas(version):
    caller = Caller(
        headers=(
            ("anthropic-version", version),
            ("anthropic-beta", "one,two"),
            ("anthropic-beta", "three"),
        )
    )
    request = CODEC.decode_request(ask(), caller)
    told = CODEC.headers(request, step(OPUS_48))
    assert told == {"anthropic-version": version, "anthropic-beta": "one,two,three"}


def test_a_client_without_a_version_gets_the_first():
    request = CODEC.decode_request(ask(), Caller())
    assert CODEC.headers(request, step(OPUS_48)) == {"anthropic-version": OLD}


@pytest.mark.parametrize(
    ("to", "version"),
    [
        (SONNET_45, OLD),
        (SONNET_46, OLD),
        (LLAMA, OLD),
        (OPUS_48, NEW),
        (FABLE, NEW),
        (served("claude-opus-4-8", sampling=True), OLD),
        (served("claude-sonnet-4-5", sampling=False), NEW),
        (msgspec.structs.replace(SONNET_45, headers={"Anthropic-Version": NEW}), NEW),
    ],
)
def test_another_dialects_client_is_translated_for_the_version_that_the_model_takes(to, version):
    chat = CODECS["openai-chat"]
    request = chat.decode_request(b'{"model":"auto","messages":[{"role":"user"}]}', Caller())
    assert CODEC.headers(request, step(to)) == {"anthropic-version": version}
    body, dropped = written(asking(sampling=Sampling(temperature=0.5, top_k=3)), to)
    assert SAMPLING & set(body) == ({"temperature", "top_k"} if version == OLD else set())
    assert dropped == (() if version == OLD else ("temperature", "top_k"))


# Refitting a history.

RULE = CallIds(chars_max=9, pattern="[a-zA-Z0-9]+", chars_exact=True)


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("kept", [(), (SIGNATURE,), (SIGNATURE, REDACTED)])
def test_a_refitted_body_reads_as_the_refitted_prompt(name, kept):
    body = golden(name)
    refitted = CODEC.refit_body(
        body, keeps=kept.__contains__, call_id=lambda made: valid_call_id(made, RULE)
    )
    assert prompt_of(refitted) == refit(prompt_of(body), kept.__contains__, RULE)


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    signatures, ids = st.sampled_from(["", "own", "other"]), st.sampled_from(["a", "b-1", "c" * 70])
    kinds: list[dict[str, Any]] = [
        {"type": st.just("text"), "text": TEXTS},
        {"type": st.just("thinking"), "thinking": TEXTS, "signature": signatures},
        {"type": st.just("redacted_thinking"), "data": signatures},
        {
            "type": st.just("tool_use"),
            "id": ids,
            "name": st.just("f"),
            "input": st.just({"a": 1.0}),
        },
        {"type": st.just("tool_result"), "tool_use_id": ids, "content": TEXTS},
    ]
    block = st.one_of(*map(st.fixed_dictionaries, kinds))
    message = st.fixed_dictionaries(
        {
            "role": st.sampled_from(["user", "assistant"]),
            "content": TEXTS | st.lists(block, max_size=4),
        }
    )
    return draw(st.lists(message, min_size=1, max_size=5))


@given(messages=histories(), space=st.sampled_from([None, 1]))
def test_a_refitted_history_is_the_same_on_both_roads(messages, space):
    body = json.dumps(ASK | {"messages": messages, "x": 1e3}, indent=space).encode()
    keeps = {"own"}.__contains__
    refitted = CODEC.refit_body(body, keeps=keeps, call_id=lambda made: valid_call_id(made, RULE))
    assert prompt_of_any(refitted) == refit(prompt_of_any(body), keeps, RULE)
    again = CODEC.refit_body(refitted, keeps=keeps, call_id=lambda made: valid_call_id(made, RULE))
    assert again == refitted
    assert {**json.loads(refitted), "messages": []} == {**json.loads(body), "messages": []}


def prompt_of_any(body: bytes) -> Prompt:
    """Return the prompt of a body that may have no message left."""
    return CODEC.read_prompt(Request(dialect="anthropic", body=body, model="auto"))


def test_what_needs_no_refitting_keeps_every_byte():
    body = golden("agent")
    assert CODEC.refit_body(body, keeps=lambda _: True, call_id=str) == body
    kept = CODEC.refit_body(body, keeps=lambda _: False, call_id=str)
    assert b'"limit": 1.0' in kept and b"signature" not in kept and REDACTED.encode() not in kept


@pytest.mark.parametrize("made", [7, {}, [], True, 1.5])
def test_a_foreign_history_with_an_odd_id_is_refused(made):
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "other"}
    result = {"type": "tool_result", "tool_use_id": made}
    messages = [{"role": "assistant", "content": [thinking, result]}]
    body = json.dumps(ASK | {"messages": messages}).encode()
    with pytest.raises(RequestError, match="tool_use_id"):
        CODEC.refit_body(body, keeps=lambda _: False, call_id=str)


# Reading for another dialect.


def test_an_agents_turn_is_read_whole():
    mark, hour = CacheMark(), CacheMark("1h")
    prompt = prompt_of(golden("agent"))
    system, first, answer, results = prompt.messages
    assert system == Message(
        "system",
        (Text(text="You are an agent.", mark=hour), Text(text="Work in /tmp.", mark=mark)),
    )
    assert [type(part) for part in first.parts] == [Text, Text]
    assert answer == Message(
        "assistant",
        (
            Thinking(text="I read it.", signature=SIGNATURE),
            Thinking(signature=REDACTED, is_redacted=True),
            Text(text="Reading."),
            Call(id="toolu_01A", name="Read", arguments='{"path":"a.txt","limit":1.0}'),
            Call(id="toolu_01B", name="Bash", arguments='{"command":"ls"}'),
        ),
    )
    image = Media(kind="image", media_type="image/png", data="iVBORw0KGgo=")
    assert results == Message(
        "user",
        (
            Result(call_id="toolu_01A", parts=(Text(text="hello"),)),
            Result(
                call_id="toolu_01B", parts=(Text(text="no such file"), image), is_error=True
            ),
            Text(text="<system-reminder>go on</system-reminder>", mark=mark),
        ),
    )  # fmt: skip
    assert [(tool.name, tool.is_strict, tool.mark) for tool in prompt.tools] == [
        ("Read", None, None),
        ("Bash", True, mark),
    ]
    assert prompt.tool_choice == ToolChoice(mode="auto", is_parallel=False)
    assert prompt.reasoning == Reasoning(effort="high", is_adaptive=True, is_shown=True)
    assert (prompt.user, prompt.max_tokens, prompt.is_stream) == ("user_1", 32_000, True)
    assert prompt.unread == ("context_management",) and prompt.refused == ()


def test_documents_are_read_as_files_or_as_the_words_they_are():
    prompt = prompt_of(golden("documents"))
    (message,) = prompt.messages
    assert message.parts == (
        Text(text="Last year's."),
        Media(
            kind="file",
            media_type="application/pdf",
            data="JVBERi0xLjQK",
            name="Report",
            mark=CacheMark(),
        ),
        Text(text="Notes"),
        Text(text="Buy milk."),
        Text(text="One."),
        Media(kind="image", url="https://example.com/a.png"),
        Media(kind="file", media_type="application/pdf", url="https://example.com/a.pdf"),
        Text(text="Example\nhttps://example.com\nAn example."),
        Media(kind="image", media_type="image/jpeg", data="/9j/4AAQ"),
        Text(text="Sum up."),
    )
    assert prompt.sampling == Sampling(temperature=0.2, top_p=0.9, top_k=5, stop=("END",))
    assert prompt.unread == ("messages[].content[].citations",)


def test_schema_budget_and_the_bodys_own_mark_are_read():
    prompt = prompt_of(golden("schema"))
    assert prompt.shape is not None and prompt.shape.is_strict and prompt.shape.schema is not None
    assert json.loads(prompt.shape.schema)["required"] == ["a"]
    assert prompt.reasoning == Reasoning(budget_tokens=2048)
    assert prompt.service_tier == "default"
    assert prompt.messages[-1] == Message(
        "system", (Text(text="Be brief.", mark=CacheMark()),)
    )  # fmt: skip
    assert prompt.unread == ()


@pytest.mark.parametrize(
    ("members", "reasoning"),
    [
        ({"thinking": {"type": "disabled"}}, Reasoning(budget_tokens=0)),
        ({"thinking": {"type": "adaptive", "display": "omitted"}},
         Reasoning(is_adaptive=True, is_shown=False)),
        ({"output_config": {"effort": "xhigh"}}, Reasoning(effort="xhigh")),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
         Reasoning(is_adaptive=True, effort="low")),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}},
         Reasoning(budget_tokens=0)),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": None}},
         Reasoning(budget_tokens=0)),
        ({}, Reasoning()),
    ],
)  # fmt: skip
def test_how_much_to_think_is_read(members, reasoning):
    assert prompt_of(ask(**members)).reasoning == reasoning


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, ToolChoice(mode="auto")),
        ({"type": "any", "disable_parallel_tool_use": False},
         ToolChoice(mode="required", is_parallel=True)),
        ({"type": "tool", "name": "f", "disable_parallel_tool_use": True},
         ToolChoice(mode="named", name="f", is_parallel=False)),
        ({"type": "none"}, ToolChoice(mode="none")),
    ],
)  # fmt: skip
def test_the_choice_of_tools_is_read(choice, expected):
    assert prompt_of(ask(tool_choice=choice)).tool_choice == expected


@pytest.mark.parametrize(
    ("members", "unread"),
    [
        ({"speed": "fast"}, "speed"),
        ({"metadata": {"user_id": "u", "team": "t"}}, "metadata.team"),
        ({"output_config": {"task_budget": {"total": 1}}}, "output_config.task_budget"),
        ({"diagnostics": {"previous_message_id": "m"}}, "diagnostics"),
        ({"fallbacks": "default"}, "fallbacks"),
        ({"novelty": 1}, "novelty"),
        ({"thinking": {"type": "between_tools"}}, "thinking.type"),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}},
         "output_config.effort"),
        ({"tools": [{"name": "f", "input_schema": {}, "defer_loading": True}]},
         "tools[].defer_loading"),
        ({"tools": [{"name": "f", "input_schema": {}, "input_examples": [{}]}]},
         "tools[].input_examples"),
        ({"messages": [{"role": "user", "content": "x", "name": "n"}]}, "messages[].name"),
        ({"messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "url", "url": "u"},
             "transformations": {"oversized_image": "error"}}]}]},
         "messages[].content[].transformations"),
    ],
)  # fmt: skip
def test_what_has_no_place_elsewhere_is_named(members, unread):
    prompt = prompt_of(ask(**members))
    assert prompt.unread == (unread,) and prompt.refused == ()
    assert unread in written(prompt)[1]


@pytest.mark.parametrize(
    "members",
    [
        {"speed": "standard"},
        {"service_tier": "auto"},
        {"container": None, "mcp_servers": [], "metadata": {}},
        {"tools": [{"name": "f", "input_schema": {}, "defer_loading": False,
                    "allowed_callers": ["direct"], "eager_input_streaming": None}]},
        {"messages": [{"role": "assistant", "content": [
            {"type": "tool_use", "id": "a", "name": "f", "input": {},
             "caller": {"type": "direct"}}]}]},
    ],
)  # fmt: skip
def test_what_says_nothing_is_not_named(members):
    prompt = prompt_of(ask(**members))
    assert prompt.unread == () and prompt.refused == ()


@pytest.mark.parametrize(
    ("members", "refused"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"container": "c"}, "container"),
        ({"mcp_servers": [{"url": "u"}]}, "mcp_servers"),
        ({"inference_geo": "us"}, "inference_geo"),
        ({"thread": {"type": "create"}}, "thread"),
        ({"compaction": {"type": "x"}}, "compaction"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0]"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0]"),
        *(
            ({"messages": [{"role": "user", "content": [block]}]}, f"messages[0].content[0]{path}")
            for block, path in (
                ({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}, ""),
                ({"type": "web_search_tool_result", "tool_use_id": "s", "content": []}, ""),
                ({"type": "mcp_tool_use", "id": "m"}, ""),
                ({"type": "container_upload", "file_id": "f"}, ""),
                ({"type": "novelty"}, ""),
                ({"type": "image", "source": {"type": "file", "file_id": "f"}}, ".source.file_id"),
                ({"type": "document", "source": {"type": "file", "file_id": "f"}},
                 ".source.file_id"),
                ({"type": "tool_result", "tool_use_id": "t",
                  "content": [{"type": "tool_reference", "tool_name": "x"}]}, ".content[0]"),
            )
        ),
    ],
)  # fmt: skip
def test_what_may_not_be_dropped_is_refused_with_its_reason(members, refused):
    prompt = prompt_of(ask(**members))
    ((path, reason),) = prompt.refused
    assert path == refused and len(reason) > 20
    for codec in (CODECS["openai-chat"], CODEC):
        with pytest.raises(RequestError) as caught:
            codec.write_prompt(prompt, step(SONNET_46))
        assert caught.value.param == refused and reason in caught.value.message


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"temperature": "hot"}, "temperature"),
        ({"tool_choice": {"type": "odd"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"messages": [{"role": "odd", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
         "messages[0].content[0].source"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format"),
    ],
)  # fmt: skip
def test_a_field_of_the_wrong_kind_is_named(members, param):
    with pytest.raises(RequestError) as caught:
        prompt_of(ask(**members))
    assert caught.value.param == param


# Writing from another dialect.


@pytest.mark.parametrize("name", [name for name in BODIES if name != "documents"])
def test_what_this_codec_reads_it_writes_again(name):
    prompt = prompt_of(golden(name))
    body, _ = written(prompt)
    again = prompt_of(json.dumps(body).encode())
    if name == "schema":  # its last system message is the user's now
        assert body["messages"][-1]["content"][-1]["text"] == "<system>\nBe brief.\n</system>"
    else:
        assert again == msgspec.structs.replace(prompt, unread=())


def test_documents_are_written_again():
    body, dropped = written(prompt_of(golden("documents")))
    kinds = [block["type"] for block in body["messages"][0]["content"]]
    assert kinds == [
        "text",
        "document",
        *["text"] * 3,
        "image",
        "document",
        "text",
        "image",
        "text",
    ]
    assert body["temperature"] == 0.2 and body["top_k"] == 5
    assert dropped == ("messages[].content[].citations", "top_p")


@pytest.mark.parametrize(
    ("messages", "system", "expected"),
    [
        (
            [("system", "A"), ("system", "B"), ("user", "x")],
            ["A", "B"],
            [("user", ["x"])],
        ),
        ([("system", "A")], None, [("user", ["A"])]),
        (
            [("user", "x"), ("user", "y"), ("assistant", "z"), ("assistant", " "), ("user", "w")],
            None,
            [("user", ["x", "y"]), ("assistant", ["z"]), ("user", ["w"])],
        ),
        (
            [("user", "x"), ("assistant", "z"), ("system", "S"), ("user", "y")],
            None,
            [("user", ["x"]), ("assistant", ["z"]), ("user", ["<system>\nS\n</system>", "y"])],
        ),
        (
            [("assistant", "z \n")],
            None,
            [("user", ["(The assistant opens the conversation.)"]), ("assistant", ["z"])],
        ),
    ],
)
def test_messages_take_turns_and_say_something(messages, system, expected):
    said = tuple(Message(role, (Text(text=text),)) for role, text in messages)
    body, dropped = written(Prompt(messages=said))
    assert [block["text"] for block in body.get("system", [])] == (system or [])
    assert [
        (message["role"], [block["text"] for block in message["content"]])
        for message in body["messages"]
    ] == expected
    assert dropped == (("system_role",) if "<system>" in str(expected) else ())


def test_a_prompt_that_says_nothing_is_refused():
    with pytest.raises(RequestError, match="say nothing"):
        CODEC.write_prompt(asking(Text(text=" \n")), step(SONNET_46))


def test_results_come_first_in_the_message_after_their_calls():
    prompt = Prompt(
        messages=(
            Message("user", (Text(text="x"),)),
            Message("assistant", (Call(id="a", name="f", arguments=""),)),
            Message("system", (Text(text="S"),)),
            Message("user", (Result(call_id="a", parts=(Text(text="1"), Text(text=""))),)),
            Message("user", (Text(text="y"), Result(call_id="b"))),
        )
    )
    body, _ = written(prompt)
    *_, calls, results = body["messages"]
    assert calls["content"] == [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]
    assert results["content"][:2] == [
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "1"}]},
        {"type": "tool_result", "tool_use_id": "b"},
    ]
    assert [block["type"] for block in results["content"][2:]] == ["text", "text"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [("", {}), ("[1]", {"arguments": [1]}), ("ls", {"arguments": "ls"}), ('{"a":1}', {"a": 1})],
)
def test_a_calls_arguments_are_an_object(arguments, expected):
    made = Message("assistant", (Call(id="a", name="f", arguments=arguments),))
    body, _ = written(Prompt(messages=(Message("user", (Text(text="x"),)), made)))
    assert body["messages"][1]["content"][0]["input"] == expected


def test_only_signed_thinking_goes_back():
    parts = (Thinking(text="a"), Thinking(text="b", signature="s"), Text(text="c"))
    asked = Message("user", (Text(text="x"),))
    body, dropped = written(Prompt(messages=(asked, Message("assistant", parts))))
    kinds = [block["type"] for block in body["messages"][1]["content"]]
    assert kinds == ["thinking", "text"] and dropped == ()


@pytest.mark.parametrize(
    ("media", "source"),
    [
        (Media(kind="image", data="iVBORw0KGgoAAA"),
         {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgoAAA"}),
        (Media(kind="image", media_type="image/webp", data="x"),
         {"type": "base64", "media_type": "image/webp", "data": "x"}),
        (Media(kind="image", url="https://a.test/b"), {"type": "url", "url": "https://a.test/b"}),
        (Media(kind="file", data="JVBERi0x"),
         {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x"}),
        (Media(kind="file", media_type="text/csv;charset=utf-8", data="w6Q="),
         {"type": "text", "media_type": "text/plain", "data": "ä"}),
        (Media(kind="file", url="https://a.test/b.pdf"),
         {"type": "url", "url": "https://a.test/b.pdf"}),
    ],
)  # fmt: skip
def test_media_are_written_with_their_source(media, source):
    named = msgspec.structs.replace(media, name="n" if media.kind == "file" else "")
    (block,) = written(asking(named))[0]["messages"][0]["content"]
    assert block["source"] == source
    assert block.get("title") == (named.name or None)


@pytest.mark.parametrize(
    "media",
    [
        Media(kind="audio", media_type="audio/wav", data="x"),
        Media(kind="image", file_id="file-1"),
        Media(kind="image", media_type="image/tiff", data="x"),
        Media(kind="image", data="?"),
        Media(kind="file", media_type="application/zip", data="x"),
        Media(kind="file", media_type="text/plain", url="https://a.test/b.txt"),
        Media(kind="file", media_type="text/plain", data="/w=="),
        Media(kind="file", media_type="text/plain", data="?"),
    ],
)
def test_media_that_it_cannot_say_are_refused(media):
    with pytest.raises(RequestError) as caught:
        CODEC.write_prompt(asking(media), step(SONNET_46))
    assert caught.value.param == "messages"


def test_an_images_detail_is_named_and_an_assistants_image_refused():
    seen = Media(kind="image", url="https://a.test/b", detail="low")
    assert written(asking(seen))[1] == ("image_detail",)
    with pytest.raises(RequestError, match="assistant"):
        CODEC.write_prompt(
            Prompt(messages=(Message("assistant", (seen,)),)), step(SONNET_46)
        )  # fmt: skip


def test_tools_are_written():
    tools = (
        Tool(name="f", description="F.", schema=b'{"type":"object","properties":{}}'),
        Tool(name="g", schema=b"{}", is_strict=True, mark=CacheMark("1h")),
        Tool(name="h", schema=b"null", is_strict=False),
    )
    body, dropped = written(asking(tools=tools))
    empty = {"type": "object", "properties": {}}
    assert body["tools"] == [
        {"name": "f", "description": "F.", "input_schema": empty},
        {"name": "g", "input_schema": {"type": "object"}, "strict": True,
         "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"name": "h", "input_schema": empty},
    ]  # fmt: skip
    assert dropped == ()
    loose, dropped = written(asking(tools=tools), served("claude-sonnet-4", json_schema=False))
    assert "strict" not in loose["tools"][1] and dropped == ("tools.strict",)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ToolChoice(), None),
        (ToolChoice(is_parallel=True), None),
        (ToolChoice(is_parallel=False), {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice(mode="auto"), {"type": "auto"}),
        (ToolChoice(mode="none", is_parallel=False), {"type": "none"}),
        (ToolChoice(mode="required"), {"type": "any"}),
        (ToolChoice(mode="named", name="f", is_parallel=False),
         {"type": "tool", "name": "f", "disable_parallel_tool_use": True}),
    ],
)  # fmt: skip
def test_the_choice_of_tools_is_written(choice, expected):
    assert written(asking(tools=(Tool(name="f"),), tool_choice=choice))[0].get("tool_choice") == (
        expected
    )
    if choice.mode in ("required", "named"):
        with pytest.raises(RequestError) as caught:
            CODEC.write_prompt(asking(tool_choice=choice), step(SONNET_46))
        assert caught.value.param == "tool_choice"
    else:
        assert "tool_choice" not in written(asking(tool_choice=choice))[0]


@pytest.mark.parametrize(
    ("to", "reasoning", "thinking", "effort", "dropped"),
    [
        (SONNET_46, Reasoning(), None, None, ()),
        (SONNET_46, Reasoning(effort="low"), {"type": "adaptive"}, "low", ()),
        (SONNET_46, Reasoning(effort="minimal"), {"type": "adaptive"}, "low", ()),
        (SONNET_46, Reasoning(effort="xhigh"), {"type": "adaptive"}, "high", ()),
        (OPUS_48, Reasoning(effort="xhigh"), {"type": "adaptive"}, "xhigh", ()),
        (OPUS_48, Reasoning(effort="max", is_shown=False),
         {"type": "adaptive", "display": "omitted"}, "max", ()),
        (OPUS_48, Reasoning(effort="high", summary="auto"),
         {"type": "adaptive", "display": "summarized"}, "high", ()),
        (OPUS_48, Reasoning(effort="high", summary="concise"),
         {"type": "adaptive", "display": "summarized"}, "high", ("reasoning_summary",)),
        (OPUS_48, Reasoning(is_adaptive=True), {"type": "adaptive"}, None, ()),
        (OPUS_48, Reasoning(budget_tokens=9_000), {"type": "adaptive"}, "medium",
         ("reasoning_budget",)),
        (SONNET_46, Reasoning(budget_tokens=9_000),
         {"type": "enabled", "budget_tokens": 9_000}, None, ()),
        (SONNET_45, Reasoning(budget_tokens=99_000),
         {"type": "enabled", "budget_tokens": 31_999}, None, ()),
        (SONNET_45, Reasoning(budget_tokens=500), None, None, ("reasoning_budget",)),
        (SONNET_45, Reasoning(effort="medium", is_shown=True),
         {"type": "enabled", "budget_tokens": 8_192}, None, ()),
        (SONNET_45, Reasoning(effort="medium", is_shown=False),
         {"type": "enabled", "budget_tokens": 8_192}, None, ("reasoning_shown",)),
        (LLAMA, Reasoning(effort="low"), {"type": "enabled", "budget_tokens": 1_024}, None, ()),
        (served("claude-3-5-haiku-20241022"), Reasoning(effort="low"), None, None,
         ("reasoning_effort",)),
        (served("claude-opus-4-8", reasoning=False), Reasoning(effort="low", summary="auto"), None,
         None, ("reasoning_effort", "reasoning_summary")),
        (OPUS_48, Reasoning(effort="none"), {"type": "disabled"}, None, ()),
        (OPUS_48, Reasoning(budget_tokens=0), {"type": "disabled"}, None, ()),
        (served("x", reasoning=False), Reasoning(effort="none"), None, None, ()),
        (FABLE, Reasoning(effort="none"), None, None, ("reasoning_effort",)),
        (OPUS_48, Reasoning(is_shown=True, summary="auto"), None, None,
         ("reasoning_shown", "reasoning_summary")),
    ],
)  # fmt: skip
def test_reasoning_is_asked_for_as_the_model_takes_it(to, reasoning, thinking, effort, dropped):
    body, told = written(asking(reasoning=reasoning, max_tokens=32_000), to)
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == effort
    assert told == dropped


def test_a_budget_needs_room_and_a_free_choice():
    asked = asking(reasoning=Reasoning(effort="low"), max_tokens=1_024)
    assert written(asked, SONNET_45)[1] == ("reasoning_effort",)
    forced = asking(
        reasoning=Reasoning(effort="low"),
        max_tokens=9_000,
        tools=(Tool(name="f"),),
        tool_choice=ToolChoice(mode="required"),
    )
    body, dropped = written(forced, SONNET_45)
    assert "thinking" not in body and dropped == ("reasoning_effort",)
    body, dropped = written(forced, OPUS_48)
    assert body["thinking"] == {"type": "adaptive"} and dropped == ()


@pytest.mark.parametrize(
    ("sampling", "to", "expected", "dropped"),
    [
        (Sampling(temperature=0.5), SONNET_46, {"temperature": 0.5}, ()),
        (Sampling(temperature=1.5), SONNET_46, {}, ("temperature",)),
        (Sampling(top_p=0.9, top_k=4), SONNET_46, {"top_p": 0.9, "top_k": 4}, ()),
        (Sampling(temperature=0.5, top_p=0.9), SONNET_46, {"temperature": 0.5}, ("top_p",)),
        (Sampling(temperature=0.5, top_p=0.9), LLAMA, {"temperature": 0.5, "top_p": 0.9}, ()),
        (Sampling(temperature=0.5, top_p=0.9, top_k=1), OPUS_48, {},
         ("temperature", "top_p", "top_k")),
        (Sampling(stop=("a", "b")), OPUS_48, {"stop_sequences": ["a", "b"]}, ()),
        (Sampling(seed=1, frequency_penalty=0.1, presence_penalty=0.1, logit_bias=b"{}"), OPUS_48,
         {}, ("seed", "frequency_penalty", "presence_penalty", "logit_bias")),
        (Sampling(frequency_penalty=0.0, presence_penalty=0.0, choices=1), OPUS_48, {}, ()),
    ],
)  # fmt: skip
def test_sampling_goes_where_it_is_taken(sampling, to, expected, dropped):
    body, told = written(asking(sampling=sampling), to)
    assert {name: body[name] for name in (*SAMPLING, "stop_sequences") if name in body} == expected
    assert told == dropped


def test_a_model_that_is_told_to_think_gets_no_sampling():
    asked = asking(sampling=Sampling(temperature=0.5), reasoning=Reasoning(effort="low"))
    body, dropped = written(asked, SONNET_46)
    assert "temperature" not in body and dropped == ("temperature",)


@pytest.mark.parametrize(
    ("sampling", "param"),
    [
        (Sampling(choices=2), "n"),
        (Sampling(logprobs=0), "logprobs"),
        (Sampling(stop=(" ",)), "stop"),
    ],
)
def test_what_would_give_another_kind_of_answer_is_refused(sampling, param):
    with pytest.raises(RequestError) as caught:
        CODEC.write_prompt(asking(sampling=sampling), step(SONNET_46))
    assert caught.value.param == param


def test_a_schema_is_closed_and_its_name_named():
    inner = {"a": {"type": "object"}, "b": {"type": "object", "additionalProperties": True}}
    schema = json.dumps({"type": "object", "properties": inner}).encode()
    body, dropped = written(asking(shape=Shape(schema=schema, name="n", description="d")))
    form = body["output_config"]["format"]
    assert form["schema"]["additionalProperties"] is False
    assert form["schema"]["properties"] == {
        "a": {"type": "object", "additionalProperties": False},
        "b": {"type": "object", "additionalProperties": True},
    }
    assert dropped == ("response_format.name", "response_format.description")
    body, dropped = written(asking(shape=Shape()))
    assert "output_config" not in body and dropped == ("response_format",)


def test_who_asks_is_written_where_it_has_a_word():
    body, dropped = written(asking(user="u", service_tier="default", verbosity="low"))
    assert body["metadata"] == {"user_id": "u"} and body["service_tier"] == "standard_only"
    assert dropped == ("verbosity",)
    body, dropped = written(asking(user="u" * 257, service_tier="flex"))
    assert "metadata" not in body and "service_tier" not in body
    assert dropped == ("user", "service_tier")


def test_only_the_last_four_cache_marks_go_out():
    mark = CacheMark()
    parts = tuple(Text(text=str(number), mark=mark) for number in range(3))
    prompt = Prompt(
        tools=(Tool(name="f", mark=mark),),
        messages=(
            Message("system", (Text(text="s", mark=mark),)),
            Message("user", parts),
        ),
    )
    body, dropped = written(prompt)
    assert "cache_control" not in body["tools"][0] and dropped == ("cache_control",)
    assert json.dumps(body).count("cache_control") == 4


def test_the_deployments_parameters_come_last():
    to = msgspec.structs.replace(
        OPUS_48, params={"reasoning_effort": "high", "service_tier": "standard_only"}
    )
    body, _ = written(asking(reasoning=Reasoning(effort="low"), service_tier="auto"), to)
    assert body["output_config"] == {"effort": "high"} and body["service_tier"] == "standard_only"
    assert body["model"] == "claude-opus-4-8" and body["max_tokens"] == 4_096
    assert body.get("stream") is None
    assert written(asking(is_stream=True))[0]["stream"] is True


@pytest.mark.parametrize("name", BODIES)
def test_the_golden_bodies_are_the_sdks(name):
    body = json.loads(golden(name))
    own = {name for name in body if name not in SAMPLING}
    check(CREATED, {name: body[name] for name in own})
