"""Encoding: events as a client's stream. A frame of the same dialect goes on untouched.

Source: platform.claude.com/docs/en/build-with-claude/streaming and the types of anthropic-python
2.12 (read 2026-11-23).
"""

from collections.abc import Mapping

import msgspec

from pointsman.core.errors import GatewayError
from pointsman.core.events import (
    Event,
    Finished,
    Note,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from pointsman.core.usage import Usage
from pointsman.core.wire.anthropic.decode import MESSAGE_STOP
from pointsman.core.wire.anthropic.errors import error_event
from pointsman.core.wire.anthropic.reply import (
    StopMark,
    call_block,
    message_members,
    thinking_block,
    usage_object,
)
from pointsman.core.wire.anthropic.seals import sealed_block
from pointsman.core.wire.anthropic.versions import DIALECT
from pointsman.core.wire.splice import splice
from pointsman.core.wire.sse import data_frame, parse_frame, with_data

_PING = b'event: ping\ndata: {"type": "ping"}\n\n'
_DELTA = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":%d,"delta":{%b%b}}\n\n'
)
_TEXT = b'"type":"text_delta","text":'
_THINKING = b'"type":"thinking_delta","thinking":'
_SIGNATURE = b'"type":"signature_delta","signature":'
_ARGUMENTS = b'"type":"input_json_delta","partial_json":'
_EMPTY_TEXT: Mapping[str, object] = {"type": "text", "text": ""}


class MessagesStreamEncoder:
    """Writes one stream. `model` is `provider/model`, put in place of the upstream's own name.

    Blocks follow one another, but for tool calls whose pieces come mixed: such a call stays open
    until its arguments are a whole object, or the calls end. A block that is all signature waits
    for the next one. Where the answer ends instead, it goes out whole while the last block of words
    or calls is open still, which so is the last to end: see `seals`.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._is_relay = False
        self._message_id = ""
        self._usage = Usage()
        self._stop = StopMark()
        self._blocks = 0
        self._open_kind = ""
        self._open_block = 0
        self._calls: dict[int, _OpenCall] = {}
        self._seals: list[str] = []

    def encode(self, event: Event) -> bytes:
        """Return the bytes for one event, maybe none."""
        if isinstance(event, Started):
            return self._start(event)
        if self._is_relay:
            return event.frame or b""
        if isinstance(event, TextDelta) and event.choice == 0 and event.text:  # nearly all are
            if self._open_kind == "text" and not self._seals:
                return _delta(self._open_block, _TEXT, event.text)
            opened = self._opened("text", _EMPTY_TEXT)
            return opened + _delta(self._open_block, _TEXT, event.text)
        self._stop.add(event)
        match event:
            case ReasoningDelta(choice=0):
                return self._reasoning(event)
            case ToolCallDelta(choice=0):
                return self._call(event)
            case UsageReport(usage=usage):
                self._usage = usage
                return b""
            case Finished():
                return self._end(event)
            case Note() | TextDelta() | ReasoningDelta() | ToolCallDelta():
                return b""

    def ping(self) -> bytes:
        """Return the event that this dialect has for it."""
        return _PING

    def error(self, error: GatewayError, request_id: str) -> bytes:
        """Return the in-stream error; no `message_stop` may follow it."""
        return error_event(error, request_id)

    def _start(self, event: Started) -> bytes:
        self._is_relay = event.dialect == DIALECT and event.is_stream and event.frame is not None
        if self._is_relay:
            return _renamed(event, self._model)
        message = message_members(event, self._model)
        self._message_id = str(message["id"])
        message |= {"content": [], "stop_reason": None, "stop_sequence": None}
        message["usage"] = usage_object(self._usage)
        return _event({"type": "message_start", "message": message}) + _PING

    def _reasoning(self, event: ReasoningDelta) -> bytes:
        if event.is_redacted:
            self._seals.append(event.signature)
            return b""
        written = b""
        if event.text or event.signature:
            written = self._opened("thinking", thinking_block("", ""))
        if event.text:
            written += _delta(self._open_block, _THINKING, event.text)
        if event.signature:
            written += _delta(self._open_block, _SIGNATURE, event.signature)
            written += self._closed()
        return written

    def _call(self, event: ToolCallDelta) -> bytes:
        written = b""
        call = self._calls.get(event.index)
        if call is None:
            written = self._end_of_whole_calls() if self._open_kind == "call" else self._closed()
            written += self._sealed()
            call = self._calls[event.index] = _OpenCall(self._blocks)
            block = call_block(event.id, event.name, {}, self._message_id, event.index)
            written += self._open("call", block)
        if event.arguments and call.is_open:
            call.arguments.append(event.arguments)
            written += _delta(call.block, _ARGUMENTS, event.arguments)
        return written

    def _end_of_whole_calls(self) -> bytes:
        """Return the ends of the calls to which nothing more can come."""
        return b"".join(call.close() for call in self._calls.values() if call.is_whole())

    def _opened(self, kind: str, block: Mapping[str, object]) -> bytes:
        """Return what opens a block of a kind, nothing where such a one is open."""
        if self._open_kind == kind and not self._seals:
            return b""
        return self._closed() + self._open(kind, block)

    def _open(self, kind: str, block: Mapping[str, object]) -> bytes:
        written = self._sealed()
        self._open_kind, self._open_block = kind, self._blocks
        return written + self._block_start(block)

    def _sealed(self, *, is_behind: bool = False) -> bytes:
        """Return the blocks of the signatures that wait."""
        seals, self._seals = self._seals, []
        return b"".join(
            self._block_start(sealed_block(seal, is_behind=is_behind))
            + _block_stop(self._blocks - 1)
            for seal in seals
        )

    def _block_start(self, block: Mapping[str, object]) -> bytes:
        self._blocks += 1
        index = self._blocks - 1
        return _event({"type": "content_block_start", "index": index, "content_block": block})

    def _closed(self) -> bytes:
        """Return the end of whatever is open."""
        kind, self._open_kind = self._open_kind, ""
        if kind == "call":
            return b"".join(call.close() for call in self._calls.values())
        return _block_stop(self._open_block) if kind else b""

    def _end(self, event: Finished) -> bytes:
        members = {
            "type": "message_delta",
            "delta": self._stop.members(event),
            "usage": usage_object(self._usage),
        }
        return self._last() + _event(members) + MESSAGE_STOP

    def _last(self) -> bytes:
        """Return the last blocks' ends."""
        if self._open_kind in ("text", "call"):
            return self._sealed(is_behind=True) + self._closed()
        return self._closed() + self._sealed()


