"""Draft: what a check may look at, and the few readings of it that several checks share."""

import msgspec

from pointsman.core.types import Decision, Features, ResponseFormat, ToolCall

REASON_CHARS_MAX = 160


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked, as far as a check may look at it."""

    features: Features
    decision: Decision
    response_format: ResponseFormat | None = None


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, or its beginning while a stream is held back.

    `finish_reason` is None while it is still coming; then a validator speaks only of what more
    text could no longer mend.
    """

    text: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None

    @property
    def is_whole(self) -> bool:
        """Return whether the answer has ended."""
        return self.finish_reason is not None


def is_cut_by_client(draft: Draft, ask: Ask) -> bool:
    """Return whether the draft ended at a limit that the client itself had set.

    That was the client's wish, and a stronger tier would be cut at the same place.
    """
    return draft.finish_reason == "length" and ask.features.max_tokens is not None


def short_reason(text: str) -> str:
    """Return `text` as one line of at most `REASON_CHARS_MAX` printable ASCII characters.

    A reason goes into logs and headers, and parts of it may have been written by a model.
    """
    line = " ".join(text[: 4 * REASON_CHARS_MAX].split())
    plain = "".join(char if char.isprintable() else "?" for char in line)
    plain = plain.encode("ascii", "replace").decode("ascii")
    if len(plain) <= REASON_CHARS_MAX:
        return plain
    return plain[: REASON_CHARS_MAX - 3] + "..."
