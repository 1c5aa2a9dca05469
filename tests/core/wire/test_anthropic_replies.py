"""Replies in the messages dialect: decoded, relayed, encoded, and played again in another form."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import msgspec
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from tests.core.builders import cut, decode_stream
from tests.core.wire.replies import built, frames_gone

from pointsman.core.answer import AnswerBuilder
from pointsman.core.errors import (
    AllTargetsFailed,
    ContextLengthExceeded,
    Draining,
    GatewayError,
    RequestError,
    RequestTooLarge,
    Unauthorized,
    UpstreamAuth,
    UpstreamBadResponse,
    UpstreamError,
    UpstreamModelMissing,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamReset,
    UpstreamTimeout,
    UpstreamTooLarge,
    UpstreamUnavailable,
)
from pointsman.core.events import (
    Event,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from pointsman.core.types import Caller, ToolCall
from pointsman.core.usage import Usage
from pointsman.core.wire import CODECS, sse
from pointsman.core.wire.prompt import Message as PromptMessage
from pointsman.core.wire.prompt import Thinking

CODEC = CODECS["anthropic"]
GOLDEN = Path(__file__).parents[2] / "golden" / "anthropic"
STREAMS = sorted(path.stem for path in GOLDEN.glob("*.sse"))
REPLIES = sorted(path.stem for path in GOLDEN.glob("*.json") if "." not in path.stem)
SOURCE, OURS = "claude-sonnet-4-6", "anthropic/claude-sonnet-4-6"
ASKED = CODEC.decode_request(
    b'{"model":"auto","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}', Caller()
)
EVENTS: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
SIGNATURE = "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pk="
REDACTED = "EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIwxtE3rAFBa8cr3qpP"
USAGE = Usage(input_tokens=12, output_tokens=20)
CACHED = Usage(
    input_tokens=2006,
    cached_input_tokens=1920,
    cache_write_tokens=80,
    output_tokens=300,
    reasoning_tokens=128,
)
CACHED_LONG = msgspec.structs.replace(CACHED, long_cache_write_tokens=50)
each_stream = pytest.mark.parametrize("name", STREAMS)
each_reply = pytest.mark.parametrize("name", REPLIES)


def stream(name: str) -> bytes:
    return (GOLDEN / f"{name}.sse").read_bytes()


def reply(name: str) -> bytes:
    return (GOLDEN / f"{name}.json").read_bytes()


def decoded(chunks: Iterable[bytes]) -> list[Event]:
    return list(decode_stream(chunks, CODEC))


def answer(events: Iterable[Event]) -> tuple[object, ...]:
    """Return all that a client can see of an answer's first choice."""
    events = list(events)
    builder = built(events)
    signatures = [event.signature for event in events if isinstance(event, ReasoningDelta)]
    return (
        builder.text,
        builder.reasoning,
        [signature for signature in signatures if signature],
        builder.tool_calls,
        builder.usage or Usage(),
        builder.finish_reason,
        [event.stop_sequence for event in events if isinstance(event, Finished)],
    )


def encoded(events: Iterable[Event]) -> bytes:
    encoder = CODEC.stream_encoder(ASKED, OURS)
    return b"".join(encoder.encode(event) for event in events)


def pieces_of(body: bytes) -> list[dict[str, Any]]:
    splitter = sse.SseSplitter()
    frames = list(map(sse.parse_frame, splitter.feed(body) + splitter.finish()))
    pieces = [json.loads(frame.data) for frame in frames if frame.data]
    assert [piece["type"] for piece in pieces] == [frame.event for frame in frames if frame.data]
    return pieces


def said(*pieces: dict[str, Any]) -> bytes:
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (piece["type"].encode(), json.dumps(piece).encode())
        for piece in pieces
    )


OPENING: dict[str, Any] = {
    "type": "message_start",
    "message": {"id": "msg_1", "model": SOURCE, "content": []},
}
TEXT_START: dict[str, Any] = {
    "type": "content_block_start",
    "index": 0,
    "content_block": {"type": "text"},
}
STOPPING: dict[str, Any] = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
STOP: dict[str, Any] = {"type": "message_stop"}


def saying(text: str) -> dict[str, Any]:
    delta = {"type": "text_delta", "text": text}
    return {"type": "content_block_delta", "index": 0, "delta": delta}


def read_by_the_sdk(body: bytes) -> Message:
    """Return what Anthropic's own client makes of a stream."""
    transport = httpx2.MockTransport(
        lambda _: httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body)
    )
    with (
        httpx2.Client(transport=transport) as http,
        anthropic.Anthropic(api_key="-", base_url="http://x.test", http_client=http) as client,
        client.messages.stream(
            model="auto", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]
        ) as streamed,
    ):
        return streamed.get_final_message()