class _OpenCall:
    """A tool call that has been begun: its block, and its arguments while more may come."""

    def __init__(self, block: int) -> None:
        self.block = block
        self.arguments: list[str] = []
        self.is_open = True

    def is_whole(self) -> bool:
        """Return whether the arguments are a whole JSON object."""
        try:
            return isinstance(msgspec.json.decode("".join(self.arguments)), dict)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            return False

    def close(self) -> bytes:
        """Return the block's end, nothing where it has ended."""
        was_open, self.is_open = self.is_open, False
        return _block_stop(self.block) if was_open else b""


def _event(members: Mapping[str, object]) -> bytes:
    return data_frame(msgspec.json.encode(members), str(members["type"]).encode())


def _delta(block: int, kind: bytes, text: str) -> bytes:
    """Return a piece of a block, `kind` one of those above: what `_event` gives, sooner."""
    return _DELTA % (block, kind, msgspec.json.encode(text))


def _block_stop(index: int) -> bytes:
    return _event({"type": "content_block_stop", "index": index})


def _renamed(event: Started, model: str) -> bytes:
    """Return the frame of `message_start` with the model's name replaced."""
    frame = event.frame or b""
    ours = msgspec.json.encode(model)
    source = b'"model":' + msgspec.json.encode(event.model)
    if frame.count(b'"model"') == 1 and source in frame:
        return frame.replace(source, b'"model":' + ours)
    read = parse_frame(frame)
    if read.data is None or b'"model"' not in read.data:
        return frame
    message = msgspec.json.decode(read.data, type=dict[str, msgspec.Raw]).get("message")
    if message is None or not bytes(message).startswith(b"{"):
        return frame
    renamed = splice(bytes(message), {"model": ours})
    return with_data(read, splice(read.data, {"message": renamed}))
