"""Requests: read what routing needs from a chat body, and edit the body for an upstream."""

import math
from collections.abc import Set
from operator import attrgetter
from typing import TypedDict

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.types import Caller, Need, Request, ResponseFormat, Step, Turn
from pointsman.core.wire.cache_asks import has_breakpoints, has_long_marks, retention_s
from pointsman.core.wire.decoding import client_json, shape_members
from pointsman.core.wire.limits import MESSAGES_MAX, TOOLS_MAX, check_count, check_model
from pointsman.core.wire.openai_chat.media import IMAGE_PARTS
from pointsman.core.wire.params import with_fields
from pointsman.core.wire.splice import object_bytes, splice
from pointsman.core.wire.watched import Watched, is_plain

DIALECT = "openai-chat"

_SYSTEM_ROLES = frozenset({"system", "developer"})
_NOTHING = (b"", b"null")
# What a stream's events do not carry: such an answer is kept per way of asking, see `shape`.
_ONLY_IN_FRAMES = frozenset({"n", "logprobs", "modalities", "audio", "web_search_options"})
_NOT_SHAPING = frozenset(
    {"stream", "stream_options", "model", "user", "metadata", "store"}
    | {"prompt_cache_key", "safety_identifier", "service_tier"}
)
_MAX_TOKENS_FIELDS = ("max_tokens", "max_completion_tokens")
# Parts that are read as text, by any of the names that upstreams give them.
_TEXT_PARTS = frozenset({"", "text", "input_text", "output_text", "refusal", "thinking"})
# Members that bring in what somebody keeps. Source for `data_sources`:
# learn.microsoft.com/azure/ai-services/openai/references/on-your-data, read 2026-11-23; the others
# are other dialects' words for it, which a server of this one may take too.
_REFERRING = ("previous_response_id", "conversation", "data_sources")


_ABSENT = msgspec.Raw()


class _File(msgspec.Struct):
    file_data: msgspec.Raw = _ABSENT
    file_id: msgspec.Raw = _ABSENT


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None
    file: msgspec.Raw = _ABSENT


class _Function(msgspec.Struct):
    arguments: msgspec.Raw = _ABSENT


class _Call(msgspec.Struct):
    id: str | None = None
    function: _Function | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part | str] | None = None
    tool_calls: list[_Call] | None = None
    audio: msgspec.Raw = _ABSENT


class _JsonSchema(msgspec.Struct):
    schema: msgspec.Raw = _ABSENT


class _Format(msgspec.Struct):
    type: str
    json_schema: _JsonSchema | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Chat(Watched, kw_only=True):
    messages: list[_Message]
    model: str
    tools: list[msgspec.Raw] | None = None
    functions: list[msgspec.Raw] | None = None
    response_format: _Format | None = None
    max_tokens: int | float | None = None
    max_completion_tokens: int | float | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    # Whatever they are, the provider judges them: here only a request for more is to be seen.
    n: msgspec.Raw = _ABSENT
    logprobs: msgspec.Raw = _ABSENT
    modalities: msgspec.Raw = _ABSENT
    web_search_options: msgspec.Raw = _ABSENT
    prompt_cache_retention: msgspec.Raw = _ABSENT
    prompt_cache_options: msgspec.Raw = _ABSENT
    previous_response_id: msgspec.Raw = _ABSENT
    conversation: msgspec.Raw = _ABSENT
    data_sources: msgspec.Raw = _ABSENT
    extra_body: msgspec.Raw = _ABSENT


class _Offered(msgspec.Struct):
    tools: list[msgspec.Raw] | None = None
    functions: list[msgspec.Raw] | None = None


class _Options(msgspec.Struct):
    stream_options: dict[str, msgspec.Raw] | None = None


class _Said(msgspec.Struct):
    """What the messages say. `parts` are those of their content that are no text."""

    system: list[str]
    turns: list[Turn]
    parts: list[_Part]
    calls_bytes: int = 0
    has_audio: bool = False


class _More(TypedDict, total=False):
    """What few requests ask for: fields of `Request`, which has what they are without it."""

    needs: frozenset[Need]
    image_count: int
    tools_bytes: int
    retention_s: float
    file_bytes: int
    text_file_bytes: int
    has_unsized: bool
    choices: int


_USUAL = _More()
_chat = msgspec.json.Decoder(_Chat)
# The members that make for more than that, in one look.
_seldom = attrgetter(
    "n",
    "logprobs",
    "modalities",
    "web_search_options",
    "prompt_cache_retention",
    "prompt_cache_options",
    "extra_body",
    "tools",
    "functions",
    "response_format",
    *_REFERRING,
)
_NOTHING_SELDOM = (_ABSENT,) * 7 + (None,) * 3 + (_ABSENT,) * len(_REFERRING)
_offered = msgspec.json.Decoder(_Offered)
_options = msgspec.json.Decoder(_Options)
_file = msgspec.json.Decoder(_File)


