"""Requests: read what routing needs from a messages body, and edit the body for an upstream."""

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.types import Caller, Need, Request, ResponseFormat, Step
from pointsman.core.wire.anthropic import versions
from pointsman.core.wire.anthropic.fit import fitted
from pointsman.core.wire.anthropic.thinking import with_params
from pointsman.core.wire.anthropic.tool_loop import settled
from pointsman.core.wire.anthropic.turns import Block, Found, Said, text_of, turns_of
from pointsman.core.wire.anthropic.versions import DIALECT
from pointsman.core.wire.cache_asks import has_long_marks
from pointsman.core.wire.decoding import client_json, shape_members, upstream_json
from pointsman.core.wire.limits import MESSAGES_MAX, TOOLS_MAX, check_count, check_model
from pointsman.core.wire.prompt import Written
from pointsman.core.wire.splice import splice
from pointsman.core.wire.watched import Watched, is_plain

# This API must be told a bound; where nobody set one and the model's own is not known, it is this.
MAX_TOKENS_USUAL = 4_096

_NOT_SHAPING = ("stream", "model", "metadata", "service_tier", "user_profile_id", "workspace_id")
# What a stream's events do not carry: such an answer is kept per way of asking, see `shape`.
_ONLY_IN_FRAMES = ("container", "context_management", "compaction", "diagnostics", "thread")
# The fields of POST /v1/messages/count_tokens (anthropic-python 2.12, its types, read 2026-11-23).
_COUNTED = frozenset(
    {"messages", "model", "system", "tools", "tool_choice", "thinking", "output_config",
     "output_format", "cache_control", "speed", "mcp_servers", "context_management", "compaction",
     "billing_policy"}
)  # fmt: skip
_HOSTED_FIELDS = ("container", "compaction", "thread")
_REFERRING = ("container", "thread")
# Tools that the client brings itself; and, of Anthropic's own, those that a request can do without
# where it brings some.
CLIENT_TOOLS = frozenset({"", "custom"})
OPTIONAL_TOOLS = ("web_search_", "web_fetch_")


class _Tool(msgspec.Struct):
    type: str | None = None


class _Format(msgspec.Struct):
    type: str | None = None
    schema: msgspec.Raw = msgspec.Raw()


class _OutputConfig(msgspec.Struct):
    format: _Format | None = None


class _Body(Watched, kw_only=True):
    messages: list[Said]
    model: str
    system: str | list[Block] | None = None
    tools: list[msgspec.Raw] | None = None
    max_tokens: int | float | None = None
    stream: bool | None = None
    output_config: _OutputConfig | None = None
    output_format: _Format | None = None
    mcp_servers: list[msgspec.Raw] | None = None
    container: msgspec.Raw = msgspec.Raw()
    compaction: msgspec.Raw = msgspec.Raw()
    thread: msgspec.Raw = msgspec.Raw()
    temperature: msgspec.Raw = msgspec.Raw()
    top_p: msgspec.Raw = msgspec.Raw()
    top_k: msgspec.Raw = msgspec.Raw()


class _Count(msgspec.Struct):
    input_tokens: int


_body = msgspec.json.Decoder(_Body)
_tool = msgspec.json.Decoder(_Tool)
_count = msgspec.json.Decoder(_Count)


def decode_request(body: bytes, caller: Caller) -> Request:
    """Read a client's body, as strict as the API version that the client speaks.

    Raises RequestError that names the field at fault.
    """
    asked = client_json(_body.decode, body)
    kinds = [client_json(_tool.decode, tool).type for tool in asked.tools or ()]
    _check_counts(asked)
    if not versions.is_lenient(caller):
        _check_newest(asked)
    found = Found()
    turns = tuple(turn for message in asked.messages for turn in turns_of(message, found))
    systems = [text_of(asked.system or "")]
    systems += (text_of(m.content) for m in asked.messages if m.role == "system")
    return Request(
        dialect=DIALECT,
        body=body,
        model=asked.model,
        system="\n".join(text for text in systems if text),
        turns=turns,
        needs=_needs(asked, kinds, found),
        image_count=found.images,
        tools_bytes=sum(len(bytes(tool)) for tool in asked.tools or ()),
        calls_bytes=found.calls_bytes,
        file_bytes=found.file_bytes,
        has_unsized=found.has_unsized or bool(asked.mcp_servers) or _names_what_is_kept(asked),
        signatures=tuple(found.signatures),
        has_long_marks=has_long_marks(body),
        max_tokens=_whole(asked.max_tokens),
        response_format=_response_format(asked),
        is_stream=bool(asked.stream),
        wants_usage=True,
        is_plain=is_plain(asked),
        caller=caller,
    )


def encode_request(request: Request, step: Step) -> Written:
    """Return the body for a step's upstream: the client's own but for the fields that must change.

    Changes the model's name and the tier's parameters, and adds `max_tokens` where the client set
    none: the tier's, else the most the model can, else 4,096. The way of thinking is made to fit a
    model that the client has not named, see `fit`. A budget of thinking goes where the turn under
    way was begun without thinking, see `tool_loop`.
    """
    deployment = step.deployment
    changes = {"model": msgspec.json.encode(deployment.model)}
    bound = request.max_tokens
    if bound is None:
        bound = usual_max_tokens(step)
        changes["max_tokens"] = str(bound).encode()
    fit = Written(with_params(splice(request.body, changes), deployment, max_tokens=bound))
    if request.model not in (deployment.id, deployment.model):
        fit = fitted(fit.body, deployment, max_tokens=bound)
    end = settled(fit.body, deployment.model, asked=request.body)
    return Written(end.body, tuple(dict.fromkeys((*fit.dropped, *end.dropped))))


