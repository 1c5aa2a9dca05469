"""No prompt, name or failure leads a key past its tiers, or past its calls of one.

The prompts are those of `soak.trust.attacks`, built to force the strongest tier, or the weakest.
"""

import asyncio
from collections import Counter
from typing import Any

import msgspec
import pytest
from soak.trust.rerouting import (
    DOWN,
    HELD_OUT,
    POINTS_MAX,
    UP,
    attacks,
    clean,
    forms,
    judged_rates,
    rates,
)
from tests.pipeline.rig import THREE_TIERS, TWO_TIERS, Rig, Script, asking, outcome, rig

from pointsman.cache import CacheSettings
from pointsman.core.errors import BudgetExceeded, QuotaExceeded, UpstreamUnavailable
from pointsman.core.grants import Grant
from pointsman.core.types import Request
from pointsman.providers.fake import FakeProvider, Scripted

GOOD = "Here is an answer of some words, which will do."
REFUSED = "I'm sorry, but I can't help with that."
BROKEN = Scripted(error=UpstreamUnavailable("broken"))
ALL = {name: [GOOD] for name in ("weak", "weak-2", "mid", "strong", "strong-2")}
DAY_S = 86_400.0
QUOTA = Grant(tier_calls_per_day={"strong": 5})
# One ask of each form: the forms are what differs.
UPWARDS = [attack.text for attack in attacks(UP)[:: len(clean(UP))]]


def granted(text: str, grant: Grant, **more: Any) -> Request:
    """Return a request of the key "web" with a grant."""
    request = asking(text, tenant="web", **more)
    caller = msgspec.structs.replace(request.caller, grant=grant)
    return msgspec.structs.replace(request, caller=caller)


def calls(found: Rig) -> Counter[str]:
    """Return how many calls each tier has had that were begun, by the ledger."""
    return Counter(row.intent.tier for row in found.rows())


def test_the_corpus_is_as_large_as_it_is_said_to_be():
    assert forms(UP) >= 60 and forms(DOWN) >= 30 and forms(HELD_OUT) >= 40
    assert len(attacks(UP)) == forms(UP) * len(clean(UP))
    assert all(
        attack.ask in attack.text and "{" + "ask" not in attack.text for attack in attacks(UP)
    )


@pytest.mark.parametrize("policy", ["signals", "learned"])
async def test_no_prompt_gets_a_key_a_tier_that_it_may_not_use(tmp_path, policy: str):
    broken: Script = {**ALL, "weak": [BROKEN], "weak-2": [REFUSED]}  # fallbacks and escalations too
    async with rig(tmp_path, broken, policy=policy) as found:
        for grant, over in (
            (Grant(tiers=("weak",)), {"mid", "strong"}),
            (Grant(tiers=("weak", "mid")), {"strong"}),
        ):
            for text in UPWARDS:
                await outcome(found.pipeline, granted(text, grant))
            assert not over & set(calls(found))
        pinned = await outcome(found.pipeline, granted("hi", Grant(tiers=("weak",)), tier="strong"))
        named = await outcome(
            found.pipeline, granted("hi", Grant(tiers=("weak",)), model="p/strong")
        )
        assert pinned.error is not None and named.error is not None
        assert "strong" not in calls(found)


async def test_a_quota_is_kept_however_many_ask_at_once(tmp_path):
    async with rig(tmp_path, ALL) as found:
        texts = [f"architect {number}" for number in range(60)]
        asked = (outcome(found.pipeline, granted(text, QUOTA)) for text in texts)
        got = await asyncio.gather(*asked)
        assert calls(found) == {"strong": 5, "weak": 55}
        assert all(each.is_whole for each in got), "the others are answered a tier below"
        assert [each.tier for each in got].count("strong") == 5


async def test_a_quota_is_one_for_all_who_share_the_ledger(tmp_path):
    async with rig(tmp_path, ALL) as one, rig(tmp_path, ALL) as other:
        pipelines = [one.pipeline, other.pipeline] * 10
        asked = (outcome(each, granted("architect", QUOTA)) for each in pipelines)
        await asyncio.gather(*asked)
        assert calls(one)["strong"] == 5


async def test_a_quota_outlives_a_restart_and_ends_with_the_day(tmp_path):
    for _ in range(3):
        async with rig(tmp_path, ALL) as found:
            for _ in range(3):
                await outcome(found.pipeline, granted("architect", QUOTA))
            assert calls(found)["strong"] <= 5
    async with rig(tmp_path, ALL) as found:
        assert calls(found)["strong"] == 5
        found.clock.now_s += DAY_S
        assert (await outcome(found.pipeline, granted("architect", QUOTA))).tier == "strong"


