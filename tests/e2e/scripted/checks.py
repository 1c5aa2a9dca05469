"""What the scripted upstream refuses: what the providers' own SDKs have no types for."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, get_type_hints

import pydantic
from anthropic.types.beta.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.beta.message_create_params import MessageCreateParamsBase
from google.genai import types as gemini
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from openai.types.embedding_create_params import EmbeddingCreateParams
from openai.types.responses.input_token_count_params import InputTokenCountParams
from openai.types.responses.response_create_params import ResponseCreateParamsBase


class Refused(Exception):
    """A request that the provider would answer with 400."""


class _GeminiBody(pydantic.BaseModel):
    """Source: the fields that google-genai 3.4 puts into a body, models.py, read 2026-11-23."""

    model_config = pydantic.ConfigDict(extra="forbid")
    model: str = ""  # the API's own field, which its SDKs write into the path alone
    contents: list[gemini.Content]
    systemInstruction: gemini.Content | None = None  # noqa: N815 - the provider's own name
    generationConfig: gemini.GenerationConfig | None = None  # noqa: N815
    tools: list[gemini.Tool] | None = None
    toolConfig: gemini.ToolConfig | None = None  # noqa: N815
    safetySettings: list[gemini.SafetySetting] | None = None  # noqa: N815
    cachedContent: str | None = None  # noqa: N815
    serviceTier: gemini.ServiceTier | None = None  # noqa: N815
    labels: dict[str, str] | None = None
    continuationToken: str | None = None  # noqa: N815 - base64
    store: bool | None = None


_TYPES: Mapping[str, Any] = {
    "openai-chat": CompletionCreateParamsBase,
    "openai-responses": ResponseCreateParamsBase,
    "anthropic": MessageCreateParamsBase,
    "anthropic-count": MessageCountTokensParams,
    "openai-responses-count": InputTokenCountParams,
    "embeddings": EmbeddingCreateParams,
    "gemini": _GeminiBody,
}
# Beside the request's own fields: the SDKs set `stream` by the method that is called; Codex CLI
# 0.169 sends `client_metadata` to OpenAI, whose SDKs do not name it.
_ALSO = {"stream", "client_metadata"}


def check(kind: str, body: dict[str, Any]) -> None:
    """Raise Refused unless the SDK's types describe the body, every field of it."""
    expected = _TYPES[kind]
    if not issubclass(expected, pydantic.BaseModel):
        unknown = sorted(body.keys() - get_type_hints(expected).keys() - _ALSO)
        if unknown:
            raise Refused(f"unknown field: {', '.join(unknown)}")
    if kind == "openai-responses":
        body = _completed(body)
    try:
        _exhaust(_adapter(kind).validate_python(body))
    except pydantic.ValidationError as error:
        raise Refused("; ".join(_first_lines(error))) from error


def _completed(body: dict[str, Any]) -> dict[str, Any]:
    """Return a responses body with what the SDK's types want and OpenAI does not.

    LangChain leaves `strict` out of tools. Reasoning that comes back encrypted may have no `id`,
    and from Codex it has a `content` of null.
    """
    tools = [{"strict": None, **tool} for tool in body.get("tools") or ()]
    given = body["input"]
    if isinstance(given, list):
        given = [_sealed(item) if item.get("encrypted_content") else item for item in given]
    return {**body, "tools": tools, "input": given}


def _sealed(item: dict[str, Any]) -> dict[str, Any]:
    said = {name: value for name, value in item.items() if (name, value) != ("content", None)}
    return {"id": "rs_0", **said}


@cache
def _adapter(kind: str) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(_TYPES[kind])


def _exhaust(value: object) -> None:
    """Read lazily checked lists to their ends: only then are they checked."""
    if isinstance(value, dict):
        for part in value.values():
            _exhaust(part)
    elif isinstance(value, list) or type(value).__name__ == "ValidatorIterator":
        for part in value:  # type: ignore[attr-defined]
            _exhaust(part)


def _first_lines(error: pydantic.ValidationError) -> Iterator[str]:
    for problem in error.errors()[:6]:
        yield f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"


def check_calls(calls: list[list[str]], results: list[list[str]]) -> None:
    """Raise Refused unless each message's calls are answered by the results right after it.

    `calls[i]` are the ids of one message's calls, `results[i]` those of the results after it.
    """
    for made, given in zip(calls, results, strict=True):
        if sorted(made) != sorted(given):
            raise Refused(f"calls {made} are followed by the results of {given}")
