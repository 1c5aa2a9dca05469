"""Labels: which outcomes belong to which tier, and which requests are held out."""

from collections import Counter

import msgspec
import numpy as np
import pytest
from tests.compare.builders import deployment, logged, price, request
from tests.training.builders import THREE_TIERS, TWO_TIERS, labelled

from pointsman.compare.records import LoggedRequest, Outcome
from pointsman.core.errors import ConfigError
from pointsman.core.features import extract
from pointsman.core.types import Caller, Snapshot, Tier
from pointsman.core.usage import Usage
from pointsman.policies import PolicySettings
from pointsman.policies.fixed import Fixed
from pointsman.policies.learned import Learned
from pointsman.training.deciding import route, servable
from pointsman.training.labels import gather, is_held_out, text_length, with_reading


def record(text: str, **scores: float) -> LoggedRequest:
    asked = request(text)
    outcomes = {name: Outcome(quality=score, cost_nanousd=7) for name, score in scores.items()}
    return LoggedRequest(features=extract(asked), request=asked, outcomes=outcomes)


def test_models_are_found_by_their_bare_names_too():
    labels = gather([record("a", small=0.25, big=1.0), record("b", big=0.5)], TWO_TIERS)
    assert labels.quality[0].tolist() == [0.25, 1.0]
    assert np.isnan(labels.quality[1, 0]) and labels.quality[1, 1] == 0.5
    assert labels.models == ("acme/small", "acme/big")
    assert (len(labels.complete()), len(labels.compared())) == (1, 1)


def test_requests_without_an_outcome_of_ours_are_left_out():
    labels = gather([record("a", small=1, big=1), record("b", other=1), logged("c")], TWO_TIERS)
    assert len(labels) == 1


def test_tiers_without_outcomes_are_named_with_what_there_is():
    with pytest.raises(ConfigError) as raised:
        gather([record("a", small=1, gpt=1)], TWO_TIERS)
    told = raised.value.message
    assert "acme/big (tier power)" in told and "acme/small (tier" not in told
    assert "gpt, small" in told and "--replay" in told


def test_one_tier_leaves_nothing_to_choose():
    one = Snapshot(tiers=TWO_TIERS.tiers[:1], default_tier="fast")
    with pytest.raises(ConfigError, match="one tier"):
        gather([record("a", small=1)], one)


def test_costs_are_as_told_else_by_usage_else_estimated():
    asked = request("hello there")
    outcomes = {
        "small": Outcome(quality=1, cost_nanousd=5),
        "middle": Outcome(quality=1, usage=Usage(input_tokens=1_000_000, output_tokens=0)),
        "big": Outcome(quality=1),
    }
    one = LoggedRequest(features=extract(asked), request=asked, outcomes=outcomes)
    labels = gather([one], THREE_TIERS)
    assert labels.cost[0, 0] == 5
    assert labels.cost[0, 1] == 2_000_000_000  # 2 USD per million input tokens
    assert labels.cost[0, 2] > 0 and labels.costs_estimated == 1


def test_a_model_without_any_cost_is_named_with_the_remedy():
    free = Snapshot(
        tiers=(TWO_TIERS.tiers[0], Tier(name="power", deployments=(deployment("big", None),))),
        default_tier="power",
    )
    asked = request("x")
    outcomes = {"small": Outcome(quality=1), "big": Outcome(quality=1)}
    with pytest.raises(ConfigError, match=r'acme/big: neither .*\[prices."acme/big"\]'):
        gather([LoggedRequest(features=extract(asked), outcomes=outcomes)], free)


def test_the_same_texts_are_held_out_every_time():
    labels = gather(labelled(600), TWO_TIERS)
    again = gather(reversed(list(labelled(600))), TWO_TIERS)
    held = {it.text for it in labels.split()[1].features}
    assert held == {it.text for it in again.split()[1].features}
    assert held.isdisjoint(it.text for it in labels.split()[0].features)
    assert 0.34 < len(held) / 600 < 0.46


def test_a_text_asked_often_is_on_both_sides_as_independent_draws_are():
    texts = [f"what is the capital of country {name}" for name in ("ada", "bel", "cor", "dun")]
    fit_on, held_out = gather([record(it, small=1, big=1) for it in texts * 300], TWO_TIERS).split()
    assert len(fit_on) + len(held_out) == 1_200
    held = Counter(it.text for it in held_out.features)
    assert all(0.3 < held[text] / 300 < 0.5 for text in texts)


def test_without_any_scores_it_is_said_what_a_row_needs():
    with pytest.raises(ConfigError, match=r"file is empty, or no row has scores; each needs") as at:
        gather([], TWO_TIERS)
    assert "acme" not in at.value.message


def test_a_stored_reading_is_held_out_just_as_its_text():
    features = with_reading(extract(request("what is the capital of France")))
    assert features.reading is not None
    bare = msgspec.structs.replace(features, text="")
    assert bare.reading is not None
    assert is_held_out(bare.reading) == is_held_out(features.reading)


def test_a_policy_decides_a_stored_reading_as_it_decides_the_text():
    labels = gather(labelled(40), TWO_TIERS)
    policy = Learned(PolicySettings())
    for features in labels.features:
        unread = msgspec.structs.replace(features, reading=None)
        read, asked = (policy.decide(it, TWO_TIERS) for it in (features, unread))
        assert (read.tier, read.scores) == (asked.tier, asked.scores)


@pytest.mark.parametrize("chars", [0, 10, 2_500, 9_000])
def test_the_length_is_that_of_the_whole_text(chars):
    features = with_reading(extract(request("a" * chars)))
    assert features.reading is not None
    assert np.expm1(text_length(features.reading)) == pytest.approx(chars, abs=2)


def test_what_some_tier_cannot_serve_is_left_out():
    long = extract(request("x", max_tokens=10_000))
    narrow = deployment("small", price(1, 2))
    narrow = msgspec.structs.replace(
        narrow, capability=msgspec.structs.replace(narrow.capability, context_tokens=5_000)
    )
    tiers = Snapshot(
        tiers=(Tier(name="fast", deployments=(narrow,)), TWO_TIERS.tiers[1]), default_tier="power"
    )
    rows = [LoggedRequest(features=long, outcomes=record("x", small=1, big=1).outcomes)]
    labels = gather([*rows, record("short", small=1, big=1)], tiers)
    assert [it.text for it in servable(labels).features] == ["short"]


def test_the_callers_own_groups_come_along():
    caller = Caller(tenant="ann", tags=(("route", "checkout"),))
    labels = gather(labelled(3, caller=caller), TWO_TIERS)
    assert labels.features[0].labels == ("route:checkout", "key:ann")


def test_a_policy_that_only_picks_has_no_ranking():
    labels = gather(labelled(30), TWO_TIERS)
    assert route(labels, Fixed("fast")).need is None
    need = route(labels, Learned(PolicySettings())).need
    assert need is not None and len(need) == 30
