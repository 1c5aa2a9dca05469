"""Bounds: exact statements about a mean or a share from a sample of fixed size."""

from collections.abc import Sequence
from math import exp, floor, lgamma, log, log1p, pi, sqrt

# A bet never risks more than this share of the wealth: a single bad label must not end the test.
_RISK_MAX = 0.95
# What a bet is sized by before the values tell: ten imagined ones with this variance.
_IMAGINED = 10.0
_VARIANCE_IMAGINED = 0.05
_VARIANCE_MIN = 1e-4
_SHARE_MIN = 1e-100  # of the goal: less never comes back, and could not be divided by
_STEPS_MAX = 2_000  # of the continued fraction; it needs about the square root of the sample size


def final_wealth(values: Sequence[float], *, error: float, loss_max: float, win: float) -> float:
    """Return what is left of betting that the mean of `values` is above 0, as a share of the goal.

    The goal is 1/`error` times the first wealth, and betting stops there: 1.0 means it was reached,
    which happens with a chance of at most `error` when the mean is 0 or less. This is exact for
    every sample size and distribution, for the wealth is a supermartingale then (Ville), however
    the bets are sized, as long as they depend on earlier values alone.

    `values`: independent draws, none below -`loss_max`, in an order that does not depend on them.
    `win`: size of a common win, > 0; no bet is larger than such a win needs to reach the goal.

    The bets are those that reach a goal by a deadline with the highest chance, were the values
    Gaussian: they replicate a digital option. On large samples the test therefore rejects where
    the best test of a known variance would, which a bet for the fastest growth does not: that
    needs 2.8 times the sample at error 0.1.

    Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting",
    JRSS B 86(1), 2024 (test by betting, predictable bets); Browne, "Reaching goals by a deadline:
    digital options and continuous-time active portfolio management", Adv. Appl. Prob. 31(2), 1999
    (the size of the bets).
    """
    share = error
    count, total, squares = _IMAGINED, 0.0, _IMAGINED * _VARIANCE_IMAGINED
    bet_max = _RISK_MAX / loss_max
    for left in range(len(values), 0, -1):
        mean = total / count
        variance = max(squares / count - mean * mean, _VARIANCE_MIN)
        bet = min(_digital_bet(share) / sqrt(variance * left), bet_max)
        bet = min(bet, (1.0 / share - 1.0) / win + 1e-9)
        value = values[len(values) - left]
        share *= 1.0 + bet * value
        if share >= 1.0 or share < _SHARE_MIN:
            return min(share, 1.0)
        count += 1.0
        total += value
        squares += value * value
    return share


def fewest_wins(*, error: float, loss_max: float, win: float) -> int:
    """Return how many values, all equal to `win`, make `final_wealth` reach its goal."""
    # No fewer can do, were every bet the largest.
    count = floor(log(1.0 / error) / log1p(win * _RISK_MAX / loss_max))
    while final_wealth((win,) * count, error=error, loss_max=loss_max, win=win) < 1.0:
        count += 1
    return count


def clopper_pearson(successes: int, trials: int, *, confidence: float) -> tuple[float, float]:
    """Return the exact interval (low, high) of a chance, each end wrong by (1 - confidence) / 2.

    A one-sided bound at 95% is the end of the interval at 90%. Without trials: (0, 1).

    Source: Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case
    of the binomial", Biometrika 26(4), 1934.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes: {successes} of {trials} trials; give 0 up to the trials")
    error = (1.0 - confidence) / 2.0
    failures = trials - successes
    low = _beta_quantile(error, successes, failures + 1.0) if successes else 0.0
    high = 1.0 - _beta_quantile(error, failures, successes + 1.0) if failures else 1.0
    return low, high


def _digital_bet(share: float) -> float:
    """Return density over probability at the normal quantile of `share`, which is below 1.

    The quantile is an approximation (error below 0.0005), which sizes the bets and no more.

    Source: Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.2.23.
    """
    tail = min(share, 1.0 - share)
    root = sqrt(-2.0 * log(tail))
    above = 2.515517 + root * (0.802853 + root * 0.010328)
    below = 1.0 + root * (1.432788 + root * (0.189269 + root * 0.001308))
    distance = root - above / below
    return exp(-0.5 * distance * distance) / (sqrt(2.0 * pi) * share)


def _beta_quantile(share: float, a: float, b: float) -> float:
    """Return the point below which a beta distribution has `share` of its mass, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2.0
        if _beta_share(middle, a, b) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def _beta_share(x: float, a: float, b: float) -> float:
    """Return the mass of a beta distribution below x in (0, 1).

    Source: Abramowitz and Stegun, 26.5.8 (continued fraction) and 26.5.2 (symmetry).
    """
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _beta_share(1.0 - x, b, a)
    scale = lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)
    return exp(scale) / (a * _beta_fraction(x, a, b))


def _beta_fraction(x: float, a: float, b: float) -> float:
    """Return the continued fraction 1 + d1/(1 + d2/(1 + ...)).

    Source: Lentz, Applied Optics 15(3), 1976, in the form of Thompson and Barnett, 1986.
    """
    value, above, below = 1.0, 1.0, 0.0
    for step in range(1, _STEPS_MAX):
        half = step // 2
        if step % 2:
            term = -(a + half) * (a + b + half) / ((a + 2 * half) * (a + 2 * half + 1)) * x
        else:
            term = half * (b - half) / ((a + 2 * half - 1) * (a + 2 * half)) * x
        below = 1.0 / ((1.0 + term * below) or 1e-300)
        above = (1.0 + term / above) or 1e-300
        value *= above * below
        if abs(above * below - 1.0) < 1e-15:
            break
    return value
