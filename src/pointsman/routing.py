"""Routing: what a pipeline is made of, apart from what it does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pointsman.attempt import Job, PriceOf
from pointsman.audit import Auditing
from pointsman.audit.settings import AuditSettings
from pointsman.cache import Cache
from pointsman.core.decision import Policy
from pointsman.core.health import Health
from pointsman.core.plan import build_plan
from pointsman.core.types import Plan, Snapshot
from pointsman.gate import Checks
from pointsman.ledger import Ledger
from pointsman.providers import Provider


@dataclass(frozen=True, slots=True)
class Routing:
    """What a reload replaces, all at once: the tiers, and how they are chosen and called.

    `bounded`: by tenant, the part of the snapshot for those who may not use all of it.
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

    def snapshot_for(self, tenant: str) -> Snapshot:
        """Return what there is for the tenant whose key it is: all, or the tiers it may use."""
        return self.bounded.get(tenant, self.snapshot)

    def may_serve(self, tenant: str, tier: str) -> bool:
        """Return whether an answer of that tier, "" for a model of none, may go to the tenant."""
        return tenant not in self.bounded or tier in self.bounded[tenant].names

    @property
    def model_names(self) -> tuple[tuple[str, str], ...]:
        """Return every name a client may ask for, each with whose it is."""
        ours = [(name, "pointsman") for name in (*self.aliases, *self.snapshot.names)]
        tiers = (deployment for tier in self.snapshot.tiers for deployment in tier.deployments)
        models = {d.id: d.provider for d in (*tiers, *self.snapshot.others)}
        return (*(entry for entry in ours if entry[0] != "*"), *models.items())

    def plan(self, job: Job, health: Health, now_s: float) -> Plan:
        """Return the plan of what is ready; where all rest, of what is due for a probe."""

        def planned(is_ready: Callable[[str, float], bool]) -> Plan:
            return build_plan(
                job.decision,
                job.features,
                self.snapshot_for(job.request.caller.tenant),
                is_ready=lambda name: is_ready(name, now_s),
                may_escalate=self.may_escalate,
            )

        plan = planned(health.is_ready)
        return plan if plan.steps else planned(health.is_due_for_probe)

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
    request is kept in the ledger.
    """

    ledger: Ledger
    cache: Cache | None
    entry_bytes_max: int
    has_readings: bool = False
