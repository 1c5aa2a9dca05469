"""OpenAPI: what the server publishes of itself, made from its table of routes.

Bodies are described as far as this server reads them: what else a dialect has passes through.
Source: the OpenAPI Specification 3.1.1, read 2026-11-23.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from pointsman._version import __version__
from pointsman.core.errors import GatewayError, UpstreamError
from pointsman.core.wire.limits import MESSAGES_MAX, MODEL_CHARS_MAX, TOOLS_MAX

Schema: TypeAlias = Mapping[str, Any]

_TEXT: Schema = {"type": "string"}
_MODEL: Schema = {"type": "string", "minLength": 1, "maxLength": MODEL_CHARS_MAX}
_NAMED: Mapping[str, Schema] = {"model": _MODEL, "id": _TEXT}
_TOKENS: Schema = {"type": "integer", "minimum": 1}
_FLAG: Schema = {"type": "boolean"}


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """One route. `dialect` "": errors are in the shape that the request's headers ask for.

    `body`: of its request, None where it has none. `is_billable`: it calls a model.
    """

    path: str
    method: str
    dialect: str
    is_public: bool
    is_billable: bool
    body: Schema | None


def document(routes: Iterable[Described]) -> bytes:
    """Return the description of the routes as JSON."""
    described = {
        "openapi": "3.1.0",
        "info": {
            "title": "pointsman",
            "version": __version__,
            "description": "What begins with /v1 is there without it too.",
        },
        "paths": {route.path: {route.method.lower(): _operation(route)} for route in routes},
        "components": {
            "schemas": dict(_errors()),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                **{
                    name: {"type": "apiKey", "in": "header", "name": name}
                    for name in ("x-api-key", "x-goog-api-key", "api-key")
                },
            },
        },
    }
    return msgspec.json.encode(described)


def body_schema(dialect: str) -> Schema:
    """Return what a body of a dialect must be, as far as this server reads it."""
    return _BODIES[dialect]


def struct_schema(kind: type[msgspec.Struct]) -> Schema:
    """Return the schema of a body that is read as a Struct."""
    schema: Schema
    (schema,) = msgspec.json.schema_components([kind])[1].values()
    return schema


def _operation(route: Described) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": f"{route.method} {route.path}",
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": schema}
            for name, schema in _NAMED.items()
            if f"{{{name}}}" in route.path
        ],
        "responses": dict(_responses(route)),
        "security": [] if route.is_public else _SECURITY,
    }
    if route.path.endswith(":streamGenerateContent"):
        alt = {"name": "alt", "in": "query", "required": True, "schema": {"const": "sse"}}
        told["parameters"].append(alt)
    if route.is_billable:
        told["parameters"] += [
            {"name": name, "in": "header", "schema": schema} for name, schema in _HEADERS.items()
        ]
    if route.body is not None:
        content = {"application/json": {"schema": route.body}}
        told["requestBody"] = {"required": True, "content": content}
    return told


def _responses(route: Described) -> Iterator[tuple[str, Any]]:
    """Yield what may come of a request: each status that an error of its kind has."""
    good: dict[str, Any] = {"application/json": {"schema": {"type": "object"}}}
    if route.path == "/metrics":
        good = {"text/plain": {"schema": _TEXT}}
    elif route.is_billable:
        good["text/event-stream"] = {"schema": _TEXT}
    yield "200", {"description": "What was asked for.", "content": good}
    shape = {"application/json": {"schema": {"$ref": f"#/components/schemas/{_shape(route)}"}}}
    kinds: dict[int, type[GatewayError]] = {}
    for kind in _kinds(GatewayError):
        if route.is_billable or not issubclass(kind, UpstreamError):
            kinds.setdefault(kind.status, kind)
    for status, kind in sorted(kinds.items()):
        text = (kind.__doc__ or "").splitlines()[0]
        yield str(status), {"description": text, "content": shape}
    if route.is_billable:
        yield "4XX", {"description": "The upstream's own, relayed.", "content": shape}


def _shape(route: Described) -> str:
    return {"": "AnyError", "anthropic": "AnthropicError", "gemini": "GoogleError"}.get(
        route.dialect, "OpenAIError"
    )


def _kinds(base: type[GatewayError]) -> Iterator[type[GatewayError]]:
    """Yield an error and all that derive from it."""
    yield base
    for child in base.__subclasses__():
        yield from _kinds(child)


def _errors() -> Iterator[tuple[str, Schema]]:
    """Yield the shape of an error in each dialect."""
    message = {"message": _TEXT}
    error = _object({"type": _TEXT, **message}, "type", "message")
    yield "OpenAIError", _object({"error": _object(message, "message")}, "error")
    yield "AnthropicError", _object({"type": {"const": "error"}, "error": error}, "type", "error")
    code = {"code": {"type": "integer"}, **message, "status": _TEXT}
    yield "GoogleError", _object({"error": _object(code, "code", "message")}, "error")
    names = ("OpenAIError", "AnthropicError", "GoogleError")
    yield "AnyError", {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]}


def _object(properties: Mapping[str, Schema], *required: str) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required)}


def _many(items: Schema, most: int | None = None) -> Schema:
    return {"type": "array", "items": items, "minItems": 1, **({"maxItems": most} if most else {})}


def _either(*schemas: Schema) -> Schema:
    return {"anyOf": list(schemas)}


_PARTS = _either(_TEXT, _many(_object({"type": {"const": "text"}, "text": _TEXT}, "type", "text")))
_TURN = _object({"role": {"enum": ["user", "assistant"]}, "content": _PARTS}, "role", "content")
_TOOLS: Schema = {"type": "array", "items": {"type": "object"}, "maxItems": TOOLS_MAX}
_GOOGLE_TURN = _object(
    {"role": {"enum": ["user", "model"]}, "parts": _many(_object({"text": _TEXT}, "text"))}, "parts"
)
_SHARED: Mapping[str, Schema] = {"model": _MODEL, "stream": _FLAG, "tools": _TOOLS}
_BODIES: Mapping[str, Schema] = {
    "openai-chat": _object(
        {**_SHARED, "messages": _many(_TURN, MESSAGES_MAX), "max_tokens": _TOKENS},
        "model",
        "messages",
    ),
    "openai-responses": _object(
        {**_SHARED, "input": _either(_TEXT, _many(_TURN, MESSAGES_MAX))}, "model", "input"
    ),
    "anthropic": _object(
        {**_SHARED, "messages": _many(_TURN, MESSAGES_MAX), "max_tokens": _TOKENS},
        "model",
        "max_tokens",
        "messages",
    ),
    "gemini": _object({"contents": _many(_GOOGLE_TURN, MESSAGES_MAX)}, "contents"),
    "openai-embeddings": _object(
        {"model": _MODEL, "input": _either(_TEXT, _many(_TEXT))}, "model", "input"
    ),
}
_SECURITY: list[dict[str, list[str]]] = [
    {"bearer": []},
    {"x-api-key": []},
    {"x-goog-api-key": []},
    {"api-key": []},
]
_HEADERS: Mapping[str, Schema] = {
    "Idempotency-Key": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "x-pointsman-tier": _TEXT,
    "x-pointsman-cache": {"enum": ["on", "off", "refresh"]},
    "cache-control": _TEXT,
    "x-pointsman-tags": _TEXT,
    "x-pointsman-session": _TEXT,
}
