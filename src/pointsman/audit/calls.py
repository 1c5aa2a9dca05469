"""Calls: the upstream calls that an audit makes: booked like any other, tried once, never cached.

Their request ids are the audited one's with "-audit" or "-judge-1" behind it, and their policy is
`ledger.AUDIT`: so they are told from what clients asked for.
"""

import asyncio
from collections.abc import Mapping
from typing import Protocol

import msgspec

from pointsman.attempt import Attempt, Desk, Job, priced_as_stated
from pointsman.budgets import Budgets, Purse
from pointsman.core.errors import GatewayError, UpstreamTimeout
from pointsman.core.events import Finished
from pointsman.core.filters import capable
from pointsman.core.plan import Affordable, as_held, bounded
from pointsman.core.types import Decision, Features, Plan, Request, Snapshot, Step
from pointsman.gate.draft import draft_of
from pointsman.ledger import AUDIT, Intent, Outcome, Settlement
from pointsman.providers import Provider
from pointsman.validators import Draft


class Scene(Protocol):
    """What a call takes of the routing in force."""

    @property
    def snapshot(self) -> Snapshot:
        """Return the tiers."""

    @property
    def providers(self) -> Mapping[str, Provider]:
        """Return who calls each provider."""

    @property
    def total_s(self) -> float:
        """Return how long a request may take."""

    @property
    def budgets(self) -> Budgets:
        """Return what may be spent."""


class Calls:
    """Makes the calls of one audit, and sums what they cost: `charged_nanousd`.

    What nobody knows the cost of counts with its worst case.
    """

    def __init__(self, scene: Scene, desk: Desk, request_id: str) -> None:
        self.charged_nanousd = 0
        self._scene = scene
        self._request_id = request_id
        self._outer = desk.observer
        self._desk = msgspec.structs.replace(desk, observer=self._observe)

    def step(self, features: Features, tier_name: str, tokens_max: int) -> Step | None:
        """Return a call of the first model of a tier that can serve and is ready, None for none.

        `tokens_max`: bound of the answer where the request has none.
        """
        tier = self._scene.snapshot.tier(tier_name)
        bounded = msgspec.structs.replace(
            tier, max_tokens=min(tokens_max, tier.max_tokens or tokens_max)
        )
        left, _ = capable(features, (bounded,))
        if not left:
            return None
        now_s, health = self._desk.clock.monotonic_s(), self._desk.health
        for deployment in left[0].deployments:
            if health.is_trusted(deployment.id, now_s):
                return Step(tier=tier_name, deployment=deployment, max_tokens=left[0].max_tokens)
        return None

    async def make(
        self, request: Request, features: Features, step: Step, *, name: str, outcome: Outcome
    ) -> Draft:
        """Return a whole answer. Raises GatewayError; the attempt is booked whatever happens.

        Its worst case is held from what all may spend together: no client's key pays for it.
        """
        job = self._job(request, features, step, name)
        purse = None
        if self._scene.budgets.every:
            job = priced_as_stated(job)
            plan = Plan(steps=(step,), attempts_max=1)
            plan = bounded(as_held(plan, features, self._desk.price_of))
            (step,), purse = plan.steps, self._purse(plan)
        attempt = Attempt(job, step, 1, self._desk, is_retry=False, purse=purse)
        try:
            async with asyncio.timeout(self._scene.total_s):
                await attempt.begin(self._scene.providers[step.deployment.provider])
                while not isinstance((await attempt.more())[-1], Finished):
                    pass
                await attempt.settle(outcome)
        except TimeoutError as timeout:
            error = UpstreamTimeout("the audit's time is over")
            attempt.fail(error)
            raise error from timeout
        except GatewayError as error:
            attempt.fail(error)
            attempt.note_failure(error)
            raise
        finally:
            await attempt.aclose()
            if purse is not None:
                purse.release()
        attempt.note_success()
        return draft_of(attempt.builder)

    def _purse(self, plan: Plan) -> Purse:
        purse = Purse(self._desk.ledger, self._scene.budgets.every, self._desk.meter)
        purse.amounts = Affordable(plan)
        return purse

    def _job(self, request: Request, features: Features, step: Step, name: str) -> Job:
        caller = msgspec.structs.replace(
            request.caller, request_id=f"{self._request_id}-{name}", cache="off"
        )
        return Job(
            msgspec.structs.replace(request, caller=caller),
            features,
            Decision(
                tier=step.tier,
                reason=f"{name} of {self._request_id}",
                policy=AUDIT,
                deployments=(step.deployment.id,),
            ),
            self._desk.clock.monotonic_s() + self._scene.total_s,
            "off",
            self._scene.snapshot,
        )

    def _observe(self, intent: Intent, settlement: Settlement) -> None:
        cost = settlement.cost_nanousd
        self.charged_nanousd += (intent.worst_case_nanousd or 0) if cost is None else cost
        self._outer(intent, settlement)
