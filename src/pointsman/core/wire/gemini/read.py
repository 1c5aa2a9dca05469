"""Reading: a whole body as a `Prompt`, for an upstream of another dialect."""

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.types import Request
from pointsman.core.wire.decoding import client_json
from pointsman.core.wire.fields import Fields, Refused, closed
from pointsman.core.wire.gemini.casing import renamed
from pointsman.core.wire.gemini.read_contents import ContentReader, read_system
from pointsman.core.wire.gemini.request import FUNCTIONS
from pointsman.core.wire.gemini.schema import json_schema
from pointsman.core.wire.gemini.thinking import read_thinking
from pointsman.core.wire.prompt import (
    Prompt,
    Reasoning,
    Sampling,
    Shape,
    Tool,
    ToolChoice,
    ToolMode,
)

_MODES: dict[str, ToolMode] = {
    "AUTO": "auto",
    "ANY": "required",
    "NONE": "none",
    "VALIDATED": "auto",
    "MODE_UNSPECIFIED": "auto",
    "": "auto",
}
_JSON = "application/json"


def read_prompt(request: Request) -> Prompt:
    """Return all that a body says; what only Google can do or read is in `refused`.

    Raises RequestError that names the field which is not of its type.
    """
    refused: Refused = []
    body = Fields(renamed(client_json(msgspec.json.decode, request.body)), "", [])
    body.value("model")
    system = read_system(body)
    messages = ContentReader(refused).read(body.children("contents"))
    tools = _tools(body, refused)
    choice, allowed = _tool_choice(body)
    if allowed:
        tools = tuple(tool for tool in tools if tool.name in allowed)
    config = body.child("generationConfig") or Fields({}, "generationConfig", body.unread)
    config.value("maxOutputTokens")  # checked, and read, by `decode_request`
    prompt = Prompt(
        messages=(*system, *messages),
        tools=tools,
        tool_choice=choice,
        max_tokens=request.max_tokens,
        sampling=_sampling(config),
        shape=_shape(config, refused),
        reasoning=_reasoning(config),
        service_tier=_service_tier(body),
        is_stream=request.is_stream,
    )
    _refuse_what_only_google_does(body, config, refused)
    config.close()
    return closed(prompt, body, refused)


def _tools(body: Fields, refused: Refused) -> tuple[Tool, ...]:
    said = body.value("tools")
    found: list[Tool] = []
    for number, tool in enumerate(said if isinstance(said, list) else ()):
        declared = Fields(tool, f"tools[{number}]", body.unread)
        found += declared.each(FUNCTIONS, _tool)
        declared.drain()
        refused += (
            (declared.at(name), "it runs at Google; declare a function of your own instead")
            for name in tool
            if name != FUNCTIONS
        )
    return tuple(found)


def _tool(function: Fields) -> Tool:
    tool = Tool(name=function.needed_text("name"), description=function.text("description"))
    own, openapi = function.raw("parametersJsonSchema"), function.value("parameters")
    if own is None and openapi is not None:
        own = msgspec.json.encode(json_schema(openapi))
    return tool if own is None else msgspec.structs.replace(tool, schema=own)


def _tool_choice(body: Fields) -> tuple[ToolChoice, frozenset[str]]:
    """Return the choice, and the names of the functions that may be called, none for all.

    Of several names no dialect but this has the word, so the others are not offered at all.
    """
    tool_config = body.child("toolConfig")
    if tool_config is None:
        return ToolChoice(), frozenset()
    calling = tool_config.child("functionCallingConfig")
    choice, allowed = ToolChoice(), frozenset[str]()
    if calling is not None:
        said = calling.text("mode")
        mode = _MODES.get(said.upper())
        if mode is None:
            path = calling.at("mode")
            raise RequestError(
                f"{path} is {said!r}; it must be AUTO, ANY, NONE or VALIDATED", param=path
            )
        names = calling.value("allowedFunctionNames")
        allowed = (
            frozenset(name for name in names if isinstance(name, str))
            if isinstance(names, list)
            else frozenset()
        )
        choice = ToolChoice(mode=mode)
        if mode == "required" and len(allowed) == 1:
            choice, allowed = ToolChoice(mode="named", name=next(iter(allowed))), frozenset()
        if said.upper() == "VALIDATED":
            calling.tell("mode")
        calling.close()
    tool_config.close()
    return choice, allowed


def _sampling(config: Fields) -> Sampling:
    wants_logprobs, alternatives = config.flag("responseLogprobs"), config.whole("logprobs")
    choices = config.whole("candidateCount")
    return Sampling(
        temperature=config.number("temperature"),
        top_p=config.number("topP"),
        top_k=config.whole("topK"),
        seed=config.whole("seed"),
        frequency_penalty=config.number("frequencyPenalty"),
        presence_penalty=config.number("presencePenalty"),
        stop=config.texts("stopSequences"),
        choices=None if choices == 1 else choices,
        logprobs=(alternatives or 0) if wants_logprobs else None,
    )


def _shape(config: Fields, refused: Refused) -> Shape | None:
    kind = config.text("responseMimeType")
    own, openapi = config.value("responseJsonSchema"), config.value("responseSchema")
    if kind in ("", "text/plain"):
        return None
    if kind != _JSON:
        refused.append(
            (
                config.at("responseMimeType"),
                f"no other dialect answers in {kind!r}; ask for {_JSON}",
            )
        )
        return None
    schema = own if own is not None else json_schema(openapi)
    return Shape(schema=None if schema is None else msgspec.json.encode(schema))


def _reasoning(config: Fields) -> Reasoning:
    thinking = config.child("thinkingConfig")
    if thinking is None:
        return Reasoning()
    reasoning = read_thinking(
        thinking.whole("thinkingBudget"),
        thinking.text("thinkingLevel"),
        is_shown=thinking.flag("includeThoughts"),
    )
    thinking.close()
    return reasoning


def _service_tier(body: Fields) -> str:
    """Return the tier; the usual one is "default" to most."""
    said = body.text("serviceTier").lower()
    return {"unspecified": "", "standard": "default"}.get(said, said)


def _refuse_what_only_google_does(body: Fields, config: Fields, refused: Refused) -> None:
    modalities = config.value("responseModalities")
    if isinstance(modalities, list) and any(kind != "TEXT" for kind in modalities):
        refused.append(
            (config.at("responseModalities"), "no other dialect answers so; ask for TEXT alone")
        )
        config.value("speechConfig")
        config.value("imageConfig")
    for name in ("cachedContent", "continuationToken"):
        if body.value(name):
            refused.append((name, "Google keeps it and no other provider; send the contents"))
    if body.flag("store"):
        body.tell("store")
