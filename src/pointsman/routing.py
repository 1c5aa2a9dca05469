"""Routing: what a pipeline is made of, apart from what it does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import msgspec

from pointsman.attempt import Job, PriceOf
from pointsman.audit import Auditing
from pointsman.audit.settings import AuditSettings
from pointsman.cache import Cache
from pointsman.core.decision import Policy
from pointsman.core.health import Health
from pointsman.core.plan import build_plan
from pointsman.core.types import Decision, Need, Plan, Request, Snapshot, Step
from pointsman.gate import Checks
from pointsman.ledger import Ledger
from pointsman.ledger.contents import Contents
from pointsman.ledger.outcomes import Outcomes
from pointsman.providers import Provider


@dataclass(frozen=True, slots=True)
class Routing:
    """What a reload replaces, all at once: the tiers, and how they are chosen and called.

    `bounded`: by tenant, the part of the snapshot for those who may not use all of it.
    `embedders`: what makes embeddings, a tier for each model, called by its name.
    """

    snapshot: Snapshot
    aliases: tuple[str, ...]
    policy: Policy
    providers: Mapping[str, Provider]
    checks: Checks
    may_escalate: bool
    price_of: PriceOf
    total_s: float
    audit: Auditing
    bounded: Mapping[str, Snapshot]
    embedders: Snapshot

    def offered(self, request: Request) -> Snapshot:
        """Return what there is for a request: the tiers that its tenant may use.

        For embeddings it is their models, each of them a tier: nothing chooses between those.
        """
        if Need.EMBEDDINGS in request.needs:
            return self.embedders
        return self.bounded.get(request.caller.tenant, self.snapshot)

    def aliases_for(self, request: Request) -> tuple[str, ...]:
        """Return the names that leave the choice to the policy: none of them for embeddings."""
        return () if Need.EMBEDDINGS in request.needs else self.aliases

    def may_serve(self, tenant: str, tier: str) -> bool:
        """Return whether an answer of that tier, "" for a model of none, may go to the tenant."""
        return tenant not in self.bounded or tier in self.bounded[tenant].names

    @property
    def model_names(self) -> tuple[tuple[str, str], ...]:
        """Return every name a client may ask for, each with whose it is."""
        ours = [(name, "pointsman") for name in (*self.aliases, *self.snapshot.names)]
        every = (*self.snapshot.tiers, *self.embedders.tiers)
        tiers = (deployment for tier in every for deployment in tier.deployments)
        models = {d.id: d.provider for d in (*tiers, *self.snapshot.others)}
        return (*(entry for entry in ours if entry[0] != "*"), *models.items())

    def plan(self, job: Job, health: Health, now_s: float) -> Plan:
        """Return the plan of what is ready; where all rest, of what may be tried all the same.

        Then the least bad of a tier comes first: who has least of its rest before it.
        """

        def planned(is_ready: Callable[[str, float], bool]) -> Plan:
            return build_plan(
                job.decision,
                job.features,
                self.offered(job.request),
                is_ready=lambda name: is_ready(name, now_s),
                may_escalate=self.may_escalate,
            )

        plan = planned(health.is_ready)
        if plan.steps:
            return plan
        plan = planned(health.is_last_resort)
        tiers = list(dict.fromkeys(step.tier for step in plan.steps))

        def badness(step: Step) -> tuple[int, float]:
            return tiers.index(step.tier), health.rest_left_s(step.deployment.id, now_s)

        steps = tuple(sorted(plan.steps, key=badness))
        return msgspec.structs.replace(plan, steps=steps, is_last_resort=True)

    def first_step(self, request: Request, decision: Decision) -> Step:
        """Return the first step of a decision's plan, whatever rests."""
        tiers = self.offered(request).tiers
        every = (*(d for tier in tiers for d in tier.deployments), *self.snapshot.others)
        first = next(d for d in every if d.id == decision.deployments[0])
        return Step(tier=decision.tier, deployment=first)

    def unaudited(self) -> "Routing":
        """Return it with audits switched off; what earlier ones found holds."""
        return replace(self, audit=replace(self.audit, settings=AuditSettings()))

    def stepped(self, steps: Mapping[str, int]) -> "Routing":
        """Return it with the thresholds that audits have lowered so often, by group."""
        if steps == self.audit.steps:
            return self
        policy = self.audit.policy_after(steps)
        return replace(self, policy=policy, audit=replace(self.audit, steps=steps))


@dataclass(frozen=True, slots=True)
class Stores:
    """What outlives a reload: the ledger, and the cache, None where it is switched off.

    `entry_bytes_max`: a larger answer is not kept. `has_readings`: what the scorer reads of each
    request is kept in the ledger. `outcomes`: None where the ledger can keep none. `contents`: None
    where requests and answers are not kept in full.
    """

    ledger: Ledger
    cache: Cache | None
    entry_bytes_max: int
    has_readings: bool = False
    outcomes: Outcomes | None = None
    contents: Contents | None = None
