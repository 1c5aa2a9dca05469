"""Premium: the same answer sooner, at more than a model's stated price.

A budget holds what a request may cost at that price, so under one nobody asks for more. Without one
the fields go out; what they came to is then not known, unless the configuration says so.

Source: developers.openai.com/api/docs/guides/priority-processing and the types of openai-python
3.54 (`service_tier`, in the answer too: "priority" for "fast" as well);
platform.claude.com/docs/en/build-with-claude/fast-mode (`speed`: 2 to 6 times the price),
/docs/en/api/service-tiers and anthropic-python 2.12 (`usage.service_tier`, `usage.speed`);
ai.google.dev/gemini-api/docs/priority-inference (`serviceTier`), whose answers say it in
`usageMetadata` (replies that others have published). Read 2026-11-23.
"""

from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from pointsman.core.prices import Price
from pointsman.core.types import Deployment, Request
from pointsman.core.usage import NOT_SAID, Service
from pointsman.core.wire.splice import splice

# What costs less, "flex" and "batch", counts with these: at the stated price, which is a bound.
_STANDARD_TIERS = frozenset(
    {"default", "standard", "standard_only", "flex", "batch", "on_demand", "unspecified"}
)
_ANY_TIER = "auto"  # in an answer it says nothing
_PREMIUM_TIERS = frozenset({"priority", "fast", "scale", "performance"})
_STANDARD_SPEED, _FAST = "standard", "fast"
_LONG_FORM = "service_tier_"  # of Gemini's enumeration

_TIER, _SPEED = "service_tier", "speed"
FIELDS = {_TIER: _TIER, "serviceTier": _TIER, _SPEED: _SPEED}


class _Asked(msgspec.Struct):
    service_tier: object = None
    serviceTier: object = None  # noqa: N815
    speed: object = None


_asked = msgspec.json.Decoder(_Asked)
_NOTHING = _Asked()


@dataclass(frozen=True, slots=True)
class Premium:
    """Which of the two ways to pay more a call asks for: the client, or the deployment itself."""

    by_client: frozenset[str] = frozenset()
    by_deployment: frozenset[str] = frozenset()

    @staticmethod
    def of(request: Request, deployment: Deployment) -> "Premium":
        """Return what a request asks for at a deployment, whose `params` replace the client's."""
        asked = {FIELDS[name] for name in _dear_fields(request)}
        if not deployment.params:
            return Premium(frozenset(asked)) if asked else _USUAL
        params = {name: value for name, value in deployment.params.items() if name in FIELDS}
        own = {FIELDS[name] for name in params}
        dear = {FIELDS[name] for name, value in params.items() if _is_dear(name, value)}
        return Premium(frozenset(asked - own), frozenset(dear))

    def is_covered(self, price: Price, service: Service, dropped: Collection[str]) -> bool:
        """Return whether a price is what an answer was charged at.

        It is not where the answer says that it cost more, or does not say though more was asked
        for, in a field that is not among those `dropped` on the way. But a price that the
        configuration states is that of the account and of the deployment's own `params`.
        """
        if self is _USUAL and not service.is_premium and not service.is_fast:
            return True
        client = self.by_client - {FIELDS[name] for name in dropped if name in FIELDS}
        said = {_TIER: service.is_premium, _SPEED: service.is_fast}
        asked = client | self.by_deployment
        dearer = {name for name, told in said.items() if told or (told is None and name in asked)}
        return dearer.isdisjoint(client) if price.is_stated else not dearer


_USUAL = Premium()


def at_stated_price(request: Request) -> Request:
    """Return the request without what would make it dearer; `dropped` names that."""
    dear = _dear_fields(request)
    if not dear:
        return request
    body = splice(request.body, dict.fromkeys(dear))
    return msgspec.structs.replace(request, body=body, dropped=(*request.dropped, *dear))


def service_said(tier: object, speed: object = None) -> Service:
    """Return what an answer's own fields say, of whatever type they are."""
    if tier is None and speed is None:
        return NOT_SAID
    return Service(
        _said(_word(tier), _PREMIUM_TIERS, _STANDARD_TIERS),
        _said(_word(speed), {_FAST}, {_STANDARD_SPEED}),
    )


def _said(word: str, dear: Collection[str], usual: Collection[str]) -> bool | None:
    return True if word in dear else False if word in usual else None


def _dear_fields(request: Request) -> list[str]:
    if request.is_plain:
        return []
    asked = _asked.decode(request.body)
    if asked == _NOTHING:
        return []
    return [name for name in FIELDS if _is_dear(name, getattr(asked, name))]


def _is_dear(name: str, value: object) -> bool:
    """Return whether a field asks for anything but what is known to cost no more."""
    if value is None:
        return False
    word = _word(value)
    if name == _SPEED:
        return word != _STANDARD_SPEED
    return word not in _STANDARD_TIERS and word != _ANY_TIER


def _word(value: object) -> str:
    return str(value).lower().removeprefix(_LONG_FORM)
