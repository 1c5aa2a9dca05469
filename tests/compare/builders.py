"""What the comparison's tests share: three tiers with round prices, and records."""

import json
from pathlib import Path
from typing import Any

from pointsman.compare import LoggedRequest
from pointsman.core.features import extract
from pointsman.core.prices import Price
from pointsman.core.types import Caller, Capability, Deployment, Request, Snapshot, Tier
from pointsman.core.usage import Usage
from pointsman.core.wire import CODECS

LOGS = Path(__file__).parent / "logs"
USD = 1_000_000_000


def price(input_usd: int, output_usd: int, *, cached_usd: int | None = None) -> Price:
    """Return a price of whole USD per million tokens."""
    return Price(
        input_nanousd_per_mtok=input_usd * USD,
        cached_input_nanousd_per_mtok=(input_usd if cached_usd is None else cached_usd) * USD,
        cache_write_nanousd_per_mtok=input_usd * USD,
        output_nanousd_per_mtok=output_usd * USD,
        version="test",
    )


def deployment(model: str, price: Price | None, **changes: Any) -> Deployment:
    """Return a deployment of one provider."""
    fields: dict[str, Any] = {"capability": Capability(images=False), **changes}
    return Deployment(
        provider="acme", model=model, dialect="openai-chat", base_url="x", price=price, **fields
    )


# Small: 1 and 2 USD per million tokens; middle: 2 and 8; big: 10 and 30, 1 for cached input.
SMALL, MIDDLE = deployment("small", price(1, 2)), deployment("middle", price(2, 8))
BIG = deployment("big", price(10, 30, cached_usd=1))
TIERS = Snapshot(
    tiers=(
        Tier(name="fast", deployments=(SMALL,)),
        Tier(name="mid", deployments=(MIDDLE,)),
        Tier(name="power", deployments=(BIG,)),
    ),
    default_tier="mid",
)


def request(
    text: str, *, model: str = "auto", caller: Caller | None = None, **more: Any
) -> Request:
    """Return a chat request with one user turn."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
    return CODECS["openai-chat"].decode_request(json.dumps(body).encode(), caller or Caller())


def logged(
    text: str,
    *,
    usage: Usage | None = None,
    model: str = "acme/big",
    latency_ms: int | None = None,
    at_s: float | None = None,
    caller: Caller | None = None,
    is_keepable: bool = True,
    asked: str = "auto",
) -> LoggedRequest:
    """Return the record of a request that was measured, unless `usage` says otherwise."""
    return LoggedRequest.of(
        request(text, model=asked, caller=caller),
        usage or Usage(input_tokens=100, output_tokens=10),
        model,
        latency_ms,
        at_s=at_s,
        is_keepable=is_keepable,
    )


def image_request() -> LoggedRequest:
    """Return a record that no deployment of TIERS can serve."""
    body = {
        "model": "auto",
        "messages": [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}
        ],
    }
    asked = CODECS["openai-chat"].decode_request(json.dumps(body).encode(), Caller())
    return LoggedRequest(features=extract(asked), request=asked)