# Decoding.


@pytest.mark.parametrize(
    ("name", "text", "reasoning", "calls", "usage", "finish"),
    [
        ("text", "Grüße 世界 😀", "", (), USAGE, "stop"),
        ("cached", "Hi", "", (), CACHED, "stop"),
        ("cached_long", "Hi", "", (), CACHED_LONG, "stop"),
        ("thinking", "42", "Let me see.", (), USAGE, "stop"),
        ("thinking_omitted", "42", "", (), USAGE, "stop"),
        ("redacted", "Done.", "", (), USAGE, "stop"),
        ("tool_use", "Let me look.", "Two calls.", ("toolu_01A", "toolu_01B"), USAGE, "tool_calls"),
        ("stop_sequence", "one two", "", (), USAGE, "stop"),
        ("max_tokens", "So", "", (), USAGE, "length"),
        ("window", "So", "", (), USAGE, "length"),
        ("refusal", "I was about", "", (), USAGE, "refusal"),
        ("citations", "Grass is green.", "", (), USAGE, "stop"),
        ("web_search", "Searching.Found it.", "", (), USAGE, "pause_turn"),
        ("unknown_events", "Hi", "", (), USAGE, "stop"),
        ("no_message_stop", "Hi", "", (), USAGE, "stop"),
        ("unnamed", "Hi", "", (), USAGE, "stop"),
    ],
    ids=lambda value: value if isinstance(value, str) and value in STREAMS else "",
)
def test_a_stream_is_read(name, text, reasoning, calls, usage, finish):
    events = decoded([stream(name)])
    builder = built(events)
    assert (builder.text, builder.reasoning, builder.usage) == (text, reasoning, usage)
    assert tuple(call.id for call in builder.tool_calls) == calls
    assert builder.finish_reason == finish
    assert [isinstance(event, Finished) for event in events].index(True) == len(events) - 1
    (started,) = [event for event in events if isinstance(event, Started)]
    assert (started.model, started.dialect, started.is_stream) == (SOURCE, "anthropic", True)


def test_every_golden_stream_has_its_expectation():
    (mark,) = test_a_stream_is_read.pytestmark
    assert sorted(row[0] for row in mark.args[1]) == STREAMS


def test_a_tool_calls_pieces_are_put_together_and_one_without_arguments_has_an_empty_object():
    expected = (
        ToolCall(id="toolu_01A", name="get_weather", arguments='{"city": "Zürich"}'),
        ToolCall(id="toolu_01B", name="now", arguments="{}"),
    )
    assert built(decoded([stream("tool_use")])).tool_calls == expected
    whole = built(CODEC.decode_reply(reply("tool_use"))).tool_calls
    assert [json.loads(call.arguments) for call in whole] == [{"city": "Zürich"}, {}]


@pytest.mark.parametrize(
    ("name", "sealed"),
    [
        ("thinking", ReasoningDelta("", signature=SIGNATURE)),
        ("thinking_omitted", ReasoningDelta("", signature=SIGNATURE)),
        ("redacted", ReasoningDelta("", signature=REDACTED, is_redacted=True)),
    ],
)
def test_a_signature_seals_its_thinking(name, sealed):
    events = frames_gone(decoded([stream(name)]))
    signed = [e for e in events if isinstance(e, ReasoningDelta) and e.signature]
    assert [msgspec.structs.replace(event, frame=None) for event in signed] == [sealed]
    whole = [e for e in CODEC.decode_reply(reply(name)) if isinstance(e, ReasoningDelta)]
    assert [(e.signature, e.is_redacted) for e in whole] == [(sealed.signature, sealed.is_redacted)]


def test_the_stop_sequence_that_was_met_is_told():
    for events in (decoded([stream("stop_sequence")]), CODEC.decode_reply(reply("stop_sequence"))):
        *_, finished = events
        assert isinstance(finished, Finished) and finished.stop_sequence == "three"


def test_usage_is_known_from_the_first_event():
    events = decoded([stream("cached")])
    early = next(event for event in events if isinstance(event, UsageReport))
    assert early.usage.input_tokens == 2006 and early.usage.output_tokens == 1


