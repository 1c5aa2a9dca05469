"""Reading: a whole chat body as a `Prompt`, for an upstream of another dialect."""

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.types import Request
from pointsman.core.wire.decoding import client_json
from pointsman.core.wire.fields import Fields, Refused, closed
from pointsman.core.wire.openai_chat.read_messages import MessageReader, read_mark
from pointsman.core.wire.prompt import (
    EFFORTS,
    Prompt,
    Reasoning,
    Sampling,
    Shape,
    Tool,
    ToolChoice,
    ToolMode,
)

_MODES: tuple[ToolMode, ...] = ("auto", "none", "required")
# Read from the request, where they are checked already, or said by how the answer is sent.
_READ_ELSEWHERE = ("model", "stream", "max_tokens", "max_completion_tokens")


def read_prompt(request: Request) -> Prompt:
    """Return all that a body says; what only OpenAI's own servers can do is in `refused`.

    Raises RequestError that names the field which is not of its type.
    """
    refused: Refused = []
    body = Fields(client_json(msgspec.json.decode, request.body), "", [])
    body.pass_over(_READ_ELSEWHERE)
    _read_stream_options(body)
    tools, choice = _tools(body, refused)
    prompt = Prompt(
        messages=MessageReader(refused).read(body.children("messages")),
        tools=tools,
        tool_choice=choice,
        max_tokens=request.max_tokens,
        sampling=_sampling(body),
        shape=_shape(body, refused),
        reasoning=_reasoning(body),
        user=_user(body),
        service_tier=body.text("service_tier"),
        verbosity=body.text("verbosity"),
        is_stream=request.is_stream,
    )
    _refuse_what_only_openai_does(body, refused)
    return closed(prompt, body, refused)


def _read_stream_options(body: Fields) -> None:
    if (options := body.child("stream_options")) is not None:
        options.value("include_usage")
        options.close()


def _tools(body: Fields, refused: Refused) -> tuple[tuple[Tool, ...], ToolChoice]:
    """Return the tools that may be called, those of the deprecated `functions` among them."""
    found: list[Tool] = []
    for fields in body.children("tools"):
        kind = fields.text("type")
        if kind in ("function", ""):
            found.append(_tool(fields.child("function"), fields))
            fields.close()
        else:
            refused.append(
                (fields.path, f"no other dialect has tools of type {kind!r}; send a function")
            )
            fields.drain()
    for fields in body.children("functions"):
        found.append(_tool(fields, fields))
        fields.close()
    choice, allowed = _tool_choice(body, refused)
    if allowed is not None:
        found = [tool for tool in found if tool.name in allowed]
    return tuple(found), choice


def _tool(function: Fields | None, outer: Fields) -> Tool:
    if function is None:
        raise RequestError(f"{outer.at('function')} is missing", param=outer.at("function"))
    tool = Tool(name=function.needed_text("name"), description=function.text("description"))
    schema = function.raw("parameters")
    tool = msgspec.structs.replace(
        tool,
        schema=tool.schema if schema is None else schema,
        is_strict=function.flag("strict"),
        mark=read_mark(outer),
    )
    function.close()
    return tool


def _tool_choice(body: Fields, refused: Refused) -> tuple[ToolChoice, frozenset[str] | None]:
    """Return the choice, and the names of the tools that it allows, None for all of them."""
    is_parallel = body.flag("parallel_tool_calls")
    name = "tool_choice" if body.has("tool_choice") else "function_call"
    said = body.value(name)
    if said is None:
        return ToolChoice(is_parallel=is_parallel), None
    if isinstance(said, str):
        return ToolChoice(mode=_mode(name, said), is_parallel=is_parallel), None
    fields = Fields(said, name, body.unread)
    kind, allowed = fields.text("type"), None
    if kind == "allowed_tools":
        inner = fields.child("allowed_tools") or fields
        mode = _mode(inner.at("mode"), inner.needed_text("mode"))
        allowed = frozenset(inner.each("tools", _named))
        choice = ToolChoice(mode=mode, is_parallel=is_parallel)
        inner.close()
    elif kind in ("function", ""):
        function = fields.child("function") or fields
        choice = ToolChoice(
            mode="named", name=function.needed_text("name"), is_parallel=is_parallel
        )
        function.close()
    else:
        refused.append((name, f"no other dialect has tools of type {kind!r}; name a function"))
        choice = ToolChoice(is_parallel=is_parallel)
        fields.drain()
    fields.close()
    return choice, allowed


