"""Encoding: events as a client's stream or reply. A frame of the same dialect goes on untouched."""

from collections.abc import Iterable, Mapping

import msgspec

from pointsman.core.errors import GatewayError
from pointsman.core.events import (
    Event,
    Finished,
    Note,
    Started,
)
from pointsman.core.types import Request
from pointsman.core.wire.decoding import UNREADABLE
from pointsman.core.wire.openai_responses.answer_writer import AnswerWriter
from pointsman.core.wire.openai_responses.items import DIALECT
from pointsman.core.wire.splice import splice
from pointsman.core.wire.sse import data_frame, parse_frame, with_data

_RESPONSE = b'"response"'


class ResponsesStreamEncoder:
    """Writes one stream. `model` is `provider/model`, put in place of the upstream's own name."""

    def __init__(self, request: Request, model: str) -> None:
        self._request = request
        self._model = model
        self._is_relay = False
        self._answer: AnswerWriter | None = None
        self._started: Started | None = None
        self._last_frame = b""

    def encode(self, event: Event) -> bytes:
        """Return the bytes for one event, maybe none."""
        if isinstance(event, Started):
            self._started = event
            self._is_relay = (
                event.dialect == DIALECT and event.is_stream and event.frame is not None
            )
        if self._is_relay:
            return self._relayed(event)
        return b"".join(_frame(told) for told in self._writer().add(event))

    def ping(self) -> bytes:
        """Return a comment, which every reader of such streams passes over."""
        return b": ping\n\n"

    def error(self, error: GatewayError, request_id: str) -> bytes:
        """Return the in-stream error and the response that failed by it; nothing may follow.

        The error event's members stand in it and in its `error` too: the SDKs raise for the latter,
        and their types have the former. Codex reads the failed response alone. Its code says a
        rate limit or a fault of the request where that is one; context_length_exceeded stays.
        """
        writer = self._writer()
        if self._is_relay:
            writer.count_from(_next_number(self._last_frame))
        return b"".join(_frame(told) for told in writer.fail(error, request_id))

    def _writer(self) -> AnswerWriter:
        if self._answer is None:
            self._answer = AnswerWriter(self._request, self._model)
            if self._is_relay and self._started is not None:
                self._answer.begin(self._started)
        return self._answer

    def _relayed(self, event: Event) -> bytes:
        frame = event.frame
        if not frame:
            return b""
        if b'"sequence_number"' in frame:
            self._last_frame = frame
        if isinstance(event, Started | Finished | Note) and _RESPONSE in frame:
            return _renamed(frame, msgspec.json.encode(self._model))
        return frame


def encode_reply(events: Iterable[Event], request: Request, model: str) -> bytes:
    """Return a whole answer as a JSON reply.

    One that came as such goes on but for the model; of one that was streamed here before, the last
    frame has it.
    """
    writer = AnswerWriter(request, model)
    source = b""
    is_own, has_content = False, False
    for event in events:
        if isinstance(event, Started):
            is_own = event.dialect == DIALECT
            source = event.frame or b"" if is_own and not event.is_stream else b""
        if isinstance(event, Finished) and is_own and not source and event.frame:
            source = _last_response(event.frame)
        for told in writer.add(event):
            has_content = has_content or told["type"] == "response.output_item.added"
    if source and not (has_content and _is_bare(source)):
        return splice(source, {"model": msgspec.json.encode(model)})
    return msgspec.json.encode(writer.response())


def _is_bare(response: bytes) -> bool:
    """Return whether a response leaves its output to the events before it."""
    return not msgspec.json.decode(response, type=_Output).output


class _Output(msgspec.Struct):
    output: list[msgspec.Raw] | None = None


class _Numbered(msgspec.Struct):
    sequence_number: int = -1


def _last_response(frame: bytes) -> bytes:
    data = parse_frame(frame).data
    if data is None:
        return b""
    members = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    return bytes(members.get("response", b""))


def _next_number(frame: bytes) -> int:
    data = parse_frame(frame).data if frame else None
    try:
        return msgspec.json.decode(data or b"", type=_Numbered).sequence_number + 1
    except UNREADABLE:
        return 0


def _frame(told: Mapping[str, object]) -> bytes:
    return data_frame(msgspec.json.encode(told), str(told["type"]).encode())


def _renamed(frame: bytes, model: bytes) -> bytes:
    """Return a frame with the model's name changed in the response that it holds."""
    read = parse_frame(frame)
    if not read.data:
        return frame
    members = msgspec.json.decode(read.data, type=dict[str, msgspec.Raw])
    response = bytes(members.get("response", b""))
    if not response.startswith(b"{") or b'"model"' not in response:
        return frame
    if "model" not in msgspec.json.decode(response, type=dict[str, msgspec.Raw]):
        return frame
    edited = splice(response, {"model": model})
    return with_data(read, splice(read.data, {"response": edited}))
