import itertools
import json
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest
from google.genai import types as sdk
from hypothesis import given
from hypothesis import strategies as st
from tests.core.wire.prompts import HELLO

from pointsman.core.errors import RequestError, UpstreamBadResponse
from pointsman.core.types import Caller, CallIds, Capability, Deployment, Need, Request, Step, Turn
from pointsman.core.wire.gemini import Gemini
from pointsman.core.wire.gemini.schema import json_schema
from pointsman.core.wire.gemini.signatures import PLACEHOLDER, read_signature, write_signature
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

GOLDEN = Path(__file__).parents[2] / "golden" / "gemini"
GEMINI = Gemini()
NEW, OLD = "gemini-3.5-flash", "gemini-2.5-flash"


def request(body: object, *, is_stream: bool = False) -> Request:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return GEMINI.decode_request(raw, Caller(model="auto", is_stream=is_stream))


def asking(**fields: object) -> dict[str, object]:
    return {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], **fields}


def with_part(part: dict[str, object]) -> dict[str, object]:
    return {"contents": [{"role": "user", "parts": [part]}]}


def step(model: str = NEW, max_tokens: int | None = None, **fields: object) -> Step:
    deployment = Deployment(
        provider="google",
        model=model,
        dialect="gemini",
        base_url="https://gemini.test/v1beta",
        **fields,  # type: ignore[arg-type]
    )
    return Step(tier="fast", deployment=deployment, max_tokens=max_tokens)


def prompt(*messages: Message, **fields: object) -> Prompt:
    return Prompt(messages=messages or (HELLO,), **fields)  # type: ignore[arg-type]


def written(asked: Prompt, to: Step | None = None) -> tuple[dict[str, object], tuple[str, ...]]:
    """Return the body that google-genai's own types take, and what it does not carry."""
    made: Written = GEMINI.write_prompt(asked, to or step())
    body = json.loads(made.body)
    validate(body)
    return body, made.dropped


def validate(body: dict[str, object]) -> None:
    """Read a request with google-genai's types, which forbid what they do not know."""
    left = dict(body)
    left.pop("model", None)
    for content in left.pop("contents"):  # type: ignore[attr-defined]
        sdk.Content.model_validate(content)
    if "systemInstruction" in left:
        sdk.Content.model_validate(left.pop("systemInstruction"))
    for tool in left.pop("tools", ()):  # type: ignore[attr-defined]
        sdk.Tool.model_validate(tool)
    for setting in left.pop("safetySettings", ()):  # type: ignore[attr-defined]
        sdk.SafetySetting.model_validate(setting)
    sdk.ToolConfig.model_validate(left.pop("toolConfig", {}))
    sdk.GenerationConfig.model_validate(left.pop("generationConfig", {}))
    sdk.ServiceTier(left.pop("serviceTier", "standard"))
    assert left == {}


@pytest.mark.parametrize("name", ["agent", "snake_case"])
def test_golden_requests_are_what_the_sdk_knows(name: str):
    body = json.loads(request((GOLDEN / f"{name}.request.json").read_bytes()).body)
    validate(body)


def test_a_request_is_read_for_routing():
    raw = (GOLDEN / "agent.request.json").read_bytes()
    read = GEMINI.decode_request(raw, Caller(model="models/auto", is_stream=True))
    assert read.body == raw
    assert (read.model, read.is_stream, read.max_tokens) == ("auto", True, 800)
    assert read.system == "Be brief.\nSay the source."
    assert [turn.role for turn in read.turns] == [
        "user",
        "assistant",
        "tool",
        "tool",
        "assistant",
        "user",
    ]
    assert read.turns[1] == Turn(
        role="assistant", text="Let me look.", tool_call_ids=("x7k2m9qa", "p3v8n1zd")
    )
    assert "rain" in read.turns[2].text
    assert read.needs == {Need.IMAGES, Need.FILES, Need.AUDIO, Need.TOOLS, Need.JSON_SCHEMA}
    assert (read.image_count, read.file_bytes) == (2, 12 - 3 + 8)
    assert read.tools_bytes > 200
    assert len(read.signatures) == 2
    assert read.response_format is not None
    assert read.response_format.schema is not None


def test_the_text_of_a_message_that_brings_results_stands_before_them():
    parts = [
        {"functionResponse": {"name": "f", "response": {"output": "1"}}},
        {"text": "and now?"},
    ]
    turns = request({"contents": [{"role": "user", "parts": parts}]}).turns
    assert [(turn.role, turn.text) for turn in turns] == [
        ("user", "and now?"),
        ("tool", '{"output": "1"}'),
    ]


