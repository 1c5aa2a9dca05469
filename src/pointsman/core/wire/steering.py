"""Steering: fields of a body that have its upstream call another model, address or key.

Some upstreams are routers themselves, and take from whoever asks what this one has decided, and
what a key's bounds and a budget's hold rest on. So these fields go to nobody, unless a deployment's
own `params` set them.

Source, read 2026-11-23: `models`, `route`, `preset` and `fallbacks` (Anthropic's own too) in
openrouter.ai/docs/guides/routing and /docs/features/presets; `providerOptions` in
vercel.com/docs/ai-gateway/models-and-providers/model-fallbacks; the others, and `fallbacks`, in
docs.litellm.ai/docs/proxy/clientside_auth and /client_side_fallbacks; `advisor` in
docs.nano-gpt.com/api-reference/miscellaneous/advisor. Tools that name a model: Anthropic's
`advisor_20260301` (platform.claude.com/docs/en/agents-and-tools/tool-use/advisor-tool),
OpenRouter's (/docs/guides/features/server-tools/advisor), OpenAI's `image_generation`.
"""

from collections.abc import Iterator

import msgspec

from pointsman.core.wire.splice import splice

_ABSENT = msgspec.Raw()


class Steered(msgspec.Struct):
    """These fields of a body; a decoder passes over all else, sooner than one looks for a name."""

    models: msgspec.Raw = _ABSENT
    route: msgspec.Raw = _ABSENT
    preset: msgspec.Raw = _ABSENT
    fallbacks: msgspec.Raw = _ABSENT
    advisor: msgspec.Raw = _ABSENT
    providerOptions: msgspec.Raw = _ABSENT  # noqa: N815
    user_config: msgspec.Raw = _ABSENT
    model_list: msgspec.Raw = _ABSENT
    custom_llm_provider: msgspec.Raw = _ABSENT
    api_base: msgspec.Raw = _ABSENT
    base_url: msgspec.Raw = _ABSENT
    api_key: msgspec.Raw = _ABSENT
    extra_headers: msgspec.Raw = _ABSENT


FIELDS = Steered.__struct_fields__
_found = msgspec.json.Decoder(Steered)
_NONE = Steered()
# Tools of the client's own: what their schemas name is no upstream's to call.
_OWN_TOOLS = ("function", "custom", "", None)


class _Tooled(msgspec.Struct):
    tools: object = None
    plugins: object = None
    input: object = None


_tooled = msgspec.json.Decoder(_Tooled)


def without_steering(body: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return a JSON object without these fields, and the names of those that it had."""
    found = _found.decode(body)
    if found == _NONE:
        return body, ()
    had = tuple(name for name in FIELDS if getattr(found, name) is not _ABSENT)
    return (splice(body, dict.fromkeys(had)), had) if had else (body, ())


def names_model(body: bytes) -> bool:
    """Return whether a tool or plugin that the upstream runs has a model named for it."""
    asked = _tooled.decode(body)
    items = (item.get("tools") for item in _objects(asked.input))
    plugins = any(map(_has_model, _objects(asked.plugins)))
    return plugins or any(map(_tools_name_model, (asked.tools, *items)))


def _tools_name_model(tools: object) -> bool:
    for tool in _objects(tools):
        inner = tool.pop("tools", None)
        if _tools_name_model(inner) or (tool.get("type") not in _OWN_TOOLS and _has_model(tool)):
            return True
    return False


def _has_model(value: object) -> bool:
    """Return whether any name in a value, at any depth, speaks of a model."""
    if isinstance(value, list):
        return any(map(_has_model, value))
    if not isinstance(value, dict):
        return False
    return any("model" in str(name).lower() or _has_model(inner) for name, inner in value.items())


def _objects(value: object) -> Iterator[dict[str, object]]:
    yield from (one for one in (value if isinstance(value, list) else ()) if isinstance(one, dict))