def usual_max_tokens(step: Step) -> int:
    """Return the bound for a client that set none: this API must have one."""
    return step.max_tokens or step.deployment.capability.max_output_tokens or MAX_TOKENS_USUAL


def shape(request: Request) -> dict[str, object]:
    """Return every field of the body that shapes the answer, unknown ones included.

    The beta features that the client asks for are a part of it; the API version is not, for it
    changes what may be asked and not what is answered. Answers that a stream's events do not carry
    whole (citations, what the provider's own tools did) are told apart by streamed or not, so that
    each is replayed only as it was recorded.

    Raises RequestError for what is wrong in a field that nothing else reads.
    """
    members = shape_members(request.body)
    for name in _NOT_SHAPING:
        members.pop(name, None)
    if wanted := versions.betas(request.caller):
        members["anthropic-beta"] = sorted(wanted)
    is_only_in_frames = (
        not request.needs.isdisjoint({Need.HOSTED_TOOLS, Need.OFFERED_TOOLS})
        or b'"citations"' in request.body
        or any(members.get(name) is not None for name in _ONLY_IN_FRAMES)
    )
    if is_only_in_frames:
        members["stream"] = request.is_stream
    return members


def count_request(body: bytes) -> bytes:
    """Return the body that counts the input of a body for an answer."""
    names = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return splice(body, {name: None for name in names if name not in _COUNTED})


def read_count(body: bytes) -> int:
    """Return the input tokens of a count's reply. Raises UpstreamBadResponse."""
    return max(0, upstream_json(_count.decode, body, "count").input_tokens)


def _check_counts(asked: _Body) -> None:
    tools = len(asked.tools or ())
    if not asked.messages:
        raise RequestError("messages is empty; send at least one", param="messages")
    check_count("messages", len(asked.messages), MESSAGES_MAX)
    check_count("tools", tools, TOOLS_MAX)
    check_model(asked.model)


def _check_newest(asked: _Body) -> None:
    """Refuse what version 2026-10-21 refuses, see `versions`."""
    for name in versions.SAMPLING:
        if bytes(getattr(asked, name)):
            raise _not_taken(name, "leave it out")
    for at, message in enumerate(asked.messages):
        is_user, is_assistant = message.role == "user", message.role == "assistant"
        for number, block in enumerate(() if isinstance(message.content, str) else message.content):
            if is_assistant and block.type == "document":
                path = f"messages[{at}].content[{number}]"
                raise _not_taken(path, "send documents in the user's messages")
            is_cited = is_user and block.type == "text" and bytes(block.citations)
            if is_cited not in (False, b"", b"null", b"[]"):
                path = f"messages[{at}].content[{number}].citations"
                raise _not_taken(path, "leave it out")


def _not_taken(path: str, remedy: str) -> RequestError:
    return RequestError(
        f"{path} is not taken under anthropic-version {versions.NEWEST}; {remedy}, or send "
        f"anthropic-version {versions.WITH_SAMPLING}",
        param=path,
    )


def _whole(value: float | None) -> int | None:
    """Return the bound as a whole number: 100.0 is 100. 0 fills the prompt cache and no more."""
    if value is not None and (value < 0 or value != int(value)):
        raise RequestError(
            f"max_tokens is {value}; it must be a whole number, 0 or more", param="max_tokens"
        )
    return None if value is None else int(value)


def _needs(asked: _Body, kinds: list[str | None], found: Found) -> frozenset[Need]:
    """Return what the request needs; a tool that Anthropic defined is no other provider's, even
    where the client runs it.
    """
    needs = found.needs
    if found.images:
        needs.add(Need.IMAGES)
    if kinds:
        needs.add(Need.TOOLS)
    names = [kind or "" for kind in kinds]
    own = [name for name in names if name not in CLIENT_TOOLS]
    optional = [name for name in own if name.startswith(OPTIONAL_TOOLS) and len(own) < len(names)]
    if optional:
        needs.add(Need.OFFERED_TOOLS)
    hosted = (bytes(getattr(asked, name)) for name in _HOSTED_FIELDS)
    if (
        len(own) > len(optional)
        or asked.mcp_servers
        or any(raw not in (b"", b"null") for raw in hosted)
    ):
        needs.add(Need.HOSTED_TOOLS)
    if (form := _response_format(asked)) is not None and form.schema is not None:
        needs.add(Need.JSON_SCHEMA)
    return frozenset(needs)


def _names_what_is_kept(asked: _Body) -> bool:
    return any(bytes(getattr(asked, name)) not in (b"", b"null") for name in _REFERRING)


def _response_format(asked: _Body) -> ResponseFormat | None:
    form = (asked.output_config.format if asked.output_config else None) or asked.output_format
    if form is None or form.type != "json_schema":
        return None
    schema = bytes(form.schema)
    return ResponseFormat(schema=None if schema in (b"", b"null") else schema)
