"""Writing: a `Prompt` as a chat body."""

from collections.abc import Mapping

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.types import Capability, Deployment, Step
from pointsman.core.wire.effort import effort_of
from pointsman.core.wire.openai_chat.write_messages import MessageWriter
from pointsman.core.wire.params import with_fields
from pointsman.core.wire.prompt import (
    Prompt,
    Reasoning,
    Sampling,
    Shape,
    Tool,
    ToolChoice,
    Written,
)

# `json_schema.name` must be there.
_NAMELESS_SCHEMA = "answer"
_SERVICE_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})
_VERBOSITIES = frozenset({"low", "medium", "high"})
_NOT_FOR_REASONERS = (
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
)

Members = dict[str, object]


def write_prompt(prompt: Prompt, step: Step) -> Written:
    """Return the body for an upstream, and what it does not carry.

    A budget of reasoning becomes the effort that keeps within it, and is named as dropped, for the
    figure itself is lost. `max_tokens` is the client's, else the tier's, else not sent: this
    dialect needs none. More stop sequences than OpenAI's four go out all the same: others take
    more, and one that does not says so.

    Raises RequestError for what may not be dropped.
    """
    for name, reason in prompt.refused:
        raise RequestError(f"{name} cannot be sent to {step.deployment.id}: {reason}", param=name)
    deployment = step.deployment
    messages = MessageWriter()
    body: Members = {"model": deployment.model, "messages": messages.write(prompt.messages)}
    dropped = [*prompt.unread, *messages.dropped]
    body |= _tools(prompt.tools, prompt.tool_choice)
    if any(tool.mark for tool in prompt.tools):
        dropped.append("cache_control")
    if (bound := prompt.max_tokens or step.max_tokens) is not None:
        body[deployment.max_tokens_field] = bound
    body |= _sampling(prompt.sampling, deployment.capability, dropped)
    if prompt.shape is not None:
        body["response_format"] = _response_format(prompt.shape)
    body |= _reasoning(prompt.reasoning, deployment, dropped)
    if prompt.user:
        body["user"] = prompt.user
    for name, said, known in (
        ("service_tier", prompt.service_tier, _SERVICE_TIERS),
        ("verbosity", prompt.verbosity, _VERBOSITIES),
    ):
        if said in known:
            body[name] = said
        elif said:
            dropped.append(name)
    if prompt.is_stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    written = with_fields(msgspec.json.encode(body), deployment.params)
    return Written(written, tuple(dict.fromkeys(dropped)))


def _tools(tools: tuple[Tool, ...], choice: ToolChoice) -> Members:
    """Return the tools and the choice among them, which says nothing where there are none."""
    members: Members = {}
    if tools:
        members["tools"] = [_tool(tool) for tool in tools]
        if choice.is_parallel is not None:
            members["parallel_tool_calls"] = choice.is_parallel
    if choice.mode == "named":
        members["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    elif choice.mode == "required" or (choice.mode is not None and tools):
        members["tool_choice"] = choice.mode
    return members


def _tool(tool: Tool) -> Mapping[str, object]:
    function: Members = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = msgspec.Raw(tool.schema)
    if tool.is_strict is not None:
        function["strict"] = tool.is_strict
    return {"type": "function", "function": function}


def _sampling(sampling: Sampling, capability: Capability, dropped: list[str]) -> Members:
    """Return the fields that are set; a model that takes no sampling is not sent them.

    Source: learn.microsoft.com, "Azure OpenAI reasoning models", what they do not take (read
    2026-11-23); `seed` and `stop` are not on the list.
    """
    bias = sampling.logit_bias
    members: Members = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "logit_bias": None if bias is None else msgspec.Raw(bias),
        "seed": sampling.seed,
        "stop": list(sampling.stop) or None,
        "n": sampling.choices,
    }
    if sampling.top_k is not None:
        dropped.append("top_k")
    if sampling.logprobs is not None:
        members |= {"logprobs": True, "top_logprobs": sampling.logprobs or None}
    members = {name: value for name, value in members.items() if value is not None}
    if capability.sampling is False:
        dropped += (name for name in _NOT_FOR_REASONERS if name in members)
        members = {k: v for k, v in members.items() if k not in _NOT_FOR_REASONERS}
    return members


def _response_format(shape: Shape) -> Mapping[str, object]:
    if shape.schema is None:
        return {"type": "json_object"}
    schema: Members = {"name": shape.name or _NAMELESS_SCHEMA, "schema": msgspec.Raw(shape.schema)}
    if shape.description:
        schema["description"] = shape.description
    if shape.is_strict is not None:
        schema["strict"] = shape.is_strict
    return {"type": "json_schema", "json_schema": schema}


def _reasoning(reasoning: Reasoning, deployment: Deployment, dropped: list[str]) -> Members:
    """Return the effort. A model that does not reason is not sent one, and "none" needs no word.

    Thinking as much as it likes is what a model does where nothing is said.
    """
    effort = reasoning.effort
    if reasoning.budget_tokens is not None:
        effort = effort or effort_of(reasoning.budget_tokens)
        if reasoning.budget_tokens > 0:
            dropped.append("reasoning_budget")
    if reasoning.summary:
        dropped.append("reasoning_summary")
    if reasoning.is_shown is not None:
        dropped.append("reasoning_shown")
    if effort is None:
        return {}
    if deployment.capability.reasoning is False:
        if effort != "none":
            dropped.append("reasoning_effort")
        return {}
    return {"reasoning_effort": effort}
