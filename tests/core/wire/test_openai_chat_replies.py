"""Replies in the chat dialect: decoded, relayed, encoded, and played again in the other form."""

import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from tests.core.builders import CHAT, chat_request, cut, decode_stream
from tests.core.wire.replies import built, frames_gone

from pointsman.core.answer import AnswerBuilder
from pointsman.core.errors import (
    ContextLengthExceeded,
    UpstreamAuth,
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
from pointsman.core.types import ToolCall
from pointsman.core.usage import Usage
from pointsman.core.wire import sse

GOLDEN = Path(__file__).parents[2] / "golden" / "openai_chat"
STREAMS = sorted(path.stem for path in GOLDEN.glob("*.sse"))
REPLIES = sorted(path.stem for path in GOLDEN.glob("*.json"))
SOURCE, OURS = "gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini"
ASKED = chat_request(b'{"model":"auto","messages":[{"role":"user","content":"Hi"}]}')
STARTED = Started(id="1", created=1, model=SOURCE, dialect="anthropic", is_stream=True)
USAGE = Usage(input_tokens=2006, cached_input_tokens=1920, output_tokens=300, reasoning_tokens=128)
each_stream = pytest.mark.parametrize("name", STREAMS)
each_reply = pytest.mark.parametrize("name", REPLIES)


def stream(name: str) -> bytes:
    return (GOLDEN / f"{name}.sse").read_bytes()


def reply(name: str) -> bytes:
    return (GOLDEN / f"{name}.json").read_bytes()


def answer(events: Iterable[Event]) -> tuple[object, ...]:
    """Return all that a client can see of an answer's first choice."""
    events = list(events)
    builder = built(events)
    texts = [event for event in events if isinstance(event, TextDelta) and event.choice == 0]
    said = [text for text in texts if not text.is_refusal]
    refused = [text for text in texts if text.is_refusal]
    return (
        *("".join(text.text for text in kind) for kind in (said, refused)),
        *([token for text in kind for token in text.logprobs] for kind in (said, refused)),
        builder.reasoning,
        builder.tool_calls,
        builder.usage or Usage(),
        builder.finish_reason,
    )


def encoded(events: Iterable[Event], *, wants_usage: bool = True) -> bytes:
    options = ',"stream_options":{"include_usage":true}' if wants_usage else ""
    asked = chat_request(b'{"model":"auto","messages":[{"role":"user"}]%s}' % options.encode())
    encoder = CHAT.stream_encoder(asked, OURS)
    return b"".join(encoder.encode(event) for event in events)


def chunks_of(body: bytes) -> list[dict[str, Any]]:
    splitter = sse.SseSplitter()
    frames = list(map(sse.parse_frame, splitter.feed(body) + splitter.finish()))
    return [json.loads(f.data) for f in frames if f.data and f.data != b"[DONE]"]


def said(*chunks: object, done: bool = True) -> bytes:
    body = b"".join(sse.data_frame(msgspec.json.encode(chunk)) for chunk in chunks)
    return body + sse.data_frame(b"[DONE]") if done else body


def saying(delta: object, finish: str | None = None, **more: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


# Decoding.


@pytest.mark.parametrize(
    ("name", "text", "reasoning", "calls", "usage", "finish"),
    [
        ("text", "Grüße 世界 😀", "", (), None, "stop"),
        ("usage", "Hi", "", (), USAGE, "stop"),
        ("usage_with_the_last_choice", "Hi", "", (), USAGE, "stop"),
        ("tool_calls", "", "", ("call_a1", "call_b2"), None, "tool_calls"),
        ("several_choices", "Aa", "", (), None, "length"),
        ("refusal", "I cannot help.", "", (), None, "refusal"),
        ("reasoning", "42", "Let me see.", (), USAGE, "stop"),
        ("content_filter", "So", "", (), None, "content_filter"),
        ("no_done", "Hi", "", (), None, "stop"),
        ("comments_and_spaces", 'the "model": "usage" 😀', "", (), USAGE, "stop"),
        ("function_call", "", "", ("",), None, "tool_calls"),
        ("azure_filters", "Hi", "", (), None, "stop"),
        ("logprobs", "Hi", "", (), None, "stop"),
    ],
    ids=lambda value: value if isinstance(value, str) and value in STREAMS else "",
)
def test_a_stream_is_read(name, text, reasoning, calls, usage, finish):
    events = list(decode_stream([stream(name)]))
    builder = built(events)
    assert (builder.text, builder.reasoning, builder.usage) == (text, reasoning, usage)
    assert tuple(call.id for call in builder.tool_calls) == calls
    assert builder.finish_reason == finish
    assert [isinstance(event, Finished) for event in events].index(True) == len(events) - 1


def test_every_golden_stream_has_its_expectation():
    (mark,) = test_a_stream_is_read.pytestmark
    assert sorted(row[0] for row in mark.args[1]) == STREAMS


def test_a_tool_calls_pieces_are_put_together():
    assert built(decode_stream([stream("tool_calls")])).tool_calls == (
        ToolCall(id="call_a1", name="get_weather", arguments='{"city":"Zürich"}'),
        ToolCall(id="call_b2", name="now", arguments="{}"),
    )


@each_stream
def test_events_do_not_depend_on_where_the_network_cuts(name):
    body = stream(name)
    whole = list(decode_stream([body]))
    for place in range(len(body) + 1):
        assert list(decode_stream(cut(body, [place]))) == whole
    assert list(decode_stream(bytes([byte]) for byte in body)) == whole


@given(name=st.sampled_from(STREAMS), places=st.lists(st.integers(0, 2_000)))
def test_events_do_not_depend_on_how_many_cuts_there_are(name, places):
    body = stream(name)
    assert list(decode_stream(cut(body, places))) == list(decode_stream([body]))


@each_stream
def test_a_stream_cut_off_anywhere_fails_or_has_all_its_content(name):
    body = stream(name)
    whole = built(decode_stream([body]))
    for place in range(len(body)):
        try:
            builder = built(decode_stream([body[:place]]))
        except (UpstreamReset, UpstreamBadResponse):
            continue
        assert (builder.text, builder.tool_calls) == (whole.text, whole.tool_calls)


@each_reply
def test_a_reply_and_its_stream_say_the_same(name):
    whole, streamed = built(CHAT.decode_reply(reply(name))), built(decode_stream([stream(name)]))
    assert (whole.reasoning, whole.tool_calls) == (streamed.reasoning, streamed.tool_calls)
    assert whole.usage == USAGE
    assert whole.finish_reason == streamed.finish_reason
    if name != "several_choices":
        assert whole.text == streamed.text


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", UpstreamReset),
        (b": nothing but comments\n\n", UpstreamReset),
        (said(saying({"content": "x"})), UpstreamReset),
        (said(saying({"content": "x"}), done=False), UpstreamReset),
        (said(saying({"content": "x"}, ""), done=False), UpstreamReset),
        (said(saying({}, "stop"), {"choices": [{"index": 1}]}, done=False), UpstreamReset),
        (said({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}),
         UpstreamRateLimited),
        (said({"error": {"message": "no", "code": 429}}), UpstreamRateLimited),
        (said({"error": {"message": "no", "code": "503"}}), UpstreamUnavailable),
        (said({"error": {"message": "no", "type": "invalid_request_error"}}), UpstreamRejected),
        (said({"error": {"message": "no", "code": "9" * 5_000}}), UpstreamUnavailable),
        (said({"error": "in a word"}), UpstreamUnavailable),
        (said(saying({"content": ""}, "error", error={"code": 502, "message": "gone"})),
         UpstreamUnavailable),
        (said(saying({"content": "x"}), {"error": {"message": "gone"}}), UpstreamUnavailable),
        (b"data: {\n\n", UpstreamBadResponse),
        (b"data: []\n\n", UpstreamBadResponse),
        (b"data: null\n\n", UpstreamBadResponse),
        (b"data: <html>\n\n", UpstreamBadResponse),
        (b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n', UpstreamBadResponse),
        (b"data: " + b'{"a":' * 5_000 + b"\n\n", UpstreamBadResponse),
        (b'data: {"choices":{}}\n\n', UpstreamBadResponse),
        (b'data: {"created":1e400}\n\n', UpstreamBadResponse),
    ],
    ids=["empty", "comments", "done too early", "no finish", "empty finish", "one of two choices",
         "rate limit", "numeric code", "code in words", "type", "endless code", "plain", "beside",
         "after content", "cut", "list", "null", "html", "no unicode", "deep", "choices", "huge"],
)  # fmt: skip
def test_a_broken_stream_fails_as_what_it_is(body, error):
    with pytest.raises(error) as caught:
        list(decode_stream([body]))
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", UpstreamBadResponse),
        (b"<html>", UpstreamBadResponse),
        (b"{}", UpstreamBadResponse),
        (b'{"choices":[]}', UpstreamBadResponse),
        (b'{"choices":[{"message":{"content":"\xff"}}]}', UpstreamBadResponse),
        (b"[" * 100_000, UpstreamBadResponse),
        (b'{"error":{"message":"no","code":429}}', UpstreamRateLimited),
        (b'{"error":{"message":"no","code":503},"choices":[]}', UpstreamUnavailable),
    ],
    ids=["empty", "html", "object", "no choices", "no unicode", "deep", "error", "both"],
)
def test_a_broken_reply_fails_as_what_it_is(body, error):
    with pytest.raises(error):
        list(CHAT.decode_reply(body))


