"""Strategies: what is compared, by name: a policy, with or without the cache, or a yardstick."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from pointsman.core.decision import Policy
from pointsman.core.errors import ConfigError
from pointsman.core.types import CacheTier, Snapshot, middle_tier
from pointsman.policies import PolicySettings
from pointsman.policies.registry import build_policy, policy_names

BEST, RANDOM, LENGTH, CHEAPEST = "best-single", "random", "length", "cheapest-first"
CASCADE, ORACLE = "cascade", "oracle"
FIXED, SINGLE = "fixed:", "single:"
LEARNED, SIGNALS = "learned", "signals"

_ALL = "all-"
# What follows a plus, and the last tier of the cache that is looked into.
_CACHES: Mapping[str, CacheTier] = {
    "cache": "exact",
    "normalised cache": "normalised",
    "canonical cache": "canonical",
}
_SERVED = ("cache", "normalised cache")  # what the router has so far
_AT_EQUAL_COST = (RANDOM, LENGTH, CHEAPEST)
_YARDSTICKS = {
    BEST: "best single model",
    RANDOM: "random at equal cost",
    LENGTH: "length at equal cost",
    CHEAPEST: "cheapest first at equal cost",
    CASCADE: CASCADE,
    ORACLE: ORACLE,
}


@dataclass(frozen=True, slots=True)
class Strategy:
    """One line of the comparison.

    `spec` is the policy as `routing.policy` names it, "single:<model>", or one of this module's
    yardsticks. `cache`: the last tier of the cache that is looked into, None for no cache.
    """

    name: str
    spec: str
    cache: CacheTier | None = None

    @property
    def has_cache(self) -> bool:
        """Return whether answers are kept and given again."""
        return self.cache is not None

    @property
    def is_fixed(self) -> bool:
        """Return whether every request goes to one tier, whatever it asks for."""
        return self.spec.startswith(FIXED)

    @property
    def is_policy(self) -> bool:
        """Return whether a policy of the registry decides, as it would in production."""
        return self.spec not in _YARDSTICKS

    @property
    def is_played(self) -> bool:
        """Return whether it takes requests one by one; the others are worked out at the end."""
        return self.spec != BEST and not self.is_at_equal_cost

    @property
    def is_at_equal_cost(self) -> bool:
        """Return whether it spends what the reference spends, and is worked out at the end."""
        return self.spec in _AT_EQUAL_COST

    @property
    def needs_labels(self) -> bool:
        """Return whether it can only be played where outcomes are known."""
        return self.spec in (CASCADE, ORACLE)


def baseline(snapshot: Snapshot) -> Strategy:
    """Return the strategy that the others are measured against: all to the strongest tier."""
    return _all(snapshot.names[-1])


def cheapest(snapshot: Snapshot) -> Strategy:
    """Return the strategy that sends all to the cheapest tier."""
    return _all(snapshot.names[0])


def reference() -> Strategy:
    """Return whose cost the yardsticks at equal cost spend: `learned`, `signals` without it."""
    spec = LEARNED if LEARNED in _policies() else SIGNALS
    return Strategy(spec, spec)


def default_names(snapshot: Snapshot) -> tuple[str, ...]:
    """Return the strategies that everybody should see; of the tiers between, the middle one."""
    tiers = [f"{_ALL}{tier}" for tier in dict.fromkeys(_roles(snapshot).values())]
    cached = [f"{tiers[0]} + cache", *(f"{reference().name} + {cache}" for cache in _SERVED)]
    yardsticks = [_YARDSTICKS[spec] for spec in (BEST, *_AT_EQUAL_COST)]
    return (*tiers, *yardsticks, *_policies(), CASCADE, *cached, ORACLE)


def build_strategies(names: Sequence[str] | None, snapshot: Snapshot) -> tuple[Strategy, ...]:
    """Return the strategies called `names`, the default ones for None, each once.

    all-power, all-mid and all-fast also mean the strongest, the middle and the cheapest tier where
    none is called so; the strategy bears the tier's own name. With the one that claims to know
    better come those that need no model of the request, named or not: nobody is to be fooled.

    Raises ConfigError for a name that means nothing here, naming what there is.
    """
    wanted = default_names(snapshot) if names is None else names
    if not wanted:
        raise ConfigError(f"no strategy is named; there are {_known(snapshot)}")
    chosen = dict.fromkeys(_strategy(name, snapshot) for name in wanted)
    if reference() in chosen:
        yardsticks = (BEST, *_AT_EQUAL_COST)
        chosen |= dict.fromkeys(Strategy(_YARDSTICKS[spec], spec) for spec in yardsticks)
    return tuple(chosen)


def build_policies(specs: Iterable[str], settings: PolicySettings) -> dict[str, Policy]:
    """Return the policies by spec. Raises ConfigError when one cannot be loaded."""
    return {spec: build_policy(spec, settings) for spec in specs}


def _all(tier: str) -> Strategy:
    return Strategy(f"{_ALL}{tier}", f"{FIXED}{tier}")


def _strategy(name: str, snapshot: Snapshot) -> Strategy:
    base, plus, extra = (" ".join(part.split()) for part in name.partition("+"))
    if plus and extra not in _CACHES:
        raise _unknown(name, snapshot)
    for spec, title in _YARDSTICKS.items():
        if base in (spec, title):
            if plus:
                raise ConfigError(
                    f'strategy "{name}": only a policy or all-<tier> takes "+ {extra}"'
                )
            return Strategy(title, spec)
    tier = base.removeprefix(FIXED if base.startswith(FIXED) else _ALL)
    if base.startswith(_ALL) and tier not in snapshot.names:
        tier = _roles(snapshot).get(tier, tier)
    if base != tier and tier in snapshot.names:
        base, spec = f"{_ALL}{tier}", f"{FIXED}{tier}"
    elif base in _policies():
        spec = base
    else:
        raise _unknown(name, snapshot)
    return Strategy(f"{base} + {extra}", spec, _CACHES[extra]) if plus else Strategy(base, spec)


def _roles(snapshot: Snapshot) -> dict[str, str]:
    """Return the tiers by what they are among these, whatever they are called: strongest first."""
    middle = middle_tier(snapshot.tiers)
    between = {"mid": middle.name} if middle else {}
    return {"power": snapshot.names[-1], **between, "fast": snapshot.names[0]}


@cache
def _policies() -> tuple[str, ...]:
    """Return the policies that decide once and for all; what a cascade does hangs on its drafts.

    Kept, for looking up what is installed takes 10 ms, and a log may have thousands of files.
    """
    names = (name for name in policy_names() if name != CASCADE and not name.startswith(FIXED))
    return tuple(sorted(names, key=lambda name: (name != SIGNALS, name != LEARNED)))


def _unknown(name: str, snapshot: Snapshot) -> ConfigError:
    return ConfigError(f'strategy "{name}": no such strategy; there are {_known(snapshot)}')


def _known(snapshot: Snapshot) -> str:
    bases = (*(f"{_ALL}{tier}" for tier in reversed(snapshot.names)), *_policies())
    extras = " or ".join(f'" + {extra}"' for extra in _CACHES)
    return f"{', '.join(bases)}, each also with {extras}, and {', '.join(_YARDSTICKS)}"
