"""Params: the fields that a deployment always sends, in a body of this dialect."""

import msgspec

from pointsman.core.types import Deployment
from pointsman.core.wire.gemini.thinking import thinking_config
from pointsman.core.wire.params import with_fields
from pointsman.core.wire.prompt import EFFORTS, Reasoning
from pointsman.core.wire.splice import object_bytes, splice

_EFFORT = "reasoning_effort"
_REPLACED = ("thinkingBudget", "thinkingLevel", "thinking_budget", "thinking_level")


def with_params(body: bytes, deployment: Deployment) -> bytes:
    """Return the body with the deployment's own parameters, which replace what the client sent.

    `reasoning_effort` becomes a level or a budget of thinking and takes the place of either; all
    others are fields of the body. A word that is no effort is left out.
    """
    fields = {name: value for name, value in deployment.params.items() if name != _EFFORT}
    effort = deployment.params.get(_EFFORT)
    if effort in EFFORTS:
        asked = Reasoning(effort=effort)
        body = _with_thinking(body, thinking_config(asked, deployment.model)[0])
    return with_fields(body, fields)


def _with_thinking(body: bytes, config: dict[str, object]) -> bytes:
    """Return the body with this `thinkingConfig`; whether thoughts are shown stays the client's."""
    members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    general = bytes(members.get("generationConfig", b"{}"))
    if not general.lstrip().startswith(b"{"):
        general = b"{}"
    thinking = msgspec.json.decode(general, type=dict[str, msgspec.Raw]).get("thinkingConfig")
    kept: dict[str, bytes] = {}
    if thinking is not None and bytes(thinking).startswith(b"{"):
        said = msgspec.json.decode(thinking, type=dict[str, msgspec.Raw])
        kept = {name: bytes(value) for name, value in said.items() if name not in _REPLACED}
    kept |= {name: msgspec.json.encode(value) for name, value in config.items()}
    return splice(
        body, {"generationConfig": splice(general, {"thinkingConfig": object_bytes(kept)})}
    )
