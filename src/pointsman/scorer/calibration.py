"""Calibration: the most permissive threshold that provably keeps the floor, in every group.

The promise: with a chance of at least `confidence` over the draw of the sample, all certified
groups keep their floor at once, on traffic like the sample. It rests on three steps, all exact:

1. One threshold: `z = routed - floor * strongest`, one value a label, has a mean of 0 or more where
   the floor holds. A betting test of "the mean is 0 or less" errs with a chance of at most its
   error (`bounds.final_wealth`), at any sample size and for any scores within 0..1.
2. Many thresholds: they are tested in a fixed order, from "all to the strongest" towards cheaper,
   each at the full error, until the first fails. Before a threshold that breaks the floor could
   be certified, the first such one in the order would have to pass its own test.
3. Many groups: the error is shared out equally among those with enough labels (Bonferroni).

What the steps ask of the caller: labels drawn independently from the traffic that the promise is
about, and thresholds that were fixed without these labels (`thresholds_from` other requests).
The betting order is a hash of each label's content, of its number among equal labels, of the whole
sample and of the caller's `salt`: the order in which a sample is given does not matter, and none
of it can be chosen to please. The hash stands in for a shuffle: the proof is exact as far as its
order is as good as a random one, for which the salt has to differ from sample to sample.

No part of the error is spent on Clopper-Pearson bounds of "the cheap tier wrong, the strongest
right": they waste the cheap tier's wins, and certified less at every sample size we tried.

Source: Maurer, Hothorn and Lehmacher, in "Biometrie in der chemisch-pharmazeutischen Industrie" 6,
1995 (fixed-sequence testing); Angelopoulos, Bates, Candes, Jordan and Lei, "Learn then Test", 2021
(its use for thresholds of a model); those of the betting test stand in `bounds`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import cycle, islice
from math import fsum, isfinite
from operator import itemgetter
from typing import Literal, TypeAlias

import msgspec

from pointsman.scorer.bounds import fewest_wins, final_wealth

# Predicted losses are differences of quality, so one ladder fits: fine where floors are decided.
THRESHOLDS = tuple([step / 200 for step in range(-20, 61)] + [step / 50 for step in range(16, 51)])
LABELS_NEEDED_MAX = 10_000
_RATES_FROM = 20  # labels below which observed rates say nothing

Basis: TypeAlias = Literal["certified", "observed", "lossless", "hopeless"]


@dataclass(frozen=True, slots=True)
class Labelled:
    """One request whose outcome on every tier is known; one entry a tier, cheapest tier first.

    `losses`: predicted loss of quality against the strongest tier, the last one 0. `qualities`:
    measured, 0..1. `costs_nanousd`: measured.
    """

    losses: tuple[float, ...]
    qualities: tuple[float, ...]
    costs_nanousd: tuple[int, ...]

    def route(self, threshold: float) -> int:
        """Return the place of the cheapest tier whose predicted loss is at most the threshold."""
        for place, loss in enumerate(self.losses):
            if loss <= threshold:
                return place
        return len(self.losses) - 1


class GroupCalibration(msgspec.Struct, frozen=True, kw_only=True):
    """What the sample proves for one group.

    `threshold`: the highest predicted loss that may leave the strongest tier; None: none may.
    `quality_kept_min`: the share of the strongest tier's quality that is certified.
    `share_down`, `saving_estimated` (of the strongest tier's cost) and `quality_kept_estimated` (of
    its quality) are those of the sample at the threshold: estimates, with no bound.

    `labels_needed`: how many more labels are needed to certify anything; 0 when something is. Its
    `basis`: "observed", an estimate, if the further labels are like these; "lossless", no fewer can
    do, and so few only if every answer is right; "hopeless", none, as at the observed rates
    LABELS_NEEDED_MAX in all would not do.
    """

    group: str
    labels: int
    threshold: float | None
    share_down: float
    saving_estimated: float
    quality_kept_estimated: float
    quality_kept_min: float
    labels_needed: int | None
    basis: Basis


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """The result for all groups, in order of their names; see the module for the promise."""

    floor: float
    confidence: float
    groups: tuple[GroupCalibration, ...]


def calibrate(
    groups: Mapping[str, Sequence[Labelled]],
    *,
    floor: float,
    confidence: float = 0.9,
    thresholds: Sequence[float] = THRESHOLDS,
    salt: bytes = b"",
) -> Calibration:
    """Return a threshold for each group that has enough labels to prove one.

    `floor`: share of the strongest tier's quality to keep, above 0 and below 1. `thresholds`: those
    to try, in any order, not made from these labels. `salt`: anything that differs from sample to
    sample and says nothing of outcomes, such as a digest of what was asked; it shuffles the labels
    where few of them differ. Raises ValueError for input out of range.
    """
    _check_share("floor", floor)
    _check_share("confidence", confidence)
    for group, sample in groups.items():
        _check_sample(group, sample)
    sizes = {name: len(sample) for name, sample in groups.items()}
    shares = _share_error(sizes, floor, 1.0 - confidence)
    ladder = sorted(set(thresholds))
    results = []
    for name, sample in sorted(groups.items()):
        trial = _Trial(_betting_order(sample, salt), ladder, floor, *shares[name])
        results.append(_describe(name, trial, trial.certified()))
    return Calibration(floor=floor, confidence=confidence, groups=tuple(results))


def thresholds_from(losses: Iterable[float], *, count: int = 100) -> tuple[float, ...]:
    """Return at most `count` quantiles of the predicted losses of other requests.

    Never of the labels that are calibrated: a threshold made to fit them would void the proof.
    Those that a scorer was fitted on will do, of all tiers but the strongest.
    """
    ordered = sorted(losses)
    places = {round((step + 1) * len(ordered) / count) - 1 for step in range(count)}
    return tuple(sorted({ordered[place] for place in places if place >= 0}))


@dataclass(frozen=True, slots=True)
class _Trial:
    """One group's labels in betting order, rising thresholds, error, and the fewest labels."""

    sample: Sequence[Labelled]
    ladder: Sequence[float]
    floor: float
    error: float
    enough: int

    def certified(self) -> float | None:
        """Return the last threshold of the fixed sequence that passes; None if it moves nothing."""
        if len(self.sample) < self.enough:
            return None
        passed = [threshold for threshold, is_any_down in self.passing() if is_any_down]
        return passed[-1] if passed else None

    def passing(self) -> Iterator[tuple[float, bool]]:
        """Yield each threshold up to the first that fails, and whether it sends any label down.

        Neighbours that route all labels alike have the same test, which is run once.
        """
        strongest = [len(label.losses) - 1 for label in self.sample]
        before: list[int] = []
        for threshold in self.ladder:
            places = [label.route(threshold) for label in self.sample]
            if places != before and not self.rejects(self._margins(places)):
                return
            before = places
            yield threshold, places != strongest

    def first_margins(self) -> list[float]:
        """Return the values at the first threshold that sends a label down, [] without one."""
        strongest = [len(label.losses) - 1 for label in self.sample]
        routes = ([label.route(threshold) for label in self.sample] for threshold in self.ladder)
        return self._margins(next((places for places in routes if places != strongest), ()))

    def rejects(self, margins: Sequence[float]) -> bool:
        """Return whether the test finds that the mean is above 0, so that the floor holds."""
        win = 1.0 - self.floor
        return final_wealth(margins, error=self.error, loss_max=self.floor, win=win) >= 1.0

    def _margins(self, places: Sequence[int]) -> list[float]:
        """Return by how much each label's routed quality exceeds the floor's share of the best."""
        return [
            label.qualities[place] - self.floor * label.qualities[-1]
            for label, place in zip(self.sample, places, strict=False)
        ]


