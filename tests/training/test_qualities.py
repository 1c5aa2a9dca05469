"""Qualities: means of outcomes, drawn towards what was expected, and freed of who chose them."""

import numpy as np
import pytest
from tests.training.builders import TWO_TIERS, labelled

from pointsman.scorer.model import Scorer, shipped
from pointsman.scorer.standings import place_tiers
from pointsman.scorer.tuning import Measured
from pointsman.training.fitting import fit_heads
from pointsman.training.labels import Labels, gather
from pointsman.training.qualities import measure_models, merged

MODELS = ("acme/small", "acme/big")


def qualities(labels: Labels, routed_by: Scorer | None = None) -> list[float]:
    measured = measure_models(labels, (), routed_by)
    return [measured[model]["chat"].quality for model in MODELS]


def test_many_labels_give_their_mean():
    labels = gather(labelled(3_000), TWO_TIERS)
    assert qualities(labels) == pytest.approx(labels.quality.mean(axis=0), abs=0.01)


def test_few_labels_stay_near_what_was_expected():
    labels = gather(labelled(2), TWO_TIERS)
    tiers = [tier.deployments[0] for tier in TWO_TIERS.tiers]
    expected = [it.quality["chat"] for it in place_tiers([(it.id, it.price) for it in tiers])]
    assert qualities(labels) == pytest.approx(expected, abs=0.15)


def test_the_callers_own_groups_are_measured_apart():
    labels = gather(labelled(40), TWO_TIERS)
    assert measure_models(labels, ("route:x",))["acme/big"].keys() == {"chat"}


def test_a_cheap_model_that_was_only_asked_what_is_easy_is_not_taken_for_good():
    labels = gather(labelled(3_000), TWO_TIERS)
    fitted = Scorer(fit_heads(labels, shipped().heads))
    needs = np.array([fitted.relative_gain(reading) for reading in labels.readings])
    easy = labels.pick(np.flatnonzero(needs < np.quantile(needs, 0.4)))
    truth = float(labels.quality[:, 0].mean())
    naive, freed = qualities(easy)[0], qualities(easy, fitted)[0]
    assert naive > truth + 0.05
    assert abs(freed - truth) < abs(naive - truth)


def test_what_is_not_measured_now_stays_as_it_was_measured():
    old = {
        "a": {"chat": Measured(0.5, 30)},
        "b": {"chat": Measured(0.6, 30), "code": Measured(0.7, 30)},
    }
    new = {"b": {"chat": Measured(0.9, 40)}}
    assert merged(new, old) == {
        "a": old["a"],
        "b": {"chat": Measured(0.9, 40), "code": Measured(0.7, 30)},
    }


def test_labels_that_are_no_sample_leave_the_curves_as_they_were():
    labels = gather(labelled(300), TWO_TIERS)
    prior = shipped().heads
    heads = fit_heads(labels, prior, is_sample=False)
    assert heads["chat"].rules.curves == prior["chat"].rules.curves
    assert heads["chat"].table != prior["chat"].table
    assert fit_heads(labels, prior)["chat"].rules.curves != prior["chat"].rules.curves
