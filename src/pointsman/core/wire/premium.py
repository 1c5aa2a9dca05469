"""Premium: fields that ask for the same answer sooner, at more than a model's stated price.

A budget holds what a request may cost at that price, so under one they do not go out.

Source: developers.openai.com/api/docs/guides/priority-processing (`service_tier`) and
platform.claude.com/docs/en/build-with-claude/fast-mode (`speed`: 2 to 6 times the price), read
2026-11-23. `serviceTier` is Gemini's.
"""

import msgspec

from pointsman.core.types import Request
from pointsman.core.wire.splice import splice

_STANDARD_TIERS = ("auto", "default", "standard", "standard_only", "flex", "batch", "on_demand")
_STANDARD_SPEEDS = ("standard",)


class _Asked(msgspec.Struct):
    service_tier: object = None
    serviceTier: object = None  # noqa: N815
    speed: object = None


_asked = msgspec.json.Decoder(_Asked)


def at_stated_price(request: Request) -> Request:
    """Return the request without what would make it dearer; `dropped` names that."""
    asked = _asked.decode(request.body)
    tiers = {"service_tier": asked.service_tier, "serviceTier": asked.serviceTier}
    dear = [name for name, value in tiers.items() if _is_other(value, _STANDARD_TIERS)]
    if _is_other(asked.speed, _STANDARD_SPEEDS):
        dear.append("speed")
    if not dear:
        return request
    body = splice(request.body, dict.fromkeys(dear))
    return msgspec.structs.replace(request, body=body, dropped=(*request.dropped, *dear))


def _is_other(value: object, known: tuple[str, ...]) -> bool:
    return value is not None and str(value).lower() not in known
