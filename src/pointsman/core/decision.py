"""Decision: from what a client asks for to a tier. The very function that comparison runs."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from pointsman.core.conversation import Standing, weigh
from pointsman.core.errors import GatewayError, ModelNotFound, NoCapableModel, RequestError
from pointsman.core.filters import capable, incapable
from pointsman.core.prices import format_usd
from pointsman.core.prompt_cache import PromptCaches
from pointsman.core.types import (
    Decision,
    Features,
    Filtered,
    Move,
    Need,
    Place,
    Snapshot,
    Tier,
)

_NAMES_SHOWN_MAX = 40


class Policy(Protocol):
    """What decides among the tiers that can serve; `policies.Policy` says more."""

    @property
    def name(self) -> str:
        """Return the name that decisions carry."""

    def decide(self, features: Features, snapshot: Snapshot) -> Decision:
        """Return the decision."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What a model name means: a deployment, a tier, or, with neither, the policy's choice.

    `tier_min` bounds the policy's choice from below.
    """

    tier: str = ""
    tier_min: str = ""
    deployment: str = ""


_ANY = Target()


def resolve(model: str, snapshot: Snapshot, aliases: Sequence[str]) -> Target:
    """Return what the name that a client asks for means (SPEC, section 3).

    Raises ModelNotFound, naming what there is.
    """
    if model in aliases:
        return _ANY
    if model in snapshot.names:
        return Target(tier=model)
    base, colon, bound = model.partition(":")
    if colon and base in aliases and bound in snapshot.names:
        return Target(tier_min=bound)
    found = snapshot.called(model)
    if len(found) == 1 or model in found:
        return Target(deployment=model if model in found else found[0])
    if "*" in aliases:
        return _ANY
    if found:
        raise ModelNotFound(
            f'model "{model}" is served by several providers; ask for one of {", ".join(found)}',
            param="model",
        )
    raise ModelNotFound(
        f'no model, tier or alias "{model}"; there are {_known(snapshot, aliases)}', param="model"
    )


# The policy of a request whose client, or open tool loop, says where it goes.
PINNED = "pinned"
# The policy of a request for embeddings: no tier answers it, so no comparison counts it.
EMBEDDINGS = "embeddings"


def decide(
    features: Features,
    target: Target,
    snapshot: Snapshot,
    policy: Policy,
    *,
    tier_pin: str = "",
    standing: Standing | None = None,
    caches: PromptCaches | None = None,
) -> Decision:
    """Return where a request goes.

    Deployments that cannot serve it are dropped before any policy. Then the first of these that
    applies: the model asked for; the tier asked for, by name or by `tier_pin`; where the
    conversation is, as long as a tool loop or sealed reasoning is open and the target's bound
    allows it; the policy's choice, raised to that bound, unless leaving the conversation's place
    for it would not pay (`core.conversation`). `caches`: what prompt caches have been seen to hold.

    Raises NoCapableModel when nothing is left, RequestError for an unknown `tier_pin`, GatewayError
    where the policy names a tier that it was not offered.
    """
    if tier_pin and tier_pin not in snapshot.names:
        raise RequestError(
            f'x-pointsman-tier "{tier_pin}": no such tier; there are {", ".join(snapshot.names)}'
        )
    if Need.EMBEDDINGS in features.needs:
        return _for_embeddings(features, target, snapshot)
    if target.deployment:
        return _for_model(features, target.deployment, snapshot)
    if tier_pin or target.tier:
        return _for_tier(features, tier_pin or target.tier, snapshot, is_header=bool(tier_pin))
    left, filtered = capable(features, snapshot.tiers)
    if not left:
        raise incapable(features, snapshot.tiers, filtered)
    narrowed = _narrowed(snapshot, left, target.tier_min)
    if not narrowed.tiers:
        raise incapable(features, _from(snapshot, target.tier_min), filtered)
    if standing is not None and standing.is_open:
        held = _held_open(standing.conversation.here, narrowed, filtered)
        if held is not None:
            return held
    decision = _by_policy(features, narrowed, snapshot, policy, filtered=filtered)
    if standing is None or standing.is_open:
        return decision
    return _weighed(decision, standing, features, narrowed, caches or PromptCaches())


def downgraded(
    decision: Decision, features: Features, snapshot: Snapshot, tier_min: str, *, why: str
) -> Decision | None:
    """Return the decision for the cheapest tier that can serve, None where the choice is not ours.

    It is not where the client, or its open tool loop, names a place. `tier_min`: the bound in the
    model's name. `why`: what made it so, for the reason. It goes no further up.
    """
    if decision.policy in (PINNED, EMBEDDINGS) or not decision.tier:
        return None
    left, filtered = capable(features, _from(snapshot, tier_min))
    if not left:
        return None
    tier = left[0]
    return msgspec.structs.replace(
        decision,
        tier=tier.name,
        deployments=tier.ids,
        filtered=filtered,
        may_escalate=False,
        reason=f"{why}, so only {tier.name} is offered ({decision.reason})",
        would_change="more left of the budget",
        group="",
        move=None,
    )


def _for_embeddings(features: Features, target: Target, snapshot: Snapshot) -> Decision:
    """Return the decision for the model asked for, which other providers may stand in for."""
    chains = (
        tier for tier in snapshot.tiers if target.tier == tier.name or target.deployment in tier.ids
    )
    chain = next(chains, None)
    if chain is None:
        raise NoCapableModel("this asks for embeddings of no model in particular; name one")
    left, filtered = capable(features, (_led_by(chain, target.deployment),))
    if not left:
        raise incapable(features, (chain,), filtered)
    decision = _pinned(left[0], f"the client asks for embeddings by {chain.name}", filtered)
    return msgspec.structs.replace(decision, policy=EMBEDDINGS)


def _held_open(here: Place, offered: Snapshot, filtered: tuple[Filtered, ...]) -> Decision | None:
    """Return the decision to go on where a tool loop began, None where that is not on offer."""
    for tier in offered.tiers:
        if tier.name == here.tier and here.deployment in tier.ids:
            return _pinned(
                _led_by(tier, here.deployment),
                f"an open tool loop stays on {here.deployment}, which began it",
                filtered,
                would_change="a new user turn in place of the tool's result",
            )
    return None


def _weighed(
    decision: Decision,
    standing: Standing,
    features: Features,
    offered: Snapshot,
    caches: PromptCaches,
) -> Decision:
    """Return the decision for a conversation's next turn, with the sum behind it."""
    wanted = Place(decision.tier, decision.deployments[0])
    move = weigh(wanted, standing, features, offered.tiers, caches)
    if move is None:
        return decision
    went = move.went
    led = _led_by(offered.tier(went.tier), went.deployment)
    decision = msgspec.structs.replace(decision, tier=went.tier, deployments=led.ids, move=move)
    if went.tier == wanted.tier:
        return decision
    return msgspec.structs.replace(
        decision,
        reason=f"the conversation stays on {went.tier}: {_cost_of_leaving(move)} "
        f"(the turn alone: {decision.reason})",
        would_change=f"a new conversation would go to {wanted.tier}",
        group="",  # its floor was for the tier that the turn alone would have had
    )


