"""The whole of training, on made-up traffic whose truth is known."""

import msgspec
import pytest
from tests.training.builders import THREE_TIERS, TWO_TIERS, labelled

from pointsman.core.decision import Target, decide
from pointsman.core.errors import ConfigError
from pointsman.policies import PolicySettings
from pointsman.policies.learned import Learned
from pointsman.scorer.model import shipped
from pointsman.scorer.tuning import decode_tuning, encode_tuning
from pointsman.training.course import Course, Plan, take_course
from pointsman.training.deciding import outcome_figures, route
from pointsman.training.labels import Labels, gather

PLAN = Plan(PolicySettings(), confidence=0.9, data="made up", made_on="2026-11-23")


@pytest.fixture(scope="module")
def labels() -> Labels:
    return gather(labelled(1_500), TWO_TIERS)


@pytest.fixture(scope="module")
def course(labels) -> Course:
    return take_course(labels, PLAN)


def test_what_is_learned_beats_length_and_the_scorer_in_use(course):
    reached = {ranking.name: ranking.apgr.value for ranking in course.rankings}
    assert course.faults == ()
    assert reached["new"] > 0.6
    assert reached["new"] > max(reached["length alone"], reached["in use"])
    assert course.beats_length > 0.9


def test_sixty_per_cent_are_fitted_on_and_the_rest_judge(course):
    assert course.fitted_on + course.held_out == course.labels == 1_500
    assert 0.36 < course.held_out / course.labels < 0.44


def test_models_are_measured_on_the_part_that_is_fitted_on(course):
    measured = course.tuning.measured
    assert set(measured) == {"acme/small", "acme/big"}
    big, small = measured["acme/big"]["chat"], measured["acme/small"]["chat"]
    assert big.labels == small.labels
    assert big.quality == pytest.approx(0.95, abs=0.03)
    assert small.quality == pytest.approx(0.7, abs=0.05)


def test_the_tuning_serves_as_it_was_judged(labels, course):
    tuning = decode_tuning(encode_tuning(course.tuning))
    assert tuning == course.tuning
    assert tuning.build_scorer().version == tuning.scorer != shipped().version
    settings = msgspec.structs.replace(PLAN.settings, tuning=tuning)
    policy, snapshot = Learned(settings), labels.snapshot
    tiers = {decide(it, Target(), snapshot, policy).tier for it in labels.features[:200]}
    assert tiers == {"fast", "power"}


def test_what_is_certified_holds_on_more_traffic_of_the_same_kind():
    fresh = gather(labelled(3_000, seed=77), TWO_TIERS)
    kept = []
    for seed in (5, 6, 7):
        course = take_course(gather(labelled(500, seed=seed), TWO_TIERS), PLAN)
        policy = Learned(msgspec.structs.replace(PLAN.settings, tuning=course.tuning))
        assert course.tuning.certificate is not None
        assert course.tuning.certificate.groups["chat"].threshold is not None
        figures = outcome_figures(fresh, route(fresh, policy).places)
        kept.append(figures["quality_kept"].value or 0.0)
    # Each may break its floor of 0.95 with a chance of 0.1: two of three hardly ever do.
    assert sorted(kept)[1] >= 0.95


def test_training_twice_gives_the_same(labels, course):
    again = take_course(labels, PLAN)
    assert again.tuning == course.tuning and again.rankings == course.rankings


def test_a_scorer_that_learned_nothing_is_refused():
    coin = gather(labelled(400, gap=0.0), TWO_TIERS)
    course = take_course(coin, PLAN)
    assert course.faults


def test_the_scorer_in_use_has_to_be_beaten(labels, course):
    settings = msgspec.structs.replace(PLAN.settings, tuning=course.tuning)
    again = take_course(labels, Plan(settings, 0.9, "made up", "2026-11-24"))
    assert any("the scorer in use" in fault for fault in again.faults)


def test_three_tiers_are_learned_together():
    models = ("acme/small", "acme/middle", "acme/big")
    three = gather(labelled(900, models=models), THREE_TIERS)
    course = take_course(three, PLAN)
    assert course.faults == () and course.models == models
    quality = [course.tuning.measured[model]["chat"].quality for model in models]
    assert quality == sorted(quality)


def test_too_few_labels_say_how_many_more():
    few = gather(labelled(50), TWO_TIERS)
    with pytest.raises(ConfigError, match=r"50 labels .* 80 are needed, 30 more"):
        take_course(few, PLAN)


def test_labels_that_are_no_sample_of_the_traffic_certify_nothing(labels):
    course = take_course(labels, Plan(PolicySettings(), 0.9, "x", "2026-11-23", is_sample=False))
    assert course.tuning.certificate is None
    assert "no random sample" in course.certificate_note


def test_a_group_with_too_few_labels_keeps_the_prior_and_says_what_it_lacks():
    few = gather(labelled(90), TWO_TIERS)
    course = take_course(few, PLAN)
    assert course.tuning.certificate is None
    assert course.tuning.labels_needed["chat"] > 0
