"""Plan: which deployments to try for a decision, in order."""

from collections.abc import Callable, Iterator

import msgspec

from pointsman.core.prices import worst_case_nanousd
from pointsman.core.types import Decision, Deployment, Features, Plan, Snapshot, Step, Tier


def build_plan(
    decision: Decision,
    features: Features,
    snapshot: Snapshot,
    *,
    is_ready: Callable[[str], bool],
    may_escalate: bool,
) -> Plan:
    """Return the steps for a decision: its tier's chain, then the stronger tiers' where allowed.

    `is_ready` says whether a deployment is out of cooldown, or due for a probe; one that is not
    is left out and named in `resting`. `may_escalate` is the configuration's switch.
    """
    upwards = may_escalate and decision.may_escalate
    steps: list[Step] = []
    resting: list[str] = []
    for tier in _tiers(decision, snapshot, upwards=upwards):
        for deployment in tier.deployments:
            if is_ready(deployment.id):
                steps.append(_step(tier, deployment, features))
            else:
                resting.append(deployment.id)
    strongest = steps[-1].tier if steps else ""
    gated = [
        msgspec.structs.replace(step, is_gated=True) if step.tier != strongest else step
        for step in steps
    ]
    return Plan(steps=tuple(gated), resting=tuple(dict.fromkeys(resting)))


def _tiers(decision: Decision, snapshot: Snapshot, *, upwards: bool) -> Iterator[Tier]:
    """Yield the decided tier with the decision's deployments, then the stronger ones."""
    known = {
        d.id: d
        for d in (*(d for tier in snapshot.tiers for d in tier.deployments), *snapshot.others)
    }
    if decision.tier:
        own = snapshot.tier(decision.tier)
        known |= {deployment.id: deployment for deployment in own.deployments}
    else:
        own = Tier(name="", deployments=())
    chain = tuple(known[name] for name in decision.deployments)
    yield msgspec.structs.replace(own, deployments=chain)
    if not upwards or not decision.tier:
        return
    left_out = {(entry.tier, entry.deployment) for entry in decision.filtered}
    for tier in snapshot.tiers[snapshot.names.index(decision.tier) + 1 :]:
        fit = tuple(d for d in tier.deployments if (tier.name, d.id) not in left_out)
        if fit:
            yield msgspec.structs.replace(tier, deployments=fit)


def _step(tier: Tier, deployment: Deployment, features: Features) -> Step:
    bound = features.max_tokens or tier.max_tokens or deployment.capability.max_output_tokens
    worst = None
    if deployment.price is not None and bound is not None:
        worst = worst_case_nanousd(
            deployment.price, input_tokens=features.input_tokens, output_tokens=bound
        )
    return Step(
        tier=tier.name,
        deployment=deployment,
        max_tokens=tier.max_tokens,
        worst_case_nanousd=worst,
    )
