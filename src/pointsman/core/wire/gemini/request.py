"""Requests: read what routing needs of a body, and edit the body for an upstream."""

from collections.abc import Iterator

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.types import Caller, Need, Request, ResponseFormat, Step, Turn
from pointsman.core.wire.decoding import client_json, shape_members
from pointsman.core.wire.gemini.casing import in_camel_case
from pointsman.core.wire.gemini.media import guessed_type, is_stored
from pointsman.core.wire.gemini.params import with_params
from pointsman.core.wire.gemini.refit import without_placeholders
from pointsman.core.wire.gemini.schema import json_schema
from pointsman.core.wire.gemini.signatures import PLACEHOLDER, read_signature
from pointsman.core.wire.gemini.thinking import version_of
from pointsman.core.wire.limits import MESSAGES_MAX, MODEL_CHARS_MAX, TOOLS_MAX, check_count
from pointsman.core.wire.params import with_fields
from pointsman.core.wire.splice import splice

DIALECT = "gemini"

FUNCTIONS = "functionDeclarations"
_NOT_SHAPING = ("model", "labels", "serviceTier", "store")


# google-genai writes what is in these two in snake_case, and the rest in camelCase.
class _Blob(msgspec.Struct):
    camel_type: str | None = msgspec.field(default=None, name="mimeType")
    snake_type: str | None = msgspec.field(default=None, name="mime_type")
    data: msgspec.Raw = msgspec.Raw()

    @property
    def media_type(self) -> str:
        return self.camel_type or self.snake_type or ""


class _File(msgspec.Struct):
    camel_type: str | None = msgspec.field(default=None, name="mimeType")
    snake_type: str | None = msgspec.field(default=None, name="mime_type")
    camel_uri: str = msgspec.field(default="", name="fileUri")
    snake_uri: str = msgspec.field(default="", name="file_uri")

    @property
    def uri(self) -> str:
        return self.camel_uri or self.snake_uri

    @property
    def media_type(self) -> str:
        return self.camel_type or self.snake_type or guessed_type(self.uri)


class _Call(msgspec.Struct):
    id: str | None = None
    args: msgspec.Raw = msgspec.Raw()


class _ResponsePart(msgspec.Struct, rename="camel"):
    inline_data: _Blob | None = None
    file_data: _File | None = None


class _Response(msgspec.Struct):
    response: msgspec.Raw = msgspec.Raw()
    parts: list[_ResponsePart] | None = None


