"""The policy "learned": rules first, then the model, up where it knows too little."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import deployment, features, snapshot, tier

from pointsman.core.prices import Price
from pointsman.policies import PolicySettings, SignalSettings
from pointsman.policies.flips import without
from pointsman.policies.learned import Learned
from pointsman.scorer.certificate import NOT_CERTIFIED, Certificate, GroupCertificate
from pointsman.scorer.model import shipped
from pointsman.scorer.reading import read
from pointsman.scorer.tuning import Measured, Tuning

HARD_SUM = (
    "Find all real $x$ with $\\sqrt{x+3} + \\sqrt{2x-1} = 7$, and prove that there are no others."
)
PLAIN = "Explain why the sum of two even numbers is even and give an example."
GERMAN = "Schreibe bitte eine kurze Zusammenfassung des folgenden Textes und nenne die Punkte."


def priced(name: str, usd_per_mtok: int):
    rate = usd_per_mtok * 10**9
    price = Price(
        input_nanousd_per_mtok=rate,
        cached_input_nanousd_per_mtok=rate,
        cache_write_nanousd_per_mtok=rate,
        output_nanousd_per_mtok=4 * rate,
        version="test",
    )
    return msgspec.structs.replace(deployment(name), price=price)


WORLD = snapshot(
    tier("fast", priced("openai/gpt-4o-mini", 1)),
    tier("mid", priced("openai/gpt-4o", 5)),
    tier("power", priced("openai/o1-preview", 30)),
)
MODELS = tuple(tier.deployments[0].id for tier in WORLD.tiers)


def learned(**settings: object) -> Learned:
    return Learned(PolicySettings(**settings))  # type: ignore[arg-type]


def tuning(groups: dict[str, GroupCertificate], floor: float = 0.95, **more: object) -> Tuning:
    certificate = Certificate(
        floor=floor,
        confidence=0.9,
        made_on="2026-11-23",
        scorer=shipped().version,
        data="a test",
        models=MODELS,
        groups=groups,
    )
    return Tuning(
        scorer=shipped().version,
        trained_on="2026-11-23",
        data="a test",
        labels=100,
        certificate=certificate,
        **more,  # type: ignore[arg-type]
    )


def test_a_hard_sum_goes_up_and_a_short_edit_does_not():
    policy = learned()
    assert policy.decide(features(HARD_SUM), WORLD).tier == "power"
    assert policy.decide(features("Convert this list to JSON: a=1, b=2"), WORLD).tier == "fast"


def test_the_scores_are_predicted_qualities_that_rise_with_the_tiers():
    scores = learned().decide(features(HARD_SUM), WORLD).scores
    assert list(scores) == ["fast", "mid", "power"]
    assert 0 <= scores["fast"] <= scores["mid"] <= scores["power"] <= 1


def test_power_phrases_stand_above_the_model_even_when_nobody_stated_them():
    decision = learned().decide(features("architect it"), WORLD)
    assert decision.tier == "power" and '"architect"' in decision.reason
    assert [signal.phrase for signal in decision.signals] == ["architect"]


def test_a_phrase_that_is_stuck_onto_another_ask_counts_only_when_it_is_stated():
    text = f"{PLAIN} (architect)"
    decision = learned().decide(features(text), WORLD)
    assert decision == learned(signals=SignalSettings(power=())).decide(features(text), WORLD)
    assert decision.tier != "power" and not decision.signals
    stated = learned(signals=SignalSettings(power=("architect",)))
    assert stated.decide(features(text), WORLD).tier == "power"


def test_in_a_long_text_a_phrase_counts_wherever_it_stands():
    text = f"{PLAIN} {'word ' * 100}. Architect."
    long = features(text)
    assert learned().decide(long, WORLD).tier == "power"


def test_fast_phrases_count_only_when_they_are_stated():
    text = f"{HARD_SUM} What is the smallest?"
    assert learned().decide(features(text), WORLD).tier == "power"
    stated = learned(signals=SignalSettings(fast=("what is",)))
    assert stated.decide(features(text), WORLD).tier == "fast"


def test_a_stated_length_rule_counts():
    settings = SignalSettings(power_words=5)
    assert learned(signals=settings).decide(features(PLAIN), WORLD).tier == "power"


@pytest.mark.parametrize("text", [GERMAN, ""], ids=["german", "empty"])
def test_what_the_scorer_does_not_know_goes_up_and_says_so(text: str):
    decision = learned().decide(features(text), WORLD)
    assert decision.tier == "power" and "unlike" in decision.reason


def test_a_reading_stands_in_for_the_text():
    policy = learned()
    without = msgspec.structs.replace(features(""), reading=read(HARD_SUM))
    assert policy.decide(without, WORLD) == policy.decide(features(HARD_SUM), WORLD)


def test_the_budget_takes_what_is_worth_most():
    cheap = learned(goal="budget", quality_usd=1e-9).decide(features(HARD_SUM), WORLD)
    dear = learned(goal="budget", quality_usd=1e6).decide(features(HARD_SUM), WORLD)
    assert (cheap.tier, dear.tier) == ("fast", "power")
    assert "best value" in cheap.reason and "estimated" in cheap.reason


def test_without_a_price_the_floor_decides_and_the_reason_says_so():
    world = snapshot(*(tier(name) for name in ("fast", "mid", "power")))
    decision = learned(goal="budget").decide(features(HARD_SUM), world)
    assert "has no price" in decision.reason


def test_a_certified_threshold_replaces_the_prior_one():
    group = read(PLAIN).group
    strict = learned(tuning=tuning({group: GroupCertificate(threshold=None, labels=9)}))
    decision = strict.decide(features(PLAIN), WORLD)
    assert decision.tier == "power" and "not proven" in decision.reason
    loose = learned(tuning=tuning({group: GroupCertificate(threshold=1.0, labels=900)}))
    decision = loose.decide(features(PLAIN), WORLD)
    assert decision.tier == "fast" and "certified" in decision.reason


def test_a_callers_own_group_goes_before_the_detected_one():
    mine = msgspec.structs.replace(features(PLAIN), labels=("route:checkout", "key:team"))
    groups = {
        "key:team": GroupCertificate(threshold=None, labels=9),
        "route:checkout": GroupCertificate(threshold=1.0, labels=900),
    }
    decision = learned(tuning=tuning(groups)).decide(mine, WORLD)
    assert decision.tier == "fast" and decision.reason.startswith("route:checkout")


@pytest.mark.parametrize("floor", [0.9, 0.99], ids=["proven", "more than proven"])
def test_a_certificate_for_another_floor_does_not_count(floor: float):
    group = read(PLAIN).group
    given_tuning = tuning({group: GroupCertificate(threshold=1.0, labels=900)}, floor=0.95)
    policy = learned(tuning=given_tuning, quality_floor=floor)
    told = policy.insight(features(PLAIN), WORLD).certificate
    assert told.startswith("certified") == (floor == 0.9)
    assert (NOT_CERTIFIED in told) == (floor == 0.99)


def test_measured_models_replace_what_was_assumed():
    group = read(PLAIN).group
    measured = {model: {group: Measured(0.8, 50)} for model in MODELS}
    policy = learned(tuning=tuning({}, measured=measured))
    insight = policy.insight(features(PLAIN), WORLD)
    assert {prospect.basis for prospect in insight.prospects} == {"trained"}
    assert [prospect.loss for prospect in insight.prospects] == [0, 0, 0]


def test_steps_of_the_audit_take_the_threshold_down():
    group = read(PLAIN).group

    def threshold(steps: int) -> float:
        found = learned(steps={group: steps}).insight(features(PLAIN), WORLD).threshold
        assert found is not None
        return found

    assert threshold(0) > threshold(1) > threshold(2) > 0
    assert threshold(99) < 0


def test_the_insight_names_reasons_tiers_and_a_flip_that_is_true():
    policy = learned()
    insight = policy.insight(features(HARD_SUM), WORLD)
    assert insight.group == "maths" and insight.certificate == NOT_CERTIFIED
    assert [prospect.tier for prospect in insight.prospects] == ["fast", "mid", "power"]
    assert all(prospect.cost_nanousd for prospect in insight.prospects)
    weights = [abs(weight) for _, weight in insight.reasons]
    assert weights and weights == sorted(weights, reverse=True)
    assert "it would be" in insight.would_change


def test_a_flip_by_the_floor_is_where_the_policy_turns():
    policy = learned()
    change = policy.insight(features(PLAIN), WORLD).would_change
    found = change.removeprefix("with quality_floor = ").split(" it would be ")
    assert len(found) == 2, change
    floor, other = float(found[0]), found[1]
    assert learned(quality_floor=floor).decide(features(PLAIN), WORLD).tier == other
    assert policy.decide(features(PLAIN), WORLD).tier != other


def test_the_flip_of_a_rule_is_what_the_model_says_without_it():
    change = learned().insight(features(f"Architect this. {PLAIN}"), WORLD).would_change
    assert change.startswith('without "architect" it would be')


@given(
    floors=st.tuples(st.floats(0.5, 1), st.floats(0.5, 1)), text=st.sampled_from([PLAIN, HARD_SUM])
)
def test_a_higher_floor_never_takes_a_weaker_tier(floors: tuple[float, float], text: str):
    low, high = (
        WORLD.names.index(learned(quality_floor=floor).decide(features(text), WORLD).tier)
        for floor in sorted(floors)
    )
    assert low <= high


@given(text=st.text(max_size=300))
def test_any_text_is_decided_the_same_each_time(text: str):
    policy = learned()
    first = policy.decide(features(text), WORLD)
    assert first.tier in WORLD.names
    assert learned().decide(features(text), WORLD) == first


def test_what_is_still_needed_to_prove_anything_is_told():
    group = read(PLAIN).group
    policy = learned(tuning=tuning({}, labels_needed={group: 81, "maths": 0}))
    assert "about 81 more held-out labels" in policy.insight(features(PLAIN), WORLD).certificate
    told = policy.proof(WORLD.tiers)
    assert f"{group} 81" in told and "maths" not in told


def test_with_a_budget_the_flip_is_what_a_good_answer_is_worth():
    insight = learned(goal="budget").insight(features(HARD_SUM), WORLD)
    assert insight.threshold is None
    worth, other = insight.would_change.removeprefix("with quality_usd = ").split(" it would be ")
    tuned = learned(goal="budget", quality_usd=float(worth))
    assert tuned.decide(features(HARD_SUM), WORLD).tier == other


def test_a_word_is_left_out_whole_or_not_at_all():
    text = "Fix this bug: def f(x)"
    assert without("f", text) == "Fix this bug: def (x)"
    assert without("this bug", text) == "Fix : def f(x)"


def test_a_rule_without_which_nothing_changes_is_no_flip():
    change = learned().insight(features(f"Architect this. {HARD_SUM}"), WORLD).would_change
    assert change.startswith('without "architect" it would still be power')


@pytest.mark.parametrize("text", ["Rename x to y in this file", "Explain this to me", "fix code"])
def test_where_nothing_is_like_the_training_data_no_request_may_lose_more_than_the_floor(text):
    insight = learned().insight(features(text), WORLD)
    strongest = insight.prospects[-1].quality
    assert insight.threshold is not None and insight.threshold <= 0.05 * strongest + 1e-9


def test_a_megabyte_of_one_odd_letter_is_explained_in_bounded_work():
    text = "\u0130" * 200_000
    assert learned().insight(features(text), WORLD).group
