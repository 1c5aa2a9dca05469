"""Events: the one currency. An answer in flight is a stream of these, ending in one `Finished`.

`frame` is the piece of the source that an event was read from, so that an encoder for the same
dialect can send it on untouched. None: there is no source, the encoder writes one. Empty: the
source went out with an earlier event of the same frame.

None of them can be part of a cycle, so the collector need not look for it (`gc=False`).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import msgspec

from pointsman.core.usage import NOT_SAID, Service, Usage


class Started(msgspec.Struct, frozen=True, gc=False, tag=True, kw_only=True):
    """The answer's opening: the upstream's own id, time (Unix seconds) and name of the model.

    `dialect` and `is_stream` say which source the frames of this answer have. `dropped` names
    what of the request did not reach the upstream, which speaks another dialect.
    """

    id: str
    created: int
    model: str
    dialect: str
    is_stream: bool
    frame: bytes | None = None
    dropped: tuple[str, ...] = ()


class TokenProb(msgspec.Struct, frozen=True, gc=False):
    """A token with its log probability, and those that stood beside it, likeliest first.

    `utf8`: the token's bytes, None where the upstream does not tell.
    """

    token: str
    logprob: float
    utf8: tuple[int, ...] | None = None
    others: "tuple[TokenProb, ...]" = ()


class TextDelta(msgspec.Struct, frozen=True, gc=False, tag=True):
    """More of the answer's text. `choice` is its index where the client asked for several.

    `is_refusal`: the model's words for not answering, where the dialect tells them apart.
    """

    text: str
    choice: int = 0
    frame: bytes | None = None
    is_refusal: bool = False
    logprobs: tuple[TokenProb, ...] = ()


class ReasoningDelta(msgspec.Struct, frozen=True, gc=False, tag=True):
    """More of the model's reasoning, where the upstream shows it.

    `signature` seals all reasoning since the last other event and ends that block of it: what only
    its maker can read and needs back. `is_redacted`: the signature is all there is of the block.
    """

    text: str
    choice: int = 0
    frame: bytes | None = None
    signature: str = ""
    is_redacted: bool = False


class ToolCallDelta(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A tool call, or more of its arguments: `id` and `name` come with its first delta.

    `signature` seals the reasoning that led to it, where the dialect keeps that with the call.
    """

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    choice: int = 0
    frame: bytes | None = None
    signature: str = ""


class UsageReport(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The upstream's count of tokens, so far; the last one holds.

    `cost_nanousd` is what the request has cost with them, None where that is not known. `service`:
    what the upstream says of its price.
    """

    usage: Usage
    frame: bytes | None = None
    cost_nanousd: int | None = None
    service: Service = NOT_SAID


class Note(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A frame with no content in it that we read: an opening, a finish mark, an unknown field."""

    frame: bytes


class Finished(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The end of a whole answer.

    `reason`: stop, length, tool_calls, content_filter, refusal, or the upstream's own word where
    none of these fits. `stop_sequence`: which of the client's made it stop, "" for none.
    """

    reason: str
    frame: bytes | None = None
    stop_sequence: str = ""


Event: TypeAlias = (
    Started | TextDelta | ReasoningDelta | ToolCallDelta | UsageReport | Note | Finished
)


# Takes events as they come, and returns whether it takes more of them now.
Sink: TypeAlias = Callable[[Sequence[Event]], bool]

# Gives what comes next of an answer, all that came at once; nothing after its end. With a sink,
# what comes before that end may go there instead; then () says that the sink has had enough.
More: TypeAlias = Callable[[Sink | None], Awaitable[Sequence[Event]]]


def has_content(batch: Sequence[Event]) -> bool:
    """Return whether a client would see something of the answer in these events."""
    return any(map(is_content, batch))


def is_content(event: Event) -> bool:
    """Return whether a client would see something of the answer in this event."""
    if isinstance(event, (TextDelta, ReasoningDelta)):
        return bool(event.text)
    return isinstance(event, ToolCallDelta)
