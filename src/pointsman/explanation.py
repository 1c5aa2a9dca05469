"""Explanation: a decision with what each tier would cost, for a person to read."""

import msgspec

from pointsman.core.decision import Policy
from pointsman.core.plan import step_worst_case_nanousd
from pointsman.core.prices import cost_nanousd
from pointsman.core.types import Decision, Features, Snapshot, Step
from pointsman.core.usage import Usage
from pointsman.policies import Changing, Explaining, Insight


class TierCost(msgspec.Struct, frozen=True, kw_only=True):
    """What a tier's first model would cost, in nano-USD; None where price or bound is not known.

    `input_nanousd` is an estimate, for the input is. `worst_case_nanousd` has the longest answer.
    """

    tier: str
    model: str
    input_nanousd: int | None
    worst_case_nanousd: int | None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request would go and why, and what the tiers would cost.

    `insight` is the policy's own, None where it has none or did not decide.
    """

    decision: Decision
    input_tokens_estimated: int
    tiers: tuple[TierCost, ...]
    insight: Insight | None = None


def explain(
    decision: Decision, features: Features, snapshot: Snapshot, policy: Policy
) -> Explanation:
    """Return the explanation of a decision that was made for these features."""
    insight, change = None, decision.would_change
    if decision.policy == policy.name:
        if isinstance(policy, Explaining):
            insight = policy.insight(features, snapshot)
            change = change or insight.would_change
        elif isinstance(policy, Changing):
            change = change or policy.would_change(decision, features, snapshot)
    decision = msgspec.structs.replace(decision, would_change=change)
    return Explanation(
        decision=decision,
        input_tokens_estimated=features.input_tokens,
        tiers=tuple(_tier_cost(name, features, snapshot) for name in snapshot.names),
        insight=insight,
    )


def _tier_cost(name: str, features: Features, snapshot: Snapshot) -> TierCost:
    first = snapshot.tier(name).deployments[0]
    step = Step(tier=name, deployment=first, max_tokens=snapshot.tier(name).max_tokens)
    usage = Usage(input_tokens=features.input_tokens)
    return TierCost(
        tier=name,
        model=first.id,
        input_nanousd=None if first.price is None else cost_nanousd(usage, first.price),
        worst_case_nanousd=step_worst_case_nanousd(step, features),
    )
