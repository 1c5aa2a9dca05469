"""Prospects: what each tier is expected to give and to cost, and how much loss may be risked.

Two things are multiplied. The gap of a tier is how much worse it is than the strongest over a whole
group of requests; it belongs to the models. The relative gain is how much more than its group one
request gains from the strongest; it belongs to the request, and the scorer predicts it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from pointsman.core.prices import cost_nanousd
from pointsman.core.types import Features, Tier
from pointsman.core.usage import Usage

Spread: TypeAlias = Sequence[tuple[float, float, float]]


class Prospect(msgspec.Struct, frozen=True, kw_only=True):
    """What one tier is expected to give for one request.

    `quality` and `loss` (against the strongest tier) are 0..1. `cost_nanousd` None: no price.
    `basis`: how the model's quality in this group is known: "trained" on the user's own labels,
    "measured"; else assumed from a "fit" over other groups, a "published" score, its "price" or its
    place among the tiers ("tier"), which `note` tells in words.
    """

    tier: str
    model: str
    quality: float
    loss: float
    cost_nanousd: int | None
    basis: str
    note: str = ""

    @property
    def is_assumed(self) -> bool:
        """Return whether nobody measured the model: its quality is placed by price or score."""
        return self.basis not in {"trained", "measured"}


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the tiers of one table are expected to give in one group, cheapest first.

    `gaps`: mean quality of the strongest tier less the tier's own, >= 0, the last one 0. `bases`
    and `notes` are as in `Prospect`.
    `threshold`: the highest loss that a request may be expected to have; `is_certified`: proven on
    the user's own traffic.
    """

    group: str
    strongest_quality: float
    gaps: tuple[float, ...]
    bases: tuple[str, ...]
    notes: tuple[str, ...]
    threshold: float
    is_certified: bool = False

    def losses(self, relative_gain: float) -> tuple[float, ...]:
        """Return the loss against the strongest tier expected on each tier, 0..1."""
        return tuple(min(gap * relative_gain, self.strongest_quality) for gap in self.gaps)


def tier_gaps(qualities: Sequence[float]) -> tuple[float, ...]:
    """Return how much worse each tier is than the last, never below 0."""
    return tuple(max(0.0, qualities[-1] - quality) for quality in qualities)


def prior_threshold(
    spread: Spread,
    gaps: Sequence[float],
    strongest_quality: float,
    floor: float,
    *,
    is_typical: bool = True,
) -> float:
    """Return the highest loss to allow so that a group is expected to keep the floor, >= 0.

    `spread` says which share of the group's whole gain lies with the requests below each relative
    gain (`Scorer.spread`), so what the floor may cost can be spent on those that gain least.
    Where requests are not like the training data (not `is_typical`) none may pay for another: each
    has to keep the floor. Nothing is proven by it: it rests on the scorer's training data and the
    models' placed quality.
    """
    if not is_typical:
        return (1 - floor) * strongest_quality
    allowed = (1 - floor) * strongest_quality + 1e-12
    best = 0.0
    for threshold in sorted({gap * gain for gap in gaps for _, gain, _ in spread}):
        if _expected_loss(threshold, spread, gaps) > allowed:
            break
        best = threshold
    return best


def expected_costs(
    features: Features, tiers: Sequence[Tier], output_tokens: float
) -> Iterator[int | None]:
    """Yield what each tier's first model is expected to cost in nano-USD, None without a price."""
    for tier in tiers:
        price = tier.deployments[0].price
        bound = features.max_tokens or tier.max_tokens
        expected = round(output_tokens) if bound is None else min(round(output_tokens), bound)
        usage = Usage(input_tokens=features.input_tokens, output_tokens=expected)
        yield None if price is None else cost_nanousd(usage, price)


def _expected_loss(threshold: float, spread: Spread, gaps: Sequence[float]) -> float:
    """Return the mean loss of a group where each request takes the first tier within the threshold.

    A tier takes the requests up to the relative gain at which its loss meets the threshold, less
    those that a cheaper tier took.
    """
    loss, taken = 0.0, 0.0
    for gap in gaps[:-1]:
        held = 1.0 if gap <= 0 else _held_below(threshold / gap, spread)
        loss += gap * max(0.0, held - taken)
        taken = max(taken, held)
    return loss


def _held_below(relative_gain: float, spread: Spread) -> float:
    """Return the share of a group's gain that its requests up to a relative gain hold."""
    held = 0.0
    for _, gain, share in spread:
        if gain > relative_gain + 1e-12:
            break
        held = share
    return held


Outlooks: TypeAlias = Mapping[str, Outlook]
