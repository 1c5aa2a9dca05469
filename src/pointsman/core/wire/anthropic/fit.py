"""Fit: on the short road, the client's way of thinking put as the chosen model takes it.

Claude models differ in how they are told to think (see `models`): up to 4.5 by a budget alone, from
4.7 on adaptively alone, and efforts are known to some. A client writes what fits the model that it
has in mind; where the router chose another, the API would refuse the request.
"""

import msgspec

from pointsman.core.types import Deployment
from pointsman.core.wire.anthropic.models import (
    fitting_effort,
    may_be_told_not_to_think,
    takes_adaptive,
    takes_budget,
)
from pointsman.core.wire.anthropic.thinking import DISPLAYS, ask_for, is_forced
from pointsman.core.wire.prompt import EFFORTS, Effort, Reasoning, Written
from pointsman.core.wire.splice import splice


class _Thinking(msgspec.Struct):
    type: str = ""
    budget_tokens: int | None = None
    display: str | None = None


class _Config(msgspec.Struct):
    effort: str | None = None


class _Body(msgspec.Struct):
    thinking: _Thinking | None = None
    output_config: _Config | None = None


# How the client wrote what `ask_for` names.
_NAMES = {"reasoning_budget": "thinking.budget_tokens", "reasoning_shown": "thinking.display"}

_body = msgspec.json.Decoder(_Body)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def fitted(body: bytes, deployment: Deployment, *, max_tokens: int) -> Written:
    """Return a body whose thinking and effort the deployment's model takes, as near as it can.

    One that it takes already is returned untouched, as is one that cannot be read. What is given up
    or rounded is named as the client wrote it, such as `thinking` or `output_config.effort`.
    """
    if b'"thinking"' not in body and b'"effort"' not in body:
        return Written(body)
    try:
        said = _body.decode(body)
    except msgspec.DecodeError:  # the upstream says better what is wrong with it
        return Written(body)
    thinking = said.thinking or _Thinking()
    word = (said.output_config or _Config()).effort
    effort = next((known for known in EFFORTS if known == word), None)
    written = _with_thinking(body, thinking, effort, deployment, max_tokens=max_tokens)
    if effort is None or effort == fitting_effort(deployment.model, effort):
        return written
    nearest = fitting_effort(deployment.model, effort)
    new = _with_effort(written.body, nearest)
    return Written(new, (*written.dropped, "output_config.effort"))


def _with_thinking(
    body: bytes,
    thinking: _Thinking,
    effort: Effort | None,
    deployment: Deployment,
    *,
    max_tokens: int,
) -> Written:
    if _takes(deployment.model, thinking.type):
        return Written(body)
    if thinking.type == "disabled":
        return Written(splice(body, {"thinking": None}), ("thinking",))
    wanted = Reasoning(
        effort=effort,
        budget_tokens=thinking.budget_tokens,
        is_adaptive=thinking.type == "adaptive",
        is_shown=DISPLAYS.get(thinking.display or ""),
    )
    asked = ask_for(wanted, deployment, max_tokens=max_tokens, is_forced=is_forced(body))
    if not asked.is_thinking:
        off = None if asked.thinking is None else msgspec.json.encode(asked.thinking)
        return Written(splice(body, {"thinking": off}), ("thinking",))
    body = splice(body, {"thinking": msgspec.json.encode(asked.thinking)})
    if effort is None and asked.effort is not None:
        body = _with_effort(body, asked.effort)
    return Written(body, tuple(_NAMES[name] for name in asked.dropped if name in _NAMES))


def _with_effort(body: bytes, effort: str | None) -> bytes:
    """Return the body with an effort, None for one that says none."""
    config = _members.decode(body).get("output_config", msgspec.Raw(b"{}"))
    word = None if effort is None else msgspec.json.encode(effort)
    return splice(body, {"output_config": splice(bytes(config), {"effort": word})})


def _takes(model: str, kind: str) -> bool:
    """Return whether a model takes thinking of this type; what is unknown here is let through."""
    match kind:
        case "adaptive":
            return takes_adaptive(model)
        case "enabled":
            return takes_budget(model)
        case "disabled":
            return may_be_told_not_to_think(model)
        case _:
            return True
