"""Decoding: an upstream's reply, streamed or whole, as events."""

from typing import TypeAlias

import msgspec

from pointsman.core.errors import UpstreamBadResponse, UpstreamReset
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
from pointsman.core.usage import NOT_SAID, Service, Usage
from pointsman.core.wire.decoding import upstream_json
from pointsman.core.wire.openai_chat.errors import error_in_stream
from pointsman.core.wire.openai_chat.request import DIALECT
from pointsman.core.wire.premium import service_said
from pointsman.core.wire.sse import SseFrame, data_frame, parse_frame

DONE = b"[DONE]"

# Some upstreams count in floats: 12.0.
_Count: TypeAlias = int | float | None


class _PromptDetails(msgspec.Struct):
    cached_tokens: _Count = None
    cache_write_tokens: _Count = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: _Count = None


class _Usage(msgspec.Struct):
    prompt_tokens: _Count = None
    completion_tokens: _Count = None
    total_tokens: _Count = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    cache_creation_input_tokens: _Count = None
    prompt_cache_hit_tokens: _Count = None


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Custom(msgspec.Struct):
    name: str | None = None
    input: str | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None
    custom: _Custom | None = None


class _Part(msgspec.Struct):
    """A part of the content, as Mistral's reasoning models send it."""

    text: str | None = None
    thinking: "str | list[_Part] | None" = None


class _Message(msgspec.Struct):
    content: str | list[_Part] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None


class _Token(msgspec.Struct):
    token: str = ""
    logprob: float | None = None
    bytes: list[int] | None = None
    top_logprobs: "list[_Token] | None" = None


class _Logprobs(msgspec.Struct):
    content: list[_Token] | None = None
    refusal: list[_Token] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    logprobs: _Logprobs | None = None
    delta: _Message | None = None
    message: _Message | None = None
    finish_reason: str | None = None


class _Reply(msgspec.Struct):
    choices: list[_Choice] | None = None
    id: str | None = None
    created: int | float | None = None
    model: str | None = None
    usage: _Usage | None = None
    service_tier: object = None


_reply = msgspec.json.Decoder(_Reply)
_NO_LOGPROBS, _NO_FUNCTION, _NO_CUSTOM = _Logprobs(), _Function(), _Custom()
_NO_DETAILS = _PromptDetails()
_IMPOSSIBLE = -9999.0  # what the API itself says of a token beyond its twenty likeliest


class ChatFrameReader:
    """Turns a stream's chunks into events.

    The finish mark and the usage come before `[DONE]`, so `Finished` is given at `[DONE]`, or at
    the stream's end where every choice had its finish mark but the upstream leaves `[DONE]` out.
    """

    def __init__(self) -> None:
        self._has_started = False
        self._finish_reason: str | None = None
        self._has_refused = False
        self._unfinished: dict[int, bool] = {}
        self._service: Service = NOT_SAID

    def read(self, frame: SseFrame) -> list[Event]:
        """Return a frame's events. Raises UpstreamBadResponse, or the error that it carries."""
        data = frame.data
        if not data:  # comments, or an empty event that keeps the connection alive
            return [Note(frame.raw)]
        if data.strip() == DONE:
            if self._finish_reason is None:
                raise UpstreamReset("the upstream said [DONE] before the answer had ended")
            return [_finished(self._finish_reason, frame.raw, has_refused=self._has_refused)]
        return self._read_chunk(data, frame.raw)

    def end(self) -> Finished | None:
        """Return the end, None when a finish mark is missing."""
        if self._finish_reason is None or any(self._unfinished.values()):
            return None
        return _finished(self._finish_reason, data_frame(DONE), has_refused=self._has_refused)

    def _read_chunk(self, data: bytes, raw: bytes) -> list[Event]:
        chunk = upstream_json(_reply.decode, data, "stream")
        if b'"error"' in data and (said := error_in_stream(data)) is not None:
            raise said
        if chunk.service_tier is not None:
            self._service = service_said(chunk.service_tier).after(self._service)
        events: list[Event] = []
        if not self._has_started:
            self._has_started = True
            events.append(_started(chunk, is_stream=True, frame=raw))
        for choice in chunk.choices or ():
            deltas = _deltas(choice, b"" if events else raw)
            self._has_refused = self._has_refused or any(map(_is_refusal, deltas))
            events += deltas
            self._unfinished.setdefault(choice.index, True)
            if choice.finish_reason:
                self._unfinished[choice.index] = False
                self._finish_reason = _stronger(self._finish_reason, choice.finish_reason)
        if (usage := _reported(chunk)) is not None:
            # A usage chunk proper has no choices, and can be left out whole for a client that did
            # not ask; else the frame goes with a note and the encoder cuts the usage from it.
            if chunk.choices and not events:
                events.append(Note(raw))
            events.append(UsageReport(usage, b"" if events else raw, service=self._service))
        return events or [Note(raw)]


def said(raw: bytes) -> Event | None:
    """Return the event of a frame that is a chunk with one, None for any other frame.

    Raises what decoding raises.
    """
    chunk = _reply.decode(parse_frame(raw).data or b"")
    events = [event for choice in chunk.choices or () for event in _deltas(choice, raw)]
    return events[0] if len(events) == 1 else None


