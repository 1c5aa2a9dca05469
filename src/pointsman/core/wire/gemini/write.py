"""Writing: a `Prompt` as a body of this dialect."""

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.types import Deployment, Step
from pointsman.core.wire.gemini.params import with_params
from pointsman.core.wire.gemini.thinking import thinking_config
from pointsman.core.wire.gemini.write_contents import ContentWriter
from pointsman.core.wire.prompt import (
    Message,
    Prompt,
    Reasoning,
    Sampling,
    Shape,
    Text,
    Tool,
    ToolChoice,
    Written,
)

_Members = dict[str, object]

# Source: `stopSequences` in ai.google.dev/api/generate-content (read 2026-11-23): up to 5.
_STOPS_MAX = 5
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY", "named": "ANY"}
# Source: ServiceTier in google-genai 3.4's types; others call "standard" otherwise.
_SERVICE_TIERS = {
    "flex": "flex",
    "priority": "priority",
    "standard": "standard",
    "default": "standard",
    "standard_only": "standard",
}
_NO_PARAMETERS = ({"type": "object"}, {"type": "object", "properties": {}})


def write_prompt(prompt: Prompt, step: Step) -> Written:
    """Return the body for an upstream, and what it does not carry.

    System messages up to the first other one become the instruction; a later one stays in its place
    as words of the user, and is named as dropped ("system_role"). Schemas go as JSON schema.
    `max_tokens` is the client's, else the tier's, else not sent: this dialect needs none.

    Raises RequestError for what may not be dropped.
    """
    deployment = step.deployment
    for name, reason in prompt.refused:
        raise RequestError(f"{name} cannot be sent to {deployment.id}: {reason}", param=name)
    dropped = [*prompt.unread]
    contents = ContentWriter(prompt, deployment.model)
    count = _leading_system(prompt.messages)
    body: _Members = {"model": f"models/{deployment.model}"}
    if texts := _system_texts(prompt.messages[:count], dropped):
        body["systemInstruction"] = {"parts": [{"text": text} for text in texts]}
    body["contents"] = contents.write(prompt.messages[count:])
    dropped += contents.dropped
    body |= _tools(prompt.tools, prompt.tool_choice, dropped)
    config = _sampling(prompt.sampling, deployment, dropped)
    if (bound := prompt.max_tokens or step.max_tokens) is not None:
        config["maxOutputTokens"] = bound
    if prompt.shape is not None:
        config |= _shape(prompt.shape, dropped)
    if thinking := _thinking(prompt.reasoning, deployment, dropped):
        config["thinkingConfig"] = thinking
    if config:
        body["generationConfig"] = config
    if prompt.service_tier in _SERVICE_TIERS:
        body["serviceTier"] = _SERVICE_TIERS[prompt.service_tier]
    elif prompt.service_tier not in ("", "auto"):
        dropped.append("service_tier")
    dropped += (name for name in ("user", "verbosity") if getattr(prompt, name))
    written = with_params(msgspec.json.encode(body), deployment)
    return Written(written, tuple(dict.fromkeys(dropped)))


def _leading_system(messages: tuple[Message, ...]) -> int:
    """Return how many messages stand before the first that is not the system's."""
    others = (at for at, message in enumerate(messages) if message.role != "system")
    return next(others, len(messages))


def _system_texts(messages: tuple[Message, ...], dropped: list[str]) -> list[str]:
    texts: list[str] = []
    for message in messages:
        for part in message.parts:
            if not isinstance(part, Text):
                raise RequestError(
                    "a system message holds a part that is no text, which Gemini does not take "
                    "there; move it to a user's message"
                )
            if part.mark is not None:
                dropped.append("cache_control")
            texts.append(part.text)
    return texts


def _tools(tools: tuple[Tool, ...], choice: ToolChoice, dropped: list[str]) -> _Members:
    """Return the functions and which may be called; parallel calls cannot be forbidden here."""
    if any(tool.mark for tool in tools):
        dropped.append("cache_control")
    if any(tool.is_strict for tool in tools):
        dropped.append("tools.strict")
    if tools and choice.is_parallel is False:
        dropped.append("parallel_tool_calls")
    members: _Members = {}
    if tools:
        members["tools"] = [{"functionDeclarations": [_function(tool) for tool in tools]}]
    if choice.mode in ("required", "named") and not tools:
        raise RequestError("tool_choice asks for a call, and there are no tools", param="tools")
    if choice.mode is not None and tools:
        calling: _Members = {"mode": _MODES[choice.mode]}
        if choice.mode == "named":
            calling["allowedFunctionNames"] = [choice.name]
        members["toolConfig"] = {"functionCallingConfig": calling}
    return members


def _function(tool: Tool) -> _Members:
    """Return a declaration. Its schema is left out where the function takes nothing.

    Source: `FunctionDeclaration` in google-genai 3.4's types.
    """
    function: _Members = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if msgspec.json.decode(tool.schema) not in _NO_PARAMETERS:
        function["parametersJsonSchema"] = msgspec.Raw(tool.schema)
    return function


def _sampling(sampling: Sampling, deployment: Deployment, dropped: list[str]) -> _Members:
    """Return the fields that are set; a model that takes no sampling is not sent them."""
    if len(sampling.stop) > _STOPS_MAX:
        raise RequestError(
            f"stop has {len(sampling.stop)} sequences; {deployment.id} takes up to {_STOPS_MAX}",
            param="stop",
        )
    named: dict[str, tuple[str, object]] = {
        "temperature": ("temperature", sampling.temperature),
        "top_p": ("topP", sampling.top_p),
        "top_k": ("topK", sampling.top_k),
        "frequency_penalty": ("frequencyPenalty", sampling.frequency_penalty),
        "presence_penalty": ("presencePenalty", sampling.presence_penalty),
    }
    named = {name: said for name, said in named.items() if said[1] is not None}
    if deployment.capability.sampling is False:
        dropped += named
        named = {}
    if sampling.logit_bias is not None:
        dropped.append("logit_bias")
    members: _Members = dict(named.values())
    if sampling.seed is not None:
        members["seed"] = sampling.seed
    if sampling.stop:
        members["stopSequences"] = list(sampling.stop)
    if sampling.choices is not None:
        members["candidateCount"] = sampling.choices
    if sampling.logprobs is not None:
        members["responseLogprobs"] = True
        if sampling.logprobs:
            members["logprobs"] = sampling.logprobs
    return members


def _shape(shape: Shape, dropped: list[str]) -> _Members:
    members: _Members = {"responseMimeType": "application/json"}
    if shape.schema is not None:
        members["responseJsonSchema"] = msgspec.Raw(shape.schema)
    if shape.name:
        dropped.append("response_format.name")
    if shape.description:
        dropped.append("response_format.description")
    if shape.is_strict:
        dropped.append("response_format.strict")
    return members


def _thinking(reasoning: Reasoning, deployment: Deployment, dropped: list[str]) -> _Members:
    """Return `thinkingConfig`; a model that does not reason is not sent one."""
    config, left_out = thinking_config(reasoning, deployment.model)
    dropped += left_out
    if deployment.capability.reasoning is False:
        if reasoning.effort not in (None, "none"):
            dropped.append("reasoning_effort")
        if reasoning.budget_tokens:
            dropped.append("reasoning_budget")
        return {}
    if reasoning.effort is not None and reasoning.budget_tokens:
        dropped.append("reasoning_budget")
    return config
