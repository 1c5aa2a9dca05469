"""Certifying: which predicted loss each group may risk, proven on labels held out of the fit.

Every loss comes from the production policy with the very tuning that is to be installed, and every
request is first decided by it: one that a rule or an unfamiliar prompt sends to a tier whatever the
threshold is counted where it goes; one that not every tier can serve is left out, for then the
policy chooses among other tiers than those that were measured.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from pointsman.core.decision import Target, decide
from pointsman.core.errors import NoCapableModel
from pointsman.core.types import Decision, Features, Snapshot
from pointsman.policies import PolicySettings
from pointsman.policies.learned import Learned
from pointsman.policies.outlooks import OutlookBook
from pointsman.scorer.bounds import fewest_wins
from pointsman.scorer.calibration import (
    Calibration,
    GroupCalibration,
    Labelled,
    calibrate,
    thresholds_from,
)
from pointsman.scorer.certificate import Certificate, GroupCertificate
from pointsman.scorer.tuning import Tuning
from pointsman.training.labels import Labels

_ALWAYS, _NEVER = -9.0, 9.0  # losses that no threshold forbids, and that none allows
_KEY = "key:"


@dataclass(frozen=True, slots=True)
class Certification:
    """What the held-out labels prove. `certificate` None: nothing for any group.

    `undecided`: groups with too few labels for a fair test; they keep the prior's threshold. One
    with more that proves nothing is in the certificate: none may leave the strongest tier.
    `left_out`: how many labels not every tier can serve.
    """

    certificate: Certificate | None
    calibration: Calibration
    undecided: tuple[GroupCalibration, ...]
    left_out: int


def own_groups(held_out: Labels, *, floor: float, confidence: float) -> tuple[str, ...]:
    """Return the caller's own groups that have enough held-out labels to be groups apart.

    A key names a group only where there are several keys: else it says no more than "all".
    """
    counts = Counter(label for features in held_out.features for label in features.labels)
    keys = [label for label in counts if label.startswith(_KEY)]
    enough = _enough(floor, (1.0 - confidence) / max(len(counts), 1))
    return tuple(
        sorted(
            label
            for label, count in counts.items()
            if count >= enough and (len(keys) > 1 or not label.startswith(_KEY))
        )
    )


def certify(
    fitted_on: Labels,
    held_out: Labels,
    settings: PolicySettings,
    *,
    own: Sequence[str],
    confidence: float,
    data: str,
    made_on: str,
) -> Certification:
    """Return what labels that every tier answered prove of `settings.tuning` at its floor."""
    tuning = settings.tuning
    assert tuning is not None, "there is a tuning to certify"
    bench = _Bench(settings, tuning, held_out, own)
    sample, left_out = bench.sample(held_out)
    calibration = calibrate(
        sample,
        floor=settings.quality_floor,
        confidence=confidence,
        thresholds=thresholds_from(bench.losses_below_strongest(fitted_on)),
        salt=_digest(held_out),
    )
    enough = _enough(settings.quality_floor, 1.0 - confidence)
    decided = [it for it in calibration.groups if it.threshold is not None or it.labels >= enough]
    certificate = Certificate(
        floor=settings.quality_floor,
        confidence=confidence,
        made_on=made_on,
        scorer=tuning.scorer,
        data=data,
        models=held_out.models,
        groups={group.group: _as_certificate(group) for group in decided},
    )
    return Certification(
        certificate=certificate if decided else None,
        calibration=calibration,
        undecided=tuple(group for group in calibration.groups if group not in decided),
        left_out=left_out,
    )


def _digest(labels: Labels) -> bytes:
    """Return a digest of what was asked, the same in any order, which no outcome goes into."""
    asked = sorted(f"{reading.group} {sorted(reading.grams)}" for reading in labels.readings)
    return sha256("\n".join(asked).encode()).digest()


def _enough(floor: float, error: float) -> int:
    """Return how many labels make a fair test: twice those that do where all answers are right."""
    return 2 * fewest_wins(error=error, loss_max=floor, win=1.0 - floor)


class _Bench:
    """The production policy with a tuning: one that may risk anything, and one that risks nothing.

    Both hold a certificate of the same groups as the one to be made, for the group that a request
    belongs to depends on which groups there are.
    """

    def __init__(
        self, settings: PolicySettings, tuning: Tuning, labels: Labels, own: Sequence[str]
    ) -> None:
        names = {*own, *(reading.group for reading in labels.readings)}
        self._own = frozenset(own)
        self._snapshot = labels.snapshot
        self._scorer = tuning.build_scorer()
        self._bold = _settings_with(settings, tuning, labels.models, names, _NEVER)
        self._book = OutlookBook(self._bold, self._scorer)
        self._brave = Learned(self._bold)
        self._shy = Learned(_settings_with(settings, tuning, labels.models, names, None))

    def sample(self, labels: Labels) -> tuple[dict[str, list[Labelled]], int]:
        """Return the labels by the group that they count for, and how many are left out."""
        by_group: dict[str, list[Labelled]] = {}
        left_out = 0
        for features, quality, cost in zip(
            labels.features, labels.quality.tolist(), labels.cost.tolist(), strict=True
        ):
            losses = self._losses(features)
            if losses is None:
                left_out += 1
                continue
            costs = tuple(map(round, cost))
            group = self._group(features)
            by_group.setdefault(group, []).append(Labelled(losses, tuple(quality), costs))
        return by_group, left_out

    def losses_below_strongest(self, labels: Labels) -> list[float]:
        """Return the losses predicted on all tiers but the strongest."""
        return [loss for it in labels.features for loss in self._predicted(it)[:-1]]

    def _losses(self, features: Features) -> tuple[float, ...] | None:
        """Return the losses that the policy goes by, None where not every tier can serve."""
        try:
            brave = _decision(features, self._snapshot, self._brave)
            shy = _decision(features, self._snapshot, self._shy)
        except NoCapableModel:
            return None
        if brave.filtered:
            return None
        names = self._snapshot.names
        if shy.tier != names[-1]:  # a rule sends it down, whatever the threshold
            return (*(_ALWAYS if name == shy.tier else _NEVER for name in names[:-1]), 0.0)
        if brave.tier == names[-1]:  # a rule, or an unfamiliar prompt, sends it up
            return (_NEVER,) * (len(names) - 1) + (0.0,)
        return self._predicted(features)

    def _predicted(self, features: Features) -> tuple[float, ...]:
        assert features.reading is not None, "labels come with readings"
        reading = features.reading
        outlook = self._book.outlook(reading.group, features.labels, self._snapshot.tiers)
        return outlook.losses(self._scorer.relative_gain(reading))

    def _group(self, features: Features) -> str:
        assert features.reading is not None, "labels come with readings"
        own = (label for label in features.labels if label in self._own)
        return next(own, features.reading.group)


def _decision(features: Features, snapshot: Snapshot, policy: Learned) -> Decision:
    return decide(features, Target(), snapshot, policy)


def _settings_with(
    settings: PolicySettings,
    tuning: Tuning,
    models: tuple[str, ...],
    names: set[str],
    threshold: float | None,
) -> PolicySettings:
    """Return settings whose tuning claims that threshold for every group."""
    claimed = Certificate(
        floor=1.0,
        confidence=0.0,
        made_on="",
        scorer=tuning.scorer,
        data="",
        models=models,
        groups={name: GroupCertificate(threshold=threshold, labels=0) for name in sorted(names)},
    )
    return msgspec.structs.replace(
        settings, goal="floor", tuning=msgspec.structs.replace(tuning, certificate=claimed)
    )


def _as_certificate(group: GroupCalibration) -> GroupCertificate:
    return GroupCertificate(
        threshold=group.threshold,
        labels=group.labels,
        labels_needed=group.labels_needed or 0,
        share_down=group.share_down,
        saving_estimated=group.saving_estimated,
        quality_kept_estimated=group.quality_kept_estimated,
    )
