"""Effort: words for how much to think, against budgets of tokens. The one table for all dialects.

The table is ours; no two providers mean the same by a word. Where Google maps the words itself, for
its OpenAI-compatible endpoint, the figures are Google's: minimal and low 1,024, medium 8,192, high
24,576 tokens. The least is also Anthropic's: it refuses a `budget_tokens` below 1,024. Above
"high", which few models know, each step is a third or twice more: 32,768 is the most that a Gemini
2.5 model takes, 65,536 stands for "whatever it needs".

Source: ai.google.dev/gemini-api/docs/openai, "Thinking", and
platform.claude.com/docs/en/build-with-claude/extended-thinking (read 2026-11-23).
"""

from collections.abc import Mapping

from pointsman.core.wire.prompt import Effort

_BUDGETS: Mapping[Effort, int] = {
    "none": 0,
    "minimal": 1_024,
    "low": 1_024,
    "medium": 8_192,
    "high": 24_576,
    "xhigh": 32_768,
    "max": 65_536,
}
# Every reasoning model knows these three; "minimal", "xhigh" and "max" are refused by many.
_KNOWN_TO_ALL: tuple[Effort, ...] = ("high", "medium", "low")


def budget_of(effort: Effort) -> int:
    """Return how many tokens of reasoning an effort stands for; 0 for none at all.

    It is not fitted to the answer's own bound nor to a model's range: the codec does that.
    """
    return _BUDGETS[effort]


def effort_of(budget_tokens: int) -> Effort:
    """Return the most effort that keeps within a budget: none, low, medium or high.

    A budget is an upper bound, so it is rounded down; any at all is at least "low". `budget_tokens`
    is 0 or more: "as much as you like" is no budget.
    """
    if budget_tokens <= 0:
        return "none"
    fitting = (effort for effort in _KNOWN_TO_ALL if _BUDGETS[effort] <= budget_tokens)
    return next(fitting, "low")
