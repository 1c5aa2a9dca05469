"""Replies in the responses dialect: decoded, relayed, encoded, and played again otherwise."""

import http.client
import json
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import msgspec
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseErrorEvent, ResponseStreamEvent
from pydantic import TypeAdapter, ValidationError
from tests.core.builders import cut, decode_stream
from tests.core.wire.replies import built, frames_gone

from pointsman.core.errors import (
    ContextLengthExceeded,
    GatewayError,
    UpstreamBadResponse,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamReset,
    UpstreamTooLarge,
    UpstreamUnavailable,
)
from pointsman.core.events import (
    Event,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    TokenProb,
    ToolCallDelta,
    UsageReport,
)
from pointsman.core.types import Caller, Request, ToolCall
from pointsman.core.usage import Usage
from pointsman.core.wire import CODECS, sse
from pointsman.demo.models import LocalModels

CODEC = CODECS["openai-responses"]
GOLDEN = Path(__file__).parents[2] / "golden" / "openai_responses"
STREAMS = sorted(path.stem for path in GOLDEN.glob("*.sse"))
REPLIES = sorted(path.stem for path in GOLDEN.glob("*.json") if not path.stem.endswith(".request"))
SOURCE, OURS = "gpt-5.6-mini-2026-08-13", "openai/gpt-5.6-mini"
USAGE = Usage(
    input_tokens=2006,
    cached_input_tokens=1920,
    cache_write_tokens=64,
    output_tokens=300,
    reasoning_tokens=128,
)
PATCH = '*** Begin Patch\n*** Add File: "a".txt\n+ü\\n\n*** End Patch\n'
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "strict": True},
    {"type": "custom", "name": "apply_patch"},
    {
        "type": "namespace",
        "name": "clock",
        "description": "Time.",
        "tools": [{"type": "function", "name": "now"}, {"type": "custom", "name": "tell"}],
    },
]
SDK_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
each_stream = pytest.mark.parametrize("name", STREAMS)
each_reply = pytest.mark.parametrize("name", REPLIES)


def asked(**members: object) -> Request:
    body = {"model": "auto", "input": "Hi", "tools": TOOLS} | members
    return CODEC.decode_request(json.dumps(body).encode(), Caller())


ASKED = asked()


def stream(name: str) -> bytes:
    return (GOLDEN / f"{name}.sse").read_bytes()


def reply(name: str) -> bytes:
    return (GOLDEN / f"{name}.json").read_bytes()


def decoded(chunks: Iterable[bytes]) -> list[Event]:
    return list(decode_stream(chunks, CODEC))


def answer(events: Iterable[Event]) -> tuple[object, ...]:
    """Return all that a client can see of an answer."""
    listed = list(events)
    builder = built(listed)
    return (
        builder.text,
        "".join(e.text for e in listed if isinstance(e, TextDelta) and e.is_refusal),
        builder.reasoning,
        [e.signature for e in listed if isinstance(e, ReasoningDelta) and e.signature],
        builder.tool_calls,
        builder.usage or Usage(),
        builder.finish_reason,
    )


def encoded(events: Iterable[Event], request: Request = ASKED) -> bytes:
    encoder = CODEC.stream_encoder(request, OURS)
    return b"".join(encoder.encode(event) for event in events)


def objects_of(body: bytes) -> list[dict[str, Any]]:
    splitter = sse.SseSplitter()
    frames = list(map(sse.parse_frame, splitter.feed(body) + splitter.finish()))
    objects = [json.loads(frame.data) for frame in frames if frame.data]
    assert [frame.event for frame in frames if frame.data] == [told["type"] for told in objects]
    return objects


def said(*objects: dict[str, Any]) -> bytes:
    return b"".join(sse.data_frame(json.dumps(told).encode()) for told in objects)


def created(**members: object) -> dict[str, Any]:
    return {"type": "response.created", "response": {"id": "resp_1", **members}}


def completed(*output: object, **members: object) -> dict[str, Any]:
    response = {"id": "resp_1", "status": "completed", "output": output, **members}
    return {"type": "response.completed", "response": response}


def message(text: str, **members: object) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": content, **members}


# Decoding.

