"""Writing: a `Prompt` as a messages body."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.types import Capability, Step
from pointsman.core.wire.anthropic.marks import limit_marks, with_mark
from pointsman.core.wire.anthropic.models import takes_sampling_together
from pointsman.core.wire.anthropic.request import usual_max_tokens
from pointsman.core.wire.anthropic.schema import closed, object_schema
from pointsman.core.wire.anthropic.thinking import ask_for, with_params
from pointsman.core.wire.anthropic.tool_loop import OFF, THINKING, Kinds, turn_under_way
from pointsman.core.wire.anthropic.versions import WITH_SAMPLING, upstream_version
from pointsman.core.wire.anthropic.write_messages import Said, write_messages
from pointsman.core.wire.prompt import Prompt, Sampling, Shape, Tool, ToolChoice, Written

# OpenAI's words, which the neutral form uses.
_SERVICE_TIERS = {"auto": "auto", "default": "standard_only"}
_FORCED = ("required", "named")
# Source: anthropic-python 2.12, and the API's own 400s (read 2026-11-23).
_TEMPERATURE_MAX = 1.0
_USER_CHARS_MAX = 256

Members = dict[str, object]


def write_prompt(prompt: Prompt, step: Step) -> Written:
    """Return the body for an upstream, and what it does not carry.

    `max_tokens` is the client's, else the tier's, else the most that the model can, else 4,096:
    this dialect must have one. Sampling parameters go out where the model takes them and it is not
    told to think. What `write_messages`, `thinking` and `schema` change is said there.

    Raises RequestError for what may not be dropped.
    """
    deployment, dropped = step.deployment, list(prompt.unread)
    for name, reason in prompt.refused:
        raise RequestError(f"{name} cannot be sent to {deployment.id}: {reason}", param=name)
    max_tokens = prompt.max_tokens or usual_max_tokens(step)
    body: Members = {"model": deployment.model, "max_tokens": max_tokens}
    system, said = write_messages(prompt.messages, dropped)
    body |= {"system": system} if system else {}
    body |= _tools(prompt.tools, prompt.tool_choice, deployment.capability, dropped)
    start, is_led = turn_under_way([_kinds(message) for message in said])
    asked = ask_for(
        prompt.reasoning,
        deployment,
        max_tokens=max_tokens,
        is_forced=prompt.tool_choice.mode in _FORCED,
        is_led=is_led,
    )
    if asked.thinking == OFF:
        said = [*said[:start], *_without_thinking(said[start:], dropped)]
    body["messages"] = said
    dropped += asked.dropped
    if asked.thinking is not None:
        body["thinking"] = asked.thinking
    form = None if prompt.shape is None else _format(prompt.shape, dropped)
    config = {"effort": asked.effort, "format": form}
    if any(config.values()):
        body["output_config"] = {name: value for name, value in config.items() if value}
    takes_sampling = upstream_version(step) == WITH_SAMPLING and not asked.is_thinking
    body |= _sampling(prompt.sampling, deployment.model, dropped, is_taken=takes_sampling)
    body |= _who_asks(prompt, dropped)
    if prompt.is_stream:
        body["stream"] = True
    limit_marks(body, dropped)
    written = with_params(msgspec.json.encode(body), deployment, max_tokens=max_tokens)
    return Written(written, tuple(dict.fromkeys(dropped)))


def _kinds(message: Said) -> Kinds:
    return message["role"], [str(block["type"]) for block in message["content"]]


def _without_thinking(messages: Sequence[Said], dropped: list[str]) -> Iterator[Said]:
    for message in messages:
        content = [block for block in message["content"] if block["type"] not in THINKING]
        if content != message["content"]:
            dropped.append("reasoning")
        if content:
            yield {"role": message["role"], "content": content}


def _tools(
    tools: tuple[Tool, ...], choice: ToolChoice, capability: Capability, dropped: list[str]
) -> Members:
    """Return the tools and the choice among them, which says nothing where there are none."""
    if not tools:
        if choice.mode in _FORCED:
            raise RequestError("tool_choice asks for a tool and there is none", param="tool_choice")
        return {}
    members: Members = {"tools": [_tool(tool, capability, dropped) for tool in tools]}
    match choice.mode:
        case "named":
            chosen: Members = {"type": "tool", "name": choice.name}
        case "required":
            chosen = {"type": "any"}
        case "none":
            return members | {"tool_choice": {"type": "none"}}
        case _:
            chosen = {"type": "auto"}
    if choice.is_parallel is False:
        chosen["disable_parallel_tool_use"] = True
    if choice.mode is not None or choice.is_parallel is False:
        members["tool_choice"] = chosen
    return members


def _tool(tool: Tool, capability: Capability, dropped: list[str]) -> Mapping[str, object]:
    members: Members = {"name": tool.name}
    if tool.description:
        members["description"] = tool.description
    members["input_schema"] = object_schema(tool.schema)
    if tool.is_strict:
        if capability.json_schema is False:
            dropped.append("tools.strict")
        else:
            members["strict"] = True
    return with_mark(members, tool.mark)


def _format(shape: Shape, dropped: list[str]) -> Mapping[str, object] | None:
    """Return the answer's JSON schema; "any JSON object" cannot be asked for here."""
    if shape.schema is None:
        dropped.append("response_format")
        return None
    if shape.name:
        dropped.append("response_format.name")
    if shape.description:
        dropped.append("response_format.description")
    return {"type": "json_schema", "schema": closed(shape.schema)}