@pytest.mark.parametrize(
    ("ending", "long"),
    [
        ({}, 50),
        ({"cache_creation_input_tokens": 80, "cache_creation": None}, 50),
        ({"cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}}, 50),
        ({"cache_creation_input_tokens": 100}, 70),
        ({"cache_creation": {"ephemeral_1h_input_tokens": 90}}, 90),
    ],
    ids=["nothing", "the total", "zeros", "a larger total", "a larger part"],
)
def test_what_is_written_for_an_hour_stands_whatever_a_streams_end_tells(ending, long):
    parts = {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 50}
    counted = {"input_tokens": 6, "cache_creation_input_tokens": 80, "cache_creation": parts}
    start = json.loads(json.dumps(OPENING))
    start["message"]["usage"] = counted
    stopping = {**STOPPING, "usage": {"output_tokens": 7, **ending}}
    usage = built(decoded([said(start, stopping, STOP)])).usage
    assert usage == Usage(
        input_tokens=36 + long,
        cache_write_tokens=30 + long,
        long_cache_write_tokens=long,
        output_tokens=7,
    )


@pytest.mark.parametrize("parts", [None, {}, {"ephemeral_5m_input_tokens": 80}])
def test_a_total_alone_is_written_for_minutes(parts):
    body = json.loads(reply("cached"))
    body["usage"]["cache_creation"] = parts
    assert built(CODEC.decode_reply(json.dumps(body).encode())).usage == CACHED


@each_stream
def test_events_do_not_depend_on_where_the_network_cuts(name):
    body = stream(name)
    whole = decoded([body])
    for place in range(len(body) + 1):
        assert decoded(cut(body, [place])) == whole
    assert decoded(bytes([byte]) for byte in body) == whole


@given(name=st.sampled_from(STREAMS), places=st.lists(st.integers(0, 3_000)))
def test_events_do_not_depend_on_how_many_cuts_there_are(name, places):
    body = stream(name)
    assert decoded(cut(body, places)) == decoded([body])


@each_stream
def test_a_stream_cut_off_anywhere_fails_or_has_all_its_content(name):
    body = stream(name)
    whole = answer(decoded([body]))
    for place in range(len(body)):
        try:
            got = answer(decoded([body[:place]]))
        except (UpstreamReset, UpstreamBadResponse):
            continue
        assert got == whole


@each_reply
def test_a_reply_and_its_stream_say_the_same(name):
    whole, streamed = answer(CODEC.decode_reply(reply(name))), answer(decoded([stream(name)]))
    if name != "tool_use":  # the model's own spaces are kept in its stream alone
        assert whole == streamed
    assert whole[:2] == streamed[:2]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", UpstreamReset),
        (b": nothing but comments\n\n", UpstreamReset),
        (said(OPENING, TEXT_START, saying("x")), UpstreamReset),
        (said(OPENING, STOP), UpstreamReset),
        (said(STOPPING, STOP), UpstreamReset),
        (b"event: error\ndata: <html>\n\n", UpstreamUnavailable),
        (said({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
         UpstreamUnavailable),
        (said(OPENING, {"type": "error", "error": {"type": "api_error", "message": "m"}}),
         UpstreamUnavailable),
        (said({"type": "error", "error": {"type": "rate_limit_error", "message": "m"}}),
         UpstreamRateLimited),
        (said({"type": "error", "error": {"type": "authentication_error", "message": "m"}}),
         UpstreamAuth),
        (said({"type": "error", "error": {"type": "billing_error", "message": "m"}}),
         UpstreamAuth),
        (said({"type": "error", "error": {"type": "invalid_request_error", "message": "m"}}),
         UpstreamRejected),
        (said({"type": "error", "error": {"type": "request_too_large", "message": "m"}}),
         UpstreamRejected),
        (b'data: {"type":"error","error":{"type":"overloaded_error"}}\n\n', UpstreamUnavailable),
        (said(OPENING, {"type": "error"}), UpstreamUnavailable),
        (b"data: {\n\n", UpstreamBadResponse),
        (b"data: []\n\n", UpstreamBadResponse),
        (b"data: null\n\n", UpstreamBadResponse),
        (b"data: " + b'{"a":' * 5_000 + b"\n\n", UpstreamBadResponse),
        (said(OPENING, {"type": "content_block_start", "index": 0}), UpstreamBadResponse),
        (said(OPENING, {"type": "content_block_delta", "index": "0"}), UpstreamBadResponse),
        (b'event: message_start\ndata: {"type":"message_start","message":{"id":"\xff"}}\n\n',
         UpstreamBadResponse),
    ],
    ids=["empty", "comments", "no stop", "stop too early", "no start", "html error", "overloaded",
         "api", "rate limit", "key", "billing", "invalid", "too large", "unnamed error",
         "empty error", "cut", "list", "null", "deep", "no block", "index", "no unicode"],
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
        (b'{"content":[7]}', UpstreamBadResponse),
        (b'{"content":[{"type":"text","text":"\xff"}]}', UpstreamBadResponse),
        (b"[" * 100_000, UpstreamBadResponse),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}',
         UpstreamUnavailable),
    ],
    ids=["empty", "html", "object", "number", "no unicode", "deep", "error"],
)  # fmt: skip
def test_a_broken_reply_fails_as_what_it_is(body, error):
    with pytest.raises(error):
        list(CODEC.decode_reply(body))


