"""SSE decoder: an upstream's stream as events, one frame after another, up to the answer's end.

What a frame means is the dialect's to say; how bytes become frames, how large one may be and what
a stream's end means is said here, once for all.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import Protocol

from pointsman.core.errors import (
    UpstreamBadResponse,
    UpstreamError,
    UpstreamReset,
    UpstreamTooLarge,
)
from pointsman.core.events import Event, Finished, ReasoningDelta, TextDelta, ToolCallDelta
from pointsman.core.wire.decoding import check_text
from pointsman.core.wire.mould import NO_MOULD, mould_of
from pointsman.core.wire.sse import FrameTooLarge, SseFrame, SseSplitter, parse_frame

# So many frames are read at once, and those behind them when these have been taken: a piece of
# very many small ones keeps nobody else waiting.
_AT_ONCE = 200


class FrameReader(Protocol):
    """One dialect's reader of one stream. It is asked nothing more once it has given `Finished`."""

    def read(self, frame: SseFrame) -> Iterable[Event]:
        """Return the events of the next frame. Raises UpstreamError."""

    def end(self) -> Finished | None:
        """Return how the answer ended where the stream stops here, None where it is not whole."""


class SseDecoder:
    """Turns a stream into events, however the network cuts it.

    What follows `Finished` is not read. `said` gives the event of a frame that has just one, and
    looks at nothing else; so frames of one mould need not be read. It is for a reader in which a
    frame changes nothing that the one before it, of the same mould, has not changed already.
    """

    def __init__(
        self, reader: FrameReader, *, said: Callable[[bytes], Event | None] | None = None
    ) -> None:
        self._reader = reader
        self._said = said
        self._splitter = SseSplitter()
        self._is_done = False
        self._last = b""
        self._mould = NO_MOULD
        self._make: _Make = TextDelta
        self._choice = 0

    def feed(self, chunk: bytes) -> Iterable[Event]:
        """Return the events that `chunk` completes, to be taken before the next is fed.

        Raises UpstreamBadResponse, UpstreamTooLarge, or the error that the stream carries, at once
        or when the events before it have been taken.
        """
        try:
            frames = self._splitter.feed(chunk)
        except FrameTooLarge as error:
            raise UpstreamTooLarge(str(error)) from error
        if len(frames) <= _AT_ONCE:
            return self._events(frames)
        starts = range(0, len(frames), _AT_ONCE)
        return chain.from_iterable(self._events(frames[at : at + _AT_ONCE]) for at in starts)

    def delta(self, chunk: bytes) -> Event | None:
        """Return the event of one whole frame of the mould, None where `feed` is to read it."""
        text = None if self._splitter.is_open else self._mould.text(chunk)
        return self._make(text, self._choice, chunk) if text else None

    def finish(self) -> Iterator[Event]:
        """Yield what the end completes. Raises UpstreamReset when the answer is not whole."""
        yield from self._events(self._splitter.finish())
        if self._is_done:
            return
        if (finished := self._reader.end()) is None:
            raise cut_short()
        self._is_done = True
        yield finished

    def _events(self, frames: list[bytes]) -> Iterable[Event]:
        events: list[Event] = []
        for raw in frames:
            if text := self._mould.text(raw):
                events.append(self._make(text, self._choice, raw))
            elif self._is_done:
                break
            else:
                try:
                    self._read(raw, events)
                except UpstreamError as error:
                    if not events:
                        raise
                    return chain(events, _raised(error))
        return events

    def _read(self, raw: bytes, events: list[Event]) -> None:
        """Add the events of a frame, and look whether the next may have its mould."""
        self._mould = NO_MOULD
        frame, count = parse_frame(raw), len(events)
        _check(frame)
        for event in self._reader.read(frame):
            events.append(event)
            if type(event) is Finished:
                self._is_done = True
        if self._said is not None and len(events) == count + 1:
            self._learn(raw, events[-1], self._said)
        self._last = raw

    def _learn(self, raw: bytes, event: Event, said: Callable[[bytes], Event | None]) -> None:
        match event:
            case TextDelta(text=text, choice=choice) | ReasoningDelta(text=text, choice=choice):
                make: _Make = type(event)
            case ToolCallDelta(arguments=text, choice=choice):
                make = partial(_more_arguments, event.index)
            case _:
                return
        if not text or make(text, choice, raw) != event or not raw.endswith(b"\n"):
            return  # a line end that is a CR may yet be half of one
        if (mould := mould_of(raw, self._last, text)) is not None:
            probe, other = mould.filled(f"{text}?"), f"{text}?"
            if said(probe) == make(other, choice, probe):
                self._mould, self._make, self._choice = mould, make, choice


_Make = Callable[[str, int, bytes], Event]


def _more_arguments(index: int, text: str, choice: int, frame: bytes) -> Event:
    return ToolCallDelta(index, "", "", text, choice, frame)


def _raised(error: UpstreamError) -> Iterator[Event]:
    yield from ()
    raise error


def _check(frame: SseFrame) -> None:
    try:
        check_text(frame.data or b"")
    except UnicodeDecodeError as error:
        raise UpstreamBadResponse(f"the upstream's stream cannot be read: {error}") from error


def cut_short() -> UpstreamReset:
    """Return the error of a stream that ended before its answer."""
    return UpstreamReset("the upstream's stream ended before the answer did")
