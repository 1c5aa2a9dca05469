"""Seals: blocks that are all signature, and those that stand before the block they belong behind.

Anthropic's answers never end in such a block, and clients go by that: Claude Code takes the last
block for the answer's text. But Gemini may seal its reasoning behind the text, and wants the seal
back in that place. So a seal that would be the last goes before the last block, and its data has a
mark, by which it is put behind again on its way back.
"""

from collections.abc import Iterable, Iterator

import msgspec

from pointsman.core.wire.prompt import Part, Thinking

SEALED = "redacted_thinking"
SAID = frozenset({"text", "tool_use"})
# No base64 has a point in it, so neither Anthropic's data nor Gemini's seals begin like this.
_BEHIND = "behind."

Block = dict[str, object]


def sealed_block(signature: str, *, is_behind: bool = False) -> Block:
    """Return a block that is all signature; `is_behind`: it belongs behind the one after it."""
    return {"type": SEALED, "data": _BEHIND + signature if is_behind else signature}


def signature_of(data: str) -> str:
    """Return the signature that a block's data is."""
    return data.removeprefix(_BEHIND)


def is_ahead(data: str) -> bool:
    """Return whether a block's data is a seal that belongs behind the next block."""
    return data.startswith(_BEHIND)


def seals_ahead(blocks: list[Block]) -> list[Block]:
    """Return an answer's blocks with seals that follow the last words or call before these."""
    last = max((n for n, block in enumerate(blocks) if block["type"] != SEALED), default=None)
    if last is None or blocks[last]["type"] not in SAID:
        return blocks
    seals = (sealed_block(str(block["data"]), is_behind=True) for block in blocks[last + 1 :])
    return [*blocks[:last], *seals, blocks[last]]


def seals_behind(parts: Iterable[Part]) -> Iterator[Part]:
    """Yield a message's parts with each marked seal, now without its mark, behind the next part.

    One that no part follows stays: a streamed answer comes back so from clients that keep blocks in
    the order of their numbers, see `encode.MessagesStreamEncoder`.
    """
    waiting: list[Part] = []
    for part in parts:
        if isinstance(part, Thinking) and part.is_redacted and is_ahead(part.signature):
            waiting.append(msgspec.structs.replace(part, signature=signature_of(part.signature)))
            continue
        yield part
        yield from waiting
        waiting = []
    yield from waiting
