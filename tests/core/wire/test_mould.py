"""A frame that is like the one before it is read and written as if it had been looked at whole."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.core.builders import CHAT, chat_request, cut

from pointsman.core.errors import UpstreamError
from pointsman.core.events import Event, ReasoningDelta, Started, TextDelta, ToolCallDelta
from pointsman.core.wire import CODECS, StreamDecoder
from pointsman.core.wire.anthropic.decode import MessagesFrameReader
from pointsman.core.wire.mould import NO_MOULD, Mould, Recast, mould_of
from pointsman.core.wire.openai_chat.decode import ChatFrameReader
from pointsman.core.wire.sse import SseFrame, data_frame
from pointsman.core.wire.sse_decoder import SseDecoder

Json = Mapping[str, Any]

# Few of them, so that a text stands at two places; what JSON escapes; what stands in a frame.
SAME = st.sampled_from(["", "a", "a?"])
TEXTS = SAME | st.sampled_from(
    ["stop", "model", "usage", "content", '"model"', ',"usage":null}', "\\", '"', "\n", "é", "😀"]
)
PLACES = st.lists(st.integers(0, 2_000), max_size=6)
ENDS = st.sampled_from(["\n\n", "\n\n", "\r\n\r\n"])

DELTAS: list[Json] = [
    {"content": "TEXT"},
    {"reasoning_content": "TEXT"},
    {"refusal": "TEXT"},
    {"content": "TEXT", "reasoning": "SAME"},
    {"content": [{"text": "TEXT"}, {"thinking": "SAME"}]},
    {"tool_calls": [{"index": 1, "function": {"arguments": "TEXT"}}]},
    {"tool_calls": [{"id": "SAME", "function": {"name": "f", "arguments": "TEXT"}}]},
]
BESIDE: list[Json] = [
    {},
    {},
    {"usage": None},
    {"usage": None, "padding": "SAME"},
    {"usage": {"prompt_tokens": 1, "completion_tokens": 2}},
    {"model": "SAME"},
    {"service_tier": "priority"},
    {"error": None},
    {"error": "SAME"},
]
MARKS: list[Json] = [{}, {"index": 1}, {"finish_reason": "SAME"}, {"logprobs": {"content": []}}]
CHUNKS: list[Json] = [
    {"id": "c", "model": "m", "choices": [{"delta": delta, **mark}], **more}
    for delta in DELTAS
    for mark in MARKS
    for more in BESIDE
]
PIECES: list[Json] = [
    {"type": "content_block_delta", "index": index, "delta": delta}
    for index in (0, 1)
    for delta in (
        {"type": "text_delta", "text": "TEXT"},
        {"type": "thinking_delta", "thinking": "TEXT"},
        {"type": "signature_delta", "signature": "TEXT"},
        {"type": "input_json_delta", "partial_json": "TEXT", "text": "SAME"},
        {"type": "SAME", "text": "TEXT"},
    )
]
CALL = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
BLOCKS: list[Json] = [
    {"type": "content_block_start", "index": 1, "content_block": CALL},
    {"type": "content_block_stop", "index": 1},
    {"type": "ping"},
]
ARGUMENTS: list[Json] = [
    {
        "type": "content_block_delta",
        "index": 1,
        "delta": {"type": "input_json_delta", "partial_json": text},
    }
    for text in ("1", "2", "3")
]
CALLED = [BLOCKS[0], *ARGUMENTS, BLOCKS[1]]


@st.composite
def streams(draw: st.DrawFn, shapes: list[Json]) -> list[bytes]:
    """Return the frames of a stream: runs of such as differ in their texts alone."""
    frames: list[bytes] = []
    for shape in draw(st.lists(st.sampled_from(shapes), min_size=1, max_size=4)):
        is_ascii, end = draw(st.booleans()), draw(ENDS)
        for _ in range(draw(st.integers(1, 5))):
            data = json.dumps(_filled(shape, draw), ensure_ascii=is_ascii)
            frames.append(f"data: {data}{end}".encode())
    return frames


def _filled(value: Any, draw: st.DrawFn) -> Any:
    """Return a shape with texts in it."""
    match value:
        case dict():
            return {name: _filled(inner, draw) for name, inner in value.items()}
        case list():
            return [_filled(one, draw) for one in value]
        case "TEXT" | "SAME":
            return draw(TEXTS if value == "TEXT" else SAME)
        case _:
            return value


def told(decoder: StreamDecoder, pieces: Iterable[bytes]) -> tuple[list[Event], str]:
    """Return what a stream says, and the error that it ends in."""
    events: list[Event] = []
    try:
        for piece in pieces:
            delta = decoder.delta(piece)
            events += decoder.feed(piece) if delta is None else (delta,)
        events += decoder.finish()
    except UpstreamError as error:
        return events, str(error)
    return events, ""


def chat_frames(*chunks: Json) -> list[bytes]:
    return [data_frame(json.dumps({"id": "c", **chunk}).encode()) for chunk in chunks]


def chunk(text: str, **more: object) -> Json:
    return {"choices": [{"delta": {"content": text}}], **more}


@given(frames=streams(CHUNKS), places=PLACES)
@example(chat_frames(*(chunk("a", padding=text) for text in "babc")), [])
@example(chat_frames(*(chunk(text, padding="a") for text in "babc")), [])
def test_a_chat_stream_says_the_same_whether_or_not_its_frames_are_alike(frames, places):
    for pieces in (cut(b"".join(frames), places), frames):
        assert told(CHAT.stream_decoder(), pieces) == told(SseDecoder(ChatFrameReader()), pieces)


@given(frames=streams(PIECES + BLOCKS * 3), places=PLACES)
@example([data_frame(json.dumps(piece).encode()) for piece in CALLED * 2], [])
def test_a_messages_stream_says_the_same_whether_or_not_its_frames_are_alike(frames, places):
    """A call that is begun anew, as some servers have it, has been given no arguments yet."""
    for pieces in (cut(b"".join(frames), places), frames):
        decoder = CODECS["anthropic"].stream_decoder()
        assert told(decoder, pieces) == told(SseDecoder(MessagesFrameReader()), pieces)


@given(frames=streams(CHUNKS), wants_usage=st.booleans(), model=SAME)
@example(chat_frames(*(chunk(text, model="m") for text in "baaa")), False, "a?")
def test_a_chunk_goes_on_the_same_whether_or_not_one_like_it_went_before(
    frames, wants_usage, model
):
    options = b',"stream_options":{"include_usage":true}' if wants_usage else b""
    asked = chat_request(b'{"model":"m","messages":[{"role":"user"}],"stream":true%b}' % options)
    events, _ = told(CHAT.stream_decoder(), frames)
    encoder = CHAT.stream_encoder(asked, model)
    for event in events:
        fresh = CHAT.stream_encoder(asked, model)
        opened = fresh.encode(events[0])
        assert encoder.encode(event) == (opened if event is events[0] else fresh.encode(event))


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        (lambda text: {"content": text}, TextDelta),
        (lambda text: {"reasoning_content": text}, ReasoningDelta),
        (lambda text: {"tool_calls": [{"function": {"arguments": text}}]}, ToolCallDelta),
    ],
    ids=["text", "reasoning", "arguments"],
)
def test_from_the_third_frame_of_a_mould_on_none_is_decoded(
    monkeypatch, members: Callable[[str], Json], kind: type
):
    read: list[bytes] = []
    whole = ChatFrameReader.read

    def noted(self: ChatFrameReader, frame: SseFrame) -> list[Event]:
        read.append(frame.raw)
        return whole(self, frame)

    monkeypatch.setattr(ChatFrameReader, "read", noted)
    chunks = [{"id": "c", "choices": [{"delta": members(text)}]} for text in "abcde"]
    frames = [data_frame(json.dumps(chunk).encode()) for chunk in chunks]
    events = list(CHAT.stream_decoder().feed(b"".join(frames)))
    assert [type(event) for event in events] == [Started, *[kind] * 5]
    assert read == frames[:2]


def test_a_piece_that_is_one_frame_of_the_mould_needs_no_splitting():
    frames = chat_frames(*map(chunk, "abcde"))
    decoder = CHAT.stream_decoder()
    assert list(decoder.feed(b"".join(frames[:3]))) and decoder.delta(frames[3]) is not None
    assert decoder.delta(frames[3] + frames[4]) is None, "that is two of them"
    assert list(decoder.feed(frames[4][:9])) == [] and decoder.delta(frames[3]) is None
    assert decoder.delta(b"") is None


@pytest.mark.parametrize("end", [b"\r", b"\r\n"], ids=["cr", "crlf"])
def test_a_frame_whose_end_may_go_on_is_never_taken_for_whole(end: bytes):
    frames = [frame.replace(b"\n", end) for frame in chat_frames(*map(chunk, "abcde"))]
    decoder = CHAT.stream_decoder()
    events = list(decoder.feed(b"".join(frames[:3])))
    assert (decoder.delta(frames[3]) is None) is (end == b"\r")
    assert events


def test_a_mould_is_that_of_two_frames_in_a_row():
    first, second = (data_frame(b'{"n":"x","content":"%b"}' % text) for text in (b"Hi", b" x"))
    mould = mould_of(second, first, " x")
    assert mould is not None
    assert (mould.text(first), mould.text(second), mould.filled("Hi")) == ("Hi", " x", first)
    recast = Recast(mould, b"<", b">")
    assert (recast.of(second), recast.of(b"")) == (b'<" x">', b"")
    assert mould_of(second, first.replace(b'"n"', b'"m"'), " x") is None
    assert mould_of(second, first, "not in it") is None


@pytest.mark.parametrize(
    "frame",
    [
        b'{"a":""}',
        b'{"a":"}',
        b'{"a":"x","b":"y"}',
        b'{"a":"x\\"}',
        b'{"a":"\n"}',
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b'{"a": "x"}',
    ],
)
def test_what_is_not_one_text_between_its_ends_is_of_no_mould(frame):
    mould = Mould(b'{"a":"', b'"}')
    assert not mould.text(frame)
    assert Recast(mould, b"<", b">").of(frame) in (b"", b'<"">')


@given(frame=st.binary())
def test_no_frame_is_of_no_mould(frame):
    assert NO_MOULD.text(data_frame(frame)) is None
