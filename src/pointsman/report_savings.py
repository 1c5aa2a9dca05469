"""What the answered requests would have cost elsewhere, and where the difference went.

The savings are one sum, exact in integer nano-USD:

    baseline - spent = routing + cache + prompt_cache - escalations - failures - audits

baseline
    every answered request on the strongest tier's primary deployment, without any cache.
spent
    what all attempts of the period cost.
prompt_cache
    what the provider's own cache took off an answer, at the deployment that gave it; below 0 where
    writing to that cache cost more than reading from it saved, 0 where the price is not configured.
routing
    baseline less what the answer cost, prompt cache aside: the effect of choosing another model.
    Of a hit, the same against the deployment whose answer it was.
cache
    what that deployment would have charged for a hit; the whole baseline where it has no price.
escalations
    what rejected drafts cost.
failures
    what all other attempts cost that gave no answer: failed, cancelled, lost.
audits
    what the attempts cost that were made for audits: the strongest tier's answers and the judge's.

An answer whose cost is not known is left out of both sides. Where that is every answer, there is
nothing to compare.
"""

from collections.abc import Iterator

import msgspec

from pointsman.core.decision import EMBEDDINGS
from pointsman.core.prices import cost_nanousd
from pointsman.core.types import Deployment, Tier, middle_tier
from pointsman.ledger import AUDIT, Row
from pointsman.report_prompt_caches import saved_nanousd, unkept


class Alternative(msgspec.Struct, frozen=True, kw_only=True):
    """What the answered requests would have cost on one deployment; None where not known."""

    name: str
    tier: str
    deployment: str
    cost_nanousd: int | None


class Savings(msgspec.Struct, frozen=True, kw_only=True):
    """The breakdown of this module's docstring, in nano-USD."""

    baseline: str
    baseline_nanousd: int
    spent_nanousd: int
    routing_nanousd: int
    cache_nanousd: int
    prompt_cache_nanousd: int
    escalations_nanousd: int
    failures_nanousd: int
    audits_nanousd: int = 0

    @property
    def total_nanousd(self) -> int:
        """Return baseline less spent; below 0 when routing cost more than it saved."""
        return self.baseline_nanousd - self.spent_nanousd


class Comparison:
    """Prices the answered requests at other deployments."""

    def __init__(self, tiers: tuple[Tier, ...]) -> None:
        self.left_out_answers = 0
        self._compared_answers = 0
        deployments = [it for tier in tiers for it in tier.deployments]
        self._prices = {it.id: it.price for it in deployments if it.price is not None}
        self._strongest = tiers[-1] if tiers else None
        self._middle = middle_tier(tiers)
        compared = [*self._strongest.deployments] if self._strongest else []
        compared += self._middle.deployments[:1] if self._middle else ()
        self._costs = {it.id: 0 for it in compared if it.price is not None}
        self._spent = self._routing = self._cache = self._prompt_cache = 0
        self._escalations = self._failures = self._audits = 0

    def add(self, row: Row) -> None:
        """Add a row to both sides, or to none when it is not known what its answer cost."""
        cost = row.settlement.cost_nanousd
        if row.intent.policy == AUDIT:
            self._spent += cost or 0
            self._audits += cost or 0
            return
        if row.intent.policy == EMBEDDINGS:  # no tier could have made them
            return
        if cost is None:
            self.left_out_answers += row.settlement.outcome in {"answered", "hit"}
            return
        self._spent += cost
        match row.settlement.outcome:
            case "answered" | "hit":
                self._add_answer(row, cost)
            case "rejected":
                self._escalations += cost
            case _:
                self._failures += cost

    def _add_answer(self, row: Row, cost: int) -> None:
        self._compared_answers += 1
        plain = unkept(row.settlement.usage)
        for deployment in self._costs:
            self._costs[deployment] += cost_nanousd(plain, self._prices[deployment])
        baseline = self._baseline()
        if baseline is None:
            return
        would_be = cost_nanousd(plain, self._prices[baseline.id])
        own = self._prices.get(row.intent.deployment)
        if row.settlement.outcome == "hit":
            avoided = would_be if own is None else cost_nanousd(plain, own)
            self._routing += would_be - avoided
            self._cache += avoided - cost
        else:
            saved = saved_nanousd(row.settlement.usage, own)
            self._prompt_cache += saved
            self._routing += would_be - cost - saved

    def _is_blind(self) -> bool:
        return self.left_out_answers > 0 and self._compared_answers == 0

    def _baseline(self) -> Deployment | None:
        primary = self._strongest.deployments[0] if self._strongest else None
        return primary if primary and primary.id in self._prices else None

    def alternatives(self) -> Iterator[Alternative]:
        """Yield the strongest tier, the middle tier if there is one, and the best single model."""
        if not self._strongest:
            return
        for name, tier in (("strongest tier", self._strongest), ("middle tier", self._middle)):
            if tier:
                yield self._alternative(name, tier, tier.deployments[0])
        # Nothing here knows how good a model is beyond the tier it was put in, so the best single
        # model is the cheapest of those that the configuration trusts with the hardest requests.
        priced = [it for it in self._strongest.deployments if it.id in self._costs]
        cheapest = min(priced, key=lambda it: self._costs[it.id], default=None)
        name = "best single model: the cheapest of the strongest tier"
        yield self._alternative(name, self._strongest, cheapest or self._strongest.deployments[0])

    def _alternative(self, name: str, tier: Tier, deployment: Deployment) -> Alternative:
        return Alternative(
            name=name,
            tier=tier.name,
            deployment=deployment.id,
            cost_nanousd=None if self._is_blind() else self._costs.get(deployment.id),
        )

    def savings(self) -> Savings | None:
        """Return the breakdown, None where the baseline or what the answers cost is not known."""
        baseline = self._baseline()
        if self._strongest is None or baseline is None or self._is_blind():
            return None
        return Savings(
            baseline=f"every request on {self._strongest.name} ({baseline.id}), no cache",
            baseline_nanousd=self._costs[baseline.id],
            spent_nanousd=self._spent,
            routing_nanousd=self._routing,
            cache_nanousd=self._cache,
            prompt_cache_nanousd=self._prompt_cache,
            escalations_nanousd=self._escalations,
            failures_nanousd=self._failures,
            audits_nanousd=self._audits,
        )
