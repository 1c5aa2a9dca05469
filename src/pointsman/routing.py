"""Routing: what a pipeline is made of, apart from what it does."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

from pointsman.attempt import Job, PriceOf
from pointsman.audit import Auditing
from pointsman.audit.settings import AuditSettings
from pointsman.budgets import Budgets
from pointsman.cache import Cache, CacheSettings
from pointsman.core.decision import Policy
from pointsman.core.errors import Forbidden
from pointsman.core.grants import EVERYTHING, Grant
from pointsman.core.health import Health
from pointsman.core.offer import offer
from pointsman.core.plan import build_plan, first_step, output_bound
from pointsman.core.types import Need, Plan, Request, Snapshot, Step
from pointsman.gate import Checks, HedgingSettings
from pointsman.ledger import Ledger
from pointsman.ledger.contents import Contents
from pointsman.ledger.outcomes import Outcomes
from pointsman.providers import Provider

# As many different bounds of keys are kept ready; more are worked out anew.
_OFFERS_MAX = 1_000
_CACHING = CacheSettings()


@dataclass(frozen=True, slots=True)
class Routing:
    """What a reload replaces, all at once: the tiers, and how they are chosen and called.

    `budgets`: what may be spent. `bounded`: by tenant, the part of the snapshot for those who may
    not use all of it.
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
    budgets: Budgets
    hedging: HedgingSettings

    _offers: dict[tuple[object, ...], Snapshot] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def offered(self, request: Request) -> Snapshot:
        """Return what there is for a request: the tiers and models that its key may use.

        Nothing that answers it, in its first place or as a fallback, an escalation, a hit or a
        count, comes from anywhere else. For embeddings it is their models, each of them a tier:
        nothing chooses between those. Raises Forbidden where the key may use nothing of it.
        """
        caller = request.caller
        is_embedding = Need.EMBEDDINGS in request.needs
        found = self.offer_to(caller.tenant, caller.grant, is_embedding=is_embedding)
        if found.tiers or found.others or not (caller.grant.tiers or caller.grant.models):
            return found
        raise Forbidden(
            f'key "{caller.tenant}": nothing that it may use can answer this; '
            f"it is for {', '.join((*caller.grant.tiers, *caller.grant.models))}"
        )

    def offer_to(self, tenant: str, grant: Grant, *, is_embedding: bool = False) -> Snapshot:
        """Return what a key may use, of the tiers or of what makes embeddings; perhaps nothing."""
        whole = self.embedders if is_embedding else self.bounded.get(tenant, self.snapshot)
        if not grant.tiers and not grant.models:
            return whole
        key = (tenant in self.bounded and tenant, is_embedding, grant.tiers, grant.models)
        found = self._offers.get(key)
        if found is None:
            found = offer(whole, grant.tiers, grant.models)
            if len(self._offers) < _OFFERS_MAX:
                self._offers[key] = found
        return found

    def aliases_for(self, request: Request, offered: Snapshot) -> tuple[str, ...]:
        """Return the names that leave the choice to the policy: none where it has no choice."""
        is_embedding = Need.EMBEDDINGS in request.needs
        return () if is_embedding or not offered.tiers else self.aliases

    def may_serve(self, offered: Snapshot, tier: str, deployment: str) -> bool:
        """Return whether what a deployment has answered, of a tier or of none, may go out again."""
        if offered is self.snapshot or offered is self.embedders:
            return True
        if not tier:
            return deployment in (d.id for d in offered.others)
        return tier in offered.names and deployment in offered.tier(tier).ids

    def model_names(
        self, tenant: str = "", grant: Grant = EVERYTHING
    ) -> tuple[tuple[str, str], ...]:
        """Return every name that a key may ask for, each with whose it is."""
        chat = self.offer_to(tenant, grant)
        embedders = self.offer_to(tenant, grant, is_embedding=True)
        aliases = self.aliases if chat.tiers else ()
        ours = [(name, "pointsman") for name in (*aliases, *chat.names)]
        tiers = (d for tier in (*chat.tiers, *embedders.tiers) for d in tier.deployments)
        models = {d.id: d.provider for d in (*tiers, *chat.others)}
        return (*(entry for entry in ours if entry[0] != "*"), *models.items())

    def plan(self, job: Job, health: Health, now_s: float) -> Plan:
        """Return the plan of what is ready; where all rest, of what may be tried all the same.

        Then the least bad of a tier comes first: who has least of its rest before it.
        """

        decision, may_escalate = job.decision, self.may_escalate
        resting = health.resting(now_s)
        plan = build_plan(decision, job.offered, resting=resting, may_escalate=may_escalate)
        if plan.steps:
            return plan
        resting = {name for name in plan.resting if not health.is_last_resort(name, now_s)}
        plan = build_plan(decision, job.offered, resting=resting, may_escalate=may_escalate)
        tiers = list(dict.fromkeys(step.tier for step in plan.steps))

        def badness(step: Step) -> tuple[int, float]:
            return tiers.index(step.tier), health.rest_left_s(step.deployment.id, now_s)

        steps = tuple(sorted(plan.steps, key=badness))
        return msgspec.structs.replace(plan, steps=steps, is_last_resort=True)

    def tokens_max(self, job: Job) -> int | None:
        """Return the most tokens that a call for a job may take, None where that is not known."""
        bound = output_bound(first_step(job.decision, job.offered), job.features)
        return None if bound is None else job.features.input_tokens + bound

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

    `caching`: what is kept there, and how it is found. `has_readings`: what the scorer reads of
    each request is kept in the ledger. `outcomes`: None where the ledger can keep none. `contents`:
    None where requests and answers are not kept in full.
    """

    ledger: Ledger
    cache: Cache | None
    caching: CacheSettings = _CACHING
    has_readings: bool = False
    outcomes: Outcomes | None = None
    contents: Contents | None = None