HTTPS = {"fileUri": "https://example.com/a.png"}
UPLOADED = {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc"}


@pytest.mark.parametrize(
    ("body", "needs"),
    [
        (asking(), set()),
        (asking(tools=[{"functionDeclarations": [{"name": "f"}]}]), {Need.TOOLS}),
        (asking(tools=[{"googleSearch": {}}]), {Need.HOSTED_TOOLS}),
        (with_part({"executableCode": {"code": "1"}}), {Need.HOSTED_TOOLS}),
        (asking(cachedContent="cachedContents/a"), {Need.STORED_FILES}),
        (with_part({"fileData": HTTPS}), {Need.IMAGES}),
        (with_part({"fileData": UPLOADED}), {Need.STORED_FILES, Need.FILES}),
        (with_part({"fileData": {"file_uri": "gs://b/a.png"}}), {Need.STORED_FILES, Need.IMAGES}),
        (with_part({"inlineData": {"mimeType": "audio/wav", "data": "UklG"}}), {Need.AUDIO}),
        (with_part({"inlineData": {"mime_type": "video/mp4", "data": "AAAA"}}), {Need.FILES}),
        (asking(generationConfig={"responseModalities": ["AUDIO"]}), {Need.AUDIO}),
        (asking(generationConfig={"candidateCount": 2}), {Need.CHOICES}),
        (asking(generationConfig={"candidateCount": 1}), set()),
        (asking(generationConfig={"responseLogprobs": True}), {Need.LOGPROBS}),
        (asking(generationConfig={"responseSchema": {"type": "OBJECT"}}), {Need.JSON_SCHEMA}),
        (asking(generationConfig={"responseSchema": None}), set()),
    ],
)
def test_a_request_tells_what_it_needs(body: object, needs: set[Need]):
    assert request(body).needs == needs


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"{", "not JSON"),
        (b"[]", "does not fit"),
        (b'{"contents":[{"parts":"x"}]}', "$.contents[0].parts"),
        (b'{"contents":[]}', "contents is empty"),
        (asking(generationConfig={"maxOutputTokens": 0}), "maxOutputTokens is 0"),
        (asking(tools=[{"functionDeclarations": {"name": "f"}}]), "does not fit"),
        ({"contents": [{"parts": []}] * 4097}, "4097 entries"),
        (asking(tools=[{"functionDeclarations": [{"name": "f"}] * 257}]), "257 functions"),
    ],
)
def test_a_bad_request_names_the_field(body: object, names: str):
    with pytest.raises(RequestError) as caught:
        request(body)
    assert names in caught.value.message


def test_a_path_without_a_model_is_refused():
    with pytest.raises(RequestError, match="path's model"):
        GEMINI.decode_request(json.dumps(asking()).encode(), Caller())


def test_snake_case_says_the_same_as_camel_case():
    raw = json.loads((GOLDEN / "snake_case.request.json").read_bytes())
    read = request(raw)
    assert read.system == "Be brief."
    assert read.max_tokens == 64
    assert read.needs == {Need.IMAGES, Need.TOOLS, Need.JSON_SCHEMA}
    asked = GEMINI.read_prompt(read)
    call, result = asked.messages[2].parts[0], asked.messages[3].parts[0]
    assert isinstance(call, Call)
    assert isinstance(result, Result)
    assert call.arguments == '{"mime_type":"kept_as_it_is"}'
    assert result.parts == (Text(text='{"file_uri":"also_kept","found":2}'),)
    assert result.call_id == call.id
    assert asked.reasoning == Reasoning(is_adaptive=True)
    assert asked.unread == ()


@pytest.mark.parametrize(
    "config",
    [
        b'{"max_output_tokens":900}',
        b'{"maxOutputTokens":1,"max_output_tokens":900}',
        rb'{"maxOutputTokens":1,"max\u005foutput_tokens":900}',
        rb'{"maxOutputTokens":1,"max\u005Foutput_tokens":900}',
        rb'{"maxOutputTokens":1,"m\u0061x_output_tokens":900}',
    ],
)
def test_no_bound_goes_out_that_was_not_read(config: bytes):
    raw = b'{"contents":[{"parts":[{"text":"hi"}]}],"generationConfig":' + config + b"}"
    read = request(raw)
    sent = json.loads(GEMINI.encode_request(read, step(max_tokens=5)).body)
    assert (read.max_tokens, sent["generationConfig"]) == (900, {"maxOutputTokens": 900})


def test_names_inside_arguments_and_schemas_do_not_change_a_body():
    call = {"functionCall": {"name": "f", "args": {"top_p": 1, "inline_data": 2}}}
    snake = request({"contents": [{"role": "model", "parts": [call]}], "system_instruction": {}})
    assert json.loads(snake.body)["contents"][0]["parts"] == [call]


