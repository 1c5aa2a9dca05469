"""Models: what a Claude model takes of thinking, effort and sampling, told by its name.

A deployment says only whether a model reasons, and Anthropic's models differ in how they are asked
to. So the name decides, whatever stands around it at a reseller: `claude-opus-4-6`,
`us.anthropic.claude-opus-4-6-v1:0`, `claude-4.6-opus`. A name that is not Claude's belongs to a
server that copies the API; those know the older form, a budget, and neither efforts nor adaptive
thinking.

Source: platform.claude.com/docs/en/build-with-claude, "Troubleshooting thinking" (thinking by
model), "Extended thinking" and "Effort", and the migration guide for Claude Opus 4.7 (read
2026-11-23): up to 4.5 a budget alone, at 4.6 both, from 4.7 on adaptive alone; Fable and Mythos
cannot be told not to think; efforts began with Opus 4.5 (low to high), max with 4.6, xhigh with
4.7; from 4.1 on temperature and top_p exclude each other, from 4.7 on there is no sampling at all.
"""

import re
from typing import TypeAlias

from pointsman.core.wire.prompt import EFFORTS, Effort

_Version: TypeAlias = tuple[int, int]

_NAME = re.compile(r"claude-(?:([a-z]+)-)?(\d{1,2})(?!\d)(?:[-.](\d{1,2})(?!\d))?")
_FIRST_THINKING: _Version = (3, 7)
_LAST_BUDGET: _Version = (4, 6)
_FIRST_ADAPTIVE: _Version = (4, 6)
_FIRST_EFFORT_OF_OPUS: _Version = (4, 5)
_FIRST_XHIGH: _Version = (4, 7)
_FIRST_EITHER_OR: _Version = (4, 1)
_LAST_SAMPLING: _Version = (4, 6)
_UNNUMBERED: _Version = (99, 0)
# From when to when a family keeps no prefix shorter than so many tokens. Sources that others wrote
# (read 2026-11-23) differ for Sonnet 4.6, and say nothing of later models than these: such have the
# shortest, for a mark too many costs nothing.
_CACHED_TOKENS_MIN = 1_024
_CACHED_TOKENS_MINS: tuple[tuple[str, _Version, _Version, int], ...] = (
    ("opus", (4, 5), (4, 7), 4_096),
    ("haiku", (4, 5), (4, 5), 4_096),
    ("haiku", (3, 0), (3, 5), 2_048),
    ("fable", (5, 0), (5, 0), 2_048),
)
_ALWAYS_THINKING = ("claude-fable", "claude-mythos")


def takes_adaptive(model: str) -> bool:
    """Return whether the model takes `thinking: {"type": "adaptive"}`."""
    version = _version(model)
    return version is not None and version >= _FIRST_ADAPTIVE


def takes_budget(model: str) -> bool:
    """Return whether the model takes `thinking: {"type": "enabled", "budget_tokens": …}`."""
    version = _version(model)
    return version is None or _FIRST_THINKING <= version <= _LAST_BUDGET


def may_be_told_not_to_think(model: str) -> bool:
    """Return whether the model takes `thinking: {"type": "disabled"}`."""
    return not any(name in model.lower() for name in _ALWAYS_THINKING)


def fitting_effort(model: str, effort: Effort) -> str | None:
    """Return the effort that the model knows and that comes nearest, None where it knows none.

    A step that is missing between or above the known ones gives the next lower one; "minimal"
    gives "low". `effort` is not "none".
    """
    known = _efforts(model)
    if not known:
        return None
    most = EFFORTS.index(effort)
    return next((word for word in reversed(known) if EFFORTS.index(word) <= most), known[0])


def takes_sampling(model: str) -> bool:
    """Return whether the model takes temperature, top_p and top_k."""
    version = _version(model)
    return version is None or version <= _LAST_SAMPLING


def takes_sampling_together(model: str) -> bool:
    """Return whether the model takes temperature and top_p in one request."""
    version = _version(model)
    return version is None or version < _FIRST_EITHER_OR


def cached_tokens_min(model: str) -> int:
    """Return how long a prefix must be, in tokens, for the model's prompt cache to keep it."""
    version, lowered = _version(model), model.lower()
    if version is not None:
        for family, first, last, tokens in _CACHED_TOKENS_MINS:
            if family in lowered and first <= version <= last:
                return tokens
    return _CACHED_TOKENS_MIN


def _efforts(model: str) -> tuple[Effort, ...]:
    version = _version(model)
    if version is None:
        return ()
    if version >= _FIRST_XHIGH:
        return ("low", "medium", "high", "xhigh", "max")
    if version >= _FIRST_ADAPTIVE:
        return ("low", "medium", "high", "max")
    if version >= _FIRST_EFFORT_OF_OPUS and "opus" in model.lower():
        return ("low", "medium", "high")
    return ()


def _version(model: str) -> _Version | None:
    """Return a Claude model's version, None for another maker's; without a number, the newest."""
    lowered = model.lower()
    found = _NAME.search(lowered)
    if found is None:
        return _UNNUMBERED if "claude" in lowered else None
    return int(found[2]), int(found[3] or 0)