def _share_error(
    sizes: Mapping[str, int], floor: float, error: float
) -> dict[str, tuple[float, int]]:
    """Return each group's share of the error and how many labels it must have to take part.

    It depends on names and sizes alone. Where several groups share, each must have twice the labels
    that a lossless one needs: with fewer it would hardly ever prove anything, and cost the others.
    """
    ranked = sorted(sizes, key=lambda name: (-sizes[name], name))
    for sharing in range(len(ranked), 1, -1):
        enough = 2 * _fewest_labels(floor, error / sharing)
        if sizes[ranked[sharing - 1]] >= enough:
            break
    else:
        sharing, enough = 1, _fewest_labels(floor, error)
    one_more = error / (sharing + 1)
    excluded = one_more, 2 * _fewest_labels(floor, one_more)
    return {
        name: (error / sharing, enough) if rank < sharing else excluded
        for rank, name in enumerate(ranked)
    }


def _fewest_labels(floor: float, error: float) -> int:
    """Return how many labels certify something when every answer of every tier is right."""
    return fewest_wins(error=error, loss_max=floor, win=1.0 - floor)


def _betting_order(sample: Iterable[Labelled], salt: bytes) -> list[Labelled]:
    """Return the labels in the order of a hash of content, number among equals, and whole sample.

    Without the whole sample in it, a few kinds of labels would be bet on in one order for ever, and
    an unlucky one would break the promise time and again.
    """
    seen: Counter[Labelled] = Counter()
    told = []
    for label in sample:
        seen[label] += 1
        content = f"{seen[label]} {label.losses} {label.qualities} {label.costs_nanousd}"
        told.append((content.encode(), label))
    salt = sha256(b"\n".join((salt, *sorted(content for content, _ in told)))).digest()
    keyed = [(sha256(salt + content).digest(), label) for content, label in told]
    return [label for _, label in sorted(keyed, key=itemgetter(0))]