async def test_a_clock_that_jumps_back_makes_no_room(tmp_path):
    async with rig(tmp_path, ALL) as found:
        for jump_s in (0.0, 1_800.0, -1_800.0, 900.0, -900.0) * 4:
            found.clock.now_s += jump_s
            await outcome(found.pipeline, granted("architect", QUOTA))
        assert calls(found)["strong"] == 5


async def test_whose_calls_are_used_up_is_told_where_only_that_tier_would_do(tmp_path):
    async with rig(tmp_path, ALL) as found:
        none = Grant(tier_calls_per_day={"strong": 0})
        got = await outcome(found.pipeline, granted("hi", none, tier="strong"))
        assert isinstance(got.error, QuotaExceeded)
        assert (got.error.http_status, got.error.code) == (429, BudgetExceeded.code)
        assert '0 calls of tier "strong"' in got.error.message
        named = await outcome(found.pipeline, granted("hi", none, model="p/strong"))
        assert isinstance(named.error, QuotaExceeded)
        assert found.fake.calls == []
        assert (await outcome(found.pipeline, granted("hi", none, tier="weak"))).is_whole


async def test_fallbacks_and_escalations_count_and_stop_at_the_quota(tmp_path):
    script = {"weak": [REFUSED], "strong": [GOOD]}
    grant = Grant(tier_calls_per_day={"strong": 2})
    fake = FakeProvider(script)
    async with rig(tmp_path, fake, tiers=TWO_TIERS, policy="cascade") as found:
        got = [await outcome(found.pipeline, granted("hi", grant)) for _ in range(5)]
        assert calls(found) == {"weak": 5, "strong": 2}
        assert [each.text for each in got] == [GOOD] * 2 + [REFUSED] * 3, "the draft there is"
    fake = FakeProvider({**ALL, "weak": [BROKEN], "weak-2": [BROKEN], "mid": [BROKEN]})
    async with rig(tmp_path, fake, tiers=THREE_TIERS) as found:
        got = [await outcome(found.pipeline, granted("hi", grant)) for _ in range(3)]
        assert calls(found)["strong"] == 2
        assert all(each.error is not None for each in got)


async def test_hits_use_up_no_quota_whenever_it_is_set(tmp_path):
    unbound = granted("architect", Grant(), cache="on")
    bound = granted("architect", Grant(tier_calls_per_day={"strong": 3}), cache="on")
    async with rig(tmp_path, ALL, cache=CacheSettings(exact=True)) as found:
        for asked in (*[unbound] * 5, *[bound] * 5):
            assert (await outcome(found.pipeline, asked)).tier == "strong"
        for number in range(4):
            other = granted(f"architect {number}", bound.caller.grant)
            got = await outcome(found.pipeline, other)
            assert got.tier == ("strong" if number < 2 else "weak"), (
                "one was a call, nine were hits"
            )


async def test_keys_have_quotas_of_their_own(tmp_path):
    async with rig(tmp_path, ALL) as found:
        for name in ("a", "b", "c"):
            for _ in range(7):
                request = granted("architect", QUOTA)
                caller = msgspec.structs.replace(request.caller, tenant=name)
                await outcome(found.pipeline, msgspec.structs.replace(request, caller=caller))
        assert calls(found) == {"strong": 15, "weak": 6}


def test_learned_is_not_led_up_by_the_corpus():
    """How much the forms do that it was not made with, `soak.g11_trust` tells."""
    without, attacked, _ = rates("learned", UP)
    assert attacked.percent <= without.percent + POINTS_MAX


@pytest.mark.parametrize("way", [UP, HELD_OUT])
def test_neither_lookalikes_nor_what_is_hidden_nor_padding_lead_up(way: str):
    _, _, kinds = rates("learned", way)
    assert {kinds[kind].forced for kind in ("lookalike", "hidden", "padding")} == {0}


@pytest.mark.parametrize("way", [UP, HELD_OUT])
def test_the_model_itself_is_not_led_up(way: str):
    without, attacked, _ = judged_rates(way)
    assert attacked.percent <= without.percent + POINTS_MAX
    by_length, _, _ = rates("signals", way, rules=False)
    assert by_length.forced == 0
