"""Decoding: an upstream's reply, streamed or whole, as events.

Texts of several parts and of several messages follow each other as they are, as the SDK's
`output_text` has them; parts of a reasoning item's summary, and its text, have an empty line
between them. A custom tool's call is that of a function, see `items`.
"""

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from pointsman.core.errors import UpstreamBadResponse, UpstreamReset
from pointsman.core.events import (
    Event,
    Finished,
    Note,
    Started,
    UsageReport,
)
from pointsman.core.usage import Usage
from pointsman.core.wire.decoding import UNREADABLE, check_text
from pointsman.core.wire.openai_responses.errors import ResponseError, error_of
from pointsman.core.wire.openai_responses.items import (
    CALLS,
    DIALECT,
)
from pointsman.core.wire.openai_responses.read_output import (
    ItemReader,
    OutputItem,
    Prob,
    read_item,
)
from pointsman.core.wire.premium import service_said
from pointsman.core.wire.sse import SseFrame

_Count: TypeAlias = int | float | None
_Key: TypeAlias = int | str

_ENDINGS = {"max_output_tokens": "length", "content_filter": "content_filter"}


class _InputDetails(msgspec.Struct):
    cached_tokens: _Count = None
    cache_write_tokens: _Count = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: _Count = None


class _Usage(msgspec.Struct):
    input_tokens: _Count = None
    output_tokens: _Count = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    id: str | None = None
    created_at: int | float | None = None
    model: str | None = None
    status: str | None = None
    error: ResponseError | str | None = None
    incomplete_details: _Incomplete | None = None
    output: list[msgspec.Raw] | None = None
    usage: _Usage | None = None
    service_tier: object = None


class _Kind(msgspec.Struct):
    type: str = ""


class _Event(msgspec.Struct):
    """Any event; which of its fields are there goes by its type."""

    type: str = ""
    response: _Response | None = None
    item: msgspec.Raw = msgspec.Raw()
    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None
    summary_index: int | None = None
    delta: str | None = None
    text: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    input: str | None = None
    logprobs: list[Prob] | None = None
    error: ResponseError | str | None = None
    message: str | None = None
    code: str | int | None = None
    param: str | None = None


_CONTENT_EVENTS = frozenset(
    {
        "response.output_text.delta",
        "response.output_text.done",
        "response.refusal.delta",
        "response.refusal.done",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_text.delta",
        "response.reasoning_text.done",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
    }
)
_READ_EVENTS = _CONTENT_EVENTS | {
    "error",
    "response.created",
    "response.completed",
    "response.incomplete",
    "response.failed",
    "response.output_item.added",
    "response.output_item.done",
}

_event = msgspec.json.Decoder(_Event)
_kind = msgspec.json.Decoder(_Kind)
_response = msgspec.json.Decoder(_Response)


class ResponsesFrameReader:
    """Turns a stream of events into ours.

    The last event holds the whole response, so its usage and `Finished` come with it; what follows,
    such as a `[DONE]`, is not read. Items are told apart by `output_index`, or by their ids where
    an upstream leaves that out (llama.cpp).
    """

    def __init__(self) -> None:
        self._has_started = False
        self._items: dict[_Key, ItemReader] = {}
        self._calls = 0

    def read(self, frame: SseFrame) -> Iterator[Event]:
        """Yield a frame's events. Raises UpstreamBadResponse, or the error that it carries."""
        if not frame.data:  # comments, or an empty event that keeps the connection alive
            yield Note(frame.raw)
            return
        if frame.data.strip() == b"[DONE]":
            raise UpstreamReset("the upstream said [DONE] before the answer had ended")
        try:
            events = list(self._events(_read_event(frame.data)))
        except UNREADABLE as error:
            raise UpstreamBadResponse(f"the upstream's stream cannot be read: {error}") from error
        yield from _with_frame(events, frame.raw)

    def end(self) -> Finished | None:
        """Return None: without its last event an answer is not whole."""
        return None

    def _events(self, event: _Event) -> Iterator[Event]:
        if event.type == "error" or (event.error is not None and not event.type):
            raise error_of(_error_told(event), is_response=False)
        if not self._has_started:
            self._has_started = True
            yield _started(event.response or _Response(), is_stream=True, frame=b"")
        match event.type:
            case "response.output_item.added" | "response.output_item.done":
                yield from self._item_events(event)
            case "response.completed" | "response.incomplete" | "response.failed":
                yield from self._end(event.response or _Response(), event.type)
            case kind if kind in _CONTENT_EVENTS:
                yield from self._content(event)
            case _:
                pass

    def _content(self, event: _Event) -> Iterator[Event]:
        """Yield what a piece, or a whole part, says."""
        delta = event.delta or ""
        part = event.content_index or 0
        summary = f"summary {event.summary_index or 0}"
        reader = self._reader(event)
        match event.type:
            case "response.output_text.delta":
                yield from reader.text(part, delta, event.logprobs, is_refusal=False)
            case "response.output_text.done":
                whole = event.text or ""
                yield from reader.text_end(part, whole, event.logprobs, is_refusal=False)
            case "response.refusal.delta":
                yield from reader.text(part, delta, None, is_refusal=True)
            case "response.refusal.done":
                yield from reader.text_end(part, event.refusal or "", None, is_refusal=True)
            case "response.reasoning_summary_text.delta":
                yield from reader.reasoning(summary, delta)
            case "response.reasoning_summary_text.done":
                yield from reader.reasoning_end(summary, event.text or "")
            case "response.reasoning_text.delta":
                yield from reader.reasoning(f"content {part}", delta)
            case "response.reasoning_text.done":
                yield from reader.reasoning_end(f"content {part}", event.text or "")
            case "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta":
                yield from reader.arguments(delta)
            case "response.function_call_arguments.done":
                yield from reader.arguments_end(event.arguments or "")
            case "response.custom_tool_call_input.done":
                yield from reader.arguments_end(event.input or "")
            case _:
                pass

    def _item_events(self, event: _Event) -> Iterator[Event]:
        if (item := read_item(event.item)) is None:
            return
        key = item.id or "" if event.output_index is None else event.output_index
        yield from self._opened(key, item)
        if event.type == "response.output_item.done":
            yield from self._items[key].close(item)

    def _opened(self, key: _Key, item: OutputItem) -> Iterator[Event]:
        reader = self._items.setdefault(key, ItemReader())
        if not reader.is_open:
            yield from reader.open(item, self._calls)
            self._calls += item.type in CALLS

    def _reader(self, event: _Event) -> ItemReader:
        """Return the reader of an event's item, which may not have been announced yet."""
        key = event.item_id or "" if event.output_index is None else event.output_index
        return self._items.setdefault(key, ItemReader())

    def _end(self, response: _Response, kind: str) -> Iterator[Event]:
        if kind == "response.failed" or response.status == "failed":
            raise error_of(_response_error(response), is_response=True)
        for place, raw in enumerate(response.output or ()):
            if (item := read_item(raw)) is None:
                continue
            named = item.id or ""
            key: _Key = named if place not in self._items and named in self._items else place
            yield from self._opened(key, item)
            yield from self._items[key].close(item)
        is_refusal = any(reader.is_refusal for reader in self._items.values())
        yield from _ending(response, calls=self._calls, is_refusal=is_refusal)


