"""Certifying: by the losses of the production policy, in the groups that it goes by."""

import msgspec
import numpy as np
import pytest
from tests.training.builders import TWO_TIERS, labelled

from pointsman.core.decision import Target, decide
from pointsman.core.types import Caller
from pointsman.policies import PolicySettings, SignalSettings
from pointsman.policies.learned import Learned
from pointsman.scorer.model import shipped
from pointsman.scorer.tuning import Tuning
from pointsman.training.certifying import Certification, certify, own_groups
from pointsman.training.labels import Labels, gather
from pointsman.training.qualities import measure_models

FLOOR = 0.9


def tuned(labels: Labels, **more: object) -> PolicySettings:
    tuning = Tuning(
        scorer=shipped().version,
        trained_on="2026-11-23",
        data="made up",
        labels=len(labels),
        measured=measure_models(labels, ()),
    )
    bare = PolicySettings(quality_floor=FLOOR, tuning=tuning)
    return msgspec.structs.replace(bare, **more)


def certified(labels: Labels, settings: PolicySettings, own: tuple[str, ...] = ()) -> Certification:
    return certify(
        labels, labels, settings, own=own, confidence=0.9, data="x", made_on="2026-11-23"
    )


def easy(count: int, route: str = "", seed: int = 3) -> Labels:
    caller = Caller(tags=(("route", route),)) if route else None
    return gather(labelled(count, gap=0.0, caller=caller, seed=seed), TWO_TIERS)


def joined(*parts: Labels) -> Labels:
    return Labels(
        snapshot=TWO_TIERS,
        features=tuple(it for part in parts for it in part.features),
        quality=np.vstack([part.quality for part in parts]),
        cost=np.vstack([part.cost for part in parts]),
        log_tokens=np.concatenate([part.log_tokens for part in parts]),
    )


def with_certificate(settings: PolicySettings, proof: Certification) -> Learned:
    assert settings.tuning is not None and proof.certificate is not None
    tuning = msgspec.structs.replace(settings.tuning, certificate=proof.certificate)
    return Learned(msgspec.structs.replace(settings, tuning=tuning))


def test_the_policy_routes_just_what_the_certificate_counted():
    labels = easy(400)
    settings = tuned(labels)
    proof = certified(labels, settings)
    assert proof.certificate is not None
    group = proof.certificate.groups["chat"]
    policy = with_certificate(settings, proof)
    down = sum(decide(it, Target(), TWO_TIERS, policy).tier == "fast" for it in labels.features)
    assert group.threshold is not None and group.share_down == pytest.approx(down / 400)
    assert group.share_down > 0.3


def test_a_request_that_a_rule_sends_up_counts_as_sent_up():
    labels = easy(400)
    settings = tuned(labels, signals=SignalSettings(power=("garden",)))
    proof = certified(labels, settings)
    free = certified(labels, tuned(labels))
    assert proof.certificate is not None and free.certificate is not None
    assert proof.certificate.groups["chat"].share_down < free.certificate.groups["chat"].share_down
    policy = with_certificate(settings, proof)
    down = sum(decide(it, Target(), TWO_TIERS, policy).tier == "fast" for it in labels.features)
    assert proof.certificate.groups["chat"].share_down == pytest.approx(down / 400)


def test_a_request_that_a_rule_sends_down_counts_whatever_the_threshold():
    bad = gather(labelled(400, gap=0.9), TWO_TIERS)
    settings = tuned(bad, signals=SignalSettings(fast=("garden", "weather", "the")))
    proof = certified(bad, settings)
    assert proof.certificate is not None
    assert proof.certificate.groups["chat"].threshold is None


def test_a_route_with_enough_labels_is_a_group_of_its_own():
    labels = joined(easy(300, route="checkout"), easy(300, seed=4))
    own = own_groups(labels, floor=FLOOR, confidence=0.9)
    assert own == ("route:checkout",)
    proof = certified(labels, tuned(labels), own)
    counted = {group.group: group.labels for group in proof.calibration.groups}
    assert counted["route:checkout"] == 300
    assert sum(counted.values()) == 600


def test_a_single_key_says_no_more_than_all():
    ann = gather(labelled(300, gap=0.0, caller=Caller(tenant="ann")), TWO_TIERS)
    bob = gather(labelled(300, gap=0.0, seed=5, caller=Caller(tenant="bob")), TWO_TIERS)
    assert own_groups(ann, floor=FLOOR, confidence=0.9) == ()
    both = own_groups(joined(ann, bob), floor=FLOOR, confidence=0.9)
    assert both == ("key:ann", "key:bob")


def test_too_few_labels_prove_nothing_and_say_how_many_are_missing():
    labels = easy(15)
    proof = certified(labels, tuned(labels))
    assert proof.certificate is None
    assert all((group.labels_needed or 0) > 0 for group in proof.undecided)


def test_a_cheap_model_that_fails_is_not_certified_and_none_may_go_to_it():
    bad = gather(labelled(400, gap=0.9), TWO_TIERS)
    settings = tuned(bad, quality_floor=0.98)
    proof = certified(bad, settings)
    assert proof.certificate is not None
    assert proof.certificate.groups["chat"].threshold is None
    policy = with_certificate(settings, proof)
    tiers = {decide(it, Target(), TWO_TIERS, policy).tier for it in bad.features}
    assert tiers == {"power"}
