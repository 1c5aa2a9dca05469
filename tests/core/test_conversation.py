"""A turn's border: when a conversation may move, and what it remembers of the sum."""

import msgspec
import pytest
from tests.core.builders import features

from pointsman.core.conversation import Conversation, Standing, advance, weigh
from pointsman.core.prices import Price
from pointsman.core.prompt_cache import PromptCaches
from pointsman.core.types import Deployment, Need, Place, Snapshot, Tier
from pointsman.core.usage import Usage

MTOK = 1_000_000


def price(input_usd: float, cached: float, output: float, write: float | None = None) -> Price:
    """Return a price from USD per million tokens."""
    return Price(
        input_nanousd_per_mtok=int(input_usd * 1e9),
        cached_input_nanousd_per_mtok=int(cached * 1e9),
        cache_write_nanousd_per_mtok=int((write or input_usd) * 1e9),
        output_nanousd_per_mtok=int(output * 1e9),
        version="test",
    )


def tier(name: str, *models: str, rates: Price | None) -> Tier:
    return Tier(
        name=name,
        deployments=tuple(
            Deployment(
                provider="p",
                model=model,
                dialect="openai-chat",
                base_url="http://upstream.test",
                price=rates,
                prompt_cache_s=300.0,
            )
            for model in models
        ),
    )


DEAR = price(5, 0.5, 25, write=6.25)
CHEAP = price(1, 0.1, 5, write=1.25)
TINY = price(0.05, 0.005, 0.4)
FAST, MID, POWER = Place("fast", "p/tiny"), Place("mid", "p/cheap"), Place("power", "p/dear")
SNAPSHOT = Snapshot(
    tiers=(
        tier("fast", "tiny", rates=TINY),
        tier("mid", "cheap", rates=CHEAP),
        tier("power", "dear", "dear-2", rates=DEAR),
    ),
    default_tier="mid",
)


STAYS = {"fast": 0, "mid": 0, "power": 0}


def standing(context: int, *, here: Place = POWER, saved: int = 0, idle_s: float = 10) -> Standing:
    conversation = Conversation(
        here=here, base=POWER, stay_nanousd=STAYS | {"power": saved}, context_tokens=context
    )
    return Standing(conversation=conversation, idle_s=idle_s, new_tokens=100)


def went(wanted: Place, at: Standing, *, tools: bool = False, max_tokens: int = 1000) -> Place:
    asked = features(needs=[Need.TOOLS] if tools else [], max_tokens=max_tokens)
    move = weigh(wanted, at, asked, SNAPSHOT.tiers, PromptCaches())
    return wanted if move is None else move.went


@pytest.mark.parametrize(
    ("wanted", "at", "tools", "goes"),
    [
        pytest.param(MID, standing(500), False, MID, id="nothing so short is cached"),
        pytest.param(MID, standing(100_000), False, POWER, id="a long one is dearer to re-read"),
        pytest.param(MID, standing(100_000, idle_s=9999), False, POWER, id="no way back is paid"),
        pytest.param(
            MID, standing(100_000, idle_s=9999, saved=10**9), False, MID, id="savings pay for it"
        ),
        pytest.param(MID, standing(5_000, saved=10**9), True, POWER, id="tools may bring anything"),
        pytest.param(FAST, standing(5_000, saved=10**9), True, FAST, id="fresh below cached"),
        pytest.param(POWER, standing(100_000, here=FAST), False, POWER, id="back is always paid"),
        pytest.param(
            MID, standing(100_000, here=FAST, saved=10**9), True, FAST, id="stays where it pays"
        ),
        pytest.param(FAST, standing(0), True, FAST, id="nothing is left of what was said"),
    ],
)
def test_where_a_turn_goes(wanted, at, tools, goes):
    assert went(wanted, at, tools=tools) == goes


def test_a_turn_that_needs_more_goes_there_unweighed():
    at = Standing(
        conversation=Conversation(here=FAST, base=FAST, context_tokens=100_000),
        idle_s=1.0,
        new_tokens=10,
    )
    assert weigh(POWER, at, features(), SNAPSHOT.tiers, PromptCaches()) is None


def test_the_fallback_that_has_the_conversation_keeps_it_while_its_cache_does():
    other = Place("power", "p/dear-2")
    conversation = Conversation(here=other, base=other, context_tokens=50_000)
    at = Standing(conversation=conversation, idle_s=10.0, new_tokens=10)
    assert went(POWER, at) == other
    later = Standing(conversation=conversation, idle_s=3000.0, new_tokens=10)
    assert went(POWER, later) == POWER


def test_a_prefix_that_is_kept_for_an_hour_is_dearer_to_leave():
    hourly = msgspec.structs.replace(DEAR, long_cache_write_nanousd_per_mtok=10 * 10**9)
    tiers = (*SNAPSHOT.tiers[:2], tier("power", "dear", rates=hourly))
    for has_long_marks, cached, back in ((False, 0, 6_250), (True, 50_000, 10_000)):
        at = msgspec.structs.replace(standing(50_000, idle_s=1_000), has_long_marks=has_long_marks)
        move = weigh(MID, at, features(max_tokens=1), tiers, PromptCaches())
        assert move is not None
        assert move.cached_tokens == cached
        assert move.return_nanousd == 50_100 * (back - 500)


