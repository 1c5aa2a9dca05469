"""What of a snapshot a key may use."""

from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import deployment

from pointsman.core.offer import offer
from pointsman.core.types import Snapshot, Tier

NAMES = ("fast", "mid", "power")
MODELS = ("p/a", "p/b", "p/c", "p/d", "p/e", "p/other")


def snapshot(default: str = "mid") -> Snapshot:
    a, b, c, d, e, other = (deployment(name) for name in MODELS)
    return Snapshot(
        tiers=(
            Tier(name="fast", deployments=(a, b), max_tokens=10),
            Tier(name="mid", deployments=(c, a)),
            Tier(name="power", deployments=(d, e)),
        ),
        default_tier=default,
        others=(other,),
    )


def models_of(found: Snapshot) -> dict[str, list[str]]:
    return {tier.name: [d.id for d in tier.deployments] for tier in found.tiers}


def test_without_bounds_it_is_the_very_snapshot():
    whole = snapshot()
    assert offer(whole, (), ()) is whole
    assert offer(whole, (), MODELS) is whole


def test_tiers_leave_out_the_others_and_models_of_none():
    found = offer(snapshot(), ("fast", "power"), ())
    assert models_of(found) == {"fast": ["p/a", "p/b"], "power": ["p/d", "p/e"]}
    assert found.others == ()
    assert found.tier("fast").max_tokens == 10


def test_models_leave_out_the_others_wherever_they_stand():
    found = offer(snapshot(), (), ("p/a", "p/other"))
    assert models_of(found) == {"fast": ["p/a"], "mid": ["p/a"]}
    assert [d.id for d in found.others] == ["p/other"]


def test_both_bounds_hold_together():
    found = offer(snapshot(), ("mid",), ("p/a", "p/d", "p/other"))
    assert models_of(found) == {"mid": ["p/a"]}
    assert found.others == ()
    assert offer(snapshot(), ("nix",), ()).tiers == ()
    assert offer(snapshot(), ("nix",), ()).default_tier == ""


def test_a_default_tier_that_is_gone_gives_way_to_the_nearest_stronger_one():
    assert offer(snapshot("fast"), ("mid", "power"), ()).default_tier == "mid"
    assert offer(snapshot("mid"), ("fast", "power"), ()).default_tier == "power"
    assert offer(snapshot("power"), ("fast", "mid"), ()).default_tier == "mid"
    assert offer(snapshot("mid"), ("fast", "mid"), ()).default_tier == "mid"


@given(
    tiers=st.sets(st.sampled_from((*NAMES, "nix"))),
    models=st.sets(st.sampled_from((*MODELS, "p/nix"))),
    default=st.sampled_from(NAMES),
)
def test_nothing_is_on_offer_that_a_bound_leaves_out(
    tiers: set[str], models: set[str], default: str
):
    whole = snapshot(default)
    found = offer(whole, tiers, models)
    for tier in found.tiers:
        assert not tiers or tier.name in tiers
        assert tier.deployments
        whole_tier = whole.tier(tier.name).deployments
        kept = tuple(d for d in whole_tier if not models or d.id in models)
        assert tier.deployments == kept, "in their order, and all that are allowed"
    assert all(not tiers and (not models or d.id in models) for d in found.others)
    assert (found.default_tier in found.names) == bool(found.tiers)