def _describe(group: str, trial: _Trial, threshold: float | None) -> GroupCalibration:
    """Return what the sample shows at the threshold, and what it lacks where there is none."""
    labels = trial.sample
    needed, basis = (0, "certified") if threshold is not None else _labels_needed(trial)
    routed = [
        (len(label.losses) - 1 if threshold is None else label.route(threshold), label)
        for label in labels
    ]
    strongest_cost = sum(label.costs_nanousd[-1] for label in labels)
    strongest_quality = fsum(label.qualities[-1] for label in labels)
    cost = sum(label.costs_nanousd[place] for place, label in routed)
    quality = fsum(label.qualities[place] for place, label in routed)
    down = sum(place < len(label.losses) - 1 for place, label in routed)
    return GroupCalibration(
        group=group,
        labels=len(labels),
        threshold=threshold,
        share_down=down / max(len(labels), 1),
        saving_estimated=1.0 - cost / strongest_cost if strongest_cost else 0.0,
        quality_kept_estimated=quality / strongest_quality if strongest_quality else 1.0,
        quality_kept_min=1.0 if threshold is None else trial.floor,
        labels_needed=needed,
        basis=basis,
    )


def _labels_needed(trial: _Trial) -> tuple[int | None, Basis]:
    """Return how many more labels would certify something, and what that rests on.

    The first threshold that sends any label down is tried on the sample repeated to grow by
    quarters, with the very test.
    """
    labels = len(trial.sample)
    if labels < _RATES_FROM:
        return max(trial.enough - labels, 1), "lossless"
    margins = trial.first_margins()
    if fsum(margins) <= 0:
        return None, "hopeless"
    size = max(labels + 1, trial.enough)
    while size <= LABELS_NEEDED_MAX:
        if trial.rejects(list(islice(cycle(margins), size))):
            return size - labels, "observed"
        size = size * 5 // 4
    return None, "hopeless"


def _check_share(name: str, value: float) -> None:
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name} {value!r}: give a number above 0 and below 1, such as 0.95")


def _check_sample(group: str, sample: Sequence[Labelled]) -> None:
    """Raise ValueError where a label cannot be used; the message names group and label."""
    for number, label in enumerate(sample):
        if fault := _fault(label, tiers=len(sample[0].losses)):
            raise ValueError(f'group "{group}", label {number}: {fault}')


def _fault(label: Labelled, tiers: int) -> str:
    """Return what is wrong with a label, "" when nothing is."""
    if not tiers or {len(label.losses), len(label.qualities), len(label.costs_nanousd)} != {tiers}:
        return (
            f"losses, qualities and costs must have one entry a tier each, {tiers or 'at least 1'}"
        )
    if label.losses[-1] != 0 or not all(map(isfinite, label.losses)):
        return f"losses {label.losses} must be finite, the strongest tier's 0"
    if not all(0.0 <= quality <= 1.0 for quality in label.qualities):
        return f"qualities {label.qualities} must be 0..1; scale the scores"
    if any(cost < 0 for cost in label.costs_nanousd):
        return f"costs {label.costs_nanousd} must not be negative"
    return ""
