"""Reading output: one item of an answer as events, whether it comes in pieces or whole."""

from collections.abc import Iterator

import msgspec

from pointsman.core.events import Event, ReasoningDelta, TextDelta, TokenProb, ToolCallDelta
from pointsman.core.wire.openai_responses.items import (
    CALLS,
    is_redacted,
    neutral_name,
    signature_of,
    wrapped_closing,
    wrapped_opening,
    wrapped_piece,
)

_PARAGRAPH = "\n\n"
_READ_ITEMS = CALLS | {"message", "reasoning"}


class Prob(msgspec.Struct):
    """A token's log probability."""

    token: str | None = None
    logprob: float | None = None
    bytes: list[int] | None = None
    top_logprobs: "list[Prob] | None" = None


class OutputPart(msgspec.Struct):
    """A part of a message, of a summary, or of a reasoning's text."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None
    logprobs: list[Prob] | None = None


class _Kind(msgspec.Struct):
    type: str = ""


class OutputItem(msgspec.Struct):
    """An item of the output; which fields it has goes by its type."""

    type: str = ""
    id: str | None = None
    content: list[OutputPart] | None = None
    summary: list[OutputPart] | None = None
    encrypted_content: str | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: str | None = None
    input: str | None = None


_item = msgspec.json.Decoder(OutputItem)
_kind = msgspec.json.Decoder(_Kind)


def read_item(raw: msgspec.Raw) -> OutputItem | None:
    """Return an item that says something to the client in any dialect, None for any other.

    Raises msgspec.DecodeError where it cannot be read.
    """
    return _item.decode(raw) if _kind.decode(raw).type in _READ_ITEMS else None


class ItemReader:
    """Turns one item into events, whether its text comes in pieces, at its end, or both.

    `is_open`: the item has been announced. Its pieces may come before; those of a call, which say
    neither its id nor its name, then wait for its end.
    """

    def __init__(self) -> None:
        self.is_open = False
        self.is_refusal = False
        self._call_index = 0
        self._given: dict[str, int] = {}
        self._is_custom = False
        self._is_closed = False

    def open(self, item: OutputItem, call_index: int) -> Iterator[Event]:
        """Yield what an item's beginning says: a call's id and name.

        `call_index` is the place of a call among the answer's calls.
        """
        self.is_open = True
        self._call_index = call_index
        if item.type in CALLS:
            self._is_custom = item.type == "custom_tool_call"
            yield ToolCallDelta(
                index=self._call_index,
                id=item.call_id or item.id or "",
                name=neutral_name(item.namespace or "", item.name or ""),
                arguments=wrapped_opening() if self._is_custom else "",
            )

    def text(
        self, part: int, piece: str, logprobs: list[Prob] | None, *, is_refusal: bool
    ) -> Iterator[Event]:
        """Yield a piece of a part's text."""
        if piece or logprobs:
            self.is_refusal = self.is_refusal or is_refusal
            self._count(f"text {part}", piece)
            yield TextDelta(piece, is_refusal=is_refusal, logprobs=_token_probs(logprobs))

    def text_end(
        self, part: int, whole: str, logprobs: list[Prob] | None, *, is_refusal: bool
    ) -> Iterator[Event]:
        """Yield what of a part's whole text has not come in pieces."""
        rest, is_new = self._rest(f"text {part}", whole)
        yield from self.text(part, rest, logprobs if is_new else None, is_refusal=is_refusal)

    def reasoning(self, part: str, piece: str) -> Iterator[Event]:
        """Yield a piece of reasoning; `part` names the part of the item."""
        if piece:
            is_next = part not in self._given and any(self._given.values())
            self._count(part, piece)
            yield ReasoningDelta(_PARAGRAPH + piece if is_next else piece)

    def reasoning_end(self, part: str, whole: str) -> Iterator[Event]:
        """Yield what of a part's whole reasoning has not come in pieces."""
        yield from self.reasoning(part, self._rest(part, whole)[0])

    def arguments(self, piece: str) -> Iterator[Event]:
        """Yield a piece of a call's arguments, or of a custom tool's input."""
        if piece and self.is_open:
            self._count("arguments", piece)
            written = wrapped_piece(piece) if self._is_custom else piece
            yield ToolCallDelta(index=self._call_index, arguments=written)

    def arguments_end(self, whole: str) -> Iterator[Event]:
        """Yield what of a call's whole arguments has not come in pieces."""
        yield from self.arguments(self._rest("arguments", whole)[0])

    def close(self, item: OutputItem) -> Iterator[Event]:
        """Yield what of a whole item has not come before, and its seal."""
        if self._is_closed:
            return
        self._is_closed = True
        match item.type:
            case "message":
                for place, part in enumerate(item.content or ()):
                    is_refusal = part.type == "refusal"
                    whole = (part.refusal if is_refusal else part.text) or ""
                    yield from self.text_end(place, whole, part.logprobs, is_refusal=is_refusal)
            case "reasoning":
                for place, part in enumerate(item.summary or ()):
                    yield from self.reasoning_end(f"summary {place}", part.text or "")
                for place, part in enumerate(item.content or ()):
                    yield from self.reasoning_end(f"content {place}", part.text or "")
                if sealed := item.encrypted_content:
                    yield ReasoningDelta(
                        "", signature=signature_of(sealed), is_redacted=is_redacted(sealed)
                    )
            case _:
                yield from self.arguments_end(item.arguments or item.input or "")
                if self._is_custom:
                    yield ToolCallDelta(index=self._call_index, arguments=wrapped_closing())

    def _count(self, part: str, piece: str) -> None:
        self._given[part] = self._given.get(part, 0) + len(piece)

    def _rest(self, part: str, whole: str) -> tuple[str, bool]:
        """Return what of a whole has not been given, and whether nothing of it has."""
        given = self._given.get(part)
        return whole[given or 0 :], given is None


def _token_probs(probs: list[Prob] | None) -> tuple[TokenProb, ...]:
    return tuple(
        TokenProb(
            token=prob.token or "",
            logprob=prob.logprob or 0.0,
            utf8=None if prob.bytes is None else tuple(prob.bytes),
            others=_token_probs(prob.top_logprobs),
        )
        for prob in probs or ()
    )
