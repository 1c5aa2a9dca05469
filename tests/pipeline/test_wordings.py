"""Other wordings of the last user turn: what answer they find, and what is kept for them."""

import asyncio
from typing import Any

import msgspec
import pytest
from tests.pipeline.rig import ONE_TIER, TWO_TIERS, WEAK_NANOUSD, StoppingProvider, outcome, rig
from tests.pipeline.test_cache import CALL, FINE, LONG, cached

from pointsman.cache import CacheSettings
from pointsman.cache.entry import entry_key
from pointsman.core.cache_terms import CacheTerms
from pointsman.core.types import Request
from pointsman.providers.fake import Scripted

ASKED = "Where does the river Rhine end?"
REWORDED = "please, where does the river  Rhine end"
OTHER = "Where does the river Rhône end?"
ELSE = "It ends in quite another place."


def on_terms(request: Request, **terms: Any) -> Request:
    caller = msgspec.structs.replace(request.caller, terms=CacheTerms(**terms))
    return msgspec.structs.replace(request, caller=caller)


@pytest.mark.parametrize("is_stream", [True, False], ids=["stream", "json"])
async def test_another_wording_finds_the_answer_and_is_booked_as_such(tmp_path, is_stream: bool):
    async with rig(tmp_path, {"weak": [FINE, ELSE]}, tiers=ONE_TIER) as r:
        miss = await r.ask(cached(ASKED, stream=is_stream))
        exact = await r.ask(cached(ASKED, stream=is_stream))
        hit = await r.ask(cached(REWORDED, stream=is_stream, request_id="two"))
        assert (miss.cache, miss.cache_tier, miss.cache_id) == ("miss", "", "")
        assert (exact.cache, exact.cache_tier) == ("hit", "exact")
        assert (hit.cache, hit.cache_tier, hit.content) == ("hit", "normalised", FINE)
        assert hit.cache_id == exact.cache_id != ""
        assert (hit.cost_nanousd, hit.attempts, hit.usage) == (0, 0, miss.usage)
        (row,) = r.rows("two")
        assert (row.settlement.outcome, row.settlement.cache) == ("hit", "normalised")
        other = await r.ask(cached(OTHER, stream=is_stream))
        assert (other.cache, other.content) == ("miss", ELSE)


async def test_with_it_switched_off_only_the_very_request_finds_its_answer(tmp_path):
    strict = CacheSettings(normalised=False)
    async with rig(tmp_path, {"weak": [FINE]}, tiers=ONE_TIER, cache=strict) as r:
        await r.ask(cached(ASKED))
        assert (await r.ask(cached(REWORDED))).cache == "miss"
        assert (await r.ask(cached(ASKED))).cache == "hit"


@pytest.mark.parametrize(
    "more",
    [
        {"system": "Be brief."},
        {"max_tokens": 9},
        {"fields": {"seed": 7}},
        {"tier": "strong"},
        {"tenant": "other"},
    ],
    ids=lambda more: next(iter(more)),
)
async def test_nothing_else_may_differ(tmp_path, more: dict[str, Any]):
    async with rig(tmp_path, {"weak": [FINE], "strong": [FINE]}, tiers=TWO_TIERS) as r:
        await r.ask(cached(ASKED))
        assert (await r.ask(cached(REWORDED, **more))).cache == "miss"
        assert (await r.ask(cached(REWORDED))).cache_tier == "normalised"


async def test_two_wordings_at_once_are_one_call(tmp_path):
    fake = StoppingProvider({"weak": [LONG]}, stops_at=3)
    async with rig(tmp_path, fake, tiers=ONE_TIER) as r:
        texts = (ASKED, REWORDED, ASKED)
        asks = [asyncio.create_task(r.ask(cached(text))) for text in texts]
        await fake.reached.wait()
        fake.go_on.set()
        answers = await asyncio.gather(*asks)
        assert len(fake.calls) == 1
        assert [(one.cache, one.cache_tier) for one in answers] == [
            ("miss", ""),
            ("hit", "normalised"),
            ("hit", "exact"),
        ]
        assert sum(one.cost_nanousd or 0 for one in answers) == WEAK_NANOUSD