def _cost_of_leaving(move: Move) -> str:
    parts = (move.move_nanousd, move.stay_nanousd, move.return_nanousd, move.saved_nanousd)
    if None in parts:
        return f"what leaving for {move.wanted.deployment} would cost is not known"
    return (
        f"its {move.context_tokens} tokens and this turn cost {format_usd(move.move_nanousd)} on "
        f"{move.wanted.deployment}, {format_usd(move.stay_nanousd)} on {move.base.deployment} "
        f"with {move.cached_tokens} of them cached, and {format_usd(move.return_nanousd)} more "
        f"on the way back, with {format_usd(move.saved_nanousd)} saved so far; all estimated"
    )


def _narrowed(snapshot: Snapshot, left: Sequence[Tier], tier_min: str) -> Snapshot:
    """Return the snapshot of the tiers left, from `tier_min` up where such are left.

    A default tier that is gone gives way to the nearest stronger one, else the strongest left.
    """
    if left is snapshot.tiers and not tier_min:
        return snapshot.tiers_only
    allowed = {tier.name for tier in _from(snapshot, tier_min)}
    tiers = tuple(tier for tier in left if tier.name in allowed)
    order = snapshot.names
    wanted = order.index(snapshot.default_tier)
    stronger = (tier.name for tier in tiers if order.index(tier.name) >= wanted)
    default = next(stronger, tiers[-1].name if tiers else "")
    return Snapshot(tiers=tiers, default_tier=default)


def _from(snapshot: Snapshot, tier_min: str) -> tuple[Tier, ...]:
    return snapshot.tiers[snapshot.names.index(tier_min) if tier_min else 0 :]