@pytest.mark.parametrize(
    ("changes", "cached"),
    [({}, 50_000), ({"dialect": "anthropic"}, 0), ({"drops": ("prompt_cache_retention",)}, 0)],
    ids=["heeds it", "another dialect", "does not take it"],
)
def test_openais_retention_counts_before_any_report(changes, cached: int):
    strongest = SNAPSHOT.tiers[2]
    kept = msgspec.structs.replace(strongest.deployments[0], prompt_cache_s=300.0, **changes)
    tiers = (*SNAPSHOT.tiers[:2], msgspec.structs.replace(strongest, deployments=(kept,)))
    idle = standing(50_000, idle_s=20_000)
    for retention_s, found in ((0.0, 0), (1800.0, 0), (86_400.0, cached)):
        at = msgspec.structs.replace(idle, retention_s=retention_s)
        move = weigh(MID, at, features(max_tokens=1), tiers, PromptCaches())
        assert move is not None
        assert move.cached_tokens == found


def test_without_a_price_nothing_moves():
    tiers = (tier("fast", "tiny", rates=None), *SNAPSHOT.tiers[1:])
    move = weigh(FAST, standing(500), features(), tiers, PromptCaches())
    assert move is not None
    assert (move.went, move.move_nanousd) == (POWER, None)


def test_the_sum_is_told_with_its_parts():
    move = weigh(MID, standing(100_000), features(max_tokens=1), SNAPSHOT.tiers, PromptCaches())
    assert move is not None
    assert (move.context_tokens, move.cached_tokens, move.new_tokens) == (100_000, 100_000, 100)
    assert move.stay_nanousd == 100_000 * 500 + 100 * 6250
    assert move.move_nanousd == 100_100 * 1250
    assert move.return_nanousd == 100_100 * (6250 - 500)


def test_what_a_cheaper_place_saves_is_kept_and_the_way_back_is_taken_from_it():
    caches = PromptCaches()
    away = advance(
        standing(2_000),
        MID,
        Usage(input_tokens=2_100, output_tokens=400),
        5_000_000,
        at_s=10.0,
        snapshot=SNAPSHOT,
        caches=caches,
    )
    stay = 2_000 * 500 + 100 * 6250 + 400 * 25_000
    assert (away.here, away.base, away.saved_nanousd) == (MID, POWER, stay - 5_000_000)
    back = advance(
        Standing(conversation=away, idle_s=5.0, new_tokens=0),
        POWER,
        Usage(input_tokens=2_500, output_tokens=0, cache_write_tokens=2_500),
        2_500 * 6250,
        at_s=15.0,
        snapshot=SNAPSHOT,
        caches=caches,
    )
    assert away.saved_nanousd is not None
    assert back.saved_nanousd == away.saved_nanousd - 2_500 * (6250 - 500)


def test_a_stronger_place_becomes_the_base():
    start = Standing(
        conversation=Conversation(
            here=FAST, base=FAST, paid_nanousd=5, stay_nanousd=STAYS | {"power": 9_000}
        ),
        idle_s=1.0,
        new_tokens=1,
    )
    usage, caches = Usage(input_tokens=1), PromptCaches()
    after = advance(start, POWER, usage, 6_250, at_s=1.0, snapshot=SNAPSHOT, caches=caches)
    # Had it been there all along, this turn would have cost 5,000: nothing so short is written.
    assert (after.base, after.saved_nanousd) == (POWER, 9_000 + 5_000 - 5 - 6_250)


def test_a_cost_that_nobody_knows_leaves_nothing_to_pay_a_move_with():
    usage, caches = Usage(input_tokens=2_000, output_tokens=9), PromptCaches()
    begun = advance(None, MID, usage, None, at_s=0.0, snapshot=SNAPSHOT, caches=caches)
    assert begun.saved_nanousd is None
    at = Standing(conversation=begun, idle_s=1.0, new_tokens=1)
    assert went(FAST, at) == MID


def test_caches_go_by_the_documents_until_upstreams_report():
    caches, dear = PromptCaches(), SNAPSHOT.tiers[2].deployments[0]
    assert caches.most(dear, 10.0, 5_000) == 1.0
    assert caches.most(dear, 301.0, 5_000) == 0.0
    assert caches.most(dear, 10.0, 1_000) == 0.0
    assert caches.least(dear, 10.0, 5_000) == 0.0
    caches.note(dear.id, 10.0, prefix_tokens=4_000, cached=0)
    caches.note(dear.id, 10.0, prefix_tokens=4_000, cached=2_000)
    assert (caches.least(dear, 10.0, 5_000), caches.most(dear, 10.0, 5_000)) == (0.0, 0.5)
    for _ in range(8):
        caches.note(dear.id, 10.0, prefix_tokens=4_000, cached=9_000)
    assert (caches.least(dear, 10.0, 5_000), caches.most(dear, 10.0, 5_000)) == (1.0, 1.0)