def decode_reply(body: bytes) -> Iterator[Event]:
    """Yield the events of a whole JSON reply; the opening carries the body as its frame.

    Raises UpstreamBadResponse when it is not such a reply, or the error it carries.
    """
    try:
        check_text(body)
        response = _response.decode(body)
        events = list(_reply_events(response, body))
    except UNREADABLE as error:
        raise UpstreamBadResponse(f"the upstream's reply cannot be read: {error}") from error
    yield from events


def _reply_events(response: _Response, body: bytes) -> Iterator[Event]:
    if response.status == "failed" or _response_error(response) is not None:
        raise error_of(_response_error(response), is_response=True)
    if response.output is None:
        raise UpstreamBadResponse("the upstream's reply has no output")
    if response.status in ("queued", "in_progress", "cancelled"):
        raise UpstreamBadResponse(f"the upstream's reply is not whole: it is {response.status}")
    yield _started(response, is_stream=False, frame=body)
    calls, is_refusal = 0, False
    for raw in response.output:
        if (item := read_item(raw)) is None:
            continue
        reader = ItemReader()
        yield from _with_frame([*reader.open(item, calls), *reader.close(item)], b"")
        calls += item.type in CALLS
        is_refusal = is_refusal or reader.is_refusal
    yield from _with_frame(list(_ending(response, calls=calls, is_refusal=is_refusal)), b"")


def _read_event(data: bytes) -> _Event:
    """Return an event; of one whose type is not known, only that.

    Raises msgspec.DecodeError for a known one that does not fit.
    """
    try:
        return _event.decode(data)
    except msgspec.ValidationError:
        kind = _kind.decode(data)
        if kind.type in _READ_EVENTS or not kind.type:
            raise
        return _Event(type=kind.type)


def _with_frame(events: list[Event], frame: bytes) -> Iterator[Event]:
    """Yield the events, the frame they came from with the first; a note where there are none.

    The last event of a stream keeps its own frame with `Finished`, which a relay ends with.
    """
    if not events:
        if frame:
            yield Note(frame)
        return
    carrier = len(events) - 1 if isinstance(events[-1], Finished) else 0
    for place, event in enumerate(events):
        yield msgspec.structs.replace(event, frame=frame if place == carrier else b"")


def _started(response: _Response, *, is_stream: bool, frame: bytes) -> Started:
    return Started(
        id=response.id or "",
        created=int(response.created_at or 0),
        model=response.model or "",
        dialect=DIALECT,
        is_stream=is_stream,
        frame=frame,
    )


def _ending(response: _Response, *, calls: int, is_refusal: bool) -> Iterator[Event]:
    if (usage := _reported(response.usage)) is not None:
        yield UsageReport(usage, service=service_said(response.service_tier))
    details = response.incomplete_details
    if response.status == "incomplete" or (details is not None and details.reason):
        reason = (details.reason if details else None) or "incomplete"
        yield Finished(_ENDINGS.get(reason, reason))
    elif calls:
        yield Finished("tool_calls")
    else:
        yield Finished("refusal" if is_refusal else "stop")


def _reported(usage: _Usage | None) -> Usage | None:
    """Return the usage that a response reports, None where it counts nothing."""
    if usage is None or (usage.input_tokens is None and usage.output_tokens is None):
        return None
    inputs, outputs = usage.input_tokens_details, usage.output_tokens_details
    return Usage(
        input_tokens=_count(usage.input_tokens),
        cached_input_tokens=_count(inputs.cached_tokens if inputs else None),
        cache_write_tokens=_count(inputs.cache_write_tokens if inputs else None),
        output_tokens=_count(usage.output_tokens),
        reasoning_tokens=_count(outputs.reasoning_tokens if outputs else None),
    )


def _count(said: _Count) -> int:
    return max(0, int(said or 0))


def _error_told(event: _Event) -> ResponseError:
    """Return an error event's error, which stands in it, or is it."""
    match event.error:
        case ResponseError():
            return event.error
        case str(message):
            return ResponseError(message=message)
        case None:
            return ResponseError(message=event.message, code=event.code, param=event.param)


def _response_error(response: _Response) -> ResponseError | None:
    error = response.error
    return ResponseError(message=error) if isinstance(error, str) else error