@pytest.mark.parametrize("model", ["gemini-3.5-flash", "tuned models/ä:b"])
@pytest.mark.parametrize("is_stream", [True, False])
def test_the_path_says_model_and_way(model: str, is_stream: bool):
    path = GEMINI.path(model, is_stream=is_stream)
    assert path.endswith(":streamGenerateContent?alt=sse" if is_stream else ":generateContent")
    assert path.isascii()
    assert path.count("/") == 2
    assert GEMINI.count_path(model) == path.partition(":")[0] + ":countTokens"


def test_a_body_goes_on_byte_for_byte_but_for_the_model():
    raw = (GOLDEN / "agent.request.json").read_bytes()
    sent = GEMINI.encode_request(request(raw), step(max_tokens=5)).body
    assert sent.replace(b',"model":"models/gemini-3.5-flash"', b"") == raw
    again = GEMINI.encode_request(request(sent), step("gemini-3.1-pro")).body
    assert again == sent.replace(b"gemini-3.5-flash", b"gemini-3.1-pro")


def test_a_bound_and_parameters_are_set_and_the_rest_stays():
    body = asking(
        generationConfig={
            "topK": 3,
            "thinkingConfig": {"thinkingBudget": 9, "includeThoughts": True},
        },
        somethingNew={"a": 1},
    )
    to = step(
        max_tokens=77, params={"reasoning_effort": "low", "generationConfig": {"temperature": 0}}
    )
    sent = json.loads(GEMINI.encode_request(request(body), to).body)
    assert sent["generationConfig"] == {
        "topK": 3,
        "maxOutputTokens": 77,
        "temperature": 0,
        "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "LOW"},
    }
    assert sent["somethingNew"] == {"a": 1}


def test_counting_wraps_a_body_that_names_its_model():
    body = GEMINI.encode_request(request(asking()), step()).body
    counted = json.loads(GEMINI.count_request(body))
    assert counted == {"generateContentRequest": json.loads(body)}
    assert counted["generateContentRequest"]["model"] == "models/gemini-3.5-flash"
    assert GEMINI.read_count(b'{"totalTokens": 31, "promptTokensDetails": []}') == 31
    with pytest.raises(UpstreamBadResponse):
        GEMINI.read_count(b'{"tokens": 31}')


def test_the_shape_tells_apart_what_events_do_not_carry():
    plain = [GEMINI.shape(request(asking(), is_stream=it)) for it in (True, False)]
    assert plain[0] == plain[1]
    body = asking(tools=[{"googleSearch": {}}], labels={"a": "b"}, model="x")
    hosted = [GEMINI.shape(request(body, is_stream=it)) for it in (True, False)]
    assert hosted[0] != hosted[1]
    assert "labels" not in hosted[0]
    assert "model" not in hosted[0]


@pytest.mark.parametrize("model", [NEW, OLD])
def test_a_prompt_comes_back_from_the_body_it_is_written_to(model: str):
    asked = GEMINI.read_prompt(request((GOLDEN / "agent.request.json").read_bytes()))
    effort = msgspec.structs.replace(asked, reasoning=Reasoning(is_shown=True))
    body, dropped = written(effort, step(model))
    assert dropped == ("safetySettings", "file_name")
    again = GEMINI.read_prompt(request(body))
    if model == NEW:
        *others, last = effort.messages
        nameless = (_without_name(part) for part in last.parts)
        messages = (*others, Message(last.role, tuple(nameless)))
        assert again == msgspec.structs.replace(effort, unread=(), messages=messages)
    else:  # which has no ids
        parts = [part for message in again.messages for part in message.parts]
        ids = [part.id for part in parts if isinstance(part, Call)]
        assert ids == ["call00001", "call00002"]


def _without_name(part: Part) -> Part:
    return msgspec.structs.replace(part, name="") if isinstance(part, Media) else part


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
names = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True)
seals = st.binary(min_size=1, max_size=9).map(lambda raw: b64encode(raw).decode())
foreign_seals = st.builds(str.__add__, st.just("sig:"), texts)
any_seals = st.one_of(seals, seals, foreign_seals)
arguments = st.dictionaries(texts, st.one_of(st.integers(-9, 9), texts), max_size=2).map(
    lambda made: msgspec.json.encode(made).decode()
)
media = st.sampled_from(
    [
        Media(kind="image", media_type="image/png", data="iVBORw0KGgo="),
        Media(kind="image", media_type="image/jpeg", url="https://example.com/a.jpg"),
        Media(kind="file", media_type="application/pdf", data="JVBERi0=", name=""),
        Media(kind="audio", media_type="audio/wav", data="UklGRg=="),
    ]
)
plain_parts = st.lists(st.one_of(st.builds(Text, text=texts), media), min_size=1, max_size=3)


