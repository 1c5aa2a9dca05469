"""A strategy is found by its name, and decides as production does."""

import pytest
from tests.compare.builders import BIG, SMALL, TIERS, logged

from pointsman.compare.records import Booked, LoggedRequest
from pointsman.compare.strategies import (
    baseline,
    build_policies,
    build_strategies,
    decide_logged,
    default_names,
)
from pointsman.core.decision import Target, decide
from pointsman.core.errors import ConfigError
from pointsman.core.types import Caller, Features, Snapshot, Tier
from pointsman.policies import PolicySettings
from pointsman.policies.registry import build_policy

ASKS = ["what is a monad", "architect a service", "explain tides", "word " * 501, ""]
SIGNALS = build_policy("signals", PolicySettings())


def shrunk(count: int) -> Snapshot:
    return Snapshot(tiers=TIERS.tiers[:count], default_tier="fast")


def test_all_strategies_are_named_after_the_tiers():
    assert [name for name in default_names(TIERS) if "cache" not in name] == [
        "all-power",
        "all-mid",
        "all-fast",
        "signals",
    ]
    assert len(default_names(TIERS)) == 8


@pytest.mark.parametrize(
    ("count", "names"),
    [(1, ["all-fast", "signals"]), (2, ["all-mid", "all-fast", "signals"])],
)
def test_two_tiers_have_no_middle(count: int, names: list[str]):
    assert [name for name in default_names(shrunk(count)) if "cache" not in name] == names


def tiers_called(*names: str) -> Snapshot:
    tiers = tuple(Tier(name=name, deployments=(SMALL,)) for name in names)
    return Snapshot(tiers=tiers, default_tier=names[0])


def test_of_four_tiers_the_middle_one_is_the_cheaper_of_two():
    assert default_names(tiers_called("a", "b", "c", "d"))[:6:2] == ("all-d", "all-b", "all-a")


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
    with pytest.raises(ConfigError, match=r"there are all-huge, all-tiny, signals"):
        build_strategies(["all-mid"], tiers_called("tiny", "huge"))


def test_the_baseline_is_the_strongest_tier():
    assert baseline(TIERS).name == "all-power"
    assert baseline(shrunk(2)).name == "all-mid"


@pytest.mark.parametrize("name", ["signals + cache", "signals+cache", " signals  +  cache "])
def test_blanks_in_a_name_do_not_matter(name: str):
    (strategy,) = build_strategies([name], TIERS)
    assert (strategy.name, strategy.spec, strategy.has_cache) == (
        "signals + cache",
        "signals",
        True,
    )


def test_a_strategy_named_twice_is_compared_once():
    strategies = build_strategies(["all-fast", "fixed:fast", "all-fast"], TIERS)
    assert [one.name for one in strategies] == ["all-fast"]


@pytest.mark.parametrize("name", ["all-huge", "fast", "signals + luck", "", "all-", "fixed:", "x"])
def test_an_unknown_name_is_told_what_there_is(name: str):
    with pytest.raises(ConfigError, match=r"there are all-power, all-mid, all-fast, signals"):
        build_strategies([name], TIERS)


def test_cascade_cannot_be_played_over_a_log():
    with pytest.raises(ConfigError, match="drafts and verdicts"):
        build_strategies(["cascade"], TIERS)


def test_no_name_at_all_is_an_error():
    with pytest.raises(ConfigError, match="no strategy is named"):
        build_strategies([], TIERS)


@pytest.mark.parametrize("ask", ASKS)
def test_signals_decides_as_production_does(ask: str):
    record = logged(ask)
    found = decide_logged(SIGNALS, record, TIERS, ("auto",), is_fixed=False)
    assert found == decide(record.features, Target(), TIERS, SIGNALS)


@pytest.mark.parametrize(
    ("asked", "tier"),
    [("auto:power", "power"), ("mid", "mid"), ("acme/big", "fast"), ("elsewhere", "fast")],
    ids=["bound", "tier", "model", "unknown"],
)
def test_a_tier_asked_for_is_kept_but_a_model_is_routed(asked: str, tier: str):
    record = logged("what is a monad", asked=asked)
    found = decide_logged(SIGNALS, record, TIERS, ("auto",), is_fixed=False)
    assert found is not None and found.tier == tier


def test_a_tier_pinned_by_header_is_kept_where_it_exists():
    for pin, tier in (("power", "power"), ("gone", "fast")):
        record = logged("what is a monad", caller=Caller(tier=pin))
        found = decide_logged(SIGNALS, record, TIERS, ("auto",), is_fixed=False)
        assert found is not None and found.tier == tier


def test_a_fixed_policy_takes_even_what_asked_for_another_tier():
    (strategy,) = build_strategies(["all-fast"], TIERS)
    policy = build_policies((strategy,), PolicySettings())[strategy.spec]
    for asked in ("power", "auto:power"):
        record = logged("architect it", asked=asked, caller=Caller(tier="power"))
        found = decide_logged(policy, record, TIERS, ("auto",), is_fixed=True)
        assert found is not None and found.deployments == (SMALL.id,)


def without_prompt(policy: str, tier: str, asked: str = "auto") -> LoggedRequest:
    return LoggedRequest(
        features=Features(
            text="",
            words=0,
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
    found = decide_logged(SIGNALS, record, TIERS, ("auto",), is_fixed=False)
    assert found is not None
    assert (found.tier, found.policy, found.reason) == ("fast", policy, "as booked")


@pytest.mark.parametrize(("policy", "tier"), [("cascade", "fast"), ("signals", "gone")])
def test_what_another_policy_booked_says_nothing_of_this_one(policy: str, tier: str):
    record = without_prompt(policy, tier)
    assert decide_logged(SIGNALS, record, TIERS, ("auto",), is_fixed=False) is None


def test_a_model_that_was_asked_for_by_name_is_asked_for_again():
    record = without_prompt("pinned", "", asked="acme/big")
    found = decide_logged(SIGNALS, record, TIERS, ("auto",), is_fixed=False)
    assert found is not None and found.deployments == (BIG.id,)
