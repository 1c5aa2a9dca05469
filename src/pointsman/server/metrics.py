"""Metrics: what Prometheus scrapes. Every figure is a sum over the ledger's own bookings."""

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TypeAlias

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from pointsman.audit import Standing
from pointsman.ledger import AUDIT, Intent, Settlement

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LATENCY_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_NANOUSD_PER_USD = 1e9

Labels: TypeAlias = tuple[str, ...]


class _Counter:
    """Sums by labels, and when each was first added to, in seconds since 1970."""

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        self.name = name
        self._text = text
        self._labels = labels
        self._sums: dict[Labels, float] = {}
        self._began_s: dict[Labels, float] = {}

    def add(self, labels: Labels, amount: float) -> None:
        """Add to a sum."""
        try:
            self._sums[labels] += amount
        except KeyError:
            self._sums[labels] = amount
            self._began_s[labels] = time.time()

    def family(self) -> Metric:
        """Return the sums as they are scraped."""
        family = CounterMetricFamily(self.name, self._text, labels=self._labels)
        for labels, amount in self._sums.items():
            family.add_metric(labels, float(amount), created=self._began_s[labels])
        return family


class _Spread:
    """How many values there were in each bucket, their sum, and since when."""

    def __init__(self) -> None:
        self.counts = [0] * (len(_LATENCY_BUCKETS_S) + 1)
        self.sum_s = 0.0
        self.began_s = time.time()


class Metrics:
    """Counts attempts as they end; hang `observe` on a pipeline's observers."""

    def __init__(self) -> None:
        place = ("tier", "model")
        self._attempts = _Counter(
            "pointsman_attempts",
            "Attempts and cache hits, by how they ended",
            (*place, "outcome"),
        )
        self._cost = _Counter("pointsman_cost_usd", "Spend in USD", place)
        self._tokens = _Counter("pointsman_tokens", "Tokens booked", (*place, "kind"))
        self._unknown = _Counter(
            "pointsman_cost_unknown", "Attempts whose cost nobody knows", place
        )
        self._audit_cost = _Counter(
            "pointsman_audit_cost_usd", "The part of the spend that was for audits, in USD", place
        )
        self._latencies: dict[str, _Spread] = {}
        self._standings: Iterable[Standing] = ()
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def observe(self, intent: Intent, settlement: Settlement) -> None:
        """Count one attempt."""
        tier, model, outcome = intent.tier, intent.deployment, settlement.outcome
        self._attempts.add((tier, model, outcome), 1)
        if settlement.cost_nanousd is None:
            self._unknown.add((tier, model), 1)
        else:
            cost_usd = settlement.cost_nanousd / _NANOUSD_PER_USD
            self._cost.add((tier, model), cost_usd)
            if intent.policy == AUDIT:
                self._audit_cost.add((tier, model), cost_usd)
        if outcome == "hit":
            return
        usage = settlement.usage
        self._tokens.add((tier, model, "input"), usage.input_tokens)
        self._tokens.add((tier, model, "output"), usage.output_tokens)
        spread = self._latencies.get(tier)
        if spread is None:
            spread = self._latencies[tier] = _Spread()
        latency_s = settlement.latency_ms / 1000
        spread.counts[bisect_left(_LATENCY_BUCKETS_S, latency_s)] += 1
        spread.sum_s += latency_s

    def render(self, standings: Iterable[Standing] = ()) -> bytes:
        """Return the exposition text; `standings` are what the audits have found, by group."""
        self._standings = standings
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Yield what is scraped: the library asks for it so."""
        for counter in (self._attempts, self._cost, self._tokens, self._unknown):
            yield counter.family()
        yield self._latency_family()
        yield self._audit_cost.family()
        for name, text in (
            ("labels", "Labels of audits since they began"),
            ("steps", "How often the floor was found broken, and the threshold lowered"),
            ("evidence", "Evidence against the floor since the last step, as an e-value"),
        ):
            gauge = GaugeMetricFamily(f"pointsman_audit_{name}", text, labels=("group",))
            for found in self._standings:
                gauge.add_metric((found.group,), float(getattr(found, name)))
            yield gauge

    def _latency_family(self) -> Metric:
        name = "pointsman_attempt_seconds"
        family = HistogramMetricFamily(
            name, "Time from the call to the answer's end", labels=("tier",)
        )
        bounds = [str(float(bound)) for bound in _LATENCY_BUCKETS_S] + ["+Inf"]
        for tier, spread in self._latencies.items():
            counts = map(float, accumulate(spread.counts))
            family.add_metric((tier,), [*zip(bounds, counts, strict=True)], spread.sum_s)
            family.add_sample(f"{name}_created", {"tier": tier}, spread.began_s)
        return family