@st.composite
def prompts(draw: st.DrawFn, signatures: st.SearchStrategy[str] = seals) -> Prompt:
    """Conversations in which users and the model take turns, and each call has its result."""
    messages = [Message("user", tuple(draw(plain_parts)))]
    number = itertools.count(1)
    for _ in range(draw(st.integers(0, 3))):
        thoughts = st.one_of(
            st.builds(Thinking, text=texts, signature=signatures),
            st.builds(Thinking, signature=signatures, is_redacted=st.just(True)),
        )
        calls = draw(
            st.lists(
                st.builds(
                    Call,
                    id=st.builds(lambda: f"id-{next(number)}"),
                    name=names,
                    arguments=arguments,
                    signature=st.one_of(st.just(""), signatures),
                ),
                max_size=2,
            )
        )
        said = draw(st.lists(st.one_of(st.builds(Text, text=texts), thoughts), max_size=2))
        if not said and not calls:
            said = [Text(text="well")]
        messages.append(Message("assistant", (*said, *calls)))
        results = tuple(
            Result(
                call_id=call.id,
                parts=(Text(text=draw(texts)),),
                name=call.name,
                is_error=draw(st.booleans()),
            )
            for call in calls
        )
        messages.append(Message("user", results or tuple(draw(plain_parts))))
    return Prompt(messages=tuple(messages))


@given(asked=prompts())
def test_any_conversation_comes_back_whole(asked: Prompt):
    body, dropped = written(asked)
    assert GEMINI.read_prompt(request(body)) == asked
    assert dropped == ()


@given(
    asked=prompts(any_seals),
    kept=st.sets(st.integers(0, 9)),
    rule=st.sampled_from(
        [
            CallIds(),
            CallIds(chars_max=9, chars_exact=True, pattern="[a-zA-Z0-9]+"),
            CallIds(chars_max=4),
        ]
    ),
)
def test_refitting_a_body_is_refitting_what_it_says(asked: Prompt, kept: set[int], rule: CallIds):
    body = json.dumps(wired(asked) | {"other": [1.50, {"a": None}]}).encode()
    read = request(body)
    own = {seal for number, seal in enumerate(read.signatures) if number in kept}
    refitted = GEMINI.refit_body(
        read.body, keeps=own.__contains__, call_id=partial(valid_call_id, rule=rule)
    )
    expected = refit(GEMINI.read_prompt(read), own.__contains__, rule)
    assert GEMINI.read_prompt(request(refitted)) == expected
    assert refitted.endswith(b', "other": [1.5, {"a": null}]}')
    assert set(request(refitted).signatures) <= own


def wired(asked: Prompt) -> dict[str, object]:
    """Return a body with the signatures as a client would bring them, whoever made them."""
    body, _ = written(msgspec.structs.replace(asked, messages=()))
    body["contents"] = [
        {
            "role": "model" if message.role == "assistant" else "user",
            "parts": [*map(_wired, message.parts)],
        }
        for message in asked.messages
    ]
    return body


def _wired(part: object) -> dict[str, object]:
    seal = getattr(part, "signature", "")
    signed: dict[str, object]
    signed = {"thoughtSignature": write_signature(seal, is_own=":" not in seal)} if seal else {}
    match part:
        case Text(text=text):
            return {"text": text}
        case Media(data=data, url=url, media_type=kind):
            if url:
                return {"fileData": {"mimeType": kind, "fileUri": url}}
            return {"inlineData": {"mimeType": kind, "data": data}}
        case Thinking(text=text, is_redacted=is_redacted):
            return signed | {"text": text} | ({} if is_redacted else {"thought": True})
        case Call():
            args = json.loads(part.arguments)
            return signed | {"functionCall": {"id": part.id, "name": part.name, "args": args}}
        case Result():
            response = {"output": getattr(part.parts[0], "text", "")}
            return {
                "functionResponse": {"id": part.call_id, "name": part.name, "response": response}
            }
        case _:
            raise AssertionError(part)


