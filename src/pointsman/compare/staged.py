"""Staged: cascade and oracle, which need to know what several tiers made of one request."""

import msgspec

from pointsman.compare.calls import Call, Known, charge
from pointsman.compare.deciding import Decider
from pointsman.compare.records import LoggedRequest
from pointsman.compare.strategies import CASCADE
from pointsman.core.filters import capable
from pointsman.core.plan import build_plan
from pointsman.core.types import Snapshot

# A draft of this quality is accepted by a check that never errs.
ACCEPTED_QUALITY_MIN = 0.5


class Staged:
    """Plays both over labelled requests."""

    def __init__(self, decider: Decider, snapshot: Snapshot, *, is_repriced: bool) -> None:
        self._decider = decider
        self._snapshot = snapshot
        self._is_repriced = is_repriced

    def cascade(self, record: LoggedRequest, known: Known) -> Call | None:
        """Return what a cascade costs in all: each draft up to the first that is accepted.

        A draft goes by the recorded verdict, else by its quality. Where a draft has no outcome it
        counts as the answer, of unknown quality. None where the request cannot be decided.

        Raises NoCapableModel.
        """
        decision = self._decider.decide(CASCADE, record)
        if decision is None:
            return None
        plan = build_plan(decision, self._snapshot, may_escalate=True)
        first_steps = {step.tier: step for step in reversed(plan.steps)}
        calls: list[Call] = []
        for step in reversed(first_steps.values()):
            calls.append(self._charge(known, step.tier, step.deployment.id))
            if not step.is_gated or _is_accepted(calls[-1]):
                break
        return _in_turn(calls)

    def oracle(self, record: LoggedRequest, known: Known) -> Call:
        """Return the call of the cheapest tier that gives the best quality for this request.

        Its quality is unknown where some tier has no outcome, for that one might be better.

        Raises NoCapableModel.
        """
        left, _ = capable(record.features, self._snapshot.tiers)
        calls = [self._charge(known, tier.name, tier.deployments[0].id) for tier in left]
        if not calls:  # nobody can serve it: say so as production does
            self._decider.decide(CASCADE, record)
        best = max(calls, key=lambda call: -1.0 if call.quality is None else call.quality)
        if any(call.quality is None for call in calls):
            return msgspec.structs.replace(best, quality=None)
        return best

    def _charge(self, known: Known, tier: str, deployment: str) -> Call:
        found = self._decider.named(tier, deployment)
        return charge(known, tier, deployment, found, is_warm=True, is_repriced=self._is_repriced)


def _is_accepted(draft: Call) -> bool:
    if draft.is_accepted is not None:
        return draft.is_accepted
    return draft.quality is None or draft.quality >= ACCEPTED_QUALITY_MIN


def _in_turn(calls: list[Call]) -> Call:
    """Return calls made one after the other as one: the last one's answer at the cost of all."""
    if len(calls) == 1:
        return calls[0]
    costs = [call.cost_nanousd for call in calls if call.cost_nanousd is not None]
    times = [call.latency_ms for call in calls if call.latency_ms is not None]
    is_timed = len(times) == len(calls)
    return msgspec.structs.replace(
        calls[-1],
        cost_nanousd=sum(costs) if len(costs) == len(calls) else None,
        estimated_tokens=sum(call.estimated_tokens for call in calls),
        latency_ms=sum(times) if is_timed else None,
        is_untimed=not is_timed,
    )
