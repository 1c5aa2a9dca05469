"""Content: what an upstream's message is made of, as events.

Source: the types of anthropic-python 2.12 (read 2026-11-23).
"""

from typing import TypeAlias

import msgspec

from pointsman.core.events import ReasoningDelta, Started, TextDelta, ToolCallDelta, UsageReport
from pointsman.core.usage import Usage
from pointsman.core.wire.anthropic.seals import SEALED, is_ahead, signature_of
from pointsman.core.wire.anthropic.versions import DIALECT
from pointsman.core.wire.premium import service_said

_OWN_BLOCKS = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})
# Some upstreams count in floats: 12.0.
_Count: TypeAlias = int | float | None
Content: TypeAlias = TextDelta | ReasoningDelta | ToolCallDelta


class _OutputDetails(msgspec.Struct):
    thinking_tokens: _Count = None


class _CacheCreation(msgspec.Struct):
    ephemeral_5m_input_tokens: _Count = None
    ephemeral_1h_input_tokens: _Count = None


class UsageMembers(msgspec.Struct):
    """A usage object, of which each event may tell a part."""

    input_tokens: _Count = None
    cache_read_input_tokens: _Count = None
    cache_creation_input_tokens: _Count = None
    cache_creation: _CacheCreation | None = None
    output_tokens: _Count = None
    output_tokens_details: _OutputDetails | None = None
    service_tier: object = None
    speed: object = None


class _Block(msgspec.Struct):
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw()


class _Kind(msgspec.Struct):
    type: str | None = None


class MessageMembers(msgspec.Struct):
    """A whole reply, or the opening of a streamed one."""

    type: str | None = None
    id: str | None = None
    model: str | None = None
    content: list[msgspec.Raw] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: UsageMembers | None = None


_block = msgspec.json.Decoder(_Block)
_kind = msgspec.json.Decoder(_Kind)


def opening(message: MessageMembers, *, is_stream: bool, frame: bytes) -> Started:
    """Return the answer's opening; this API does not tell the time."""
    return Started(
        id=message.id or "",
        created=0,
        model=message.model or "",
        dialect=DIALECT,
        is_stream=is_stream,
        frame=frame,
    )


def content_events(content: list[msgspec.Raw]) -> list[Content]:
    """Return what the blocks of a whole reply say, calls counted from 0, seals in their places."""
    events: list[Content] = []
    seals: list[Content] = []
    calls = 0
    for block in content:
        kind = kind_of(block)
        event = block_event(kind, block, calls)
        if event is not None and kind == SEALED and is_ahead(_block.decode(block).data or ""):
            seals.append(event)
        elif event is not None:
            events += (event, *seals)
            seals = []
        calls += kind == "tool_use"
    return [*events, *seals]


def block_event(kind: str | None, raw: msgspec.Raw, call_index: int) -> Content | None:
    """Return what a block says, None for nothing; what the provider's own tools did is in its
    frame alone.
    """
    if kind not in _OWN_BLOCKS:
        return None
    block = _block.decode(raw)
    match kind:
        case "text" if block.text:
            return TextDelta(block.text)
        case "thinking" if block.thinking or block.signature:
            return ReasoningDelta(block.thinking or "", signature=block.signature or "")
        case "redacted_thinking":
            return ReasoningDelta("", signature=signature_of(block.data or ""), is_redacted=True)
        case "tool_use":
            arguments = bytes(block.input).decode()
            return ToolCallDelta(
                index=call_index,
                id=block.id or "",
                name=block.name or "",
                arguments="{}" if arguments in ("", "null") else arguments,
            )
        case _:
            return None


def cumulated(known: UsageMembers, new: UsageMembers) -> UsageMembers:
    """Return the counts so far: each is cumulative, and one that is left out or 0 stands."""
    return UsageMembers(
        input_tokens=new.input_tokens or known.input_tokens,
        cache_read_input_tokens=new.cache_read_input_tokens or known.cache_read_input_tokens,
        cache_creation_input_tokens=(
            new.cache_creation_input_tokens or known.cache_creation_input_tokens
        ),
        cache_creation=_cumulated_parts(known.cache_creation, new.cache_creation),
        output_tokens=new.output_tokens or known.output_tokens,
        output_tokens_details=new.output_tokens_details or known.output_tokens_details,
        service_tier=new.service_tier or known.service_tier,
        speed=new.speed or known.speed,
    )


def _cumulated_parts(
    known: _CacheCreation | None, new: _CacheCreation | None
) -> _CacheCreation | None:
    if known is None or new is None:
        return new or known
    return _CacheCreation(
        new.ephemeral_5m_input_tokens or known.ephemeral_5m_input_tokens,
        new.ephemeral_1h_input_tokens or known.ephemeral_1h_input_tokens,
    )


def usage_report(usage: UsageMembers, frame: bytes) -> UsageReport:
    """Return the report of a usage object."""
    return UsageReport(
        read_usage(usage), frame, service=service_said(usage.service_tier, usage.speed)
    )


def read_usage(usage: UsageMembers) -> Usage:
    """Return the tokens; this API counts cached and cache-write input beside the other input.

    A stream tells by its beginning alone what is written for how long. What its end counts more
    goes to the hour, which is dearer, if that had any.
    """
    cached = _count(usage.cache_read_input_tokens)
    parts = usage.cache_creation or _CacheCreation()
    short, long = _count(parts.ephemeral_5m_input_tokens), _count(parts.ephemeral_1h_input_tokens)
    written = max(_count(usage.cache_creation_input_tokens), short + long)
    details = usage.output_tokens_details
    return Usage(
        input_tokens=_count(usage.input_tokens) + cached + written,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        long_cache_write_tokens=written - short if long else 0,
        output_tokens=_count(usage.output_tokens),
        reasoning_tokens=_count(details.thinking_tokens if details else None),
    )


def _count(said: _Count) -> int:
    return max(0, int(said or 0))


def kind_of(block: msgspec.Raw) -> str | None:
    """Return a block's type."""
    return _kind.decode(block).type