@given(body=st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_whatever_an_upstream_sends_nothing_but_its_own_errors_comes_out(body):
    wrapped = b'data: {"type":"message_start","message":' + body + b"}\n\n"
    for chunk in (body, b"data: " + body + b"\n\n", wrapped):
        with pytest.raises(UpstreamError):
            decoded([chunk])
    for whole in (body, b'{"content":[' + body + b"1]}"):
        with pytest.raises(UpstreamError):
            list(CODEC.decode_reply(whole))


def test_a_frame_over_the_limit_is_too_large(monkeypatch):
    monkeypatch.setattr(sse, "FRAME_BYTES_MAX", 1_000)
    with pytest.raises(UpstreamTooLarge):
        decoded([b"data: " + b"x" * 2_000])


# Errors.


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        (400, "messages: text content blocks must be non-empty", UpstreamRejected),
        (400, "prompt is too long: 208310 tokens > 200000 maximum", ContextLengthExceeded),
        (400, "input length and `max_tokens` exceed context limit: 1 + 2 > 3",
         ContextLengthExceeded),
        (400, "Your credit balance is too low to access the API", UpstreamAuth),
        (400, "You have reached your specified API usage limits.", UpstreamAuth),
        (400, "'You have reached your specified API usage limits' is no role", UpstreamRejected),
        (401, "invalid x-api-key", UpstreamAuth),
        (402, "billing", UpstreamAuth),
        (403, "no", UpstreamAuth),
        (404, "model: claude-x", UpstreamModelMissing),
        (413, "Request exceeds the maximum size", UpstreamRejected),
        (429, "slow down", UpstreamRateLimited),
        (500, "Internal server error", UpstreamUnavailable),
        (504, "timeout", UpstreamUnavailable),
        (529, "Overloaded", UpstreamUnavailable),
    ],
)  # fmt: skip
def test_an_error_reply_means_an_error_of_the_tree(status, message, error):
    body = {"type": "error", "error": {"type": "x", "message": message}, "request_id": "req_1"}
    read = CODEC.read_error(status, json.dumps(body).encode(), 3.0)
    assert type(read) is error
    assert message in read.message
    assert read.retry_after_s == (3.0 if status in (429, 500, 504, 529) else None)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RequestError("m", param="temperature"), "invalid_request_error"),
        (Unauthorized("m"), "authentication_error"),
        (RequestTooLarge("m"), "request_too_large"),
        (UpstreamRateLimited("m"), "rate_limit_error"),
        (UpstreamReset("m"), "api_error"),
        (UpstreamTimeout("m"), "timeout_error"),
        (UpstreamUnavailable("m"), "overloaded_error"),
        (Draining("m"), "overloaded_error"),
        (AllTargetsFailed("m"), "overloaded_error"),
        (UpstreamRejected("m", status=422, body=b"<html>"), "invalid_request_error"),
        (UpstreamRejected("m", status=400, body=b'{"error":{"message":"other"}}'),
         "invalid_request_error"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)  # fmt: skip
def test_an_error_has_the_dialects_own_shape(error: GatewayError, kind):
    told = json.loads(CODEC.error_body(error, "req-1"))
    assert told["type"] == "error" and told["request_id"] == "req-1"
    assert (told["error"]["type"], told["error"]["message"]) == (kind, "m")
    assert ("attempts" in told["error"]) is isinstance(error, AllTargetsFailed)


def test_an_upstreams_own_error_goes_on_as_it_came():
    body = b'{"type":"error", "error":{"type":"invalid_request_error","message":"m"},"x":1}'
    assert CODEC.error_body(UpstreamRejected("m", status=400, body=body), "req-1") == body


def test_an_error_in_a_stream_is_one_that_the_sdk_raises():
    body = stream("text").partition(b"event: content_block_stop")[0]
    broken = CODEC.stream_encoder(ASKED, OURS).error(UpstreamReset("it broke off"), "req-1")
    with pytest.raises(anthropic.APIStatusError, match="it broke off"):
        read_by_the_sdk(body + broken)
    with pytest.raises(UpstreamUnavailable):
        decoded([body + broken])
    (told,) = pieces_of(broken)
    assert told["type"] == "error" and told["request_id"] == "req-1"
    assert b"message_stop" not in broken


