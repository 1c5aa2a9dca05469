"""Watch: what the audits so far say of each group's floor, rebuilt from the ledger's labels."""

from collections.abc import Iterable, Mapping

import msgspec

from pointsman.ledger import AuditLabel
from pointsman.scorer.drift import Audit, floor_margin, start_audit

# The chance that a group's threshold is ever lowered while the floor holds.
ERROR = 0.05
# Only the number of steps counts here: what the threshold is, the policy knows.
_FRESH = start_audit(1.0, error=ERROR)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one group. `evidence`: against the floor, as an e-value: 1 says nothing."""

    group: str
    labels: int
    steps: int
    evidence: float


class Watch:
    """The sequential tests of one regime's groups; see `AuditLabel.regime`."""

    def __init__(self, regime: str, labels: Iterable[AuditLabel] = ()) -> None:
        self.regime = regime
        self._audits: dict[str, Audit] = {}
        self._counts: dict[str, int] = {}
        for label in labels:
            if label.regime == regime:
                self.add(label)

    @property
    def steps(self) -> Mapping[str, int]:
        """Return how often each group's threshold has been lowered, of those where it was."""
        return {name: audit.step for name, audit in self._audits.items() if audit.step}

    def standings(self) -> tuple[Standing, ...]:
        """Return what is known of each group that has a label."""
        return tuple(
            Standing(group=name, labels=count, steps=audit.step, evidence=audit.test.wealth)
            for name, count in sorted(self._counts.items())
            for audit in (self._audits.get(name, _FRESH),)
        )

    def counted(self, label: AuditLabel) -> AuditLabel:
        """Return the label with the steps that are taken once it has counted."""
        return msgspec.structs.replace(label, steps_after=self._after(label).step)

    def add(self, label: AuditLabel) -> None:
        """Count a label."""
        self._counts[label.group] = self._counts.get(label.group, 0) + 1
        self._audits[label.group] = self._after(label)

    def _after(self, label: AuditLabel) -> Audit:
        """Return the group's test after a label; one of another threshold says nothing."""
        audit = self._audits.get(label.group, _FRESH)
        if label.steps != audit.step:
            return audit
        routed, strongest = label.quality_routed, label.quality_strongest
        return audit.add(floor_margin(routed, strongest, floor=label.floor))
