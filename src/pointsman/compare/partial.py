"""Partial: what a part of a log came to. Parts add up, so files can be read anywhere."""

from collections import Counter
from dataclasses import dataclass, field

from pointsman.compare.equal_cost import Trades
from pointsman.compare.latency import Speed
from pointsman.compare.records import LeftOut
from pointsman.compare.strategies import Strategy
from pointsman.compare.tally import Tally


@dataclass(slots=True)
class Partial:
    """The sums of one pass. What is kept grows with the number of strategies, not with the log.

    `tallies` by strategy; `singles` by the id of each deployment of the tiers, as if it alone
    served; `trades` by the weaker tier, cheapest first; `facts` counts what `LogFacts` tells.
    """

    tallies: dict[Strategy, Tally] = field(default_factory=dict)
    singles: dict[str, Tally] = field(default_factory=dict)
    trades: dict[str, Trades] = field(default_factory=dict)
    speeds: dict[str, Speed] = field(default_factory=dict)
    facts: Counter[str] = field(default_factory=Counter)
    left_out: LeftOut = field(default_factory=LeftOut)

    def merge(self, other: "Partial", *, source: str = "") -> None:
        """Take in a later part of the log, a file called `source`, of the same strategies."""
        for strategy, tally in other.tallies.items():
            self.tallies.setdefault(strategy, Tally()).merge(tally)
        for deployment, tally in other.singles.items():
            self.singles.setdefault(deployment, Tally()).merge(tally)
        for tier, trades in other.trades.items():
            self.trades.setdefault(tier, Trades(tier)).merge(trades)
        for deployment, speed in other.speeds.items():
            self.speeds[deployment] = self.speeds.get(deployment, Speed()) + speed
        self.facts += other.facts
        self.left_out.merge(other.left_out, source=source)