def _for_model(features: Features, wanted: str, snapshot: Snapshot) -> Decision:
    """Return the decision for a model by name: its tier's chain only where that lists it first."""
    for tier in snapshot.tiers:
        if tier.deployments[0].id == wanted:
            left, filtered = capable(features, (tier,))
            if left and left[0].deployments[0].id == wanted:
                return _pinned(left[0], f"the client asks for {wanted}", filtered)
    alone = _alone(wanted, snapshot)
    left, filtered = capable(features, (alone,))
    if not left:
        raise incapable(features, (alone,), filtered)
    return _pinned(alone, f"the client asks for {wanted}", ())


def _for_tier(features: Features, name: str, snapshot: Snapshot, *, is_header: bool) -> Decision:
    """Return the decision for a tier by name, in the header or as the model."""
    whole = snapshot.tier(name)
    left, filtered = capable(features, (whole,))
    if not left:
        raise incapable(features, (whole,), filtered)
    if not is_header:
        return _pinned(left[0], f"the client asks for {name}", filtered)
    return _pinned(
        left[0],
        f"x-pointsman-tier asks for {name}",
        filtered,
        would_change="another x-pointsman-tier, or none",
    )


def _by_policy(
    features: Features,
    offered: Snapshot,
    snapshot: Snapshot,
    policy: Policy,
    *,
    filtered: tuple[Filtered, ...],
) -> Decision:
    """Return the policy's choice among the tiers offered, explained where those made it another."""
    decision = policy.decide(features, offered)
    if decision.tier not in offered.names:
        raise GatewayError(
            f'the policy "{policy.name}" chose "{decision.tier}", '
            f"which is none of {', '.join(offered.names)}; mend the policy or choose another"
        )
    tier = offered.tier(decision.tier)
    decision = msgspec.structs.replace(
        decision,
        policy=policy.name,
        deployments=tier.ids,
        filtered=filtered,
    )
    if offered is snapshot.tiers_only or offered.names == snapshot.names:
        return decision
    decision = msgspec.structs.replace(decision, group="")  # not the floor of the whole table
    free = policy.decide(features, snapshot)
    return decision if free.tier == decision.tier else _held_back(decision, free)


def _held_back(decision: Decision, free: Decision) -> Decision:
    """Return a decision that would be another with all tiers on offer, with what stood in its way.

    That is a need which no model of the free choice's tier meets, else the bound of the name that
    the client asked for.
    """
    needs = dict.fromkeys(
        f"{f.deployment}: {f.reason}" for f in decision.filtered if f.tier == free.tier
    )
    if needs:
        cause = f"no model of {free.tier} can serve it ({', '.join(needs)})"
        change = f"without that need it would be {free.tier}"
    else:
        cause = f"the client asks for more than {free.tier}"
        change = f"without a least tier in the model's name it would be {free.tier}"
    return msgspec.structs.replace(
        decision, reason=f"{free.reason}, but {cause}", would_change=change
    )


def _pinned(
    tier: Tier,
    reason: str,
    filtered: tuple[Filtered, ...],
    *,
    would_change: str = "another model name",
) -> Decision:
    return Decision(
        tier=tier.name,
        reason=reason,
        policy=PINNED,
        deployments=tier.ids,
        scores={tier.name: 1.0} if tier.name else {},
        filtered=filtered,
        would_change=would_change,
        may_escalate=False,
    )


def _led_by(tier: Tier, first: str) -> Tier:
    """Return the tier with a deployment before all others, the very tier where it is that."""
    if tier.ids[0] == first:
        return tier
    ordered = sorted(tier.deployments, key=lambda deployment: deployment.id != first)
    return msgspec.structs.replace(tier, deployments=tuple(ordered))


def _alone(wanted: str, snapshot: Snapshot) -> Tier:
    """Return the first tier that has the deployment, with nothing else in it."""
    others = Tier(name="", deployments=snapshot.others)
    tier = next(tier for tier in (*snapshot.tiers, others) if wanted in tier.ids)
    alone = tier.deployments[tier.ids.index(wanted)]
    return msgspec.structs.replace(tier, deployments=(alone,))


def _known(snapshot: Snapshot, aliases: Sequence[str]) -> str:
    models = dict.fromkeys(id for tier in snapshot.tiers for id in tier.ids)
    models |= dict.fromkeys(deployment.id for deployment in snapshot.others)
    names = [*aliases, *snapshot.names, *models]
    more = len(names) - _NAMES_SHOWN_MAX
    return ", ".join(names[:_NAMES_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")