@pytest.mark.parametrize(
    "body",
    [
        said(saying({"content": "x"}, "stop", error=None)),
        said(saying({"content": "x"}, "stop", error={})),
        said(saying({"content": "x"}, "stop", error="")),
        said(saying({"content": "x"}), saying({}, "stop")).replace(b"data: [", b"data:[", 1),
        said(saying({"content": "x"}), saying({}, "stop")).replace(b"DONE]", b"DONE] ", 1),
        b"data:\n\n" + said(saying({"content": "x"}, "stop")),
        said(saying({"content": "x"}, ""), saying({"content": ""}, "stop")),
        said(saying({"content": "x"}, "stop"), {"usage": {}}),
        said(saying({"content": "x"}, "stop")) + b"data: what comes after is not read\n\n",
        said(saying({"content": "x"}, "stop"), saying({}, None), done=False),
        said(saying({"content": "x"}, "stop", created=1.5, id=None, model=None)),
        said({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}),
        said(saying({"content": [{"type": "text", "text": "x"}]}, "stop")),
        said(saying({"content": "x", "tool_calls": None, "refusal": None}, "stop", usage=None)),
    ],
    ids=["null error", "no error", "blank error", "done without a blank", "done with a blank",
         "empty event", "empty finish", "empty usage", "after done", "after finish", "odd head",
         "message", "parts", "nulls"],
)  # fmt: skip
def test_an_odd_but_whole_stream_is_read(body):
    builder = built(decode_stream([body]))
    assert (builder.text, builder.finish_reason, builder.usage) == ("x", "stop", None)


