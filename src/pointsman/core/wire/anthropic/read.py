"""Reading: a whole messages body as a `Prompt`, for an upstream of another dialect."""

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.types import Request
from pointsman.core.wire.anthropic.read_messages import MessageReader, read_mark
from pointsman.core.wire.anthropic.request import CLIENT_TOOLS, OPTIONAL_TOOLS
from pointsman.core.wire.anthropic.thinking import DISPLAYS
from pointsman.core.wire.decoding import client_json
from pointsman.core.wire.fields import Fields, Refused, closed
from pointsman.core.wire.prompt import (
    EFFORTS,
    CacheMark,
    Call,
    Effort,
    Media,
    Message,
    Prompt,
    Reasoning,
    Result,
    Sampling,
    Shape,
    Text,
    Tool,
    ToolChoice,
    ToolMode,
)

_MODES: dict[str, ToolMode] = {
    "auto": "auto",
    "any": "required",
    "tool": "named",
    "none": "none",
}
# OpenAI's words, which the neutral form uses; "auto" is what is meant where nothing is said.
_SERVICE_TIERS = {"auto": "", "standard_only": "default"}
# Read from the request, where they are checked already.
_READ_ELSEWHERE = ("model", "stream", "max_tokens")
# What changes the answer in a way that the client must know of.
_ONLY_ANTHROPIC = {
    "container": "a container is kept by Anthropic",
    "mcp_servers": "only Anthropic calls MCP servers by itself",
    "compaction": "only Anthropic compacts a conversation by itself",
    "thread": "the conversation is kept by Anthropic",
    "inference_geo": "only Anthropic promises where its answer is made",
}
_REMEDY = "leave it out, or ask for a model that is served in this dialect"


def read_prompt(request: Request) -> Prompt:
    """Return all that a body says; what only Anthropic's own servers can do is in `refused`.

    Raises RequestError that names the field which is not of its type.
    """
    refused: Refused = []
    body = Fields(client_json(msgspec.json.decode, request.body), "", [])
    body.pass_over(_READ_ELSEWHERE)
    if request.max_tokens == 0:
        refused.append(("max_tokens", "0 fills Anthropic's prompt cache; send 1 or more"))
    for name, reason in _ONLY_ANTHROPIC.items():
        if body.value(name) not in (None, [], {}):
            refused.append((name, f"{reason}; {_REMEDY}"))
    reader = MessageReader(refused)
    system = reader.read_system(body)
    messages = (*system, *reader.read(body.children("messages")))
    reasoning = _thinking(body)
    effort, shape = _output_config(body, is_thinking=reasoning.budget_tokens != 0)
    choice = _tool_choice(body)
    prompt = Prompt(
        messages=_marked(messages, read_mark(body)),
        tools=_tools(body, refused),
        tool_choice=choice,
        max_tokens=request.max_tokens,
        sampling=_sampling(body),
        shape=shape or _shape(body, "output_format"),
        reasoning=msgspec.structs.replace(reasoning, effort=effort),
        user=_user(body),
        service_tier=_service_tier(body),
        is_stream=request.is_stream,
    )
    if body.text("speed") == "fast":
        body.tell("speed")
    return closed(prompt, body, refused)


def _tools(body: Fields, refused: Refused) -> tuple[Tool, ...]:
    """Return the client's own tools.

    Those that Anthropic defined are refused by their type; a search of the web among others goes.
    """
    found: list[Tool] = []
    offered = list(body.children("tools"))
    kinds = [fields.text("type") for fields in offered]
    has_others = not CLIENT_TOOLS.isdisjoint(kinds)
    for fields, kind in zip(offered, kinds, strict=True):
        if kind.startswith(OPTIONAL_TOOLS) and has_others:
            body.tell(f"tools.{kind.rpartition('_')[0]}")
            fields.drain()
            continue
        if kind not in CLIENT_TOOLS:
            refused.append((fields.path, f"tools of type {kind!r} are Anthropic's own; {_REMEDY}"))
            fields.drain()
            continue
        schema = fields.raw("input_schema")
        if schema is None:
            path = fields.at("input_schema")
            raise RequestError(f"{path} is missing; send a JSON schema", param=path)
        found.append(
            Tool(
                name=fields.needed_text("name"),
                description=fields.text("description"),
                schema=schema,
                is_strict=fields.flag("strict"),
                mark=read_mark(fields),
            )
        )
        if fields.value("allowed_callers") not in (None, [], ["direct"]):
            fields.tell("allowed_callers")
        fields.close()
    return tuple(found)