def decode_request(body: bytes, caller: Caller) -> Request:
    """Read a client's body.

    Raises RequestError that names the field at fault.
    """
    chat = client_json(_chat.decode, body)
    _check_counts(chat)
    said, options = _said(chat.messages), chat.stream_options
    return Request(
        dialect=DIALECT,
        body=body,
        model=chat.model,
        system="\n".join(said.system),
        turns=tuple(said.turns),
        has_long_marks=has_long_marks(body) or has_breakpoints(body),
        calls_bytes=said.calls_bytes,
        max_tokens=_bound(chat),
        response_format=_response_format(chat.response_format),
        is_stream=bool(chat.stream),
        wants_usage=bool(options and options.include_usage),
        is_plain=is_plain(chat),
        caller=caller,
        **_more(chat, said),
    )


def _said(messages: list[_Message]) -> _Said:
    """Return what the messages say, each looked at once."""
    said = _Said([], [], [])
    for message in messages:
        role, text = message.role, message.content or ""
        ids: tuple[str, ...] = ()
        if isinstance(text, list):
            said.parts += [
                part for part in text if isinstance(part, _Part) and part.type not in _TEXT_PARTS
            ]
            text = _text(text)
        if calls := message.tool_calls:
            ids = tuple(call.id for call in calls if call.id)
            said.calls_bytes += sum(
                len(bytes(call.function.arguments)) for call in calls if call.function
            )
        if message.audio is not _ABSENT and bytes(message.audio) != b"null":
            said.has_audio = True
        if role in _SYSTEM_ROLES:
            said.system.append(text)
        else:
            role = "tool" if role == "function" else role
            said.turns.append(Turn(role=role, text=text, tool_call_ids=ids))
    return said


def _more(chat: _Chat, said: _Said) -> _More:
    """Return what a request asks for beside text for text; most ask for nothing."""
    parts = said.parts
    is_usual = _seldom(chat) == _NOTHING_SELDOM
    if is_usual and not parts and not said.has_audio:
        return _USUAL
    files = [_file_of(part) for part in parts if part.type == "file"]
    tools = [bytes(tool) for tool in (*(chat.tools or ()), *(chat.functions or ()))]
    return _More(
        needs=_needs(chat, {part.type for part in parts}, files, tools),
        image_count=sum(1 for part in parts if part.type in IMAGE_PARTS),
        tools_bytes=sum(map(len, tools)),
        retention_s=retention_s(
            bytes(chat.prompt_cache_retention), bytes(chat.prompt_cache_options)
        ),
        file_bytes=sum(_base64_bytes(file.file_data) for file in files),
        text_file_bytes=sum(_base64_bytes(file.file_data) for file in files if _is_text(file)),
        has_unsized=said.has_audio or _has_unsized(chat, parts, files),
        choices=1 if chat.n is _ABSENT else _choices(chat.n),
    )


def encode_request(request: Request, step: Step) -> bytes:
    """Return the body for a step's upstream: the client's own but for the fields that must change.

    Changes the model's name, the tier's parameters, `max_tokens` where the client set none, its
    name where the provider has another, and asks a stream for its usage. Of two bounds that a
    client sets, the lower one goes out.
    """
    deployment = step.deployment
    changes: dict[str, bytes | None] = {"model": msgspec.json.encode(deployment.model)}
    bound = request.max_tokens or step.max_tokens
    if bound is not None:
        changes |= dict.fromkeys(_MAX_TOKENS_FIELDS)
        changes[deployment.max_tokens_field] = str(bound).encode()
    if request.is_stream and not request.wants_usage:
        kept = _options.decode(request.body).stream_options or {}
        options = {name: bytes(value) for name, value in kept.items()} | {"include_usage": b"true"}
        changes["stream_options"] = object_bytes(options)
    return with_fields(splice(request.body, changes), deployment.params)


def has_functions(request: Request) -> bool:
    """Return whether the client offers functions in the deprecated way, and no tools."""
    if Need.TOOLS not in request.needs or request.dialect != DIALECT:
        return False
    if b'"functions"' not in request.body:
        return False
    offered = _offered.decode(request.body)
    return bool(offered.functions and not offered.tools)


