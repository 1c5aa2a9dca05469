"""A strategy is found by its name, and decides as production does."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.compare.builders import BIG, SMALL, TIERS, logged

from pointsman.compare.deciding import Decider
from pointsman.compare.records import Booked, LoggedRequest
from pointsman.compare.strategies import (
    baseline,
    build_policies,
    build_strategies,
    default_names,
    reference,
)
from pointsman.core.conversation import Conversation, Standing
from pointsman.core.decision import Target, decide
from pointsman.core.errors import ConfigError, NoCapableModel
from pointsman.core.types import (
    Caller,
    Capability,
    Decision,
    Features,
    Need,
    Place,
    Snapshot,
    Tier,
)
from pointsman.policies import PolicySettings
from pointsman.policies.registry import build_policy, policy_names

ASKS = ["what is a monad", "architect a service", "explain tides", "word " * 501, ""]
SIGNALS = build_policy("signals", PolicySettings())


def shrunk(count: int) -> Snapshot:
    return Snapshot(tiers=TIERS.tiers[:count], default_tier="fast")


def decided(
    record: LoggedRequest, spec: str = "signals", standing: Standing | None = None
) -> Decision | None:
    policies = build_policies([spec], PolicySettings())
    return Decider(policies, TIERS, ("auto",)).decide(spec, record, standing)


YARDSTICKS = [
    "best single model",
    "random at equal cost",
    "length at equal cost",
    "cheapest first at equal cost",
]


def test_the_default_strategies_have_every_tier_every_policy_and_every_yardstick():
    names = list(default_names(TIERS))
    assert names[:3] == ["all-power", "all-mid", "all-fast"]
    assert names[3:7] == YARDSTICKS
    assert names[7] == "signals" and "cascade" in names and names[-1] == "oracle"
    assert "all-power + cache" in names and f"{reference().name} + cache" in names
    assert sum("cache" in name for name in names) == 3


def test_every_policy_that_decides_at_once_is_compared():
    every = [name for name in policy_names() if name != "cascade" and not name.startswith("fixed")]
    assert set(every) <= set(default_names(TIERS))


@pytest.mark.parametrize(("count", "tiers"), [(1, ["all-fast"]), (2, ["all-mid", "all-fast"])])
def test_two_tiers_have_no_middle(count: int, tiers: list[str]):
    names = default_names(shrunk(count))
    assert [it for it in names if it.startswith("all-") and "cache" not in it] == tiers


def tiers_called(*names: str) -> Snapshot:
    tiers = tuple(Tier(name=name, deployments=(SMALL,)) for name in names)
    return Snapshot(tiers=tiers, default_tier=names[0])


def test_of_four_tiers_the_middle_one_is_the_cheaper_of_two():
    assert default_names(tiers_called("a", "b", "c", "d"))[:3] == ("all-d", "all-b", "all-a")


def test_the_usual_names_mean_the_strongest_the_middle_and_the_cheapest_tier():
    asked = ["all-power", "all-mid + cache", "all-fast"]
    strategies = build_strategies(asked, tiers_called("tiny", "plain", "huge"))
    assert [(it.name, it.spec) for it in strategies] == [
        ("all-huge", "fixed:huge"),
        ("all-plain + cache", "fixed:plain"),
        ("all-tiny", "fixed:tiny"),
    ]


def test_a_tier_of_that_very_name_comes_first():
    (strategy,) = build_strategies(["all-power"], tiers_called("power", "plain", "huge"))
    assert strategy.name == "all-power"


def test_the_usual_name_of_the_middle_means_nothing_between_two_tiers():
    with pytest.raises(ConfigError, match=r"there are all-huge, all-tiny, "):
        build_strategies(["all-mid"], tiers_called("tiny", "huge"))


def test_the_baseline_is_the_strongest_tier():
    assert baseline(TIERS).name == "all-power"
    assert baseline(shrunk(2)).name == "all-mid"


@pytest.mark.parametrize("name", ["signals + cache", "signals+cache", " signals  +  cache "])
def test_blanks_in_a_name_do_not_matter(name: str):
    (strategy,) = build_strategies([name], TIERS)
    assert (strategy.name, strategy.spec, strategy.cache) == (
        "signals + cache",
        "signals",
        "exact",
    )


def test_a_strategy_named_twice_is_compared_once():
    strategies = build_strategies(["all-fast", "fixed:fast", "all-fast"], TIERS)
    assert [one.name for one in strategies] == ["all-fast"]


@pytest.mark.parametrize("name", ["all-huge", "fast", "signals + luck", "", "all-", "fixed:", "x"])
def test_an_unknown_name_is_told_what_there_is(name: str):
    with pytest.raises(ConfigError, match=r"there are all-power, all-mid, all-fast, "):
        build_strategies([name], TIERS)


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("best-single", "best-single"),
        ("best single model", "best-single"),
        ("random", "random"),
        ("length", "length"),
        ("cheapest-first", "cheapest-first"),
        ("oracle", "oracle"),
        ("cascade", "cascade"),
    ],
)
def test_a_yardstick_has_a_short_name_and_a_long_one(name: str, spec: str):
    (strategy,) = build_strategies([name], TIERS)
    assert strategy.spec == spec and build_strategies([strategy.name], TIERS) == (strategy,)


def test_a_yardstick_has_no_cache():
    with pytest.raises(ConfigError, match="only a policy"):
        build_strategies(["oracle + cache"], TIERS)


def test_no_name_at_all_is_an_error():
    with pytest.raises(ConfigError, match="no strategy is named"):
        build_strategies([], TIERS)


@pytest.mark.parametrize("ask", ASKS)
def test_signals_decides_as_production_does(ask: str):
    record = logged(ask)
    found = decided(record)
    assert found == decide(record.features, Target(), TIERS, SIGNALS)


@pytest.mark.parametrize(
    ("asked", "tier"),
    [("auto:power", "power"), ("mid", "mid"), ("acme/big", "fast"), ("elsewhere", "fast")],
    ids=["bound", "tier", "model", "unknown"],
)
def test_a_tier_asked_for_is_kept_but_a_model_is_routed(asked: str, tier: str):
    record = logged("what is a monad", asked=asked)
    found = decided(record)
    assert found is not None and found.tier == tier


def test_a_tier_pinned_by_header_is_kept_where_it_exists():
    for pin, tier in (("power", "power"), ("gone", "fast")):
        record = logged("what is a monad", caller=Caller(tier=pin))
        found = decided(record)
        assert found is not None and found.tier == tier


def test_a_fixed_policy_takes_even_what_asked_for_another_tier():
    for asked in ("power", "auto:power"):
        record = logged("architect it", asked=asked, caller=Caller(tier="power"))
        found = decided(record, "fixed:fast")
        assert found is not None and found.deployments == (SMALL.id,)


@given(
    sizes=st.lists(st.integers(1, 100_000), min_size=1, max_size=20),
    needs=st.lists(st.sampled_from([*Need]), max_size=2),
    windows=st.tuples(*[st.integers(1_000, 100_000)] * 3),
    max_tokens=st.none() | st.integers(1, 50_000),
)
def test_what_is_kept_of_a_fixed_policy_never_makes_it_decide_otherwise(
    sizes, needs, windows, max_tokens
):
    tiers = tuple(
        msgspec.structs.replace(
            tier,
            deployments=(
                msgspec.structs.replace(
                    tier.deployments[0],
                    capability=Capability(context_tokens=window, images=tier.name == "power"),
                ),
            ),
        )
        for tier, window in zip(TIERS.tiers, windows, strict=True)
    )
    snapshot = Snapshot(tiers=tiers, default_tier="mid")
    policies = build_policies(["fixed:mid"], PolicySettings())
    decider = Decider(policies, snapshot, ())
    for size in sizes:
        features = msgspec.structs.replace(
            logged("a").features,
            input_tokens=size,
            needs=frozenset(needs),
            max_tokens=max_tokens,
        )
        record = LoggedRequest(features=features)
        try:
            wanted = decide(features, Target(), snapshot, policies["fixed:mid"])
        except NoCapableModel:
            with pytest.raises(NoCapableModel):
                decider.decide("fixed:mid", record)
        else:
            assert decider.decide("fixed:mid", record) == wanted


def test_a_tool_loop_stays_where_it_began():
    place = Place("power", BIG.id)
    conversation = Conversation(here=place, base=place)
    standing = Standing(conversation=conversation, idle_s=1.0, new_tokens=5, is_open=True)
    found = decided(logged("what is a monad"), "signals", standing)
    assert found is not None and found.deployments == (BIG.id,)


def test_what_holds_a_reading_or_a_text_is_decided_without_a_request():
    features = logged("what is a monad").features
    found = decided(LoggedRequest(features=features))
    assert found is not None and found.tier == "fast"
    empty = msgspec.structs.replace(features, text="", words_told=0)
    assert decided(LoggedRequest(features=empty)) is None


def without_prompt(policy: str, tier: str, asked: str = "auto") -> LoggedRequest:
    return LoggedRequest(
        features=Features(
            text="",
            turns=0,
            input_tokens=1,
            max_tokens=None,
            needs=frozenset(),
            is_tool_loop=False,
        ),
        model=BIG.id,
        booked=Booked(policy=policy, tier=tier, reason="as booked", asked=asked),
    )


@pytest.mark.parametrize("policy", ["signals", "pinned"])
def test_without_a_prompt_the_booked_decision_is_kept(policy: str):
    record = without_prompt(policy, "fast")
    found = decided(record)
    assert found is not None
    assert (found.tier, found.policy, found.reason) == ("fast", policy, "as booked")


@pytest.mark.parametrize(("policy", "tier"), [("cascade", "fast"), ("signals", "gone")])
def test_what_another_policy_booked_says_nothing_of_this_one(policy: str, tier: str):
    record = without_prompt(policy, tier)
    assert decided(record) is None


def test_a_model_that_was_asked_for_by_name_is_asked_for_again():
    record = without_prompt("pinned", "", asked="acme/big")
    found = decided(record)
    assert found is not None and found.deployments == (BIG.id,)
