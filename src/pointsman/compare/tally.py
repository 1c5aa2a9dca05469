"""Tally: what one strategy has come to so far, in sums that can be added up."""

from collections import Counter
from dataclasses import dataclass, field

from pointsman.compare.calls import Call
from pointsman.compare.key_window import Kept
from pointsman.compare.latency import Latencies
from pointsman.compare.paired import Paired
from pointsman.compare.told_answers import ToldAnswer


@dataclass(slots=True)
class Tally:
    """Sums over the requests of one strategy.

    `unlabelled`: labelled requests without an outcome for its model or for the baseline's.
    `saved_nanousd`: what its hits would have cost, but for `unpriced_hits`; `saved_tokens` of that
    are estimated. `judged_hits`: those whose answer can be told from another, of which `wrong_hits`
    gave another one; `worded_hits` of the judged were told by their words alone, not by labels.
    """

    cost_nanousd: int = 0
    unpriced: int = 0
    undecided: int = 0
    untimed: int = 0
    hits: int = 0
    saved_nanousd: int = 0
    unpriced_hits: int = 0
    saved_tokens: int = 0
    judged_hits: int = 0
    wrong_hits: int = 0
    worded_hits: int = 0
    estimated_tokens: int = 0
    keys_dropped: int = 0
    unlabelled: int = 0
    latencies: Latencies = field(default_factory=Latencies)
    by_tier: Counter[str] = field(default_factory=Counter)
    against_baseline: Paired = field(default_factory=Paired)
    against_reference: Paired = field(default_factory=Paired)

    def add(self, call: Call) -> None:
        """Take a request that is served by a call."""
        self.by_tier[call.tier] += 1
        if call.cost_nanousd is None:
            self.unpriced += 1
        else:
            self.cost_nanousd += call.cost_nanousd
        self.estimated_tokens += call.estimated_tokens
        if call.latency_ms is not None:
            self.latencies.measured.add(call.latency_ms)
        elif call.is_untimed:
            self.untimed += 1
        else:
            self.latencies.add_length(call.deployment, call.output_tokens)

    def add_hit(self, call: Call, kept: Kept, right: ToldAnswer | None) -> None:
        """Take a request that our own cache answers in place of a call; `right`: its own answer."""
        self.by_tier[call.tier] += 1
        self.hits += 1
        self.latencies.hits += 1
        self.saved_nanousd += call.cost_nanousd or 0
        self.unpriced_hits += call.cost_nanousd is None
        self.saved_tokens += call.estimated_tokens
        is_wrong = right.is_other(kept.answer) if right else None
        if right is not None and is_wrong is not None:
            self.judged_hits += 1
            self.wrong_hits += is_wrong
            self.worded_hits += not right.is_label

    def add_quality(self, call: Call, base: Call | None, reference: Call | None) -> None:
        """Take the quality of a labelled request beside the baseline's and the reference's."""
        quality = call.quality
        if quality is None or base is None or base.quality is None:
            self.unlabelled += 1
            return
        self.against_baseline.add(quality, base.quality)
        if reference is not None and reference.quality is not None:
            self.against_reference.add(quality, reference.quality)

    def merge(self, other: "Tally") -> None:
        """Take in the sums over other requests."""
        self.cost_nanousd += other.cost_nanousd
        self.unpriced += other.unpriced
        self.undecided += other.undecided
        self.untimed += other.untimed
        self.hits += other.hits
        self.saved_nanousd += other.saved_nanousd
        self.unpriced_hits += other.unpriced_hits
        self.saved_tokens += other.saved_tokens
        self.judged_hits += other.judged_hits
        self.wrong_hits += other.wrong_hits
        self.worded_hits += other.worded_hits
        self.estimated_tokens += other.estimated_tokens
        self.keys_dropped += other.keys_dropped
        self.unlabelled += other.unlabelled
        self.latencies.merge(other.latencies)
        self.by_tier += other.by_tier
        self.against_baseline += other.against_baseline
        self.against_reference += other.against_reference

    @property
    def known_cost_nanousd(self) -> int | None:
        """Return the cost, None where some request has none or was not decided."""
        return None if self.unpriced or self.undecided else self.cost_nanousd
