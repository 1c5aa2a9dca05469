"""A stream's frames are the same wherever the network cuts it, and follow the standard."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import cut

from pointsman.core.wire import sse
from pointsman.core.wire.sse import (
    FrameTooLarge,
    SseFrame,
    SseSplitter,
    data_frame,
    parse_frame,
    with_data,
)

GOLDEN = (
    b"\xef\xbb\xbf: a comment\n\n"
    b"data: one\n\n"
    b"event: named\r\ndata: two\r\ndata:  and a half\r\n\r\n"
    b"data\r\r"
    b"data: Gr\xc3\xbc\xc3\x9fe \xe4\xb8\x96\xe7\x95\x8c \xf0\x9f\x98\x80\r\n\n"
    b"id: 7\nretry: 10\n: between\ndata:{}\n\r\n"
    b"\n\n\n"
    b"data: [DONE]\n\n"
)
LINES = st.sampled_from(
    [b"data: a", b"data:", b"data", b"data:  b", b": comment", b"event: e", b"id: 1", b"", b"x\xff",
     b"data: \xf0\x9f\x98\x80", b"\xef\xbb\xbf", b"datax: no", b"data :no"]
)  # fmt: skip
BODIES = st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n", b"\r", b""])), max_size=14).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


def frames_of(chunks: Iterable[bytes]) -> list[SseFrame]:
    splitter = SseSplitter()
    frames = [frame for chunk in chunks for frame in splitter.feed(chunk)]
    return [parse_frame(raw) for raw in frames + splitter.finish()]


def standard_events(body: bytes) -> list[tuple[str, bytes]]:
    """Return the events as the standard reads them: line by line, with no look at any code of ours.

    One step differs on purpose: what stands at the end without an empty line is an event too.
    """
    text = body.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events: list[tuple[str, bytes]] = []
    name, data = "", list[bytes]()
    for line in [*text.split(b"\n"), b""]:
        if not line:
            if data:
                events.append((name, b"\n".join(data)))
            name, data = "", []
        field, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if field == b"data":
            data.append(value)
        if field == b"event":
            name = value.decode("utf-8", "replace")
    return events


def test_a_golden_body_is_read_as_the_standard_says():
    frames = [frame for frame in frames_of([GOLDEN]) if frame.data]
    assert [(frame.event, frame.data) for frame in frames] == [
        ("", b"one"),
        ("named", b"two\n and a half"),
        ("", "Grüße 世界 😀".encode()),
        ("", b"{}"),
        ("", b"[DONE]"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        GOLDEN,
        GOLDEN.replace(b"\r\n", b"\n").replace(b"\r", b"\n"),
        GOLDEN.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n"),
        GOLDEN.replace(b"\r\n", b"\n").replace(b"\n", b"\r"),
        GOLDEN.rstrip(b"\n"),
    ],
    ids=["mixed", "lf", "crlf", "cr", "no last line end"],
)
def test_every_cut_in_two_and_byte_by_byte_give_the_same_frames(body):
    whole = frames_of([body])
    assert frames_of(bytes([byte]) for byte in body) == whole
    for place in range(len(body) + 1):
        assert frames_of(cut(body, [place])) == whole


@given(body=BODIES, places=st.lists(st.integers(0, 120)))
def test_frames_do_not_depend_on_where_the_network_cuts(body, places):
    assert frames_of(cut(body, places)) == frames_of([body])


@given(body=BODIES)
def test_events_are_the_standards(body):
    events = [(frame.event, frame.data) for frame in frames_of([body]) if frame.data]
    assert events == [(name, data) for name, data in standard_events(body) if data]


@given(body=BODIES, places=st.lists(st.integers(0, 120)))
def test_the_frames_bytes_are_the_bodys_but_for_the_mark_and_the_last_line_ends(body, places):
    relayed = b"".join(frame.raw for frame in frames_of(cut(body, places)))
    assert relayed.rstrip(b"\r\n") == body.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")


@pytest.mark.parametrize("size", [1, 700, 5_000], ids=["bytes", "pieces", "whole"])
@pytest.mark.parametrize("has_end", [True, False], ids=["ended", "open"])
def test_a_frame_over_the_limit_is_refused_however_it_comes(monkeypatch, size, has_end):
    monkeypatch.setattr(sse, "FRAME_BYTES_MAX", 1_000)
    fits = data_frame(b"a" * (1_000 - len(data_frame(b""))))
    over = b"data: " + b"a" * 995 + (b"\n\n" if has_end else b"")
    assert len(frames_of(cut(fits, range(0, 5_000, size)))) == 1
    with pytest.raises(FrameTooLarge, match="1000 bytes"):
        frames_of(cut(over, range(0, 5_000, size)))


def test_the_limit_is_eight_mebibytes_for_each_frame_and_not_for_all_of_a_chunk():
    limit_bytes = 8 * 1024 * 1024
    fits = data_frame(b"a" * (limit_bytes - len(data_frame(b""))))
    assert len(SseSplitter().feed(fits + fits)) == 2
    with pytest.raises(FrameTooLarge, match="8388608 bytes"):
        SseSplitter().feed(b"a" + fits)


@pytest.mark.parametrize(
    ("chunks", "raws"),
    [
        ([b"\n\n", b"data: a\n\n"], [[b"\n\n"], [b"data: a\n\n"], []]),
        ([b"\n\ndata: a\n\n"], [[b"\n\n", b"data: a\n\n"], []]),
        ([b"\n", b"\n"], [[], [b"\n\n"], []]),
        ([b"data: a\r\n\r", b"\n"], [[], [b"data: a\r\n\r\n"], []]),
        ([b"data: a\r\n\n", b""], [[b"data: a\r\n\n"], [], []]),
        ([b"\xef\xbb\xbf"], [[], []]),
        ([b"\xef", b"\xbb\xbf", b"data: a\n\n"], [[], [], [b"data: a\n\n"], []]),
        ([b"\xef\xbb"], [[], [b"\xef\xbb\n\n"]]),
        (
            [b"data: a\n\n", b"\xef\xbb\xbfdata: b\n\n"],
            [[b"data: a\n\n"], [b"\xef\xbb\xbfdata: b\n\n"], []],
        ),
    ],
    ids=[
        "two bytes first", "empty first", "one by one", "half a line end", "no bytes",
        "a mark alone", "a mark in two", "half a mark", "a mark in between",
    ],
)  # fmt: skip
def test_a_frame_is_given_as_soon_as_it_is_whole_and_not_sooner(
    chunks: list[bytes], raws: list[list[bytes]]
):
    """What is held back longer than it must be, a reader waits for."""
    splitter = SseSplitter()
    told = [splitter.feed(chunk) for chunk in chunks]
    assert [*told, splitter.finish()] == raws


def test_a_stream_that_has_ended_holds_nothing():
    splitter = SseSplitter()
    splitter.feed(b"data: a")
    assert len(splitter.finish()) == 1
    assert splitter.finish() == []


def test_a_frame_is_for_all_who_read_it_and_nobody_changes_it():
    with pytest.raises(AttributeError):
        parse_frame(b"data: a\n\n").data = b"b"  # type: ignore[misc]


def test_a_long_frame_in_small_pieces_is_not_copied_for_each_of_them():
    splitter = SseSplitter()
    assert splitter.feed(b"data: ") == []
    held = splitter._rest
    for _ in range(1_000):
        assert splitter.feed(b"a" * 1_000) == []
    assert splitter._rest is held and splitter._searched > 1_000_000
    assert splitter.feed(b"\n\n") == [b"data: " + b"a" * 1_000_000 + b"\n\n"]


def test_a_million_empty_data_lines_are_joined_at_once():
    assert parse_frame(b"data\n" * 1_000_000 + b"\n").data == b"\n" * 999_999


@given(data=st.binary().filter(lambda data: not set(data) & set(b"\r\n")))
def test_a_data_frame_reads_back(data):
    assert frames_of([data_frame(data)]) == [SseFrame("", data, data_frame(data))]


def test_an_event_is_written_on_one_line_whatever_breaks_its_json_has():
    assert data_frame(b'{\r\n"a":\n1}') == b'data: {  "a": 1}\n\n'
    assert data_frame(b"{}", b"ping") == b"event: ping\ndata: {}\n\n"


@pytest.mark.parametrize(
    ("frame", "data", "written"),
    [
        (b": hm\nid: 1\ndata:{}\r\n\r\n", b"[]", b": hm\nid: 1\ndata:[]\r\n\r\n"),
        (b"event: a\ndata: {\ndata: }\n\n", b"{\n1}", b"event: a\ndata: { 1}\n\n"),
        (b"data: {\ndata: }\n\n", b"{\n}", b"data: {\ndata: }\n\n"),
        (b": hm\n\n", b"{}", b": hm\n\n"),
        (b": {}\nid: {}\rdata: {}\r\n: {}\n\n", b"[]", b": {}\nid: {}\rdata: []\r\n: {}\n\n"),
        (b"event: a\ndata:\n\n", b"{}", b"event: a\ndata:{}\n\n"),
        (b"event: a\ndata\n\n", b"{}", b"event: a\ndata: {}\n\n"),
    ],
    ids=[
        "one line",
        "several lines",
        "the same",
        "a comment",
        "said before",
        "empty",
        "no colon",
    ],
)
def test_other_data_leaves_the_other_lines_as_they_are(frame, data, written):
    assert with_data(parse_frame(frame), data) == written