SEALED = "gAAAAABo3k1-sealed_{}=="
THOUGHT = "**Counting**\n\nLet me see.\n\n**Checking**\n\nYes."
WEATHER = ToolCall(id="call_b1", name="get_weather", arguments='{"city":"Zürich"}')
NOW = ToolCall(id="call_b2", name="clock__now", arguments="{}")
EDIT = ToolCall(id="call_c1", name="apply_patch", arguments=json.dumps({"input": PATCH}))


@pytest.mark.parametrize(
    ("name", "text", "reasoning", "seals", "calls", "finish"),
    [
        ("text", 'Grüße "response" 世界 😀', "", "", (), "stop"),
        ("tool_calls", "", "", "b1", (WEATHER, NOW), "tool_calls"),
        ("custom_tool", "", "", "", (EDIT,), "tool_calls"),
        ("reasoning", "42", THOUGHT, "d1", (), "stop"),
        ("reasoning_text", "42", "Let me see.", "", (), "stop"),
        ("refusal", "I cannot help.", "", "", (), "refusal"),
        ("length", "So", "", "", (), "length"),
        ("content_filter", "So", "", "", (), "content_filter"),
        ("logprobs", "Hi!", "", "", (), "stop"),
        ("web_search", "Hi", "", "", (), "stop"),
        ("several_messages", "Let me look. It is 42.", "", "", (), "stop"),
        ("no_deltas", "42", "Hm.", "l1",
         (ToolCall(id="call_l3", name="now", arguments="{}"),), "tool_calls"),
        ("no_usage", "Hi", "", "", (), "stop"),
    ],
    ids=lambda value: value if isinstance(value, str) and value in STREAMS else "",
)  # fmt: skip
def test_a_stream_is_read(name, text, reasoning, seals, calls, finish):
    events = decoded([stream(name)])
    builder = built(events)
    assert (builder.text, builder.reasoning) == (text, reasoning)
    assert builder.usage == (None if name == "no_usage" else USAGE)
    assert [
        event.signature for event in events if isinstance(event, ReasoningDelta) and event.signature
    ] == ([SEALED.format(seals)] if seals else [])
    assert [plain(call) for call in builder.tool_calls] == [plain(call) for call in calls]
    assert builder.finish_reason == finish
    assert [isinstance(event, Finished) for event in events].index(True) == len(events) - 1


def plain(call: ToolCall) -> tuple[str, str, Any]:
    return call.id, call.name, json.loads(call.arguments)


def test_every_golden_stream_has_its_expectation():
    (mark,) = test_a_stream_is_read.pytestmark
    assert sorted(row[0] for row in mark.args[1]) == STREAMS


@each_stream
def test_the_golden_streams_are_the_sdks(name):
    for told in objects_of(stream(name)):
        if told["type"] != "response.rumour.heard":
            SDK_EVENT.validate_python(told)


@each_reply
def test_the_golden_replies_are_the_sdks(name):
    Response.model_validate_json(reply(name))


@each_stream
def test_events_do_not_depend_on_where_the_network_cuts(name):
    body = stream(name)
    whole = decoded([body])
    for place in range(0, len(body) + 1, 3):
        assert decoded(cut(body, [place])) == whole
    assert decoded(bytes([byte]) for byte in body) == whole


@given(name=st.sampled_from(STREAMS), places=st.lists(st.integers(0, 7_000)))
def test_events_do_not_depend_on_how_many_cuts_there_are(name, places):
    body = stream(name)
    assert decoded(cut(body, places)) == decoded([body])


@each_stream
def test_a_stream_cut_off_anywhere_fails(name):
    body = stream(name)
    for place in range(0, len(body.rstrip(b"\n")), 7):
        with pytest.raises((UpstreamReset, UpstreamBadResponse)):
            decoded([body[:place]])


@each_reply
def test_a_reply_and_its_stream_say_the_same(name):
    whole = list(CODEC.decode_reply(reply(name)))
    assert answer(whole) == answer(decoded([stream(name)]))