def _tool_choice(body: Fields) -> ToolChoice:
    fields = body.child("tool_choice")
    if fields is None:
        return ToolChoice()
    kind, name = fields.needed_text("type"), fields.text("name")
    mode = _MODES.get(kind)
    if mode is None:
        path = fields.at("type")
        raise RequestError(f"{path} is {kind!r}; it must be auto, any, tool or none", param=path)
    if mode == "named" and not name:
        raise RequestError(f"{fields.at('name')} is missing", param=fields.at("name"))
    is_single = fields.flag("disable_parallel_tool_use")
    fields.close()
    is_parallel = None if is_single is None else not is_single
    return ToolChoice(mode=mode, name=name, is_parallel=is_parallel)


def _sampling(body: Fields) -> Sampling:
    return Sampling(
        temperature=body.number("temperature"),
        top_p=body.number("top_p"),
        top_k=body.whole("top_k"),
        stop=body.texts("stop_sequences"),
    )


def _thinking(body: Fields) -> Reasoning:
    """Return the thinking asked for, without an effort: that stands in `output_config`."""
    fields = body.child("thinking")
    if fields is None:
        return Reasoning()
    kind, budget = fields.needed_text("type"), fields.whole("budget_tokens")
    said = fields.text("display")
    if said and said not in DISPLAYS:
        fields.tell("display")
    fields.close()
    shown = DISPLAYS.get(said)
    match kind:
        case "enabled":
            return Reasoning(budget_tokens=budget, is_adaptive=budget is None, is_shown=shown)
        case "adaptive":
            return Reasoning(is_adaptive=True, is_shown=shown)
        case "disabled":
            return Reasoning(budget_tokens=0)
        case "between_tools":  # thinking is off, its notes between calls have no counterpart
            fields.tell("type")
            return Reasoning(budget_tokens=0)
        case _:
            fields.tell("type")
            return Reasoning()


def _output_config(body: Fields, *, is_thinking: bool) -> tuple[Effort | None, Shape | None]:
    """Return the effort of the thinking, and the shape.

    Here an effort bounds every token of an answer, elsewhere the reasoning alone; so without
    thinking (`is_thinking`) it has no counterpart.

    Source: platform.claude.com/docs/en/build-with-claude/effort (read 2026-11-23).
    """
    fields = body.child("output_config")
    if fields is None:
        return None, None
    word = fields.text("effort")
    effort = next((known for known in EFFORTS if known == word), None)
    if word and (effort is None or not is_thinking):
        fields.tell("effort")
        effort = None
    shape = _shape(fields, "format")
    fields.close()
    return effort, shape


def _shape(body: Fields, name: str) -> Shape | None:
    fields = body.child(name)
    if fields is None:
        return None
    kind, schema = fields.text("type"), fields.raw("schema")
    if kind != "json_schema" or schema is None:
        path = fields.path
        raise RequestError(f"{path} must be of type json_schema and have a schema", param=path)
    fields.close()
    return Shape(schema=schema, is_strict=True)


def _user(body: Fields) -> str:
    fields = body.child("metadata")
    if fields is None:
        return ""
    user = fields.text("user_id")
    fields.close()
    return user


def _service_tier(body: Fields) -> str:
    said = body.text("service_tier")
    return _SERVICE_TIERS.get(said, said)


def _marked(messages: tuple[Message, ...], mark: CacheMark | None) -> tuple[Message, ...]:
    """Return the messages with the body's own mark on the last part that can carry one."""
    if mark is None:
        return messages
    for at, message in reversed(list(enumerate(messages))):
        for number, part in reversed(list(enumerate(message.parts))):
            if isinstance(part, Text | Media | Call | Result):
                marked = msgspec.structs.replace(part, mark=part.mark or mark)
                parts = (*message.parts[:number], marked, *message.parts[number + 1 :])
                return (*messages[:at], Message(message.role, parts), *messages[at + 1 :])
    return messages