def test_unsealed_thoughts_and_foreign_seals_go_and_nothing_said_does():
    parts: list[dict[str, object]] = [
        {"text": "hm", "thought": True},
        {"text": "Yes.", "thoughtSignature": "QUFB", "partMetadata": {"a": 1}},
        {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "QkJC"},
    ]
    body = json.dumps(
        {
            "contents": [
                {"role": "model", "parts": parts},
                {"role": "model", "parts": [{"text": "", "thoughtSignature": "QUFB"}]},
            ]
        }
    ).encode()
    sent = GEMINI.refit_body(body, keeps=lambda _: False, call_id=str)
    assert json.loads(sent)["contents"] == [
        {
            "role": "model",
            "parts": [
                {"text": "Yes.", "partMetadata": {"a": 1}},
                {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": PLACEHOLDER},
            ],
        }
    ]
    for model, is_there in ((NEW, True), (OLD, False)):
        onward = GEMINI.encode_request(request(sent), step(model)).body
        assert (PLACEHOLDER.encode() in onward) is is_there


@given(seal=any_seals)
def test_a_seal_survives_the_sdk_and_its_other_alphabet(seal: str):
    sent = write_signature(seal, is_own=":" not in seal)
    part = sdk.Part.model_validate({"text": "x", "thoughtSignature": sent})
    back = json.loads(part.model_dump_json(by_alias=True, exclude_none=True))["thoughtSignature"]
    assert read_signature(back) == seal


@pytest.mark.parametrize("said", [None, "", PLACEHOLDER, PLACEHOLDER.replace("_", "/")])
def test_the_placeholder_is_no_seal(said: str | None):
    assert read_signature(said) == ""


def test_a_call_that_another_model_made_gets_the_placeholder_where_one_is_needed():
    calls = Message(
        "assistant",
        (Call(id="a", name="f", arguments=""), Call(id="b", name="f", arguments='{"x":1}')),
    )
    results = Message(
        "user",
        (Result(call_id="a", parts=(Text(text="1"),)), Result(call_id="b", is_error=True)),
    )
    body, _ = written(prompt(Message("user", (Text(text="go"),)), calls, results))
    _, called, answered = body["contents"]  # type: ignore[misc]
    assert called["parts"] == [  # type: ignore[has-type]
        {"functionCall": {"id": "a", "name": "f", "args": {}}, "thoughtSignature": PLACEHOLDER},
        {"functionCall": {"id": "b", "name": "f", "args": {"x": 1}}},
    ]
    assert answered["parts"] == [  # type: ignore[has-type]
        {"functionResponse": {"id": "a", "name": "f", "response": {"output": "1"}}},
        {"functionResponse": {"id": "b", "name": "f", "response": {"error": ""}}},
    ]
    old, _ = written(prompt(calls, results), step(OLD))
    assert PLACEHOLDER not in json.dumps(old)
    assert '"id"' not in json.dumps(old)


def test_results_come_right_after_the_calls_and_what_they_cannot_hold_after_them():
    picture = Media(kind="image", media_type="image/png", data="iVBORw0KGgo=")
    linked = Media(kind="image", url="https://example.com/x.webp")
    result = Result(call_id="a", parts=(Text(text="see"), picture, linked))
    asked = prompt(
        Message("assistant", (Call(id="a", name="look", arguments="{}", signature="QUFB"),)),
        Message("user", (Text(text="first"), result)),
        Message("user", (Text(text="second"),)),
    )
    body, _ = written(asked)
    _, answered, more = body["contents"]  # type: ignore[misc]
    response = answered["parts"][0]["functionResponse"]  # type: ignore[has-type]
    assert len(answered["parts"]) == 1  # type: ignore[has-type]
    assert response["parts"] == [{"inlineData": {"mimeType": "image/png", "data": picture.data}}]
    assert "next message" in response["response"]["output"]
    assert [next(iter(part)) for part in more["parts"]] == [  # type: ignore[has-type]
        "text",
        "fileData",
        "text",
        "text",
    ]
    old, _ = written(asked, step(OLD))
    assert json.dumps(old).count("inlineData") == 1
    assert '"parts": [{"inlineData"' not in json.dumps(old)


def test_a_later_system_message_keeps_its_place():
    body, dropped = written(
        prompt(
            Message("system", (Text(text="one", mark=CacheMark()),)),
            Message("system", (Text(text="two"),)),
            Message("user", (Text(text="Hi"),)),
            Message("system", (Text(text="three"),)),
        )
    )
    assert body["systemInstruction"] == {"parts": [{"text": "one"}, {"text": "two"}]}
    assert body["contents"] == [{"role": "user", "parts": [{"text": "Hi"}, {"text": "three"}]}]
    assert dropped == ("cache_control", "system_role")


TOOL = Tool(name="f", is_strict=True, mark=CacheMark())


@pytest.mark.parametrize(
    ("asked", "dropped"),
    [
        (
            prompt(unread=("metadata",), user="u", verbosity="low"),
            ("metadata", "user", "verbosity"),
        ),
        (prompt(service_tier="scale"), ("service_tier",)),
        (prompt(service_tier="auto"), ()),
        (prompt(service_tier="default"), ()),
        (prompt(sampling=Sampling(logit_bias=b"{}")), ("logit_bias",)),
        (
            prompt(shape=Shape(schema=b"{}", name="n", description="d", is_strict=True)),
            ("response_format.name", "response_format.description", "response_format.strict"),
        ),
        (
            prompt(tools=(TOOL,), tool_choice=ToolChoice(is_parallel=False)),
            ("cache_control", "tools.strict", "parallel_tool_calls"),
        ),
        (prompt(reasoning=Reasoning(summary="detailed")), ("reasoning_summary",)),
        (prompt(reasoning=Reasoning(effort="none")), ("reasoning_effort",)),
        (
            prompt(Message("user", (Media(kind="image", data="AA==", detail="high"),))),
            ("image_detail",),
        ),
    ],
)
def test_what_is_not_carried_is_named(asked: Prompt, dropped: tuple[str, ...]):
    assert written(asked)[1] == dropped


def test_sampling_is_named_where_a_model_takes_none():
    sampling = Sampling(temperature=1.0, top_p=0.5, top_k=3, seed=1, presence_penalty=0.5)
    body, dropped = written(prompt(sampling=sampling), step(capability=Capability(sampling=False)))
    assert body["generationConfig"] == {"seed": 1}
    assert dropped == ("temperature", "top_p", "top_k", "presence_penalty")


CALL = Call(id="a", name="f", arguments="[1]")


@pytest.mark.parametrize(
    ("asked", "param", "words"),
    [
        (prompt(refused=(("store", "it is kept nowhere"),)), "store", "it is kept nowhere"),
        (prompt(sampling=Sampling(stop=tuple("abcdef"))), "stop", "6 sequences"),
        (prompt(tool_choice=ToolChoice(mode="required")), "tools", "no tools"),
        (prompt(Message("assistant", (CALL,))), None, "no JSON object"),
        (prompt(Message("user", (Result(call_id="x"),))), None, "'x'"),
        (prompt(Message("user", (Media(kind="file", file_id="file-1"),))), None, "file-1"),
        (prompt(Message("user", (Media(kind="file", data="AA=="),))), None, "media type"),
        (
            prompt(Message("system", (Media(kind="image", data="AA=="),))),
            None,
            "a system message",
        ),
    ],
)
def test_what_may_not_be_dropped_is_refused(asked: Prompt, param: str | None, words: str):
    with pytest.raises(RequestError) as caught:
        GEMINI.write_prompt(asked, step())
    assert caught.value.param == param
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("choice", "calling"),
    [
        (ToolChoice(mode="auto"), {"mode": "AUTO"}),
        (ToolChoice(mode="none"), {"mode": "NONE"}),
        (ToolChoice(mode="required"), {"mode": "ANY"}),
        (ToolChoice(mode="named", name="f"), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    ],
)
def test_a_tool_choice_goes_both_ways(choice: ToolChoice, calling: object):
    asked = prompt(tools=(Tool(name="f"), Tool(name="g")), tool_choice=choice)
    body, _ = written(asked)
    assert body["toolConfig"] == {"functionCallingConfig": calling}
    assert GEMINI.read_prompt(request(body)) == asked


def test_of_several_allowed_functions_the_others_are_not_offered():
    functions = [{"name": name} for name in "fgh"]
    calling = {"mode": "ANY", "allowedFunctionNames": ["f", "h"]}
    asked = GEMINI.read_prompt(
        request(
            asking(
                tools=[{"functionDeclarations": functions}],
                toolConfig={"functionCallingConfig": calling},
            )
        )
    )
    assert [tool.name for tool in asked.tools] == ["f", "h"]
    assert asked.tool_choice == ToolChoice(mode="required")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (asking(cachedContent="cachedContents/a"), "cachedContent"),
        (asking(continuation_token="AAAA"), "continuationToken"),
        (asking(tools=[{"googleSearch": {}}]), "tools[0].googleSearch"),
        (asking(tools=[{"code_execution": {}}]), "tools[0].codeExecution"),
        (
            asking(generationConfig={"responseModalities": ["TEXT", "IMAGE"]}),
            "generationConfig.responseModalities",
        ),
        (
            asking(generationConfig={"responseMimeType": "text/x.enum"}),
            "generationConfig.responseMimeType",
        ),
        (with_part({"fileData": UPLOADED}), "contents[0].parts[0].fileData"),
        (
            with_part({"fileData": {"fileUri": "https://youtu.be/x"}}),
            "contents[0].parts[0]",
        ),
        (
            with_part({"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}}),
            "contents[0].parts[0]",
        ),
        (with_part({"executableCode": {"code": "1"}}), "contents[0].parts[0].executableCode"),
    ],
)
def test_what_only_google_can_do_is_refused_elsewhere(body: object, field: str):
    refused = GEMINI.read_prompt(request(body)).refused
    assert [name for name, _ in refused] == [field]


@pytest.mark.parametrize(
    ("body", "unread"),
    [
        (asking(safetySettings=[{"category": "A"}]), "safetySettings"),
        (asking(labels={"a": "b"}), "labels"),
        (asking(store=True), "store"),
        (asking(generationConfig={"mediaResolution": "X"}), "generationConfig.mediaResolution"),
        (
            with_part({"text": "a", "videoMetadata": {"fps": 1}}),
            "contents[].parts[].videoMetadata",
        ),
        (
            with_part({"inlineData": {"mimeType": "image/png", "data": "x", "displayName": "a"}}),
            "contents[].parts[].inlineData.displayName",
        ),
        (
            asking(tools=[{"functionDeclarations": [{"name": "f", "behavior": "BLOCKING"}]}]),
            "tools[].functionDeclarations[].behavior",
        ),
        (
            asking(toolConfig={"functionCallingConfig": {"mode": "VALIDATED"}}),
            "toolConfig.functionCallingConfig.mode",
        ),
        (asking(generationConfig={"seed": None, "temperature": 0}), None),
    ],
)
def test_what_has_no_place_elsewhere_is_named(body: object, unread: str | None):
    asked = GEMINI.read_prompt(request(body))
    assert asked.unread == ((unread,) if unread else ())
    assert asked.refused == ()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"contents": [{"role": "bot", "parts": []}]}, "'bot'"),
        (with_part({"inlineData": {"mimeType": "image/png"}}), "data is missing"),
        (asking(tools=[{"functionDeclarations": [{}]}]), "name is missing"),
        (asking(toolConfig={"functionCallingConfig": {"mode": "SOME"}}), "'SOME'"),
        (asking(generationConfig={"stopSequences": "x"}), "stopSequences"),
        (asking(generationConfig={"temperature": "warm"}), "temperature"),
    ],
)
def test_a_deep_reading_names_the_field_at_fault(body: object, words: str):
    with pytest.raises(RequestError) as caught:
        GEMINI.read_prompt(request(body))
    assert words in caught.value.message