def test_log_probabilities_come_with_their_tokens():
    probs = [
        prob
        for event in decoded([stream("logprobs")])
        if isinstance(event, TextDelta)
        for prob in event.logprobs
    ]
    hi = TokenProb("Hi", -0.25, (72, 105))
    assert probs == [
        msgspec.structs.replace(hi, others=(hi, TokenProb("Yo", -2.5, (89, 111)))),
        TokenProb("!", -0.5, (33,)),
    ]


FAILED = {"type": "response.failed", "response": {"id": "r", "status": "failed"}}


def failed(**error: object) -> dict[str, Any]:
    return {"type": "response.failed", "response": {"status": "failed", "error": error}}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", UpstreamReset),
        (b": nothing but comments\n\n", UpstreamReset),
        (said(created()), UpstreamReset),
        (said(created()) + b"data: [DONE]\n\n", UpstreamReset),
        (said({"type": "error", "message": "no", "code": "rate_limit_exceeded"}),
         UpstreamRateLimited),
        (said({"type": "error", "error": {"message": "no", "code": 429}}), UpstreamRateLimited),
        (said({"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}),
         UpstreamRejected),
        (said({"error": {"message": "gone"}}), UpstreamUnavailable),
        (said(created(), {"type": "error"}), UpstreamUnavailable),
        (said(created(), FAILED), UpstreamUnavailable),
        (said(failed(code="server_error", message="m")), UpstreamUnavailable),
        (said(failed(code="rate_limit_exceeded", message="m")), UpstreamRateLimited),
        (said(failed(code="invalid_prompt", message="m")), UpstreamRejected),
        (said(failed(code="image_too_large", message="m")), UpstreamRejected),
        (said(failed(code="context_length_exceeded", message="m")), ContextLengthExceeded),
        (b"data: {\n\n", UpstreamBadResponse),
        (b"data: []\n\n", UpstreamBadResponse),
        (b"data: null\n\n", UpstreamBadResponse),
        (b"data: <html>\n\n", UpstreamBadResponse),
        (b'data: {"type":"response.created","response":7}\n\n', UpstreamBadResponse),
        (b'data: {"type":"response.output_text.delta","delta":"\xff"}\n\n', UpstreamBadResponse),
        (b"data: " + b'{"a":' * 5_000 + b"\n\n", UpstreamBadResponse),
        (said({"type": "response.output_item.added", "item": {"type": "message", "content": 7}}),
         UpstreamBadResponse),
    ],
    ids=["empty", "comments", "cut", "done too early", "flat rate", "numeric code", "type", "bare",
         "empty error", "failed", "server", "rate", "prompt", "image", "context", "half", "list",
         "null", "html", "response", "no unicode", "deep", "item"],
)  # fmt: skip
def test_a_broken_stream_fails_as_what_it_is(body, error):
    with pytest.raises(error) as caught:
        decoded([body])
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", UpstreamBadResponse),
        (b"<html>", UpstreamBadResponse),
        (b"{}", UpstreamBadResponse),
        (b'{"output":[],"status":"in_progress"}', UpstreamBadResponse),
        (b'{"output":[],"status":"cancelled"}', UpstreamBadResponse),
        (b"[" * 100_000, UpstreamBadResponse),
        (b'{"error":{"message":"no","code":"rate_limit_exceeded"}}', UpstreamRateLimited),
        (b'{"status":"failed","output":[]}', UpstreamUnavailable),
        (b'{"status":"failed","error":{"code":"invalid_prompt","message":"m"}}', UpstreamRejected),
    ],
    ids=["empty", "html", "object", "running", "cancelled", "deep", "error", "failed", "prompt"],
)
def test_a_broken_reply_fails_as_what_it_is(body, error):
    with pytest.raises(error):
        list(CODEC.decode_reply(body))