# Relaying: the same dialect on both sides.


@each_stream
def test_a_relayed_golden_stream_differs_in_the_models_name_alone(name):
    body = stream(name)
    head, mark, rest = body.partition(b"message_start\n") if name != "unnamed" else (b"", b"", body)
    expected = head + mark + rest.replace(SOURCE.encode(), OURS.encode(), 1)
    if name == "unknown_events":  # what comes before the message stays behind
        expected = expected.removeprefix(said({"type": "ping"}).replace(b'": "', b'":"'))
    if name == "unnamed":  # what comes after its end does too
        expected = expected.removesuffix(b"data: [DONE]\n\n")
    if name == "no_message_stop":
        expected += b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    assert encoded(decoded([body])) == expected


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
MEMBERS = st.dictionaries(
    st.sampled_from(["x", "ü", "container", "usage"]),
    st.none() | TEXTS | st.fixed_dictionaries({"model": st.just(SOURCE + "?")})
    | st.sampled_from(["model", '"model":"' + SOURCE + '"']),
    max_size=3,
)  # fmt: skip
WRITINGS = st.fixed_dictionaries(
    {
        "separators": st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :")]),
        "ensure_ascii": st.booleans(),
    }
)


@given(
    members=MEMBERS.filter(lambda members: "usage" not in members),
    texts=st.lists(TEXTS | st.just('"model"'), max_size=3),
    writing=WRITINGS,
    framing=st.sampled_from(
        [
            b"event: %s\ndata: %s\n\n",
            b"event: %s\r\ndata:%s\r\n\r\n",
            b"id: 1\nevent: %s\ndata: %s\n: c\n\n",
        ]
    ),
)  # fmt: skip
def test_a_relayed_stream_keeps_every_byte_but_the_models_name(members, texts, writing, framing):
    def written(model: str) -> bytes:
        opening = {"type": "message_start", "message": {"id": "m", **members, "model": model}}
        opening |= {"model": SOURCE}
        pieces: list[dict[str, Any]] = [opening, TEXT_START, *map(saying, texts), STOPPING, STOP]
        return b"".join(
            framing % (str(piece["type"]).encode(), json.dumps(piece, **writing).encode())
            for piece in pieces
        )

    assert encoded(decoded([written(SOURCE)])) == written(OURS)


def test_an_opening_of_several_lines_is_relayed_as_the_same_json():
    lines = json.dumps(OPENING, indent=1).encode().splitlines()
    body = b"event: message_start\n" + b"".join(b"data: " + line + b"\n" for line in lines) + b"\n"
    relayed = pieces_of(encoded(decoded([body + said(STOPPING, STOP)])))
    assert relayed[0]["message"] == OPENING["message"] | {"model": OURS}


@each_reply
def test_a_relayed_reply_differs_in_the_models_name_alone(name):
    body = reply(name)
    assert CODEC.encode_reply(CODEC.decode_reply(body), ASKED, OURS) == body.replace(
        SOURCE.encode(), OURS.encode(), 1
    )


@given(members=MEMBERS, writing=WRITINGS, indent=st.none() | st.integers(0, 2), text=TEXTS)
def test_a_relayed_reply_keeps_every_byte_but_the_models_name(members, writing, indent, text):
    members = members | {"usage": None}
    body = {**members, "model": SOURCE, "content": [{"type": "text", "text": text}]}
    source = json.dumps(body, **writing, indent=indent)
    ours = json.dumps(body | {"model": OURS}, **writing, indent=indent)
    assert CODEC.encode_reply(CODEC.decode_reply(source.encode()), ASKED, OURS) == ours.encode()


def test_what_the_request_cost_is_not_added_to_anthropics_usage():
    events = [
        msgspec.structs.replace(event, cost_nanousd=1_500_000)
        if isinstance(event, UsageReport)
        else event
        for event in decoded([stream("text")])
    ]
    for told in (encoded(events), encoded(frames_gone(events))):
        assert b"cost" not in told


# Encoding: events with no source in this dialect.

