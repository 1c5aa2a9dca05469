"""Drift: whether a floor that was certified still holds, watched label by label."""

from collections.abc import Iterable

import msgspec

# What is bet, as a share of the wealth at stake: small bets find small breaks, large ones soon.
_BETS = (0.05, 0.1, 0.2, 0.4, 0.8)
_WEALTH_MAX = 1e100
_STEPS = 4


class SequentialTest(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence that the floor is broken, valid whenever and however often it is looked at.

    While the floor holds (each label's value has an expectation of 0 or more, given those before),
    the chance that `is_broken` ever becomes true is at most `error`, over an endless stream too.

    One gambler starts before each label with a share 1/(n(n+1)) of the wealth (the shares sum to
    1) and bets on breaks, so that a long good past does not hide a later one. `wealths`: what those
    who have started own, one entry a size of bet. `wealth`: what all own, the e-value: 1 or less on
    average while the floor holds, large when it is broken; `wealth_max`: the most it ever was.

    Source: Waudby-Smith and Ramdas, JRSS B 86(1), 2024 (test by betting); Ville's inequality;
    Shin, Ramdas and Rinaldo, "E-detectors", 2022 (a gambler for each time of change).
    """

    error: float
    labels: int = 0
    wealths: tuple[float, ...] = (0.0,) * len(_BETS)
    wealth: float = 1.0
    wealth_max: float = 1.0

    @property
    def is_broken(self) -> bool:
        """Return whether the evidence was ever enough."""
        return self.wealth_max * self.error >= 1.0

    def add(self, value: float) -> "SequentialTest":
        """Return the test after one more label; `value` is `floor_margin` of it.

        Raises ValueError outside -1..1.
        """
        if not -1.0 <= value <= 1.0:
            raise ValueError(f"audit value {value!r}: give routed - floor * strongest, -1..1")
        labels = self.labels + 1
        started = 1.0 / (labels * (labels + 1))
        wealths = tuple(
            min((wealth + started) * (1.0 - bet * value), _WEALTH_MAX)
            for wealth, bet in zip(self.wealths, _BETS, strict=True)
        )
        wealth = sum(wealths) / len(wealths) + 1.0 / (labels + 1)
        return SequentialTest(
            error=self.error,
            labels=labels,
            wealths=wealths,
            wealth=wealth,
            wealth_max=max(self.wealth_max, wealth),
        )


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """The threshold in force while labels come in, and the test of it.

    `ladder`: the thresholds to step down, from the certified one to None ("all to the strongest").
    Each alarm takes one step and starts a new test, with half the error that the last one had, so
    the chance that any alarm is false is at most twice the first test's error (`start_audit`).
    """

    ladder: tuple[float | None, ...]
    test: SequentialTest
    step: int = 0

    @property
    def threshold(self) -> float | None:
        """Return the highest predicted loss that may leave the strongest tier; None: none may."""
        return self.ladder[self.step]

    @property
    def alarms(self) -> int:
        """Return how often the floor was found broken."""
        return self.step

    def add(self, value: float) -> "Audit":
        """Return the audit after the next label; nothing is tested once all go to the strongest."""
        if self.step == len(self.ladder) - 1:
            return self
        test = self.test.add(value)
        if not test.is_broken:
            return msgspec.structs.replace(self, test=test)
        fresh = SequentialTest(error=test.error / 2.0)
        return msgspec.structs.replace(self, test=fresh, step=self.step + 1)


def start_audit(threshold: float | None, *, error: float, values: Iterable[float] = ()) -> Audit:
    """Return the audit of a certified threshold, after the stored `values`, oldest first.

    `error`: the chance of any false alarm, ever, 0..1. Each step halves the threshold, the last
    one sends all to the strongest tier; a threshold of 0 or below has that last step alone.
    """
    if not 0.0 < error < 1.0:
        raise ValueError(
            f"audit error {error!r}: give the chance of a false alarm, above 0, below 1"
        )
    ladder: tuple[float | None, ...] = (None,)
    if threshold is not None:
        halved = [threshold / 2**step for step in range(_STEPS if threshold > 0.0 else 1)]
        ladder = (*halved, None)
    audit = Audit(ladder=ladder, test=SequentialTest(error=error / 2.0))
    for value in values:
        audit = audit.add(value)
    return audit


def floor_margin(routed: float, strongest: float, *, floor: float) -> float:
    """Return what one label says of the floor: the routed quality less what was promised.

    Both qualities are 0..1. The promise is about all of a group's requests, so a request that
    itself went to the strongest tier counts too, with `routed` equal to `strongest`. An audit of
    the requests routed down alone tests a stricter claim: that each kept share of these suffices.
    """
    return routed - floor * strongest
