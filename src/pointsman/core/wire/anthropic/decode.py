"""Decoding: an upstream's reply, streamed or whole, as events.

Source: platform.claude.com/docs/en/build-with-claude/streaming and the types of anthropic-python
2.12 (read 2026-11-23).
"""

from collections.abc import Iterator, Mapping

import msgspec

from pointsman.core.errors import UpstreamBadResponse
from pointsman.core.events import (
    Event,
    Finished,
    Note,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from pointsman.core.wire.anthropic.content import (
    MessageMembers,
    UsageMembers,
    block_event,
    content_events,
    cumulated,
    kind_of,
    opening,
    usage_report,
)
from pointsman.core.wire.anthropic.errors import error_in_stream
from pointsman.core.wire.decoding import UNREADABLE, check_text
from pointsman.core.wire.sse import SseFrame, parse_frame
from pointsman.core.wire.sse_decoder import cut_short

MESSAGE_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

_REASONS: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
}
# The answers of other APIs that some servers of this dialect are built on end so.
_DONE = b"[DONE]"


class _Delta(msgspec.Struct):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Piece(msgspec.Struct):
    """The data of any event."""

    type: str | None = None
    index: int = 0
    message: MessageMembers | None = None
    content_block: msgspec.Raw = msgspec.Raw()
    delta: _Delta | None = None
    usage: UsageMembers | None = None


_piece = msgspec.json.Decoder(_Piece)
_message = msgspec.json.Decoder(MessageMembers)


class MessagesFrameReader:
    """Turns a stream's events into ours.

    `Finished` is given at `message_stop`, or at the stream's end where the stop reason had come
    and the upstream leaves `message_stop` out.
    """

    def __init__(self) -> None:
        self._has_started = False
        self._calls: dict[int, int] = {}
        self._silent_calls: set[int] = set()
        self._usage = UsageMembers()
        self._stop_reason: str | None = None
        self._stop_sequence = ""

    def read(self, frame: SseFrame) -> list[Event]:
        """Return a frame's events. Raises UpstreamBadResponse, or the error that it carries."""
        data = frame.data
        if not data or data.strip() == _DONE:
            return [Note(frame.raw)]
        if frame.event == "error":
            raise error_in_stream(data)
        try:
            return self._events(_piece.decode(data), frame, data)
        except UNREADABLE as error:
            raise UpstreamBadResponse(f"the upstream's stream cannot be read: {error}") from error

    def said(self, raw: bytes) -> Event | None:
        """Return the event of a frame with a piece of a block, None for any other frame.

        Raises what decoding raises.
        """
        frame = parse_frame(raw)
        piece = _piece.decode(frame.data or b"")
        is_delta = (piece.type or frame.event) == "content_block_delta"
        return self._delta(piece, raw) if is_delta else None

    def end(self) -> Finished | None:
        """Return the end, None when the stop reason is missing."""
        return self._finished(MESSAGE_STOP)

    def _events(self, piece: _Piece, frame: SseFrame, data: bytes) -> list[Event]:
        raw = frame.raw
        match piece.type or frame.event:
            case "content_block_delta":
                return [self._delta(piece, raw)]
            case "content_block_start":
                return [self._opened(piece, raw)]
            case "content_block_stop":
                return [self._closed(piece, raw)]
            case "message_start":
                return self._started(piece, raw)
            case "message_delta":
                return [self._ending(piece, raw)]
            case "message_stop":
                if (finished := self._finished(raw)) is None:
                    raise cut_short()
                return [finished]
            case "error":
                raise error_in_stream(data)
            case _:  # ping, and what later versions add
                return [Note(raw)]

    def _started(self, piece: _Piece, raw: bytes) -> list[Event]:
        if self._has_started:
            return [Note(raw)]
        self._has_started = True
        message = piece.message or MessageMembers()
        opened = opening(message, is_stream=True, frame=raw)
        if message.usage is None:
            return [opened]
        self._usage = message.usage
        return [opened, usage_report(message.usage, b"")]

    def _opened(self, piece: _Piece, raw: bytes) -> Event:
        kind = kind_of(piece.content_block)
        index = self._calls.setdefault(piece.index, len(self._calls)) if kind == "tool_use" else 0
        event = block_event(kind, piece.content_block, index)
        if event is None:  # text and thinking begin empty
            return Note(raw)
        if isinstance(event, ToolCallDelta) and event.arguments == "{}":
            self._silent_calls.add(piece.index)
            event = msgspec.structs.replace(event, arguments="")
        return msgspec.structs.replace(event, frame=raw)

    def _closed(self, piece: _Piece, raw: bytes) -> Event:
        """Return the end of a block: a call that was never given any arguments has none."""
        if piece.index not in self._silent_calls:
            return Note(raw)
        self._silent_calls.discard(piece.index)
        return ToolCallDelta(index=self._calls[piece.index], arguments="{}", frame=raw)

    def _delta(self, piece: _Piece, raw: bytes) -> Event:
        delta = piece.delta or _Delta()
        match delta.type:
            case "text_delta" if delta.text:
                return TextDelta(delta.text, 0, raw)
            case "input_json_delta" if delta.partial_json and piece.index in self._calls:
                self._silent_calls.discard(piece.index)
                return ToolCallDelta(
                    index=self._calls[piece.index], arguments=delta.partial_json, frame=raw
                )
            case "thinking_delta" if delta.thinking:
                return ReasoningDelta(delta.thinking, 0, raw)
            case "signature_delta" if delta.signature:
                return ReasoningDelta("", 0, raw, signature=delta.signature)
            case _:
                return Note(raw)

    def _ending(self, piece: _Piece, raw: bytes) -> Event:
        delta = piece.delta or _Delta()
        self._stop_reason = delta.stop_reason or self._stop_reason
        self._stop_sequence = delta.stop_sequence or self._stop_sequence
        if piece.usage is None:
            return Note(raw)
        self._usage = cumulated(self._usage, piece.usage)
        return usage_report(self._usage, raw)

    def _finished(self, frame: bytes) -> Finished | None:
        if self._stop_reason is None or not self._has_started:
            return None
        reason = _REASONS.get(self._stop_reason, self._stop_reason)
        return Finished(reason, frame, stop_sequence=self._stop_sequence)


def decode_reply(body: bytes) -> Iterator[Event]:
    """Yield the events of a whole JSON reply; the opening carries the body as its frame.

    Raises UpstreamBadResponse when it is not such a reply, or the error it carries.
    """
    try:
        check_text(body)
        message = _message.decode(body)
        if message.type == "error":
            raise error_in_stream(body)
        if message.content is None:
            raise UpstreamBadResponse("the upstream's reply has no content")
        events = content_events(message.content)
    except UNREADABLE as error:
        raise UpstreamBadResponse(f"the upstream's reply cannot be read: {error}") from error
    yield opening(message, is_stream=False, frame=body)
    yield from (msgspec.structs.replace(event, frame=b"") for event in events)
    if message.usage is not None:
        yield usage_report(message.usage, b"")
    reason = message.stop_reason or "end_turn"
    yield Finished(_REASONS.get(reason, reason), b"", stop_sequence=message.stop_sequence or "")
