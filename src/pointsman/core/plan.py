"""Plan: which deployments to try for a decision, in order, and what that may cost at most."""

from collections.abc import Callable, Iterator, Sequence
from heapq import nlargest

import msgspec

from pointsman.core.errors import BudgetExceeded
from pointsman.core.input_bound import input_bound
from pointsman.core.prices import Price, worst_case_nanousd
from pointsman.core.types import Decision, Deployment, Features, Need, Plan, Snapshot, Step, Tier

# Source: FAULTS, "Retry".
TRIES_PER_TARGET_MAX = 2
# Fields of a deployment's `params` that bound its answers, in place of what the client sent.
_BOUND_PARAMS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


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
    return Plan(steps=_gated(steps), resting=tuple(dict.fromkeys(resting)))


def as_held(plan: Plan, features: Features, price_of: Callable[[Step], Price | None]) -> Plan:
    """Return the plan with the worst cases that a budget holds: nothing of them is estimated low.

    They are at the prices of the hour, which with some providers are not those of when the
    configuration was read, and with all the input that the request may turn out to have, see
    `input_bound`.
    """

    def held(step: Step) -> Step:
        tier = Tier(name=step.tier, deployments=(), max_tokens=step.max_tokens)
        worst = _worst_case(
            price_of(step),
            input_bound(features, step.deployment),
            output_bound(tier, step.deployment, features),
        )
        return msgspec.structs.replace(step, worst_case_nanousd=worst)

    return msgspec.structs.replace(plan, steps=tuple(map(held, plan.steps)))


def plan_worst_case_nanousd(steps: Sequence[Step], attempts_max: int) -> int:
    """Return the most that any allowed sequence of attempts at these steps can cost together.

    The dearest `attempts_max` tries, of each deployment no more than TRIES_PER_TARGET_MAX, each at
    its dearest step. Every step has a worst case.
    """
    dearest: dict[str, int] = {}
    for step in steps:
        assert step.worst_case_nanousd is not None, "bounded leaves the others out"
        name = step.deployment.id
        dearest[name] = max(dearest.get(name, 0), step.worst_case_nanousd)
    tries = [cost for cost in dearest.values() for _ in range(TRIES_PER_TARGET_MAX)]
    return sum(nlargest(attempts_max, tries))


def bounded(plan: Plan) -> Plan:
    """Return the plan without the steps of which nobody can say what they cost at most.

    Raises BudgetExceeded where it has steps, and none is left.
    """
    known = [step for step in plan.steps if step.worst_case_nanousd is not None]
    if len(known) == len(plan.steps):
        return plan
    if not known:
        names = ", ".join(dict.fromkeys(step.deployment.id for step in plan.steps))
        raise BudgetExceeded(
            f"a budget holds what a request may cost at most, and that is not known for {names}:"
            f' state its price under [prices."{plan.steps[0].deployment.id}"], max_tokens, and, for'
            " what has images or files, its context_tokens in [[tiers]]"
        )
    return msgspec.structs.replace(plan, steps=_gated(known))


def affordable(plan: Plan, first: int = 0) -> tuple[tuple[int, Plan], ...]:
    """Return what would do of a plan, each part with its worst case, the dearest first.

    The whole plan from step number `first` on, then ever fewer steps, at last that step alone with
    one try. What costs the same as more of the plan is left out.
    """
    parts: dict[int, Plan] = {}
    shapes = [(end, plan.attempts_max) for end in range(len(plan.steps), first, -1)]
    for end, attempts_max in (*shapes, (first + 1, 1)):
        worst = plan_worst_case_nanousd(plan.steps[first:end], attempts_max)
        if worst not in parts:
            parts[worst] = _part(plan, end, attempts_max)
    return tuple(parts.items())


def _part(plan: Plan, end: int, attempts_max: int) -> Plan:
    if end == len(plan.steps) and attempts_max == plan.attempts_max:
        return plan
    steps = _gated(plan.steps[:end])
    return msgspec.structs.replace(plan, steps=steps, attempts_max=attempts_max)


def _gated(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Return the steps, those gated that a stronger tier stands behind."""
    strongest = steps[-1].tier if steps else ""
    return tuple(
        step
        if step.is_gated == (step.tier != strongest)
        else msgspec.structs.replace(step, is_gated=step.tier != strongest)
        for step in steps
    )


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
    bound = output_bound(tier, deployment, features)
    return Step(
        tier=tier.name,
        deployment=deployment,
        max_tokens=tier.max_tokens,
        worst_case_nanousd=_worst_case(deployment.price, features.input_tokens, bound),
    )


def _worst_case(price: Price | None, read: int | None, written: int | None) -> int | None:
    """Return what a try may cost with so many tokens in and out, None where that is not known."""
    if price is None or read is None or written is None:
        return None
    return worst_case_nanousd(price, input_tokens=read, output_tokens=written)


def output_bound(tier: Tier, deployment: Deployment, features: Features) -> int | None:
    """Return the most tokens that can come in all choices together, None for not known.

    Where nothing else bounds an answer its model's window does.
    """
    if Need.EMBEDDINGS in features.needs:
        return 0
    stated = [deployment.params.get(name) for name in _BOUND_PARAMS]
    own = max((value for value in stated if isinstance(value, int)), default=None)
    capability = deployment.capability
    bound = (
        own
        or features.max_tokens
        or tier.max_tokens
        or capability.max_output_tokens
        or capability.context_tokens
    )
    sent = deployment.params.get("n")
    choices = max(features.choices, sent if isinstance(sent, int) else 1)
    return None if bound is None else bound * choices