def test_thinking_parts_are_reasoning():
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "42"},
    ]
    builder = built(decode_stream([said(saying({"content": parts}, "stop"))]))
    assert (builder.reasoning, builder.text) == ("hm", "42")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2}, Usage(input_tokens=5, output_tokens=2)),
        ({"prompt_tokens": 5.0, "completion_tokens": 2.0}, Usage(input_tokens=5, output_tokens=2)),
        ({"prompt_tokens": -5, "completion_tokens": None, "total_tokens": 3}, Usage()),
        (
            {"prompt_tokens": 5, "completion_tokens": 0, "prompt_cache_hit_tokens": 4},
            Usage(input_tokens=5, cached_input_tokens=4),
        ),
        (
            {"prompt_tokens": 5, "cache_creation_input_tokens": 3, "prompt_tokens_details": None},
            Usage(input_tokens=5, cache_write_tokens=3),
        ),
        (
            {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135,
             "completion_tokens_details": {"reasoning_tokens": 94}},
            Usage(input_tokens=32, output_tokens=103, reasoning_tokens=94),
        ),
        (
            {"prompt_tokens": 32, "completion_tokens": 103, "total_tokens": 135,
             "completion_tokens_details": {"reasoning_tokens": 94}},
            Usage(input_tokens=32, output_tokens=103, reasoning_tokens=94),
        ),
    ],
    ids=["plain", "floats", "negative", "deepseek", "cache write", "xai", "openai"],
)  # fmt: skip
def test_usage_is_read_by_whichever_name_it_has(usage, expected):
    body = said(saying({"content": "x"}, "stop"), {"choices": [], "usage": usage})
    assert built(decode_stream([body])).usage == expected


def test_a_frame_over_the_limit_is_too_large(monkeypatch):
    monkeypatch.setattr(sse, "FRAME_BYTES_MAX", 1_000)
    with pytest.raises(UpstreamTooLarge):
        list(decode_stream([b"data: " + b"x" * 2_000]))


