"""Requests: read what routing needs from a responses body, and edit the body for an upstream."""

from collections.abc import Iterator

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.types import Caller, Need, Request, ResponseFormat, Turn
from pointsman.core.wire.cache_asks import has_breakpoints, retention_s
from pointsman.core.wire.decoding import client_json, shape_members
from pointsman.core.wire.limits import MESSAGES_MAX, TOOLS_MAX, check_count, check_model
from pointsman.core.wire.openai_responses.items import (
    CALLS,
    CARRIED_ITEMS,
    CARRIED_TOOLS,
    DIALECT,
    OPTIONAL_ITEMS,
    OPTIONAL_TOOLS,
    RESULTS,
    signature_of,
)
from pointsman.core.wire.watched import Watched, is_plain

ENCRYPTED = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"

_SYSTEM_ROLES = frozenset({"system", "developer"})
_ROLES = _SYSTEM_ROLES | {"user", "assistant"}
_ASSISTANT_ITEMS = CALLS | {"reasoning"}
# What of `include` a stream's events carry; with more of it, see `shape`.
_IN_EVENTS = frozenset({ENCRYPTED, LOGPROBS})
# `prompt_cache_options` is not among them: it may ask for no answer at all (`prewarm`).
_TEXT_PARTS = frozenset(
    {"", "text", "input_text", "output_text", "refusal", "summary_text", "reasoning_text"}
)
_NOT_SHAPING = ("stream", "stream_options", "model", "store", "service_tier", "client_metadata")


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None
    file_id: str | None = None
    file_data: str | None = None


class _Item(msgspec.Struct):
    type: str | None = None
    role: str | None = None
    id: str | None = None
    content: str | list[_Part] | None = None
    call_id: str | None = None
    output: str | list[_Part] | dict[str, msgspec.Raw] | None = None
    encrypted_content: str | None = None
    arguments: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()
    tools: list[msgspec.Raw] | None = None

    @property
    def kind(self) -> str:
        """Return the item's type; a message needs not say that it is one."""
        return self.type or ("message" if self.role else "item_reference")

    @property
    def parts(self) -> Iterator[_Part]:
        """Yield the parts of its content and of its output."""
        for parts in (self.content, self.output):
            if isinstance(parts, list):
                yield from parts


class _Kind(msgspec.Struct):
    type: str = ""
    tools: "list[_Kind] | None" = None


class _Format(msgspec.Struct):
    type: str = "text"
    schema: msgspec.Raw = msgspec.Raw()


class _TextOptions(msgspec.Struct):
    format: _Format | None = None


class _Responses(Watched):
    model: str = ""
    input: str | list[_Item] | None = None
    instructions: str | None = None
    tools: list[msgspec.Raw] | None = None
    text: _TextOptions | None = None
    include: list[str] | None = None
    top_logprobs: int | None = None
    max_output_tokens: int | float | None = None
    stream: bool | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: msgspec.Raw = msgspec.Raw()
    prompt: msgspec.Raw = msgspec.Raw()
    prompt_cache_retention: msgspec.Raw = msgspec.Raw()
    prompt_cache_options: msgspec.Raw = msgspec.Raw()

    @property
    def items(self) -> list[_Item]:
        """Return the input's items; a plain text is a user's message."""
        if isinstance(self.input, str):
            return [_Item(role="user", content=self.input)]
        return self.input or []


_responses = msgspec.json.Decoder(_Responses)
_kind = msgspec.json.Decoder(_Kind)


