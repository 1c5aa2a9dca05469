"""Events: the one currency. An answer in flight is a stream of these, ending in one `Finished`.

`frame` is the piece of the source that an event was read from, so that an encoder for the same
dialect can send it on untouched. None: there is no source, the encoder writes one. Empty: the
source went out with an earlier event of the same frame.
"""

from typing import TypeAlias

import msgspec

from pointsman.core.usage import Usage


class Started(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The answer's opening: the upstream's own id, time (Unix seconds) and name of the model.

    `dialect` and `is_stream` say which source the frames of this answer have.
    """

    id: str
    created: int
    model: str
    dialect: str
    is_stream: bool
    frame: bytes | None = None


class TextDelta(msgspec.Struct, frozen=True, tag=True):
    """More of the answer's text. `choice` is its index where the client asked for several."""

    text: str
    choice: int = 0
    frame: bytes | None = None


class ReasoningDelta(msgspec.Struct, frozen=True, tag=True):
    """More of the model's reasoning, where the upstream shows it."""

    text: str
    choice: int = 0
    frame: bytes | None = None


class ToolCallDelta(msgspec.Struct, frozen=True, tag=True):
    """A tool call, or more of its arguments: `id` and `name` come with its first delta."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    choice: int = 0
    frame: bytes | None = None


class UsageReport(msgspec.Struct, frozen=True, tag=True):
    """The upstream's count of tokens, so far; the last one holds.

    `cost_nanousd` is what the request has cost with them, None where that is not known.
    """

    usage: Usage
    frame: bytes | None = None
    cost_nanousd: int | None = None


class Note(msgspec.Struct, frozen=True, tag=True):
    """A frame with no content in it that we read: an opening, a finish mark, an unknown field."""

    frame: bytes


class Finished(msgspec.Struct, frozen=True, tag=True):
    """The end of a whole answer. `reason`: stop, length, tool_calls, content_filter, or other."""

    reason: str
    frame: bytes | None = None


Event: TypeAlias = (
    Started | TextDelta | ReasoningDelta | ToolCallDelta | UsageReport | Note | Finished
)


def is_content(event: Event) -> bool:
    """Return whether a client would see something of the answer in this event."""
    match event:
        case TextDelta(text=text) | ReasoningDelta(text=text):
            return bool(text)
        case ToolCallDelta():
            return True
        case _:
            return False