@given(body=st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_whatever_an_upstream_sends_nothing_but_its_own_errors_comes_out(body):
    for wrapped in (body, b"data: " + body + b"\n\n", b'data: {"choices":[' + body + b"]}\n\n"):
        with pytest.raises(UpstreamError):
            list(decode_stream([wrapped]))
        with pytest.raises(UpstreamError):
            CHAT.decode_reply(wrapped)


@given(
    status=st.integers(100, 599),
    body=st.binary(max_size=40)
    | st.recursive(
        st.none() | st.text(max_size=9) | st.integers(),
        lambda inner: st.dictionaries(
            st.sampled_from(["error", "message", "code", "type"]), inner, max_size=3
        ),
    ).map(lambda value: json.dumps(value).encode()),
)
def test_every_error_reply_means_some_error_and_can_be_told(status, body):
    error = CHAT.read_error(status, body, None)
    assert isinstance(error, UpstreamError)
    assert json.loads(CHAT.error_body(error, "id"))["error"] is not None or body


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (429, {"error": {"message": "slow down"}}, UpstreamRateLimited),
        (429, {"error": {"message": "m", "code": "insufficient_quota"}}, UpstreamAuth),
        (400, {"error": {"message": "Your credit balance is too low to"}}, UpstreamAuth),
        (400, {"error": {"message": "Invalid value: 'billing'."}}, UpstreamRejected),
        (400, {"error": {"message": "'your credit balance is too low'?"}}, UpstreamRejected),
        (400, {"error": {"message": "m", "code": "context_length_exceeded"}},
         ContextLengthExceeded),
        (529, {"error": {"message": "overloaded"}}, UpstreamUnavailable),
    ],
    ids=["rate", "quota", "anthropic's", "quoted", "quoted whole", "context", "overloaded"],
)  # fmt: skip
def test_only_the_upstreams_own_words_mean_that_our_account_is_at_fault(status, body, error):
    """A client whose words come back in a 400 must not be able to park a deployment."""
    assert type(CHAT.read_error(status, json.dumps(body).encode(), None)) is error


# Relaying: the same dialect on both sides.


@each_stream
@pytest.mark.parametrize("wants_usage", [True, False])
def test_a_relayed_golden_stream_differs_in_the_models_name_alone(name, wants_usage):
    body = stream(name)
    relayed = encoded(decode_stream([body]), wants_usage=wants_usage)
    expected = body.replace(SOURCE.encode(), OURS.encode()).replace(
        b'"created":0,"model":""', b'"created":0,"model":"%s"' % OURS.encode()
    )
    if name == "no_done":
        expected += sse.data_frame(b"[DONE]")
    if name == "comments_and_spaces":  # what comes before the first chunk stays behind
        expected = expected.removeprefix(b": OPENROUTER PROCESSING\n\n")
    if wants_usage:
        assert relayed == expected
    else:
        chunks = [{**c} for c in chunks_of(expected) if c["choices"] or not c.get("usage")]
        for chunk in chunks:
            chunk.pop("usage", None)
        assert chunks_of(relayed) == chunks


MEMBERS = st.dictionaries(
    st.sampled_from(["x", "ü", "service_tier", "system_fingerprint"]),
    st.none() | st.text(max_size=4) | st.fixed_dictionaries({"model": st.just(SOURCE + "?")})
    | st.sampled_from(["model", "usage", '"model":"' + SOURCE + '"', ',"usage":null}'])
    | st.fixed_dictionaries({"a": st.just(1), "usage": st.none()}),
    max_size=3,
)  # fmt: skip


