"""From a model's name and the facts of a request to a tier: SPEC, section 3."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import deployment, features, snapshot, tier

from pointsman.core.conversation import Conversation, Standing
from pointsman.core.decision import Target, decide, resolve
from pointsman.core.errors import ModelNotFound, NoCapableModel, RequestError
from pointsman.core.types import Decision, Features, Need, Place, Snapshot
from pointsman.policies import PolicySettings
from pointsman.policies.signals import Signals


@dataclass(frozen=True, slots=True)
class Picks:
    """A policy that takes the default tier, or the one at `place` among those left."""

    place: int | None = None
    name: str = "picks"

    def decide(self, features: Features, snapshot: Snapshot) -> Decision:
        del features
        if self.place is None:
            return Decision(tier=snapshot.default_tier, reason="the default")
        return Decision(tier=snapshot.names[self.place], reason="by place")


MINI = deployment("openai/gpt-4o-mini")
HAIKU = deployment("anthropic/haiku")
LARGE = deployment("openai/gpt-4o")
OPUS = deployment("anthropic/opus")
WORLD = snapshot(
    tier("fast", MINI, HAIKU, max_tokens=1_024),
    tier("mid", LARGE, MINI, max_tokens=4_096),
    tier("power", OPUS, LARGE, max_tokens=8_192),
    others=[
        deployment("ollama/llama3:8b"),
        deployment("openrouter/meta/llama"),
        deployment("openrouter/openai/gpt-4o"),
        deployment("a/twin"),
        deployment("b/twin"),
    ],
)
ALIASES = ("auto", "smart")
CHAT_NEEDS = [need for need in Need if need is not Need.EMBEDDINGS]


@pytest.mark.parametrize(
    ("model", "target"),
    [
        ("auto", Target()),
        ("smart", Target()),
        ("fast", Target(tier="fast")),
        ("power", Target(tier="power")),
        ("auto:fast", Target(tier_min="fast")),
        ("smart:power", Target(tier_min="power")),
        ("openai/gpt-4o", Target(deployment="openai/gpt-4o")),
        ("openai/gpt-4o-mini", Target(deployment="openai/gpt-4o-mini")),
        ("haiku", Target(deployment="anthropic/haiku")),
        ("llama3:8b", Target(deployment="ollama/llama3:8b")),
        ("ollama/llama3:8b", Target(deployment="ollama/llama3:8b")),
        ("openrouter/meta/llama", Target(deployment="openrouter/meta/llama")),
        ("meta/llama", Target(deployment="openrouter/meta/llama")),
        ("openrouter/openai/gpt-4o", Target(deployment="openrouter/openai/gpt-4o")),
        ("gpt-4o", Target(deployment="openai/gpt-4o")),
        ("a/twin", Target(deployment="a/twin")),
    ],
)
def test_a_name_means_what_the_contract_says(model, target):
    assert resolve(model, WORLD, ALIASES) == target


@pytest.mark.parametrize(
    "model",
    ["", "gpt-5", "AUTO", "auto ", "auto:", "auto:best", ":fast", "fast:power", "auto:auto", "*",
     "gpt-4o:fast", "openai/", "/gpt-4o", "llama3", "llama", "auto:power:fast"],
)  # fmt: skip
def test_any_other_name_is_not_found_and_hears_what_there_is(model):
    with pytest.raises(ModelNotFound) as caught:
        resolve(model, WORLD, ALIASES)
    assert caught.value.http_status == 404 and caught.value.code == "model_not_found"
    for known in ("auto", "power", "openai/gpt-4o-mini", "ollama/llama3:8b"):
        assert known in caught.value.message


def test_a_name_that_several_providers_have_is_told_with_them():
    with pytest.raises(ModelNotFound, match="a/twin, b/twin"):
        resolve("twin", WORLD, ALIASES)


@pytest.mark.parametrize(
    ("model", "target"),
    [
        ("gpt-99", Target()),
        ("", Target()),
        ("twin", Target()),
        ("auto:nonsense", Target()),
        ("*", Target()),
        ("power", Target(tier="power")),
        ("auto:power", Target(tier_min="power")),
        ("gpt-4o", Target(deployment="openai/gpt-4o")),
    ],
)
def test_with_the_star_every_name_means_something(model, target):
    assert resolve(model, WORLD, (*ALIASES, "*")) == target


def test_a_long_list_of_names_is_cut_short():
    many = snapshot(tier("one", *(deployment(f"p/{n}") for n in range(100))))
    with pytest.raises(ModelNotFound, match=r"and 62 more$"):
        resolve("none", many, ("auto",))


# Hard filters.


@pytest.mark.parametrize(
    ("facts", "capability", "need"),
    [
        (features(needs=[Need.IMAGES]), {"images": False}, "images"),
        (features(needs=[Need.TOOLS]), {"tools": False}, "tools"),
        (features(needs=[Need.JSON_SCHEMA]), {"json_schema": False}, "json_schema"),
        (features(input_tokens=101), {"context_tokens": 100}, "context"),
        (features(input_tokens=60, max_tokens=41), {"context_tokens": 100}, "context"),
    ],
    ids=["images", "tools", "schema", "context", "context with the answer"],
)
def test_a_deployment_that_cannot_serve_is_left_out_and_the_refusal_names_the_need(
    facts, capability, need
):
    weak = deployment("acme/weak", **capability)
    only = snapshot(tier("one", weak))
    with pytest.raises(NoCapableModel, match=f"the need {need}: acme/weak") as caught:
        decide(facts, Target(), only, Picks())
    assert caught.value.http_status == 400
    both = snapshot(tier("one", weak), tier("two", deployment("acme/strong")), default="one")
    decision = decide(facts, Target(), both, Picks())
    assert decision.tier == "two"
    ((filtered),) = decision.filtered
    assert (filtered.tier, filtered.deployment, filtered.need) == ("one", "acme/weak", need)


def test_what_just_fits_and_what_is_not_known_is_let_through():
    facts = features(input_tokens=60, max_tokens=40, needs=CHAT_NEEDS)
    fits = deployment("a/fits", context_tokens=100, images=True, tools=None, json_schema=True)
    decision = decide(facts, Target(), snapshot(tier("one", fits, deployment("a/b"))), Picks())
    assert decision.deployments == ("a/fits", "a/b") and decision.filtered == ()


def test_the_tiers_own_bound_counts_where_the_client_sets_none():
    small = snapshot(tier("one", deployment("a/b", context_tokens=100), max_tokens=50))
    decide(features(input_tokens=50), Target(), small, Picks())
    decide(features(input_tokens=99, max_tokens=1), Target(), small, Picks())
    for target in (Target(), Target(tier="one"), Target(deployment="a/b")):
        with pytest.raises(NoCapableModel, match="context"):
            decide(features(input_tokens=51), target, small, Picks())


def test_a_bound_also_counts_for_a_model_that_its_tier_does_not_list_first():
    world = snapshot(
        tier("one", deployment("a/first"), deployment("a/b", context_tokens=100), max_tokens=50)
    )
    with pytest.raises(NoCapableModel, match="context"):
        decide(features(input_tokens=51), Target(deployment="a/b"), world, Picks())


def test_needs_that_only_different_models_meet_are_refused_together():
    world = snapshot(
        tier("one", deployment("a/sees", images=True, tools=False)),
        tier("two", deployment("a/acts", images=False, tools=True)),
    )
    with pytest.raises(NoCapableModel, match=r"all the needs .*a/sees.*a/acts") as caught:
        decide(features(needs=[Need.IMAGES, Need.TOOLS]), Target(), world, Picks())
    assert "images" in caught.value.message and "tools" in caught.value.message


def test_a_default_tier_that_is_gone_gives_way_to_a_stronger_one_then_to_a_weaker():
    blind = deployment("a/blind", images=False)
    facts = features(needs=[Need.IMAGES])
    low, high = tier("low"), tier("high")
    up = snapshot(low, tier("mid", blind), high)
    down = snapshot(low, tier("mid", blind), tier("high", blind))
    assert decide(facts, Target(), up, Picks()).tier == "high"
    assert decide(facts, Target(), down, Picks()).tier == "low"


# Pins and bounds.


def test_a_tier_asked_for_gets_its_whole_chain():
    decision = decide(features(), Target(tier="fast"), WORLD, Picks(2))
    assert (decision.tier, decision.deployments) == ("fast", (MINI.id, HAIKU.id))
    assert decision.policy == "pinned" and not decision.may_escalate
    assert "the client asks for fast" in decision.reason


def test_the_header_pins_a_tier_over_the_name():
    for target in (Target(), Target(tier="fast"), Target(tier_min="power")):
        decision = decide(features(), target, WORLD, Picks(0), tier_pin="mid")
        assert decision.tier == "mid" and decision.reason.startswith("x-pointsman-tier")
        assert "x-pointsman-tier" in decision.would_change


def test_an_unknown_tier_in_the_header_is_refused_with_what_there_is():
    with pytest.raises(RequestError, match=r'"best": no such tier; there are fast, mid, power'):
        decide(features(), Target(), WORLD, Picks(), tier_pin="best")


def test_a_pinned_tier_that_cannot_serve_is_refused_though_others_could():
    world = snapshot(tier("one", deployment("a/blind", images=False)), tier("two"))
    for target, pin in ((Target(tier="one"), ""), (Target(), "one")):
        with pytest.raises(NoCapableModel, match="images: a/blind"):
            decide(features(needs=[Need.IMAGES]), target, world, Picks(), tier_pin=pin)


@pytest.mark.parametrize(
    ("name", "tier_name", "chain"),
    [
        (MINI.id, "fast", (MINI.id, HAIKU.id)),
        (LARGE.id, "mid", (LARGE.id, MINI.id)),
        (HAIKU.id, "fast", (HAIKU.id,)),
        ("a/twin", "", ("a/twin",)),
    ],
    ids=["first of its tier", "first elsewhere", "a fallback", "of no tier"],
)
def test_a_model_asked_for_has_fallbacks_only_where_a_tier_lists_it_first(name, tier_name, chain):
    decision = decide(features(), Target(deployment=name), WORLD, Picks())
    assert (decision.tier, decision.deployments) == (tier_name, chain)
    assert not decision.may_escalate


def test_a_model_asked_for_that_cannot_serve_is_refused_in_its_own_name_alone():
    world = snapshot(tier("one", deployment("a/blind", images=False), deployment("a/sees")))
    with pytest.raises(NoCapableModel, match="the need images: a/blind") as caught:
        decide(features(needs=[Need.IMAGES]), Target(deployment="a/blind"), world, Picks())
    assert "a/sees" not in caught.value.message


def test_a_bound_raises_the_policys_choice():
    assert decide(features(), Target(tier_min="mid"), WORLD, Picks(0)).tier == "mid"
    assert decide(features(), Target(tier_min="mid"), WORLD, Picks(-1)).tier == "power"
    assert decide(features(), Target(tier_min="fast"), WORLD, Picks(0)).tier == "fast"


def test_a_bound_is_never_undercut_when_only_weaker_tiers_are_left():
    world = snapshot(tier("one"), tier("two", deployment("a/blind", images=False)))
    facts = features(needs=[Need.IMAGES])
    assert decide(facts, Target(), world, Picks()).tier == "one"
    for standing in (None, looping("one", "acme/one")):
        with pytest.raises(NoCapableModel, match="the need images: a/blind"):
            decide(facts, Target(tier_min="two"), world, Picks(), standing=standing)


def test_a_tool_that_may_run_elsewhere_prefers_who_runs_it_and_is_let_go_where_nobody_does():
    own = msgspec.structs.replace(deployment("acme/own"), dialect="openai-responses")
    facts = msgspec.structs.replace(
        features(needs=[Need.OFFERED_TOOLS]), dialect="openai-responses"
    )
    either = snapshot(tier("one"), tier("two", own))
    decision = decide(facts, Target(), either, Picks(0))
    assert (decision.tier, decision.filtered[0].need) == ("two", Need.OFFERED_TOOLS)
    nobody = snapshot(tier("one"), tier("two"))
    assert decide(facts, Target(), nobody, Picks(0)).tier == "one"
    forced = msgspec.structs.replace(facts, needs=frozenset({Need.HOSTED_TOOLS}))
    with pytest.raises(NoCapableModel, match="tools that the provider runs"):
        decide(forced, Target(), nobody, Picks(0))


# Tool loops.


def looping(tier: str, deployment: str) -> Standing:
    """Return a conversation whose tool loop is open, at that place."""
    place = Place(tier, deployment)
    return Standing(
        conversation=Conversation(here=place, base=place), idle_s=1.0, new_tokens=5, is_open=True
    )


def test_a_tool_loop_stays_with_who_began_it():
    decision = decide(features(), Target(), WORLD, Picks(0), standing=looping("mid", LARGE.id))
    assert (decision.tier, decision.deployments) == ("mid", (LARGE.id, MINI.id))
    assert "tool loop" in decision.reason and not decision.may_escalate
    second = decide(features(), Target(), WORLD, Picks(0), standing=looping("fast", HAIKU.id))
    assert second.deployments == (HAIKU.id, MINI.id)


def test_a_tool_loop_does_not_stay_below_the_bound_asked_for():
    decision = decide(
        features(), Target(tier_min="power"), WORLD, Picks(0), standing=looping("mid", MINI.id)
    )
    assert decision.tier == "power"
    kept = decide(
        features(), Target(tier_min="mid"), WORLD, Picks(0), standing=looping("mid", MINI.id)
    )
    assert (kept.tier, kept.deployments) == ("mid", (MINI.id, LARGE.id))


def test_a_tool_loop_whose_deployment_is_gone_or_cannot_serve_is_decided_anew():
    assert (
        decide(features(), Target(), WORLD, Picks(0), standing=looping("mid", "gone/away")).tier
        == "fast"
    )
    world = snapshot(tier("one", deployment("a/blind", images=False)), tier("two"))
    facts = features(needs=[Need.IMAGES])
    assert (
        decide(facts, Target(), world, Picks(0), standing=looping("one", "a/blind")).tier == "two"
    )


def test_a_pin_or_a_name_comes_before_a_tool_loop():
    for target, pin in (
        (Target(tier="fast"), ""),
        (Target(), "fast"),
        (Target(deployment=MINI.id), ""),
    ):
        assert (
            decide(
                features(), target, WORLD, Picks(), tier_pin=pin, standing=looping("power", OPUS.id)
            ).tier
            == "fast"
        )


# Properties.

FACTS = st.builds(
    features,
    needs=st.sets(st.sampled_from(CHAT_NEEDS)),
    input_tokens=st.integers(0, 120),
    max_tokens=st.none() | st.integers(1, 120),
)


@st.composite
def worlds(draw: st.DrawFn) -> Snapshot:
    known = st.none() | st.booleans()
    number = itertools.count()

    def some(count_min: int) -> Iterable[object]:
        for _ in range(draw(st.integers(count_min, 3))):
            window = draw(st.none() | st.integers(1, 200))
            yield deployment(
                f"p/{next(number)}",
                images=draw(known),
                tools=draw(known),
                json_schema=draw(known),
                context_tokens=window,
            )

    tiers = [
        msgspec.structs.replace(
            tier(name), deployments=tuple(some(1)), max_tokens=draw(st.none() | st.integers(1, 99))
        )
        for name in "abcd"[: draw(st.integers(1, 4))]
    ]
    default = draw(st.sampled_from([own.name for own in tiers]))
    return Snapshot(tiers=tuple(tiers), default_tier=default, others=tuple(some(0)))  # type: ignore[arg-type]


@given(facts=FACTS, world=worlds(), place=st.none() | st.sampled_from([0, -1]), data=st.data())
def test_a_decision_is_sound_and_always_the_same(facts, world, place, data):
    tier_min = data.draw(st.sampled_from(["", *world.names]))
    target = Target(tier_min=tier_min)
    decision = outcome(facts, target, world, Picks(place))
    assert outcome(facts, target, world, Picks(place)) == decision
    if isinstance(decision, str):
        return
    order = list(world.names)
    assert order.index(decision.tier) >= (order.index(tier_min) if tier_min else 0)
    own = {d.id: d for d in world.tier(decision.tier).deployments}
    assert decision.deployments and list(decision.deployments) == [
        name for name in own if name in decision.deployments
    ]
    left_out = {entry.deployment for entry in decision.filtered}
    assert left_out.isdisjoint(decision.deployments)
    assert left_out | set(decision.deployments) >= set(own)
    for name in decision.deployments:
        can = own[name].capability
        assert not (Need.IMAGES in facts.needs and can.images is False)
        assert not (Need.TOOLS in facts.needs and can.tools is False)
        bound = facts.max_tokens or world.tier(decision.tier).max_tokens or 0
        assert can.context_tokens is None or facts.input_tokens + bound <= can.context_tokens


def outcome(facts: Features, target: Target, world: Snapshot, policy: Picks) -> Decision | str:
    """Return the decision, or what the refusal says."""
    try:
        return decide(facts, target, world, policy)
    except NoCapableModel as error:
        return error.message


@given(facts=FACTS, world=worlds(), data=st.data())
def test_a_model_asked_for_is_the_first_to_be_tried_or_refused(facts, world, data):
    everyone = [d.id for own in world.tiers for d in own.deployments] + [d.id for d in world.others]
    name = data.draw(st.sampled_from(everyone))
    decision = outcome(facts, Target(deployment=name), world, Picks())
    assert name in decision if isinstance(decision, str) else name == decision.deployments[0]


def test_a_bound_that_changed_the_choice_is_named_and_so_is_its_change():
    policy = Signals(PolicySettings())
    tiers = snapshot(tier("cheap"), tier("dear"), default="dear")
    decision = decide(features(text="format this"), Target(tier_min="dear"), tiers, policy)
    assert decision.tier == "dear"
    assert decision.reason.endswith("the cheapest tier, but the client asks for more than cheap")
    assert decision.would_change == "without a least tier in the model's name it would be cheap"


def test_a_need_that_changed_the_choice_is_named():
    policy = Signals(PolicySettings())
    small = tier("cheap", deployment("small", context_tokens=10))
    tiers = snapshot(small, tier("dear"), default="dear")
    decision = decide(features(text="format this", input_tokens=50), Target(), tiers, policy)
    assert decision.tier == "dear"
    assert "but no model of cheap can serve it" in decision.reason
    assert "do not fit 10" in decision.reason
    assert decision.would_change == "without that need it would be cheap"