def test_results_without_ids_answer_the_calls_of_their_name_in_order():
    def call(name: str) -> dict[str, object]:
        return {"functionCall": {"name": name, "args": {}}}

    def result(name: str, output: object) -> dict[str, object]:
        return {"functionResponse": {"name": name, "response": output}}

    asked = GEMINI.read_prompt(
        request(
            {
                "contents": [
                    {"role": "model", "parts": [call("f"), call("g"), call("f")]},
                    {
                        "role": "user",
                        "parts": [
                            result("f", {"a": 1}),
                            result("f", {"output": 2}),
                            result("g", {}),
                        ],
                    },
                ]
            }
        )
    )
    made = [part for part in asked.messages[1].parts if isinstance(part, Result)]
    assert [part.call_id for part in made] == ["call00001", "call00003", "call00002"]
    assert [part.parts[0].text for part in made if isinstance(part.parts[0], Text)] == [
        '{"a":1}',
        "2",
        "{}",
    ]
    assert asked.tool_name("call00002") == "g"


@pytest.mark.parametrize(
    ("model", "reasoning", "config"),
    [
        (NEW, Reasoning(), None),
        (NEW, Reasoning(effort="none"), {"thinkingLevel": "MINIMAL"}),
        ("gemini-3.8-flash", Reasoning(effort="minimal"), {"thinkingLevel": "LOW"}),
        ("gemini-3.1-pro-preview", Reasoning(effort="none"), {"thinkingLevel": "LOW"}),
        (NEW, Reasoning(effort="medium"), {"thinkingLevel": "MEDIUM"}),
        (
            NEW,
            Reasoning(effort="max", is_shown=True),
            {"thinkingLevel": "HIGH", "includeThoughts": True},
        ),
        (NEW, Reasoning(budget_tokens=9000), {"thinkingLevel": "MEDIUM"}),
        (NEW, Reasoning(is_adaptive=True), None),
        ("gemini-flash-latest", Reasoning(effort="high"), {"thinkingLevel": "HIGH"}),
        (OLD, Reasoning(effort="none"), {"thinkingBudget": 0}),
        (OLD, Reasoning(effort="max"), {"thinkingBudget": 24_576}),
        (OLD, Reasoning(budget_tokens=2000), {"thinkingBudget": 2000}),
        (OLD, Reasoning(is_adaptive=True), {"thinkingBudget": -1}),
        ("gemini-2.5-flash-lite", Reasoning(budget_tokens=10), {"thinkingBudget": 512}),
        ("gemini-2.5-pro", Reasoning(budget_tokens=0), {"thinkingBudget": 128}),
        ("gemini-2.5-pro", Reasoning(effort="max"), {"thinkingBudget": 32_768}),
        ("gemini-2.0-flash", Reasoning(effort="high"), None),
    ],
)
def test_thinking_is_asked_for_as_the_model_takes_it(
    model: str, reasoning: Reasoning, config: object
):
    body, _ = written(prompt(reasoning=reasoning), step(model))
    general = body.get("generationConfig", {})
    assert isinstance(general, dict)
    assert general.get("thinkingConfig") == config


