"""Steering: fields of a body that have its upstream call another model, address or key.

Some upstreams are routers themselves, and take from whoever asks what this one has decided, and
what a key's bounds and a budget's hold rest on. So these fields go to nobody, unless a deployment's
own `params` set them.

Source, read 2026-11-23: `models`, `route`, `preset` and `fallbacks` (Anthropic's own too) in
openrouter.ai/docs/guides/routing and /docs/features/presets; `providerOptions` in
vercel.com/docs/ai-gateway/models-and-providers/model-fallbacks; the others, and `fallbacks`, in
docs.litellm.ai/docs/proxy/clientside_auth and /client_side_fallbacks.
"""

import msgspec

from pointsman.core.wire.splice import splice

FIELDS = (
    "models",
    "route",
    "preset",
    "fallbacks",
    "providerOptions",
    "user_config",
    "model_list",
    "custom_llm_provider",
    "api_base",
    "base_url",
    "api_key",
    "extra_headers",
)

# Passes over all else, which takes a fraction of the time of looking for each name.
_Found = msgspec.defstruct("_Found", [(name, msgspec.Raw, None) for name in FIELDS])
_found = msgspec.json.Decoder(_Found)


def without_steering(body: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return a JSON object without these fields, and the names of those that it had."""
    found = _found.decode(body)
    had = tuple(name for name in FIELDS if getattr(found, name) is not None)
    return (splice(body, dict.fromkeys(had)), had) if had else (body, ())
