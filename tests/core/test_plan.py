"""What is tried for a decision, in which order, and behind which gate."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import deployment, features, snapshot, tier

from pointsman.core.errors import BudgetExceeded
from pointsman.core.plan import (
    Affordable,
    as_held,
    bounded,
    build_plan,
    step_worst_case_nanousd,
)
from pointsman.core.prices import Price
from pointsman.core.types import Decision, Deployment, Filtered, Need, Plan, Step

A, B, C, D = (deployment(f"p/{name}") for name in "abcd")
WORLD = snapshot(
    tier("fast", A, B, max_tokens=100),
    tier("mid", C, A, max_tokens=200),
    tier("power", D, C),
    others=[deployment("p/other")],
)
PRICE = Price(
    input_nanousd_per_mtok=1_000_000,
    cached_input_nanousd_per_mtok=0,
    cache_write_nanousd_per_mtok=1_000_000,
    output_nanousd_per_mtok=2_000_000,
    version="test",
)


def decided(tier: str, *names: str, may_escalate: bool = True) -> Decision:
    return Decision(tier=tier, reason="", deployments=names, may_escalate=may_escalate)


def planned(decision: Decision, *resting: str, may_escalate: bool = True) -> Plan:
    return build_plan(decision, WORLD, resting=set(resting), may_escalate=may_escalate)


def only_step(deployment: Deployment, *, max_tokens: int | None = None) -> Step:
    world = snapshot(tier("one", deployment, max_tokens=max_tokens))
    (step,) = build_plan(decided("one", deployment.id), world, may_escalate=True).steps
    return step


def order(plan: Plan) -> list[str]:
    """Return the steps as `tier:model`, the gated ones with a bar behind them."""
    return [f"{step.tier}:{step.deployment.model}" + "|" * step.is_gated for step in plan.steps]


def test_a_plan_goes_through_the_tiers_chain_and_then_up():
    assert order(planned(decided("fast", "p/a", "p/b"))) == [
        "fast:a|", "fast:b|", "mid:c|", "mid:a|", "power:d", "power:c",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("decision", "may_escalate"),
    [
        (decided("fast", "p/b", "p/a", may_escalate=False), True),
        (decided("fast", "p/b", "p/a"), False),
    ],
    ids=["the decision's word", "the configuration's switch"],
)
def test_without_escalation_the_chain_is_all_and_nothing_is_gated(decision, may_escalate):
    assert order(planned(decision, may_escalate=may_escalate)) == ["fast:b", "fast:a"]


def test_a_model_of_no_tier_stands_alone():
    assert order(planned(decided("", "p/other"))) == [":other"]


def test_the_strongest_tier_is_never_gated():
    assert order(planned(decided("power", "p/d", "p/c"))) == ["power:d", "power:c"]


def test_who_rests_is_left_out_and_named_once():
    plan = planned(decided("fast", "p/a", "p/b"), "p/a")
    assert order(plan) == ["fast:b|", "mid:c|", "power:d", "power:c"]
    assert plan.resting == ("p/a",)


def test_a_tier_is_not_gated_when_all_above_it_rest():
    plan = planned(decided("mid", "p/c", "p/a"), "p/d", "p/c")
    assert order(plan) == ["mid:a"]
    assert plan.resting == ("p/c", "p/d")


def test_a_plan_with_everyone_resting_has_no_steps():
    plan = planned(decided("fast", "p/a", "p/b"), *["p/a", "p/b", "p/c", "p/d"])
    assert plan.steps == () and plan.resting == ("p/a", "p/b", "p/c", "p/d")


def test_what_was_filtered_stays_out_of_the_tiers_above_too():
    filtered = [Filtered(tier="mid", deployment="p/c", need="images", reason="")]
    decision = msgspec.structs.replace(decided("fast", "p/a"), filtered=tuple(filtered))
    assert order(planned(decision)) == ["fast:a|", "mid:a|", "power:d", "power:c"]


def test_each_tier_calls_its_own_deployment_where_several_have_one_of_that_name():
    loud = msgspec.structs.replace(A, params={"effort": "high"})
    world = snapshot(tier("fast", A), tier("power", loud))
    plan = build_plan(decided("fast", "p/a"), world, may_escalate=True)
    assert [dict(step.deployment.params) for step in plan.steps] == [{}, {"effort": "high"}]
    only = build_plan(decided("power", "p/a"), world, may_escalate=True)
    assert dict(only.steps[0].deployment.params) == {"effort": "high"}


@pytest.mark.parametrize(
    ("asked", "own", "most", "bound"),
    [(10, 20, 30, 10), (None, 20, 30, 20), (None, None, 30, 30), (None, None, None, None)],
    ids=["the client's", "the tier's", "the model's", "none"],
)
def test_the_worst_case_goes_by_the_first_bound_there_is(asked, own, most, bound):
    priced = msgspec.structs.replace(deployment("p/x", max_output_tokens=most), price=PRICE)
    step = only_step(priced, max_tokens=own)
    worst = step_worst_case_nanousd(step, features(input_tokens=100, max_tokens=asked))
    assert step.max_tokens == own
    assert worst == (None if bound is None else 100 + 2 * bound)


@pytest.mark.parametrize(
    ("params", "asked", "tokens"),
    [
        ({}, {"choices": 3}, 3 * 50),
        ({"n": 4}, {}, 4 * 50),
        ({"max_completion_tokens": 700}, {}, 700),
        ({"max_tokens": 20, "n": 2}, {"choices": 1}, 40),
        ({}, {"needs": frozenset({Need.EMBEDDINGS})}, 0),
    ],
    ids=["several choices", "sent always", "a bound of its own", "both", "embeddings"],
)
def test_the_worst_case_counts_every_choice_and_what_is_always_sent(params, asked, tokens):
    priced = msgspec.structs.replace(deployment("p/x"), price=PRICE, params=params)
    facts = msgspec.structs.replace(features(input_tokens=100, max_tokens=50), **asked)
    assert step_worst_case_nanousd(only_step(priced), facts) == 100 + 2 * tokens


def test_without_any_bound_a_whole_window_may_come():
    priced = msgspec.structs.replace(deployment("p/x", context_tokens=900), price=PRICE)
    facts = features(input_tokens=100, max_tokens=None)
    assert step_worst_case_nanousd(only_step(priced), facts) == 100 + 2 * 900


def test_without_a_price_there_is_no_worst_case():
    step = planned(decided("fast", "p/a")).steps[0]
    assert step_worst_case_nanousd(step, features()) is None


def test_what_a_budget_holds_for_a_step_stands_above_the_estimate():
    held = msgspec.structs.replace(only_step(A), worst_case_nanousd=7)
    assert step_worst_case_nanousd(held, features()) == 7


STATED = msgspec.structs.replace(PRICE, version="config/test")


@given(
    dear=st.lists(st.sampled_from([None, 1, 2, 3]), min_size=1, max_size=8),
    most=st.lists(st.sampled_from([None, 50, 60]), min_size=1, max_size=3),
    has_images=st.booleans(),
    attempts_max=st.integers(1, 6),
    data=st.data(),
)
def test_what_steps_of_a_kind_share_is_what_each_would_have_been_held_at(
    dear, most, has_images, attempts_max, data
):
    deployments = []
    for number, factor in enumerate(dear):
        rate = None if factor is None else factor * 1_000_000
        price = rate and msgspec.structs.replace(STATED, output_nanousd_per_mtok=rate)
        bare = deployment(f"p/m{number % 6}", max_output_tokens=most[number % len(most)])
        deployments.append(msgspec.structs.replace(bare, price=price))
    half = (len(deployments) + 1) // 2
    chains = {"fast": deployments[:half], "power": deployments[half:] or deployments[:1]}
    world = snapshot(*(tier(name, *chain) for name, chain in chains.items()))
    plan = build_plan(decided("fast", *world.tier("fast").ids), world, may_escalate=True)
    plan = msgspec.structs.replace(plan, attempts_max=attempts_max)
    facts = msgspec.structs.replace(features(input_tokens=100), images=int(has_images))
    held = as_held(plan, facts, lambda step: step.deployment.price)
    alone = [
        as_held(Plan(steps=(step,)), facts, lambda step: step.deployment.price).steps[0]
        for step in plan.steps
    ]
    assert list(held.steps) == alone
    try:
        left = bounded(held)
    except BudgetExceeded:
        return
    first = data.draw(st.integers(0, len(left.steps) - 1))
    each = msgspec.structs.replace(left, steps=tuple(left.steps))
    assert list(Affordable(left, first)) == list(Affordable(each, first))


def test_a_budget_asks_for_no_more_prices_than_there_are_kinds():
    chain = [
        msgspec.structs.replace(deployment(f"p/{number}"), price=STATED) for number in range(500)
    ]
    world = snapshot(tier("one", *chain))
    plan = build_plan(decided("one", *world.tier("one").ids), world, may_escalate=True)
    asked: list[Step] = []

    def price_of(step: Step) -> Price | None:
        asked.append(step)
        return step.deployment.price

    held = as_held(plan, features(input_tokens=100, max_tokens=50), price_of)
    assert next(iter(Affordable(held))) == 4 * 200
    assert len(asked) == 1


def test_the_same_decision_finds_its_plan_again_and_only_the_latest_are_kept():
    world = snapshot(tier("fast", A, B), tier("power", D))
    plan = build_plan(decided("fast", "p/a"), world, may_escalate=True)
    assert build_plan(decided("fast", "p/a"), world, may_escalate=True) is plan
    for number in range(1_000):
        resting = {f"p/of-another-tier-{number}"}
        found = build_plan(decided("fast", "p/a"), world, resting=resting, may_escalate=True)
        assert found == plan
    assert len(world.plans) < 100


@given(
    start=st.sampled_from(["fast", "mid", "power"]),
    resting=st.sets(st.sampled_from(["p/a", "p/b", "p/c", "p/d"])),
    may_escalate=st.booleans(),
)
def test_a_plan_only_climbs_calls_nobody_who_rests_and_ends_ungated(start, resting, may_escalate):
    chain = tuple(d.id for d in WORLD.tier(start).deployments)
    plan = planned(decided(start, *chain), *resting, may_escalate=may_escalate)
    tiers = [WORLD.names.index(step.tier) for step in plan.steps]
    assert tiers == sorted(tiers)
    assert all(step.deployment.id not in resting for step in plan.steps)
    assert set(plan.resting) <= resting
    assert all(step.is_gated == (step.tier != plan.steps[-1].tier) for step in plan.steps)