@pytest.mark.parametrize(
    ("model", "asked", "dropped"),
    [
        ("gemini-2.5-pro", Reasoning(budget_tokens=0), ("reasoning_budget",)),
        (NEW, Reasoning(effort="high", budget_tokens=1024), ("reasoning_budget",)),
        (NEW, Reasoning(budget_tokens=1024), ("reasoning_budget",)),
        ("gemini-2.5-flash", Reasoning(budget_tokens=50_000), ("reasoning_budget",)),
        ("gemini-2.5-flash", Reasoning(budget_tokens=1024), ()),
        ("gemini-2.0-flash", Reasoning(effort="low"), ("reasoning_effort",)),
        ("gemini-2.0-flash", Reasoning(effort="none"), ()),
        (OLD, Reasoning(effort="none"), ()),
    ],
)
def test_thinking_that_cannot_be_had_or_left_is_named(
    model: str, asked: Reasoning, dropped: tuple[str, ...]
):
    assert written(prompt(reasoning=asked), step(model))[1] == dropped


def test_a_model_that_does_not_reason_is_not_told_to():
    to = step(capability=Capability(reasoning=False))
    body, dropped = written(prompt(reasoning=Reasoning(effort="high", budget_tokens=1)), to)
    assert "generationConfig" not in body
    assert dropped == ("reasoning_effort", "reasoning_budget")