def _sampling(sampling: Sampling, model: str, dropped: list[str], *, is_taken: bool) -> Members:
    """Return the fields that are set.

    A temperature above 1, the most there is here, is dropped, which leaves 1. From Claude 4.1 on
    the API takes temperature or top_p, not both: then the temperature stays.

    Raises RequestError where the answer would be of another kind without.
    """
    if (sampling.choices or 1) > 1:
        raise RequestError("this dialect gives one answer; ask for one", param="n")
    if sampling.logprobs is not None:
        raise RequestError("this dialect tells no log probabilities", param="logprobs")
    if blank := [stop for stop in sampling.stop if not stop.strip()]:
        raise RequestError(
            f"stop has {blank[0]!r}; this dialect takes none of white space alone", param="stop"
        )
    members: Members = {}
    if sampling.stop:
        members["stop_sequences"] = sampling.stop
    temperature, top_p = sampling.temperature, sampling.top_p
    is_hot = temperature is not None and temperature > _TEMPERATURE_MAX
    is_one_too_many = temperature is not None and not takes_sampling_together(model)
    for name, value, fits in (
        ("temperature", temperature, not is_hot),
        ("top_p", top_p, not is_one_too_many),
        ("top_k", sampling.top_k, True),
    ):
        if value is not None and is_taken and fits:
            members[name] = value
        elif value is not None:
            dropped.append(name)
    unsaid = {
        "seed": sampling.seed is not None,
        "frequency_penalty": bool(sampling.frequency_penalty),
        "presence_penalty": bool(sampling.presence_penalty),
        "logit_bias": sampling.logit_bias is not None,
    }
    dropped += (name for name, is_said in unsaid.items() if is_said)
    return members


def _who_asks(prompt: Prompt, dropped: list[str]) -> Members:
    members: Members = {}
    if prompt.user and len(prompt.user) <= _USER_CHARS_MAX:
        members["metadata"] = {"user_id": prompt.user}
    elif prompt.user:
        dropped.append("user")
    if prompt.service_tier in _SERVICE_TIERS:
        members["service_tier"] = _SERVICE_TIERS[prompt.service_tier]
    elif prompt.service_tier:
        dropped.append("service_tier")
    if prompt.verbosity:
        dropped.append("verbosity")
    return members
