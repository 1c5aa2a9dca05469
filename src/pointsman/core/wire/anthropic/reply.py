"""Reply: events as a client's JSON reply, and what a reply and a stream have in common."""

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from pointsman.core.events import (
    Event,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from pointsman.core.usage import Usage
from pointsman.core.wire.anthropic.seals import SEALED, Block, sealed_block, seals_ahead
from pointsman.core.wire.anthropic.versions import DIALECT
from pointsman.core.wire.anthropic.write_messages import call_input
from pointsman.core.wire.splice import splice

_STOP_REASONS: Mapping[str, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
    "pause_turn": "pause_turn",
    "compaction": "compaction",
}
_ID_CHARS = 24


class StopMark:
    """Why the answer ended, in this dialect's words, as its events tell.

    An API may say "stop" where the model calls a tool that it was forced to; here that has a reason
    of its own, by which clients go. Where the model declines in words, it has come to its end.
    """

    def __init__(self) -> None:
        self._has_calls = False

    def add(self, event: Event) -> None:
        """Take the next event."""
        if isinstance(event, ToolCallDelta) and event.choice == 0:
            self._has_calls = True

    def members(self, finished: Finished) -> Block:
        """Return the members that tell it; a reason that this dialect has no word for is an end."""
        reason = _STOP_REASONS.get(finished.reason, "end_turn")
        if reason == "end_turn":
            if finished.stop_sequence:
                reason = "stop_sequence"
            elif self._has_calls:
                reason = "tool_use"
        return {"stop_reason": reason, "stop_sequence": finished.stop_sequence or None}


def encode_reply(events: Iterable[Event], model: str) -> bytes:
    """Return a whole answer as a JSON reply; one that came as such goes on but for the model."""
    content, stop, usage = _Content(), StopMark(), Usage()
    started: Started | None = None
    finished = Finished("stop")
    for event in events:
        stop.add(event)
        match event:
            case Started():
                started = event
            case UsageReport(usage=told):
                usage = told
            case Finished():
                finished = event
            case _:
                content.add(event)
    if started and started.frame and started.dialect == DIALECT and not started.is_stream:
        return splice(started.frame, {"model": msgspec.json.encode(model)})
    members = message_members(started, model)
    members["content"] = content.blocks(str(members["id"]))
    members |= stop.members(finished)
    members["usage"] = usage_object(usage)
    return msgspec.json.encode(members)


def message_members(started: Started | None, model: str) -> Block:
    """Return the members with which a message begins.

    Its id is the source's where that is one of this dialect, else made from it.
    """
    source = started.id if started else ""
    if not source.startswith("msg_"):
        told = f"{source} {started.created if started else 0} {model}"
        digest = hashlib.sha256(told.encode("utf-8", "surrogatepass"))
        source = f"msg_{digest.hexdigest()[:_ID_CHARS]}"
    return {"id": source, "type": "message", "role": "assistant", "model": model}


def usage_object(usage: Usage) -> Mapping[str, object]:
    """Return usage in this dialect's names: cached and cache-write input stand beside the rest.

    For how long the latter is kept is told where it is known: where some of it is for an hour. The
    end of a stream tells it too, unlike Anthropic's own: ours knows at its beginning of no tokens.
    """
    apart = usage.cached_input_tokens + usage.cache_write_tokens
    members: Block = {
        "input_tokens": max(0, usage.input_tokens - apart),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_input_tokens,
        "output_tokens": usage.output_tokens,
    }
    long = usage.long_cache_write_tokens
    if long:
        members["cache_creation"] = {
            "ephemeral_5m_input_tokens": max(0, usage.cache_write_tokens - long),
            "ephemeral_1h_input_tokens": long,
        }
    if usage.reasoning_tokens:
        members["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return members


def thinking_block(text: str, signature: str) -> Block:
    """Return a block of thinking; without a signature it gets an empty one."""
    return {"type": "thinking", "thinking": text, "signature": signature}


def call_block(made: str, name: str, arguments: object, message_id: str, index: int) -> Block:
    """Return a tool call's block; a call without an id gets one that no other call has."""
    own = made or f"toolu_{message_id.removeprefix('msg_')}_{index}"
    return {"type": "tool_use", "id": own, "name": name, "input": arguments}


class _Content:
    """Gathers the blocks of an answer's first choice, in the order in which they begin."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []
        self._calls: dict[int, _Part] = {}

    def add(self, event: Event) -> None:
        """Take the next event."""
        match event:
            case TextDelta(choice=0, text=text) if text:
                self._last("text").texts.append(text)
            case ReasoningDelta(choice=0, is_redacted=True, signature=signature):
                self._parts.append(_Part(SEALED, signature=signature))
            case ReasoningDelta(choice=0, text=text, signature=signature) if text or signature:
                part = self._last("thinking")
                part.texts.append(text)
                part.signature = signature
            case ToolCallDelta(choice=0):
                call = self._calls.get(event.index)
                if call is None:
                    call = self._calls[event.index] = _Part("tool_use", call=event)
                    self._parts.append(call)
                call.texts.append(event.arguments)
            case _:
                pass

    def blocks(self, message_id: str) -> list[Block]:
        """Return the content."""
        return seals_ahead([part.block(message_id) for part in self._parts])

    def _last(self, kind: str) -> "_Part":
        """Return the block that goes on, or a new one."""
        if self._parts and self._parts[-1].kind == kind and not self._parts[-1].signature:
            return self._parts[-1]
        self._parts.append(_Part(kind))
        return self._parts[-1]


class _Part:
    """A block that may still grow."""

    def __init__(self, kind: str, *, signature: str = "", call: ToolCallDelta | None = None):
        self.kind = kind
        self.texts: list[str] = []
        self.signature = signature
        self.call = call

    def block(self, message_id: str) -> Block:
        text = "".join(self.texts)
        if self.call is not None:
            call = self.call
            return call_block(call.id, call.name, call_input(text), message_id, call.index)
        match self.kind:
            case "text":
                return {"type": "text", "text": text}
            case "thinking":
                return thinking_block(text, self.signature)
            case _:
                return sealed_block(self.signature)
