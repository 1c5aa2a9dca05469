"""Encoding: events as a client's stream or reply. A frame of the same dialect goes on untouched."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import msgspec

from pointsman.core.answer import AnswerBuilder
from pointsman.core.errors import GatewayError
from pointsman.core.events import (
    Event,
    Finished,
    Note,
    ReasoningDelta,
    Started,
    TextDelta,
    TokenProb,
    ToolCallDelta,
    UsageReport,
)
from pointsman.core.usage import Usage
from pointsman.core.wire.mould import NO_RECAST, Recast, mould_of
from pointsman.core.wire.openai_chat.decode import DONE
from pointsman.core.wire.openai_chat.errors import error_body
from pointsman.core.wire.openai_chat.request import DIALECT
from pointsman.core.wire.splice import splice
from pointsman.core.wire.sse import SseFrame, data_frame, parse_frame, with_data

_NULL_USAGE = b',"usage":null}'
_CHUNK = b'data: {%b,"choices":[{"index":%d,"delta":%b%b,"finish_reason":null}]%b}\n\n'
_Saying: TypeAlias = TextDelta | ReasoningDelta | ToolCallDelta
_SAYING = (TextDelta, ReasoningDelta, ToolCallDelta)
_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter"})


class ChatStreamEncoder:
    """Writes one stream. `model` is `provider/model`, put in place of the upstream's own name.

    `has_functions`: the client asked in the deprecated way, and reads `function_call` alone.
    """

    def __init__(self, model: str, *, wants_usage: bool, has_functions: bool = False) -> None:
        self._model = msgspec.json.encode(model)
        self._wants_usage = wants_usage
        self._has_functions = has_functions
        self._has_refused = False
        self._is_relay = False
        self._source_model = b""
        self._head: Mapping[str, object] = {"model": msgspec.Raw(self._model)}
        self._opening = msgspec.json.encode(self._head)[1:-1]
        self._usage: UsageReport | None = None
        self._last = b""
        self._recast = NO_RECAST

    def encode(self, event: Event) -> bytes:
        """Return the bytes for one event, maybe none."""
        frame = event.frame
        if frame and (written := self._recast.of(frame)) and isinstance(event, _SAYING):
            return written
        if isinstance(event, Started):
            self._open(event)
        if self._is_relay:
            return self._relayed(event)
        if isinstance(event, TextDelta):
            return self._text(event)
        match event:
            case Started():
                return self._chunk(b'{"role":"assistant","content":""}')
            case ReasoningDelta(text=text, choice=choice):
                return self._chunk(b'{"reasoning_content":%b}' % msgspec.json.encode(text), choice)
            case ToolCallDelta():
                return self._call(event)
            case UsageReport():
                self._usage = event
                return b""
            case Finished(reason=reason):
                return self._end(reason)
            case Note():
                return b""

    def ping(self) -> bytes:
        """Return a comment, which every reader of such streams passes over."""
        return b": ping\n\n"

    def error(self, error: GatewayError, request_id: str) -> bytes:
        """Return the in-stream error; no `[DONE]` may follow it."""
        return data_frame(error_body(error, request_id))

    def _open(self, event: Started) -> None:
        self._is_relay = event.dialect == DIALECT and event.is_stream and event.frame is not None
        self._source_model = b'"model":' + msgspec.json.encode(event.model)
        self._head = {
            "id": event.id,
            "object": "chat.completion.chunk",
            "created": event.created,
            "model": msgspec.Raw(self._model),
        }
        self._opening = msgspec.json.encode(self._head)[1:-1]

    def _relayed(self, event: Event) -> bytes:
        frame = event.frame
        if not frame:
            return b""
        if isinstance(event, Finished):
            return frame
        if isinstance(event, UsageReport):
            return self._renamed(_with_cost(event, frame)) if self._wants_usage else b""
        written = self._passed(frame)
        if isinstance(event, _SAYING):
            self._learn(event, frame, written)
        return written

    def _learn(self, event: _Saying, frame: bytes, written: bytes) -> None:
        """Keep what a frame became, for those that are like it."""
        text = event.arguments if isinstance(event, ToolCallDelta) else event.text
        mould, self._last = mould_of(frame, self._last, text), frame
        if mould is None:
            return
        other = f"{text}?"
        head, _, tail = self._passed(mould.filled(other)).rpartition(msgspec.json.encode(other))
        recast = Recast(mould, head, tail)
        if recast.of(frame) == written:
            self._recast = recast

    def _passed(self, frame: bytes) -> bytes:
        """Return a chunk as the client gets it."""
        if b'"usage"' in frame and not self._wants_usage:
            frame = _without_usage(frame)
        return self._renamed(frame)

    def _renamed(self, frame: bytes) -> bytes:
        if frame.count(b'"model"') == 1 and self._source_model in frame:
            return frame.replace(self._source_model, b'"model":' + self._model)
        if b'"model"' not in frame:
            return frame
        return _edited(parse_frame(frame), {"model": self._model})

    def _text(self, event: TextDelta) -> bytes:
        delta = b'{"content":%b}' % msgspec.json.encode(event.text)
        if event.is_refusal:
            self._has_refused |= event.choice == 0
            delta = b'{"refusal":%b}' % msgspec.json.encode(event.text)
        return self._chunk(delta, event.choice, _logprobs([event]) if event.logprobs else None)

    def _call(self, event: ToolCallDelta) -> bytes:
        if not self._has_functions:
            calls = {"tool_calls": [_call_delta(event)]}
            return self._chunk(msgspec.json.encode(calls), event.choice)
        if event.index > 0:  # that way there is room for one call
            return b""
        call = {"arguments": event.arguments} | ({"name": event.name} if event.name else {})
        return self._chunk(msgspec.json.encode({"function_call": call}), event.choice)

    def _chunk(
        self, delta: bytes, choice: int = 0, logprobs: Mapping[str, object] | None = None
    ) -> bytes:
        """Return a chunk with a delta, which is JSON on one line: what `_frame` gives, sooner."""
        beside = b',"logprobs":' + msgspec.json.encode(logprobs) if logprobs is not None else b""
        usage = b',"usage":null' if self._wants_usage else b""
        return _CHUNK % (self._opening, choice, delta, beside, usage)

    def _end(self, reason: str) -> bytes:
        said = finish_reason(
            reason, has_refused=self._has_refused, has_functions=self._has_functions
        )
        mark = self._frame([{"index": 0, "delta": {}, "finish_reason": said}], None)
        usage = self._frame([], self._usage) if self._wants_usage and self._usage else b""
        return mark + usage + data_frame(DONE)

    def _frame(self, choices: list[dict[str, object]], report: UsageReport | None) -> bytes:
        members: dict[str, object] = {**self._head, "choices": choices}
        if self._wants_usage:
            members["usage"] = (
                None if report is None else {**usage_object(report.usage), **_cost_member(report)}
            )
        return data_frame(msgspec.json.encode(members))


def encode_reply(events: Iterable[Event], model: str, *, has_functions: bool = False) -> bytes:
    """Return a whole answer as a JSON reply; one that came as such goes on but for the model."""
    builder, texts = AnswerBuilder(), list[TextDelta]()
    for event in events:
        if isinstance(event, Started) and _is_reply(event):
            return splice(event.frame or b"", {"model": msgspec.json.encode(model)})
        builder.add(event)
        if isinstance(event, TextDelta) and event.choice == 0:
            texts.append(event)
    started = builder.started
    refusal = "".join(event.text for event in texts if event.is_refusal)
    reason = builder.finish_reason or "stop"
    choice = {
        "index": 0,
        "message": _message(builder, texts, refusal, has_functions=has_functions),
        "logprobs": _logprobs(texts),
        "finish_reason": finish_reason(
            reason, has_refused=bool(refusal), has_functions=has_functions
        ),
    }
    reply = {
        "id": started.id if started else "",
        "object": "chat.completion",
        "created": started.created if started else 0,
        "model": model,
        "choices": [choice],
        "usage": usage_object(builder.usage or Usage()),
    }
    return msgspec.json.encode(reply)


def _is_reply(started: Started) -> bool:
    """Return whether an answer came as this dialect's JSON reply."""
    return bool(started.frame) and started.dialect == DIALECT and not started.is_stream