def _mode(path: str, said: str) -> ToolMode:
    for mode in _MODES:
        if mode == said:
            return mode
    raise RequestError(f"{path} is {said!r}; it must be auto, none or required", param=path)


def _named(tool: Fields) -> str:
    tool.value("type")
    function = tool.child("function") or tool.child("custom") or tool
    name = function.needed_text("name")
    function.close()
    return name


def _sampling(body: Fields) -> Sampling:
    wants_logprobs, alternatives = body.flag("logprobs"), body.whole("top_logprobs")
    if alternatives and not wants_logprobs:
        body.tell("top_logprobs")
    choices = body.whole("n")
    return Sampling(
        temperature=body.number("temperature"),
        top_p=body.number("top_p"),
        top_k=body.whole("top_k"),
        seed=body.whole("seed"),
        frequency_penalty=body.number("frequency_penalty"),
        presence_penalty=body.number("presence_penalty"),
        stop=_stop(body),
        choices=None if choices == 1 else choices,
        logprobs=(alternatives or 0) if wants_logprobs else None,
        logit_bias=body.raw("logit_bias"),
    )


def _stop(body: Fields) -> tuple[str, ...]:
    said = body.value("stop")
    if said is None:
        return ()
    sequences = [said] if isinstance(said, str) else said
    if not isinstance(sequences, list) or not all(isinstance(one, str) for one in sequences):
        raise RequestError("stop must be a text or a list of texts", param="stop")
    return tuple(sequences)


def _shape(body: Fields, refused: Refused) -> Shape | None:
    form = body.child("response_format")
    if form is None:
        return None
    kind, said = form.text("type"), form.child("json_schema")
    form.close()
    if kind == "json_object":
        return Shape()
    if kind == "json_schema":
        schema = said or Fields({}, form.at("json_schema"), form.unread)
        shape = Shape(
            schema=schema.raw("schema"),
            name=schema.text("name"),
            description=schema.text("description"),
            is_strict=schema.flag("strict"),
        )
        schema.close()
        return shape
    if kind != "text":
        refused.append((form.at("type"), f"no other dialect has answers of type {kind!r}"))
    return None


def _reasoning(body: Fields) -> Reasoning:
    effort = body.text("reasoning_effort")
    if not effort:
        return Reasoning()
    for known in EFFORTS:
        if known == effort:
            return Reasoning(effort=known)
    raise RequestError(
        f"reasoning_effort is {effort!r}; it must be one of {', '.join(EFFORTS)}",
        param="reasoning_effort",
    )


def _user(body: Fields) -> str:
    """Return the end user's name: `safety_identifier` has taken the place of `user`."""
    newer, older = body.text("safety_identifier"), body.text("user")
    if newer and older and newer != older:
        body.tell("user")
    return newer or older


def _refuse_what_only_openai_does(body: Fields, refused: Refused) -> None:
    """Refuse what changes the answer itself, and would be missed if it were only dropped."""
    modalities = body.value("modalities")
    if isinstance(modalities, list) and "audio" in modalities:
        refused.append(("modalities", "no other dialect answers in sound; ask for text"))
    if body.value("web_search_options") is not None:
        refused.append(
            ("web_search_options", "the search runs at OpenAI; offer a search function instead")
        )
    if body.value("moderation") is not None:
        refused.append(("moderation", "it runs at OpenAI; leave it out"))
