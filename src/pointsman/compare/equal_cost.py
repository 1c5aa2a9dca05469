"""Equal cost: what other ways to spend the same money would have given, with no model at all.

Each sends a share of the requests to the strongest tier and the rest to one weaker tier, and spends
what the reference strategy spent: by chance; on the longest texts first; or where the step up costs
least first. The weaker tier is the one that serves it best, so that nobody is fooled by a straw
man. All is worked out at the end from sums, kept in bins of 4% by length and by extra cost, so
memory does not grow with the log. Within a bin chance decides.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import log

from pointsman.compare.calls import Call
from pointsman.compare.paired import Paired
from pointsman.core.types import Features

_BIN_WIDTH = log(1.04)
_BINS_MAX = 1_024


class Bin:
    """Sums over some requests: costs at the weaker tier and at the strongest, and qualities.

    `qualities` are counted where weaker c, strongest s and reference r all have one: the number,
    then the sums of c, s, r, cc, ss, rr, cs, cr, sr.
    """

    __slots__ = ("cheap_nanousd", "count", "qualities", "strong_nanousd")

    def __init__(self) -> None:
        self.count = 0
        self.cheap_nanousd = 0
        self.strong_nanousd = 0
        self.qualities: list[float] | None = None

    def add(self, cheap_nanousd: int, strong_nanousd: int) -> None:
        """Take the costs of one request."""
        self.count += 1
        self.cheap_nanousd += cheap_nanousd
        self.strong_nanousd += strong_nanousd

    def add_quality(self, c: float, s: float, r: float) -> None:
        """Take the qualities of one request: at the weaker tier, the strongest, the reference."""
        one = (1.0, c, s, r, c * c, s * s, r * r, c * s, c * r, s * r)
        kept = self.qualities
        self.qualities = [a + b for a, b in zip(kept, one, strict=True)] if kept else [*one]

    def merge(self, other: "Bin") -> None:
        """Take in the sums of other requests."""
        self.count += other.count
        self.cheap_nanousd += other.cheap_nanousd
        self.strong_nanousd += other.strong_nanousd
        if self.qualities and other.qualities:
            pairs = zip(self.qualities, other.qualities, strict=True)
            self.qualities = [a + b for a, b in pairs]
        else:
            self.qualities = self.qualities or other.qualities


@dataclass(frozen=True, slots=True)
class Mix:
    """What one way to spend the money gives. `tier`: the weaker one.

    `share`: of the requests that go to the strongest tier, 0..1. `against_strongest` and
    `against_reference`: its quality (x) beside theirs (y), the expected value where chance decides.
    """

    tier: str
    cost_nanousd: int
    count: int
    share: float
    against_strongest: Paired
    against_reference: Paired


@dataclass(slots=True)
class Trades:
    """All that the ways from one weaker tier need to know. `unknown` requests have no cost."""

    tier: str
    by_length: dict[int, Bin] = field(default_factory=dict)
    by_extra_cost: dict[int, Bin] = field(default_factory=dict)
    unknown: int = 0

    def add(self, length_place: int, cheap: Call, strong: Call, reference: Call | None) -> None:
        """Take one request, as the weaker tier, the strongest and the reference serve it.

        `length_place` is what `place_of_length` gives.
        """
        low, high = cheap.cost_nanousd, strong.cost_nanousd
        if low is None or high is None:
            self.unknown += 1
            return
        by_length = _bin(self.by_length, length_place)
        by_extra_cost = _bin(self.by_extra_cost, _place(high - low))
        by_length.add(low, high)
        by_extra_cost.add(low, high)
        c, s = cheap.quality, strong.quality
        if c is None:
            return
        r = reference.quality if reference else None
        if s is not None and r is not None:
            by_length.add_quality(c, s, r)
            by_extra_cost.add_quality(c, s, r)

    def merge(self, other: "Trades") -> None:
        """Take in the requests of another log."""
        self.unknown += other.unknown
        for mine, theirs in (
            (self.by_length, other.by_length),
            (self.by_extra_cost, other.by_extra_cost),
        ):
            for place, one in theirs.items():
                _bin(mine, place).merge(one)

    def at_random(self, spent_nanousd: int) -> Mix:
        """Return what chance gives for the money."""
        whole = Bin()
        for one in self.by_length.values():
            whole.merge(one)
        return _mix(self.tier, [whole], spent_nanousd)

    def by_longest(self, spent_nanousd: int) -> Mix:
        """Return what the money gives on the longest texts."""
        return _mix(self.tier, _ordered(self.by_length, lambda place: -place), spent_nanousd)

    def by_cheapest(self, spent_nanousd: int) -> Mix:
        """Return what the money gives where the strongest tier costs least more."""
        return _mix(self.tier, _ordered(self.by_extra_cost, lambda place: place), spent_nanousd)


def best_mix(mixes: Sequence[Mix], spent_nanousd: int) -> Mix:
    """Return the best of one way's mixes, which come from the cheapest weaker tier on.

    One that costs more than the money is left out. Without labels it is that of the cheapest tier.
    """
    payable = [mix for mix in mixes if mix.cost_nanousd <= spent_nanousd + mix.count]
    labelled = [mix for mix in payable if mix.against_strongest.ratio()]
    if not labelled:
        return mixes[0]
    return max(labelled, key=lambda mix: mix.against_strongest.ratio() or (0.0,))


def place_of_length(features: Features) -> int:
    """Return the bin of a request by its length: words of the last user turn, else tokens."""
    return _place(features.words or features.input_tokens)


def _place(value: int) -> int:
    """Return the bin of a number: one for all that are not above 0, then 4% wide each."""
    return min(_BINS_MAX, 1 + int(log(value) / _BIN_WIDTH)) if value > 0 else 0


def _bin(bins: dict[int, Bin], place: int) -> Bin:
    found = bins.get(place)
    if found is None:
        found = bins[place] = Bin()
    return found


def _ordered(bins: dict[int, Bin], key: Callable[[int], int]) -> list[Bin]:
    return [bins[place] for place in sorted(bins, key=key)]


def _mix(tier: str, bins: Iterable[Bin], spent_nanousd: int) -> Mix:
    """Return what comes of raising bin after bin to the strongest tier until the money is spent."""
    raised = list(_raised(list(bins), spent_nanousd))
    count = sum(one.count for one, _ in raised)
    cost = sum(
        one.cheap_nanousd + share * (one.strong_nanousd - one.cheap_nanousd)
        for one, share in raised
    )
    strongest, reference = Paired(), Paired()
    for one, share in raised:
        if one.qualities is not None:
            with_strongest, with_reference = _qualities(one.qualities, share)
            strongest += with_strongest
            reference += with_reference
    return Mix(
        tier=tier,
        cost_nanousd=round(cost),
        count=count,
        share=sum(one.count * share for one, share in raised) / count if count else 0.0,
        against_strongest=strongest,
        against_reference=reference,
    )


def _raised(bins: list[Bin], spent_nanousd: int) -> Iterator[tuple[Bin, float]]:
    """Yield each bin with the share of it that goes to the strongest tier."""
    left = spent_nanousd - sum(one.cheap_nanousd for one in bins)
    for one in bins:
        extra = one.strong_nanousd - one.cheap_nanousd
        wanted = left / extra if extra > 0 else float(left >= 0)
        share = min(1.0, max(0.0, wanted))
        left -= round(share * extra)
        yield one, share


def _qualities(sums: list[float], share: float) -> tuple[Paired, Paired]:
    """Return a bin's quality beside the strongest tier's and beside the reference's."""
    n, c, s, r, cc, ss, rr, cs, cr, sr = sums
    rest = 1.0 - share
    x = share * s + rest * c
    xx = share * share * ss + 2 * share * rest * cs + rest * rest * cc
    count = round(n)
    return (
        Paired(count, x, s, xx, ss, share * ss + rest * cs),
        Paired(count, x, r, xx, rr, share * sr + rest * cr),
    )