def _message(
    builder: AnswerBuilder, texts: list[TextDelta], refusal: str, *, has_functions: bool
) -> Mapping[str, object]:
    text = "".join(event.text for event in texts if not event.is_refusal)
    message: dict[str, object] = {
        "role": "assistant",
        "content": text or None,
        "refusal": refusal or None,
    }
    if builder.reasoning:
        message["reasoning_content"] = builder.reasoning
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in builder.tool_calls
    ]
    if calls and has_functions:
        message["function_call"] = calls[0]["function"]
    elif calls:
        message["tool_calls"] = calls
    return message


def finish_reason(reason: str, *, has_refused: bool, has_functions: bool) -> str:
    """Return a finish reason in this dialect's words; one that has none here is a plain end.

    It has none for a refusal: the API itself says "stop" beside a text in `refusal`; without one
    the answer was withheld, which is what "content_filter" tells. SDKs refuse what is no word of
    the dialect.
    """
    if reason == "refusal":
        return "stop" if has_refused else "content_filter"
    if reason == "tool_calls" and has_functions:
        return "function_call"
    return reason if reason in _REASONS else "stop"


def _logprobs(texts: Iterable[TextDelta]) -> Mapping[str, object] | None:
    """Return the log probabilities of some texts, None where there are none."""
    content, refusal = list[object](), list[object]()
    for event in texts:
        said = refusal if event.is_refusal else content
        said += ({**_token(one), "top_logprobs": _tokens(one.others)} for one in event.logprobs)
    return {"content": content or None, "refusal": refusal or None} if content or refusal else None