async def test_who_wants_a_new_answer_shares_none_of_another_wording(tmp_path):
    fake = StoppingProvider({"weak": [LONG]}, stops_at=3)
    async with rig(tmp_path, fake, tiers=ONE_TIER) as r:
        asks = [
            cached(ASKED),
            cached(REWORDED, cache="refresh"),
            on_terms(cached(REWORDED), may_look=False),
        ]
        tasks = [asyncio.create_task(outcome(r.pipeline, ask)) for ask in asks]
        await fake.reached.wait()
        fake.go_on.set()
        assert [one.cache for one in await asyncio.gather(*tasks)] == ["miss", "miss", "hit"]
        assert len(fake.calls) == 2


async def test_a_refreshed_wording_is_the_one_that_others_find(tmp_path):
    async with rig(tmp_path, {"weak": [FINE, ELSE]}, tiers=ONE_TIER) as r:
        await r.ask(cached(ASKED))
        assert (await r.ask(cached(REWORDED, cache="refresh"))).content == ELSE
        assert (await r.ask(cached(f"{REWORDED} ?"))).content == ELSE
        assert (await r.ask(cached(ASKED))).content == FINE


async def test_an_answer_that_is_purged_is_gone_for_every_wording(tmp_path):
    async with rig(tmp_path, {"weak": [FINE, ELSE]}, tiers=ONE_TIER) as r:
        await r.ask(cached(ASKED))
        key = entry_key((await r.ask(cached(REWORDED))).cache_id)
        assert r.pipeline.kept is not None and key is not None
        assert await r.pipeline.kept.purge(key)
        assert (await r.ask(cached(REWORDED))).content == ELSE
        assert (await r.ask(cached(ASKED))).content == ELSE


async def test_an_answer_of_another_wording_may_be_too_old(tmp_path):
    async with rig(tmp_path, {"weak": [FINE, ELSE]}, tiers=ONE_TIER) as r:
        await r.ask(cached(ASKED))
        r.clock.now_s += 10
        assert (await r.ask(on_terms(cached(REWORDED), age_max_s=10.0))).cache == "hit"
        assert (await r.ask(on_terms(cached(REWORDED), age_max_s=9.0))).cache == "miss"


# (what is asked, more of it, the answer) by the name that has it kept all the same.
NOT_AS_GOOD: dict[str, tuple[str, dict[str, Any], Scripted]] = {
    "varied": (ASKED, {"fields": {"temperature": 0.7}}, Scripted(pieces=(FINE,))),
    "choices": (ASKED, {"fields": {"n": 2}}, Scripted(pieces=(FINE,))),
    "dated": ("What is the latest Python?", {}, Scripted(pieces=(FINE,))),
    "secrets": ("Who has the password: hunter22?", {}, Scripted(pieces=(FINE,))),
    "tool_calls": (ASKED, {}, Scripted(events=CALL)),
}


@pytest.mark.parametrize("name", NOT_AS_GOOD)
async def test_what_is_not_as_good_the_next_time_is_not_kept(tmp_path, name: str):
    text, more, script = NOT_AS_GOOD[name]
    async with rig(tmp_path, {"weak": [script]}, tiers=ONE_TIER) as r:
        await outcome(r.pipeline, cached(text, **more))
        assert (await outcome(r.pipeline, cached(text, **more))).cache == "miss"


@pytest.mark.parametrize("name", NOT_AS_GOOD)
async def test_it_is_kept_where_the_configuration_names_it(tmp_path, name: str):
    text, more, script = NOT_AS_GOOD[name]
    named = CacheSettings(also_keep=(name,))
    async with rig(tmp_path, {"weak": [script]}, tiers=ONE_TIER, cache=named) as r:
        await outcome(r.pipeline, cached(text, **more))
        assert (await outcome(r.pipeline, cached(text, **more))).cache == "hit"