@st.composite
def chunk_lists(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw a stream's chunks: members in any order, unknown ones among them."""
    texts = draw(st.lists(st.text(max_size=5) | st.just('"model"'), min_size=1, max_size=4))
    chunks = []
    for text in [*texts, None]:
        finish = "stop" if text is None else None
        usage: Any = {"usage": None} if draw(st.booleans()) else {}
        if finish and draw(st.booleans()):
            usage = {"usage": {"prompt_tokens": 1, "completion_tokens": 2}}
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
        members = {"id": "1", "model": SOURCE, "choices": [choice]} | draw(MEMBERS) | usage
        names = draw(st.permutations(list(members)))
        chunks.append({name: members[name] for name in names})
    return chunks


WRITINGS = st.fixed_dictionaries(
    {
        "separators": st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :")]),
        "ensure_ascii": st.booleans(),
    }
)
FRAMINGS = st.sampled_from(
    [b"data: %s\n\n", b"data:%s\r\n\r\n", b"id: 1\nevent: e\ndata: %s\n: c\n\n", b"data: %s\r\r"]
)


def framed(chunks: list[dict[str, Any]], writing: Any, framing: bytes) -> bytes:
    written = [json.dumps(chunk, **writing).encode() for chunk in chunks]
    return b"".join(framing % text for text in written) + b"data: [DONE]\n\n"


@given(chunks=chunk_lists(), writing=WRITINGS, framing=FRAMINGS, wants_usage=st.booleans())
def test_a_relayed_stream_keeps_every_byte_but_the_models_name_and_unasked_usage(
    chunks, writing, framing, wants_usage
):
    body = framed(chunks, writing, framing)
    expected = [chunk | {"model": OURS} for chunk in chunks]
    if not wants_usage:
        for chunk in expected:
            chunk.pop("usage", None)
    relayed = encoded(decode_stream([body]), wants_usage=wants_usage)
    assert relayed == framed(expected, writing, framing)


def test_data_of_several_lines_is_relayed_as_the_same_json():
    chunk = {"id": "1", "model": SOURCE, "choices": [{"delta": {"content": "a\nb"},
             "finish_reason": "stop"}], "usage": None}  # fmt: skip
    lines = json.dumps(chunk, indent=1).encode().splitlines()
    body = b"".join(b"data: " + line + b"\n" for line in lines) + b"\ndata: [DONE]\n\n"
    del chunk["usage"]
    assert chunks_of(encoded(decode_stream([body]), wants_usage=False)) == [chunk | {"model": OURS}]


@each_reply
def test_a_relayed_reply_differs_in_the_models_name_alone(name):
    body = reply(name)
    assert CHAT.encode_reply(CHAT.decode_reply(body), ASKED, OURS) == body.replace(
        SOURCE.encode(), OURS.encode()
    )


@given(members=MEMBERS, writing=WRITINGS, indent=st.none() | st.integers(0, 2), text=st.text())
def test_a_relayed_reply_keeps_every_byte_but_the_models_name(members, writing, indent, text):
    choices = [{"message": {"content": text}, "finish_reason": "stop"}]
    body = {**members, "model": SOURCE, "choices": choices}
    source = json.dumps(body, **writing, indent=indent)
    ours = json.dumps(body | {"model": OURS}, **writing, indent=indent)
    assert CHAT.encode_reply(CHAT.decode_reply(source.encode()), ASKED, OURS) == ours.encode()


def test_what_the_request_cost_is_told_in_the_usage_that_was_asked_for():
    events = [
        msgspec.structs.replace(event, cost_nanousd=1_500_000)
        if isinstance(event, UsageReport)
        else event
        for event in decode_stream([stream("usage")])
    ]
    (usage,) = [chunk["usage"] for chunk in chunks_of(encoded(events)) if chunk.get("usage")]
    assert usage["cost_usd"] == 0.0015 and usage["prompt_tokens"] == 2006
    (told,) = [c["usage"] for c in chunks_of(encoded(frames_gone(events))) if c.get("usage")]
    assert told["cost_usd"] == 0.0015 and told["total_tokens"] == 2306


# Encoding: events with no source in this dialect.

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
USAGES = st.builds(
    lambda cached, more, reasoning, text: Usage(
        input_tokens=cached + more,
        cached_input_tokens=cached,
        output_tokens=reasoning + text,
        reasoning_tokens=reasoning,
    ),
    *[st.integers(0, 10**9)] * 3,
    st.integers(1, 10**9),
)
TOKENS = st.builds(
    TokenProb,
    token=TEXTS,
    logprob=st.floats(-9, 0),
    utf8=st.none() | st.lists(st.integers(0, 255), max_size=4).map(tuple),
)
LOGPROBS = st.lists(
    st.builds(msgspec.structs.replace, TOKENS, others=st.lists(TOKENS, max_size=2).map(tuple)),
    max_size=2,
).map(tuple)
CONTENT = (
    st.builds(
        TextDelta,
        TEXTS,
        choice=st.integers(0, 2),
        is_refusal=st.booleans(),
        logprobs=st.just(()) | LOGPROBS,
    )
    | st.builds(ReasoningDelta, TEXTS, st.integers(0, 2))
    | st.builds(
        ToolCallDelta,
        index=st.integers(0, 3),
        id=st.just("") | TEXTS,
        name=st.just("") | TEXTS,
        arguments=st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
        choice=st.integers(0, 1),
    )
)
STARTS = st.builds(
    Started,
    id=TEXTS,
    created=st.integers(0, 2**40),
    model=st.just(OURS),
    dialect=st.just("openai-chat"),
    is_stream=st.just(True),
)
ENDS = st.sampled_from(["stop", "length", "tool_calls", "content_filter"])


@st.composite
def event_lists(draw: st.DrawFn) -> list[Event]:
    usage = [UsageReport(draw(USAGES))] if draw(st.booleans()) else []
    content = draw(st.lists(CONTENT, max_size=8))
    texts = [event for event in content if isinstance(event, TextDelta) and event.choice == 0]
    has_refused = any(event.is_refusal for event in texts)
    end = draw(ENDS)
    end = "refusal" if has_refused and end == "stop" else end
    return [draw(STARTS), *content, *usage, Finished(end)]


@given(events=event_lists(), places=st.lists(st.integers(0, 3_000), max_size=6))
def test_events_survive_being_encoded_cut_and_decoded(events, places):
    body = encoded(events)
    assert frames_gone(decode_stream(cut(body, places))) == events


@given(events=event_lists(), wants_usage=st.booleans())
def test_encoded_chunks_are_the_sdks(events, wants_usage):
    chunks = chunks_of(encoded(events, wants_usage=wants_usage))
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    assert ("usage" in chunks[0]) is wants_usage
    reported = any(isinstance(event, UsageReport) for event in events)
    assert (chunks[-1]["choices"] == []) is (wants_usage and reported)


@pytest.mark.parametrize("reason", ["pause_turn", "MALFORMED_FUNCTION_CALL", "incomplete"])
def test_an_end_that_only_another_dialect_knows_is_a_plain_one(reason):
    events: list[Event] = [STARTED, TextDelta("So"), Finished(reason)]
    whole = ChatCompletion.model_validate_json(CHAT.encode_reply(events, ASKED, OURS))
    assert whole.choices[0].finish_reason == "stop"
    chunks = [ChatCompletionChunk.model_validate(chunk) for chunk in chunks_of(encoded(events))]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, "stop"]


