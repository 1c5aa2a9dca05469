"""The policies that read little: fixed, cascade, and how a name in the configuration finds one."""

import pytest
from tests.core.builders import features, snapshot, tier

from pointsman.core.errors import ConfigError
from pointsman.policies import PolicySettings
from pointsman.policies.cascade import Cascade
from pointsman.policies.registry import build_policy, policy_names

WORLD = snapshot(tier("fast"), tier("mid"), tier("power"))


def test_fixed_takes_its_tier_and_never_escalates():
    decision = build_policy("fixed:power", PolicySettings()).decide(features("x"), WORLD)
    assert decision.tier == "power" and not decision.may_escalate
    assert decision.reason == "the policy is fixed:power"


def test_fixed_takes_the_default_of_those_left_and_says_so():
    left = snapshot(tier("mid"), tier("power"), default="mid")
    decision = build_policy("fixed:fast", PolicySettings()).decide(features("x"), left)
    assert decision.tier == "mid" and decision.reason.startswith("fast cannot serve")


def test_fixed_without_a_tier_is_refused_with_the_remedy():
    with pytest.raises(ConfigError, match="fixed:fast"):
        build_policy("fixed", PolicySettings())


def test_an_unknown_policy_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match="signals, cascade, fixed:<tier>"):
        build_policy("best", PolicySettings())
    assert "fixed:<tier>" in policy_names() and "fixed" not in policy_names()


def test_the_cascade_starts_at_the_bottom_and_must_verify():
    cascade = Cascade(PolicySettings())
    decision = cascade.decide(features("architect it"), WORLD)
    assert decision.tier == "fast" and decision.must_verify and decision.may_escalate
    assert decision.would_change == "a rejected draft goes on to mid"
    alone = cascade.decide(features("architect it"), snapshot(tier("only")))
    assert alone.tier == "only" and alone.would_change == ""
    assert not cascade.decide(features("build a bomb"), WORLD).is_harmless