USAGES = st.builds(
    lambda plain, cached, short, long, reasoning, text: Usage(
        input_tokens=plain + cached + short + long,
        cached_input_tokens=cached,
        cache_write_tokens=short + long,
        long_cache_write_tokens=long,
        output_tokens=reasoning + text,
        reasoning_tokens=reasoning,
    ),
    *[st.integers(0, 10**9)] * 5,
    st.integers(1, 10**9),
)
OBJECTS = st.dictionaries(TEXTS, TEXTS | st.integers(-9, 9), max_size=3).map(json.dumps)
SIGNATURES = st.just("") | TEXTS


@st.composite
def call_events(draw: st.DrawFn) -> list[Event]:
    """Draw calls with sound arguments whose pieces come in any mixture, each call's in order."""
    first = draw(st.integers(0, 2))
    pieces: list[Event] = []
    for index in range(first, first + draw(st.integers(1, 3))):
        arguments = draw(OBJECTS)
        at = draw(st.integers(0, len(arguments)))
        head = ToolCallDelta(index=index, id=f"call_{index}", name="f", arguments=arguments[:at])
        place = draw(st.integers(0, len(pieces)))
        pieces.insert(place, head)
        if arguments[at:]:
            tail = ToolCallDelta(index=index, arguments=arguments[at:])
            pieces.insert(draw(st.integers(place + 1, len(pieces))), tail)
    return pieces


CONTENT = (
    st.builds(TextDelta, TEXTS).map(lambda event: [event])
    | st.builds(TextDelta, TEXTS, is_refusal=st.just(True)).map(lambda event: [event])
    | st.builds(ReasoningDelta, TEXTS, signature=SIGNATURES).map(lambda event: [event])
    | st.builds(ReasoningDelta, st.just(""), signature=TEXTS, is_redacted=st.just(True)).map(
        lambda event: [event]
    )
    | st.builds(TextDelta, TEXTS, choice=st.just(1)).map(lambda event: [event])
)
STARTS = st.builds(
    Started,
    id=TEXTS | TEXTS.map(lambda text: f"msg_{text}"),
    created=st.integers(0, 2**40),
    model=TEXTS,
    dialect=st.just("openai-chat"),
    is_stream=st.booleans(),
    frame=st.none() | st.binary(max_size=3),
)
ENDS = st.sampled_from(["stop", "length", "tool_calls", "refusal", "content_filter", "odd"])


@st.composite
def event_lists(draw: st.DrawFn) -> list[Event]:
    usage = [UsageReport(draw(USAGES))] if draw(st.booleans()) else []
    content = [event for events in draw(st.lists(CONTENT, max_size=6)) for event in events]
    calls = draw(call_events()) if draw(st.booleans()) else []
    return [draw(STARTS), *content, *calls, *usage, Finished(draw(ENDS))]


def blocks_of(events: Iterable[Event]) -> list[object]:
    """Return the content, as the reply's encoder writes it."""
    written = CODEC.encode_reply(frames_gone(events), ASKED, OURS)
    content = json.loads(written)["content"]
    assert isinstance(content, list)
    return content


@given(events=event_lists(), places=st.lists(st.integers(0, 3_000), max_size=6))
def test_events_survive_being_encoded_cut_and_decoded(events, places):
    again = frames_gone(decoded(cut(encoded(events), places)))
    before, after = built(event for event in events if not _is_other_choice(event)), built(again)
    assert (after.text, after.reasoning) == (before.text, before.reasoning)
    assert calls_of(after) == calls_of(before)
    assert (after.usage or Usage()) == (before.usage or Usage())
    assert blocks_of(again) == blocks_of(events)


def calls_of(builder: AnswerBuilder) -> list[tuple[str, str, object]]:
    calls = ((call.id, call.name, json.loads(call.arguments)) for call in builder.tool_calls)
    return sorted(calls, key=lambda call: call[0])


def _is_other_choice(event: Event) -> bool:
    return isinstance(event, TextDelta) and event.choice != 0


@given(events=event_lists())
def test_an_encoded_stream_is_the_sdks(events):
    body = encoded(events)
    pieces = pieces_of(body)
    assert pieces[1] == {"type": "ping"}
    for piece in pieces:
        if piece["type"] != "ping":
            EVENTS.validate_python(piece, strict=True)
    message = read_by_the_sdk(body)
    whole = json.loads(CODEC.encode_reply(events, ASKED, OURS))
    assert message.model == OURS and message.id == whole["id"] and message.id.startswith("msg_")
    content = [block.model_dump(exclude_none=True) for block in message.content]
    assert given_back(content) == given_back(whole["content"])
    assert (message.stop_reason, message.stop_sequence) == (
        whole["stop_reason"],
        whole["stop_sequence"],
    )
    assert message.usage.output_tokens == whole["usage"]["output_tokens"]


