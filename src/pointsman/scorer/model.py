"""Model: the scorer itself, as policies, tables and people use it."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import exp, inf, log, sqrt
from pkgutil import get_data

from pointsman.scorer.heads import Heads, unpack_heads
from pointsman.scorer.reading import COUNT_NAMES, Reading, words_and_pairs

# What a person reads of a count below and above its mean; where it is not "few" and "many".
_LESS_AND_MORE = {
    "length": ("short text", "long text"),
    "variety of words": ("repeated words", "varied words"),
    "length of words": ("short words", "long words"),
    "share of digits": ("little of it digits", "much of it digits"),
    "system prompt": ("short system prompt", "long system prompt"),
    "tools": ("no tools", "tools"),
    "text beyond the clip": ("all of it read", "long text beyond what is read"),
}
_LOG_TOKENS_MAX = log(32_768)
_SHIPPED, _HELD_OUT = "shipped.bin", "held_out.bin"


@dataclass(frozen=True, slots=True)
class Reason:
    """What of a prompt moved its need, and by how much; above 0 asks for the strongest tier."""

    what: str
    weight: float


@dataclass(frozen=True, slots=True)
class Scorer:
    """Says from a reading how much the strongest tier is worth. Immutable, no state."""

    heads: Heads

    @property
    def version(self) -> str:
        """Name the weights: date of training and a check sum of what they were trained to."""
        return self.heads.version

    def need(self, reading: Reading) -> float:
        """Return a number that ranks: the higher, the more the strongest tier is worth."""
        return self.heads[reading.group].need(reading)

    def gain_per_usd(self, reading: Reading) -> float:
        """Return gain over cost of the strongest tier, > 0, in units that only rank."""
        return self.heads[reading.group].gain_per_usd(reading)

    def relative_gain(self, reading: Reading) -> float:
        """Return the expected gain of this prompt over the mean gain of its group, >= 0.

        Gain is quality of the strong less that of the weak tier. Its mean over a group is about 1.
        """
        curves = self.heads[reading.group].rules.curves
        return interpolate(curves.relative_gain, self.need(reading))

    def output_tokens(self, reading: Reading) -> float:
        """Return how many tokens a typical model is expected to answer with, 1..32,768."""
        log_tokens = self.heads[reading.group].rules.output_tokens.value(reading.counts)
        return exp(min(max(log_tokens, 0.0), _LOG_TOKENS_MAX))

    def spread(self, group: str) -> tuple[tuple[float, float, float], ...]:
        """Return how relative gain is spread over the requests of a group, in 33 points.

        Each is (share of requests below, relative gain there, share of the group's realised gain
        that these requests hold), measured on prompts that the heads had not seen.
        """
        return self.heads[group].rules.curves.spread

    def is_trained(self, group: str) -> bool:
        """Return whether the group had prompts of its own to learn from."""
        return group not in self.heads.stand_ins

    def reasons(self, text: str, reading: Reading, limit: int = 3) -> tuple[Reason, ...]:
        """Return what of this text moved its need most, the largest first, for a person to read.

        Words and pairs count as they stand; a count by how far it is from its mean in the group.
        """
        head = self.heads[reading.group]
        scale = head.rules.gram_unit / sqrt(len(reading.grams) or 1)
        found = [
            Reason(f'"{shown}"', scale * (head.table[gram] - 128))
            for gram, shown in words_and_pairs(text).items()
            if head.table[gram] != 128
        ]
        weights, means = head.rules.need.weights, head.rules.count_means
        for name, weight, mean, count in zip(
            COUNT_NAMES, weights, means, reading.counts, strict=False
        ):
            less, more = _LESS_AND_MORE.get(name, (f"few {name}", f"many {name}"))
            found.append(Reason(more if count > mean else less, weight * (count - mean)))
        found.sort(key=lambda reason: (-abs(reason.weight), reason.what))
        return tuple(found[:limit])


@cache
def shipped() -> Scorer:
    """Return the scorer that comes with the package, read once.

    Raises ValueError when its data file is missing or damaged.
    """
    return Scorer(unpack_heads(_data(_SHIPPED)))


@cache
def held_out() -> Scorer:
    """Return the twin of `shipped` that has not seen the prompts of the bundled sample.

    Raises ValueError when its data file is missing or damaged.
    """
    return Scorer(unpack_heads(_data(_HELD_OUT), base=shipped().heads))


def interpolate(knots: Sequence[tuple[float, float]], x: float) -> float:
    """Return the height at `x` of straight lines between knots with rising x, flat outside."""
    at = bisect_right(knots, (x, inf))
    if at == 0:
        return knots[0][1]
    if at == len(knots):
        return knots[-1][1]
    (x0, y0), (x1, y1) = knots[at - 1], knots[at]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)


def _data(name: str) -> bytes:
    data = get_data(__package__, name)
    if data is None:
        raise ValueError(f"pointsman/scorer/{name} is missing; reinstall pointsman")
    return data
