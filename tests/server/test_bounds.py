"""Bounds: the tiers that a key may use stand above every name, header, policy and escalation."""

import pytest
from tests.server.doors import TOML, opened

from pointsman.config import parse_settings
from pointsman.core.errors import ConfigError

KEYS = "cheap:0123456789abcdef,dear:fedcba9876543210,free:00112233445566778899"
BOUNDS = '[routing.bounds.cheap]\ntier_max = "fast"\n[routing.bounds.dear]\ntier_min = "power"\n'
CHEAP = {"authorization": "Bearer 0123456789abcdef"}
DEAR = {"authorization": "Bearer fedcba9876543210"}
FREE = {"authorization": "Bearer 00112233445566778899"}
HARD, EASY = "Architect a migration plan", "Convert this list to JSON: a, b"


@pytest.mark.parametrize(
    ("headers", "text", "tier"),
    [
        (CHEAP, HARD, "fast"),
        (CHEAP, EASY, "fast"),
        (DEAR, HARD, "power"),
        (DEAR, EASY, "power"),
        (FREE, HARD, "power"),
        (FREE, EASY, "fast"),
    ],
    ids=["cheap hard", "cheap easy", "dear hard", "dear easy", "free hard", "free easy"],
)
async def test_the_policy_chooses_within_the_keys_bounds(headers, text, tier):
    async with opened(keys=KEYS, toml=TOML + BOUNDS) as client:
        reply = await client.chat(text, headers=headers)
    assert (reply.status, reply.headers["x-pointsman-tier"]) == (200, tier)


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("power", {}),
        ("fake/large", {}),
        ("auto:power", {}),
        ("auto", {"x-pointsman-tier": "power"}),
    ],
    ids=["tier", "model", "least tier", "header"],
)
async def test_what_is_out_of_bounds_is_unknown(model, more):
    async with opened(keys=KEYS, toml=TOML + BOUNDS) as client:
        reply = await client.chat(EASY, model=model, headers={**CHEAP, **more})
        assert client.upstream.calls == []
    assert reply.status in (400, 404)
    assert "fast" in reply.json()["error"]["message"]


async def test_a_rejected_answer_does_not_escalate_out_of_bounds():
    script = {"small": ["I'm sorry, but I can't help with that."], "large": ["large says this"]}
    async with opened(script, keys=KEYS, toml=TOML + BOUNDS) as client:
        bounded = await client.chat(EASY, headers=CHEAP)
        free = await client.chat(EASY, headers=FREE)
    assert bounded.headers["x-pointsman-tier"] == "fast"
    assert free.headers["x-pointsman-tier"] == "power"


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ('[routing.bounds.a]\ntier_max = "fats"\n', 'Did you mean "fast"?'),
        ('[routing.bounds.a]\ntier_min = "power"\ntier_max = "fast"\n', "no tier is left"),
        ('[routing.bounds.a]\nlimit = "fast"\n', "limit"),
    ],
    ids=["no such tier", "swapped", "no such key"],
)
def test_bounds_that_cannot_be_are_refused(bounds, told):
    with pytest.raises(ConfigError) as refusal:
        parse_settings(TOML + bounds, "test.toml", {})
    assert told in refusal.value.message
