"""Plan: which deployments to try for a decision, in order, and what that may cost at most."""

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from functools import cached_property
from typing import overload

import msgspec

from pointsman.core.errors import BudgetExceeded
from pointsman.core.input_bound import input_bound
from pointsman.core.prices import Price, worst_case_nanousd
from pointsman.core.tiers import TRIES_MAX, StepKinds
from pointsman.core.types import Decision, Features, Need, Plan, Snapshot, Step

# Source: FAULTS, "Retry".
TRIES_PER_TARGET_MAX = 2
# As many different plans of a snapshot are kept; of more, the oldest are forgotten.
_PLANS_MAX = 64


def build_plan(
    decision: Decision, snapshot: Snapshot, *, resting: Set[str] = frozenset(), may_escalate: bool
) -> Plan:
    """Return the steps for a decision: its tier's chain, then the stronger tiers' where allowed.

    `resting` are deployments in cooldown and not due for a probe; those that the plan would have
    are left out and named in it. `may_escalate` is the configuration's switch.

    Nothing in a plan is of one request alone, so the snapshot keeps the latest ones.
    """
    upwards = may_escalate and decision.may_escalate
    left_out: Set[tuple[str, str]] = frozenset()
    if upwards and decision.filtered:
        left_out = frozenset((entry.tier, entry.deployment) for entry in decision.filtered)
    key = (decision.tier, decision.deployments, upwards, left_out, frozenset(resting))
    plan = snapshot.plans.get(key)
    if plan is None:
        steps = list(_steps(decision, snapshot, left_out, upwards=upwards))
        left = [step for step in steps if step.deployment.id not in resting]
        out = (step.deployment.id for step in steps if step.deployment.id in resting)
        plan = Plan(steps=_gated(left), resting=tuple(dict.fromkeys(out)))
        if len(snapshot.plans) >= _PLANS_MAX:
            snapshot.plans.pop(next(iter(snapshot.plans)))
        snapshot.plans[key] = plan
    return plan


def first_step(decision: Decision, snapshot: Snapshot) -> Step:
    """Return the first step of a decision's plan, whatever rests."""
    return next(_steps(decision, snapshot, frozenset(), upwards=False))


def step_worst_case_nanousd(step: Step, features: Features) -> int | None:
    """Return what a try may cost at most: what a budget holds for it, without one an estimate.

    None where price or bound is not known.
    """
    if step.worst_case_nanousd is not None:
        return step.worst_case_nanousd
    bound = output_bound(step, features)
    return _worst_case(step.deployment.price, features.input_tokens, bound)


def as_held(plan: Plan, features: Features, price_of: Callable[[Step], Price | None]) -> Plan:
    """Return the plan with the worst cases that a budget holds: nothing of them is estimated low.

    They are at the prices of the hour, which with some providers are not those of when the
    configuration was read, and with all the input that the request may turn out to have, see
    `input_bound`.
    """

    def worst(step: Step) -> int | None:
        read, written = input_bound(features, step.deployment), output_bound(step, features)
        return _worst_case(price_of(step), read, written)

    steps: Sequence[Step]
    if features.images:
        replace = msgspec.structs.replace
        steps = tuple(replace(step, worst_case_nanousd=worst(step)) for step in plan.steps)
    else:
        kinds = plan.kinds
        steps = HeldSteps(plan.steps, kinds, [*map(worst, kinds.examples)])
    return msgspec.structs.replace(plan, steps=steps)


class HeldSteps(Sequence[Step]):
    """Steps with what a budget holds for each; only those are made that are asked for.

    `worst_cases`: of each kind, in nano-USD, None where nobody knows.
    """

    def __init__(
        self, steps: Sequence[Step], kinds: StepKinds, worst_cases: Sequence[int | None]
    ) -> None:
        self.kinds = kinds
        self.worst_cases = worst_cases
        self._steps = steps
        self._made: dict[int, Step] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._steps)

    @overload
    def __getitem__(self, index: int) -> Step: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Step, ...]: ...

    def __getitem__(self, index: int | slice) -> Step | tuple[Step, ...]:
        """Return a step, or some."""
        if isinstance(index, slice):
            return tuple(self[at] for at in range(len(self))[index])
        made = self._made.get(index)
        if made is None:
            worst = self.worst_cases[self.kinds.of_steps[index]]
            made = msgspec.structs.replace(self._steps[index], worst_case_nanousd=worst)
            self._made[index] = made
        return made

    def dearest(self, attempts_max: int) -> dict[str, int]:
        """Return what deployments may cost that may cost as much as all, in so many attempts.

        By deployment, at its dearest step. Every step has a worst case.
        """
        dearest: dict[str, int] = {}
        for worst, names in sorted(zip(self.worst_cases, self.kinds.deployments, strict=True)):
            assert worst is not None, "bounded leaves the others out"
            dearest |= dict.fromkeys(names[:attempts_max], worst)
        return dearest


def plan_worst_case_nanousd(steps: Iterable[Step], attempts_max: int) -> int:
    """Return the most that any allowed sequence of attempts at these steps can cost together.

    The dearest `attempts_max` tries, of each deployment no more than TRIES_PER_TARGET_MAX, each at
    its dearest step. Every step has a worst case.
    """
    if isinstance(steps, HeldSteps) and attempts_max <= TRIES_MAX:
        dearest = steps.dearest(attempts_max)
    else:
        dearest = _dearest(steps)
    tries = [*dearest.values()] * TRIES_PER_TARGET_MAX
    tries.sort(reverse=True)
    return sum(tries[:attempts_max])


