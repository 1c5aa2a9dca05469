"""Requests: read what routing needs from a chat body, and edit the body for an upstream."""

from collections.abc import Mapping

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.types import Caller, Need, Request, ResponseFormat, Step, Turn
from pointsman.core.wire.limits import MESSAGES_MAX, MODEL_CHARS_MAX, TOOLS_MAX
from pointsman.core.wire.splice import splice

DIALECT = "openai-chat"

_SYSTEM_ROLES = frozenset({"system", "developer"})
_IMAGE_PARTS = frozenset({"image_url", "input_image", "image"})
# What a stream's events do not carry: such an answer is kept per way of asking, see `shape`.
_ONLY_IN_FRAMES = ("n", "logprobs", "modalities", "audio", "web_search_options")
_NOT_SHAPING = ("stream", "stream_options", "model", "user", "metadata", "store")
_NOT_SHAPING_IDS = ("prompt_cache_key", "safety_identifier", "service_tier")


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None


class _Call(msgspec.Struct):
    id: str | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part | str] | None = None
    tool_calls: list[_Call] | None = None


class _JsonSchema(msgspec.Struct):
    schema: msgspec.Raw | None = None


class _Format(msgspec.Struct):
    type: str
    json_schema: _JsonSchema | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Chat(msgspec.Struct):
    messages: list[_Message]
    model: str
    tools: list[msgspec.Raw] | None = None
    functions: list[msgspec.Raw] | None = None
    response_format: _Format | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None


_chat = msgspec.json.Decoder(_Chat)
_members = msgspec.json.Decoder(dict[str, object])


def decode_request(body: bytes, caller: Caller) -> Request:
    """Read a client's body.

    Raises RequestError that names the field at fault.
    """
    try:
        chat = _chat.decode(body)
    except msgspec.ValidationError as error:
        raise RequestError(f"the request body does not fit: {error}") from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise RequestError(f"the request body is not JSON: {error}") from error
    _check_counts(chat)
    image_count = _image_count(chat)
    return Request(
        dialect=DIALECT,
        body=body,
        model=chat.model,
        system="\n".join(_text(m) for m in chat.messages if m.role in _SYSTEM_ROLES),
        turns=tuple(_turn(m) for m in chat.messages if m.role not in _SYSTEM_ROLES),
        needs=_needs(chat, has_images=image_count > 0),
        image_count=image_count,
        max_tokens=chat.max_completion_tokens or chat.max_tokens,
        response_format=_response_format(chat.response_format),
        is_stream=bool(chat.stream),
        wants_usage=bool(chat.stream_options and chat.stream_options.include_usage),
        caller=caller,
    )


def encode_request(request: Request, step: Step) -> bytes:
    """Return the body for a step's upstream: the client's own but for the fields that must change.

    Changes the model's name, the tier's parameters, `max_tokens` where the client set none, its
    name where the provider has another, and asks a stream for its usage.
    """
    deployment = step.deployment
    changes: dict[str, bytes | None] = {"model": msgspec.json.encode(deployment.model)}
    field = deployment.max_tokens_field
    if request.max_tokens is None:
        if step.max_tokens is not None:
            changes[field] = str(step.max_tokens).encode()
    elif field != "max_tokens":
        changes |= {"max_tokens": None, field: str(request.max_tokens).encode()}
    if request.is_stream and not request.wants_usage:
        options = _members.decode(request.body).get("stream_options")
        kept = options if isinstance(options, dict) else {}
        changes["stream_options"] = msgspec.json.encode({**kept, "include_usage": True})
    for name, value in deployment.params.items():
        changes[name] = msgspec.json.encode(value)
    return splice(request.body, changes)


def shape(request: Request) -> Mapping[str, object]:
    """Return every field of the body that shapes the answer, unknown ones included.

    Answers that a stream's events do not carry whole (several choices, log probabilities, audio)
    are told apart by streamed or not, so that each is replayed only as it was recorded.
    """
    members = _members.decode(request.body)
    for name in (*_NOT_SHAPING, *_NOT_SHAPING_IDS):
        members.pop(name, None)
    if any(members.get(name) not in (None, False, 1) for name in _ONLY_IN_FRAMES):
        members["stream"] = request.is_stream
    return members


def _check_counts(chat: _Chat) -> None:
    tools = len(chat.tools or ()) + len(chat.functions or ())
    if not chat.messages:
        raise RequestError("messages is empty; send at least one", param="messages")
    if len(chat.messages) > MESSAGES_MAX:
        raise RequestError(
            f"messages has {len(chat.messages)} entries, the limit is {MESSAGES_MAX}",
            param="messages",
        )
    if tools > TOOLS_MAX:
        raise RequestError(f"tools has {tools} entries, the limit is {TOOLS_MAX}", param="tools")
    if len(chat.model) > MODEL_CHARS_MAX:
        raise RequestError(
            f"model has {len(chat.model)} characters, the limit is {MODEL_CHARS_MAX}", param="model"
        )
    for name, value in (
        ("max_tokens", chat.max_tokens),
        ("max_completion_tokens", chat.max_completion_tokens),
    ):
        if value is not None and value < 1:
            raise RequestError(f"{name} is {value}; it must be 1 or more", param=name)


def _text(message: _Message) -> str:
    match message.content:
        case None:
            return ""
        case str(text):
            return text
        case parts:
            texts = (part if isinstance(part, str) else part.text for part in parts)
            return "\n".join(text for text in texts if text is not None)


def _turn(message: _Message) -> Turn:
    calls = message.tool_calls or ()
    return Turn(
        role=message.role,
        text=_text(message),
        tool_call_ids=tuple(call.id for call in calls if call.id),
    )


def _image_count(chat: _Chat) -> int:
    return sum(
        1
        for message in chat.messages
        if isinstance(message.content, list)
        for part in message.content
        if isinstance(part, _Part) and part.type in _IMAGE_PARTS
    )


def _needs(chat: _Chat, *, has_images: bool) -> frozenset[Need]:
    needs = set[Need]()
    if has_images:
        needs.add(Need.IMAGES)
    if chat.tools or chat.functions:
        needs.add(Need.TOOLS)
    if chat.response_format is not None and chat.response_format.type == "json_schema":
        needs.add(Need.JSON_SCHEMA)
    return frozenset(needs)


def _response_format(form: _Format | None) -> ResponseFormat | None:
    if form is None or form.type not in ("json_object", "json_schema"):
        return None
    schema = form.json_schema.schema if form.json_schema else None
    return ResponseFormat(schema=bytes(schema) if schema is not None else None)