def test_parameters_come_last_when_a_prompt_is_written():
    to = step(params={"reasoning_effort": "low", "generationConfig": {"topK": 5}})
    asked = prompt(reasoning=Reasoning(effort="high", is_shown=True), max_tokens=9)
    body, _ = written(asked, to)
    assert body["generationConfig"] == {
        "maxOutputTokens": 9,
        "topK": 5,
        "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "LOW"},
    }


@pytest.mark.parametrize(
    ("schema", "is_sent"),
    [
        (b'{"type":"object","properties":{}}', False),
        (b'{ "type": "object" }', False),
        (b'{"type":"object","additionalProperties":false,"required":[]}', True),
        (b'{"type":"object","additionalProperties":true}', True),
        (b'{"type":"object","properties":{"a":{"$ref":"#/$defs/A"}},"$defs":{"A":{}}}', True),
        (b"true", True),
    ],
)
def test_a_function_without_parameters_has_no_schema(schema: bytes, is_sent: bool):
    body, _ = written(prompt(tools=(Tool(name="f", schema=schema),)))
    declared = body["tools"][0]["functionDeclarations"][0]  # type: ignore[index]
    assert declared.get("parametersJsonSchema") == (json.loads(schema) if is_sent else None)


@pytest.mark.parametrize(
    ("openapi", "expected"),
    [
        ({"type": "STRING", "format": "enum", "enum": ["a"]}, {"type": "string", "enum": ["a"]}),
        ({"type": "INTEGER", "nullable": True}, {"type": ["integer", "null"]}),
        (
            {"type": "STRING", "enum": ["a"], "nullable": True},
            {"type": ["string", "null"], "enum": ["a", None]},
        ),
        (
            {"anyOf": [{"type": "STRING"}], "nullable": True},
            {"anyOf": [{"anyOf": [{"type": "string"}]}, {"type": "null"}]},
        ),
        ({"any_of": [{"type": "NUMBER"}]}, {"anyOf": [{"type": "number"}]}),
        ({"type": "ARRAY", "min_items": "2"}, {"type": "array", "minItems": 2}),
        ({"type": "TYPE_UNSPECIFIED", "example": 1}, {"examples": [1]}),
        (
            {"properties": {"min_items": {"type": "STRING"}}, "propertyOrdering": ["min_items"]},
            {"properties": {"min_items": {"type": "string"}}},
        ),
        (
            {"ref": "#/defs/A", "defs": {"A": {"type": "NULL"}}},
            {"$ref": "#/$defs/A", "$defs": {"A": {"type": "null"}}},
        ),
        (True, True),
    ],
)
def test_an_openapi_schema_becomes_a_json_schema(openapi: object, expected: object):
    assert json_schema(openapi) == expected


def test_an_embedding_or_a_hosted_tool_of_another_dialect_does_not_come_here():
    tools = {Need.HOSTED_TOOLS, Need.OFFERED_TOOLS}
    assert {*tools, Need.STORED_FILES, Need.EMBEDDINGS} == GEMINI.lacks


def test_the_codec_asks_for_no_headers_of_its_own():
    made: Callable[[Request, Step], object] = GEMINI.headers
    assert made(request(asking()), step()) == {}
