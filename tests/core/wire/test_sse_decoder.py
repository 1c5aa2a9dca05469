"""The frame of every stream decoder: bytes in, events out, up to the answer's end."""

from collections.abc import Iterator

import pytest

from pointsman.core.errors import UpstreamBadResponse, UpstreamReset, UpstreamTooLarge
from pointsman.core.events import Event, Finished, TextDelta
from pointsman.core.wire import sse
from pointsman.core.wire.sse import SseFrame, data_frame
from pointsman.core.wire.sse_decoder import SseDecoder


class Echo:
    """Gives each frame's data as text; "end" ends the answer, and so does an end after "last"."""

    def __init__(self) -> None:
        self.read_data: list[bytes] = []

    def read(self, frame: SseFrame) -> Iterator[Event]:
        data = frame.data or b""
        self.read_data.append(data)
        yield Finished("stop") if data == b"end" else TextDelta(data.decode())

    def end(self) -> Finished | None:
        return Finished("length") if self.read_data[-1:] == [b"last"] else None


@pytest.mark.parametrize("size", [1, 9, 1_000], ids=["bytes", "pieces", "whole"])
def test_what_follows_the_answers_end_is_not_read(size):
    reader = Echo()
    decoder = SseDecoder(reader)
    body = b"".join(map(data_frame, [b"Hi", b"end", b"more"]))
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    assert [*events, *decoder.finish()] == [TextDelta("Hi"), Finished("stop")]
    assert reader.read_data == [b"Hi", b"end"]


def test_the_end_holds_though_nobody_takes_what_follows_it():
    decoder = SseDecoder(Echo())
    events = iter(decoder.feed(data_frame(b"end") + data_frame(b"more")))
    assert next(events) == Finished("stop")
    assert list(decoder.finish()) == []


def test_a_last_frame_without_its_empty_line_is_read_before_the_end_is_judged():
    decoder = SseDecoder(Echo())
    assert list(decoder.feed(b"data: last")) == []
    assert list(decoder.finish()) == [TextDelta("last"), Finished("length")]
    assert list(decoder.finish()) == []


@pytest.mark.parametrize("body", [b"", b"data: Hi\n\n", b"data: Hi"], ids=["no", "whole", "open"])
def test_a_stream_that_ends_before_the_answer_is_a_reset(body):
    decoder = SseDecoder(Echo())
    list(decoder.feed(body))
    with pytest.raises(UpstreamReset, match="ended before the answer did"):
        list(decoder.finish())


def test_a_frame_over_the_limit_is_an_upstream_that_says_too_much(monkeypatch):
    monkeypatch.setattr(sse, "FRAME_BYTES_MAX", 1_000)
    with pytest.raises(UpstreamTooLarge, match="1000 bytes"):
        list(SseDecoder(Echo()).feed(b"data: " + b"a" * 1_000))


def test_what_is_no_utf8_ends_the_stream_before_a_reader_sees_it():
    """No decoder looks into what it passes over, and that goes on to the client as it came."""
    reader = Echo()
    decoder = SseDecoder(reader)
    with pytest.raises(UpstreamBadResponse, match="cannot be read"):
        list(decoder.feed(data_frame(b"Hi") + data_frame(b"\xc8x")))
    assert reader.read_data == [b"Hi"]
