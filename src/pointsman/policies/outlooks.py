"""Outlooks: what each tier table is expected to give in each group, worked out once and kept."""

from collections.abc import Sequence

from pointsman.core.types import Deployment, Tier
from pointsman.policies import PolicySettings
from pointsman.scorer.certificate import NOT_CERTIFIED, Certificate
from pointsman.scorer.drift import start_audit
from pointsman.scorer.groups import CATCH_ALL
from pointsman.scorer.model import Scorer
from pointsman.scorer.prospects import Outlook, prior_threshold, tier_gaps
from pointsman.scorer.standings import Standing, place_tiers
from pointsman.scorer.tuning import Measured

_TABLES_MAX = 64
_LABELS_MIN = 20


class OutlookBook:
    """Keeps the outlooks of the tier tables that requests have met, of the latest ones at most."""

    def __init__(self, settings: PolicySettings, scorer: Scorer) -> None:
        self._settings = settings
        self._scorer = scorer
        self._tables: dict[tuple[int, ...], _Table] = {}
        self._labels_needed = settings.tuning.labels_needed if settings.tuning else {}

    def outlook(self, group: str, labels: Sequence[str], tiers: Sequence[Tier]) -> Outlook:
        """Return the outlook of the first label that is certified, else of the task group."""
        table = self._table(tiers)
        for label in labels:
            if table.certificate and label in table.certificate.groups:
                return table.outlook(group, label)
        return table.outlook(group, group)

    def told(self, outlook: Outlook, tiers: Sequence[Tier]) -> str:
        """Say in words what is proven of an outlook."""
        table = self._table(tiers)
        told = NOT_CERTIFIED + (f": {table.fault}" if table.fault else "")
        if outlook.is_certified and table.certificate:
            told = table.certificate.told()
        elif needed := self._labels_needed.get(outlook.group):
            told = f"{NOT_CERTIFIED}; about {needed:,} more held-out labels are needed"
        steps = self._settings.steps.get(outlook.group, 0)
        if not steps:
            return told
        times = "once" if steps == 1 else f"{steps} times"
        return f"{told}; audits found the floor broken here, so the threshold was lowered {times}"

    def proof(self, tiers: Sequence[Tier]) -> str:
        """Say in words what is proven of a tier table."""
        table = self._table(tiers)
        if table.certificate:
            told = table.certificate.told()
        else:
            told = NOT_CERTIFIED + (f": {table.fault}" if table.fault else "")
        needed = [f"{name} {more:,}" for name, more in sorted(self._labels_needed.items()) if more]
        return f"{told}; more held-out labels needed: {', '.join(needed)}" if needed else told

    def _table(self, tiers: Sequence[Tier]) -> "_Table":
        key = tuple([id(tier.deployments[0]) for tier in tiers])
        table = self._tables.get(key)
        if table is None:
            if len(self._tables) >= _TABLES_MAX:
                self._tables.pop(next(iter(self._tables)))
            table = _Table([tier.deployments[0] for tier in tiers], self._settings, self._scorer)
            self._tables[key] = table
        return table


class _Table:
    """The outlooks of one tier table. It holds its deployments, so that their ids stay theirs."""

    def __init__(
        self, deployments: Sequence[Deployment], settings: PolicySettings, scorer: Scorer
    ) -> None:
        self._deployments = deployments
        self._floor = settings.quality_floor
        self._steps = settings.steps
        self._scorer = scorer
        self._standings = place_tiers([(it.id, it.price) for it in deployments])
        tuning = settings.tuning
        self._measured = tuning.measured if tuning else {}
        self.certificate: Certificate | None = None
        self.fault = ""
        if tuning and tuning.certificate:
            models = [it.id for it in deployments]
            self.fault = tuning.certificate.fault(
                scorer=scorer.version, models=models, floor=self._floor
            )
            self.certificate = None if self.fault else tuning.certificate
        self._outlooks: dict[tuple[str, str], Outlook] = {}

    def outlook(self, group: str, name: str) -> Outlook:
        """Return the outlook of a task group, with the threshold that `name` is certified for."""
        found = self._outlooks.get((group, name))
        if found is None:
            found = self._outlooks[group, name] = self._built(group, name)
        return found

    def _built(self, group: str, name: str) -> Outlook:
        known = [
            self._quality(it, standing, group, name)
            for it, standing in zip(self._deployments, self._standings, strict=True)
        ]
        qualities = [quality for quality, _ in known]
        gaps = tier_gaps(qualities)
        certified = self.certificate.groups.get(name) if self.certificate else None
        if certified is None:
            spread = self._scorer.spread(group)
            is_typical = group != CATCH_ALL and self._scorer.is_trained(group)
            threshold = prior_threshold(
                spread, gaps, qualities[-1], self._floor, is_typical=is_typical
            )
        else:
            # Nothing is below 0: where no threshold is proven, all go to the strongest tier.
            threshold = -1.0 if certified.threshold is None else certified.threshold
        threshold = _lowered(threshold, self._steps.get(name, 0))
        return Outlook(
            group=name,
            strongest_quality=qualities[-1],
            gaps=gaps,
            bases=tuple(basis for _, basis in known),
            notes=tuple(standing.note for standing in self._standings),
            threshold=threshold,
            is_certified=certified is not None,
        )

    def _quality(
        self, deployment: Deployment, standing: Standing, group: str, name: str
    ) -> tuple[float, str]:
        groups = self._measured.get(deployment.id, {})
        for key in (name, group):
            measured = groups.get(key, Measured(0.0, 0))
            if measured.labels >= _LABELS_MIN:
                return measured.quality, "trained"
        is_measured = group in standing.measured_groups
        return standing.quality[group], "measured" if is_measured else _assumed(standing)


def _lowered(threshold: float, steps: int) -> float:
    """Return the threshold after so many steps towards quality."""
    ladder = start_audit(threshold, error=0.5).ladder if steps and threshold >= 0 else (threshold,)
    lowered = ladder[min(steps, len(ladder) - 1)]
    return -1.0 if lowered is None else lowered


def _assumed(standing: Standing) -> str:
    """Return how a model was placed in a group that it was not measured in."""
    return "fit" if standing.basis == "measured" else standing.basis
