"""What is dearer than the price that a budget holds."""

import msgspec
import pytest

from pointsman.core.types import Request
from pointsman.core.wire.premium import at_stated_price


def asked(**fields: object) -> Request:
    body = msgspec.json.encode({"model": "m", "messages": [], **fields})
    return Request(dialect="openai-chat", body=body, model="m", dropped=("seed",))


@pytest.mark.parametrize(
    "dear",
    [
        {"service_tier": "priority"},
        {"service_tier": "fast"},
        {"serviceTier": "PRIORITY"},
        {"speed": "fast"},
        {"speed": ["fast"], "service_tier": 1},
    ],
)
def test_what_would_be_dearer_is_left_out_and_named(dear: dict[str, object]):
    left = at_stated_price(asked(**dear, top_p=0.5))
    assert left.body == asked(top_p=0.5).body
    assert sorted(left.dropped) == sorted(("seed", *dear))


@pytest.mark.parametrize(
    "cheap", [{}, {"service_tier": "flex"}, {"service_tier": None, "speed": "standard"}]
)
def test_all_else_stays(cheap: dict[str, object]):
    assert at_stated_price(asked(**cheap)) == asked(**cheap)