@given(events=event_lists())
def test_a_streams_blocks_are_numbered_opened_once_and_closed_once(events):
    opened, closed = list[int](), list[int]()
    for piece in pieces_of(encoded(events)):
        match piece["type"]:
            case "content_block_start":
                opened.append(piece["index"])
            case "content_block_stop":
                closed.append(piece["index"])
            case "content_block_delta":
                assert piece["index"] in opened and piece["index"] not in closed
    assert opened == list(range(len(opened))) and sorted(closed) == opened


def test_calls_that_come_one_after_another_are_closed_one_after_another():
    calls = [
        ToolCallDelta(index=0, id="a", name="f", arguments='{"x":'),
        ToolCallDelta(index=0, arguments="1}"),
        ToolCallDelta(index=1, id="b", name="g", arguments="{}"),
    ]
    pieces = pieces_of(encoded([_started(), *calls, Finished("stop")]))
    told = [(piece["type"], piece.get("index")) for piece in pieces[2:]]
    assert told == [
        ("content_block_start", 0),
        ("content_block_delta", 0),
        ("content_block_delta", 0),
        ("content_block_stop", 0),
        ("content_block_start", 1),
        ("content_block_delta", 1),
        ("content_block_stop", 1),
        ("message_delta", None),
        ("message_stop", None),
    ]


@pytest.mark.parametrize(
    ("before", "ends"),
    [
        ([TextDelta("Hi.")], True),
        ([ToolCallDelta(index=0, id="a", name="f", arguments="{}")], True),
        ([TextDelta("Hi."), ToolCallDelta(index=0, id="a", name="f", arguments='{"x":')], True),
        ([ReasoningDelta("Hm."), TextDelta("Hi.")], True),
        ([TextDelta("Hi."), ReasoningDelta("Hm.")], False),
        ([], False),
    ],
    ids=["text", "call", "half a call", "thought and text", "thought", "nothing"],
)
@pytest.mark.parametrize("count", [1, 2])
def test_a_seal_behind_the_words_comes_back_there_and_does_not_end_the_answer(before, ends, count):
    """Issue 4: Claude Code took such a block for the answer, and had no text to show.

    It takes a streamed answer's blocks in the order in which they end, SDKs by their numbers.
    """
    seals = [ReasoningDelta("", signature=f"s{n}", is_redacted=True) for n in range(count)]
    events: list[Event] = [_started(), *before, *seals, Finished("stop")]
    whole = json.loads(CODEC.encode_reply(events, ASKED, OURS))["content"]
    pieces = pieces_of(encoded(events))
    numbered = [p["content_block"] for p in pieces if p["type"] == "content_block_start"]
    ended = [numbered[p["index"]] for p in pieces if p["type"] == "content_block_stop"]
    for blocks in (whole, ended):
        assert (blocks[-1]["type"] != "redacted_thinking") is ends
    for blocks in (whole, ended, numbered):
        *_, message = given_back(blocks)
        assert [*message.parts[-count:]] == [
            Thinking(signature=seal.signature, is_redacted=True) for seal in seals
        ]
        body = asked_with(blocks)
        assert CODEC.decode_request(body, Caller()).signatures[-count:] == ("s0", "s1")[:count]
        for keeps, left in (({"s0", "s1"}.__contains__, count), (set().__contains__, 0)):
            fitted = CODEC.refit_body(body, keeps=keeps, call_id=str)
            assert fitted.count(b"redacted_thinking") == left


def test_a_seal_between_words_stays_between_them():
    seal = ReasoningDelta("", signature="s", is_redacted=True)
    events: list[Event] = [_started(), TextDelta("a"), seal, TextDelta("b"), Finished("stop")]
    content = json.loads(CODEC.encode_reply(events, ASKED, OURS))["content"]
    assert [block["type"] for block in content] == ["text", "redacted_thinking", "text"]
    assert content[1]["data"] == "s"
    assert [block.type for block in read_by_the_sdk(encoded(events)).content] == [
        block["type"] for block in content
    ]


def asked_with(blocks: list[dict[str, Any]]) -> bytes:
    """Return a request that gives an answer's blocks back."""
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": blocks}]
    return json.dumps({"model": "auto", "max_tokens": 9, "messages": messages}).encode()


def given_back(blocks: list[dict[str, Any]]) -> tuple[PromptMessage, ...]:
    """Return what a request says that gives an answer's blocks back."""
    return CODEC.read_prompt(CODEC.decode_request(asked_with(blocks), Caller())).messages


