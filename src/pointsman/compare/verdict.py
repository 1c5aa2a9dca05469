"""Verdict: whether routing pays, in one sentence that claims no more than the data shows.

It pays where the reference strategy beats what needs no model of the request, and by more than its
95% interval: every single model that costs no more, and, for the same money, chance and length.
The differences are paired: both sides on the same requests.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pointsman.compare.paired import Paired
from pointsman.compare.strategies import CHEAPEST, LENGTH, RANDOM

_AT_THAT_COST = {
    RANDOM: "random at that cost",
    LENGTH: "length alone",
    CHEAPEST: "cheapest first",
}


@dataclass(frozen=True, slots=True)
class Rival:
    """What the reference is measured by: its quality (x) beside the baseline's and the reference's.

    `cost_nanousd` None: not known.
    """

    name: str
    cost_nanousd: int | None
    against_baseline: Paired
    against_reference: Paired

    @property
    def is_as_good(self) -> bool:
        """Return whether its quality is at least the reference's."""
        difference = self.against_reference.difference()
        return difference is not None and difference[0] >= 0

    @property
    def is_beaten(self) -> bool:
        """Return whether the reference is better by more than the 95% interval."""
        difference = self.against_reference.difference()
        return difference is not None and difference[2] < 0


@dataclass(frozen=True, slots=True)
class Standing:
    """The reference strategy beside the baseline, the single models, and the mixes by their spec.

    `quality`: the reference's (x) beside the baseline's (y). `compared`: how many requests the
    costs are of, those of `quality` among them. `quality_floor`: the share of the baseline's
    quality that the reference is to keep, 0..1, 0 for none.
    """

    name: str
    baseline: str
    cost_nanousd: int | None
    baseline_cost_nanousd: int | None
    is_estimated: bool
    quality: Paired
    singles: Sequence[Rival]
    mixes: Mapping[str, Rival]
    compared: int
    quality_floor: float = 0.0

    def no_dearer(self) -> list[Rival]:
        """Return the single models that cost no more than the reference, the cheapest first."""
        named = [
            (rival.cost_nanousd, rival)
            for rival in self.singles
            if rival.cost_nanousd is not None
            and self.cost_nanousd is not None
            and rival.cost_nanousd <= self.cost_nanousd
        ]
        return [rival for _, rival in sorted(named, key=lambda pair: pair[0])]


def verdict(standing: Standing) -> str:
    """Return the sentence, without its full stop."""
    if reason := _unknown(standing):
        return f"whether routing pays is not known, for {reason}"
    return "; ".join([_judged(standing), *_reservations(standing)])


def _unknown(standing: Standing) -> str:
    """Return what is lacking for a verdict, "" for nothing."""
    if standing.quality.ratio() is None:
        return f"nothing is labelled that {_both(standing)}"
    if standing.cost_nanousd is None or not standing.baseline_cost_nanousd:
        return f"not all that {_both(standing)} has a price"
    return ""


def _judged(standing: Standing) -> str:
    cheaper = standing.no_dearer()
    even = [standing.mixes[spec] for spec in (RANDOM, LENGTH) if spec in standing.mixes]
    for rival in cheaper:
        if rival.is_as_good:
            return f"routing does not pay here: {_alone(rival, standing)}, {_told(standing)}"
    for rival in even:
        if rival.is_as_good:
            return f"routing does not pay here: {_told(standing)}, {_mix(rival)}"
    unbeaten = [
        *(_alone(rival, standing) for rival in cheaper if not rival.is_beaten),
        *(_mix(rival) for rival in even if not rival.is_beaten),
    ]
    if unbeaten:
        return (
            f"it is not shown that routing pays here: {_told(standing)},"
            f" within the error of the next best: {unbeaten[0]}"
        )
    return f"routing pays here: {_told(standing)}; {_rest(standing, even)}"


def _reservations(standing: Standing) -> Iterator[str]:
    """Yield what must be known beside the verdict: other requests, and a floor that is missed."""
    ratio, count = standing.quality.ratio(), standing.quality.count
    assert ratio is not None, "checked by verdict"
    if count < standing.compared:
        yield f"quality over {count:,} of {standing.compared:,} requests, cost over all"
    if count > 1 and ratio[2] < standing.quality_floor:
        floor = f"{100 * standing.quality_floor:.4g}%"
        yield f"{standing.name} misses the quality floor of {floor} here"


def _both(standing: Standing) -> str:
    return f"{standing.name} and {standing.baseline} call"


def _told(standing: Standing) -> str:
    ratio = standing.quality.ratio()
    assert ratio is not None, "checked by verdict"
    share, low, high = ratio
    about = "about " if standing.is_estimated else ""
    cost = _cost_share(standing.cost_nanousd, standing)
    interval = f" ({100 * low:.1f} to {100 * high:.1f})" if standing.quality.count > 1 else ""
    return (
        f"{standing.name} keeps {share:.1%}{interval} of {standing.baseline}'s quality for"
        f" {about}{cost} of its cost"
    )


def _alone(rival: Rival, standing: Standing) -> str:
    cost = _cost_share(rival.cost_nanousd, standing)
    return f"{rival.name} alone keeps {_kept(rival)} for {cost}"


def _mix(rival: Rival) -> str:
    return f"{_AT_THAT_COST[rival.name]} keeps {_kept(rival)}"


def _rest(standing: Standing, even: Sequence[Rival]) -> str:
    words = ", ".join(_mix(rival) for rival in even)
    hindsight = standing.mixes.get(CHEAPEST)
    if hindsight is None or hindsight.is_beaten:
        return words
    return f"{words}; {_mix(hindsight)}, but knows what each answer will cost"


def _kept(rival: Rival) -> str:
    ratio = rival.against_baseline.ratio()
    return "an unknown share" if ratio is None else f"{ratio[0]:.1%}"


def _cost_share(cost_nanousd: int | None, standing: Standing) -> str:
    assert cost_nanousd is not None and standing.baseline_cost_nanousd, "checked by verdict"
    return f"{cost_nanousd / standing.baseline_cost_nanousd:.0%}"
