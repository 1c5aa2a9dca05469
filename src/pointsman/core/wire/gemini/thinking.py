"""Thinking: how much a Gemini model is to reason, in the words that its generation takes.

Source: ai.google.dev/gemini-api/docs/thinking and docs.cloud.google.com/gemini-enterprise-agent-
platform/models/thinking, "Control model thinking" (read 2026-11-23). From Gemini 3 on it is a level
and cannot be turned off; Gemini 2.5 takes a budget, -1 for as much as it likes; both together are
refused. "MINIMAL" is known to the Flash models up to 3.6 and to no Pro model.
"""

import re

from pointsman.core.wire.effort import budget_of, effort_of
from pointsman.core.wire.prompt import Effort, Reasoning

_VERSION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_LEVELS: dict[Effort, str] = {
    "none": "MINIMAL",
    "minimal": "MINIMAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "HIGH",
    "max": "HIGH",
}
_EFFORTS: dict[str, Effort] = {
    "MINIMAL": "minimal",
    "LOW": "low",
    "MEDIUM": "medium",
    "HIGH": "high",
    "XHIGH": "xhigh",
}
_MINIMAL_UP_TO = (3, 6)
_DYNAMIC = -1


def version_of(model: str) -> tuple[int, int]:
    """Return a model's generation, such as (2, 5).

    A name without one ("gemini-flash-latest") means the newest, here (99, 0).
    """
    match = _VERSION.search(model)
    return (int(match[1]), int(match[2] or 0)) if match else (99, 0)


def thinking_config(reasoning: Reasoning, model: str) -> tuple[dict[str, object], tuple[str, ...]]:
    """Return `thinkingConfig` for what a client asks, empty for nothing, and what it cannot say.

    An effort wins over a budget. Above what a model knows, it is the most that it knows. A budget
    that is made a level, or that is out of the model's range, is named as left out.
    """
    config: dict[str, object] = {}
    dropped: list[str] = []
    if reasoning.is_shown or reasoning.summary:
        config["includeThoughts"] = True
    if reasoning.summary not in ("", "auto"):
        dropped.append("reasoning_summary")
    effort, budget = reasoning.effort, reasoning.budget_tokens
    if effort is None and budget is None:
        if reasoning.is_adaptive and version_of(model) == (2, 5):
            config["thinkingBudget"] = _DYNAMIC
        return config, tuple(dropped)
    name = "reasoning_effort" if effort is not None else "reasoning_budget"
    if version_of(model) < (2, 5):  # these do not think
        is_asked = effort != "none" and budget != 0
        return {}, (*dropped, name) if is_asked else tuple(dropped)
    if version_of(model) >= (3, 0):
        wanted = effort if effort is not None else effort_of(budget or 0)
        config["thinkingLevel"] = _level(wanted, model)
        if wanted == "none" or effort is None:
            dropped.append(name)
    else:
        tokens = budget_of(effort) if effort is not None else budget or 0
        config["thinkingBudget"] = fitted = _fitted(tokens, model)
        if fitted != tokens and (effort is None or tokens == 0):
            dropped.append(name)
    return config, tuple(dropped)


def read_thinking(budget: int | None, level: str | None, *, is_shown: bool | None) -> Reasoning:
    """Return what a `thinkingConfig` asks."""
    return Reasoning(
        effort=_EFFORTS.get((level or "").upper()),
        budget_tokens=budget if budget is not None and budget >= 0 else None,
        is_adaptive=budget == _DYNAMIC,
        is_shown=is_shown,
    )


def _level(effort: Effort, model: str) -> str:
    level = _LEVELS[effort]
    knows_minimal = version_of(model) <= _MINIMAL_UP_TO and "pro" not in model
    return "LOW" if level == "MINIMAL" and not knows_minimal else level


def _fitted(tokens: int, model: str) -> int:
    """Return a budget within the model's range: 2.5 Pro 128 to 32,768, else up to 24,576 and 0.

    Flash-Lite takes no fewer than 512, where it takes any.
    """
    if "pro" in model:
        return min(max(tokens, 128), 32_768)
    least = 512 if "lite" in model else 1
    return min(max(tokens, least), 24_576) if tokens else 0