def _started(made: str = "resp_1") -> Started:
    return Started(id=made, created=0, model="m", dialect="openai-chat", is_stream=True)


@given(events=event_lists())
def test_an_encoded_reply_is_the_sdks_and_says_the_same(events):
    body = CODEC.encode_reply(events, ASKED, OURS)
    assert Message.model_validate_json(body).model == OURS
    assert blocks_of(CODEC.decode_reply(body)) == blocks_of(events)


@pytest.mark.parametrize(
    ("events", "finished", "reason"),
    [
        ([TextDelta("x")], Finished("stop"), "end_turn"),
        ([TextDelta("x")], Finished("stop", stop_sequence="y"), "stop_sequence"),
        ([ToolCallDelta(index=0, id="a", name="f")], Finished("stop"), "tool_use"),
        ([ToolCallDelta(index=0, id="a", name="f")], Finished("length"), "max_tokens"),
        ([TextDelta("No.", is_refusal=True)], Finished("stop"), "end_turn"),
        ([], Finished("content_filter"), "refusal"),
        ([], Finished("function_call"), "tool_use"),
        ([], Finished("pause_turn"), "pause_turn"),
        ([], Finished("made up"), "end_turn"),
    ],
)
def test_the_stop_reason_is_one_of_this_dialect(events, finished, reason):
    whole = json.loads(CODEC.encode_reply([_started(), *events, finished], ASKED, OURS))
    *_, ending, _ = pieces_of(encoded([_started(), *events, finished]))
    assert whole["stop_reason"] == ending["delta"]["stop_reason"] == reason
    assert whole["stop_sequence"] == ending["delta"]["stop_sequence"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", {}),
        (" ", {}),
        ('{"a":1}', {"a": 1}),
        ("[1]", {"arguments": [1]}),
        ("7", {"arguments": 7}),
        ('{"a":', {"arguments": '{"a":'}),
        ("ls -l", {"arguments": "ls -l"}),
    ],
)
def test_a_calls_arguments_are_an_object_in_a_reply(arguments, expected):
    call = ToolCallDelta(index=0, id="a", name="f", arguments=arguments)
    whole = CODEC.encode_reply([_started(), call, Finished("tool_calls")], ASKED, OURS)
    (block,) = json.loads(whole)["content"]
    assert block["input"] == expected
    Message.model_validate_json(whole)


def test_a_message_keeps_its_id_or_gets_one_made_from_the_sources():
    def told(made: str) -> str:
        return str(json.loads(CODEC.encode_reply([_started(made)], ASKED, OURS))["id"])

    assert told("msg_abc") == "msg_abc"
    assert told("resp_1") == told("resp_1") != told("resp_2")


def test_a_call_without_an_id_gets_its_own():
    calls = [ToolCallDelta(index=index, name="f") for index in (0, 1)]
    content = blocks_of([_started(), *calls, Finished("stop")])
    ids = [block["id"] for block in content if isinstance(block, dict)]
    streamed = pieces_of(encoded([_started(), *calls, Finished("stop")]))
    assert ids == [p["content_block"]["id"] for p in streamed if "content_block" in p]
    assert len(set(ids)) == 2 and all(own.startswith("toolu_") for own in ids)


@each_reply
def test_a_reply_played_as_a_stream_says_the_same(name):
    events = list(CODEC.decode_reply(reply(name)))
    streamed = encoded(events)
    assert answer(decoded([streamed])) == answer(events)
    assert read_by_the_sdk(streamed).stop_reason


@each_stream
def test_a_stream_played_as_a_reply_says_the_same(name):
    events = decoded([stream(name)])
    body = CODEC.encode_reply(events, ASKED, OURS)
    Message.model_validate_json(body)
    if name != "tool_use":  # the model's own spaces are kept in its stream alone
        assert answer(CODEC.decode_reply(body)) == answer(events)


@each_stream
def test_the_golden_streams_are_the_sdks(name):
    if name not in ("unknown_events", "unnamed", "no_message_stop"):
        for piece in pieces_of(stream(name)):
            if piece["type"] != "ping":
                EVENTS.validate_python(piece, strict=True)
        read_by_the_sdk(stream(name))


@each_reply
def test_the_golden_replies_are_the_sdks(name):
    Message.model_validate_json(reply(name), strict=True)


def test_a_ping_is_one_that_the_sdk_passes_over():
    ping = CODEC.stream_encoder(ASKED, OURS).ping()
    body = stream("text")
    assert pieces_of(ping) == [{"type": "ping"}]
    assert read_by_the_sdk(ping + body) == read_by_the_sdk(body)