def decode_reply(body: bytes) -> list[Event]:
    """Return the events of a whole JSON reply; the opening carries the body as its frame.

    Raises UpstreamBadResponse when it is not such a reply, or the error it carries.
    """
    reply = upstream_json(_reply.decode, body, "reply")
    if b'"error"' in body and (said := error_in_stream(body)) is not None:
        raise said
    if not reply.choices:
        raise UpstreamBadResponse("the upstream's reply has no choices")
    events: list[Event] = [_started(reply, is_stream=False, frame=body)]
    finish_reason: str | None = None
    for choice in reply.choices:
        events += _deltas(choice, b"")
        finish_reason = _stronger(finish_reason, choice.finish_reason or "stop")
    has_refused = any(map(_is_refusal, events))
    if (usage := _reported(reply)) is not None:
        events.append(UsageReport(usage, b"", service=_service(reply)))
    events.append(_finished(finish_reason or "stop", b"", has_refused=has_refused))
    return events


def _service(reply: _Reply) -> Service:
    return NOT_SAID if reply.service_tier is None else service_said(reply.service_tier)


def _reported(reply: _Reply) -> Usage | None:
    """Return the usage that a chunk or reply reports, None where it counts nothing."""
    usage = reply.usage
    if usage is None or (usage.prompt_tokens is None and usage.completion_tokens is None):
        return None
    return read_usage(usage)


def read_usage(usage: _Usage) -> Usage:
    """Return the tokens of a usage object, whichever of the known names its cache fields have.

    Source: `prompt_tokens_details.cached_tokens` is OpenAI's; `prompt_cache_hit_tokens` DeepSeek's;
    `cache_write_tokens` OpenAI's since GPT-5.6 and OpenRouter's; `cache_creation_input_tokens`
    Anthropic's name, sent by its compatible endpoints; xAI counts reasoning in the total alone
    (documentation read 2026-11).
    """
    prompt = usage.prompt_tokens_details or _NO_DETAILS
    completion = usage.completion_tokens_details
    cached = prompt.cached_tokens or usage.prompt_cache_hit_tokens
    written = prompt.cache_write_tokens or usage.cache_creation_input_tokens
    reasoning = _count(completion.reasoning_tokens) if completion else 0
    input_tokens, output = _count(usage.prompt_tokens), _count(usage.completion_tokens)
    if reasoning and _count(usage.total_tokens) == input_tokens + output + reasoning:
        output += reasoning
    return Usage(
        input_tokens=input_tokens,
        cached_input_tokens=_count(cached) if cached else 0,
        cache_write_tokens=_count(written) if written else 0,
        output_tokens=output,
        reasoning_tokens=reasoning,
    )


def _count(said: _Count) -> int:
    return max(0, int(said or 0))


def _started(reply: _Reply, *, is_stream: bool, frame: bytes) -> Started:
    return Started(
        id=reply.id or "",
        created=int(reply.created or 0),
        model=reply.model or "",
        dialect=DIALECT,
        is_stream=is_stream,
        frame=frame,
    )


def _deltas(choice: _Choice, frame: bytes) -> list[Event]:
    """Return the content of one choice; the first event carries `frame`."""
    message = choice.delta or choice.message
    if message is None:
        return []
    index, content, known = choice.index, message.content, choice.logprobs or _NO_LOGPROBS
    events: list[Event] = []
    reasoning = message.reasoning_content or message.reasoning
    if isinstance(content, list):
        reasoning = reasoning or "".join(_text(part.thinking) for part in content)
        content = _text(content)
    if reasoning:
        events.append(ReasoningDelta(reasoning, index, frame))
    if content or known.content:
        carried = b"" if events else frame
        events.append(TextDelta(content or "", index, carried, False, _tokens(known.content)))
    if message.refusal or known.refusal:
        carried = b"" if events else frame
        refusal = message.refusal or ""
        events.append(TextDelta(refusal, index, carried, True, _tokens(known.refusal)))
    if message.tool_calls or message.function_call:
        calls = message.tool_calls or [_Call(function=message.function_call)]
        for position, call in enumerate(calls):
            events.append(_call_delta(call, position, index, b"" if events else frame))
    return events


def _call_delta(call: _Call, position: int, choice: int, frame: bytes) -> ToolCallDelta:
    function, custom = call.function or _NO_FUNCTION, call.custom or _NO_CUSTOM
    return ToolCallDelta(
        index=position if call.index is None else call.index,
        id=call.id or "",
        name=function.name or custom.name or "",
        arguments=function.arguments or custom.input or "",
        choice=choice,
        frame=frame,
    )


def _tokens(tokens: list[_Token] | None) -> tuple[TokenProb, ...]:
    return tuple(map(_token, tokens)) if tokens else ()


def _token(token: _Token) -> TokenProb:
    return TokenProb(
        token=token.token,
        logprob=_IMPOSSIBLE if token.logprob is None else token.logprob,
        utf8=None if token.bytes is None else tuple(token.bytes),
        others=_tokens(token.top_logprobs),
    )


def _text(content: str | list[_Part] | None) -> str:
    if isinstance(content, list):
        return "".join(part.text or "" for part in content)
    return content or ""


def _is_refusal(event: Event) -> bool:
    """Return whether these are the first choice's words of refusal; it speaks for the answer."""
    return isinstance(event, TextDelta) and event.is_refusal and event.choice == 0


def _finished(reason: str, frame: bytes, *, has_refused: bool) -> Finished:
    """Return the end. A model that stops after words of refusal has refused."""
    return Finished("refusal" if reason == "stop" and has_refused else reason, frame)


def _stronger(known: str | None, new: str) -> str:
    """Return the finish reason that matters of several choices: any that is not "stop"."""
    if known is not None and known != "stop":
        return known
    return "tool_calls" if new == "function_call" else new
