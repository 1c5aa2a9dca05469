"""Paired: two figures of the same requests, as sums that can be added up, with their intervals."""

from dataclasses import astuple, dataclass
from math import inf, sqrt

Z95 = 1.959964  # of the normal distribution, for 95%


@dataclass(slots=True)
class Paired:
    """Sums over the requests that have both figures, x and y, each 0..1."""

    count: int = 0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    yy: float = 0.0
    xy: float = 0.0

    def add(self, x: float, y: float) -> None:
        """Take one request."""
        self.count += 1
        self.x += x
        self.y += y
        self.xx += x * x
        self.yy += y * y
        self.xy += x * y

    def __add__(self, other: "Paired") -> "Paired":
        """Return the sums over both."""
        return Paired(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def mean(self) -> float | None:
        """Return the mean of x, None without requests."""
        return self.x / self.count if self.count else None

    def ratio(self) -> tuple[float, float, float] | None:
        """Return the ratio of the means, x over y, and its 95% interval; None where y is 0.

        The interval of a single request has no ends.

        The interval is by the delta method, which is good for some hundred requests and more:
        with r = x/y, the variance of the ratio is that of x - r*y over y's mean squared.

        Source: Casella and Berger, "Statistical Inference", 2nd edition, example 5.5.27.
        """
        if not self.count or self.y <= 0:
            return None
        ratio = self.x / self.y
        error = self._error(self.xx - 2 * ratio * self.xy + ratio * ratio * self.yy, 0.0)
        half = Z95 * error * self.count / self.y
        return ratio, ratio - half, ratio + half

    def difference(self) -> tuple[float, float, float] | None:
        """Return the mean of x - y and its 95% interval, None without requests."""
        if not self.count:
            return None
        total = self.x - self.y
        mean = total / self.count
        half = Z95 * self._error(self.xx - 2 * self.xy + self.yy, total)
        return mean, mean - half, mean + half

    def _error(self, squares: float, total: float) -> float:
        """Return the standard error of a mean; one request alone says nothing of it."""
        if self.count < 2:
            return inf
        spread = max(0.0, squares - total * total / self.count)
        return sqrt(spread / (self.count - 1) / self.count)
