"""Deciding: where each strategy sends a logged request, by the production `decide`."""

from collections.abc import Mapping, Sequence

import msgspec

from pointsman.compare.records import Booked, LoggedRequest
from pointsman.compare.strategies import FIXED
from pointsman.core.conversation import Standing
from pointsman.core.decision import Policy, Target, decide, resolve
from pointsman.core.errors import ModelNotFound
from pointsman.core.filters import unmet
from pointsman.core.prompt_cache import PromptCaches
from pointsman.core.types import Decision, Deployment, Features, Snapshot

_NAMES_MAX = 4_096
_ANY = Target()


class Decider:
    """Decides for every policy, and keeps what does not hang on the request.

    A policy that sends all to one tier decides alike for every request that each deployment of the
    tiers can serve, and most are such.
    """

    def __init__(
        self, policies: Mapping[str, Policy], snapshot: Snapshot, aliases: Sequence[str]
    ) -> None:
        self._policies = policies
        self._snapshot = snapshot
        self._aliases = aliases
        self._tiers = frozenset(snapshot.names)
        self._fixed: dict[str, Decision] = {}
        self._caches = {spec: PromptCaches() for spec in policies}
        self._targets: dict[str, Target] = {}
        self._served_by_all: dict[tuple[object, ...], bool] = {}
        self._latest: Features | None = None
        self._is_latest_served = False
        self._deployments = {
            (tier.name, deployment.id): deployment
            for tier in snapshot.tiers
            for deployment in tier.deployments
        }
        self._others = {deployment.id: deployment for deployment in snapshot.others}

    def deployment(self, decision: Decision) -> Deployment:
        """Return the deployment that a decision calls first."""
        first = decision.deployments[0]
        found = self._deployments.get((decision.tier, first)) or self._others.get(first)
        if found is None:  # a model by name, of a tier that does not list it first
            found = next(it for (_, id), it in self._deployments.items() if id == first)
        return found

    def named(self, tier: str, deployment: str) -> Deployment:
        """Return the deployment of a tier by its id. Raises KeyError when there is none."""
        return self._deployments[tier, deployment]

    def caches(self, spec: str) -> PromptCaches:
        """Return what a policy has seen of the providers' prompt caches."""
        return self._caches[spec]

    def decide(
        self, spec: str, record: LoggedRequest, standing: Standing | None = None
    ) -> Decision | None:
        """Return where a logged request goes under a policy.

        A fixed policy takes it whatever it asked for. Else a tier that was asked for is kept, and
        a model's name counts as the alias: it says what was called then, not what the router was
        asked. Without the prompt the decision as booked is kept; None where another policy had
        booked it. `standing`: the conversation that the request goes on with, under this policy.

        Raises NoCapableModel.
        """
        policy = self._policies[spec]
        if spec.startswith(FIXED):
            return self._decide_fixed(spec, policy, record)
        if record.request is None and record.booked is not None:
            return self._as_booked(policy, record, record.booked)
        if record.request is None:
            is_readable = bool(record.features.text) or record.features.reading is not None
            if not is_readable:
                return None
            return decide(
                record.features,
                _ANY,
                self._snapshot,
                policy,
                standing=standing,
                caches=self._caches[spec],
            )
        pin = record.request.caller.tier
        return decide(
            record.features,
            self._asked_for(record.request.model),
            self._snapshot,
            policy,
            tier_pin=pin if pin in self._tiers else "",
            standing=standing,
            caches=self._caches[spec],
        )

    def _decide_fixed(self, spec: str, policy: Policy, record: LoggedRequest) -> Decision:
        kept = self._fixed.get(spec)
        is_plain = self._is_served_by_all(record.features)
        if kept is not None and is_plain:
            return kept
        decision = decide(record.features, _ANY, self._snapshot, policy)
        if is_plain:
            self._fixed[spec] = decision
        return decision

    def _is_served_by_all(self, features: Features) -> bool:
        """Return whether no deployment is left out for this request."""
        if features is self._latest:
            return self._is_latest_served
        self._latest, self._is_latest_served = features, self._find_served(features)
        return self._is_latest_served

    def _find_served(self, features: Features) -> bool:
        size = features.input_tokens.bit_length()
        key = (features.dialect, features.needs, features.max_tokens, size)
        found = self._served_by_all.get(key)
        if found is None:
            if len(self._served_by_all) >= _NAMES_MAX:
                self._served_by_all.clear()
            # Every request of the key has fewer tokens than this.
            most = msgspec.structs.replace(
                features, input_tokens=1 << features.input_tokens.bit_length()
            )
            found = not any(
                unmet(most, deployment, tier.max_tokens)[0]
                for tier in self._snapshot.tiers
                for deployment in tier.deployments
            )
            self._served_by_all[key] = found
        return found

    def _asked_for(self, model: str) -> Target:
        found = self._targets.get(model)
        if found is None:
            if len(self._targets) >= _NAMES_MAX:  # names come from the log
                self._targets.clear()
            found = self._targets[model] = self._target(model)
        return found

    def _target(self, model: str) -> Target:
        try:
            target = resolve(model, self._snapshot, self._aliases)
        except ModelNotFound:
            return _ANY
        return _ANY if target.deployment else target

    def _as_booked(self, policy: Policy, record: LoggedRequest, booked: Booked) -> Decision | None:
        if booked.policy not in (policy.name, "pinned"):
            return None
        kept = self._booked_target(booked)
        if kept is None:
            return None
        decision = decide(record.features, kept, self._snapshot, policy)
        return msgspec.structs.replace(decision, policy=booked.policy, reason=booked.reason)

    def _booked_target(self, booked: Booked) -> Target | None:
        """Return the target that leads where the booked decision led, None where that is gone."""
        if booked.policy == "pinned":
            try:
                asked = resolve(booked.asked, self._snapshot, self._aliases)
            except ModelNotFound:
                asked = _ANY
            if asked.tier or asked.deployment:
                return asked
        return Target(tier=booked.tier) if booked.tier in self._snapshot.names else None