def _dearest(steps: Iterable[Step]) -> dict[str, int]:
    dearest: dict[str, int] = {}
    for step in steps:
        name, worst = step.deployment.id, step.worst_case_nanousd
        assert worst is not None, "bounded leaves the others out"
        if worst > dearest.get(name, -1):
            dearest[name] = worst
    return dearest


def bounded(plan: Plan) -> Plan:
    """Return the plan without the steps of which nobody can say what they cost at most.

    Raises BudgetExceeded where it has steps, and none is left.
    """
    if isinstance(plan.steps, HeldSteps) and None not in plan.steps.worst_cases:
        return plan
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


class Affordable(Sequence[int]):
    """What would do of a plan from step number `first` on, in nano-USD, the dearest first.

    The whole of it, then ever fewer steps, at last that step alone with one try. What costs the
    same as more of the plan is left out. All but the first is only worked out where it is needed:
    mostly a budget has room for the whole.
    """

    def __init__(self, plan: Plan, first: int = 0) -> None:
        self._plan = plan
        self._first = first
        steps = plan.steps[first:] if first else plan.steps
        self._whole = plan_worst_case_nanousd(steps, plan.attempts_max)

    def __iter__(self) -> Iterator[int]:
        """Yield the amounts."""
        yield self._whole
        yield from (amount for amount in self._parts if amount != self._whole)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._parts)

    @overload
    def __getitem__(self, index: int) -> int: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...

    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        """Return one of them, or some."""
        return tuple(self._parts)[index]

    def part(self, amount: int) -> Plan:
        """Return the part of the plan that costs no more than one of the amounts."""
        if amount == self._whole:
            return self._plan
        everything = len(self._plan.steps), self._plan.attempts_max
        end, attempts_max = self._parts.get(amount, everything)
        steps = _gated(self._plan.steps[:end])
        return msgspec.structs.replace(self._plan, steps=steps, attempts_max=attempts_max)

    @cached_property
    def _parts(self) -> dict[int, tuple[int, int]]:
        """Return by amount the number of the step that a part ends before, and its attempts."""
        plan, first = self._plan, self._first
        amounts = list(_worst_cases(plan.steps[first:], plan.attempts_max))
        parts: dict[int, tuple[int, int]] = {}
        for count in range(len(amounts), 0, -1):
            parts.setdefault(amounts[count - 1], (first + count, plan.attempts_max))
        alone = plan_worst_case_nanousd(plan.steps[first : first + 1], 1)
        parts.setdefault(alone, (first + 1, 1))
        return parts


def _worst_cases(steps: Sequence[Step], attempts_max: int) -> Iterator[int]:
    """Yield what the first step may cost at most, then the first two, and so on."""
    leaders: dict[str, Step] = {}  # the dearest step of each deployment; so many can matter
    for step in steps:
        name = step.deployment.id
        known = leaders.get(name)
        if known is None or _worst_of(step) > _worst_of(known):
            leaders[name] = step
        if len(leaders) > attempts_max:
            del leaders[min(leaders, key=lambda name: _worst_of(leaders[name]))]
        yield plan_worst_case_nanousd(tuple(leaders.values()), attempts_max)


def _worst_of(step: Step) -> int:
    return step.worst_case_nanousd or 0


def _gated(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Return the steps, those gated that a stronger tier stands behind."""
    strongest = steps[-1].tier if steps else ""
    return tuple(
        step
        if step.is_gated == (step.tier != strongest)
        else msgspec.structs.replace(step, is_gated=step.tier != strongest)
        for step in steps
    )


def _steps(
    decision: Decision, snapshot: Snapshot, left_out: Set[tuple[str, str]], *, upwards: bool
) -> Iterator[Step]:
    """Yield the decided tier's steps, with the decision's deployments, then the stronger tiers'."""
    own = decision.tier
    max_tokens = snapshot.tier(own).max_tokens if own else None
    for name in decision.deployments:
        yield Step(tier=own, deployment=snapshot.deployment(own, name), max_tokens=max_tokens)
    if not upwards or not own:
        return
    for tier in snapshot.tiers[snapshot.names.index(own) + 1 :]:
        for deployment in tier.deployments:
            if (tier.name, deployment.id) not in left_out:
                yield Step(tier=tier.name, deployment=deployment, max_tokens=tier.max_tokens)


def _worst_case(price: Price | None, read: int | None, written: int | None) -> int | None:
    """Return what a try may cost with so many tokens in and out, None where that is not known."""
    if price is None or read is None or written is None:
        return None
    return worst_case_nanousd(price, input_tokens=read, output_tokens=written)


def output_bound(step: Step, features: Features) -> int | None:
    """Return the most tokens that can come in all choices together, None for not known.

    Where nothing else bounds an answer its model's window does.
    """
    if Need.EMBEDDINGS in features.needs:
        return 0
    deployment = step.deployment
    bound = (
        deployment.own_tokens_max
        or features.max_tokens
        or step.max_tokens
        or deployment.capability.max_output_tokens
        or deployment.capability.context_tokens
    )
    return None if bound is None else bound * max(features.choices, deployment.own_choices)