def _tokens(tokens: Iterable[TokenProb]) -> list[Mapping[str, object]]:
    return [_token(token) for token in tokens]


def _token(token: TokenProb) -> Mapping[str, object]:
    return {"token": token.token, "logprob": token.logprob, "bytes": token.utf8}


def usage_object(usage: Usage) -> Mapping[str, object]:
    """Return usage in this dialect's names."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _cost_member(report: UsageReport) -> Mapping[str, object]:
    cost = report.cost_nanousd
    return {} if cost is None else {"cost_usd": cost / 1e9}


def _with_cost(report: UsageReport, frame: bytes) -> bytes:
    """Return a usage chunk with what the request cost among its usage (SPEC, section 4)."""
    read = parse_frame(frame)
    cost = _cost_member(report)
    if read.data is None or not cost:
        return frame
    usage = bytes(msgspec.json.decode(read.data, type=dict[str, msgspec.Raw])["usage"])
    priced = splice(usage, {name: msgspec.json.encode(value) for name, value in cost.items()})
    return _edited(read, {"usage": priced})


def _call_delta(event: ToolCallDelta) -> Mapping[str, object]:
    function: dict[str, object] = {"arguments": event.arguments}
    delta: dict[str, object] = {"index": event.index, "function": function}
    if event.id or event.name:  # some upstreams give their calls no id
        delta |= {"id": event.id, "type": "function"}
        function["name"] = event.name
    return delta


def _without_usage(frame: bytes) -> bytes:
    head, mark, tail = frame.partition(_NULL_USAGE)
    if mark and not tail.strip():
        return head + b"}" + tail
    return _edited(parse_frame(frame), {"usage": None})


def _edited(frame: SseFrame, changes: Mapping[str, bytes | None]) -> bytes:
    """Return the frame's bytes with its data's members changed."""
    # A comment, or an event without data, may have the name of a member in another line.
    return with_data(frame, splice(frame.data, changes)) if frame.data else frame.raw