@pytest.mark.parametrize("temperature", [0, 0.3, None])
async def test_a_low_temperature_or_none_is_kept(tmp_path, temperature: float | None):
    async with rig(tmp_path, {"weak": [FINE]}, tiers=ONE_TIER) as r:
        asks = cached(ASKED, fields={"temperature": temperature})
        await r.ask(asks)
        assert (await r.ask(asks)).cache == "hit"


async def test_an_answer_with_a_secret_or_a_refusal_is_not_kept(tmp_path):
    script: list[Scripted | str] = [
        "The password is hunter22!",
        "I'm sorry, but I can't help with that.",
    ]
    async with rig(tmp_path, {"weak": script, "weak-2": script}, tiers=ONE_TIER) as r:
        for text in ("Who has it?", "Please do a harmful thing."):
            await r.ask(cached(text, model="p/weak"))
            assert (await r.ask(cached(text, model="p/weak"))).cache == "miss"


# The canonical tier: for those alone whom the configuration names.
ASKS_THE_SAME = "Tell me where the river Rhine ends"
BY_MODEL = CacheSettings(canonical_models=("auto",))


async def test_who_is_named_has_the_answer_to_what_surely_asks_the_same(tmp_path):
    named = CacheSettings(canonical_keys=("support",))
    async with rig(tmp_path, {"weak": [FINE, ELSE]}, tiers=ONE_TIER, cache=named) as r:
        for tenant in ("support", "other"):
            await r.ask(cached(ASKED, tenant=tenant))
        hit = await r.ask(cached(ASKS_THE_SAME, tenant="support", request_id="two"))
        exact = await r.ask(cached(ASKED, tenant="support"))
        assert (hit.cache, hit.cache_tier, hit.content) == ("hit", "canonical", FINE)
        assert hit.cache_id == exact.cache_id != ""
        assert f"(canonical), entry {hit.cache_id}" in hit.reason
        (row,) = r.rows("two")
        assert (row.settlement.outcome, row.settlement.cache) == ("hit", "canonical")
        assert (await r.ask(cached(ASKS_THE_SAME, tenant="other"))).cache == "miss"


async def test_a_route_is_named_by_the_model_that_is_asked_for(tmp_path):
    async with rig(tmp_path, {"weak": [FINE]}, tiers=ONE_TIER, cache=BY_MODEL) as r:
        for model in ("auto", "weak"):
            await r.ask(cached(ASKED, model=model))
        assert (await r.ask(cached(ASKS_THE_SAME))).cache_tier == "canonical"
        assert (await r.ask(cached(ASKS_THE_SAME, model="weak"))).cache == "miss"


@pytest.mark.parametrize(
    "more", [{"system": "Be brief."}, {"max_tokens": 9}, {"tenant": "other"}], ids=str
)
async def test_nothing_but_the_wording_may_differ_there_either(tmp_path, more: dict[str, Any]):
    async with rig(tmp_path, {"weak": [FINE]}, tiers=ONE_TIER, cache=BY_MODEL) as r:
        await r.ask(cached(ASKED))
        assert (await r.ask(cached(ASKS_THE_SAME, **more))).cache == "miss"


async def test_what_was_purged_is_found_by_no_wording(tmp_path):
    async with rig(tmp_path, {"weak": [FINE, ELSE]}, tiers=ONE_TIER, cache=BY_MODEL) as r:
        await r.ask(cached(ASKED))
        hit = await r.ask(cached(ASKS_THE_SAME))
        key = entry_key(hit.cache_id)
        kept = r.pipeline.kept
        assert kept is not None and kept.prompts is not None and key is not None
        assert kept.prompts.count == 1
        assert await kept.purge(key)
        assert kept.prompts.count == 0
        assert (await r.ask(cached(ASKS_THE_SAME))).content == ELSE


async def test_what_has_expired_is_found_by_no_wording(tmp_path):
    short = CacheSettings(canonical_models=("auto",), ttl_s=60)
    async with rig(tmp_path, {"weak": [FINE, ELSE]}, tiers=ONE_TIER, cache=short) as r:
        await r.ask(cached(ASKED))
        r.clock.now_s += 61
        assert (await r.ask(cached(ASKS_THE_SAME))).content == ELSE
