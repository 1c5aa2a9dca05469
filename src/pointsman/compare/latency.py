"""Latency: samples of bounded size, and a model's speed as one log shows it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from random import Random

SAMPLE_MAX = 10_000


class Sample:
    """Numbers, every one of them up to `size_max`, then a fair draw of that many (Algorithm R).

    Count and sum stay exact. The draw has a fixed seed: the same log gives the same figures.
    `size_max` None is SAMPLE_MAX.

    Source: Vitter, "Random Sampling with a Reservoir", 1985, Algorithm R.
    """

    def __init__(self, size_max: int | None = None) -> None:
        self.count = 0
        self.total = 0
        self._size_max = SAMPLE_MAX if size_max is None else size_max
        self._kept: list[int] = []
        self._rng = Random(0)

    def add(self, value: int) -> None:
        """Take one more number."""
        self.count += 1
        self.total += value
        if len(self._kept) < self._size_max:
            self._kept.append(value)
        elif (place := int(self._rng.random() * self.count)) < self._size_max:
            self._kept[place] = value

    def merge(self, other: "Sample") -> None:
        """Take in another sample, so that each number of both had the same chance to be here."""
        total = self.count + other.count
        if total > self._size_max:
            mine = round(self._size_max * self.count / total)
            kept = [*self._draw(self._kept, mine), *self._draw(other._kept, self._size_max - mine)]
        else:
            kept = self._kept + other._kept
        self._kept = kept
        self.count, self.total = total, self.total + other.total

    def _draw(self, kept: list[int], size: int) -> list[int]:
        return self._rng.sample(kept, size) if size < len(kept) else kept

    def weighted(self, read: Callable[[int], float] = float) -> Iterator[tuple[float, float]]:
        """Yield what `read` makes of each number kept, and how many numbers it stands for."""
        weight = self.count / len(self._kept) if self._kept else 0.0
        for value in self._kept:
            yield read(value), weight


def percentile(weighted: Iterable[tuple[float, float]], share: float) -> float | None:
    """Return the least value that at least `share` (0..1) of the weight does not exceed.

    None without values. This is the nearest-rank percentile where each weight is 1.
    """
    ordered = sorted(weighted)
    # What 0.95 * 20 or the sum of weights loses to rounding must not move the rank.
    wanted = share * sum(weight for _, weight in ordered) - 1e-6
    reached = 0.0
    for value, weight in ordered:
        reached += weight
        if reached >= wanted:
            return value
    return None


@dataclass(slots=True)
class Speed:
    """Sums over the measured answers of one model: output tokens x, latency y in ms."""

    count: int = 0
    tokens: int = 0
    latency_ms: int = 0
    tokens_squared: int = 0
    products: int = 0

    def add(self, output_tokens: int, latency_ms: int) -> None:
        """Take one measured answer."""
        self.count += 1
        self.tokens += output_tokens
        self.latency_ms += latency_ms
        self.tokens_squared += output_tokens**2
        self.products += output_tokens * latency_ms

    def __add__(self, other: "Speed") -> "Speed":
        """Return the sums over both."""
        return Speed(
            self.count + other.count,
            self.tokens + other.tokens,
            self.latency_ms + other.latency_ms,
            self.tokens_squared + other.tokens_squared,
            self.products + other.products,
        )

    def line(self) -> "Line":
        """Return the least-squares line through the answers; `count` is at least 1.

        Neither part is negative: where one would be, the line without it is taken. One length of
        answer alone says nothing of an overhead, so there is none.
        """
        spread = self.count * self.tokens_squared - self.tokens**2
        if self.tokens == 0:
            return Line(self.latency_ms / self.count, 0.0)
        if spread == 0:
            return Line(0.0, self.latency_ms / self.tokens)
        slope = (self.count * self.products - self.tokens * self.latency_ms) / spread
        overhead = (self.latency_ms - slope * self.tokens) / self.count
        if slope < 0:
            return Line(self.latency_ms / self.count, 0.0)
        if overhead < 0:
            return Line(0.0, self.products / self.tokens_squared)
        return Line(overhead, slope)


@dataclass(frozen=True, slots=True)
class Line:
    """A model's latency by the length of its answer, both parts >= 0."""

    overhead_ms: float
    ms_per_token: float

    def latency_ms(self, output_tokens: float) -> float:
        """Return the latency to expect."""
        return self.overhead_ms + self.ms_per_token * output_tokens


@dataclass(slots=True)
class Latencies:
    """The latencies of one strategy's requests: measured ones, hits, and lengths still to be read.

    `lengths` holds the output tokens of the answers whose latency must be estimated, by deployment.
    """

    measured: Sample = field(default_factory=Sample)
    hits: int = 0
    lengths: dict[str, Sample] = field(default_factory=dict)

    def add_length(self, deployment: str, output_tokens: int) -> None:
        """Take an answer that the log has no latency for."""
        sample = self.lengths.get(deployment)
        if sample is None:
            sample = self.lengths[deployment] = Sample()
        sample.add(output_tokens)

    def merge(self, other: "Latencies") -> None:
        """Take in the latencies of other requests."""
        self.measured.merge(other.measured)
        self.hits += other.hits
        for deployment, sample in other.lengths.items():
            self.lengths.setdefault(deployment, Sample()).merge(sample)

    def summary(self, line_of: Callable[[str], Line | None]) -> tuple[float | None, float | None]:
        """Return mean and 95th percentile in ms, None where some model's speed is not known.

        A hit counts as 0 ms.
        """
        total = float(self.measured.total)
        weighted = [*self.measured.weighted(), (0.0, float(self.hits))]
        count = self.measured.count + self.hits
        for deployment, sample in self.lengths.items():
            line = line_of(deployment)
            if line is None:
                return None, None
            total += line.overhead_ms * sample.count + line.ms_per_token * sample.total
            weighted.extend(sample.weighted(line.latency_ms))
            count += sample.count
        if not count:
            return None, None
        return total / count, percentile(weighted, 0.95)