@pytest.mark.parametrize(
    "body",
    [
        said(created(), completed(message("x"))),
        said(completed(message("x"))),
        said(created(), completed(message("x")), created()) + b"data: [DONE]\n\n",
        said(created(error=None), completed(message("x"), usage={}, incomplete_details=None)),
        said(created(), {"type": "response.shell_call_command.delta", "delta": {"a": 1}},
             completed({"type": "shell_call", "content": 7}, message("x"))),
        said({"type": "response.queued", "response": {"id": "resp_1"}}, completed(message("x"))),
        b"data:\n\n" + said(completed(message("x"))),
        said({"type": "response.output_item.added", "item": message("", content=[])},
             {"type": "response.output_text.delta", "item_id": "msg_1", "delta": "x"},
             {"type": "response.output_item.done", "item": message("x")}, completed(message("x"))),
        said({"type": "response.output_text.delta", "delta": "", "output_index": 0, "logprobs": []},
             completed(message("x"))),
    ],
    ids=["no items", "no opening", "after the end", "nulls", "unknown", "queued", "empty event",
         "no places", "empty delta"],
)  # fmt: skip
def test_an_odd_but_whole_stream_is_read(body):
    builder = built(decoded([body]))
    assert (builder.text, builder.finish_reason, builder.usage) == ("x", "stop", None)