def shape(request: Request) -> dict[str, object]:
    """Return every field of the body that shapes the answer, unknown ones included.

    Answers that a stream's events do not carry whole (several choices, log probabilities, audio)
    are told apart by streamed or not, so that each is replayed only as it was recorded.

    Raises RequestError for what is wrong in a field that nothing else reads.
    """
    members = shape_members(request.body)
    for name in members.keys() & _NOT_SHAPING:
        del members[name]
    in_frames = members.keys() & _ONLY_IN_FRAMES
    if in_frames and any(members[name] not in (None, False, 1) for name in in_frames):
        members["stream"] = request.is_stream
    return members


def _check_counts(chat: _Chat) -> None:
    if not chat.messages:
        raise RequestError("messages is empty; send at least one", param="messages")
    check_count("messages", len(chat.messages), MESSAGES_MAX)
    if chat.tools or chat.functions:
        check_count("tools", len(chat.tools or ()) + len(chat.functions or ()), TOOLS_MAX)
    check_model(chat.model)


def _bound(chat: _Chat) -> int | None:
    """Return how many tokens the answer may have, None where the client sets no bound."""
    one, other = chat.max_tokens, chat.max_completion_tokens
    if one is None:
        return None if other is None else _whole("max_completion_tokens", other)
    bound = _whole("max_tokens", one)
    return bound if other is None else min(bound, _whole("max_completion_tokens", other))


def _whole(name: str, value: float) -> int:
    """Return a bound as a whole number: 100.0 is 100."""
    if value < 1 or value != int(value):
        raise RequestError(f"{name} is {value}; it must be a whole number, 1 or more", param=name)
    return int(value)


def _choices(stated: msgspec.Raw) -> int:
    """Return how many answers are asked for, rounded up; upstreams refuse what is no number."""
    try:
        return max(1, math.ceil(msgspec.json.decode(stated, type=float, strict=False)))
    except (msgspec.MsgspecError, OverflowError, ValueError):  # ValueError: "NaN"
        return 1


def _text(parts: list[_Part | str]) -> str:
    texts = (part if isinstance(part, str) else part.text for part in parts)
    return "\n".join(text for text in texts if text is not None)


def _needs(chat: _Chat, kinds: Set[str], files: list[_File], tools: list[bytes]) -> frozenset[Need]:
    asked = {
        Need.IMAGES: bool(kinds & IMAGE_PARTS),
        Need.FILES: bool(files),
        Need.AUDIO: "input_audio" in kinds or b'"audio"' in bytes(chat.modalities),
        Need.STORED_FILES: any(bytes(file.file_id) not in _NOTHING for file in files),
        Need.TOOLS: bool(tools),
        # A custom tool is none of the provider's, but as much a thing of this dialect alone.
        Need.HOSTED_TOOLS: bytes(chat.web_search_options) not in _NOTHING
        or not all(map(_is_function, tools)),
        Need.CHOICES: bytes(chat.n) not in (*_NOTHING, b"1"),
        Need.LOGPROBS: bytes(chat.logprobs) == b"true",
        Need.JSON_SCHEMA: chat.response_format is not None
        and chat.response_format.type == "json_schema",
    }
    return frozenset(need for need, is_asked in asked.items() if is_asked)


def _is_function(tool: bytes) -> bool:
    """Return whether a tool is a function, or of no type at all; most say so at their start."""
    return b'"function"' in tool[:40] or b'"function"' in tool or b'"type"' not in tool


def _file_of(part: _Part) -> _File:
    """Return a part's file; the provider judges one that is not as it should be."""
    try:
        return _file.decode(part.file)
    except msgspec.DecodeError:
        return _File()


def _base64_bytes(said: msgspec.Raw) -> int:
    """Return the bytes that a JSON text of base64 stands for, quotes and a URL's head aside."""
    return max(0, len(bytes(said)) - 2) * 3 // 4


def _is_text(file: _File) -> bool:
    return bytes(file.file_data).startswith(b'"data:text/')


def _has_unsized(chat: _Chat, parts: list[_Part], files: list[_File]) -> bool:
    """Return whether anything but text, images and files of text is sent or named."""
    return (
        any(part.type not in IMAGE_PARTS and part.type != "file" for part in parts)
        or not all(map(_is_text, files))
        or any(bytes(getattr(chat, name)) not in _NOTHING for name in _REFERRING)
        or b'"cached_content"' in bytes(chat.extra_body)
    )


def _response_format(form: _Format | None) -> ResponseFormat | None:
    if form is None or form.type not in ("json_object", "json_schema"):
        return None
    schema = bytes(form.json_schema.schema) if form.json_schema else b""
    return ResponseFormat(schema=None if schema in (b"", b"null") else schema)
