"""What is dearer than a model's stated price, and when that price is what was charged."""

import msgspec
import pytest
from tests.core.builders import deployment

from pointsman.core.prices import Price
from pointsman.core.types import Request
from pointsman.core.usage import NOT_SAID, Service
from pointsman.core.wire.premium import Premium, at_stated_price, service_said
from pointsman.pricing import price_from_usd_per_mtok

STATED = price_from_usd_per_mtok(input=1, output=2)
LISTED = msgspec.structs.replace(STATED, version="genai-prices/0.2.3")
USUAL, PREMIUM = service_said("default"), service_said("priority")
FAST = service_said("standard", "fast")


def asked(**fields: object) -> Request:
    body = msgspec.json.encode({"model": "m", "messages": [], **fields})
    return Request(dialect="openai-chat", body=body, model="m", dropped=("seed",))


@pytest.mark.parametrize(
    "dear",
    [
        {"service_tier": "priority"},
        {"service_tier": "fast"},
        {"serviceTier": "PRIORITY"},
        {"serviceTier": "SERVICE_TIER_PRIORITY"},
        {"speed": "fast"},
        {"speed": ["fast"], "service_tier": 1},
    ],
)
def test_what_would_be_dearer_is_left_out_and_named(dear: dict[str, object]):
    left = at_stated_price(asked(**dear, top_p=0.5))
    assert left.body == asked(top_p=0.5).body
    assert sorted(left.dropped) == sorted(("seed", *dear))


@pytest.mark.parametrize(
    "cheap",
    [
        {},
        {"service_tier": "flex"},
        {"serviceTier": "SERVICE_TIER_FLEX"},
        {"serviceTier": "unspecified"},
        {"service_tier": None, "speed": "standard"},
    ],
)
def test_all_else_stays(cheap: dict[str, object]):
    assert at_stated_price(asked(**cheap)) == asked(**cheap)


@pytest.mark.parametrize(
    ("tier", "speed", "said"),
    [
        (None, None, NOT_SAID),
        ("", "", NOT_SAID),
        ("auto", None, NOT_SAID),
        ("a later word", 7, NOT_SAID),
        ("default", None, Service(False)),
        ("flex", None, Service(False)),
        ("batch", "standard", Service(False, False)),
        ("standard", "fast", Service(False, True)),
        ("priority", "standard", Service(True, False)),
        ("PRIORITY", None, Service(True)),
        (["priority"], None, NOT_SAID),
    ],
)
def test_an_answer_says_what_it_was_served_as_or_nothing(
    tier: object, speed: object, said: Service
):
    assert service_said(tier, speed) == said


PRIORITY, AUTO = {"service_tier": "priority"}, {"service_tier": "auto"}


@pytest.mark.parametrize(
    ("fields", "params", "service", "listed", "stated"),
    [
        ({}, {}, NOT_SAID, True, True),
        ({}, {}, USUAL, True, True),
        ({}, {}, PREMIUM, False, True),  # by the account's own setting
        (AUTO, {}, PREMIUM, False, True),
        (AUTO, {}, NOT_SAID, True, True),
        ({"service_tier": "flex"}, {}, NOT_SAID, True, True),
        (PRIORITY, {}, USUAL, True, True),
        (PRIORITY, {}, PREMIUM, False, False),
        (PRIORITY, {}, NOT_SAID, False, False),
        ({"serviceTier": "PRIORITY"}, {}, NOT_SAID, False, False),
        ({"speed": "fast"}, {}, USUAL, False, False),  # it says so of another field
        ({"speed": "fast"}, {}, FAST, False, False),
        ({"speed": "fast"}, {}, service_said("standard", "standard"), True, True),
        ({}, PRIORITY, NOT_SAID, False, True),
        ({}, PRIORITY, PREMIUM, False, True),
        ({}, PRIORITY, USUAL, True, True),
        (PRIORITY, PRIORITY, PREMIUM, False, True),  # the deployment's replaces the client's
        (PRIORITY, {"service_tier": "default"}, NOT_SAID, True, True),
    ],
)
def test_a_price_covers_what_was_asked_for_only_where_somebody_says_so(
    fields: dict[str, object],
    params: dict[str, object],
    service: Service,
    listed: bool,
    stated: bool,
):
    found = Premium.of(asked(**fields), msgspec.structs.replace(deployment("p/m"), params=params))

    def is_covered(price: Price) -> bool:
        return found.is_covered(price, service, ())

    assert (is_covered(LISTED), is_covered(STATED)) == (listed, stated)


def test_what_was_dropped_on_the_way_was_not_asked_for():
    found = Premium.of(asked(service_tier="priority", speed="fast"), deployment("p/m"))
    assert not found.is_covered(LISTED, NOT_SAID, ("speed",))
    assert found.is_covered(LISTED, NOT_SAID, ("speed", "serviceTier", "seed"))