class _Part(msgspec.Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    inline_data: _Blob | None = None
    file_data: _File | None = None
    function_call: _Call | None = None
    function_response: _Response | None = None
    executable_code: msgspec.Raw = msgspec.Raw()
    code_execution_result: msgspec.Raw = msgspec.Raw()
    tool_call: msgspec.Raw = msgspec.Raw()
    tool_response: msgspec.Raw = msgspec.Raw()


class _Content(msgspec.Struct):
    role: str | None = None
    parts: list[_Part] | None = None


class _Config(msgspec.Struct, rename="camel"):
    max_output_tokens: int | float | None = None
    candidate_count: int | None = None
    response_logprobs: bool | None = None
    response_mime_type: str | None = None
    response_schema: msgspec.Raw = msgspec.Raw()
    response_json_schema: msgspec.Raw = msgspec.Raw()
    response_modalities: list[str] | None = None


class _Body(msgspec.Struct, rename="camel"):
    contents: list[_Content]
    system_instruction: _Content | None = None
    tools: list[dict[str, msgspec.Raw]] | None = None
    generation_config: _Config | None = None
    cached_content: str | None = None
    continuation_token: str | None = None


_body = msgspec.json.Decoder(_Body)
_functions = msgspec.json.Decoder(list[msgspec.Raw] | None)


def decode_request(body: bytes, caller: Caller) -> Request:
    """Read a client's body, whose model and way of answering the path says.

    A body whose structure is in snake_case is kept in camelCase. Raises RequestError that names
    the field at fault.
    """
    body = client_json(in_camel_case, body)
    read = client_json(_body.decode, body)
    functions = [
        function
        for tool in read.tools or ()
        if FUNCTIONS in tool
        for function in client_json(_functions.decode, tool[FUNCTIONS]) or ()
    ]
    model = caller.model.removeprefix("models/")
    _check(read, model, len(functions))
    config = read.generation_config or _Config()
    media = list(_media(read))
    return Request(
        dialect=DIALECT,
        body=body,
        model=model,
        system=_text(read.system_instruction) if read.system_instruction else "",
        turns=tuple(turn for content in read.contents for turn in _turns(content)),
        needs=_needs(read, config, media, has_functions=bool(functions)),
        image_count=sum(1 for kind, _ in media if kind.startswith("image/")),
        tools_bytes=sum(len(bytes(function)) for function in functions),
        calls_bytes=sum(
            len(bytes(part.function_call.args)) for part in _all_parts(read) if part.function_call
        ),
        file_bytes=sum(size for kind, size in media if not kind.startswith("image/")),
        text_file_bytes=sum(size for kind, size in media if kind.startswith("text/")),
        has_unsized=_has_unsized(read, body),
        signatures=tuple(_signatures(read)),
        max_tokens=_whole(config.max_output_tokens),
        choices=max(1, config.candidate_count or 1),
        response_format=_response_format(config),
        is_stream=bool(caller.is_stream),
        wants_usage=True,
        caller=caller,
    )


def encode_request(request: Request, step: Step) -> bytes:
    """Return the body for a step's upstream: the client's own but for the fields that must change.

    Names the model, which Google reads only where tokens are counted (the path says it else);
    changes the deployment's parameters, and `maxOutputTokens` where the client set none. A
    placeholder for a signature goes where the model needs none.
    """
    deployment = step.deployment
    body = splice(request.body, {"model": msgspec.json.encode(f"models/{deployment.model}")})
    if request.max_tokens is None and step.max_tokens is not None:
        body = with_fields(body, {"generationConfig": {"maxOutputTokens": step.max_tokens}})
    if PLACEHOLDER.encode() in body and version_of(deployment.model) < (3, 0):
        body = without_placeholders(body)
    return with_params(body, deployment)


def count_request(body: bytes) -> bytes:
    """Return the body that asks for the tokens of what a body for an answer says.

    Source: ai.google.dev/api/tokens (read 2026-11-23); a request in it must name its model, as
    `encode_request` and `write_prompt` make it do.
    """
    return b'{"generateContentRequest":' + body + b"}"


def shape(request: Request) -> dict[str, object]:
    """Return every field of the body that shapes the answer, unknown ones included.

    What the events do not carry whole (sources, other candidates, pictures) is told apart by
    streamed or not, so that each answer is replayed only as it was recorded. Raises RequestError.
    """
    members = shape_members(request.body)
    for name in _NOT_SHAPING:
        members.pop(name, None)
    config = members.get("generationConfig")
    asks = config if isinstance(config, dict) else {}
    is_plain = asks.get("candidateCount") in (None, 1) and not (
        asks.get("responseLogprobs") or asks.get("responseModalities")
    )
    if not is_plain or Need.HOSTED_TOOLS in request.needs:
        members["stream"] = request.is_stream
    return members


def _check(read: _Body, model: str, function_count: int) -> None:
    if not read.contents:
        raise RequestError("contents is empty; send at least one", param="contents")
    check_count("contents", len(read.contents), MESSAGES_MAX)
    if function_count > TOOLS_MAX:
        raise RequestError(
            f"tools declares {function_count} functions, the limit is {TOOLS_MAX}", param="tools"
        )
    if not model or len(model) > MODEL_CHARS_MAX:
        raise RequestError(
            f"the path's model has {len(model)} characters; it must have 1 to {MODEL_CHARS_MAX}",
            param="model",
        )


def _whole(value: float | None) -> int | None:
    if value is not None and (value < 1 or value != int(value)):
        raise RequestError(
            f"maxOutputTokens is {value}; it must be a whole number, 1 or more",
            param="generationConfig.maxOutputTokens",
        )
    return None if value is None else int(value)


def _text(content: _Content) -> str:
    parts = content.parts or ()
    return "\n".join(part.text for part in parts if part.text and not part.thought)


def _turns(content: _Content) -> Iterator[Turn]:
    parts = content.parts or ()
    if content.role == "model":
        ids = (part.function_call.id for part in parts if part.function_call)
        made = tuple(call_id for call_id in ids if call_id)
        yield Turn(role="assistant", text=_text(content), tool_call_ids=made)
        return
    results = [part.function_response for part in parts if part.function_response]
    if len(results) < len(parts) or not parts:
        yield Turn(role="user", text=_text(content))
    for result in results:
        yield Turn(role="tool", text=bytes(result.response).decode())


def _media(read: _Body) -> Iterator[tuple[str, int]]:
    """Yield the media type of each piece of media, and its size in bytes where it is sent along."""
    for part in _all_parts(read):
        nested = (part.function_response.parts if part.function_response else None) or ()
        for holder in (part, *nested):
            if blob := holder.inline_data:
                yield blob.media_type, len(bytes(blob.data)) * 3 // 4
            if holder.file_data:
                yield holder.file_data.media_type, 0


def _has_unsized(read: _Body, body: bytes) -> bool:
    """Return whether anything but text, images and files of text is sent, or anything is named.

    A part may ask for any number of tokens (`mediaResolution.numTokens`).
    """
    return (
        bool(read.cached_content or read.continuation_token)
        or b'"numTokens"' in body
        or b'"num_tokens"' in body
        or any(map(_is_unsized, _all_parts(read)))
        or any(part.text is None for part in (read.system_instruction or _Content()).parts or ())
    )


def _is_unsized(part: _Part) -> bool:
    nested = (part.function_response.parts if part.function_response else None) or ()
    holders = (part, *nested)
    blobs = [holder.inline_data for holder in holders if holder.inline_data]
    is_known = part.text is not None or part.function_call or part.function_response or blobs
    return (
        not is_known
        or any(holder.file_data for holder in holders)
        or any(not blob.media_type.startswith(("image/", "text/")) for blob in blobs)
    )


def _all_parts(read: _Body) -> Iterator[_Part]:
    for content in read.contents:
        yield from content.parts or ()


def _signatures(read: _Body) -> Iterator[str]:
    for part in _all_parts(read):
        if part.thought_signature and (signature := read_signature(part.thought_signature)):
            yield signature


def _needs(
    read: _Body, config: _Config, media: list[tuple[str, int]], *, has_functions: bool
) -> frozenset[Need]:
    kinds = [kind for kind, _ in media]
    is_audio = any(kind.startswith("audio/") for kind in kinds)
    asks_audio = "AUDIO" in (config.response_modalities or ())
    parts = list(_all_parts(read))
    hosted = any(name != FUNCTIONS for tool in read.tools or () for name in tool) or any(
        _is_there(value)
        for part in parts
        for value in (
            part.executable_code,
            part.code_execution_result,
            part.tool_call,
            part.tool_response,
        )
    )
    files = [part.file_data.uri for part in parts if part.file_data]
    found = {
        Need.IMAGES: any(kind.startswith("image/") for kind in kinds),
        Need.AUDIO: is_audio or asks_audio,
        Need.FILES: any(not kind.startswith(("image/", "audio/")) for kind in kinds),
        Need.TOOLS: has_functions,
        Need.HOSTED_TOOLS: hosted,
        Need.STORED_FILES: bool(read.cached_content) or any(is_stored(uri) for uri in files),
        Need.JSON_SCHEMA: any(
            map(_is_there, (config.response_schema, config.response_json_schema))
        ),
        Need.CHOICES: (config.candidate_count or 1) > 1,
        Need.LOGPROBS: bool(config.response_logprobs),
    }
    return frozenset(need for need, is_there in found.items() if is_there)


def _response_format(config: _Config) -> ResponseFormat | None:
    if config.response_mime_type != "application/json":
        return None
    return ResponseFormat(schema=_schema(config.response_json_schema, config.response_schema))


def _schema(own: msgspec.Raw, openapi: msgspec.Raw) -> bytes | None:
    """Return a JSON schema's bytes: as it came, else from the OpenAPI subset, else None."""
    if _is_there(own):
        return bytes(own)
    if not _is_there(openapi):
        return None
    return msgspec.json.encode(json_schema(msgspec.json.decode(openapi)))


def _is_there(value: msgspec.Raw) -> bool:
    return bytes(value) not in (b"", b"null")
