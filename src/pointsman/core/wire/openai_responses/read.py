"""Reading: a whole responses body as a `Prompt`."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.types import Request
from pointsman.core.wire.decoding import client_json
from pointsman.core.wire.openai_chat.read_messages import ERROR_MARK
from pointsman.core.wire.openai_responses.body import (
    BODY_FIELDS,
    DEFAULTS,
    ITEM_FIELDS,
    NOTHING,
    PART_FIELDS,
    TOOL_FIELDS,
    Audio,
    Body,
    BodyPart,
    Breakpoint,
    Chosen,
    Format,
    Item,
    Kind,
    Namespace,
    TextOptions,
)
from pointsman.core.wire.openai_responses.items import (
    CALLS,
    CARRIED_ITEMS,
    CARRIED_TOOLS,
    INPUT_SCHEMA,
    OPTIONAL_ITEMS,
    OPTIONAL_TOOLS,
    RESULTS,
    ToolItem,
    is_redacted,
    neutral_name,
    signature_of,
    wrapped,
)
from pointsman.core.wire.openai_responses.request import ENCRYPTED, LOGPROBS
from pointsman.core.wire.prompt import (
    EFFORTS,
    CacheMark,
    Call,
    Effort,
    Media,
    Message,
    Part,
    Prompt,
    Reasoning,
    Result,
    Role,
    Sampling,
    Shape,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolMode,
)

_Raw = Mapping[str, msgspec.Raw]

_HOSTED = (
    "the provider runs or defines it, and no upstream of another dialect knows it; leave it out "
    '(Codex: web_search = "disabled"), or ask for a model that OpenAI\'s Responses API serves'
)
_NOT_MODERATED = "no upstream of another dialect moderates; leave it out"


def read_prompt(request: Request) -> Prompt:
    """Return the whole request.

    What the model said, thought and called between two others' items is one message; each tool's
    result is one. Custom tools and namespaces: see `items`. Of a choice among allowed tools, only
    these are offered. A tool that OpenAI runs and that is one among others, such as Codex's search
    of the web, is dropped.

    Raises RequestError for what does not fit.
    """
    return client_json(_read, request.body)


def _read(body: bytes) -> Prompt:
    return _Reader(body).prompt()


class _Reader:
    """Reads one body, noting on the way what has no place in a prompt."""

    def __init__(self, body: bytes) -> None:
        self._members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        self._body = msgspec.json.decode(body, type=Body)
        self._unread: dict[str, None] = {}
        self._refused: dict[str, str] = {}
        self._added_tools: list[Tool] = []

    def prompt(self) -> Prompt:
        body, text = self._body, self._body.text or TextOptions()
        self._note_unread_members()
        messages = tuple(self._messages())
        tools = [*self._tools(body.tools or (), "tools"), *self._added_tools]
        choice, offered = self._choice(tools)
        return Prompt(
            messages=messages,
            tools=offered,
            tool_choice=choice,
            max_tokens=None if body.max_output_tokens is None else int(body.max_output_tokens),
            sampling=Sampling(
                temperature=body.temperature, top_p=body.top_p, logprobs=self._logprobs()
            ),
            shape=_shape(text.format),
            reasoning=self._reasoning(),
            user=body.safety_identifier or body.user or "",
            service_tier=body.service_tier or "",
            verbosity=text.verbosity or "",
            is_stream=bool(body.stream),
            unread=tuple(self._unread),
            refused=tuple(self._refused.items()),
        )

    def _note_unread_members(self) -> None:
        body = self._body
        for name, value in self._members.items():
            raw = bytes(value)
            if name in BODY_FIELDS or raw in NOTHING or raw in DEFAULTS.get(name, ()):
                continue
            if name == "moderation":
                self._refused[name] = _NOT_MODERATED
            else:
                self._unread[name] = None
        if any(entry not in (ENCRYPTED, LOGPROBS) for entry in body.include or ()):
            self._unread["include"] = None
        if body.user and body.safety_identifier and body.user != body.safety_identifier:
            self._unread["user"] = None

    def _messages(self) -> Iterator[Message]:
        if self._body.instructions:
            yield Message("system", (Text(text=self._body.instructions),))
        if isinstance(self._body.input, str):
            yield Message("user", (Text(text=self._body.input),))
            return
        said: list[Part] = []
        for place, raw in enumerate(self._body.input):
            if (item := self._item(place, raw)) is None:
                continue
            if item.role == "assistant" or item.type in CALLS or item.type == "reasoning":
                said += self._said(item)
                continue
            if said:
                yield Message("assistant", tuple(said))
                said = []
            yield self._message(item)
        if said:
            yield Message("assistant", tuple(said))

    def _item(self, place: int, raw: msgspec.Raw) -> Item | None:
        """Return an item that is part of a message, None for another, which is noted."""
        kind = msgspec.json.decode(raw, type=Kind)
        kind_name = kind.type or ("message" if kind.role else "item_reference")
        if kind_name in OPTIONAL_ITEMS:
            self._unread[f"input.{kind_name}"] = None
            return None
        if kind_name not in CARRIED_ITEMS:
            self._refused[f"input[{place}]"] = f'an item of type "{kind_name}": {_HOSTED}'
            return None
        item = msgspec.json.decode(raw, type=Item)
        if kind_name == "additional_tools":
            self._added_tools += self._tools(item.tools or (), f"input[{place}].tools")
            return None
        self._note_unread(raw, ITEM_FIELDS, "input[]")
        if item.type == "":
            item.type = kind_name
        return item

    def _message(self, item: Item) -> Message:
        if item.type in RESULTS:
            found = self._parts(item.output, "input[].output")
            parts = tuple(part for part in found if isinstance(part, Text | Media))
            name = neutral_name(item.namespace or "", item.name) if item.name else ""
            return Message("user", (_result(item.call_id or "", parts, name),))
        role: Role = "system" if item.role in ("system", "developer") else "user"
        return Message(role, self._parts(item.content, "input[].content"))

    def _said(self, item: Item) -> Iterator[Part]:
        """Yield the parts of what the model made."""
        name = neutral_name(item.namespace or "", item.name or "")
        match item.type:
            case "reasoning":
                yield self._thinking(item)
            case "function_call":
                yield Call(id=item.call_id or "", name=name, arguments=item.arguments or "")
            case "custom_tool_call":
                yield Call(id=item.call_id or "", name=name, arguments=wrapped(item.input or ""))
            case _:
                yield from self._parts(item.content, "input[].content")

    def _thinking(self, item: Item) -> Thinking:
        contents = item.content if isinstance(item.content, list) else ()
        texts = [part.text or "" for part in (*(item.summary or ()), *contents)]
        sealed = item.encrypted_content or ""
        return Thinking(
            text="\n\n".join(filter(None, texts)),
            signature=signature_of(sealed),
            is_redacted=is_redacted(sealed),
        )

    def _parts(self, content: str | list[BodyPart] | None, path: str) -> tuple[Part, ...]:
        if isinstance(content, str):
            return (Text(text=content),) if content else ()
        return tuple(
            part for piece in content or () if (part := self._part(piece, path)) is not None
        )

    def _part(self, part: BodyPart, path: str) -> Part | None:
        mark = self._mark(part.prompt_cache_breakpoint, path)
        match part.type:
            case "input_text" | "output_text" | "text":
                return Text(text=part.text or "", mark=mark)
            case "refusal":
                return Text(text=part.refusal or "", is_refusal=True, mark=mark)
            case "input_image":
                return self._image(part, path, mark)
            case "input_file":
                if part.detail not in (None, "auto"):
                    self._unread[f"{path}[].detail"] = None
                media = _media("file", part.file_data, part.file_url, part.file_id)
                return msgspec.structs.replace(media, name=part.filename or "", mark=mark)
            case "input_audio":
                audio = part.input_audio or Audio()
                return Media(
                    kind="audio", media_type=f"audio/{audio.format}", data=audio.data, mark=mark
                )
            case other:
                self._refused[path] = f'a part of type "{other}" is not known; leave it out'
                return None

    def _image(self, part: BodyPart, path: str, mark: CacheMark | None) -> Media:
        detail = part.detail or "auto"
        if detail not in ("auto", "low", "high"):
            self._unread[f"{path}[].detail"] = None
            detail = "high"  # "original" is closer still
        media = _media("image", None, part.image_url, part.file_id)
        return msgspec.structs.replace(media, detail="" if detail == "auto" else detail, mark=mark)

    def _mark(self, mark: Breakpoint | None, path: str) -> CacheMark | None:
        """Return the mark that keeps nearest to as long: 30 minutes is the least, 12 h the most."""
        if mark is None:
            return None
        if mark.ttl == "12h":
            self._unread[f"{path}[].prompt_cache_breakpoint.ttl"] = None
        return CacheMark(ttl="1h")

    def _tools(self, raws: Sequence[msgspec.Raw], path: str) -> list[Tool]:
        tools: list[Tool] = []
        kinds = [msgspec.json.decode(raw, type=Kind).type for raw in raws]
        has_others = not CARRIED_TOOLS.isdisjoint(kinds)
        for place, (raw, kind) in enumerate(zip(raws, kinds, strict=True)):
            where = f"{path}[{place}]"
            if kind in CARRIED_TOOLS:
                self._note_tool(raw, "tools[]")
                tools += self._functions(msgspec.json.decode(raw, type=ToolItem), "", where)
            elif kind in OPTIONAL_TOOLS and has_others:
                self._unread[f"tools.{kind}"] = None
            else:
                self._refused[where] = f'a tool of type "{kind}": {_HOSTED}'
        return tools

    def _note_tool(self, raw: msgspec.Raw, path: str) -> None:
        """Note what is left out of a tool, and of those in it where it is a namespace."""
        self._note_unread(raw, TOOL_FIELDS, path)
        for inner in msgspec.json.decode(raw, type=Namespace).tools or ():
            self._note_tool(inner, f"{path}.tools[]")

    def _functions(self, tool: ToolItem, namespace: str, where: str) -> list[Tool]:
        """Return a tool as the functions that it is elsewhere."""
        name = neutral_name(namespace, tool.name)
        match tool.type:
            case "namespace":
                if tool.description:
                    self._unread["tools[].description"] = None
                inner = [self._functions(each, tool.name, where) for each in tool.tools]
                return [function for functions in inner for function in functions]
            case "custom":
                return [Tool(name=name, description=_of_custom(tool), schema=INPUT_SCHEMA)]
            case "function":
                parameters = bytes(tool.parameters)
                function = Tool(
                    name=name, description=tool.description or "", is_strict=tool.strict
                )
                if parameters not in (b"", b"null"):
                    function = msgspec.structs.replace(function, schema=parameters)
                return [function]
            case other:
                self._refused[where] = f'a tool of type "{other}": {_HOSTED}'
                return []

    def _choice(self, tools: list[Tool]) -> tuple[ToolChoice, tuple[Tool, ...]]:
        """Return the choice, and the tools that it leaves."""
        chosen, offered = self._body.tool_choice, tuple(tools)
        mode: ToolMode | None = None
        name = ""
        match chosen:
            case None:
                pass
            case str():
                mode = self._mode(chosen)
            case Chosen(type="function" | "custom"):
                mode, name = "named", _chosen_name(chosen)
            case Chosen(type="allowed_tools"):
                mode = self._mode(chosen.mode or "auto")
                allowed = {_chosen_name(each) for each in chosen.tools or ()}
                offered = tuple(tool for tool in offered if tool.name in allowed)
            case _:
                self._refused["tool_choice"] = f'a tool of type "{chosen.type}": {_HOSTED}'
        is_parallel = self._body.parallel_tool_calls
        return ToolChoice(mode=mode, name=name, is_parallel=is_parallel), offered

    def _mode(self, said: str) -> ToolMode | None:
        match said:
            case "auto" | "none" | "required":
                return said
            case _:
                raise RequestError(
                    f'tool_choice is "{said}"; it is auto, none, required or an object',
                    param="tool_choice",
                )

    def _logprobs(self) -> int | None:
        is_asked = LOGPROBS in (self._body.include or ())
        return self._body.top_logprobs or (0 if is_asked else None)

    def _reasoning(self) -> Reasoning:
        options = self._body.reasoning
        if options is None:
            return Reasoning()
        if options.context not in (None, "auto"):
            self._unread["reasoning.context"] = None
        if options.mode not in (None, "standard"):
            self._unread["reasoning.mode"] = None
        summary = options.summary or options.generate_summary or ""
        return Reasoning(
            effort=_effort(options.effort), is_shown=True if summary else None, summary=summary
        )

    def _note_unread(self, raw: msgspec.Raw, known: frozenset[str], path: str) -> None:
        members: _Raw = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        for name, value in members.items():
            if name not in known and bytes(value) not in NOTHING:
                self._unread[f"{path}.{name}"] = None
        for field in ("content", "output", "summary"):
            if bytes(members.get(field, b"")).startswith(b"["):
                self._note_unread_parts(members[field], f"{path}.{field}[]")

    def _note_unread_parts(self, raw: msgspec.Raw, path: str) -> None:
        for part in msgspec.json.decode(raw, type=list[dict[str, msgspec.Raw]]):
            for name, value in part.items():
                if name not in PART_FIELDS and bytes(value) not in NOTHING:
                    self._unread[f"{path}.{name}"] = None


def _media(kind: str, data: str | None, url: str | None, file_id: str | None) -> Media:
    """Return an image or a file; a data URL, in either field, is data."""
    held = Media(kind="image" if kind == "image" else "file")
    inline = data or (url if url and url.startswith("data:") else None)
    if inline is not None:
        head, mark, rest = inline.removeprefix("data:").partition(";base64,")
        media_type, body = (head, rest) if mark and inline.startswith("data:") else ("", inline)
        return msgspec.structs.replace(held, media_type=media_type, data=body)
    if url:
        return msgspec.structs.replace(held, url=url)
    return msgspec.structs.replace(held, file_id=file_id or "")


def _result(call_id: str, parts: tuple[Text | Media, ...], name: str) -> Result:
    """Return a tool's result; a failure that was written as a mark is a failure again."""
    first = parts[0] if parts else None
    if not isinstance(first, Text) or not first.text.startswith(ERROR_MARK):
        return Result(call_id=call_id, parts=parts, name=name)
    text = first.text.removeprefix(ERROR_MARK)
    rest = (msgspec.structs.replace(first, text=text),) if text else ()
    return Result(call_id=call_id, parts=(*rest, *parts[1:]), name=name, is_error=True)


def _chosen_name(chosen: Chosen) -> str:
    return neutral_name(chosen.namespace or "", chosen.name or "")


def _of_custom(tool: ToolItem) -> str:
    """Return the description of a custom tool, with the form that its input must have."""
    form = tool.format
    said = tool.description or ""
    if form is None or form.type != "grammar":
        return said
    grammar = f"`input` is text that follows this {form.syntax} grammar:\n{form.definition}"
    return f"{said}\n\n{grammar}" if said else grammar


def _shape(form: Format | None) -> Shape | None:
    match form:
        case Format(type="json_object"):
            return Shape()
        case Format(type="json_schema"):
            schema = bytes(form.schema)
            return Shape(
                schema=None if schema in (b"", b"null") else schema,
                name=form.name or "",
                description=form.description or "",
                is_strict=form.strict,
            )
        case _:
            return None


def _effort(said: str | None) -> Effort | None:
    if said is None:
        return None
    for effort in EFFORTS:
        if effort == said:
            return effort
    raise RequestError(
        f'reasoning.effort is "{said}"; it is one of {", ".join(EFFORTS)}',
        param="reasoning.effort",
    )