def decode_request(body: bytes, caller: Caller) -> Request:
    """Read a client's body.

    Raises RequestError that names the field at fault, or the stored state that the request builds
    on: nothing is kept here from one request to the next.
    """
    asked = client_json(_responses.decode, body)
    kinds = [client_json(_kind.decode, tool) for tool in _all_tools(asked)]
    model = asked.model or caller.model
    _check(asked, model)
    parts = [part for item in asked.items for part in item.parts]
    return Request(
        dialect=DIALECT,
        body=body,
        model=model,
        system="\n".join(_system_texts(asked)),
        turns=tuple(_turns(asked.items)),
        needs=_needs(asked, parts, kinds),
        image_count=sum(part.type == "input_image" for part in parts),
        tools_bytes=sum(len(bytes(tool)) for tool in _all_tools(asked)),
        has_long_marks=has_breakpoints(body),
        retention_s=retention_s(
            bytes(asked.prompt_cache_retention), bytes(asked.prompt_cache_options)
        ),
        calls_bytes=sum(len(bytes(i.arguments)) + len(bytes(i.input)) for i in asked.items),
        file_bytes=sum(_file_bytes(part) for part in parts),
        text_file_bytes=sum(_file_bytes(part) for part in parts if _is_text_file(part)),
        has_unsized=any(map(_is_unsized, parts)) or any(map(_is_other_item, asked.items)),
        signatures=tuple(
            signature_of(item.encrypted_content)
            for item in asked.items
            if item.kind == "reasoning" and item.encrypted_content
        ),
        max_tokens=_whole("max_output_tokens", asked.max_output_tokens),
        response_format=_response_format(asked.text),
        is_stream=bool(asked.stream),
        wants_usage=True,
        dropped=("store",) if asked.store else (),
        is_plain=is_plain(asked),
        caller=caller,
    )


def shape(request: Request) -> dict[str, object]:
    """Return every field of the body that shapes the answer, unknown ones included.

    What the answer repeats of the request (its metadata, its user) is among them. Answers that a
    stream's events do not carry whole are told apart by streamed or not, so that each is replayed
    only as it was recorded: those of tools that the provider runs, and with more in `include`.

    Raises RequestError for what is wrong in a field that nothing else reads.
    """
    members = shape_members(request.body)
    for name in _NOT_SHAPING:
        members.pop(name, None)
    included = members.get("include")
    shown = set(included) if isinstance(included, list) else set()
    if request.needs & {Need.HOSTED_TOOLS, Need.OFFERED_TOOLS} or shown - _IN_EVENTS:
        members["stream"] = request.is_stream
    return members


def _check(asked: _Responses, model: str) -> None:
    """Refuse what is too much, too little, or kept by a provider."""
    if not model:
        raise RequestError("model is missing; name a model, a tier or an alias", param="model")
    check_model(model)
    _check_state(asked)
    if asked.input is None or asked.input == []:
        raise RequestError("input is missing or empty; send a text or items", param="input")
    check_count("input", len(asked.items), MESSAGES_MAX)
    check_count("tools", sum(1 for _ in _all_tools(asked)), TOOLS_MAX)
    for place, item in enumerate(asked.items):
        _check_item(place, item)


def _check_state(asked: _Responses) -> None:
    stateful = {
        "previous_response_id": asked.previous_response_id is not None,
        "conversation": bytes(asked.conversation) not in (b"", b"null"),
        "prompt": bytes(asked.prompt) not in (b"", b"null"),
    }
    for name, is_there in stateful.items():
        if is_there:
            raise RequestError(
                f"{name} names what a provider keeps, and nothing is kept here; "
                "send the items themselves in input",
                param=name,
            )
    if asked.background:
        raise RequestError(
            "background is true, and no answer is kept here to be fetched later; leave it out",
            param="background",
        )


def _check_item(place: int, item: _Item) -> None:
    if item.kind == "item_reference":
        named = f' "{item.id}"' if item.id else ""
        raise RequestError(
            f"input[{place}] refers to an item{named} that a provider keeps, and nothing is kept "
            "here; send the item itself",
            param=f"input[{place}]",
        )
    if item.kind == "message" and item.role not in _ROLES:
        raise RequestError(
            f'input[{place}].role is "{item.role}"; it is user, assistant, system or developer',
            param=f"input[{place}].role",
        )


def _all_tools(asked: _Responses) -> Iterator[msgspec.Raw]:
    yield from asked.tools or ()
    for item in asked.items:
        if item.kind == "additional_tools":
            yield from item.tools or ()


