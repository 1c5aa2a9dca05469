"""Strategies: what is compared, by name: a policy, with or without the cache."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from pointsman.compare.records import Booked, LoggedRequest
from pointsman.core.decision import Policy, Target, decide, resolve
from pointsman.core.errors import ConfigError, ModelNotFound
from pointsman.core.types import Decision, Request, Snapshot, middle_tier
from pointsman.policies import PolicySettings
from pointsman.policies.registry import build_policy, policy_names

_ALL, _FIXED = "all-", "fixed:"
_CACHE = "cache"
# What it costs hangs on drafts and verdicts, which no log has.
_NOT_FROM_A_LOG = "cascade"


@dataclass(frozen=True, slots=True)
class Strategy:
    """One line of the comparison. `spec` is the policy as `routing.policy` names it."""

    name: str
    spec: str
    has_cache: bool

    @property
    def is_fixed(self) -> bool:
        """Return whether every request goes to one tier, whatever it asks for."""
        return self.spec.startswith(_FIXED)


def baseline(snapshot: Snapshot) -> Strategy:
    """Return the strategy that the others are measured against: all to the strongest tier."""
    return _strategy(f"{_ALL}{snapshot.names[-1]}", snapshot)


def default_names(snapshot: Snapshot) -> tuple[str, ...]:
    """Return every strategy there is for these tiers; of the tiers between, the middle one."""
    tiers = dict.fromkeys(_roles(snapshot).values())
    bases = [*(f"{_ALL}{tier}" for tier in tiers), *_policies()]
    return tuple(name for base in bases for name in (base, f"{base} + {_CACHE}"))


def build_strategies(names: Sequence[str] | None, snapshot: Snapshot) -> tuple[Strategy, ...]:
    """Return the strategies called `names`, all of them for None, each once.

    all-power, all-mid and all-fast also mean the strongest, the middle and the cheapest tier where
    none is called so; the strategy bears the tier's own name.

    Raises ConfigError for a name that means nothing here, naming what there is.
    """
    wanted = default_names(snapshot) if names is None else names
    if not wanted:
        raise ConfigError(f"no strategy is named; there are {_known(snapshot)}")
    return tuple(dict.fromkeys(_strategy(name, snapshot) for name in wanted))


def build_policies(strategies: Sequence[Strategy], settings: PolicySettings) -> dict[str, Policy]:
    """Return each strategy's policy by its spec. Raises ConfigError when one cannot be loaded."""
    specs = dict.fromkeys(strategy.spec for strategy in strategies)
    return {spec: build_policy(spec, settings) for spec in specs}


def decide_logged(
    policy: Policy,
    record: LoggedRequest,
    snapshot: Snapshot,
    aliases: Sequence[str],
    *,
    is_fixed: bool,
) -> Decision | None:
    """Return where a logged request goes under a policy, by the production `decide`.

    A fixed policy takes it whatever it asked for. Else a tier that was asked for is kept, and a
    model's name counts as the alias: it says what was called then, not what the router was asked.
    Without the prompt the decision as booked is kept; None where another policy had booked it.

    Raises NoCapableModel.
    """
    if is_fixed:
        return decide(record.features, Target(), snapshot, policy)
    if record.request is not None:
        target = _asked_for(record.request, snapshot, aliases)
        pin = record.request.caller.tier
        return decide(
            record.features,
            target,
            snapshot,
            policy,
            tier_pin=pin if pin in snapshot.names else "",
        )
    booked = record.booked
    if booked is None or booked.policy not in (policy.name, "pinned"):
        return None
    kept = _booked_target(booked, snapshot, aliases)
    if kept is None:
        return None
    decision = decide(record.features, kept, snapshot, policy)
    return msgspec.structs.replace(decision, policy=booked.policy, reason=booked.reason)


def _strategy(name: str, snapshot: Snapshot) -> Strategy:
    base, plus, extra = (part.strip() for part in name.partition("+"))
    if plus and extra != _CACHE:
        raise _unknown(name, snapshot)
    if base == _NOT_FROM_A_LOG:
        raise ConfigError(
            f'strategy "{name}": what cascade costs hangs on drafts and verdicts, which a log does'
            f" not have; there are {_known(snapshot)}"
        )
    tier = base.removeprefix(_FIXED if base.startswith(_FIXED) else _ALL)
    if base.startswith(_ALL) and tier not in snapshot.names:
        tier = _roles(snapshot).get(tier, tier)
    if base != tier and tier in snapshot.names:
        base, spec = f"{_ALL}{tier}", f"{_FIXED}{tier}"
    elif base in _policies():
        spec = base
    else:
        raise _unknown(name, snapshot)
    return Strategy(f"{base} + {_CACHE}" if plus else base, spec, has_cache=bool(plus))


def _roles(snapshot: Snapshot) -> dict[str, str]:
    """Return the tiers by what they are among these, whatever they are called: strongest first."""
    middle = middle_tier(snapshot.tiers)
    between = {"mid": middle.name} if middle else {}
    return {"power": snapshot.names[-1], **between, "fast": snapshot.names[0]}


def _policies() -> tuple[str, ...]:
    return tuple(
        name for name in policy_names() if name != _NOT_FROM_A_LOG and not name.startswith(_FIXED)
    )


def _unknown(name: str, snapshot: Snapshot) -> ConfigError:
    return ConfigError(f'strategy "{name}": no such strategy; there are {_known(snapshot)}')


def _known(snapshot: Snapshot) -> str:
    bases = (*(f"{_ALL}{tier}" for tier in reversed(snapshot.names)), *_policies())
    return f'{", ".join(bases)}, each also with " + {_CACHE}"'


def _asked_for(request: Request, snapshot: Snapshot, aliases: Sequence[str]) -> Target:
    try:
        target = resolve(request.model, snapshot, aliases)
    except ModelNotFound:
        return Target()
    return Target() if target.deployment else target


def _booked_target(booked: Booked, snapshot: Snapshot, aliases: Sequence[str]) -> Target | None:
    """Return the target that leads where the booked decision led, None where that is gone."""
    if booked.policy == "pinned":
        try:
            asked = resolve(booked.asked, snapshot, aliases)
        except ModelNotFound:
            asked = Target()
        if asked.tier or asked.deployment:
            return asked
    return Target(tier=booked.tier) if booked.tier in snapshot.names else None
