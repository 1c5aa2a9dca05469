"""Thinking: how much to reason, as a given model takes it."""

from collections.abc import Mapping

import msgspec

from pointsman.core.types import Deployment
from pointsman.core.wire.anthropic.models import (
    fitting_effort,
    may_be_told_not_to_think,
    takes_adaptive,
    takes_budget,
)
from pointsman.core.wire.anthropic.tool_loop import OFF, kind_of
from pointsman.core.wire.effort import budget_of, effort_of
from pointsman.core.wire.params import with_fields
from pointsman.core.wire.prompt import EFFORTS, Effort, Reasoning
from pointsman.core.wire.splice import splice

# Source: platform.claude.com/docs/en/build-with-claude/extended-thinking (read 2026-11-23):
# `budget_tokens` is at least this, and less than `max_tokens`.
_BUDGET_MIN = 1_024
# What a `display` says of the wish to see the thinking.
DISPLAYS = {"summarized": True, "omitted": False}
_PARAM = "reasoning_effort"
_FORCED = frozenset({"any", "tool"})


class _Chosen(msgspec.Struct):
    tool_choice: msgspec.Raw = msgspec.Raw()


_chosen = msgspec.json.Decoder(_Chosen)


class Asked(msgspec.Struct, frozen=True):
    """The body's fields for an amount of reasoning, None for one that is left out, and the names
    of what they do not say.
    """

    thinking: Mapping[str, object] | None = None
    effort: str | None = None
    dropped: tuple[str, ...] = ()

    @property
    def is_thinking(self) -> bool:
        """Return whether the model is told to think."""
        return self.thinking is not None and self.thinking != OFF


def ask_for(
    reasoning: Reasoning,
    deployment: Deployment,
    *,
    max_tokens: int,
    is_forced: bool,
    is_led: bool = True,
) -> Asked:
    """Return how the deployment's model is asked for an amount of reasoning.

    A model that takes efforts gets the one that comes nearest, and thinks adaptively; one that
    takes none gets a budget, made to fit `max_tokens`. `is_forced`: the model must call a tool;
    `is_led`: a turn under way begins with thinking, see `tool_loop`. Adaptive thinking goes with
    a forced call and with a turn that is not led, a budget does not.
    """
    amount = _amount(reasoning)
    if amount is None:
        return Asked(dropped=_wishes(reasoning))
    name = "reasoning_effort" if reasoning.budget_tokens is None else "reasoning_budget"
    if amount == "none":
        if not may_be_told_not_to_think(deployment.model):
            return Asked(dropped=(name,))
        is_sure = deployment.capability.reasoning is not False
        return Asked(OFF if is_sure else None)
    if deployment.capability.reasoning is False:
        return Asked(dropped=(name, *_wishes(reasoning)))
    exact = reasoning.budget_tokens
    can_have_budget = takes_budget(deployment.model) and not is_forced and is_led
    if takes_adaptive(deployment.model) and not (exact and can_have_budget):
        return _adaptively(reasoning, deployment.model, amount)
    budget = min(exact or budget_of(amount), max_tokens - 1)
    if not can_have_budget or budget < _BUDGET_MIN:
        # Servers that copy the API may think unless told not to, and then want it back.
        off = None if is_led or not takes_budget(deployment.model) else OFF
        return Asked(off, dropped=(name, *_wishes(reasoning)))
    display, dropped = _display(reasoning, deployment.model)
    return Asked({"type": "enabled", "budget_tokens": budget} | display, dropped=dropped)


def with_params(body: bytes, deployment: Deployment, *, max_tokens: int) -> bytes:
    """Return the body with the deployment's own parameters, which replace the client's.

    `reasoning_effort` is put in this dialect's words; the client's `thinking` then goes whole.
    """
    params = dict(deployment.params)
    word = params.pop(_PARAM, None)
    effort = next((known for known in EFFORTS if known == word), None)
    if effort is not None:
        wanted = Reasoning(effort=effort)
        asked = ask_for(wanted, deployment, max_tokens=max_tokens, is_forced=is_forced(body))
        thinking = None if asked.thinking is None else msgspec.json.encode(asked.thinking)
        body = splice(body, {"thinking": thinking})
        if asked.effort is not None or b'"effort"' in body:
            body = with_fields(body, {"output_config": {"effort": asked.effort}})
    return with_fields(body, params)


def is_forced(body: bytes) -> bool:
    """Return whether a body has the model call a tool, which a budget does not go with."""
    return b'"tool_choice"' in body and kind_of(_chosen.decode(body).tool_choice) in _FORCED


def _amount(reasoning: Reasoning) -> Effort | None:
    """Return the effort that is asked for in whatever words, None where nothing is said."""
    if reasoning.effort is not None:
        return "none" if reasoning.budget_tokens == 0 else reasoning.effort
    if reasoning.budget_tokens is not None:
        return effort_of(reasoning.budget_tokens)
    return "medium" if reasoning.is_adaptive else None


def _adaptively(reasoning: Reasoning, model: str, amount: Effort) -> Asked:
    is_said = reasoning.effort is not None or reasoning.budget_tokens is not None
    rounded = ("reasoning_budget",) if reasoning.budget_tokens else ()
    display, dropped = _display(reasoning, model)
    effort = fitting_effort(model, amount) if is_said else None
    return Asked({"type": "adaptive"} | display, effort, (*rounded, *dropped))


def _display(reasoning: Reasoning, model: str) -> tuple[dict[str, object], tuple[str, ...]]:
    """Return the wish to see the thinking or not, and what of it cannot be said.

    Models without adaptive thinking always show it.
    """
    hides = reasoning.is_shown is False
    if not takes_adaptive(model):
        return {}, ("reasoning_shown",) if hides else ()
    dropped = ("reasoning_summary",) if reasoning.summary not in ("", "auto") else ()
    if not hides and not reasoning.is_shown and not reasoning.summary:
        return {}, ()
    return {"display": "omitted" if hides else "summarized"}, dropped


def _wishes(reasoning: Reasoning) -> tuple[str, ...]:
    """Return the names of the wishes to see the thinking, where there will be none."""
    shown = () if reasoning.is_shown is None else ("reasoning_shown",)
    return (*shown, "reasoning_summary") if reasoning.summary else shown
