"""Asked effort: how much a body that goes upstream asks for, whatever dialect it is in."""

import msgspec

from pointsman.core.wire.decoding import UNREADABLE
from pointsman.core.wire.effort import effort_of
from pointsman.core.wire.prompt import EFFORTS, Effort


class _Named(msgspec.Struct):
    effort: str | None = None


class _Thinking(msgspec.Struct):
    budget_tokens: int | None = None


class _ThinkingConfig(msgspec.Struct, rename="camel"):
    thinking_level: str | None = None
    thinking_budget: int | None = None


class _GenerationConfig(msgspec.Struct, rename="camel"):
    thinking_config: _ThinkingConfig | None = None


class _Body(msgspec.Struct):
    """The fields of the four dialects; no two of them use one name for different things."""

    reasoning_effort: str | None = None
    reasoning: _Named | None = None
    output_config: _Named | None = None
    thinking: _Thinking | None = None
    generation: _GenerationConfig | None = msgspec.field(default=None, name="generationConfig")


_decoder = msgspec.json.Decoder(_Body)


def asked_effort(body: bytes) -> Effort | None:
    """Return the effort that a body asks for, None where it says nothing that can be read.

    A budget in tokens counts as the most effort that keeps within it.
    """
    try:
        said = _decoder.decode(body)
    except UNREADABLE:
        return None
    config = (said.generation and said.generation.thinking_config) or _ThinkingConfig()
    named = (said.reasoning or _Named()).effort or (said.output_config or _Named()).effort
    word = (said.reasoning_effort or named or config.thinking_level or "").lower()
    for known in EFFORTS:
        if known == word:
            return known
    budget = config.thinking_budget
    if said.thinking is not None:
        budget = said.thinking.budget_tokens
    return None if budget is None or budget < 0 else effort_of(budget)