def _system_texts(asked: _Responses) -> Iterator[str]:
    if asked.instructions:
        yield asked.instructions
    for item in asked.items:
        if item.kind == "message" and item.role in _SYSTEM_ROLES:
            yield _text_of(item.content)


def _turns(items: list[_Item]) -> Iterator[Turn]:
    """Yield the turns; what the model said and called between two others' items is one."""
    open_items: list[_Item] = []
    for item in items:
        if item.kind in _ASSISTANT_ITEMS or item.role == "assistant":
            open_items.append(item)
            continue
        if open_items:
            yield _assistant_turn(open_items)
            open_items = []
        if item.kind in RESULTS:
            yield Turn(role="tool", text=_text_of(item.output))
        elif item.kind == "message" and item.role == "user":
            yield Turn(role="user", text=_text_of(item.content))
    if open_items:
        yield _assistant_turn(open_items)


def _assistant_turn(items: list[_Item]) -> Turn:
    texts = (_text_of(item.content) for item in items if item.kind == "message")
    return Turn(
        role="assistant",
        text="\n".join(filter(None, texts)),
        tool_call_ids=tuple(item.call_id for item in items if item.kind in CALLS and item.call_id),
    )


def _text_of(content: str | list[_Part] | dict[str, msgspec.Raw] | None) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    texts = (part.text if part.text is not None else part.refusal for part in parts)
    return "\n".join(text for text in texts if text is not None)


def _needs(asked: _Responses, parts: list[_Part], kinds: list[_Kind]) -> frozenset[Need]:
    part_types = {part.type for part in parts}
    names = {tool.type for tool in kinds}
    optional = OPTIONAL_TOOLS if names & CARRIED_TOOLS else frozenset[str]()
    is_hosted = any(_is_hosted(tool) for tool in kinds if tool.type not in optional) or any(
        item.kind not in CARRIED_ITEMS | OPTIONAL_ITEMS for item in asked.items
    )
    form = asked.text.format if asked.text else None
    has_logprobs = bool(asked.top_logprobs) or LOGPROBS in (asked.include or ())
    found = {
        Need.IMAGES: "input_image" in part_types,
        Need.FILES: "input_file" in part_types,
        Need.AUDIO: "input_audio" in part_types,
        Need.STORED_FILES: any(part.file_id for part in parts),
        Need.TOOLS: bool(kinds),
        Need.HOSTED_TOOLS: is_hosted,
        Need.OFFERED_TOOLS: bool(names & optional),
        Need.JSON_SCHEMA: form is not None and form.type == "json_schema",
        Need.LOGPROBS: has_logprobs,
    }
    return frozenset(need for need, is_there in found.items() if is_there)


def _file_bytes(part: _Part) -> int:
    return len(part.file_data or "") * 3 // 4


def _is_text_file(part: _Part) -> bool:
    return (part.file_data or "").startswith("data:text/")


def _is_unsized(part: _Part) -> bool:
    """Return whether a part is anything but text, an image or a file of text."""
    return part.type not in _TEXT_PARTS and part.type != "input_image" and not _is_text_file(part)


def _is_other_item(item: _Item) -> bool:
    """Return whether an item has content that is not read here, such as a tool's of OpenAI's."""
    return item.kind not in CARRIED_ITEMS | OPTIONAL_ITEMS or isinstance(item.output, dict)


def _is_hosted(tool: _Kind) -> bool:
    return tool.type not in CARRIED_TOOLS or any(_is_hosted(inner) for inner in tool.tools or ())


def _response_format(text: _TextOptions | None) -> ResponseFormat | None:
    form = text.format if text else None
    if form is None or form.type not in ("json_object", "json_schema"):
        return None
    schema = bytes(form.schema)
    return ResponseFormat(schema=None if schema in (b"", b"null") else schema)


def _whole(name: str, value: float | None) -> int | None:
    """Return a bound as a whole number: 100.0 is 100."""
    if value is not None and (value < 1 or value != int(value)):
        raise RequestError(f"{name} is {value}; it must be a whole number, 1 or more", param=name)
    return None if value is None else int(value)
