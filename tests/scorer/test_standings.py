import json
import subprocess
import sys
from itertools import pairwise
from pkgutil import get_data
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.core.prices import Price
from pointsman.pricing import price_from_usd_per_mtok
from pointsman.scorer.groups import GROUPS
from pointsman.scorer.naming import name_key
from pointsman.scorer.standings import TIER_STEP, Standing, place, place_tiers

UNKNOWN = "nowhere/brand-new-model"
usd = st.floats(1e-3, 1e3)


def priced(usd_per_mtok: float) -> Price:
    return price_from_usd_per_mtok(input=usd_per_mtok, output=usd_per_mtok)


def standing_of(model: str, usd_per_mtok: float | None = None) -> Standing:
    standing = place(model, None if usd_per_mtok is None else priced(usd_per_mtok))
    assert standing is not None, model
    return standing


SAME = [
    ("openai/gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
    ("gpt-4o", "gpt-4o-2024-08-06"),
    ("openrouter/openai/gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
    ("anthropic/claude-3.5-sonnet", "claude-3-5-sonnet-20241022"),
    ("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022"),
    ("vertex/claude-3-5-sonnet@20240620", "claude-3-5-sonnet-20240620"),
    ("bedrock/us.anthropic.claude-3-haiku-20240307-v1:0", "claude-3-haiku-20240307"),
    ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b-instruct"),
    ("together/meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo", "llama-3.1-8b-instruct"),
    ("ollama/llama3.1:8b-instruct-q4_K_M", "llama-3.1-8b-instruct"),
    ("openrouter/meta-llama/llama-3.1-70b-instruct:free", "llama-3.1-70b-instruct"),
    ("groq/llama-3.1-8b-instant", "llama-3.1-8b-instruct"),
    ("ollama/qwen2.5:7b", "qwen2.5-7b-instruct"),
    ("google/gemma-2-9b-it", "gemma-2-9b-it"),
    ("openai/gpt-3.5-turbo", "gpt-3.5-turbo-0125"),
    ("openai/gpt-4-turbo", "gpt-4-turbo-2024-04-09"),
    ("openai/o1-mini", "o1-mini-2024-09-12"),
    ("mistral/open-mixtral-8x7b", "mixtral-8x7b-instruct"),
    ("gemini/gemini-1.5-pro-002", "gemini-1.5-pro-002"),
]


@pytest.mark.parametrize(("name", "measured"), SAME)
def test_a_measured_model_is_found_under_its_other_names(name: str, measured: str):
    found, meant = standing_of(name), standing_of(measured)
    assert found.basis == meant.basis == "measured"
    assert (found.ability, found.quality) == (meant.ability, meant.quality)


PUBLISHED = [
    "anthropic/claude-haiku-4-5-20251001",
    "anthropic/claude-opus-4-6",
    "openrouter/anthropic/claude-opus-4.6",
    "openai/gpt-5.4-2026-03-05",
    "openai/o1",
    "openai/o3-2025-04-16",
    "fireworks/accounts/fireworks/models/glm-5p2",
    "groq/openai/gpt-oss-120b",
    "openai/gpt-4o-2024-11-20",
    "groq/llama-3.3-70b-versatile",
]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_model_with_a_published_score_is_placed_by_it_and_says_so(name: str):
    standing = standing_of(name)
    assert standing.basis == "published"
    assert standing.note.startswith("assumed from its published score")
    assert standing.measured_groups == frozenset()


OTHERS = [
    "openai/gpt-4o-audio",
    "openai/gpt-4o-mini-search-preview",
    "openai/gpt-4-vision",
    "openai/gpt-5.2-chat-latest",
    "gpt",
    "openai/o",
    "mistral/mistral-large-latest",
    "mistral/mistral-small-latest",
    "deepseek/deepseek-chat",
    "qwen/qwen2-57b",
    "meta-llama/llama-3.1",
    "gemini/gemini-1.5-flash-8b",
    "claude-3-5",
    "anthropic/claude",
    "",
    "/",
]


@pytest.mark.parametrize("name", OTHERS)
def test_no_family_is_taken_for_one_whose_name_it_shares_in_part(name: str):
    assert place(name, None) is None
    assert standing_of(name, 1.0).basis == "price"


def test_families_that_begin_alike_stand_apart():
    names = ["gpt-4", "gpt-4-turbo", "gpt-4o", "gpt-4o-mini", "o1", "o1-mini", "o1-preview"]
    assert len({standing_of(name).ability for name in names}) == len(names)
    assert name_key("qwen2.5-7b") != name_key("qwen2-57b")


def test_a_measurement_beats_a_price():
    for usd_per_mtok in (0.001, 1, 1000):
        assert standing_of("openai/gpt-4o", usd_per_mtok) == standing_of("openai/gpt-4o")


def test_measured_groups_carry_the_means_and_the_rest_the_fit():
    standing = standing_of("openai/gpt-4o-mini")
    assert standing.note == ""
    assert standing.measured_groups == {"code-reading", "programming", "maths", "word-problem"}
    assert 0.40 < standing.quality["programming"] < 0.42  # 0.411 over 541 prompts


@pytest.mark.parametrize("price", [None, priced(0)], ids=["no price", "free"])
def test_a_model_without_any_information_has_no_standing(price: Price | None):
    assert place(UNKNOWN, price) is None


@given(low=usd, high=usd)
def test_a_higher_price_never_means_less(low: float, high: float):
    low, high = sorted((low, high))
    cheap, dear = standing_of(UNKNOWN, low), standing_of(UNKNOWN, high)
    assert cheap.basis == dear.basis == "price"
    assert cheap.ability <= dear.ability
    assert all(cheap.quality[group] <= dear.quality[group] for group in GROUPS)


def test_a_price_tells_models_apart_between_the_bounds():
    abilities = [standing_of(UNKNOWN, usd).ability for usd in (0.1, 0.5, 2.5, 12.5)]
    assert abilities == sorted(set(abilities))


def test_no_price_buys_more_than_the_best_model_known():
    assert standing_of(UNKNOWN, 1e6).ability == standing_of("claude-opus-5-5").ability


def test_the_order_of_well_known_models_is_the_one_everybody_found():
    names = [
        *("mistral-7b-instruct-v0.2", "llama-3-8b-instruct", "claude-3-haiku", "claude-3-opus"),
        *("gpt-4o-mini", "gpt-4o", "claude-3-5-sonnet", "o1-preview"),
    ]
    abilities = [standing_of(name).ability for name in names]
    assert abilities == sorted(abilities)


names = st.sampled_from(
    [UNKNOWN, "local/a", "gpt-4o-mini", "gpt-4o", "claude-3-haiku", "gpt-5.4", "gpt-5-nano", "o1"]
)
prices = st.one_of(st.none(), usd.map(priced), st.just(priced(0)))
tables = st.lists(st.tuples(names, prices), max_size=6)


@given(table=tables)
def test_every_tier_gets_a_standing_within_bounds(table: list[tuple[str, Price | None]]):
    standings = place_tiers(table)
    assert [standing.model for standing in standings] == [model for model, _ in table]
    for standing in standings:
        assert tuple(standing.quality) == GROUPS
        assert all(0 <= quality <= 1 for quality in standing.quality.values())
        assert -3 < standing.ability < 6
        assert standing.note.startswith("assumed") == (standing.basis != "measured")


@given(table=tables)
def test_what_is_known_stays_as_it_is(table: list[tuple[str, Price | None]]):
    for (model, price), standing in zip(table, place_tiers(table), strict=True):
        alone = place(model, price)
        if alone is not None and alone.basis in {"measured", "published"}:
            assert (standing.ability, standing.basis) == (alone.ability, alone.basis)
        for group in standing.measured_groups:
            assert alone is not None
            assert standing.quality[group] == alone.quality[group]


@given(table=tables)
def test_an_assumed_tier_is_no_worse_than_a_cheaper_one(table: list[tuple[str, Price | None]]):
    standings = place_tiers(table)
    for index, standing in enumerate(standings):
        if standing.basis in {"price", "tier"}:
            for cheaper in standings[:index]:
                assert cheaper.ability <= standing.ability
                assert all(cheaper.quality[g] <= standing.quality[g] for g in GROUPS)


TIER_TABLES = {
    "as the specification's": ["openai/gpt-4o-mini", "openai/gpt-4o", "openai/gpt-5.4"],
    "its fallbacks": [
        *("anthropic/claude-haiku-4-5", "anthropic/claude-sonnet-4-6", "anthropic/claude-opus-4-6")
    ],
    "of 2024": [
        *("anthropic/claude-3-haiku", "anthropic/claude-3.5-haiku", "anthropic/claude-3.5-sonnet")
    ],
    "local and hosted": ["local/a", "local/b", "openai/gpt-4o"],
    "all local": ["local/a", "local/b", "local/c", "local/d"],
}


@pytest.mark.parametrize("models", TIER_TABLES.values(), ids=TIER_TABLES)
def test_a_usual_table_of_tiers_rises(models: list[str]):
    standings = place_tiers([(model, None) for model in models])
    abilities = [standing.ability for standing in standings]
    assert abilities == sorted(set(abilities))
    for group in GROUPS:
        qualities = [standing.quality[group] for standing in standings]
        assert qualities == sorted(qualities)


def test_a_price_at_odds_with_the_next_tier_gives_way_and_says_so():
    cheap, known = place_tiers([(UNKNOWN, priced(5)), ("groq/openai/gpt-oss-120b", priced(0.3))])
    assert cheap.ability < known.ability
    assert "moved" in cheap.note


def test_new_models_are_not_all_taken_to_answer_everything():
    fast, power = place_tiers([("gpt-5-nano", None), ("gpt-5.4", None)])
    alone = standing_of("gpt-5-nano")
    assert fast.quality["maths"] < 0.95 * power.quality["maths"]
    assert fast.quality["maths"] < alone.quality["maths"]
    assert fast.ability == alone.ability
    assert "as hard" in fast.note


def test_a_table_with_a_measured_tier_keeps_what_was_measured():
    fast, power = place_tiers([("gpt-4o-mini", None), ("gpt-5.4", None)])
    assert fast.quality["maths"] == standing_of("gpt-4o-mini").quality["maths"]
    assert power.quality["maths"] == standing_of("gpt-5.4").quality["maths"]


def test_short_edits_are_easier_than_word_problems_and_code_lies_between():
    for model in ("claude-3-haiku", "gpt-4o", "gpt-5.4"):
        quality = standing_of(model).quality
        assert quality["edit"] > quality["word-problem"]
        assert quality["programming"] < quality["code"] < quality["chat"]


def test_a_step_between_tiers_is_the_usual_one_of_measured_families():
    families = [
        ("claude-3-haiku", "claude-3-5-haiku", "claude-3-5-sonnet"),
        ("llama-3.1-8b-instruct", "llama-3.1-70b-instruct", "llama-3.1-405b-instruct"),
        ("gpt-4o-mini", "gpt-4o"),
        ("gemini-1.5-flash-002", "gemini-1.5-pro-002"),
    ]
    steps = [
        standing_of(strong).ability - standing_of(weak).ability
        for family in families
        for weak, strong in pairwise(family)
    ]
    assert median(steps) == pytest.approx(TIER_STEP, abs=0.05)


def test_the_figures_stay_small():
    data = get_data("pointsman.scorer", "standings.json")
    assert data is not None and len(data) < 60_000


def test_another_process_finds_the_same():
    code = (
        "import json; from pointsman.scorer.standings import place;"
        "print(json.dumps([dict(place(m, None).quality) for m in ('gpt-4o', 'gpt-5.4')]))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    here = [dict(standing_of(model).quality) for model in ("gpt-4o", "gpt-5.4")]
    assert json.loads(answer.stdout) == here