@pytest.mark.parametrize("is_refusal", [False, True])
def test_a_refusal_is_told_in_the_only_way_there_is(is_refusal):
    said = TextDelta("I cannot.", is_refusal=is_refusal)
    events: list[Event] = [said, Finished("refusal")]
    expected = "stop" if is_refusal else "content_filter"
    (choice,) = json.loads(CHAT.encode_reply(events, ASKED, OURS))["choices"]
    assert choice["message"]["refusal"] == ("I cannot." if is_refusal else None)
    assert choice["message"]["content"] == (None if is_refusal else "I cannot.")
    assert choice["finish_reason"] == expected
    finishes = [
        c["finish_reason"] for chunk in chunks_of(encoded(events)) for c in chunk["choices"]
    ]
    assert [finish for finish in finishes if finish] == [expected]


@pytest.mark.parametrize(
    ("body", "is_own"),
    [
        ({"error": {"message": "no", "type": "invalid_request_error"}}, True),
        ({"error": {"code": 400, "message": "no", "type": "invalid_request_error"}}, True),
        ({"error": "no"}, True),
        ({"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}, False),
        ({"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}}, False),
        ({"detail": "no"}, False),
    ],
    ids=["openai", "llama.cpp", "in a word", "anthropic", "gemini", "other"],
)
def test_only_an_error_in_this_dialect_is_relayed(body, is_own):
    error = UpstreamRejected(
        "the upstream answered 400: no", status=400, body=json.dumps(body).encode()
    )
    told = json.loads(CHAT.error_body(error, "id"))
    assert (told == body) is is_own
    if not is_own:
        assert told["error"]["message"] == "the upstream answered 400: no"
        assert told["error"]["type"] == "invalid_request_error"


OLD_WAY = chat_request(
    b'{"model":"auto","messages":[{"role":"user","content":"Hi"}],"functions":[{"name":"f"}]}'
)
CALLS: list[Event] = [
    STARTED,
    ToolCallDelta(index=0, id="a", name="f", arguments='{"x"'),
    ToolCallDelta(index=0, arguments=":1}"),
    ToolCallDelta(index=1, id="b", name="f", arguments="{}"),
    Finished("tool_calls"),
]


def test_a_client_of_the_deprecated_functions_is_answered_in_kind():
    encoder = CHAT.stream_encoder(OLD_WAY, OURS)
    chunks = chunks_of(b"".join(map(encoder.encode, CALLS)))
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    deltas = [chunk["choices"][0]["delta"].get("function_call") for chunk in chunks]
    assert deltas == [None, {"name": "f", "arguments": '{"x"'}, {"arguments": ":1}"}, None]
    assert chunks[-1]["choices"][0]["finish_reason"] == "function_call"

    reply = ChatCompletion.model_validate_json(CHAT.encode_reply(CALLS, OLD_WAY, OURS))
    message = reply.choices[0].message
    assert message.function_call and message.function_call.arguments == '{"x":1}'
    assert message.tool_calls is None
    assert reply.choices[0].finish_reason == "function_call"


def test_log_probabilities_and_refusals_are_told_apart():
    (text,) = [e for e in decode_stream([stream("logprobs")]) if isinstance(e, TextDelta)]
    assert text.logprobs == (TokenProb("Hi", -0.1, (72, 105)),)
    refused = [e for e in decode_stream([stream("refusal")]) if isinstance(e, TextDelta)]
    assert [event.is_refusal for event in refused] == [True, True]


def test_a_custom_tools_free_text_is_its_arguments():
    calls = [{"index": 0, "id": "a", "type": "custom", "custom": {"name": "c", "input": "free"}}]
    (call,) = built(decode_stream([said(saying({"tool_calls": calls}, "tool_calls"))])).tool_calls
    assert call == ToolCall(id="a", name="c", arguments="free")


@given(events=event_lists())
def test_an_encoded_reply_is_the_sdks_and_says_the_same(events):
    body = CHAT.encode_reply(events, ASKED, OURS)
    assert ChatCompletion.model_validate_json(body).model == OURS
    assert answer(CHAT.decode_reply(body)) == answer(events)


@each_reply
def test_a_reply_played_as_a_stream_says_the_same(name):
    events = list(CHAT.decode_reply(reply(name)))
    streamed = encoded(events)
    assert answer(decode_stream([streamed])) == answer(events)
    assert streamed.endswith(b"data: [DONE]\n\n")
    for chunk in chunks_of(streamed):
        ChatCompletionChunk.model_validate(chunk)


@each_stream
def test_a_stream_played_as_a_reply_says_the_same(name):
    events = list(decode_stream([stream(name)]))
    body = CHAT.encode_reply(events, ASKED, OURS)
    assert answer(CHAT.decode_reply(body)) == answer(events)
    ChatCompletion.model_validate_json(body)


def test_an_error_in_a_stream_is_one_that_the_sdk_raises():
    error = UpstreamReset("the upstream broke off")
    asked = chat_request(b'{"model":"auto","messages":[{"role":"user"}]}')
    body = CHAT.stream_encoder(asked, OURS).error(error, "req-1")
    with pytest.raises(UpstreamUnavailable):
        list(decode_stream([body]))
    (told,) = chunks_of(body)
    assert told["error"]["code"] == "upstream_reset" and told["error"]["request_id"] == "req-1"
    assert b"[DONE]" not in body


def test_a_builder_takes_a_long_tool_call_in_small_pieces():
    builder = AnswerBuilder()
    for _ in range(200_000):
        builder.add(ToolCallDelta(index=0, arguments="0123456789"))
    assert len(builder.tool_calls[0].arguments) == 2_000_000
    assert builder.chars == 2_000_000


def test_tool_calls_stand_in_the_order_of_their_indices():
    deltas = [ToolCallDelta(index=index, id=str(index), name="f") for index in (2, 0, 1)]
    ids = [call.id for call in built(deltas).tool_calls]
    assert all(first < second for first, second in pairwise(ids))


def test_an_error_relayed_into_a_stream_is_one_event_however_its_json_is_laid_out():
    told = {"error": {"message": "no\ngo", "type": "invalid_request_error"}}
    error = UpstreamRejected("no", status=400, body=json.dumps(told, indent=2).encode())
    assert chunks_of(CHAT.stream_encoder(ASKED, OURS).error(error, "req_1")) == [told]
