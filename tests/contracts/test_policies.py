"""Every policy that can be chosen keeps the promises of `Policy`, a third party's too."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import deployment, features, snapshot, tier

from pointsman.core.decision import Target, decide
from pointsman.core.errors import ConfigError, GatewayError
from pointsman.core.types import Decision, Features, Need, Snapshot
from pointsman.policies import Policy, PolicySettings, registry
from pointsman.policies.registry import build_policy, policy_names

ARGUMENTS = {"fixed:<tier>": "fixed:b"}
SPECS = [ARGUMENTS.get(name, name) for name in (*policy_names(), "third-party")]
TIERS = "abcdef"


class ByLength:
    """A third party's policy: the longer the text, the stronger the tier."""

    name = "third-party"

    def __init__(self, settings: PolicySettings) -> None:
        self._step = len(settings.argument) + 10

    def decide(self, features: Features, snapshot: Snapshot) -> Decision:
        place = min(len(features.text) // self._step, len(snapshot.tiers) - 1)
        return Decision(tier=snapshot.names[place], reason=f"{len(features.text)} characters")


class Broken:
    def __init__(self, settings: PolicySettings) -> None:
        raise RuntimeError("no licence")


POINTS = [
    EntryPoint("third-party", f"{__name__}:ByLength", registry.ENTRY_POINTS),
    EntryPoint("signals", f"{__name__}:ByLength", registry.ENTRY_POINTS),
    EntryPoint("broken", f"{__name__}:Broken", registry.ENTRY_POINTS),
    EntryPoint("missing", "no_such_package:Policy", registry.ENTRY_POINTS),
]


@pytest.fixture(scope="module", autouse=True)
def third_party() -> Iterator[None]:
    """Install a package with policies, as far as the registry can tell."""

    def entry_points(**wanted: Any) -> EntryPoints:
        return EntryPoints(POINTS).select(**wanted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "entry_points", entry_points)
        patch.setattr(EntryPoint, "load", lambda point: LOADED[point.value])
        yield


class _Loaded(dict[str, object]):
    def __missing__(self, value: str) -> object:
        raise ModuleNotFoundError(value)


LOADED = _Loaded({f"{__name__}:ByLength": ByLength, f"{__name__}:Broken": Broken})


@pytest.fixture(scope="module", params=SPECS)
def policy(request: pytest.FixtureRequest) -> Policy:
    return build_policy(request.param, PolicySettings())


@pytest.fixture(scope="module", params=range(1, len(TIERS) + 1), ids=lambda count: f"{count} tiers")
def world(request: pytest.FixtureRequest) -> Snapshot:
    return snapshot(*(tier(name) for name in TIERS[: request.param]))


TEXTS = st.text(max_size=60) | st.lists(
    st.sampled_from(["architect", "what", "is", "list", "bomb", "\n", "İ", "\ud800", "\x00"])
).map(" ".join)
FACTS = st.builds(
    features,
    TEXTS,
    words=st.none() | st.integers(0, 10**6),
    input_tokens=st.integers(0, 10**9),
    max_tokens=st.none() | st.integers(1, 10**9),
    needs=st.sets(st.sampled_from(list(Need))),
)


def test_the_registry_names_the_third_partys_policies_and_keeps_our_own():
    names = policy_names()
    assert "third-party" in names and names.count("signals") == 1
    assert not isinstance(build_policy("signals", PolicySettings()), ByLength)


@pytest.mark.parametrize(("spec", "says"), [("broken", "no licence"), ("missing", "no_such_pack")])
def test_a_policy_that_cannot_be_loaded_stops_the_start_by_name(spec, says):
    with pytest.raises(ConfigError, match=f'"{spec}": loading .*{says}'):
        build_policy(spec, PolicySettings())


@given(facts=FACTS)
def test_it_picks_one_of_the_tiers_and_gives_its_reason(policy, world, facts):
    decision = policy.decide(facts, world)
    assert decision.tier in world.names
    assert decision.reason
    assert set(decision.scores) <= set(world.names)
    for signal in decision.signals:
        assert 0 <= signal.start < len(facts.text)


@given(facts=FACTS)
def test_the_same_request_gets_the_same_decision_from_it_and_from_its_twin(policy, world, facts):
    spec = next(spec for spec in SPECS if spec == policy.name)
    twin = build_policy(spec, PolicySettings())
    decision = policy.decide(facts, world)
    assert policy.decide(facts, world) == decision == twin.decide(facts, world)


@pytest.mark.parametrize(
    "kept", [k for n in (1, 2, 3) for k in combinations("abcd", n)], ids="".join
)
def test_it_picks_among_those_that_can_serve(policy, kept):
    tiers = [tier(name, deployment(f"p/{name}", images=name in kept)) for name in "abcd"]
    for text in ("architect it", "format it", "tell me", "x " * 600):
        facts = features(text, needs=[Need.IMAGES])
        for default in "abcd":
            whole = snapshot(*tiers, default=default)
            decision = decide(facts, Target(), whole, policy)
            assert decision.tier in kept and decision.policy == policy.name
            assert len(decision.filtered) == 4 - len(kept)


class Lost:
    """A policy that names a tier of its own."""

    name = "lost"

    def decide(self, features: Features, snapshot: Snapshot) -> Decision:
        return Decision(tier="elsewhere", reason="why not")


def test_a_policy_that_names_an_unknown_tier_is_told_so_by_name():
    with pytest.raises(GatewayError, match='the policy "lost" chose "elsewhere", which is none of'):
        decide(features(), Target(), snapshot(tier("a"), tier("b")), Lost())
