"""SSE decoder: an upstream's stream as events, one frame after another, up to the answer's end.

What a frame means is the dialect's to say; how bytes become frames, how large one may be and what
a stream's end means is said here, once for all.
"""

from collections.abc import Iterator
from typing import Protocol

from pointsman.core.errors import UpstreamBadResponse, UpstreamReset, UpstreamTooLarge
from pointsman.core.events import Event, Finished
from pointsman.core.wire.decoding import check_text
from pointsman.core.wire.sse import FrameTooLarge, SseFrame, SseSplitter


class FrameReader(Protocol):
    """One dialect's reader of one stream. It is asked nothing more once it has given `Finished`."""

    def read(self, frame: SseFrame) -> Iterator[Event]:
        """Yield the events of the next frame. Raises UpstreamError."""

    def end(self) -> Finished | None:
        """Return how the answer ended where the stream stops here, None where it is not whole."""


class SseDecoder:
    """Turns a stream into events, however the network cuts it.

    What follows `Finished` is not read.
    """

    def __init__(self, reader: FrameReader) -> None:
        self._reader = reader
        self._splitter = SseSplitter()
        self._is_done = False

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events that `chunk` completes.

        Raises UpstreamBadResponse, UpstreamTooLarge, or the error that the stream carries.
        """
        try:
            frames = self._splitter.feed(chunk)
        except FrameTooLarge as error:
            raise UpstreamTooLarge(str(error)) from error
        yield from self._events(frames)

    def finish(self) -> Iterator[Event]:
        """Yield what the end completes. Raises UpstreamReset when the answer is not whole."""
        yield from self._events(self._splitter.finish())
        if self._is_done:
            return
        if (finished := self._reader.end()) is None:
            raise cut_short()
        self._is_done = True
        yield finished

    def _events(self, frames: list[SseFrame]) -> Iterator[Event]:
        for frame in frames:
            if self._is_done:
                return
            _check(frame)
            for event in self._reader.read(frame):
                if isinstance(event, Finished):
                    self._is_done = True
                yield event


def _check(frame: SseFrame) -> None:
    try:
        check_text(frame.data or b"")
    except UnicodeDecodeError as error:
        raise UpstreamBadResponse(f"the upstream's stream cannot be read: {error}") from error


def cut_short() -> UpstreamReset:
    """Return the error of a stream that ended before its answer."""
    return UpstreamReset("the upstream's stream ended before the answer did")
