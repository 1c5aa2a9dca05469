"""What the audits found: of each group, how much of the strongest tier's quality was kept."""

from collections.abc import Iterable

import msgspec

from pointsman.ledger import AuditLabel


class AuditedGroup(msgspec.Struct, frozen=True, kw_only=True):
    """The labels of one group under the configuration that was audited last, in any period.

    `steps`: how often the test said that the floor is broken, and the threshold went down.
    `quality_kept_estimated`: the routed answers' quality as a share of the strongest tier's, over
    the `labels_since_step` labels since then; None where that is nothing.
    """

    name: str
    judge: str
    floor: float
    labels: int
    steps: int
    labels_since_step: int
    quality_kept_estimated: float | None


def audited_groups(labels: Iterable[AuditLabel]) -> tuple[AuditedGroup, ...]:
    """Return the groups by name; `labels` come in the order of their booking."""
    regime, groups = "", dict[str, _Labels]()
    for label in labels:
        if label.regime != regime:
            regime, groups = label.regime, {}
        groups.setdefault(label.group, _Labels()).add(label)
    return tuple(groups[name].group(name) for name in sorted(groups))


class _Labels:
    """What is known of one group after the labels so far."""

    def __init__(self) -> None:
        self._last: AuditLabel | None = None
        self._count = self._steps = self._since = 0
        self._routed = self._strongest = 0.0

    def add(self, label: AuditLabel) -> None:
        self._last = label
        self._count += 1
        if label.steps == self._steps:
            self._since += 1
            self._routed += label.quality_routed
            self._strongest += label.quality_strongest
        if label.steps_after > self._steps:
            self._steps, self._since = label.steps_after, 0
            self._routed = self._strongest = 0.0

    def group(self, name: str) -> AuditedGroup:
        assert self._last is not None, "a group is made for its first label"
        return AuditedGroup(
            name=name,
            judge=self._last.judge,
            floor=self._last.floor,
            labels=self._count,
            steps=self._steps,
            labels_since_step=self._since,
            quality_kept_estimated=self._routed / self._strongest if self._strongest else None,
        )