def test_pieces_that_come_before_their_item_are_given_once():
    call = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "now", "arguments": "{}"}
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "own"}
    body = said(
        {"type": "response.output_text.delta", "output_index": 1, "delta": "x"},
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": "{"},
        {"type": "response.output_item.added", "output_index": 2, "item": call},
        {"type": "response.output_item.added", "output_index": 2, "item": call},
        completed(thought, message("xy"), call),
    )
    events = decoded([body])
    calls = (ToolCall(id="c", name="now", arguments="{}"),)
    assert (built(events).text, built(events).tool_calls) == ("xy", calls)
    assert [e.signature for e in events if isinstance(e, ReasoningDelta)] == ["own"]


def test_a_frame_over_the_limit_is_too_large(monkeypatch):
    monkeypatch.setattr(sse, "FRAME_BYTES_MAX", 1_000)
    with pytest.raises(UpstreamTooLarge):
        decoded([b"data: " + b"x" * 2_000])


@given(body=st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_whatever_an_upstream_sends_nothing_but_its_own_errors_comes_out(body):
    frame = b'data: {"type":"response.completed","response":{"output":[' + body + b"]}}\n\n"
    for wrapped in (body, b"data: " + body + b"\n\n", frame):
        try:
            decoded([wrapped])
        except UpstreamError:
            pass
        else:
            assert wrapped is frame
        with pytest.raises(UpstreamError):
            list(CODEC.decode_reply(wrapped))


def test_the_real_servers_stream_and_reply_are_read(local_models: LocalModels):
    body: dict[str, Any] = {"model": "local", "input": "Say hi.", "max_output_tokens": 8}
    body |= {"temperature": 0}
    server = urlsplit(local_models["smollm2"].base_url).netloc

    def post(path: str, **more: object) -> bytes:
        with closing(http.client.HTTPConnection(server, timeout=60)) as connection:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", f"/v1{path}", json.dumps(body | more), headers)
            with connection.getresponse() as response:
                return response.read()

    path = CODEC.path("smollm2", is_stream=True)
    streamed = post(path, stream=True)
    events, whole = decoded([streamed]), list(CODEC.decode_reply(post(path)))
    assert built(events).text == built(whole).text != ""
    assert built(events).finish_reason == built(whole).finish_reason == "stop"
    usage = built(events).usage
    assert usage is not None and usage.output_tokens == 8
    assert encoded(events) == streamed.replace(b'"model":"smollm2"', f'"model":"{OURS}"'.encode())
    counted = post(
        CODEC.count_path("smollm2"),
        **json.loads(CODEC.count_request(json.dumps(body).encode())),
    )
    assert CODEC.read_count(counted) == usage.input_tokens


# Relaying: the short road.


@each_stream
def test_a_relayed_stream_differs_in_the_models_name_alone(name):
    body = stream(name)
    assert encoded(decoded([body])) == body.replace(
        f'"model":"{SOURCE}"'.encode(), f'"model":"{OURS}"'.encode()
    )


@each_reply
def test_a_relayed_reply_differs_in_the_models_name_alone(name):
    body = reply(name)
    assert CODEC.encode_reply(CODEC.decode_reply(body), ASKED, OURS) == body.replace(
        SOURCE.encode(), OURS.encode()
    )


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
# What a decoder reads: of any other type it would be refused.
READ = {"type", "response", "error", "model", "status", "output", "id", "created_at", "item"}
READ |= {"incomplete_details", "usage", "delta", "text", "code", "param", "input", "message"}
NAMES = st.text(max_size=9).filter(lambda name: name not in READ)


@given(
    members=st.dictionaries(NAMES, JSONS, max_size=3),
    is_ascii=st.booleans(),
    line_end=st.sampled_from([b"\n", b"\r\n"]),
)
def test_a_relayed_stream_keeps_every_byte_but_the_models_name(members, is_ascii, line_end):
    def body(model: str) -> bytes:
        response = {"id": "r", **members, "model": model}
        unknown = {"type": "response.rumour", **members, "model": SOURCE, "response": [members]}
        parts = [
            {"type": "response.created", "response": response},
            unknown,
            {"type": "response.completed", "response": {**response, "output": [message("x")]}},
        ]
        lines = (json.dumps(part, ensure_ascii=is_ascii).encode() for part in parts)
        return b"".join(b"data: " + line + line_end * 2 for line in lines)

    assert encoded(decoded([body(SOURCE)])) == body(OURS)


def test_several_lines_of_data_are_relayed_as_one():
    source = json.dumps(completed(message("x"), model=SOURCE), indent=1)
    body = b"".join(b"data: " + line.encode() + b"\n" for line in source.split("\n")) + b"\n"
    (raw,) = sse.SseSplitter().feed(encoded(decoded([body])))
    frame = sse.parse_frame(raw)
    told = json.loads(frame.data or b"")
    assert told == json.loads(json.dumps(completed(message("x"), model=OURS)))


# Encoding: events with no source in this dialect.

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
SIGNATURES = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=9)
USAGES = st.builds(
    lambda cached, written, more, reasoning, text: Usage(
        input_tokens=cached + written + more,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        output_tokens=reasoning + text,
        reasoning_tokens=reasoning,
    ),
    *[st.integers(0, 10**9)] * 5,
)
PROBS = st.builds(
    TokenProb,
    TEXTS,
    st.floats(-100, 0),
    st.lists(st.integers(0, 255), max_size=3).map(tuple),
    st.just(()),
)
FUNCTIONS = st.sampled_from(["get_weather", "clock__now", "other"])


@st.composite
def calls(draw: st.DrawFn) -> list[Event]:
    """One or two calls, whose pieces may come in turns."""
    count = draw(st.integers(1, 2))
    prefix = draw(st.integers(0, 10**9))
    opened: list[Event] = [
        ToolCallDelta(index=index, id=f"call_{prefix}_{index}", name=draw(FUNCTIONS))
        for index in range(count)
    ]
    pieces = st.builds(
        lambda index, text: ToolCallDelta(index=index, arguments=text),
        st.integers(0, count - 1),
        TEXTS,
    )
    return [*opened, *draw(st.lists(pieces, max_size=4))]


@st.composite
def blocks(draw: st.DrawFn) -> list[Event]:
    """Text, a refusal, or reasoning with its seal or without."""
    kind = draw(st.sampled_from(["text", "refusal", "reasoning", "redacted"]))
    match kind:
        case "text":
            probs = st.lists(PROBS, max_size=1).map(tuple)
            return draw(
                st.lists(st.builds(TextDelta, TEXTS, logprobs=probs), min_size=1, max_size=3)
            )
        case "refusal":
            return [TextDelta(draw(TEXTS), is_refusal=True)]
        case "reasoning":
            texts = [ReasoningDelta(text) for text in draw(st.lists(TEXTS, max_size=3))]
            seal = [ReasoningDelta("", signature=draw(SIGNATURES))]
            return [*texts, *(seal if not texts or draw(st.booleans()) else [])]
        case _:
            return [ReasoningDelta("", signature=draw(SIGNATURES), is_redacted=True)]


@st.composite
def event_lists(draw: st.DrawFn) -> list[Event]:
    started = Started(
        id=draw(st.from_regex(r"[A-Za-z0-9_-]{1,40}", fullmatch=True)),
        created=draw(st.integers(0, 2**40)),
        model="claude",
        dialect="anthropic",
        is_stream=True,
        dropped=("stop",),
    )
    content = [event for block in draw(st.lists(blocks(), max_size=4)) for event in block]
    content += draw(st.just([]) | calls())
    usage = [UsageReport(draw(USAGES))]
    reasons = ["stop", "length", "tool_calls", "content_filter", "refusal", "pause_turn"]
    return [started, *content, *usage, Finished(draw(st.sampled_from(reasons)))]


def merged(events: Iterable[Event]) -> list[Event]:
    """Return the content events, neighbours that are pieces of one thing put together."""
    whole: list[Event] = []
    for event in frames_gone(events):
        last = whole[-1] if whole else None
        match last, event:
            case TextDelta(), TextDelta() if last.is_refusal == event.is_refusal:
                whole[-1] = TextDelta(
                    last.text + event.text,
                    is_refusal=last.is_refusal,
                    logprobs=last.logprobs + event.logprobs,
                )
            case ReasoningDelta(signature=""), ReasoningDelta(is_redacted=False):
                whole[-1] = ReasoningDelta(last.text + event.text, signature=event.signature)
            case _, TextDelta() | ReasoningDelta():
                whole.append(event)
            case _:
                pass
    return whole


@given(events=event_lists(), places=st.lists(st.integers(0, 9_000), max_size=6))
def test_events_survive_being_encoded_cut_and_decoded(events, places):
    body = encoded(events)
    again = decoded(cut(body, places))
    assert merged(again) == merged(events)
    assert built(again).tool_calls == built(events).tool_calls
    assert built(again).usage == built(events).usage


@pytest.mark.parametrize(
    ("events", "finish"),
    [
        ([Finished("stop")], "stop"),
        ([Finished("pause_turn")], "stop"),
        ([Finished("length")], "length"),
        ([Finished("content_filter")], "content_filter"),
        ([TextDelta("no", is_refusal=True), Finished("refusal")], "refusal"),
        ([TextDelta("I sta"), Finished("refusal")], "content_filter"),
        ([ToolCallDelta(0, "c", "now"), Finished("tool_calls")], "tool_calls"),
        ([ToolCallDelta(0, "c", "now"), Finished("length")], "length"),
    ],
)
def test_why_an_answer_ended_is_told(events, finish):
    assert built(decoded([encoded([START, *events])])).finish_reason == finish


START = Started(id="msg_01Ab", created=7, model="m", dialect="anthropic", is_stream=True)


@given(events=event_lists())
def test_encoded_events_are_the_sdks_and_its_own_reader_agrees(events):
    body = encoded(events)
    objects = objects_of(body)
    for told in objects:
        SDK_EVENT.validate_python(told)
    assert [told["sequence_number"] for told in objects] == list(range(len(objects)))
    assert [told["type"] for told in objects][:2] == ["response.created", "response.in_progress"]
    assert grammar(objects) == objects[-1]["response"]["output"]
    whole = CODEC.encode_reply(events, ASKED, OURS)
    assert json.loads(whole) == objects[-1]["response"]
    Response.model_validate_json(whole)


def test_an_event_that_lacks_a_field_is_not_the_sdks():
    for told in objects_of(encoded([START, TextDelta("Hi"), UsageReport(USAGE), Finished("stop")])):
        with pytest.raises(ValidationError):
            SDK_EVENT.validate_python({k: v for k, v in told.items() if k != "sequence_number"})


def grammar(objects: list[dict[str, Any]]) -> list[Any]:
    """Return the items that a stream announces and ends, each piece of them adding up."""
    ended: dict[int, Any] = {}
    texts: dict[tuple[object, ...], str] = {}
    for told in objects[2:-1]:
        place = told["output_index"]
        if told["type"] == "response.output_item.added":
            assert place == len({*ended, *(key[0] for key in texts)}) or place not in ended
            texts[(place,)] = told["item"]["id"]
            continue
        if told["type"] == "response.output_item.done":
            assert told["item"]["id"] == texts[(place,)]
            ended[place] = told["item"]
            continue
        assert place not in ended and told["item_id"] == texts[(place,)]
        head, _, what = told["type"].rpartition(".")
        key = (place, head, told.get("content_index"), told.get("summary_index"))
        if what == "delta":
            texts[key] = texts.get(key, "") + told["delta"]
        elif what == "done" and "part" not in told:
            (whole,) = [told[k] for k in ("text", "refusal", "arguments", "input") if k in told]
            assert texts.get(key, "") == whole
    return [ended[place] for place in sorted(ended)]


def sdk_stream(body: bytes, read: Callable[[Any], Any]) -> Any:
    """Return what `read` makes of a stream as the official client gives it."""

    def respond(request: httpx2.Request) -> httpx2.Response:
        del request
        return httpx2.Response(200, content=body, headers={"content-type": "text/event-stream"})

    client = openai.OpenAI(
        api_key="k",
        base_url="http://upstream.test/v1",
        max_retries=0,
        http_client=httpx2.Client(transport=httpx2.MockTransport(respond)),
    )
    with client, client.responses.stream(model="auto", input="Hi") as opened:
        return read(opened)


@given(events=event_lists())
def test_the_sdks_accumulator_takes_an_encoded_stream(events):
    body = encoded(events)
    kinds = sdk_stream(body, lambda opened: [event.type for event in opened])
    if kinds[-1] == "response.completed":
        final = sdk_stream(body, lambda opened: opened.get_final_response())
        texts = [e.text for e in events if isinstance(e, TextDelta) and not e.is_refusal]
        assert final.output_text == "".join(texts)
        assert final.model == OURS


def test_custom_tools_and_namespaces_come_back_as_what_they_are():
    arguments = json.dumps({"input": PATCH})
    events: list[Event] = [
        START,
        ToolCallDelta(0, "call_1", "apply_patch", arguments[:9]),
        ToolCallDelta(1, "call_2", "clock__tell", '{"input": "now"}'),
        ToolCallDelta(0, arguments=arguments[9:]),
        ToolCallDelta(2, "call_3", "clock__now", "{}"),
        ToolCallDelta(3, "call_4", "apply_patch", "not wrapped"),
        Finished("tool_calls"),
    ]
    body = encoded(events)
    for told in objects_of(body):
        SDK_EVENT.validate_python(told)
    output = objects_of(body)[-1]["response"]["output"]
    assert [
        [i["type"], i["name"], i.get("namespace"), i.get("input", i.get("arguments"))]
        for i in output
    ] == [
        ["custom_tool_call", "apply_patch", None, PATCH],
        ["custom_tool_call", "tell", "clock", "now"],
        ["function_call", "now", "clock", "{}"],
        ["custom_tool_call", "apply_patch", None, "not wrapped"],
    ]
    kinds = [told["type"] for told in objects_of(body)]
    assert kinds.count("response.custom_tool_call_input.done") == 3


def test_a_call_without_an_id_gets_one():
    events: list[Event] = [
        START,
        ToolCallDelta(0, "", "now"),
        ToolCallDelta(1, "", "now"),
        Finished("stop"),
    ]
    ids = [item["call_id"] for item in objects_of(encoded(events))[-1]["response"]["output"]]
    assert len(set(ids)) == 2 and all(ids)


def test_the_response_repeats_what_was_asked():
    asks: dict[str, Any] = {
        "instructions": "Be brief.",
        "tool_choice": {"type": "function", "name": "get_weather"},
        "temperature": 0.5,
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low", "summary": None},
        "text": {"format": {"type": "json_object"}, "verbosity": "low"},
        "metadata": {"a": "b"},
        "max_output_tokens": 9,
        "truncation": "auto",
        "prompt_cache_key": "k",
        "store": True,
    }
    events: list[Event] = [START, TextDelta("Hi"), UsageReport(USAGE), Finished("stop")]
    told = json.loads(CODEC.encode_reply(events, asked(**asks), OURS))
    assert {name: told[name] for name in asks} == asks | {"store": False}
    assert told["tools"] == TOOLS and told["model"] == OURS and told["created_at"] == 7
    assert told["usage"]["input_tokens_details"] == {
        "cached_tokens": 1920,
        "cache_write_tokens": 64,
    }
    Response.model_validate(told)


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_what_a_request_says_on_several_lines_is_repeated_on_one(line_end):
    body = json.dumps({"model": "auto", "input": "Hi", "tools": TOOLS, "user": "a\nb"}, indent=2)
    request = CODEC.decode_request(body.replace("\n", line_end).encode(), Caller())
    streamed = encoded([START, TextDelta("x"), Finished("stop")], request)
    last = objects_of(streamed)[-1]["response"]
    assert (last["tools"], last["user"]) == (TOOLS, "a\nb")


@pytest.mark.parametrize("name", ["tool_calls", "custom_tool", "reasoning", "refusal", "logprobs"])
def test_a_reply_played_as_a_stream_says_the_same(name):
    events = list(CODEC.decode_reply(reply(name)))
    streamed = encoded(events)
    assert answer(decoded([streamed])) == answer(events)
    for told in objects_of(streamed):
        SDK_EVENT.validate_python(told)


@each_stream
def test_a_stream_played_as_a_reply_is_the_response_that_it_ended_with(name):
    body = CODEC.encode_reply(decoded([stream(name)]), ASKED, OURS)
    assert json.loads(body) == objects_of(stream(name))[-1]["response"] | {"model": OURS}


def test_a_response_that_leaves_its_output_to_the_events_is_written_anew():
    item = {"type": "response.output_item.done", "output_index": 0, "item": message("x")}
    body = said(created(), item, completed())
    (only,) = json.loads(CODEC.encode_reply(decoded([body]), ASKED, OURS))["output"]
    assert only["content"][0]["text"] == "x"


# Errors.


@pytest.mark.parametrize("name", ["", "text", "tool_calls"])
def test_a_broken_stream_ends_in_an_error_that_every_client_sees(name):
    encoder = CODEC.stream_encoder(ASKED, OURS)
    own: list[Event] = [START, TextDelta("So")]
    source = decoded([stream(name)])[:-1] if name else own
    before = b"".join(encoder.encode(event) for event in source)
    body = before + encoder.error(UpstreamReset("the upstream broke off"), "req-1")
    objects = objects_of(body)
    failure, last = objects[-2:]
    assert [told["sequence_number"] for told in objects] == list(range(len(objects)))
    ResponseErrorEvent.model_validate(failure)
    SDK_EVENT.validate_python(last)
    assert failure["error"]["code"] == failure["code"] == "upstream_reset"
    assert failure["error"]["request_id"] == "req-1"
    assert last["type"] == "response.failed"
    assert last["response"]["error"]["code"] == "server_error"
    assert last["response"]["id"] == objects[0]["response"]["id"]
    assert "response.completed" not in [told["type"] for told in objects]
    with pytest.raises(UpstreamUnavailable):
        decoded([body])
    with pytest.raises(openai.APIError, match="broke off"):
        sdk_stream(body, lambda opened: opened.until_done())


def test_an_error_before_anything_was_sent_is_a_whole_stream():
    body = CODEC.stream_encoder(ASKED, OURS).error(UpstreamReset("gone"), "req-1")
    kinds = [told["type"] for told in objects_of(body)]
    assert kinds == ["response.created", "response.in_progress", "error", "response.failed"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UpstreamRateLimited("m"), "rate_limit_exceeded"),
        (UpstreamRejected("m", status=400, body=b"{}"), "invalid_prompt"),
        (ContextLengthExceeded("m", status=400, body=b"{}"), "context_length_exceeded"),
        (GatewayError("m"), "server_error"),
    ],
    ids=["rate", "request", "context", "server"],
)
def test_a_failed_response_has_a_code_that_clients_know(error, code):
    last = objects_of(CODEC.stream_encoder(ASKED, OURS).error(error, "r"))[-1]
    assert last["response"]["error"] == {"code": code, "message": "m"}


def test_pings_are_passed_over():
    ping = CODEC.stream_encoder(ASKED, OURS).ping()
    body = ping + ping.join(part + b"\n\n" for part in stream("text").split(b"\n\n") if part)
    assert answer(decoded([body])) == answer(decoded([stream("text")]))
    assert sdk_stream(body, lambda opened: opened.get_final_response()).output_text


def test_an_error_body_is_the_chat_dialects():
    error = UpstreamReset("gone")
    assert CODEC.error_body(error, "r") == CODECS["openai-chat"].error_body(error, "r")
    read = CODEC.read_error(429, b'{"error":{"message":"slow"}}', 3.0)
    assert isinstance(read, UpstreamRateLimited) and read.retry_after_s == 3.0
